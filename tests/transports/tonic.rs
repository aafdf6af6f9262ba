//! tonic: gRPC over TLS, and without it.

use std::net::{Ipv4Addr, SocketAddr};

use http::Uri;
use tokio::net::TcpListener;
use tonic::transport::server::{TcpConnectInfo, TcpIncoming, TlsConnectInfo};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::Layer;
use tower_keep::RequireHttps;

use crate::certificates::Certificates;
use crate::clients::{PATIENCE, soon};
use crate::hello::greeter_client::GreeterClient;
use crate::hello::greeter_server::{Greeter, GreeterServer};
use crate::hello::{GoodbyeReply, GoodbyeRequest, HelloReply, HelloRequest};
use crate::inner::{Inner, Keys};

#[tokio::test]
async fn a_call_over_tls_reaches_the_service() {
    let (certificates, inner, keys) = (Certificates::new(), Inner::default(), Keys::new());
    let address = serve(&inner, &keys, Some(&certificates)).await;
    let ca = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&certificates.ca));
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap().tls_config(ca).unwrap();
    let channel = soon("connect", endpoint.timeout(PATIENCE).connect()).await.unwrap();

    let hello = hello(&channel, Some(&keys.key)).await.unwrap();
    let without = hello_code(&channel, None).await;

    assert_eq!(hello.get_ref().message, format!("Secure from nobody for {address}"));
    let hsts: Vec<_> = hello.metadata().get_all("strict-transport-security").iter().collect();
    assert_eq!(hsts, ["max-age=31536000"]);
    assert_eq!(without, Some(Code::Unauthenticated));
    assert_eq!(health_code(&channel).await, None);
    assert_eq!(inner.seen(), 1);
}

#[tokio::test]
async fn without_tls_permission_is_denied_to_every_call() {
    let (inner, keys) = (Inner::default(), Keys::new());
    let address = serve(&inner, &keys, None).await;
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap().timeout(PATIENCE);
    // What the client says of itself, `:scheme` included.
    let origins = [format!("http://{address}"), format!("https://{address}"), "https://localhost:443".to_owned()];

    for origin in origins {
        let channel = endpoint.clone().origin(origin.parse::<Uri>().unwrap());
        let channel = soon("connect", channel.connect()).await.unwrap();

        for key in [Some(keys.key.as_str()), None] {
            assert_eq!(hello_code(&channel, key).await, Some(Code::PermissionDenied), "{origin}");
            assert_eq!(goodbye_code(&channel, key).await, Some(Code::PermissionDenied), "{origin}");
        }
        assert_eq!(health_code(&channel).await, Some(Code::PermissionDenied), "{origin}");
    }
    assert_eq!(inner.seen(), 0);
}

/// Serves the greeter, guarded, and the health service beside it, open.
async fn serve(inner: &Inner, keys: &Keys, certificates: Option<&Certificates>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_, health) = tonic_health::server::health_reporter();
    let mut server = Server::builder();
    if let Some(Certificates { server: certificate, key, .. }) = certificates {
        server = server.tls_config(ServerTlsConfig::new().identity(Identity::from_pem(certificate, key))).unwrap();
    }
    let server = server
        .layer(RequireHttps::new().tls_marker::<TlsConnectInfo<TcpConnectInfo>>())
        .add_service(keys.guard().layer(GreeterServer::new(inner.clone())))
        .add_service(health);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    address
}

#[tonic::async_trait]
impl Greeter for Inner {
    async fn say_hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let mut response =
            Response::new(HelloReply { message: self.tell(request.extensions()), subject: String::new() });
        response.metadata_mut().insert("strict-transport-security", "max-age=1".parse().unwrap());
        Ok(response)
    }

    async fn say_goodbye(&self, request: Request<GoodbyeRequest>) -> Result<Response<GoodbyeReply>, Status> {
        Ok(Response::new(GoodbyeReply { message: self.tell(request.extensions()) }))
    }
}

async fn hello(channel: &Channel, key: Option<&str>) -> Result<Response<HelloReply>, Status> {
    GreeterClient::new(channel.clone()).say_hello(with(HelloRequest::default(), key)).await
}

async fn hello_code(channel: &Channel, key: Option<&str>) -> Option<Code> {
    hello(channel, key).await.err().map(|status| status.code())
}

async fn goodbye_code(channel: &Channel, key: Option<&str>) -> Option<Code> {
    let said = GreeterClient::new(channel.clone()).say_goodbye(with(GoodbyeRequest::default(), key)).await;
    said.err().map(|status| status.code())
}

async fn health_code(channel: &Channel) -> Option<Code> {
    let checked = HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await;
    checked.err().map(|status| status.code())
}

fn with<T>(message: T, key: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(key) = key {
        request.metadata_mut().insert("x-api-key", key.parse().unwrap());
    }
    request
}
