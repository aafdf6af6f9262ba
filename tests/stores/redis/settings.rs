//! How a server is set up, and what it means.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use redis::Commands;
use tower_keep::{
    AdminError, Durability, KeyAdmin, KeyStore, Lookup, NewKey, RedisDenyList, RedisReplayStore, RedisStore, StoreError,
};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::{record, rules};
use crate::support::redis::{ALWAYS, EVERY_SECOND, Server, prefix, shared, until};

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl<S: tracing::Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
}

#[tokio::test]
async fn a_server_that_may_forget_says_so_once() {
    let log = Log::default();
    let _logged = tracing::subscriber::set_default(tracing_subscriber::registry().with(log.clone()));
    let volatile: [&[&str]; 3] =
        [&["--appendonly", "no"], &["--appendonly", "yes", "--appendfsync", "no"], EVERY_SECOND];

    for settings in volatile {
        let server = Server::start(settings);
        let store = RedisStore::builder().rules(rules()).open(server.place()).await.unwrap();
        let record = record(1);
        let id = *record.id();
        store.insert(record).await.unwrap();
        store.revoke(&id).await.unwrap();
        store.find(&Lookup::Id(id)).await.unwrap();

        // A server that can be waited for does not forget.
        let waits = settings == EVERY_SECOND && store.durability() == Durability::Durable;
        let lines = std::mem::take(&mut *log.0.lock().unwrap());
        let warnings = lines.iter().filter(|line| line.contains("store_volatile")).count();
        assert_eq!(warnings, usize::from(!waits), "{settings:?}: {lines:?}");
        assert!(waits || store.durability() == Durability::Volatile, "{settings:?}");
    }
}

#[tokio::test]
async fn a_server_that_throws_entries_away_is_refused() {
    for policy in ["allkeys-lru", "volatile-ttl", "volatile-lru", "allkeys-random"] {
        let server = Server::start(&[ALWAYS, &["--maxmemory-policy", policy]].concat());

        let store = RedisStore::open(server.place()).await.map(drop);
        let denied = RedisDenyList::open(server.place()).await.map(drop);
        let used = RedisReplayStore::open(server.place()).await.map(drop);

        for outcome in [store, denied, used] {
            let Err(StoreError::Misconfigured { source }) = outcome else { panic!("{policy}: {outcome:?}") };
            assert!(source.to_string().contains(policy), "the error says what is wrong: {source}");
            assert!(source.to_string().contains("noeviction"), "and what helps: {source}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_is_looked_at_again() {
    let mut server = Server::start(ALWAYS);
    let place = server.place();
    let store = RedisStore::builder().rules(rules()).open(place).await.unwrap();
    let nobody = Lookup::Id(*record(1).id());
    assert_eq!(store.durability(), Durability::Durable);

    server.kill();
    server.start_again_with(&["--appendonly", "no"]);
    while store.find(&nobody).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(store.durability(), Durability::Volatile);

    server.kill();
    server.start_again_with(&[ALWAYS, &["--maxmemory-policy", "allkeys-lru"]].concat());
    let refused = loop {
        match store.find(&nobody).await {
            Err(StoreError::Unavailable { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            other => break other,
        }
    };
    assert!(matches!(refused, Err(StoreError::Misconfigured { .. })), "{refused:?}");
}

#[tokio::test]
async fn records_go_away_by_themselves_when_they_have_ended_long_ago() {
    let (server, own) = (shared(), prefix());
    let place = tower_keep::RedisServer::new(server.url()).prefix(own.clone());
    let month = RedisStore::builder().rules(rules()).open(place.clone()).await.unwrap();
    let for_ever = RedisStore::builder().rules(rules()).keep_ended_for_ever().open(place.clone()).await.unwrap();
    let moment = RedisStore::builder().rules(rules()).keep_ended(Duration::ZERO).open(place).await.unwrap();
    let mut other = server.client();
    let mut left = |id: &tower_keep::KeyId| other.pttl::<_, i64>(format!("{own}key:{id}")).unwrap();

    let revoked = month.issue(tower_keep::NewKey::for_owner("o")).await.unwrap();
    assert_eq!(left(revoked.id()), -1, "a key without an end stays");
    month.revoke(revoked.id()).await.unwrap();
    let days = left(revoked.id()) / (24 * 60 * 60 * 1000);
    assert!((29..=30).contains(&days), "a revoked one stays for 30 days, not {days}");

    let kept = for_ever.issue(tower_keep::NewKey::for_owner("o")).await.unwrap();
    for_ever.revoke(kept.id()).await.unwrap();
    assert_eq!(left(kept.id()), -1, "or for ever");

    let brief = record(1).imported().with_expires_at(SystemTime::now() + Duration::from_secs(1));
    moment.insert(brief.clone()).await.unwrap();
    until("it is gone", || left(brief.id()) == -2);
    assert!(moment.find(&Lookup::Id(*brief.id())).await.unwrap().is_none());
    assert!(moment.find(&Lookup::Digest(*brief.digest())).await.unwrap().is_none());
    let listed = moment.list(&Default::default(), None, 10).await.unwrap();
    assert_eq!(listed.records.len(), 2, "what is gone is not listed");
    assert_eq!(server.client().zcard::<_, u64>(format!("{own}ids")).unwrap(), 2, "and forgotten");
}

#[tokio::test]
async fn when_a_key_was_used_goes_away_with_it_and_comes_back_with_the_record() {
    let store = RedisStore::builder().rules(rules()).open(shared().place()).await.unwrap();
    let issued = store.issue(tower_keep::NewKey::for_owner("o")).await.unwrap();
    let when = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);

    store.seen(issued.id(), when);
    store.flush().await.unwrap();
    store.revoke(issued.id()).await.unwrap();

    let found = store.find(&Lookup::Id(*issued.id())).await.unwrap().unwrap();
    assert_eq!(found.last_used_at(), Some(when));
    assert!(found.revoked_at().is_some());
}

#[tokio::test]
async fn a_store_that_is_closed_has_written_all_and_answers_no_more() {
    let place = shared().place();
    let store = RedisStore::builder().rules(rules()).open(place.clone()).await.unwrap();
    let issued = store.issue(tower_keep::NewKey::for_owner("o")).await.unwrap();
    let when = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    let mut notices = store.notices().unwrap();
    store.seen(issued.id(), when);

    store.close().await.unwrap();

    let answer = store.find(&Lookup::Id(*issued.id())).await;
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
    let answer = store.revoke(issued.id()).await;
    assert!(matches!(answer, Err(AdminError::Store(_))), "{answer:?}");
    while notices.next().await.is_some() {}
    let another = RedisStore::builder().rules(rules()).open(place).await.unwrap();
    let found = another.find(&Lookup::Id(*issued.id())).await.unwrap().unwrap();
    assert_eq!(found.last_used_at(), Some(when));
}

#[tokio::test]
async fn a_server_that_is_set_up_in_another_way_while_it_runs_is_noticed() {
    let server = Server::start(ALWAYS);
    let place = server.place().check_every(Duration::from_millis(100));
    let store = RedisStore::builder().rules(rules()).open(place).await.unwrap();
    let issued = store.issue(NewKey::for_owner("billing")).await.unwrap();
    assert_eq!(store.durability(), Durability::Durable);
    let config = |name: &str, value: &str| {
        let _: () = redis::cmd("CONFIG").arg("SET").arg(name).arg(value).query(&mut server.client()).unwrap();
    };
    let deadline = || Instant::now() + Duration::from_secs(10);

    config("appendfsync", "no");
    let end = deadline();
    while store.durability() == Durability::Durable {
        assert!(Instant::now() < end, "it is volatile");
        let _may_be_busy = store.find(&Lookup::Id(*issued.id())).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    config("maxmemory-policy", "allkeys-lru");
    let end = deadline();
    while !matches!(store.find(&Lookup::Id(*issued.id())).await, Err(StoreError::Misconfigured { .. })) {
        assert!(Instant::now() < end, "what was denied could be forgotten");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
