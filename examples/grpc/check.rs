//! What `--check` calls on the running server, over TLS, and what it has to answer.

use std::process::ExitCode;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, TE};
use http_body_util::{BodyExt, Full};
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};
use tonic::{Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_prost::ProstCodec;
use tower::ServiceExt;
use tower_keep::NewKey;

use super::Server;
use super::calls::{endpoint, goodbye, greeting, hello, leave, refusal, with};
use super::common::{Options, Result, Table, failure};
use super::hello::{HelloReply, HelloRequest};

const API_KEY: &str = "x-api-key";

pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    let server = Server::start(options).await?;
    println!("checking https://{}\n", server.address);
    let mut check = Check::new(&server).await?;
    check.trust().await?;
    check.keys().await?;
    check.scopes().await?;
    check.wire().await?;
    check.health().await;
    let Check { table, channel, .. } = check;
    // The server waits for connections that are open.
    drop(channel);
    let verdict = table.finish();
    server.stop().await?;
    // Nobody has a use for the certificate any more.
    std::fs::remove_file(&options.cert_file)?;
    Ok(verdict)
}

struct Check<'a> {
    server: &'a Server,
    channel: Channel,
    /// A key of alice that has `greeter:hello`.
    key: String,
    table: Table,
}

impl<'a> Check<'a> {
    async fn new(server: &'a Server) -> Result<Self> {
        let ca = Certificate::from_pem(std::fs::read(&server.ca_file)?);
        let channel = endpoint(server.address, ClientTlsConfig::new().ca_certificate(ca))?.connect().await?;
        let issued = server.keys.issue(NewKey::for_owner("alice").scopes(["greeter:hello"]))?;
        Ok(Self { server, channel, key: issued.key().expose().to_owned(), table: Table::default() })
    }

    async fn trust(&mut self) -> Result<()> {
        let distrusting = endpoint(self.server.address, ClientTlsConfig::new())?.connect().await;

        let actual = match distrusting {
            Ok(_) => "connected".to_owned(),
            Err(error) => failure(&error),
        };
        self.table.row("client that does not trust the CA", "certificate refused", actual);
        Ok(())
    }

    async fn keys(&mut self) -> Result<()> {
        let unknown = self.server.keys.rules().format().generate()?;
        let revoked = self.server.keys.issue(NewKey::for_owner("bob").scopes(["greeter:hello"]))?;
        let before = self.hello(&[(API_KEY, revoked.key().expose())]).await;
        self.server.keys.revoke(revoked.id())?;
        let key = self.key.as_str();
        let bearer = format!("Bearer {key}");

        let hello = "hello, world (alice)";
        let metadata = self.hello(&[(API_KEY, key)]).await;
        let token = self.hello(&[("authorization", &bearer)]).await;
        self.table.row("the key as metadata", hello, greeting(&metadata));
        self.table.row("the key as a token", hello, greeting(&token));

        let none = self.hello(&[]).await;
        let unknown = self.hello(&[(API_KEY, unknown.expose())]).await;
        let after = self.hello(&[(API_KEY, revoked.key().expose())]).await;
        let twice = self.hello(&[(API_KEY, key), ("authorization", &bearer)]).await;
        let missing = r#"Unauthenticated ApiKey realm="api" | Bearer realm="api""#;
        let invalid = r#"Unauthenticated ApiKey realm="api", error="invalid_token" | Bearer realm="api""#;
        self.table.row("no key", missing, refusal(&none));
        self.table.row("unknown key", invalid, refusal(&unknown));
        self.table.row("a key that is about to be revoked", "hello, world (bob)", greeting(&before));
        self.table.row("the key, revoked", invalid, refusal(&after));
        self.table.row("two keys", "Unauthenticated", greeting(&twice));
        Ok(())
    }

    async fn scopes(&mut self) -> Result<()> {
        let both = self.server.keys.issue(NewKey::for_owner("carol").scopes(["greeter:hello", "greeter:goodbye"]))?;

        let lacking = goodbye(&self.channel, &[(API_KEY, &self.key)]).await;
        let holding = goodbye(&self.channel, &[(API_KEY, both.key().expose())]).await;
        let unlisted = self.unlisted(&[(API_KEY, both.key().expose())]).await;
        let unlisted_no_key = self.unlisted(&[]).await;

        self.table.row("a method whose scope the key lacks", "PermissionDenied", leave(&lacking));
        self.table.row("the same with a key that has it", "goodbye, world", leave(&holding));
        self.table.row("a method that is not listed", "PermissionDenied", greeting(&unlisted));
        self.table.row("a method that is not listed, no key", "Unauthenticated", greeting(&unlisted_no_key));
        Ok(())
    }

    /// Looks at the replies below the client: a refusal is one block of header fields, and that ends the stream.
    async fn wire(&mut self) -> Result<()> {
        let refused = self.raw(&[]).await?;
        let served = self.raw(&[(API_KEY, &self.key)]).await?;

        let refused_expected = "200 application/grpc, status 16 in the header, no message, no trailers";
        self.table.row("no key, as HTTP", refused_expected, refused);
        let served_expected = "200 application/grpc, status 0 in the trailers, a message";
        self.table.row("the key, as HTTP", served_expected, served);
        Ok(())
    }

    async fn health(&mut self) {
        for (service, name) in [("", "health of the server, no key"), ("hello.v1.Greeter", "health of the greeter")] {
            let request = HealthCheckRequest { service: service.to_owned() };
            let reply = HealthClient::new(self.channel.clone()).check(request).await;
            let actual = match reply.as_ref().map(Response::get_ref) {
                Ok(HealthCheckResponse { status }) if *status == ServingStatus::Serving as i32 => "SERVING".to_owned(),
                other => format!("{other:?}"),
            };
            self.table.row(name, "SERVING", actual);
        }
    }

    async fn hello(&self, metadata: &[(&'static str, &str)]) -> Result<Response<HelloReply>, Status> {
        hello(&self.channel, metadata).await
    }

    /// Calls a method that the server does not have.
    async fn unlisted(&self, metadata: &[(&'static str, &str)]) -> Result<Response<HelloReply>, Status> {
        let request = with(HelloRequest::default(), metadata)?;
        let path = PathAndQuery::from_static("/hello.v1.Greeter/SayNothing");
        let mut client = Grpc::new(self.channel.clone());
        client.ready().await.map_err(|error| Status::from_error(error.into()))?;
        client.unary(request, path, ProstCodec::default()).await
    }

    /// Says hello by hand, and describes the reply.
    async fn raw(&self, metadata: &[(&'static str, &str)]) -> Result<String> {
        let request = http::Request::post("/hello.v1.Greeter/SayHello")
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers");
        let request = metadata.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        // A message of no bytes: every field has its default.
        let request = request.body(Body::new(Full::new(Bytes::from_static(&[0; 5]))))?;
        let (head, body) = self.channel.clone().oneshot(request).await?.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned();
        let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("no content type");
        let code =
            |fields: &http::HeaderMap| fields.get("grpc-status").and_then(|code| code.to_str().ok()?.parse().ok());
        let status: String = match (code(&head.headers), trailers.as_ref().and_then(code)) {
            (Some(code), None::<u8>) => format!("status {code} in the header"),
            (None, Some(code)) => format!("status {code} in the trailers"),
            (in_header, in_trailers) => format!("status {in_header:?} in the header, {in_trailers:?} in the trailers"),
        };
        let message = if body.to_bytes().is_empty() { "no message" } else { "a message" };
        let trailers = if trailers.is_none() { ", no trailers" } else { "" };
        Ok(format!("{} {kind}, {status}, {message}{trailers}", head.status.as_u16()))
    }
}
