//! Calls of the greeter, and what came back, as text for a row of the table.

use std::net::SocketAddr;
use std::time::Duration;

use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Response, Status};

use super::common::Result;
use super::hello::greeter_client::GreeterClient;
use super::hello::{GoodbyeReply, GoodbyeRequest, HelloReply, HelloRequest};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn endpoint(address: SocketAddr, tls: ClientTlsConfig) -> Result<Endpoint> {
    let endpoint = Endpoint::from_shared(format!("https://{address}"))?;
    Ok(endpoint.tls_config(tls)?.connect_timeout(PATIENCE).timeout(PATIENCE))
}

pub(crate) async fn hello(
    channel: &Channel,
    metadata: &[(&'static str, &str)],
) -> Result<Response<HelloReply>, Status> {
    let request = with(HelloRequest { name: "world".to_owned() }, metadata)?;
    GreeterClient::new(channel.clone()).say_hello(request).await
}

pub(crate) async fn goodbye(
    channel: &Channel,
    metadata: &[(&'static str, &str)],
) -> Result<Response<GoodbyeReply>, Status> {
    let request = with(GoodbyeRequest { name: "world".to_owned() }, metadata)?;
    GreeterClient::new(channel.clone()).say_goodbye(request).await
}

pub(crate) fn with<T>(message: T, metadata: &[(&'static str, &str)]) -> Result<Request<T>, Status> {
    let mut request = Request::new(message);
    for (name, value) in metadata {
        let mut value: MetadataValue<_> =
            value.parse().map_err(|_| Status::new(Code::Internal, "the credential cannot be sent"))?;
        value.set_sensitive(true);
        request.metadata_mut().append(*name, value);
    }
    Ok(request)
}

/// Writes what was said and to whom, or the code of the refusal.
pub(crate) fn greeting(reply: &Result<Response<HelloReply>, Status>) -> String {
    match reply.as_ref().map(Response::get_ref) {
        Ok(HelloReply { message, subject }) => format!("{message} ({subject})"),
        Err(status) => format!("{:?}", status.code()),
    }
}

/// Writes the code of a refusal and its challenges.
pub(crate) fn refusal(reply: &Result<Response<HelloReply>, Status>) -> String {
    let Err(status) = reply else { return greeting(reply) };
    let challenges = status.metadata().get_all("www-authenticate");
    let challenges: Vec<_> = challenges.iter().filter_map(|challenge| challenge.to_str().ok()).collect();
    format!("{:?} {}", status.code(), challenges.join(" | "))
}

/// Writes what was said at leave, or the code of the refusal.
pub(crate) fn leave(reply: &Result<Response<GoodbyeReply>, Status>) -> String {
    match reply {
        Ok(reply) => reply.get_ref().message.clone(),
        Err(status) => format!("{:?}", status.code()),
    }
}
