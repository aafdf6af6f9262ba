//! Credentials that came over plain HTTP: who is told, and what becomes of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::Layer;
use tower_keep::{
    Algorithm, ApiKey, ApiKeyLayer, AuthLayer, Bearer, BearerLayer, Denial, DenyList, Exposed, IssuedKey,
    MemoryDenyList, MemoryStore, NewKey, Principal, RequireHttps, StoreError, TokenFacts, TrustedProxies, mark_plain,
    store_fn,
};

use super::Listener::{Plain, Secure, Unmarked};
use super::{behind, call, from, layer, proxied, send_over};
use crate::log::logged;
use crate::support::{Inner, Slow, TestClock, get, rules, status, store, with, with_key};
use crate::tokens::mint::{Signer, claims_with};

/// Notes what it is told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(String, Exposed)>>>);

impl Told {
    fn watching(&self, layer: RequireHttps) -> RequireHttps {
        let told = self.clone();
        layer.on_exposed(move |who: &Principal, done| {
            told.0.lock().unwrap().push((who.credential_id().unwrap_or("-").to_owned(), done));
        })
    }

    /// Takes what was told once all that was looked at is done.
    async fn take(&self) -> Vec<(String, Exposed)> {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn revoking(keys: &MemoryStore) -> ApiKeyLayer {
    ApiKeyLayer::over(ApiKey::new(keys.clone()).bearer().revoke_exposed(keys.clone()))
}

fn is_good(keys: &MemoryStore, issued: &IssuedKey) -> bool {
    keys.get(issued.id()).unwrap().revoked_at().is_none()
}

fn id(issued: &IssuedKey) -> String {
    issued.id().to_string()
}

#[tokio::test]
async fn an_exposed_key_is_reported_and_stays_good_unless_more_is_asked_for() {
    let (keys, issued) = store();
    let told = Told::default();
    let layer = told.watching(layer().watch(&ApiKeyLayer::new(keys.clone())));
    let log = logged();

    let (response, _) = send_over(&layer, Plain, from(with_key(&issued), "192.0.2.1")).await;

    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(told.take().await, [(id(&issued), Exposed::Reported)]);
    assert!(is_good(&keys, &issued));
    let lines = log.lines();
    let expected = format!(
        "WARN tower_keep message=exposed scheme=\"api-key\" subject=\"billing\" credential_id=\"{}\" action=\"reported\" suppressed=0",
        issued.id()
    );
    assert!(lines.contains(&expected), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains(issued.key().expose())), "{lines:?}");
}

#[tokio::test]
async fn an_exposed_key_is_revoked_where_that_is_asked_for_wherever_it_stood() {
    let places = |key: &str| {
        [
            ("x-api-key", key.to_owned()),
            ("authorization", format!("ApiKey {key}")),
            ("authorization", format!("Bearer {key}")),
        ]
    };
    for place in 0..3 {
        let (keys, issued) = store();
        let told = Told::default();
        let layer = told.watching(layer().watch(&revoking(&keys)));
        let (name, value) = &places(issued.key().expose())[place];

        send_over(&layer, Plain, from(with(get("/"), name, value), "192.0.2.1")).await;

        assert_eq!(told.take().await, [(id(&issued), Exposed::Revoked)], "{name}");
        assert_eq!(status(ApiKeyLayer::new(keys), with_key(&issued)).await, StatusCode::UNAUTHORIZED, "{name}");
    }
}

#[tokio::test]
async fn the_answer_is_there_before_anybody_looks() {
    let looked = Arc::new(Mutex::new(0));
    let inside = Arc::clone(&looked);
    let (keys, issued) = store();
    let rules = keys.rules();
    let counting = store_fn(move |_| {
        *inside.lock().unwrap() += 1;
        let found = keys.list(&Default::default(), None, 1).records.pop();
        async move { Ok(found) }
    });
    let layer = layer().watch(&ApiKeyLayer::new(counting.rules(rules)));

    send_over(&layer, Plain, from(with_key(&issued), "192.0.2.1")).await;
    assert_eq!(*looked.lock().unwrap(), 0, "somebody looked before the answer was there");

    Told::default().take().await;
    assert_eq!(*looked.lock().unwrap(), 1);
}

#[tokio::test]
async fn it_takes_the_whole_key() {
    let (keys, issued) = store();
    let other_secret = keys.rules().reissue(issued.id()).unwrap().0;
    let told = Told::default();
    let layer = told.watching(layer().watch(&revoking(&keys)));
    let key = issued.key().expose();
    let mut mistyped = key.to_owned();
    mistyped.pop();
    let guesses = [other_secret.expose(), &mistyped, issued.id().as_str(), "", "junk"];

    for guess in guesses {
        send_over(&layer, Plain, from(with(get("/"), "x-api-key", guess), "192.0.2.1")).await;
    }
    // Two at once are no credential, and neither is one that is good for nothing.
    send_over(&layer, Plain, from(with(with_key(&issued), "x-api-key", key), "192.0.2.1")).await;
    let revoked = keys.issue(NewKey::for_owner("a")).unwrap();
    keys.revoke(revoked.id()).unwrap();
    send_over(&layer, Plain, from(with_key(&revoked), "192.0.2.1")).await;

    assert_eq!(told.take().await, []);
    assert!(is_good(&keys, &issued));
}

#[tokio::test]
async fn only_a_proven_plain_transport_exposes() {
    let (keys, issued) = store();
    let told = Told::default();
    let layer = told.watching(layer().watch(&revoking(&keys)));
    let key = issued.key().expose();
    let by_proxy = |fields: &[(&str, &str)]| proxied(&[fields, &[("x-api-key", key)]].concat());
    let cases = [
        (Secure, from(with_key(&issued), "192.0.2.1")),
        (Unmarked, from(with_key(&issued), "192.0.2.1")),
        (Unmarked, super::from_nowhere(with_key(&issued))),
        (Plain, super::from_nowhere(with_key(&issued))),
        (Plain, from(with(with_key(&issued), "x-forwarded-proto", "https"), "192.0.2.1")),
        (Plain, from(with(with_key(&issued), "x-forwarded-proto", "http"), "192.0.2.1")),
        (Plain, by_proxy(&[])),
        (Plain, by_proxy(&[("x-forwarded-proto", "https")])),
        (Plain, by_proxy(&[("x-forwarded-proto", "https,http")])),
        (Plain, by_proxy(&[("x-forwarded-proto", "http"), ("forwarded", "proto=https")])),
    ];
    for (listener, request) in cases {
        let described = format!("{listener:?} {:?}", request.headers().keys().collect::<Vec<_>>());
        send_over(&layer, listener, request).await;
        assert_eq!(told.take().await, [], "{described}");
    }
    assert!(is_good(&keys, &issued));

    send_over(&layer, Unmarked, by_proxy(&[("x-forwarded-proto", "http")])).await;
    assert_eq!(told.take().await, [(id(&issued), Exposed::Revoked)]);
}

#[tokio::test]
async fn a_bad_list_of_proxies_with_all_customers_behind_it_revokes_none() {
    let keys = MemoryStore::with(rules(&TestClock::new()));
    let customers: Vec<_> = (0..200).map(|n| keys.issue(NewKey::for_owner(format!("c{n}"))).unwrap()).collect();
    let told = Told::default();
    // The proxy is at 10.0.0.1, and the list names another network.
    let layer = behind(TrustedProxies::new(["172.16.0.0/12"]).unwrap()).watch(&revoking(&keys));
    let layer = told.watching(layer);

    for proto in ["https", "http"] {
        for customer in &customers {
            for listener in [Plain, Unmarked] {
                let request = proxied(&[("x-forwarded-proto", proto), ("x-api-key", customer.key().expose())]);
                let (response, inside) = send_over(&layer, listener, request).await;
                assert_eq!(response.status(), StatusCode::FORBIDDEN);
                assert!(inside.is_none());
            }
        }
    }

    assert_eq!(told.take().await, []);
    assert!(customers.iter().all(|customer| is_good(&keys, customer)));
}

#[tokio::test]
async fn too_many_at_once_end_revoking_and_are_reported() {
    let keys = MemoryStore::with(rules(&TestClock::new()));
    let customers: Vec<_> = (0..20).map(|n| keys.issue(NewKey::for_owner(format!("c{n}"))).unwrap()).collect();
    let told = Told::default();
    let layer = told.watching(layer().watch(&revoking(&keys)));
    let log = logged();

    // A proxy that says `http` of everything; every client tries again.
    let mut all = Vec::new();
    for customer in &customers {
        for _ in 0..2 {
            let request = proxied(&[("x-forwarded-proto", "http"), ("x-api-key", customer.key().expose())]);
            send_over(&layer, Unmarked, request).await;
            all.extend(told.take().await);
        }
    }

    let revoked: Vec<_> = customers.iter().filter(|customer| !is_good(&keys, customer)).collect();
    assert_eq!(revoked.len(), 10);
    assert_eq!(all.iter().filter(|(_, done)| *done == Exposed::Revoked).count(), 10);
    assert_eq!(all.iter().filter(|(_, done)| *done == Exposed::RevocationStopped).count(), 10);
    let stopped = log.lines().into_iter().find(|line| line.contains("action=\"revocation_stopped\""));
    assert!(stopped.unwrap().starts_with("ERROR tower_keep message=exposed"));
}

#[tokio::test]
async fn how_many_are_revoked_is_a_setting_and_the_same_key_counts_once() {
    let keys = MemoryStore::with(rules(&TestClock::new()));
    let customers: Vec<_> = (0..3).map(|n| keys.issue(NewKey::for_owner(format!("c{n}"))).unwrap()).collect();
    let told = Told::default();
    // It answers later, so that several requests with one key are looked at before it is revoked.
    let slow = ApiKey::new(Slow { store: keys.clone(), polls: 3 }).revoke_exposed(keys.clone());
    let layer = told.watching(layer().watch(&ApiKeyLayer::over(slow)).revocations_per_minute(2));

    for customer in &customers {
        for _ in 0..3 {
            send_over(&layer, Plain, from(with_key(customer), "192.0.2.1")).await;
        }
    }

    told.take().await;
    assert_eq!(customers.iter().filter(|customer| is_good(&keys, customer)).count(), 1);
}

#[tokio::test]
async fn a_store_that_is_down_tells_nothing_and_the_log_says_so() {
    let (keys, issued) = store();
    let rules = keys.rules();
    let down = store_fn(|_| async { Err(StoreError::unavailable("connection refused")) }).rules(rules);
    let told = Told::default();
    let layer = told.watching(layer().watch(&ApiKeyLayer::over(ApiKey::new(down).revoke_exposed(keys.clone()))));
    let log = logged();

    let (response, _) = send_over(&layer, Plain, from(with_key(&issued), "192.0.2.1")).await;

    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(told.take().await, []);
    assert!(is_good(&keys, &issued));
    let lines = log.lines();
    let unknown = lines.iter().find(|line| line.contains("action=\"unknown\"")).unwrap();
    assert!(unknown.starts_with("ERROR") && unknown.contains("connection refused"), "{unknown}");
}

#[tokio::test]
async fn a_revocation_that_fails_is_told_and_tried_again() {
    let (keys, issued) = store();
    let told = Told::default();
    // It revokes in a store that does not have the key.
    let elsewhere = MemoryStore::with(rules(&TestClock::new()));
    let guard = ApiKeyLayer::over(ApiKey::new(keys.clone()).revoke_exposed(elsewhere.clone()));
    let layer = told.watching(layer().watch(&guard).revocations_per_minute(1));
    let log = logged();

    send_over(&layer, Plain, from(with_key(&issued), "192.0.2.1")).await;
    assert_eq!(told.take().await, [(id(&issued), Exposed::RevocationFailed)]);
    // It is tried again, and as nothing is new about it, not told again.
    send_over(&layer, Plain, from(with_key(&issued), "192.0.2.1")).await;
    assert_eq!(told.take().await, []);
    elsewhere.insert((*keys.get(issued.id()).unwrap()).clone()).unwrap();
    send_over(&layer, Plain, from(with_key(&issued), "192.0.2.1")).await;
    assert_eq!(told.take().await, [(id(&issued), Exposed::Revoked)]);

    let failed = log.lines().into_iter().find(|line| line.contains("action=\"revocation_failed\"")).unwrap();
    assert!(failed.starts_with("ERROR") && failed.contains("there is no key of that id"), "{failed}");
}

#[tokio::test]
async fn a_key_that_will_be_good_later_or_was_rotated_is_exposed_too() {
    let clock = TestClock::new();
    let keys = MemoryStore::with(rules(&clock));
    let told = Told::default();
    let layer = told.watching(layer().watch(&revoking(&keys)));
    let later = keys.issue(NewKey::for_owner("a").not_before(crate::support::at(crate::support::START + 60))).unwrap();
    let old = keys.issue(NewKey::for_owner("b")).unwrap();
    let new = keys.rotate(old.id(), std::time::Duration::from_secs(60)).unwrap();
    let over = keys.issue(NewKey::for_owner("c")).unwrap();
    keys.rotate(over.id(), std::time::Duration::ZERO).unwrap();

    for key in [&later, &old, &over] {
        send_over(&layer, Plain, from(with_key(key), "192.0.2.1")).await;
    }

    assert_eq!(told.take().await, [(id(&later), Exposed::Revoked), (id(&old), Exposed::Revoked)]);
    // All secrets of a key end with it.
    assert_eq!(status(ApiKeyLayer::new(keys.clone()), with_key(&new)).await, StatusCode::UNAUTHORIZED);
    assert!(is_good(&keys, &over));
}

#[tokio::test]
async fn an_exposed_token_is_denied_and_no_other_one_is() {
    let denied = MemoryDenyList::with_clock(TestClock::new());
    let signer = Signer::new(Algorithm::EdDSA);
    let tokens = signer.verifier().deny_list(denied.clone()).build().unwrap();
    let guard = BearerLayer::over(Bearer::new(tokens).revoke_exposed(denied.clone()));
    let told = Told::default();
    let layer = told.watching(layer().watch(&guard));
    let bearer = |token: &str| with(get("/"), "authorization", &format!("Bearer {token}"));
    let token = |jti: Value| signer.token(&claims_with(json!({ "jti": jti })));
    let (one, other, without_id) = (token("one".into()), token("other".into()), token(Value::Null));

    for token in [&one, &without_id, &one.replacen('.', ".x", 1)] {
        send_over(&layer, Plain, from(bearer(token), "192.0.2.1")).await;
    }

    assert_eq!(told.take().await, [("one".to_owned(), Exposed::Revoked), ("-".to_owned(), Exposed::Reported)]);
    assert_eq!(status(guard.clone(), bearer(&one)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(guard.clone(), bearer(&other)).await, StatusCode::OK);
    assert_eq!(status(guard, bearer(&without_id)).await, StatusCode::OK);
    // The same id of another issuer is another token.
    let mut facts = TokenFacts::new("alice");
    facts.jti = Some("one");
    facts.issuer = Some("https://other.example.com");
    assert!(matches!(denied.denies(&facts).now(), Some(Ok(false))));
    // It is kept for as long as the token could be let in, and not for good.
    assert!(!denied.allow(&Denial::token("one")));
    assert_eq!(denied.len(), 1);
}

#[tokio::test]
async fn either_credential_of_one_layer_is_found() {
    let (keys, issued) = store();
    let signer = Signer::new(Algorithm::EdDSA);
    let tokens = signer.verifier().build().unwrap();
    let guard = revoking(&keys).or(BearerLayer::new(tokens));
    let told = Told::default();
    let layer = told.watching(layer().watch(&guard));
    let token =
        with(get("/"), "authorization", &format!("Bearer {}", signer.token(&claims_with(json!({ "jti": "t" })))));
    let key = with(get("/"), "authorization", &format!("Bearer {}", issued.key().expose()));

    for request in [token, key] {
        send_over(&layer, Plain, from(request, "192.0.2.1")).await;
    }

    assert_eq!(told.take().await, [("t".to_owned(), Exposed::Reported), (id(&issued), Exposed::Revoked)]);
}

#[tokio::test]
async fn several_layers_may_be_watched_and_one_of_ones_own_knows_nothing_unless_it_says_so() {
    let (keys, issued) = store();
    let told = Told::default();
    let layer = layer().watch(&AuthLayer::over(crate::support::Ticket)).watch(&revoking(&keys));
    let layer = told.watching(layer);

    send_over(&layer, Plain, from(with(with_key(&issued), "ticket", "good"), "192.0.2.1")).await;

    assert_eq!(told.take().await, [(id(&issued), Exposed::Revoked)]);
}

#[tokio::test]
async fn a_key_that_comes_all_the_time_is_told_of_once_and_hides_no_other() {
    let keys = MemoryStore::with(rules(&TestClock::new()));
    let (noisy, quiet) = (keys.issue(NewKey::for_owner("a")).unwrap(), keys.issue(NewKey::for_owner("b")).unwrap());
    let told = Told::default();
    let layer = told.watching(layer().watch(&ApiKeyLayer::new(keys)));
    let log = logged();

    let mut all = Vec::new();
    for key in std::iter::repeat_n(&noisy, 200).chain([&quiet]) {
        send_over(&layer, Plain, with_key(key)).await;
        all.extend(told.take().await);
    }

    // Beyond 128, too: the place of each is free when it is done.
    assert_eq!(all, [(id(&noisy), Exposed::Reported), (id(&quiet), Exposed::Reported)]);
    let lines = log.lines();
    let exposed: Vec<_> = lines.iter().filter(|line| line.contains("message=exposed")).collect();
    assert_eq!(exposed.len(), 2, "{exposed:?}");
    assert!(exposed[1].contains(quiet.id().as_str()), "{exposed:?}");
}

#[tokio::test]
async fn two_credentials_at_once_are_said_to_have_been_there() {
    let (keys, issued) = store();
    let told = Told::default();
    let layer = told.watching(layer().watch(&ApiKeyLayer::new(keys)));
    let log = logged();

    send_over(&layer, Plain, with(with_key(&issued), "x-api-key", issued.key().expose())).await;

    assert_eq!(told.take().await, []);
    let lines = log.lines();
    let unknown = lines.iter().find(|line| line.contains("action=\"unknown\"")).expect("it is told");
    assert!(unknown.starts_with("WARN") && unknown.contains("credential_repeated"), "{unknown}");
    assert!(!unknown.contains(issued.key().expose()));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_takes_the_watch_for_ten_seconds_and_says_so() {
    let (keys, issued) = store();
    let rules = keys.rules();
    let hangs = Arc::new(AtomicBool::new(true));
    let (hanging, found) = (Arc::clone(&hangs), keys.get(issued.id()));
    let moody = store_fn(move |_| {
        let (hangs, found) = (hanging.load(Ordering::SeqCst), found.clone());
        async move {
            match hangs {
                true => std::future::pending().await,
                false => Ok(found),
            }
        }
    });
    let told = Told::default();
    let layer = told.watching(layer().watch(&ApiKeyLayer::new(moody.rules(rules))));
    let log = logged();
    for _ in 0..129 {
        send_over(&layer, Plain, with_key(&issued)).await;
    }
    assert!(log.lines().iter().any(|line| line.starts_with("WARN") && line.contains("action=\"skipped\"")));

    told.take().await;
    hangs.store(false, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(11)).await;
    told.take().await;

    assert!(log.lines().iter().any(|line| line.starts_with("ERROR") && line.contains("finding out took more than 10")));
    send_over(&layer, Plain, with_key(&issued)).await;
    assert_eq!(told.take().await, [(id(&issued), Exposed::Reported)]);
}

#[tokio::test]
async fn each_watched_layer_has_a_number_of_its_own() {
    let (keys, issued) = store();
    let denied = MemoryDenyList::with_clock(TestClock::new());
    let signer = Signer::new(Algorithm::EdDSA);
    let tokens = signer.verifier().deny_list(denied.clone()).build().unwrap();
    let of_tokens = BearerLayer::over(Bearer::new(tokens).revoke_exposed(denied));
    let told = Told::default();
    let layer = told.watching(layer().watch(&of_tokens).watch(&revoking(&keys)));

    // Whoever can log in often has many tokens.
    for number in 0..20 {
        let token = signer.token(&claims_with(json!({ "jti": format!("t{number}") })));
        send_over(&layer, Plain, with(get("/"), "authorization", &format!("Bearer {token}"))).await;
        told.take().await;
    }
    send_over(&layer, Plain, with_key(&issued)).await;

    assert_eq!(told.take().await, [(id(&issued), Exposed::Revoked)]);
}

#[tokio::test]
async fn an_exempt_path_exposes_as_well() {
    let (keys, issued) = store();
    let told = Told::default();
    let layer = told.watching(layer().exempt("/healthz").unwrap().watch(&revoking(&keys)));
    let request = with(get("/healthz"), "x-api-key", issued.key().expose());

    let (response, inside) = send_over(&layer, Plain, from(request, "192.0.2.1")).await;

    assert_eq!(response.status(), StatusCode::OK);
    assert!(inside.is_some());
    assert_eq!(told.take().await, [(id(&issued), Exposed::Revoked)]);
}

#[test]
fn without_a_runtime_requests_are_refused_all_the_same_and_the_log_says_so() {
    use std::future::Future;

    let (keys, issued) = store();
    let https = layer().watch(&revoking(&keys));
    let log = logged();

    let request: Request<String> = from(with_key(&issued), "192.0.2.1");
    let mut response = Box::pin(call(mark_plain(https.layer(Inner::new())), request));
    let polled = response.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));

    assert!(matches!(polled, std::task::Poll::Ready(response) if response.status() == StatusCode::FORBIDDEN));
    assert!(is_good(&keys, &issued));
    assert!(log.lines().iter().any(|line| line.starts_with("ERROR") && line.contains("runtime of tokio")));
}

#[tokio::test]
async fn a_flood_is_looked_at_as_far_as_there_is_room() {
    let (keys, issued) = store();
    let rules = keys.rules();
    let started = Arc::new(Mutex::new(0));
    let inside = Arc::clone(&started);
    let hanging = store_fn(move |_| {
        *inside.lock().unwrap() += 1;
        std::future::pending()
    });
    let layer = layer().watch(&ApiKeyLayer::new(hanging.rules(rules)));

    for _ in 0..1_000 {
        let (response, _) = send_over(&layer, Plain, from(with_key(&issued), "192.0.2.1")).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
    }

    Told::default().take().await;
    assert_eq!(*started.lock().unwrap(), 128);
}
