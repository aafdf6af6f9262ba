//! Many keys at once, most of them made up.

use http::StatusCode;
use tokio::time::{Instant, advance};
use tower_keep::{ApiKeyLayer, Cached, KeyDigest, KeyId, KeyStore, Lookup, NewKey, Notice};

use super::{Far, MILLISECOND, SECOND, Weather, outage, settle};
use crate::support::{status, with_key};

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
    for _ in 0..1_000 {
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
