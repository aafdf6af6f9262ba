//! axum-server: HTTPS and plain HTTP side by side, one application behind both.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use axum_server::tls::TlsInfo;
use axum_server::tls_rustls::RustlsConfig;
use tokio::net::TcpStream;
use tower::layer::layer_fn;
use tower_keep::{RequireHttps, mark_plain};

use crate::certificates::Certificates;
use crate::clients::{curl, http2_that_says_https, send, send_over_tls, soon, until};
use crate::forgeries::{assert_refused_alike, forgeries};
use crate::inner::{Inner, Keys};

#[tokio::test]
async fn over_tls_every_version_is_answered_with_hsts_once() {
    let Both { certificates, tls, inner, keys, .. } = Both::start().await;
    let key = format!("x-api-key: {}", keys.key);

    for (option, version) in [("--http1.0", "HTTP/1.0"), ("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2")] {
        let answer = curl(&certificates, &[option, "-H", &key], &format!("https://{tls}/")).await;

        assert_eq!((answer.version(), answer.status()), (version, Some(200)), "{answer:?}");
        assert_eq!(answer.field("strict-transport-security"), ["max-age=31536000"], "{answer:?}");
        assert_eq!(answer.body(), format!("Secure from nobody for {tls}"));
    }
    assert_eq!(inner.seen(), 3);
}

#[tokio::test]
async fn over_plain_http_every_version_is_refused_in_the_same_bytes() {
    let Both { plain, inner, keys, .. } = Both::start().await;

    let http1 = assert_refused_alike(plain, "HTTP/1.1", &keys.key).await;
    let http1_0 = assert_refused_alike(plain, "HTTP/1.0", &keys.key).await;
    let http2 = http2_that_says_https(plain, &keys.key).await;

    assert_eq!((http1.version(), http1_0.version()), ("HTTP/1.1", "HTTP/1.0"));
    assert_eq!(http1.body(), http1_0.body());
    assert_eq!(http2, (403, http1.body().to_owned()));
    assert_eq!(inner.seen(), 0);
}

#[tokio::test]
async fn over_plain_http_curl_is_refused_in_every_version() {
    let Both { certificates, plain, inner, keys, .. } = Both::start().await;
    let key = format!("x-api-key: {}", keys.key);
    let cases = [
        ("--http1.0", "HTTP/1.0"),
        ("--http1.1", "HTTP/1.1"),
        ("--http2", "HTTP/1.1"),
        ("--http2-prior-knowledge", "HTTP/2"),
    ];

    for (option, version) in cases {
        let answer = curl(&certificates, &[option, "-H", &key], &format!("http://{plain}/")).await;

        assert_eq!((answer.version(), answer.status()), (version, Some(403)), "{option}: {answer:?}");
        assert!(answer.field("strict-transport-security").is_empty(), "{answer:?}");
    }
    assert_eq!(inner.seen(), 0);
}

#[tokio::test]
async fn plain_http_does_not_arrive_where_tls_is_spoken() {
    let Both { tls, inner, keys, .. } = Both::start().await;

    for forgery in forgeries("HTTP/1.1", &keys.key) {
        let answer = send(tls, &forgery).await;

        assert_eq!(answer.status(), None, "{forgery}\n{answer:?}");
    }
    assert_eq!(inner.seen(), 0);
}

#[tokio::test]
async fn tls_does_not_arrive_where_plain_http_is_spoken() {
    let Both { certificates, plain, inner, .. } = Both::start().await;

    let stream = TcpStream::connect(plain).await.unwrap();
    let handshake = certificates.connector().connect("localhost".try_into().unwrap(), stream);

    assert!(soon("a handshake", handshake).await.is_err());
    assert_eq!(inner.seen(), 0);
}

#[tokio::test]
async fn a_key_that_came_over_plain_http_is_refused_over_https_soon_after_and_no_other_is() {
    let Both { certificates, tls, plain, keys, .. } = Both::start().await;
    let careful = keys.issue();
    let head = |key: &str| format!("GET / HTTP/1.0\r\nHost: localhost\r\nx-api-key: {key}\r\n\r\n");
    let over_tls = async |key: &str| send_over_tls(tls, &certificates, &head(key)).await.status();
    assert_eq!((over_tls(&keys.key).await, over_tls(&careful).await), (Some(200), Some(200)));

    let exposing = send(plain, &head(&keys.key)).await;

    assert_eq!(exposing.status(), Some(403));
    until("the key is revoked", async || over_tls(&keys.key).await == Some(401)).await;
    assert_eq!(over_tls(&careful).await, Some(200));
}

/// An application with two ways in.
struct Both {
    certificates: Certificates,
    tls: SocketAddr,
    plain: SocketAddr,
    inner: Inner,
    keys: Keys,
}

impl Both {
    async fn start() -> Self {
        let (certificates, inner, keys) = (Certificates::new(), Inner::default(), Keys::new());
        let guard = keys.guard();
        let https = RequireHttps::new().tls_marker::<Arc<TlsInfo>>().watch(&guard);
        let app = inner.router(guard).layer(https);
        let pem = (certificates.server.clone(), certificates.key.clone());
        let config = RustlsConfig::from_pem(pem.0.into(), pem.1.into()).await.unwrap();

        let (listener, tls) = listen();
        let server = axum_server::from_tcp_rustls(listener, config).unwrap();
        tokio::spawn(server.serve(app.clone().into_make_service()));
        let (listener, plain) = listen();
        let server = axum_server::from_tcp(listener).unwrap();
        tokio::spawn(server.serve(app.layer(layer_fn(mark_plain)).into_make_service()));
        Self { certificates, tls, plain, inner, keys }
    }
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}
