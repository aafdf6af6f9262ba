//! A server that is killed under its users.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tower_keep::{
    Denial, DenyAdmin, DenyList, KeyAdmin, KeyStore, Lookup, RedisDenyList, RedisStore, StoreError, TokenFacts,
};

use super::{record, rules};
use crate::support::redis::{ALWAYS, EVERY_SECOND, PATIENCE, Server, that_waits};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_confirmed_survives_a_crash_of_a_server_that_writes_always() {
    survives_crashes(Server::start(ALWAYS)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_confirmed_survives_a_crash_of_a_server_that_is_waited_for() {
    let Some(program) = that_waits() else { return };

    survives_crashes(Server::start_program(program, EVERY_SECOND)).await;
}

async fn survives_crashes(mut server: Server) {
    let place = server.place();
    let store = RedisStore::builder().rules(rules()).open(place.clone()).await.unwrap();
    let denied = RedisDenyList::open(place).await.unwrap();
    for round in 0..3 {
        let ends = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> =
            (0..8).map(|n| tokio::spawn(write(store.clone(), denied.clone(), n, Arc::clone(&ends)))).collect();
        // Under way, at different points of the second in which the log is written.
        sleep(Duration::from_millis(4300 + 350 * round)).await;
        server.kill();
        ends.store(true, Ordering::Release);
        let mut confirmed = Confirmed::default();
        for writer in writers {
            let one = writer.await.unwrap();
            confirmed.inserted.extend(one.inserted);
            confirmed.revoked.extend(one.revoked);
            confirmed.denied.extend(one.denied);
        }
        assert!(confirmed.inserted.len() >= 8 && confirmed.denied.len() >= 8, "something was confirmed");

        let asked = Instant::now();
        let answer = store.find(&Lookup::Id(confirmed.inserted[0])).await;
        assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "a find while it is away: {answer:?}");
        assert!(asked.elapsed() < Duration::from_secs(3), "it says so in time");

        server.start_again();
        let found = timeout(PATIENCE, async {
            loop {
                match store.find(&Lookup::Id(confirmed.inserted[0])).await {
                    Ok(found) => break found,
                    Err(_) => sleep(Duration::from_millis(20)).await,
                }
            }
        });
        assert!(found.await.unwrap().is_some(), "the store is back by itself");
        for id in &confirmed.inserted {
            assert!(store.find(&Lookup::Id(*id)).await.unwrap().is_some(), "a confirmed key is there: {id}");
        }
        for id in &confirmed.revoked {
            let found = store.find(&Lookup::Id(*id)).await.unwrap().unwrap();
            assert!(found.revoked_at().is_some(), "a confirmed revocation holds: {id}");
        }
        for name in &confirmed.denied {
            assert!(denied.denies(&TokenFacts::new(name)).await.unwrap(), "a confirmed denial holds: {name}");
        }
    }
}

#[derive(Default)]
struct Confirmed {
    inserted: Vec<tower_keep::KeyId>,
    revoked: Vec<tower_keep::KeyId>,
    denied: Vec<String>,
}

/// Writes as fast as it is confirmed.
async fn write(store: RedisStore, list: RedisDenyList, writer: usize, ends: Arc<AtomicBool>) -> Confirmed {
    let mut confirmed = Confirmed::default();
    for n in 0.. {
        if ends.load(Ordering::Acquire) {
            break;
        }
        let (record, name) = (record(n), format!("{writer}-{n}"));
        let id = *record.id();
        let (inserted, denied) = tokio::join!(store.insert(record), list.deny(Denial::subject(&name)));
        if denied.is_ok() {
            confirmed.denied.push(name);
        }
        if inserted.is_ok() {
            confirmed.inserted.push(id);
            if n % 2 == 0 && store.revoke(&id).await.is_ok() {
                confirmed.revoked.push(id);
            }
        }
    }
    confirmed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_holds_nobody_up() {
    let server = Server::start(ALWAYS);
    let place = server.place().response_timeout(Duration::from_millis(300));
    let store = RedisStore::builder().rules(rules()).open(place).await.unwrap();
    let issued = record(1);
    store.insert(issued.clone()).await.unwrap();

    server.freeze(true);
    let asked = Instant::now();
    let finds = (0..50).map(|_| {
        let (store, id) = (store.clone(), *issued.id());
        tokio::spawn(async move { store.find(&Lookup::Id(id)).await })
    });
    for find in finds.collect::<Vec<_>>() {
        let answer = find.await.unwrap();
        assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
    }
    assert!(asked.elapsed() < Duration::from_secs(2), "fifty at once wait no longer than one: {:?}", asked.elapsed());

    server.freeze(false);
    let back = timeout(PATIENCE, async {
        while store.find(&Lookup::Id(*issued.id())).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    back.await.expect("the store is back by itself");
}
