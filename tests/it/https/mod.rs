//! Nothing over plain HTTP: how a request came in, what is refused, and what becomes of credentials that were sent.

mod exempt;
mod exposure;
mod forwarding;
mod hosts;
mod hsts;
mod layer;
mod redirect;
mod transport;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use tower::{Layer, Service, ServiceExt};
use tower_keep::{Origin, RequireHttps, Transport, TrustedProxies, mark_plain, mark_secure};

use crate::support::{Inner, get, with};

/// What a TLS server leaves behind.
#[derive(Clone, Copy, Debug)]
struct Tls;

/// What a server leaves behind that knows who connects, as axum's `ConnectInfo` does.
#[derive(Clone, Copy, Debug)]
struct Peer(SocketAddr);

impl std::ops::Deref for Peer {
    type Target = SocketAddr;

    fn deref(&self) -> &SocketAddr {
        &self.0
    }
}

/// Makes a request come from an address.
fn from(mut request: Request<String>, peer: &str) -> Request<String> {
    request.extensions_mut().insert(Peer(SocketAddr::new(peer.parse().unwrap(), 4711)));
    request
}

/// Makes a request come from nobody knows where. Any other comes from somebody who is no proxy.
fn from_nowhere(mut request: Request<String>) -> Request<String> {
    request.extensions_mut().insert(Nowhere);
    request
}

#[derive(Clone, Copy, Debug)]
struct Nowhere;

fn over_tls(mut request: Request<String>) -> Request<String> {
    request.extensions_mut().insert(Tls);
    request
}

/// A layer that knows TLS by its marker, and believes the proxies at 10.0.0.0/8, one in a row.
fn layer() -> RequireHttps {
    behind(TrustedProxies::new(["10.0.0.0/8"]).unwrap())
}

fn behind(proxies: TrustedProxies) -> RequireHttps {
    RequireHttps::new().behind(proxies).peer_from::<Peer>().tls_marker::<Tls>()
}

/// A request through the proxy at 10.0.0.1, with some fields.
fn proxied(fields: &[(&str, &str)]) -> Request<String> {
    fields.iter().fold(from(get("/"), "10.0.0.1"), |request, (name, value)| with(request, name, value))
}

/// The connection that a request comes over, as its server marks it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Listener {
    Plain,
    Secure,
    Unmarked,
}

/// Sends a request over a listener, and returns the answer and the origin that the inner service saw, if it was called.
async fn send_over(
    layer: &RequireHttps,
    listener: Listener,
    request: Request<String>,
) -> (Response<String>, Option<Origin>) {
    let inner = Inner::new();
    let service = layer.layer(inner.clone());
    let response = match listener {
        Listener::Plain => call(mark_plain(service), request).await,
        Listener::Secure => call(mark_secure(service), request).await,
        Listener::Unmarked => call(service, request).await,
    };
    let origin = inner.heads().pop().map(|head| head.extensions.get::<Origin>().unwrap().clone());
    (response, origin)
}

async fn call<S>(service: S, request: Request<String>) -> Response<String>
where
    S: Service<Request<String>, Response = Response<String>, Error = Infallible>,
{
    let known = request.extensions().get::<Peer>().is_some() || request.extensions().get::<Nowhere>().is_some();
    let request = if known { request } else { from(request, "192.0.2.1") };
    service.oneshot(request).await.unwrap()
}

/// Returns what a future has ready at the first poll.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("there is nothing to wait for"),
    }
}

/// Finds out the origin of a request, also where it is not secure.
async fn origin_over(layer: RequireHttps, listener: Listener, request: Request<String>) -> Origin {
    let path = request.uri().path().to_owned();
    let layer = layer.exempt(&path).unwrap();
    send_over(&layer, listener, request).await.1.expect("the path is exempt")
}

/// Tells the transport and the reason of a request.
async fn told(layer: RequireHttps, listener: Listener, request: Request<String>) -> (Transport, &'static str) {
    let origin = origin_over(layer, listener, request).await;
    (origin.transport(), origin.reason())
}
