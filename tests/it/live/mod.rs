//! Keys that are fetched. The clock of tokio stands still, and goes on when all wait for it.

mod callers;
mod cool_down;
mod discovery;
mod documents;
mod elsewhere;
mod failures;
mod outage;
mod real;
mod rotation;
mod runtimes;
mod start;
mod times;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::{Service, service_fn};
use tower_keep::testing::{TestIssuer, TestToken};
use tower_keep::{BearerLayer, HttpClient, Issuer, Jwt, RemoteKeys};

use crate::support::{get, send, with};

/// The longest that a cool-down of 30 seconds lasts, and a moment.
pub const COOL_DOWN: Duration = Duration::from_millis(33_010);

pub const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An issuer, and a layer that takes its keys from where they are.
#[derive(Clone)]
pub struct Scene {
    pub issuer: TestIssuer,
    pub tokens: Jwt,
    pub watch: Watch,
    layer: BearerLayer,
}

impl Scene {
    pub fn new() -> Self {
        Self::with(|keys| keys)
    }

    /// Starts with settings of one's own.
    pub fn with(settings: impl FnOnce(RemoteKeys) -> RemoteKeys) -> Self {
        Self::of(TestIssuer::new(), settings)
    }

    pub fn of(issuer: TestIssuer, settings: impl FnOnce(RemoteKeys) -> RemoteKeys) -> Self {
        let watch = Watch::default();
        let keys = settings(issuer.remote_keys().client(watch.over(&issuer)));
        let tokens = Jwt::with_remote_keys(keys).issuer(issuer.url()).audience(issuer.audience());
        Self::over(issuer, tokens.build().unwrap(), watch)
    }

    pub fn over(issuer: TestIssuer, tokens: Jwt, watch: Watch) -> Self {
        Self { issuer, layer: BearerLayer::new(tokens.clone()), tokens, watch }
    }

    /// Starts with nothing but the issuer.
    pub fn discovering(issuer: TestIssuer, settings: impl FnOnce(Issuer) -> Issuer) -> Self {
        let watch = Watch::default();
        let found = settings(Issuer::from(&issuer).client(watch.over(&issuer)));
        let tokens = Jwt::discover(found).audience(issuer.audience()).build().unwrap();
        Self::over(issuer, tokens, watch)
    }

    /// Starts, and waits until there are keys.
    pub async fn warm() -> Self {
        let scene = Self::new();
        scene.tokens.ready().await.unwrap();
        scene
    }

    pub fn token(&self) -> String {
        self.issuer.token("alice").sign()
    }

    /// Makes a token that names a key which nobody has.
    pub fn junk(&self, kid: impl std::fmt::Display) -> String {
        self.issuer.token("mallory").header("kid", format!("junk-{kid}")).sign()
    }

    pub async fn ask(&self, token: &str) -> StatusCode {
        self.answer(token).await.status()
    }

    pub async fn answer(&self, token: &str) -> Response<String> {
        send(self.layer.clone(), with(get("/"), "authorization", &format!("Bearer {token}"))).await.0
    }

    /// Asks for a good token of now.
    pub async fn ask_good(&self) -> StatusCode {
        self.ask(&self.token()).await
    }

    /// Sends a request with each token, all at once, and counts the answers.
    pub async fn ask_all(&self, tokens: impl IntoIterator<Item = String>) -> Vec<(u16, usize)> {
        let mut requests = JoinSet::new();
        for token in tokens {
            let scene = self.clone();
            requests.spawn(async move { scene.ask(&token).await.as_u16() });
        }
        let mut counts = BTreeMap::new();
        for status in requests.join_all().await {
            *counts.entry(status).or_default() += 1;
        }
        Vec::from_iter(counts)
    }
}

/// Makes a token that names a key which nobody has.
pub fn of_unknown_key(token: TestToken) -> String {
    token.header("kid", "junk").sign()
}

/// Sees what is asked for, and what is answered.
#[derive(Clone, Default)]
pub struct Watch(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    started: Vec<Instant>,
    hosts: Vec<String>,
    statuses: Vec<Option<StatusCode>>,
    under_way: usize,
    most_at_once: usize,
}

impl Watch {
    pub fn over(&self, issuer: &TestIssuer) -> HttpClient {
        let (watch, issuer) = (self.clone(), issuer.clone());
        HttpClient::new(service_fn(move |request: Request<Full<Bytes>>| {
            let under_way = watch.begin(request.uri().host().unwrap());
            let (watch, answer) = (watch.clone(), issuer.clone().call(request));
            async move {
                let answer: io::Result<_> = answer.await;
                drop(under_way);
                watch.0.lock().unwrap().statuses.push(answer.as_ref().ok().map(Response::status));
                answer
            }
        }))
    }

    fn begin(&self, host: &str) -> UnderWay {
        let mut seen = self.0.lock().unwrap();
        seen.started.push(Instant::now());
        seen.hosts.push(host.to_owned());
        seen.under_way += 1;
        seen.most_at_once = seen.most_at_once.max(seen.under_way);
        UnderWay(self.clone())
    }

    /// Returns when each fetch started.
    pub fn started(&self) -> Vec<Instant> {
        self.0.lock().unwrap().started.clone()
    }

    pub fn hosts(&self) -> Vec<String> {
        self.0.lock().unwrap().hosts.clone()
    }

    pub fn statuses(&self) -> Vec<Option<StatusCode>> {
        self.0.lock().unwrap().statuses.clone()
    }

    pub fn most_at_once(&self) -> usize {
        self.0.lock().unwrap().most_at_once
    }
}

/// A fetch that is under way, until it is given up.
struct UnderWay(Watch);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().under_way -= 1;
    }
}
