//! Copies of records in front of a store that is far away.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use proptest::prelude::*;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, advance};
use tower_keep::{
    AdminError, Answer, ApiKeyLayer, Cached, ConfigError, Found, IssuedKey, KeyAdmin, KeyChange, KeyDigest, KeyFilter,
    KeyId, KeyRecord, KeyRules, KeyStore, Lookup, MemoryStore, NewKey, Notice, NoticeSender, Notices, Page, Secret,
    StoreError, testing,
};

use crate::support::{TestClock, get, rules, send, status, values, with, with_key};

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

/// What happens in a history of changes, notices and questions.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A record gets another version, which is not told yet.
    Change(u8),
    /// The first change that was not told is told, or all of them by one word.
    Tell,
    TellAll,
    Disconnect,
    Connect,
    /// Somebody asks.
    Ask(u8),
    /// The store reads what it was asked for first, and the answer is on its way.
    Read,
    /// The first answer arrives.
    Arrive,
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3_u8).prop_map(Step::Change),
        3 => Just(Step::Tell),
        1 => Just(Step::TellAll),
        1 => Just(Step::Disconnect),
        1 => Just(Step::Connect),
        6 => (0..3_u8).prop_map(Step::Ask),
        5 => Just(Step::Read),
        5 => Just(Step::Arrive),
        2 => (1..200_u16).prop_map(Step::Wait),
    ]
}

/// A store whose every answer is read and sent when the test says so. The version of a record is its label.
#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    versions: HashMap<KeyId, u64>,
    asked: Vec<(KeyId, oneshot::Sender<Found>)>,
    read: Vec<(Found, oneshot::Sender<Found>)>,
    told: Vec<KeyId>,
    listener: Option<NoticeSender>,
}

impl KeyStore for Scripted {
    fn find(&self, by: &Lookup) -> Answer<Found> {
        let Lookup::Id(id) = *by else { return Answer::Now(Ok(None)) };
        let script = Arc::clone(&self.0);
        Answer::later(async move {
            let (sender, answer) = oneshot::channel();
            script.lock().unwrap().asked.push((id, sender));
            answer.await.unwrap_or_else(|_| Err(outage()))
        })
    }

    fn notices(&self) -> Option<Notices> {
        let (sender, notices) = Notices::channel();
        sender.send(Notice::Connected);
        self.0.lock().unwrap().listener = Some(sender);
        Some(notices)
    }
}

fn version_of(found: &Found) -> Option<u64> {
    let record = found.as_ref().ok()?.as_ref()?;
    record.labels().next().map(|(_, version)| version.parse().unwrap())
}

/// A question, and the version that whoever asked had been told of by then.
type Question = (u64, JoinHandle<Found>);

async fn no_question_is_answered_by_what_is_older_than_what_was_told(steps: Vec<Step>) {
    let scripted = Scripted::default();
    let cached = Cached::new(scripted.clone());
    let ids: Vec<_> = (0..3).map(|n| KeyId::new(&format!("k{n}")).unwrap()).collect();
    let mut told: HashMap<KeyId, u64> = HashMap::new();
    let mut questions: Vec<Question> = Vec::new();
    let digest = KeyDigest::new("sha256".parse().unwrap(), [0; 32]);

    for step in steps {
        match step {
            Step::Change(n) => {
                let mut script = scripted.0.lock().unwrap();
                *script.versions.entry(ids[usize::from(n)]).or_default() += 1;
                script.told.push(ids[usize::from(n)]);
            }
            Step::Tell | Step::TellAll => {
                let mut script = scripted.0.lock().unwrap();
                let Some(listener) = script.listener.clone() else { continue };
                let changed = match step {
                    Step::Tell if script.told.is_empty() => continue,
                    Step::Tell => vec![script.told.remove(0)],
                    _ => std::mem::take(&mut script.told),
                };
                match step {
                    Step::Tell => listener.send(Notice::Changed(changed[0])),
                    _ => listener.send(Notice::AllChanged),
                };
                for id in changed {
                    let later = script.told.iter().filter(|other| **other == id).count() as u64;
                    told.insert(id, script.versions[&id] - later);
                }
            }
            Step::Disconnect | Step::Connect => {
                let listener = scripted.0.lock().unwrap().listener.clone();
                let notice =
                    if matches!(step, Step::Connect) { Notice::Connected } else { Notice::Disconnected(outage()) };
                listener.inspect(|listener| {
                    listener.send(notice);
                });
            }
            Step::Ask(n) => {
                let id = ids[usize::from(n)];
                let known = told.get(&id).copied().unwrap_or_default();
                questions.push((known, tokio::spawn(cached.find(&Lookup::Id(id)).into_future())));
            }
            Step::Read => {
                let mut script = scripted.0.lock().unwrap();
                if script.asked.is_empty() {
                    continue;
                }
                let (id, sender) = script.asked.remove(0);
                let version = script.versions.get(&id).copied().unwrap_or_default();
                let record = KeyRecord::new(id, "o", digest).with_label("version", version.to_string());
                script.read.push((Ok(Some(Arc::new(record))), sender));
            }
            Step::Arrive => {
                let mut script = scripted.0.lock().unwrap();
                if script.read.is_empty() {
                    continue;
                }
                let (found, sender) = script.read.remove(0);
                let _gone = sender.send(found);
            }
            Step::Wait(milliseconds) => advance(Duration::from_millis(milliseconds.into())).await,
        }
        settle().await;
    }

    for (known, question) in questions {
        if !question.is_finished() {
            question.abort();
            continue;
        }
        if let Some(version) = version_of(&question.await.unwrap()) {
            assert!(version >= known, "version {version} was served, and {known} had been told");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nobody_is_served_what_was_told_to_have_changed(steps in prop::collection::vec(step(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(no_question_is_answered_by_what_is_older_than_what_was_told(steps));
    }
}
