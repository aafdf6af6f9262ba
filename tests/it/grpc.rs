//! tonic: the whole server, one service of it, and statuses, over HTTP/2 on loopback.

use std::time::Duration;

use http::StatusCode;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tower::{Layer, ServiceExt};
use tower_keep::{ApiKeyLayer, Auth, Need, Principal, Rejection, RequireScopes};

use crate::support::{store, values};

const CHECK: &str = "/grpc.health.v1.Health/Check";

/// A health service that asks who is there.
struct Guarded;

#[tonic::async_trait]
impl Health for Guarded {
    type WatchStream = streams::Never;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<tonic_health::pb::HealthCheckResponse>, Status> {
        if request.get_ref().service == "refuse" {
            return Err(Rejection::limited(Duration::from_secs(7)).into());
        }
        let who = request.extensions().get::<Principal>().ok_or(Status::internal("no principal"))?;
        assert!(request.metadata().get("x-api-key").is_none(), "the key reached the handler");
        let mut response = tonic::Response::new(tonic_health::pb::HealthCheckResponse { status: 1 });
        response.metadata_mut().insert("who", who.subject().parse().unwrap());
        Ok(response)
    }

    async fn watch(&self, _request: Request<HealthCheckRequest>) -> Result<tonic::Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("watch"))
    }
}

mod streams {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// A stream that is never made.
    pub enum Never {}

    impl tokio_stream::Stream for Never {
        type Item = Result<tonic_health::pb::HealthCheckResponse, tonic::Status>;

        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            match *self.get_mut() {}
        }
    }
}

async fn serve(
    router: tonic::transport::server::Router<
        impl Layer<
            tonic::service::Routes,
            Service: tower::Service<
                http::Request<Body>,
                Response = http::Response<Body>,
                Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + Sync + 'static,
                Future: Send,
            > + Clone
                         + Send
                         + 'static,
        > + Send
        + 'static,
    >,
) -> (Channel, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        router.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
    });
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    (channel, server)
}

async fn check(channel: &Channel, key: Option<&str>, service: &str) -> Result<String, Status> {
    let mut request = Request::new(HealthCheckRequest { service: service.to_owned() });
    if let Some(key) = key {
        request.metadata_mut().insert("x-api-key", key.parse().unwrap());
    }
    request.set_timeout(Duration::from_secs(10));
    let response = HealthClient::new(channel.clone()).check(request).await?;
    Ok(response.metadata().get("who").map(|who| who.to_str().unwrap().to_owned()).unwrap_or_default())
}

#[tokio::test]
async fn one_service_is_guarded_by_name() {
    let (keys, issued) = store();
    let guarded = ApiKeyLayer::new(keys).layer(HealthServer::new(Guarded));
    let (channel, server) = serve(Server::builder().add_service(guarded)).await;

    assert_eq!(check(&channel, Some(issued.key().expose()), "").await.unwrap(), "billing");
    let missing = check(&channel, None, "").await.unwrap_err();
    assert_eq!(missing.code(), Code::Unauthenticated);
    assert_eq!(missing.metadata().get("www-authenticate").unwrap(), r#"ApiKey realm="api""#);
    let wrong = check(&channel, Some("junk"), "").await.unwrap_err();
    assert_eq!(wrong.code(), Code::Unauthenticated);
    assert_eq!(wrong.message(), "the credential is not valid");
    assert_eq!(wrong.metadata().get("www-authenticate").unwrap(), r#"ApiKey realm="api", error="invalid_token""#);
    server.abort();
}

#[tokio::test]
async fn a_whole_server_is_guarded_by_its_layer() {
    let (keys, issued) = store();
    let router = Server::builder().layer(ApiKeyLayer::new(keys)).add_service(HealthServer::new(Guarded));
    let (channel, server) = serve(router).await;

    assert_eq!(check(&channel, Some(issued.key().expose()), "").await.unwrap(), "billing");
    assert_eq!(check(&channel, None, "").await.unwrap_err().code(), Code::Unauthenticated);
    server.abort();
}

#[tokio::test]
async fn methods_need_scopes_and_unlisted_ones_are_refused() {
    let (keys, issued) = store();
    for (need, expected) in [
        (vec![(CHECK, Need::all(["read"]))], None),
        (vec![(CHECK, Need::all(["write"]))], Some("the credential lacks a scope that this request needs")),
        (vec![("/other.Service/Check", Need::principal())], Some("the credential does not allow this request")),
    ] {
        let scopes = RequireScopes::by_method(need);
        let guarded = ApiKeyLayer::new(keys.clone()).layer(scopes.layer(HealthServer::new(Guarded)));
        let (channel, server) = serve(Server::builder().add_service(guarded)).await;

        let outcome = check(&channel, Some(issued.key().expose()), "").await;

        match (outcome, expected) {
            (Ok(who), None) => assert_eq!(who, "billing"),
            (Err(status), Some(text)) => {
                assert_eq!((status.code(), status.message()), (Code::PermissionDenied, text));
            }
            (outcome, _) => panic!("{outcome:?}"),
        }
        server.abort();
    }
}

#[tokio::test]
async fn a_handler_may_refuse_with_a_rejection_as_a_status() {
    let (keys, issued) = store();
    let guarded = ApiKeyLayer::new(keys).layer(HealthServer::new(Guarded));
    let (channel, server) = serve(Server::builder().add_service(guarded)).await;

    let status = check(&channel, Some(issued.key().expose()), "refuse").await.unwrap_err();

    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.metadata().get("retry-after").unwrap(), "7");
    server.abort();
}

#[tokio::test]
async fn a_refusal_is_trailers_only() {
    let (keys, _) = store();
    let service = ApiKeyLayer::new(keys).layer(HealthServer::new(Guarded));
    let request = http::Request::post(CHECK).header("content-type", "application/grpc").body(Body::empty()).unwrap();

    let response = service.oneshot(request).await.unwrap();

    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(values(response.headers(), "grpc-status"), ["16"]);
    assert_eq!(values(response.headers(), "grpc-message"), ["a credential is required"]);
    assert!(http_body::Body::is_end_stream(response.body()), "a frame would follow the header");
}

#[tokio::test]
async fn grpc_web_is_answered_as_http() {
    let (keys, _) = store();
    let service = ApiKeyLayer::new(keys).layer(HealthServer::new(Guarded));
    let web =
        http::Request::post(CHECK).header("content-type", "application/grpc-web+proto").body(Body::empty()).unwrap();

    let response = service.oneshot(web).await.unwrap();

    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(!response.headers().contains_key("grpc-status"));
}

#[test]
fn a_guarded_service_keeps_its_name() {
    fn name<S: NamedService>(_: &S) -> &'static str {
        S::NAME
    }
    let health = || HealthServer::new(Guarded);
    let guarded: Auth<_, _> = ApiKeyLayer::new(store().0).layer(health());
    assert_eq!(name(&guarded), name(&health()));
    assert_eq!(name(&RequireScopes::all(["a"]).layer(health())), name(&health()));
}

#[test]
fn every_cause_has_its_code() {
    let cases = [
        (Rejection::missing(), Code::Unauthenticated),
        (Rejection::malformed("x"), Code::Unauthenticated),
        (Rejection::invalid("x"), Code::Unauthenticated),
        (Rejection::forbidden("x"), Code::PermissionDenied),
        (Rejection::insecure(), Code::PermissionDenied),
        (Rejection::limited(Duration::ZERO), Code::ResourceExhausted),
        (Rejection::unavailable("x", "connection to 10.0.0.7 refused"), Code::Unavailable),
        (Rejection::misconfigured("x", "secret detail"), Code::Internal),
    ];
    for (rejection, code) in cases {
        let text = rejection.cause().text();
        let status = Status::from(rejection);
        assert_eq!((status.code(), status.message()), (code, text));
    }
}
