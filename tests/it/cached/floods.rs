//! Many keys at once, most of them made up.

use http::StatusCode;
use std::future::Future;

use tokio::time::{Instant, advance};
use tower_keep::{ApiKeyLayer, Cached, KeyDigest, KeyHasher, KeyId, KeyStore, Lookup, NewKey, Notice, Secret};

use super::{Far, MILLISECOND, SECOND, Weather, outage, settle};
use crate::support::{TestClock, get, rules, status, with, with_key};

#[tokio::test(start_paused = true)]
async fn a_flood_of_made_up_keys_is_no_flood_of_questions() {
    let (far, issued, _) = Far::with_key();
    let cached = Cached::new(far.clone());
    let layer = ApiKeyLayer::new(cached.clone());
    assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::OK);
    settle().await;
    status(layer.clone(), with_key(&issued)).await;
    far.asked();
    far.set(Weather::Hanging);

    let flood: Vec<_> = (0..1_500)
        .map(|_| tokio::spawn(status(layer.clone(), with_key(&far.rules().issue(NewKey::for_owner("x")).unwrap()))))
        .collect();
    settle().await;

    assert_eq!(far.asked(), 192);
    assert_eq!(flood.iter().filter(|request| request.is_finished()).count(), 1_500 - 1_024, "the others do not wait");
    let start = Instant::now();
    assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::OK);
    for request in flood {
        assert_eq!(request.await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(start.elapsed() <= 2 * SECOND);
    // And unknown keys take no room of known ones.
    far.set(Weather::Fair);
    for n in 0..20_000 {
        let _none = cached.find(&Lookup::Id(KeyId::new(&format!("made-up-{n}")).unwrap())).await;
    }
    far.asked();
    assert_eq!(status(layer, with_key(&issued)).await, StatusCode::OK);
    assert_eq!(far.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_keys_keeps_nobody_from_a_copy_that_is_in_doubt() {
    let (far, issued, _) = Far::with_key();
    let layer = ApiKeyLayer::new(Cached::new(far.clone()));
    status(layer.clone(), with_key(&issued)).await;
    settle().await;
    status(layer.clone(), with_key(&issued)).await;
    far.set(Weather::Hanging);
    far.tell(Notice::Disconnected(outage())).await;
    for _ in 0..300 {
        tokio::spawn(status(layer.clone(), with_key(&far.rules().issue(NewKey::for_owner("x")).unwrap())));
    }
    settle().await;

    assert_eq!(status(layer, with_key(&issued)).await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_keys_makes_no_copy_good_for_longer() {
    let (far, issued, _) = Far::with_key();
    let cached = Cached::new(far.clone()).stale_while_down(60 * SECOND).unwrap();
    let layer = ApiKeyLayer::new(cached);
    assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::OK);
    settle().await;
    assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::OK);
    far.keys.revoke(issued.id()).unwrap();
    advance(11 * SECOND).await;
    far.set(Weather::Slow(100 * MILLISECOND));

    for _ in 0..1_500 {
        tokio::spawn(status(layer.clone(), with_key(&far.rules().issue(NewKey::for_owner("x")).unwrap())));
    }
    settle().await;
    let under_load = status(layer.clone(), with_key(&issued)).await;

    assert_ne!(under_load, StatusCode::OK, "the store is up, and what is stale is not served");
    for _ in 0..30 {
        advance(100 * MILLISECOND).await;
        settle().await;
    }
    assert_eq!(status(layer, with_key(&issued)).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_keys_keeps_no_known_one_from_being_asked_for() {
    let (far, issued, _) = Far::with_key();
    let layer = ApiKeyLayer::new(Cached::new(far.clone()));
    assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::OK);
    settle().await;
    assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::OK);
    advance(11 * SECOND).await;
    far.set(Weather::Slow(SECOND));
    for _ in 0..1_500 {
        tokio::spawn(status(layer.clone(), with_key(&far.rules().issue(NewKey::for_owner("x")).unwrap())));
    }
    settle().await;

    let start = Instant::now();
    assert_eq!(status(layer, with_key(&issued)).await, StatusCode::OK);
    assert!(start.elapsed() <= 1_001 * MILLISECOND, "it waits for its own answer alone: {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn changes_that_overtake_look_ups_make_no_more_of_them() {
    let (far, issued, _) = Far::with_key();
    let cached = Cached::new(far.clone());
    cached.find(&Lookup::Id(*issued.id())).await.unwrap();
    settle().await;
    far.asked();
    far.set(Weather::Hanging);

    let digest = |n: u16| KeyDigest::new("sha256".parse().unwrap(), std::array::from_fn(|i| (n >> (i % 2 * 8)) as u8));
    for n in 0..5_000_u16 {
        tokio::spawn(cached.find(&Lookup::Digest(digest(n))).into_future());
        if n % 250 == 0 {
            far.tell(Notice::Changed(KeyId::new("another").unwrap())).await;
        }
    }
    settle().await;

    assert_eq!(far.asked(), 192);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_moved_in_is_known_as_any_other() {
    let clock = TestClock::new();
    let hasher = KeyHasher::peppered("p1", [7; 32]).unwrap().also_accepting_bare_sha256().unwrap();
    let far = Far::new(rules(&clock).with_hasher(hasher).accepting_imported());
    let key = "an-old-key-of-some-other-system";
    far.keys.import(&Secret::new(key.to_owned()), NewKey::for_owner("legacy")).unwrap();
    let request = || with(get("/"), "x-api-key", key);
    let layer = ApiKeyLayer::new(Cached::new(far.clone()));
    for _ in 0..2 {
        assert_eq!(status(layer.clone(), request()).await, StatusCode::OK);
        settle().await;
    }
    for n in 0..20_000 {
        status(layer.clone(), with(get("/"), "x-api-key", &format!("a-key-that-was-made-up-{n}"))).await;
    }
    far.set(Weather::Hanging);
    advance(3 * SECOND).await;
    far.asked();

    let start = Instant::now();
    assert_eq!(status(layer, request()).await, StatusCode::OK);

    assert_eq!(start.elapsed(), std::time::Duration::ZERO);
    assert_eq!(far.asked(), 0, "that it has no digest of an older kind is not asked about");
}

#[test]
fn a_runtime_that_has_ended_is_an_outage_and_no_deadlock() {
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let handle = runtime.handle().clone();
        let (far, issued, _) = Far::with_key();
        let cached = Cached::new(far);
        drop(runtime);
        let _within = handle.enter();
        let mut finding = std::pin::pin!(cached.find(&Lookup::Id(*issued.id())).into_future());
        let _pending = finding.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        cached.clear();
        done.send(()).unwrap();
    });

    assert!(ended.recv_timeout(std::time::Duration::from_secs(10)).is_ok());
}
