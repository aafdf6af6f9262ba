//! hyper, with connections accepted by hand and a mark around the service of each.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::{Layer, Service, service_fn};
use tower_keep::{RequireHttps, mark_plain, mark_secure};

use crate::certificates::Certificates;
use crate::clients::{curl, http2_that_says_https};
use crate::forgeries::assert_refused_alike;
use crate::inner::{Inner, Keys};

#[tokio::test]
async fn over_tls_what_is_marked_secure_is_served_in_every_version() {
    let (certificates, inner, keys) = (Certificates::new(), Inner::default(), Keys::new());
    let Server { address, .. } = serve(mark_secure(app(&inner, &keys)), Some(certificates.acceptor())).await;
    let key = format!("x-api-key: {}", keys.key);

    for (option, version) in [("--http1.0", "HTTP/1.0"), ("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2")] {
        let answer = curl(&certificates, &[option, "-H", &key], &format!("https://{address}/")).await;

        assert_eq!((answer.version(), answer.status()), (version, Some(200)), "{answer:?}");
        assert_eq!(answer.field("strict-transport-security"), ["max-age=31536000"], "{answer:?}");
        assert_eq!(answer.body(), format!("Secure from nobody for {address}"));
    }
    assert_eq!(inner.seen(), 3);
}

#[tokio::test]
async fn what_is_marked_plain_is_refused_in_every_version() {
    let (inner, keys) = (Inner::default(), Keys::new());
    let server = serve(mark_plain(app(&inner, &keys)), None).await;

    assert_refuses_all(&server, &keys).await;

    assert_eq!(inner.seen(), 0);
}

#[tokio::test]
async fn what_is_not_marked_is_refused_in_every_version() {
    let (inner, keys) = (Inner::default(), Keys::new());
    let server = serve(app(&inner, &keys), None).await;

    assert_refuses_all(&server, &keys).await;

    assert_eq!(inner.seen(), 0);
}

#[tokio::test]
async fn what_is_not_marked_is_refused_over_tls_as_well() {
    let (certificates, inner, keys) = (Certificates::new(), Inner::default(), Keys::new());
    let Server { address, .. } = serve(app(&inner, &keys), Some(certificates.acceptor())).await;
    let key = format!("x-api-key: {}", keys.key);

    for option in ["--http1.1", "--http2"] {
        let answer = curl(&certificates, &[option, "-H", &key], &format!("https://{address}/")).await;

        assert_eq!(answer.status(), Some(403), "{answer:?}");
        assert!(answer.field("strict-transport-security").is_empty(), "{answer:?}");
    }
    assert_eq!(inner.seen(), 0);
}

/// Sends all that is forged, and sees that it was refused, and that the server saw what the client wrote.
async fn assert_refuses_all(server: &Server, keys: &Keys) {
    let http1 = assert_refused_alike(server.address, "HTTP/1.1", &keys.key).await;
    let http1_0 = assert_refused_alike(server.address, "HTTP/1.0", &keys.key).await;
    let http2 = http2_that_says_https(server.address, &keys.key).await;

    assert_eq!((http1.version(), http1_0.version()), ("HTTP/1.1", "HTTP/1.0"));
    assert_eq!(http1.body(), http1_0.body());
    assert_eq!(http2, (403, http1.body().to_owned()));
    let saw = server.saw.lock().unwrap();
    for version in ["HTTP/1.0", "HTTP/1.1", "HTTP/2.0"] {
        assert!(saw.contains(&format!("{version} https://localhost/")), "{version}");
    }
}

type HttpResult = Result<Response<Full<Bytes>>, Infallible>;

fn app(
    inner: &Inner,
    keys: &Keys,
) -> impl Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    let inner = inner.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        std::future::ready(HttpResult::Ok(inner.answer(request.extensions())))
    });
    RequireHttps::new().layer(keys.guard().layer(service))
}

/// A server until the test ends.
struct Server {
    address: SocketAddr,
    /// The version and target of each request.
    saw: Arc<Mutex<Vec<String>>>,
}

/// Serves over TLS if there is something that does the handshakes.
async fn serve<S>(service: S, tls: Option<TlsAcceptor>) -> Server
where
    S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>,
    S: Clone + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (address, saw) = (listener.local_addr().unwrap(), Arc::default());
    let look = Arc::clone(&saw);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (service, tls, look) = (service.clone(), tls.clone(), Arc::clone(&look));
            tokio::spawn(async move {
                match tls {
                    Some(tls) => converse(tls.accept(stream).await.unwrap(), service, look).await,
                    None => converse(stream, service, look).await,
                }
            });
        }
    });
    Server { address, saw }
}

/// Serves one connection.
async fn converse<S>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: S,
    look: Arc<Mutex<Vec<String>>>,
) where
    S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>,
    S: Clone + Send + 'static,
{
    let service = tower::util::MapRequest::new(service, move |request: Request<Incoming>| {
        look.lock().unwrap().push(format!("{:?} {}", request.version(), request.uri()));
        request
    });
    let server = auto::Builder::new(TokioExecutor::new());
    // What is wrong with a connection shows in what its client sees.
    let _ = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await;
}
