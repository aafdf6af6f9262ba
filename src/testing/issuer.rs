//! An issuer in a box.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use serde_json::{Map, Value, json};
use tower_service::Service;

use super::reply::{ReplyBody, empty};
use super::signing::{SigningKey, unique};
use super::{Reply, TestServer, TestToken};
use crate::{Algorithm, BoxFuture, Clock, HttpClient, Issuer, RemoteKeys, SystemClock};

/// How long tokens are good.
const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// An issuer in a box: it signs tokens, publishes its keys and where they are, and fails when it is told to. Clones are the
/// same issuer. See the [module](super) for an example.
///
/// ```
/// use tower_keep::testing::{Reply, TestIssuer};
/// use tower_keep::{Algorithm, Jwt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let issuer = TestIssuer::new().with_algorithm(Algorithm::ES256);
/// let tokens = Jwt::discover(&issuer).audience(issuer.audience()).build()?;
/// tokens.ready().await?;
/// assert_eq!((issuer.metadata_fetches(), issuer.key_fetches()), (1, 1));
///
/// issuer.reply(Reply::Nothing); // it goes down
/// assert!(tokens.reload().await.is_err());
/// assert!(tokens.status().usable); // by the keys that are there
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TestIssuer(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    url: String,
    audience: String,
    algorithm: Algorithm,
    clock: Arc<dyn Clock>,
    /// Those that are published. The last one signs.
    keys: Vec<Arc<SigningKey>>,
    made: u64,
    beside: Vec<Value>,
    metadata: Map<String, Value>,
    cache_control: Option<HeaderValue>,
    etags: bool,
    keys_reply: Reply,
    metadata_reply: Reply,
    delay: Duration,
    key_fetches: u64,
    metadata_fetches: u64,
    address: Option<SocketAddr>,
}

impl TestIssuer {
    /// Makes an issuer that is called `https://issuer.test`.
    pub fn new() -> Self {
        Self::at("https://issuer.test")
    }

    /// Makes an issuer of another name: the value of `iss`, a URL.
    pub fn at(url: impl Into<String>) -> Self {
        let mut state = State {
            url: url.into(),
            audience: "https://api.test".to_owned(),
            algorithm: Algorithm::EdDSA,
            clock: Arc::new(SystemClock),
            keys: Vec::new(),
            made: 0,
            beside: Vec::new(),
            metadata: Map::new(),
            cache_control: None,
            etags: false,
            keys_reply: Reply::Document,
            metadata_reply: Reply::Document,
            delay: Duration::ZERO,
            key_fetches: 0,
            metadata_fetches: 0,
            address: None,
        };
        state.rotate();
        Self(Arc::new(Mutex::new(state)))
    }

    /// Signs by another algorithm than EdDSA, with a key of its own.
    ///
    /// # Panics
    ///
    /// For HMAC, whose keys nobody publishes.
    #[must_use]
    pub fn with_algorithm(self, algorithm: Algorithm) -> Self {
        let key = SigningKey::new(algorithm, "k1".to_owned());
        let mut state = self.state();
        state.algorithm = algorithm;
        state.keys = vec![Arc::new(key)];
        drop(state);
        self
    }

    /// Makes tokens for another audience than `https://api.test`.
    #[must_use]
    pub fn with_audience(self, audience: impl Into<String>) -> Self {
        self.state().audience = audience.into();
        self
    }

    /// Makes tokens at the time of another clock than that of the machine.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        self.state().clock = Arc::new(clock);
        self
    }

    /// Returns the name: the value of `iss`.
    pub fn url(&self) -> String {
        self.state().url.clone()
    }

    /// Returns whom tokens are for: the value of `aud`.
    pub fn audience(&self) -> String {
        self.state().audience.clone()
    }

    /// Returns where the keys are.
    pub fn keys_url(&self) -> String {
        self.state().keys_url()
    }

    /// Starts an access token (RFC 9068) for a subject, which is good for an hour.
    pub fn token(&self, subject: &str) -> TestToken {
        let state = self.state();
        let now = state.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = [
            ("iss", state.url.clone().into()),
            ("aud", state.audience.clone().into()),
            ("sub", subject.into()),
            ("client_id", "test".into()),
            ("jti", unique().into()),
            ("iat", now.as_secs().into()),
            ("exp", (now + LIFETIME).as_secs().into()),
        ];
        let claims = claims.map(|(name, value): (&str, Value)| (name.to_owned(), value));
        let key = state.keys.last().cloned();
        drop(state);
        // There always is one; another one would be as good.
        let key = key.unwrap_or_else(|| Arc::new(SigningKey::new(Algorithm::EdDSA, "none".to_owned())));
        TestToken::new(key, Map::from_iter(claims))
    }

    /// Returns the key set that is published (RFC 7517, section 5): for [`KeySet`](crate::KeySet) without a fetch.
    pub fn keys(&self) -> Value {
        self.state().keys()
    }

    /// Signs with a new key, and withdraws the old ones.
    pub fn rotate(&self) {
        let mut state = self.state();
        state.keys.clear();
        state.rotate();
    }

    /// Signs with a new key; the old ones stay published, as they should for as long as their tokens are good.
    pub fn rotate_keeping_old(&self) {
        self.state().rotate();
    }

    /// Publishes something else beside the keys: junk, keys of others, a second key of the same name.
    pub fn publish_beside(&self, entries: impl IntoIterator<Item = Value>) {
        self.state().beside = entries.into_iter().collect();
    }

    /// Sets a member of the metadata (RFC 8414, section 2), in the place of what belongs there.
    pub fn metadata_member(&self, name: impl Into<String>, value: impl Into<Value>) {
        self.state().metadata.insert(name.into(), value.into());
    }

    /// Sends `Cache-Control` with the keys.
    ///
    /// # Panics
    ///
    /// If it can be no value of a header field.
    #[allow(clippy::expect_used, reason = "a tool of tests may panic as they do")]
    pub fn cache_control(&self, value: &str) {
        self.state().cache_control = Some(HeaderValue::from_str(value).expect("a value of a header field"));
    }

    /// Sends an `ETag` with the keys, and 304 to those who have them (RFC 9110, section 13.1.2).
    pub fn etags(&self) {
        self.state().etags = true;
    }

    /// Says what is answered from now on, whatever is asked for.
    pub fn reply(&self, reply: Reply) {
        let mut state = self.state();
        state.keys_reply = reply.clone();
        state.metadata_reply = reply;
    }

    /// Says what is answered from now on where the keys are.
    pub fn keys_reply(&self, reply: Reply) {
        self.state().keys_reply = reply;
    }

    /// Says what is answered from now on where the metadata is.
    pub fn metadata_reply(&self, reply: Reply) {
        self.state().metadata_reply = reply;
    }

    /// Lets time pass before each answer. What is answered is what was so when it was asked for.
    pub fn delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// Returns how often the keys were asked for, whatever was answered.
    pub fn key_fetches(&self) -> u64 {
        self.state().key_fetches
    }

    /// Returns how often metadata was asked for, whatever was answered. There are several places for it.
    pub fn metadata_fetches(&self) -> u64 {
        self.state().metadata_fetches
    }

    /// Returns the issuer as an HTTP client, which reaches nothing else.
    pub fn client(&self) -> HttpClient {
        HttpClient::new(self.clone())
    }

    /// Returns the keys, as they are fetched from where they are, for settings of their own.
    pub fn remote_keys(&self) -> RemoteKeys {
        RemoteKeys::new(self.keys_url()).client(self.client()).insecure_allow_loopback()
    }

    /// Listens on this machine, at the same address as the last time. The issuer is called by that address from now on:
    /// `http://127.0.0.1:` and a port.
    ///
    /// ```
    /// use tower_keep::testing::TestIssuer;
    /// use tower_keep::{HttpClient, Issuer, Jwt};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let issuer = TestIssuer::new();
    /// let server = issuer.serve().await?;
    /// # #[cfg(feature = "reqwest")] {
    /// let client = HttpClient::builder().build()?;
    /// let found = Issuer::discover(issuer.url()).client(client).insecure_allow_loopback();
    /// let tokens = Jwt::discover(found).audience(issuer.audience()).build()?;
    /// tokens.ready().await?;
    /// # }
    /// server.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub async fn serve(&self) -> io::Result<TestServer> {
        let address = self.state().address;
        let server = TestServer::start(self.clone(), address).await?;
        let mut state = self.state();
        state.address = Some(server.address());
        state.url = format!("http://{}", server.address());
        drop(state);
        Ok(server)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn rotate(&mut self) {
        self.made += 1;
        self.keys.push(Arc::new(SigningKey::new(self.algorithm, format!("k{}", self.made))));
    }

    fn keys(&self) -> Value {
        let keys: Vec<_> = self.keys.iter().map(|key| key.jwk()).chain(self.beside.iter().cloned()).collect();
        json!({ "keys": keys })
    }

    fn keys_url(&self) -> String {
        format!("{}/jwks", self.url.trim_end_matches('/'))
    }

    /// RFC 8414, section 2; OpenID Connect Discovery 1.0, section 3.
    fn metadata(&self) -> Value {
        let mut metadata = Map::from_iter([
            ("issuer".to_owned(), self.url.clone().into()),
            ("jwks_uri".to_owned(), self.keys_url().into()),
            ("response_types_supported".to_owned(), json!(["code"])),
        ]);
        metadata.extend(self.metadata.clone());
        metadata.into()
    }

    /// Answers, or fails as a connection does.
    fn answer(&mut self, path: &str, known: Option<&HeaderValue>) -> io::Result<Response<ReplyBody>> {
        let base: Uri = self.url.parse().unwrap_or_default();
        let base = base.path().trim_end_matches('/');
        if path.strip_prefix(base) == Some("/jwks") {
            self.key_fetches += 1;
            return self.answer_keys(known);
        }
        // RFC 8414, section 3.1, puts the path of the issuer last, and OpenID Connect Discovery, section 4, first.
        let of_oauth = path.strip_prefix("/.well-known/oauth-authorization-server") == Some(base);
        let of_openid = path.strip_prefix("/.well-known/openid-configuration") == Some(base)
            || path.strip_prefix(base) == Some("/.well-known/openid-configuration");
        if of_oauth || of_openid {
            self.metadata_fetches += 1;
            return self.metadata_reply.clone().into_response(|| self.metadata().to_string().into());
        }
        Reply::Status(StatusCode::NOT_FOUND).into_response(Bytes::new)
    }

    fn answer_keys(&self, known: Option<&HeaderValue>) -> io::Result<Response<ReplyBody>> {
        let document = Bytes::from(self.keys().to_string());
        let etag = (self.etags && self.keys_reply == Reply::Document).then(|| etag(&document));
        let mut response = self.keys_reply.clone().into_response(|| document)?;
        if let Some(etag) = etag {
            if known == Some(&etag) {
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                *response.body_mut() = empty();
            }
            response.headers_mut().insert(ETAG, etag);
        }
        if let Some(cache_control) = &self.cache_control {
            response.headers_mut().insert(CACHE_CONTROL, cache_control.clone());
        }
        Ok(response)
    }
}

/// Returns an `ETag` of a document.
fn etag(document: &[u8]) -> HeaderValue {
    let digest = crate::bearer::jwt::signature::sha256(document);
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("\"{digest}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// An issuer of its own name, `https://issuer.test`.
impl Default for TestIssuer {
    fn default() -> Self {
        Self::new()
    }
}

/// For [`Jwt::discover`](crate::Jwt::discover), without a socket.
impl From<&TestIssuer> for Issuer {
    fn from(issuer: &TestIssuer) -> Self {
        Self::discover(issuer.url()).client(issuer.client()).insecure_allow_loopback()
    }
}

impl<B> Service<Request<B>> for TestIssuer {
    type Response = Response<ReplyBody>;
    type Error = io::Error;
    type Future = BoxFuture<io::Result<Response<ReplyBody>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut state = self.state();
        let answer = state.answer(request.uri().path(), request.headers().get(IF_NONE_MATCH));
        let delay = state.delay;
        Box::pin(async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            answer
        })
    }
}
