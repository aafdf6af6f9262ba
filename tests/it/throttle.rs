//! Clients that present bad credentials too often.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use tokio::time::advance;
use tower::{Layer, ServiceExt};
use tower_keep::{
    Algorithm, Answer, ApiKeyLayer, AuthLayer, BearerLayer, FailedAttempts, Issuers, Jwt, KeyStore, Lookup,
    MemoryStore, NewKey, PresentedToken, Principal, Rejection, RequireScopes, Scheme, StoreError, TokenForm,
    TokenVerifier, store_fn,
};

use crate::log::logged;
use crate::metrics::counted_while;
use crate::support::{
    Inner, Slow, TestClock, Ticket, as_grpc, from_peer, get, only, over_tls, rules, send, store, with, with_key,
};
use crate::tokens::mint::{Signer, claims, claims_with};

const PEER: &str = "192.0.2.7";

/// Three, and one back every 10 seconds.
fn three() -> FailedAttempts {
    FailedAttempts::per_peer(3, Duration::from_secs(30))
}

async fn answer<C: Scheme>(layer: &AuthLayer<C>, peer: &str, request: Request<String>) -> Response<String> {
    over_tls(layer.layer(Inner::new())).oneshot(from_peer(request, peer)).await.unwrap()
}

async fn status<C: Scheme>(layer: &AuthLayer<C>, peer: &str, request: Request<String>) -> u16 {
    answer(layer, peer, request).await.status().as_u16()
}

fn key(key: &str) -> Request<String> {
    with(get("/"), "x-api-key", key)
}

fn bearer(token: &str) -> Request<String> {
    with(get("/"), "authorization", &format!("Bearer {token}"))
}

/// Has a client fail so often that it is over its limit.
async fn fail<C: Scheme>(layer: &AuthLayer<C>, peer: &str, bad: fn() -> Request<String>) {
    for _ in 0..3 {
        assert_eq!(status(layer, peer, bad()).await, 401);
    }
}

fn junk() -> Request<String> {
    key("junk")
}

fn junk_token() -> Request<String> {
    bearer("not.a.token")
}

#[tokio::test(start_paused = true)]
async fn a_colleague_with_a_good_key_passes_from_an_address_that_is_throttled() {
    let (keys, issued) = store();
    let layer = ApiKeyLayer::new(keys).throttle(three());
    fail(&layer, PEER, junk).await;

    assert_eq!(status(&layer, PEER, with_key(&issued)).await, 200);
    assert_eq!(status(&layer, PEER, junk()).await, 429);
    assert_eq!(status(&layer, "192.0.2.8", junk()).await, 401);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_somewhere_else_is_not_asked_for_a_throttled_client() {
    let (keys, issued) = store();
    let unknown = MemoryStore::with(rules(&TestClock::new())).issue(NewKey::for_owner("x")).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let (known, count) = (keys.clone(), Arc::clone(&asked));
    let elsewhere = store_fn(move |lookup: Lookup| {
        let (known, count) = (known.clone(), Arc::clone(&count));
        async move {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            known.find(&lookup).await
        }
    });
    let layer = ApiKeyLayer::new(elsewhere.rules(keys.rules())).throttle(three());
    for _ in 0..3 {
        assert_eq!(status(&layer, PEER, with_key(&unknown)).await, 401);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 3);

    for request in [with_key(&unknown), with_key(&issued), junk()] {
        assert_eq!(status(&layer, PEER, request).await, 429);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    assert_eq!(status(&layer, "192.0.2.8", with_key(&issued)).await, 200);
}

#[tokio::test(start_paused = true)]
async fn the_answer_asks_to_wait_and_for_no_credential() {
    let layer = ApiKeyLayer::new(store().0).throttle(three());
    fail(&layer, PEER, junk).await;
    advance(Duration::from_millis(2_500)).await;
    let log = logged();

    let response = answer(&layer, PEER, junk()).await;
    assert_eq!(response.status(), 429);
    assert_eq!(only(&response, "retry-after"), "8");
    assert_eq!(only(&response, "cache-control"), "no-store");
    assert!(!response.headers().contains_key("www-authenticate"));
    assert!(response.body().contains("too many requests") && !response.body().contains("throttled"));
    assert!(
        log.lines()[0].starts_with("INFO tower_keep message=refused cause=\"limited\" reason=\"throttled\" status=429")
    );

    let grpc = answer(&layer, PEER, as_grpc(junk())).await;
    assert_eq!((grpc.status().as_u16(), only(&grpc, "grpc-status"), only(&grpc, "retry-after")), (200, "8", "8"));
}

#[tokio::test(start_paused = true)]
async fn attempts_come_back_with_time_however_often_a_client_is_refused_meanwhile() {
    let layer = ApiKeyLayer::new(store().0).throttle(three());
    fail(&layer, PEER, junk).await;

    for _ in 0..9 {
        advance(Duration::from_secs(1)).await;
        for _ in 0..10 {
            assert_eq!(status(&layer, PEER, junk()).await, 429);
        }
    }
    advance(Duration::from_secs(1)).await;
    assert_eq!(status(&layer, PEER, junk()).await, 401);
    assert_eq!(status(&layer, PEER, junk()).await, 429);

    advance(Duration::from_secs(30)).await;
    fail(&layer, PEER, junk).await;
    assert_eq!(status(&layer, PEER, junk()).await, 429);
}

#[tokio::test(start_paused = true)]
async fn one_network_is_one_client() {
    let cases = [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
        ("192.0.2.7", "::ffff:192.0.2.7", true),
        ("::ffff:192.0.2.7", "192.0.2.7", true),
        ("192.0.2.7", "192.0.2.8", false),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.8", false),
    ];
    for (one, other, same) in cases {
        let layer = ApiKeyLayer::new(store().0).throttle(three());
        fail(&layer, one, junk).await;
        assert_eq!(status(&layer, other, junk()).await == 429, same, "{one} {other}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_might_be_a_guess_is_counted() {
    let clock = TestClock::new();
    let keys = MemoryStore::with(rules(&clock));
    let issue = |new: NewKey| keys.issue(new).unwrap();
    let good = issue(NewKey::for_owner("a"));
    let expired = issue(NewKey::for_owner("a").expires_at(crate::support::at(crate::support::START + 5)));
    let rotated = issue(NewKey::for_owner("a"));
    keys.rotate(rotated.id(), Duration::from_secs(5)).unwrap();
    let elsewhere = issue(NewKey::for_owner("a").networks(["10.0.0.0/8"]));
    clock.advance(10);
    let down = store_fn(|_| async { Err(StoreError::unavailable("down")) }).rules(keys.rules());
    let down = ApiKeyLayer::new(down).throttle(three());
    let scoped = ApiKeyLayer::new(keys.clone()).throttle(three());
    let layer = ApiKeyLayer::new(keys).throttle(three());

    let uncounted = [
        (get("/"), 401),
        (with(junk(), "x-api-key", "second"), 400),
        (with_key(&expired), 401),
        (with_key(&rotated), 401),
        (with_key(&elsewhere), 403),
        (with_key(&good), 200),
    ];
    for (request, expected) in uncounted {
        for _ in 0..10 {
            let mut again = get("/");
            *again.headers_mut() = request.headers().clone();
            assert_eq!(status(&layer, PEER, again).await, expected, "{request:?}");
        }
    }
    for _ in 0..10 {
        assert_eq!(status(&down, PEER, with_key(&good)).await, 503);
        let service = over_tls(scoped.layer(RequireScopes::all(["admin"]).layer(Inner::new())));
        assert_eq!(service.oneshot(from_peer(with_key(&good), PEER)).await.unwrap().status(), 403);
    }
    fail(&layer, PEER, junk).await;

    let layer = ApiKeyLayer::new(store().0).throttle(three());
    let unowned = || with(get("/"), "authorization", "ApiKey no-key-at-all");
    fail(&layer, PEER, unowned).await;
    assert_eq!(status(&layer, PEER, unowned()).await, 429);
    assert_eq!(status(&layer, PEER, get("/")).await, 401);
    assert_eq!(status(&layer, PEER, with(junk(), "x-api-key", "second")).await, 400);
    assert_eq!(status(&layer.optional(), PEER, get("/")).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_key_is_an_attempt() {
    let (keys, issued) = store();
    keys.revoke(issued.id()).unwrap();
    let layer = ApiKeyLayer::new(keys).throttle(three());
    for expected in [401, 401, 401, 429] {
        assert_eq!(status(&layer, PEER, with_key(&issued)).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn verdicts_that_come_later_count() {
    let layer = ApiKeyLayer::new(Slow { store: store().0, polls: 3 }).throttle(three());
    let unknown = MemoryStore::with(rules(&TestClock::new())).issue(NewKey::for_owner("x")).unwrap();
    for expected in [401, 401, 401, 429, 429] {
        assert_eq!(status(&layer, PEER, with_key(&unknown)).await, expected);
    }
    let tickets = AuthLayer::over(Ticket).throttle(three());
    fail(&tickets, PEER, || with(get("/"), "ticket", "slow-bad")).await;
    assert_eq!(status(&tickets, PEER, with(get("/"), "ticket", "good")).await, 429, "a scheme that recalls nothing");
}

/// Counts how often signatures are verified.
struct Counting {
    tokens: Jwt,
    verified: Arc<AtomicUsize>,
}

impl TokenVerifier for Counting {
    fn verify(&self, token: &PresentedToken) -> Answer<Result<Principal, Rejection>> {
        self.verified.fetch_add(1, Ordering::Relaxed);
        self.tokens.verify(token)
    }

    fn form(&self) -> TokenForm {
        self.tokens.form()
    }

    fn remembered(&self, token: &PresentedToken) -> Option<Principal> {
        self.tokens.remembered(token)
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_remembered_passes_and_no_other_one_is_verified() {
    let signer = Signer::new(Algorithm::EdDSA);
    let (old, new) = (signer.token(&claims()), signer.token(&claims_with(serde_json::json!({ "sub": "new" }))));
    let verified = Arc::new(AtomicUsize::new(0));
    let tokens = Counting { tokens: signer.verifier().build().unwrap(), verified: Arc::clone(&verified) };
    let layer = BearerLayer::new(tokens).throttle(three());
    assert_eq!(status(&layer, PEER, bearer(&old)).await, 200);
    fail(&layer, PEER, junk_token).await;
    let before = verified.load(Ordering::Relaxed);

    assert_eq!(status(&layer, PEER, bearer(&old)).await, 200);
    assert_eq!(status(&layer, PEER, bearer(&new)).await, 429);
    assert_eq!(status(&layer, PEER, junk_token()).await, 429);
    assert_eq!(verified.load(Ordering::Relaxed), before);

    assert_eq!(status(&layer, "192.0.2.8", bearer(&new)).await, 200);
    assert_eq!(status(&layer, PEER, bearer(&new)).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_expired_is_no_guess() {
    let signer = Signer::new(Algorithm::EdDSA);
    let layer = BearerLayer::new(signer.verifier().build().unwrap()).throttle(three());
    let old = signer.token(&claims_with(serde_json::json!({ "exp": crate::support::START - 3600 })));
    for _ in 0..10 {
        assert_eq!(status(&layer, PEER, bearer(&old)).await, 401);
    }
    assert_eq!(status(&layer, PEER, bearer(&signer.token(&claims()))).await, 200);
}

#[tokio::test(start_paused = true)]
async fn either_scheme_recalls_what_it_knows_also_behind_several_issuers() {
    let signer = Signer::new(Algorithm::EdDSA);
    let token = signer.token(&claims());
    let jwt = signer.verifier().build().unwrap();
    let issuers = Issuers::new([(crate::tokens::mint::ISSUER, jwt)]).unwrap();
    let (keys, issued) = store();
    let layer = ApiKeyLayer::new(keys).throttle(three()).or(BearerLayer::new(issuers));
    assert_eq!(status(&layer, PEER, bearer(&token)).await, 200);
    fail(&layer, PEER, junk).await;

    assert_eq!(status(&layer, PEER, bearer(&token)).await, 200);
    assert_eq!(status(&layer, PEER, with_key(&issued)).await, 200);
    assert_eq!(status(&layer, PEER, junk_token()).await, 429);
}

#[tokio::test(start_paused = true)]
async fn without_an_address_the_throttle_is_off_and_says_so_once() {
    let (keys, issued) = store();
    let layer = ApiKeyLayer::new(keys).throttle(three());
    let log = logged();

    for _ in 0..10 {
        assert_eq!(send(layer.clone(), junk()).await.0.status(), 401);
        let service = over_tls(layer.clone().layer(Inner::new()));
        assert_eq!(service.oneshot(junk()).await.unwrap().status(), 401);
    }
    send(layer, with_key(&issued)).await;

    let told: Vec<_> = log.lines().into_iter().filter(|line| line.contains("message=throttle_off")).collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("WARN tower_keep") && told[0].contains("RequireHttps"), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn all_services_of_a_layer_count_together() {
    let layer = ApiKeyLayer::new(store().0).throttle(three());
    let routes = [over_tls(layer.layer(Inner::new())), over_tls(layer.clone().layer(Inner::new()))];
    let mut statuses = Vec::new();
    for route in [0, 1, 0, 1, 0] {
        let response = routes[route].clone().oneshot(from_peer(junk(), PEER)).await.unwrap();
        statuses.push(response.status().as_u16());
    }
    assert_eq!(statuses, [401, 401, 401, 429, 429]);
    assert_eq!(status(&ApiKeyLayer::new(store().0).throttle(three()), PEER, junk()).await, 401);
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_only_reports_throttles_nobody_and_says_whom_it_would() {
    let layer = ApiKeyLayer::new(store().0).throttle(three()).report_only();
    let log = logged();
    for _ in 0..5 {
        assert_eq!(status(&layer, PEER, junk()).await, 200);
    }
    let lines = log.lines().concat();
    assert_eq!(lines.matches("reason=\"key_foreign\"").count(), 3, "{lines}");
    assert_eq!(lines.matches("reason=\"throttled\"").count(), 2, "{lines}");
}

#[tokio::test(start_paused = true)]
async fn an_optional_layer_throttles_those_who_present_something() {
    let layer = ApiKeyLayer::new(store().0).throttle(three()).optional();
    fail(&layer, PEER, junk).await;
    assert_eq!(status(&layer, PEER, junk()).await, 429);
    assert_eq!(status(&layer, PEER, get("/")).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_throttled_requests_does_not_hide_a_known_caller_from_the_log() {
    let (keys, issued) = store();
    let layer = ApiKeyLayer::new(keys).throttle(three()).refusals_logged_per_second(1);
    fail(&layer, PEER, junk).await;
    for _ in 0..10 {
        assert_eq!(status(&layer, PEER, junk()).await, 429);
    }
    let log = logged();
    let service = over_tls(layer.layer(RequireScopes::all(["admin"]).layer(Inner::new())));
    service.oneshot(from_peer(with_key(&issued), PEER)).await.unwrap();
    assert!(log.lines().concat().contains("reason=\"scope_missing\""));
}

#[test]
fn throttled_requests_are_counted_by_their_reason() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let layer = ApiKeyLayer::new(store().0).throttle(three());
    let counts = counted_while(|| {
        runtime.block_on(async {
            fail(&layer, PEER, junk).await;
            status(&layer, PEER, junk()).await;
        });
    });
    assert_eq!(counts["tower_keep_refused_total{cause=limited,reason=throttled,report_only=false}"], 1);
}

#[tokio::test(start_paused = true)]
async fn many_clients_take_a_bounded_room() {
    let layer = ApiKeyLayer::new(store().0).throttle(three().capacity(1024));
    let service = over_tls(layer.layer(Inner::new()));
    fail(&layer, PEER, junk).await;
    let mut random = 1_u64;
    for _ in 0..100_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let peer = std::net::Ipv6Addr::from((u128::from(random) << 64) | 1);
        let mut request = junk();
        request.extensions_mut().insert(std::net::SocketAddr::new(peer.into(), 1));
        assert_eq!(service.clone().oneshot(request).await.unwrap().status(), 401);
    }

    let told = format!("{layer:?}");
    let peers = told.split("peers: ").nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    let peers: usize = peers.unwrap().parse().unwrap();
    assert!((1000..=1024).contains(&peers), "{told}");
    assert_eq!(status(&layer, PEER, junk()).await, 429, "whoever failed most often stays");
}

#[test]
fn settings_that_make_no_sense_are_put_right() {
    let layer = ApiKeyLayer::new(store().0);
    let odd = [
        FailedAttempts::per_peer(0, Duration::ZERO),
        FailedAttempts::per_peer(u32::MAX, Duration::ZERO),
        FailedAttempts::per_peer(u32::MAX, Duration::MAX),
        FailedAttempts::default().capacity(0),
    ];
    for limit in odd {
        let told = format!("{:?}", layer.clone().throttle(limit));
        assert!(told.contains("peers: 0"), "{told}");
    }
    assert_eq!(FailedAttempts::default(), FailedAttempts::per_peer(20, Duration::from_secs(120)));
}
