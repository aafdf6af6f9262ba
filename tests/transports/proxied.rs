//! axum behind nginx: what the proxy says counts, what the client says does not, and a list without the proxy in it harms
//! nobody's key.

use std::future::IntoFuture;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::ConnectInfo;
use tokio::net::TcpListener;
use tower::layer::layer_fn;
use tower_keep::{RequireHttps, TrustedProxies, mark_plain};

use crate::clients::{CLIENT, curl, http2_that_says_https, send, send_over_tls, until};
use crate::forgeries::assert_refused_alike;
use crate::inner::{Inner, Keys};
use crate::nginx::Nginx;

#[tokio::test]
async fn over_tls_every_version_is_answered_with_hsts_once() {
    let Some(Proxied { nginx, inner, keys }) = Proxied::start().await else { return };
    let header = format!("x-api-key: {}", keys.key);
    let url = format!("https://{}/", nginx.tls);

    for (option, version) in [("--http1.0", "HTTP/1.1"), ("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2")] {
        let answer = curl(&nginx.certificates, &[option, "-H", &header], &url).await;

        assert_eq!((answer.version(), answer.status()), (version, Some(200)), "{answer:?}");
        assert_eq!(answer.field("strict-transport-security"), ["max-age=31536000"], "{answer:?}");
        assert_eq!(answer.body(), "Secure from 127.0.0.1 for 127.0.0.1");
    }
    assert_eq!(inner.seen(), 3);
}

#[tokio::test]
async fn over_tls_the_guard_further_in_decides() {
    let Some(Proxied { nginx, inner, .. }) = Proxied::start().await else { return };

    let without = curl(&nginx.certificates, &[], &format!("https://{}/", nginx.tls)).await;

    assert_eq!(without.status(), Some(401), "{without:?}");
    assert_eq!(without.field("strict-transport-security"), ["max-age=31536000"], "{without:?}");
    assert_eq!(inner.seen(), 0);
}

#[tokio::test]
async fn over_plain_http_every_request_is_refused_in_the_same_bytes() {
    let Some(Proxied { nginx, inner, keys }) = Proxied::start().await else { return };

    let one = assert_refused_alike(nginx.plain, "HTTP/1.1", &keys.key).await;
    let other = assert_refused_alike(nginx.plain, "HTTP/1.0", &keys.key).await;

    assert_eq!(one.but_for_date(), other.but_for_date(), "nginx answers in its own version");
    assert_eq!(one.field("content-type"), ["application/problem+json"]);
    assert_eq!(inner.seen(), 0);
}

#[tokio::test]
async fn over_plain_http_curl_is_refused_in_every_version() {
    let Some(Proxied { nginx, inner, keys }) = Proxied::start().await else { return };
    let key = format!("x-api-key: {}", keys.key);
    let cases = [
        ("--http1.0", nginx.plain, "HTTP/1.1"),
        ("--http1.1", nginx.plain, "HTTP/1.1"),
        ("--http2", nginx.plain, "HTTP/1.1"),
        ("--http2-prior-knowledge", nginx.plain_http2, "HTTP/2"),
    ];

    for (option, address, version) in cases {
        for forged in ["accept: */*", "x-forwarded-proto: https", "forwarded: proto=https"] {
            let options = [option, "-H", &key, "-H", forged];
            let answer = curl(&nginx.certificates, &options, &format!("http://{address}/")).await;

            assert_eq!((answer.version(), answer.status()), (version, Some(403)), "{option}: {answer:?}");
            assert!(answer.field("strict-transport-security").is_empty(), "{answer:?}");
        }
    }
    assert_eq!(inner.seen(), 0);
}

#[tokio::test]
async fn over_plain_http2_a_scheme_of_https_is_refused() {
    let Some(Proxied { nginx, inner, keys }) = Proxied::start().await else { return };

    let (status, _) = http2_that_says_https(nginx.plain_http2, &keys.key).await;

    assert_eq!(status, 403);
    assert_eq!(inner.seen(), 0);
}

#[tokio::test]
async fn the_peer_is_the_client_that_nginx_saw_whatever_the_client_says() {
    let Some(Proxied { nginx, inner, keys }) = Proxied::start().await else { return };
    let cases = [
        "X-Real-IP: 203.0.113.9",
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-For: 203.0.113.9, 127.0.0.1",
        "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 10.0.0.1, 127.0.0.1",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Host: elsewhere.example",
        "Connection: close, X-Forwarded-For, X-Forwarded-Proto",
    ];

    for fields in cases {
        let head = format!("GET / HTTP/1.0\r\nHost: localhost\r\nx-api-key: {}\r\n{fields}\r\n\r\n", keys.key);
        let answer = send_over_tls(nginx.tls, &nginx.certificates, &head).await;

        assert_eq!(answer.status(), Some(200), "{fields}: {answer:?}");
        assert_eq!(answer.body(), format!("Secure from {CLIENT} for localhost"), "{fields}");
    }
    assert_eq!(inner.seen(), cases.len());
}

#[tokio::test]
async fn over_tls_a_field_that_is_passed_on_has_to_agree_with_what_nginx_says() {
    let Some(Proxied { nginx, inner, keys }) = Proxied::start().await else { return };
    let itself = format!("Forwarded: for={CLIENT};proto=https");
    let cases = [
        ("Forwarded: proto=https", 200),
        (itself.as_str(), 200),
        ("Forwarded: proto=http", 403),
        ("Forwarded: for=203.0.113.9;proto=https", 403),
        ("Forwarded: proto=gopher", 403),
        ("Forwarded: proto=\"", 403),
    ];

    for (field, status) in cases {
        let head = format!("GET / HTTP/1.0\r\nHost: localhost\r\nx-api-key: {}\r\n{field}\r\n\r\n", keys.key);
        let answer = send_over_tls(nginx.tls, &nginx.certificates, &head).await;

        assert_eq!(answer.status(), Some(status), "{field}: {answer:?}");
    }
    assert_eq!(inner.seen(), 2);
}

#[tokio::test]
async fn what_nginx_refuses_itself_does_not_arrive() {
    let Some(Proxied { nginx, inner, keys }) = Proxied::start().await else { return };
    let cases = [
        "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost:443",
        "GET / HTTP/1.1",
        "GET / HTTP/1.1\r\nHost: ",
        "GET / HTTP/1.1\r\nHost: https://localhost",
        "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 127.0.0.1\r\n X-Forwarded-Proto: https\r\nbroken",
        "GET / HTTPS/1.1\r\nHost: localhost",
    ];

    for head in cases {
        let head =
            format!("{head}\r\nConnection: close\r\nX-Forwarded-Proto: https\r\nx-api-key: {}\r\n\r\n", keys.key);
        let answer = send(nginx.plain, &head).await;

        assert!(matches!(answer.status(), Some(400..=405)), "{head}\n{answer:?}");
    }
    assert_eq!(inner.seen(), 0);
}

#[tokio::test]
async fn a_proxy_that_does_not_say_over_what_a_request_came_has_all_of_them_refused() {
    let Some(Proxied { nginx, inner, keys }) = Proxied::start().await else { return };
    let header = format!("x-api-key: {}", keys.key);

    for path in ["careless/", "mute/"] {
        let over_tls = curl(&nginx.certificates, &["-H", &header], &format!("https://{}/{path}", nginx.tls)).await;
        let plain = curl(&nginx.certificates, &["-H", &header], &format!("http://{}/{path}", nginx.plain)).await;

        assert_eq!((over_tls.status(), plain.status()), (Some(403), Some(403)), "{path}");
    }
    assert_eq!(inner.seen(), 0);
}

/// This is why a proxy has to set one of the fields itself. One that passes them on has its word misused by its clients,
/// and nothing behind it can tell.
#[tokio::test]
async fn a_proxy_that_passes_on_what_clients_say_is_believed() {
    let Some(Proxied { nginx, inner, keys }) = Proxied::start().await else { return };

    for forged in ["Forwarded: proto=https", "X-Forwarded-Proto: https"] {
        let options = ["-H", forged, "-H", &format!("x-api-key: {}", keys.key)];
        let answer = curl(&nginx.certificates, &options, &format!("http://{}/careless/", nginx.plain)).await;

        assert_eq!(answer.status(), Some(200), "{forged}: {answer:?}");
        assert_eq!(answer.body(), "Secure from 127.0.0.1 for 127.0.0.1");
    }
    assert_eq!(inner.seen(), 2);
}

#[tokio::test]
async fn a_key_that_came_to_nginx_over_plain_http_is_refused_soon_after() {
    let (inner, keys) = (Inner::default(), Keys::new());
    let guard = keys.guard();
    let https = behind("127.0.0.0/8").watch(&guard);
    let app = serve(inner.router(guard).layer(https)).await;
    let Some(nginx) = Nginx::before(app).await else { return };
    let header = format!("x-api-key: {}", keys.key);
    let (certificates, url) = (&nginx.certificates, format!("https://{}/", nginx.tls));
    let before = curl(certificates, &["-H", &header], &url).await;

    let exposing = curl(certificates, &["-H", &header], &format!("http://{}/", nginx.plain)).await;

    assert_eq!((before.status(), exposing.status()), (Some(200), Some(403)));
    until("the key is revoked", async || curl(certificates, &["-H", &header], &url).await.status() == Some(401)).await;
}

#[tokio::test]
async fn a_list_without_the_proxy_in_it_has_no_key_revoked_that_came_through_it() {
    let (inner, keys) = (Inner::default(), Keys::new());
    let customers: Vec<_> = (0..50).map(|_| keys.issue()).collect();
    let told = Arc::new(Mutex::new(Vec::new()));
    let on_exposed = Arc::clone(&told);
    let guard = keys.guard();
    let https = behind("10.0.0.0/8").watch(&guard);
    let https = https.on_exposed(move |principal, done| {
        on_exposed.lock().unwrap().push(format!("{} {}", principal.subject(), done.name()));
    });
    let app = serve(inner.router(guard.clone()).layer(https).layer(layer_fn(mark_plain))).await;
    let Some(nginx) = Nginx::before(app).await else { return };

    let head = |key: &str| format!("GET / HTTP/1.0\r\nHost: localhost\r\nx-api-key: {key}\r\n\r\n");
    for key in &customers {
        let over_tls = send_over_tls(nginx.tls, &nginx.certificates, &head(key)).await;
        let plain = send(nginx.plain, &head(key)).await;

        assert_eq!((over_tls.status(), plain.status()), (Some(403), Some(403)));
    }
    // A client that comes to the server itself shows that the watch is awake, and has seen the others.
    let direct = send(app, &head(&keys.key)).await;
    until("the last key is revoked", async || !told.lock().unwrap().is_empty()).await;

    assert_eq!(direct.status(), Some(403));
    assert_eq!(inner.seen(), 0);
    assert_eq!(*told.lock().unwrap(), ["billing revoked"]);
    for key in &customers {
        assert!(keys.is_good(key).await);
    }
    assert!(!keys.is_good(&keys.key).await);
}

/// An application behind nginx.
struct Proxied {
    nginx: Nginx,
    inner: Inner,
    keys: Keys,
}

impl Proxied {
    /// Starts both; nothing where there is no nginx.
    async fn start() -> Option<Self> {
        let (inner, keys) = (Inner::default(), Keys::new());
        let app = serve(inner.router(keys.guard()).layer(behind("127.0.0.0/8"))).await;
        Some(Self { nginx: Nginx::before(app).await?, inner, keys })
    }
}

fn behind(proxies: &str) -> RequireHttps {
    let https =
        RequireHttps::new().behind(TrustedProxies::new([proxies]).unwrap()).peer_from::<ConnectInfo<SocketAddr>>();
    https.check().unwrap();
    https
}

/// Serves an application until the test ends.
async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).into_future());
    address
}
