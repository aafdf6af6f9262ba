//! A store that fails, and a link over which nothing is told any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, advance};
use tower_keep::{ApiKeyLayer, Cached, KeyId, KeyStore, Lookup, NewKey, Notice, StoreError};

use super::{Far, MILLISECOND, SECOND, Weather, outage, settle};
use crate::support::{send, status, values, with_key};

#[tokio::test(start_paused = true)]
async fn an_outage_is_503_for_unknown_keys_and_nothing_for_known_ones() {
    let (far, issued, _) = Far::with_key();
    let another = far.keys.issue(NewKey::for_owner("other")).unwrap();
    let layer = ApiKeyLayer::new(Cached::new(far.clone()));
    assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::OK);

    for weather in [Weather::Down, Weather::Hanging] {
        far.set(weather);
        let start = Instant::now();
        let (response, _) = send(layer.clone(), with_key(&another)).await;

        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{weather:?}");
        assert_eq!(values(response.headers(), "retry-after"), ["1"]);
        assert!(start.elapsed() <= 2 * SECOND, "{weather:?}");
        assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::OK);
    }

    far.set(Weather::Fair);
    assert_eq!(status(layer, with_key(&another)).await, StatusCode::OK, "an error is not remembered");
}

#[tokio::test(start_paused = true)]
async fn nothing_stale_is_served_unless_it_is_asked_for() {
    let (far, issued, _) = Far::with_key();
    let strict = ApiKeyLayer::new(Cached::new(far.clone()));
    let lenient = ApiKeyLayer::new(Cached::new(far.clone()).stale_while_down(30 * SECOND).unwrap());
    for layer in [&strict, &lenient] {
        assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::OK);
        settle().await;
        assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::OK);
    }

    advance(10 * SECOND).await;
    far.set(Weather::Down);

    assert_eq!(status(strict, with_key(&issued)).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(status(lenient.clone(), with_key(&issued)).await, StatusCode::OK);
    advance(30 * SECOND).await;
    assert_eq!(status(lenient.clone(), with_key(&issued)).await, StatusCode::SERVICE_UNAVAILABLE, "but not for ever");
    // While the store answers, nobody is served what is old.
    far.set(Weather::Fair);
    assert_eq!(status(lenient.clone(), with_key(&issued)).await, StatusCode::OK);
    far.keys.revoke(issued.id()).unwrap();
    advance(10 * SECOND).await;
    assert_eq!(status(lenient, with_key(&issued)).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn what_was_told_as_changed_is_not_served_stale() {
    let (far, issued, _) = Far::with_key();
    let layer = ApiKeyLayer::new(Cached::new(far.clone()).stale_while_down(60 * SECOND).unwrap());
    assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::OK);
    settle().await;

    far.set(Weather::Down);
    far.tell(Notice::Changed(*issued.id())).await;

    assert_eq!(status(layer, with_key(&issued)).await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_lost_puts_every_copy_in_doubt() {
    let (far, issued, _) = Far::with_key();
    let cached = Cached::new(far.clone());
    let layer = ApiKeyLayer::new(cached.clone());
    status(layer.clone(), with_key(&issued)).await;
    settle().await;
    status(layer.clone(), with_key(&issued)).await;
    far.asked();
    assert_eq!(cached.is_told(), Some(true));

    far.keys.revoke(issued.id()).unwrap();
    far.tell(Notice::Disconnected(outage())).await;

    assert_eq!(cached.is_told(), Some(false));
    assert_eq!(status(layer, with_key(&issued)).await, StatusCode::UNAUTHORIZED, "the store was asked");
    assert_eq!(far.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_leaves_copies_good_for_their_time() {
    for weather in [Weather::Down, Weather::Hanging] {
        let (far, issued, _) = Far::with_key();
        let layer = ApiKeyLayer::new(Cached::new(far.clone()));
        status(layer.clone(), with_key(&issued)).await;
        settle().await;
        status(layer.clone(), with_key(&issued)).await;
        let start = Instant::now();
        far.set(weather);
        far.tell(Notice::Disconnected(outage())).await;

        let mut longest = Duration::ZERO;
        while start.elapsed() < 9 * SECOND {
            let asked = Instant::now();
            assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::OK, "{weather:?}");
            longest = longest.max(asked.elapsed());
            advance(10 * MILLISECOND).await;
        }

        assert!(longest <= 252 * MILLISECOND, "{longest:?}");
        assert!(far.asked() < 20, "it is asked once a second whether it is back");
        advance(2 * SECOND).await;
        assert_eq!(
            status(layer.clone(), with_key(&issued)).await,
            StatusCode::SERVICE_UNAVAILABLE,
            "and not for longer"
        );
        far.set(Weather::Fair);
        far.tell(Notice::Connected).await;
        assert_eq!(status(layer, with_key(&issued)).await, StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_is_503_and_is_asked_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let cached = Cached::new(tower_keep::store_fn(move |_| {
        let call = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            assert!(call > 0, "the first call");
            Ok(None)
        }
    }));
    let by = Lookup::Id(KeyId::new("k").unwrap());

    assert!(matches!(cached.find(&by).await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(cached.find(&by).await, Ok(None)));
}
