//! What the tests share: requests, services that tell what they saw, a clock, schemes and stores of their own.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::request::Parts;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode};
use tower::{Layer, Service, ServiceExt};
use tower_keep::https::RequireHttpsService;
use tower_keep::origin::Marked;
use tower_keep::{
    Admission, Answer, Challenge, Clock, Found, IssuedKey, KeyFormat, KeyHasher, KeyRules, KeyStore, Lookup,
    MemoryStore, NewKey, Principal, Rejection, RequireHttps, Scheme, mark_secure,
};

/// 2026-01-01.
pub const START: u64 = 1_767_225_600;

/// A clock that stands still until it is told to go on.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<AtomicU64>);

impl TestClock {
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(START)))
    }

    pub fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        at(self.0.load(Ordering::Relaxed))
    }
}

pub fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

pub fn rules(clock: &TestClock) -> KeyRules {
    KeyRules::new(KeyFormat::new("test").unwrap(), KeyHasher::peppered("p1", [7; 32]).unwrap())
        .with_clock(clock.clone())
}

/// A store with one key of `billing`, which may `read`.
pub fn store() -> (MemoryStore, IssuedKey) {
    let keys = MemoryStore::with(rules(&TestClock::new()));
    let issued = keys.issue(NewKey::for_owner("billing").scopes(["read"])).unwrap();
    (keys, issued)
}

pub fn get(path: &str) -> Request<String> {
    Request::get(path).body(String::new()).unwrap()
}

pub fn with(mut request: Request<String>, name: &str, value: &str) -> Request<String> {
    let name: HeaderName = name.parse().unwrap();
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

/// Makes a request one of a gRPC caller.
pub fn as_grpc(mut request: Request<String>) -> Request<String> {
    *request.method_mut() = http::Method::POST;
    with(request, "content-type", "application/grpc")
}

pub fn with_key(issued: &IssuedKey) -> Request<String> {
    with(get("/"), "x-api-key", issued.key().expose())
}

/// An inner service that remembers the heads it saw, and answers with `respond`.
#[derive(Clone)]
pub struct Inner {
    pub seen: Arc<Mutex<Vec<Parts>>>,
    respond: fn(&Parts) -> Response<String>,
}

impl Inner {
    pub fn new() -> Self {
        Self::answering(|head| {
            let who = head.extensions.get::<Principal>().map_or("nobody", Principal::subject);
            Response::new(format!("hello {who}"))
        })
    }

    pub fn answering(respond: fn(&Parts) -> Response<String>) -> Self {
        Self { seen: Arc::default(), respond }
    }

    pub fn heads(&self) -> Vec<Parts> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    pub fn only_head(&self) -> Parts {
        let mut heads = self.heads();
        assert_eq!(heads.len(), 1, "the inner service was called {} times", heads.len());
        heads.remove(0)
    }
}

impl Service<Request<String>> for Inner {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<String>) -> Self::Future {
        let (head, _) = request.into_parts();
        let response = (self.respond)(&head);
        self.seen.lock().unwrap().push(head);
        ready(Ok(response))
    }
}

/// Sends a request through a layer and returns the response and what the inner service saw.
pub async fn send<L>(layer: L, request: Request<String>) -> (Response<String>, Vec<Parts>)
where
    L: Layer<Inner>,
    L::Service: Service<Request<String>, Response = Response<String>, Error = Infallible>,
{
    send_to(layer, Inner::new(), request).await
}

pub async fn send_to<L>(layer: L, inner: Inner, request: Request<String>) -> (Response<String>, Vec<Parts>)
where
    L: Layer<Inner>,
    L::Service: Service<Request<String>, Response = Response<String>, Error = Infallible>,
{
    let response = layer.layer(inner.clone()).oneshot(request).await.unwrap();
    (response, inner.heads())
}

pub async fn status<L>(layer: L, request: Request<String>) -> StatusCode
where
    L: Layer<Inner>,
    L::Service: Service<Request<String>, Response = Response<String>, Error = Infallible>,
{
    send(layer, request).await.0.status()
}

pub fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

/// A store that finds what another one finds, later: after `polls` further polls.
#[derive(Clone)]
pub struct Slow {
    pub store: MemoryStore,
    pub polls: usize,
}

impl KeyStore for Slow {
    fn find(&self, by: &Lookup) -> Answer<Found> {
        let (found, polls) = (self.store.find(by), self.polls);
        Answer::later(async move {
            for _ in 0..polls {
                tokio::task::yield_now().await;
            }
            found.await
        })
    }

    fn rules(&self) -> KeyRules {
        self.store.rules()
    }
}

/// A scheme of someone else's: the header field `ticket`, which admits by its value and waits if it says so.
#[derive(Debug)]
pub struct Ticket;

impl Scheme for Ticket {
    type Credential = String;

    fn take(&self, head: &mut Parts) -> Result<Option<String>, Rejection> {
        let ticket = head.headers.remove("ticket");
        Ok(ticket.map(|ticket| ticket.to_str().unwrap().to_owned()))
    }

    fn verify(&self, ticket: String) -> Answer<Result<Admission, Rejection>> {
        let verdict = |ticket: &str| match ticket {
            "good" => Ok(Admission::new(Principal::builder("guest").scheme("ticket").build())),
            _ => Err(Rejection::invalid("ticket_unknown").presented_as(Some("Ticket"))),
        };
        match ticket.strip_prefix("slow-") {
            Some("hang") => Answer::later(std::future::pending()),
            Some(rest) => {
                let verdict = verdict(rest);
                Answer::later(async move {
                    tokio::task::yield_now().await;
                    verdict
                })
            }
            None => Answer::Now(verdict(&ticket)),
        }
    }

    fn challenges(&self) -> Vec<Challenge> {
        vec![Challenge::new("Ticket").with("realm", "cinema")]
    }
}

/// Makes a request come from an address, for [`over_tls`].
pub fn from_peer(mut request: Request<String>, peer: &str) -> Request<String> {
    request.extensions_mut().insert(SocketAddr::new(peer.parse().unwrap(), 4711));
    request
}

/// Puts a service behind a listener with TLS, which knows the peers that [`from_peer`] names.
pub fn over_tls<S>(service: S) -> Marked<RequireHttpsService<S>> {
    mark_secure(RequireHttps::new().peer(|extensions| extensions.get().copied()).layer(service))
}

/// Returns the value of the one field of a name.
pub fn only<'a>(response: &'a Response<String>, name: &str) -> &'a str {
    let mut values = response.headers().get_all(name).iter();
    let value = values.next().unwrap_or_else(|| panic!("there is no {name} in {response:?}"));
    assert!(values.next().is_none(), "there are two of {name} in {response:?}");
    value.to_str().unwrap()
}
