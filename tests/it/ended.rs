//! The end of a credential during a request that outlives it.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get as route;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tower::{Layer, ServiceExt};
use tower_keep::{
    Algorithm, Answer, ApiKeyLayer, AuthLayer, BearerLayer, ClientAuth, Clock, Denial, DenyList, Ending, Found,
    HttpClient, Introspection, Issuers, JwtBuilder, KeyFormat, KeyHasher, KeyRules, KeyStore, Lookup, MemoryDenyList,
    MemoryStore, NewKey, Principal, Scheme, StoreError, Tenants, TokenFacts, TokenVerifier,
};

use crate::support::{Inner, START, Ticket, at, get, send, with};
use crate::tokens::mint::{AUDIENCE, ISSUER, Signer, claims_with};

/// A clock that goes with the time of the runtime, from when the tests start.
#[derive(Clone, Debug)]
struct Paused(Instant);

impl Paused {
    fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Paused {
    fn now(&self) -> SystemTime {
        at(START) + self.0.elapsed()
    }
}

/// A list that does not know, or does not answer.
enum Broken {
    Down,
    Hanging,
}

impl DenyList for Broken {
    fn denies(&self, _: &TokenFacts<'_>) -> Answer<Result<bool, StoreError>> {
        match self {
            Self::Down => Answer::Now(Err(StoreError::unavailable("down"))),
            Self::Hanging => Answer::later(pending()),
        }
    }
}

/// A list that is asked once before it breaks.
struct BreaksLater(std::sync::atomic::AtomicBool, Broken);

impl DenyList for BreaksLater {
    fn denies(&self, token: &TokenFacts<'_>) -> Answer<Result<bool, StoreError>> {
        match self.0.swap(true, std::sync::atomic::Ordering::Relaxed) {
            true => self.1.denies(token),
            false => Answer::Now(Ok(false)),
        }
    }
}

/// Lets a token in that ends after an hour, and returns its principal.
async fn of_token(settings: impl FnOnce(JwtBuilder) -> JwtBuilder, changes: Value) -> Principal {
    let signer = Signer::new(Algorithm::EdDSA);
    let tokens = settings(signer.verifier().clock(Paused::new())).build().unwrap();
    let token = format!("Bearer {}", signer.token(&claims_with(changes)));
    admitted(BearerLayer::new(tokens), "authorization", &token).await
}

async fn admitted<C: Scheme>(layer: AuthLayer<C>, name: &str, value: &str) -> Principal {
    let (response, heads) = send(layer, with(get("/"), name, value)).await;
    assert_eq!(response.status(), StatusCode::OK);
    heads[0].extensions.get::<Principal>().unwrap().clone()
}

/// What the end is, and after how many seconds it is known.
async fn end(principal: &Principal) -> (Ending, u64) {
    let start = Instant::now();
    let ending = principal.ended().await;
    (ending, start.elapsed().as_secs())
}

fn keys() -> MemoryStore {
    let hasher = KeyHasher::peppered("p1", [7; 32]).unwrap();
    MemoryStore::with(KeyRules::new(KeyFormat::new("test").unwrap(), hasher).with_clock(Paused::new()))
}

fn later(wait: u64, action: impl FnOnce() + Send + 'static) {
    tokio::spawn(async move {
        sleep(Duration::from_secs(wait)).await;
        action();
    });
}

#[tokio::test(start_paused = true)]
async fn a_token_ends_with_its_time_and_the_leeway() {
    let principal = of_token(|it| it, json!({})).await;
    assert_eq!(end(&principal).await, (Ending::Expired, 3630));
    assert_eq!(end(&principal).await, (Ending::Expired, 0), "it stays over");

    let exact = of_token(|it| it.leeway(Duration::ZERO), json!({ "exp": START + 7 })).await;
    assert_eq!(end(&exact).await, (Ending::Expired, 7));
    let young = of_token(|it| it.leeway(Duration::ZERO).max_age(Duration::from_secs(60)), json!({})).await;
    let (ending, after) = end(&young).await;
    assert!(ending == Ending::Expired && (61..=70).contains(&after), "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_denial_is_noticed_when_it_is_asked_about_next() {
    let denied = MemoryDenyList::new();
    let principal = of_token(|it| it.deny_list(denied.clone()), json!({})).await;
    let list = denied.clone();
    later(25, move || list.deny(Denial::token("t1")));
    assert_eq!(end(&principal).await, (Ending::Denied, 30));

    denied.allow(&Denial::token("t1"));
    later(25, move || denied.deny(Denial::subject("alice")));
    let start = Instant::now();
    assert_eq!(principal.ended_asking_every(Duration::from_secs(60)).await, Ending::Denied);
    assert_eq!(start.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_condition_that_holds_no_longer_ends_a_token() {
    let start = Instant::now();
    let principal = of_token(|it| it.predicate(move |()| start.elapsed().as_secs() < 15), json!({})).await;
    assert_eq!(end(&principal).await, (Ending::Denied, 20));
}

#[tokio::test(start_paused = true)]
async fn while_a_list_is_out_of_reach_the_time_counts_alone() {
    let broken = |how| BreaksLater(false.into(), how);
    let down = of_token(|it| it.deny_list(broken(Broken::Down)), json!({ "exp": START + 55 })).await;
    let (ending, after) = end(&down).await;
    assert!(ending == Ending::Expired && (85..=95).contains(&after), "{after}");

    let hanging = of_token(|it| it.deny_list(broken(Broken::Hanging)), json!({ "exp": START + 55 })).await;
    let (ending, after) = end(&hanging).await;
    assert!(ending == Ending::Expired && (85..=95).contains(&after), "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_key_ends_when_it_expires_is_revoked_superseded_or_gone() {
    let store = keys();
    let admit =
        async |store: &MemoryStore, key: &str| admitted(ApiKeyLayer::new(store.clone()), "x-api-key", key).await;

    let expiring = store.issue(NewKey::for_owner("a").expires_at(at(START + 33))).unwrap();
    let principal = admit(&store, expiring.key().expose()).await;
    assert_eq!(end(&principal).await, (Ending::Expired, 33));

    let revoked = store.issue(NewKey::for_owner("b")).unwrap();
    let principal = admit(&store, revoked.key().expose()).await;
    let (id, keys) = (*revoked.id(), store.clone());
    later(25, move || drop(keys.revoke(&id).unwrap()));
    assert_eq!(end(&principal).await, (Ending::Denied, 30));

    let rotated = store.issue(NewKey::for_owner("c")).unwrap();
    store.rotate(rotated.id(), Duration::from_secs(47)).unwrap();
    let principal = admit(&store, rotated.key().expose()).await;
    assert_eq!(end(&principal).await, (Ending::Expired, 47));
}

/// A store that loses what it has, or breaks.
struct Losing {
    store: MemoryStore,
    after: Instant,
    breaks: bool,
}

impl KeyStore for Losing {
    fn find(&self, by: &Lookup) -> Answer<Found> {
        match (Instant::now() >= self.after, self.breaks) {
            (false, _) => self.store.find(by),
            (true, false) => Answer::Now(Ok(None)),
            (true, true) => Answer::Now(Err(StoreError::unavailable("down"))),
        }
    }

    fn rules(&self) -> KeyRules {
        self.store.rules()
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_gone_ends_a_key_and_a_store_that_is_down_does_not() {
    let store = keys();
    let issued = store.issue(NewKey::for_owner("a")).unwrap();
    let losing = |breaks| Losing { store: store.clone(), after: Instant::now() + Duration::from_secs(15), breaks };

    let gone = admitted(ApiKeyLayer::new(losing(false)), "x-api-key", issued.key().expose()).await;
    assert_eq!(end(&gone).await, (Ending::Denied, 20));
    let down = admitted(ApiKeyLayer::new(losing(true)), "x-api-key", issued.key().expose()).await;
    assert!(timeout(Duration::from_secs(100_000), down.ended()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn of_two_layers_the_credential_counts_that_ends_first() {
    let signer = Signer::new(Algorithm::EdDSA);
    let tokens = BearerLayer::new(signer.verifier().clock(Paused::new()).build().unwrap());
    let store = keys();
    let issued = store.issue(NewKey::for_owner("a").expires_at(at(START + 44))).unwrap();
    let token = format!("Bearer {}", signer.token(&claims_with(json!({}))));
    let request = || with(with(get("/"), "authorization", &token), "x-api-key", issued.key().expose());

    let inner = Inner::new();
    let outer_key = ApiKeyLayer::new(store.clone()).layer(tokens.layer(inner.clone()));
    outer_key.oneshot(request()).await.unwrap();
    let principal = inner.only_head().extensions.get::<Principal>().unwrap().clone();

    assert_eq!(principal.scheme(), "bearer");
    assert_eq!(end(&principal).await, (Ending::Expired, 44));
}

#[tokio::test(start_paused = true)]
async fn of_two_schemes_the_one_is_asked_whose_credential_it_is() {
    let signer = Signer::new(Algorithm::EdDSA);
    let store = keys();
    let either = || {
        let tokens = signer.verifier().clock(Paused::new()).build().unwrap();
        ApiKeyLayer::new(store.clone()).or(BearerLayer::new(tokens)).or(AuthLayer::over(Ticket))
    };
    let issued = store.issue(NewKey::for_owner("a").expires_at(at(START + 44))).unwrap();
    let token = format!("Bearer {}", signer.token(&claims_with(json!({}))));

    let key = admitted(either(), "x-api-key", issued.key().expose()).await;
    assert_eq!(end(&key).await, (Ending::Expired, 44));
    let token = admitted(either(), "authorization", &token).await;
    assert_eq!(end(&token).await, (Ending::Expired, 3630));
    let ticket = admitted(either(), "ticket", "good").await;
    assert!(timeout(Duration::from_secs(100_000), ticket.ended()).await.is_err(), "it has no end");
}

#[tokio::test(start_paused = true)]
async fn a_principal_that_no_layer_let_in_stands_by_its_end_alone() {
    let ends = |when| Principal::builder("a").expires_at(when).build().ended();
    let hour = Duration::from_secs(3600);

    assert_eq!(ends(SystemTime::now() - hour).await, Ending::Expired);
    // The clock of the machine does not go with the runtime's.
    assert!(timeout(hour, ends(SystemTime::now() + hour)).await.is_err());
    assert!(timeout(hour, Principal::builder("a").build().ended()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_handler_ends_its_stream_with_the_credential() {
    async fn ticks(who: Principal) -> Body {
        let (sender, ticks) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            let mut ended = who.ended();
            loop {
                tokio::select! {
                    _ = &mut ended => break,
                    () = sleep(Duration::from_secs(60)) => drop(sender.send(Bytes::from_static(b"tick ")).await),
                }
            }
        });
        let frames = ReceiverStream::new(ticks).map(|tick| Ok::<_, Infallible>(http_body::Frame::data(tick)));
        Body::new(StreamBody::new(frames))
    }
    let store = keys();
    let issued = store.issue(NewKey::for_owner("a").expires_at(at(START + 200))).unwrap();
    let app = Router::new().route("/", route(ticks)).layer(ApiKeyLayer::new(store));

    let request = Request::get("/").header("x-api-key", issued.key().expose()).body(Body::empty()).unwrap();
    let response = app.oneshot(request).await.unwrap();

    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "tick tick tick ");
}

const OPAQUE: &str = "Bearer 2YotnFZFEjr1zCsicMWpAA";

/// Asks a server that says of every token that it is the issuer's, and over after some seconds.
fn asked(expires: u64) -> Introspection {
    let answer = json!({ "active": true, "iss": ISSUER, "aud": AUDIENCE, "sub": "bob", "exp": START + expires });
    let client = HttpClient::new(tower::service_fn(move |_: Request<http_body_util::Full<Bytes>>| {
        let answer = http::Response::new(answer.to_string());
        async move { Ok::<_, Infallible>(answer) }
    }));
    let server = Introspection::at("https://login.example.com/introspect").client(client).audience(AUDIENCE);
    let server = server.client_auth(ClientAuth::basic("orders", "s3cr3t".to_owned())).leeway(Duration::ZERO);
    server.clock(Paused::new()).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn of_two_verifiers_of_one_issuer_the_one_is_asked_that_let_the_token_in() {
    let signer = Signer::new(Algorithm::EdDSA);
    let denied = MemoryDenyList::new();
    let tokens = || signer.verifier().deny_list(denied.clone()).clock(Paused::new()).build().unwrap();
    let of_jwt = format!("Bearer {}", signer.token(&claims_with(json!({}))));
    let list = Issuers::builder().issuer(ISSUER, tokens()).opaque(asked(77)).build().unwrap();
    let either = BearerLayer::new(tokens()).or(BearerLayer::new(asked(77)));
    let admitted = [
        (admitted(BearerLayer::new(list.clone()), "authorization", &of_jwt).await, Ending::Denied),
        (admitted(either.clone(), "authorization", &of_jwt).await, Ending::Denied),
        (admitted(BearerLayer::new(list), "authorization", OPAQUE).await, Ending::Expired),
        (admitted(either, "authorization", OPAQUE).await, Ending::Expired),
        (
            admitted(BearerLayer::new(asked(77)).or(BearerLayer::new(tokens())), "authorization", OPAQUE).await,
            Ending::Expired,
        ),
    ];
    denied.deny(Denial::token("t1"));
    for (principal, expected) in admitted {
        let start = Instant::now();
        assert_eq!(principal.ended().await, expected);
        assert!(start.elapsed() <= Duration::from_secs(77));
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_tenant_ends_by_the_rules_of_the_tenant_and_with_the_tenant() {
    let signer = Signer::new(Algorithm::EdDSA);
    let denied = MemoryDenyList::new();
    let tokens = signer.verifier().deny_list(denied.clone()).clock(Paused::new()).build().unwrap();
    let is_there = Arc::new(AtomicBool::new(true));
    let known = Arc::clone(&is_there);
    let tenants = Tenants::allowed(
        |issuer| issuer == ISSUER,
        move |_| {
            let tokens = known.load(Ordering::Relaxed).then(|| Arc::new(tokens.clone()) as Arc<dyn TokenVerifier>);
            Answer::later(async move { Ok(tokens) })
        },
    );
    let layer = BearerLayer::new(Issuers::resolve(tenants.clone()).unwrap());
    let token = format!("Bearer {}", signer.token(&claims_with(json!({}))));
    let admit = async || admitted(layer.clone(), "authorization", &token).await;

    let principal = admit().await;
    let list = denied.clone();
    later(25, move || list.deny(Denial::token("t1")));
    assert_eq!(end(&principal).await, (Ending::Denied, 30));

    // Its verifier made way meanwhile, and is looked up again.
    denied.allow(&Denial::token("t1"));
    let principal = admit().await;
    let (list, all) = (denied.clone(), tenants.clone());
    later(25, move || {
        all.forget(ISSUER);
        list.deny(Denial::token("t1"));
    });
    assert_eq!(end(&principal).await, (Ending::Denied, 30));

    denied.allow(&Denial::token("t1"));
    let principal = admit().await;
    later(25, move || {
        is_there.store(false, Ordering::Relaxed);
        tenants.forget(ISSUER);
    });
    assert_eq!(end(&principal).await, (Ending::Denied, 30));
}
