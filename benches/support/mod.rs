//! What the counts and the benchmarks share: a service, requests, a store full of keys, and driving all that by hand.

#![allow(dead_code, reason = "each target uses a part of it")]

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::Full;
use tower::{Layer, Service};
use tower_keep::{ApiKey, ApiKeyLayer, Auth, DigestTag, KeyDigest, KeyId, KeyRecord, MemoryStore, Principal, Scopes};

pub(crate) type Body = Full<Bytes>;
pub(crate) type Guarded = Auth<Hello, ApiKey>;

/// Answers every request with an empty 200.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hello;

impl<B> Service<Request<B>> for Hello {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(Response::default()))
    }
}

/// The least that any layer has to do that says who sent a request: it puts a value into the extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marking<S>(pub(crate) S);

/// A value as large as what the crate puts there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark([u64; size_of::<Principal>() / size_of::<u64>()]);

const _: () = assert!(size_of::<Mark>() == size_of::<Principal>());

impl Mark {
    pub(crate) const fn new() -> Self {
        Self([1; size_of::<Principal>() / size_of::<u64>()])
    }
}

impl<B, S: Service<Request<B>>> Service<Request<B>> for Marking<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        request.extensions_mut().insert(Mark::new());
        self.0.call(request)
    }
}

/// The least that any layer has to do that refuses with the same answer as the crate's: it looks for a credential, and
/// copies an answer.
#[derive(Clone, Debug)]
pub(crate) struct Refusing(pub(crate) Response<Body>);

impl<B> Service<Request<B>> for Refusing {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(match request.headers().contains_key(AUTHORIZATION) {
            true => Response::default(),
            false => self.0.clone(),
        }))
    }
}

/// Guards [`Hello`] by the keys of a store.
pub(crate) fn guarded(store: &MemoryStore) -> Guarded {
    ApiKeyLayer::new(store.clone()).layer(Hello)
}

/// Sends a request through a service whose answer takes no waiting.
#[inline]
pub(crate) fn drive<B, S: Service<Request<B>>>(service: &mut S, request: Request<B>) -> S::Response {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))), "the service is not ready");
    match pin!(service.call(request)).poll(&mut cx) {
        Poll::Ready(Ok(response)) => response,
        Poll::Ready(Err(_)) => panic!("the service failed"),
        Poll::Pending => panic!("the service waits"),
    }
}

/// The header fields that every request has.
const FIELDS: [(&str, &str); 7] = [
    ("host", "api.example.com"),
    ("user-agent", "example-client/1.0"),
    ("accept", "application/json"),
    ("accept-encoding", "gzip, br"),
    ("content-type", "application/json"),
    ("content-length", "0"),
    ("x-request-id", "6f1c2f0e-7c5c-4a43-9d5c-3a0f6f3f5c11"),
];

/// Makes a request as servers do: seven header fields and one with the credential, all of them parts of one buffer.
pub(crate) fn request<B: Default>(method: Method, credential: Option<(&'static str, &str)>) -> Request<B> {
    let fields = || FIELDS.into_iter().chain(credential);
    let mut buffer = Bytes::from(fields().map(|(_, value)| value).collect::<String>());
    let values = fields().map(|(name, value)| {
        let value = HeaderValue::from_maybe_shared(buffer.split_to(value.len())).expect("the value is printable");
        (name, value)
    });
    request_with(method, values)
}

/// Makes a request whose seven header fields cost next to nothing to drop, so that counts are those of the layers.
pub(crate) fn light_request<B: Default>(method: Method, credential: Option<(&'static str, &str)>) -> Request<B> {
    let fields = FIELDS.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value)));
    let credential = credential.map(|(name, value)| (name, value.parse().expect("the value is printable")));
    request_with(method, fields.chain(credential))
}

fn request_with<B: Default>(method: Method, fields: impl Iterator<Item = (&'static str, HeaderValue)>) -> Request<B> {
    let mut request = Request::new(B::default());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_static("/orders/17?expand=lines");
    for (name, value) in fields {
        request.headers_mut().insert(HeaderName::from_static(name), value);
    }
    request
}

/// Returns a store with this many records, each as real ones are: an id of 12 letters and digits, an owner, two scopes
/// that all share, a beginning and an end.
pub(crate) fn filled(records: u64) -> MemoryStore {
    let store = MemoryStore::new();
    fill(&store, records);
    store
}

/// Puts the records of [`filled`] into a store.
pub(crate) fn fill(store: &MemoryStore, records: u64) {
    let scopes = Scopes::try_from(["orders:read", "orders:write"]).expect("both are scopes");
    let end = SystemTime::now() + Duration::from_secs(365 * 24 * 60 * 60);
    for number in 0..records {
        let record = KeyRecord::new(id(number), format!("customer-{number:06}"), digest(number))
            .with_scopes(scopes.clone())
            .with_created_at(UNIX_EPOCH + Duration::from_secs(1_700_000_000 + number))
            .with_expires_at(end);
        store.insert(record).expect("no two numbers have the same id");
    }
}

/// Returns the id of the record of this number.
pub(crate) fn id(number: u64) -> KeyId {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = scattered(number);
    let mut id = [0; 12];
    for letter in &mut id {
        *letter = LETTERS[(rest % 62) as usize];
        rest /= 62;
    }
    let id = std::str::from_utf8(&id).expect("these are letters and digits");
    KeyId::new(id).expect("so an id may be")
}

fn digest(number: u64) -> KeyDigest {
    let mut bytes = [0; 32];
    for (place, word) in bytes.chunks_exact_mut(8).zip(0..) {
        place.copy_from_slice(&scattered(4 * number + word).to_ne_bytes());
    }
    KeyDigest::new(DigestTag::SHA256, bytes)
}

/// Spreads numbers over 64 bits, no two of them to the same place (the finalizer of SplitMix64).
pub(crate) const fn scattered(number: u64) -> u64 {
    let mut word = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Gives a key another last character, so that its checksum is wrong.
pub(crate) fn mistyped(key: &str) -> String {
    let last = if key.ends_with('0') { "1" } else { "0" };
    format!("{}{last}", &key[..key.len() - 1])
}
