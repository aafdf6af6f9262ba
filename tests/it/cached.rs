//! Copies of records in front of a store that is far away.

mod floods;
mod histories;
mod outages;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use tokio::task::yield_now;
use tokio::time::{Instant, advance};
use tower_keep::{
    AdminError, Answer, ApiKeyLayer, Cached, ConfigError, Found, IssuedKey, KeyAdmin, KeyChange, KeyFilter, KeyId,
    KeyRecord, KeyRules, KeyStore, Lookup, MemoryStore, NewKey, Notice, NoticeSender, Notices, Page, Secret,
    StoreError, testing,
};

use crate::support::{TestClock, get, rules, status, with, with_key};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// A store that is asked over a network which can be cut, slow, or told what to do.
#[derive(Clone)]
struct Far {
    keys: MemoryStore,
    asked: Arc<AtomicUsize>,
    weather: Arc<Mutex<Weather>>,
    listeners: Arc<Mutex<Vec<NoticeSender>>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Weather {
    Fair,
    Down,
    Hanging,
    /// Answers take that long.
    Slow(Duration),
}

impl Far {
    fn new(rules: KeyRules) -> Self {
        Self {
            keys: MemoryStore::with(rules),
            asked: Arc::default(),
            weather: Arc::new(Mutex::new(Weather::Fair)),
            listeners: Arc::default(),
        }
    }

    fn with_key() -> (Self, IssuedKey, TestClock) {
        let clock = TestClock::new();
        let far = Self::new(rules(&clock).accepting_imported());
        let issued = far.keys.issue(NewKey::for_owner("billing")).unwrap();
        (far, issued, clock)
    }

    fn set(&self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }

    async fn tell(&self, notice: Notice) {
        for listener in &*self.listeners.lock().unwrap() {
            listener.send(notice.clone());
        }
        settle().await;
    }
}

/// Lets everything happen that can.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

fn outage() -> StoreError {
    StoreError::unavailable("the cable is cut")
}

impl KeyStore for Far {
    fn find(&self, by: &Lookup) -> Answer<Found> {
        let (far, by) = (self.clone(), *by);
        Answer::later(async move {
            far.asked.fetch_add(1, Ordering::SeqCst);
            let weather = *far.weather.lock().unwrap();
            // What is found is what was there when it was asked.
            let found = far.keys.find(&by).await;
            match weather {
                Weather::Fair => found,
                Weather::Down => Err(outage()),
                Weather::Hanging => std::future::pending().await,
                Weather::Slow(time) => {
                    tokio::time::sleep(time).await;
                    found
                }
            }
        })
    }

    fn rules(&self) -> KeyRules {
        self.keys.rules()
    }

    fn notices(&self) -> Option<Notices> {
        let (sender, notices) = Notices::channel();
        sender.send(Notice::Connected);
        self.listeners.lock().unwrap().push(sender);
        Some(notices)
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_used_is_asked_about_when_ten_seconds_are_over() {
    let (far, issued, _) = Far::with_key();
    let layer = ApiKeyLayer::new(Cached::new(far.clone()));
    status(layer.clone(), with_key(&issued)).await;
    settle().await;
    status(layer.clone(), with_key(&issued)).await;
    far.asked();

    for _ in 0..79 {
        assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::OK);
        advance(100 * MILLISECOND).await;
    }
    assert_eq!(far.asked(), 0);

    advance(2100 * MILLISECOND).await;
    far.keys.revoke(issued.id()).unwrap();
    assert_eq!(status(layer, with_key(&issued)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(far.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_used_is_asked_about_ahead_of_time_and_nobody_waits() {
    let (far, issued, _) = Far::with_key();
    let layer = ApiKeyLayer::new(Cached::new(far.clone()));
    status(layer.clone(), with_key(&issued)).await;
    settle().await;
    status(layer.clone(), with_key(&issued)).await;
    far.asked();
    far.set(Weather::Slow(SECOND));

    let start = Instant::now();
    let mut longest = Duration::ZERO;
    while start.elapsed() < 60 * SECOND {
        let asked = Instant::now();
        assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::OK);
        longest = longest.max(asked.elapsed());
        advance(100 * MILLISECOND).await;
    }

    assert_eq!(longest, Duration::ZERO);
    assert_eq!(far.asked(), 7, "one question in eight seconds, from one to the next");
}

#[tokio::test(start_paused = true)]
async fn that_there_is_no_such_key_is_remembered_for_two_seconds() {
    let (far, ..) = Far::with_key();
    let layer = ApiKeyLayer::new(Cached::new(far.clone()));
    let unknown = far.rules().issue(NewKey::for_owner("nobody")).unwrap();

    for _ in 0..20 {
        assert_eq!(status(layer.clone(), with_key(&unknown)).await, StatusCode::UNAUTHORIZED);
        advance(99 * MILLISECOND).await;
    }
    assert_eq!(far.asked(), 1);

    advance(100 * MILLISECOND).await;
    assert_eq!(status(layer.clone(), with_key(&unknown)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(far.asked(), 1);
    far.keys.insert((**unknown.record()).clone()).unwrap();
    far.tell(Notice::Changed(*unknown.id())).await;
    assert_eq!(
        status(layer, with_key(&unknown)).await,
        StatusCode::OK,
        "a key that is new works as soon as it is told"
    );
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_with_one_key_are_one_question_and_a_caller_that_leaves_ends_nothing() {
    let (far, issued, _) = Far::with_key();
    let cached = Cached::new(far.clone());
    far.set(Weather::Slow(SECOND));
    let first = tokio::spawn(cached.find(&Lookup::Id(*issued.id())).into_future());
    settle().await;

    let others: Vec<_> = (0..999).map(|_| tokio::spawn(cached.find(&Lookup::Id(*issued.id())).into_future())).collect();
    settle().await;
    first.abort();
    advance(SECOND).await;

    for other in others {
        assert!(other.await.unwrap().unwrap().is_some());
    }
    assert_eq!(far.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_began_before_a_revocation_does_not_bring_back_what_was_before_it() {
    let (far, issued, _) = Far::with_key();
    let cached = Cached::new(far.clone());
    let layer = ApiKeyLayer::new(cached.clone());
    // Connected, and nothing in doubt.
    let _none = cached.find(&Lookup::Id(KeyId::new("other").unwrap())).await;
    settle().await;
    far.asked();
    far.set(Weather::Slow(SECOND));
    let before = tokio::spawn(status(layer.clone(), with_key(&issued)));
    settle().await;

    far.keys.revoke(issued.id()).unwrap();
    far.tell(Notice::Changed(*issued.id())).await;
    let after = tokio::spawn(status(layer.clone(), with_key(&issued)));
    settle().await;
    advance(SECOND).await;
    settle().await;
    advance(SECOND).await;

    assert_eq!(after.await.unwrap(), StatusCode::UNAUTHORIZED);
    assert_eq!(before.await.unwrap(), StatusCode::UNAUTHORIZED, "it was asked once more");
    assert_eq!(far.asked(), 3);
    assert_eq!(status(layer, with_key(&issued)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(far.asked(), 0, "and what was found last is what is kept");
}

#[tokio::test(start_paused = true)]
async fn a_change_made_here_is_in_force_when_it_is_confirmed() {
    let clock = TestClock::new();
    let keys = MemoryStore::with(rules(&clock));
    let cached = Cached::new(keys);
    let layer = ApiKeyLayer::new(cached.clone());
    let issued = cached.issue(NewKey::for_owner("billing")).await.unwrap();
    assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::OK);

    let newer = cached.rotate(issued.id(), SECOND).await.unwrap();
    assert_eq!(status(layer.clone(), with_key(&newer)).await, StatusCode::OK);
    cached.revoke(issued.id()).await.unwrap();

    assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(layer, with_key(&newer)).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_nobody_waits_for_any_more_may_have_been_made() {
    let (far, issued, _) = Far::with_key();
    let cached = Cached::new(Hurried(far.clone()));
    let layer = ApiKeyLayer::new(cached.clone());
    for _ in 0..2 {
        assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::OK);
        settle().await;
    }

    let given_up = tokio::time::timeout(SECOND, cached.revoke(issued.id()).into_future()).await;

    assert!(given_up.is_err());
    assert_eq!(status(layer, with_key(&issued)).await, StatusCode::UNAUTHORIZED);
}

/// A store that makes a change at once, and never confirms it.
struct Hurried(Far);

impl KeyStore for Hurried {
    fn find(&self, by: &Lookup) -> Answer<Found> {
        self.0.find(by)
    }

    fn rules(&self) -> KeyRules {
        self.0.rules()
    }
}

impl KeyAdmin for Hurried {
    fn insert(&self, record: KeyRecord) -> Answer<Result<(), AdminError>> {
        Answer::Now(self.0.keys.insert(record))
    }

    fn change(&self, id: &KeyId, change: KeyChange) -> Answer<Result<Arc<KeyRecord>, AdminError>> {
        let _made = self.0.keys.change(id, change);
        Answer::later(std::future::pending())
    }

    fn list(&self, filter: &KeyFilter, after: Option<&KeyId>, limit: usize) -> Answer<Result<Page, AdminError>> {
        Answer::Now(Ok(self.0.keys.list(filter, after, limit)))
    }
}

#[tokio::test(start_paused = true)]
async fn settings_hold_whatever_was_cloned_before() {
    let (far, issued, _) = Far::with_key();
    let cached = Cached::new(far.clone());
    let _clone = cached.clone();
    let brief = cached.ttl(SECOND).unwrap();
    brief.find(&Lookup::Id(*issued.id())).await.unwrap();
    settle().await;
    brief.find(&Lookup::Id(*issued.id())).await.unwrap();
    far.asked();

    advance(SECOND).await;
    brief.find(&Lookup::Id(*issued.id())).await.unwrap();

    assert_eq!(far.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_as_old_as_the_question() {
    let (far, issued, _) = Far::with_key();
    let cached = Cached::new(far.clone());
    cached.find(&Lookup::Id(KeyId::new("other").unwrap())).await.unwrap();
    settle().await;
    far.set(Weather::Slow(1_900 * MILLISECOND));
    let layer = ApiKeyLayer::new(cached);
    let start = Instant::now();
    assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::OK);
    assert!(start.elapsed() >= 1_900 * MILLISECOND);
    far.keys.revoke(issued.id()).unwrap();
    far.set(Weather::Fair);

    advance(10 * SECOND - start.elapsed()).await;

    assert_eq!(status(layer, with_key(&issued)).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn an_imported_key_is_revoked_by_its_id_wherever_it_was_found() {
    let (far, ..) = Far::with_key();
    let key = "an-old-key-of-some-other-system";
    let record = far.keys.import(&Secret::new(key.to_owned()), NewKey::for_owner("legacy")).unwrap();
    let layer = ApiKeyLayer::new(Cached::new(far.clone()));
    let request = || with(get("/"), "x-api-key", key);
    for _ in 0..2 {
        assert_eq!(status(layer.clone(), request()).await, StatusCode::OK);
        settle().await;
    }
    far.asked();
    assert_eq!(status(layer.clone(), request()).await, StatusCode::OK);
    assert_eq!(far.asked(), 0);

    far.keys.revoke(record.id()).unwrap();
    far.tell(Notice::Changed(*record.id())).await;

    assert_eq!(status(layer, request()).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_key_is_looked_at_each_time_it_comes() {
    let (far, _, clock) = Far::with_key();
    let expiring = NewKey::for_owner("billing").expires_at(far.rules().now() + 3 * SECOND);
    let issued = far.keys.issue(expiring).unwrap();
    let layer = ApiKeyLayer::new(Cached::new(far.clone()));
    assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::OK);

    clock.advance(3);

    assert_eq!(status(layer, with_key(&issued)).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn copies_that_nobody_has_any_more_listen_to_nobody() {
    let (far, issued, _) = Far::with_key();
    let cached = Cached::new(far.clone());
    cached.find(&Lookup::Id(*issued.id())).await.unwrap();
    settle().await;
    let listener = far.listeners.lock().unwrap()[0].clone();

    drop(cached);

    tokio::time::timeout(SECOND, listener.closed()).await.expect("the task has ended");
}

#[test]
fn copies_are_good_for_a_time_that_is_bounded() {
    let cached = || Cached::new(MemoryStore::new());
    let wrong = [
        cached().ttl(601 * SECOND).map(drop),
        cached().negative_ttl(61 * SECOND).map(drop),
        cached().stale_while_down(61 * SECOND).map(drop),
    ];
    for outcome in wrong {
        let error = outcome.unwrap_err();
        assert!(matches!(error, ConfigError::CacheTime { .. }));
        assert!(error.to_string().contains("is too long for copies of keys"), "{error}");
    }
}

#[tokio::test]
async fn a_store_with_copies_keeps_the_contract_of_all_stores() {
    testing::key_store_contract(async |rules| Arc::new(Cached::new(MemoryStore::with(rules))) as _).await;
}
