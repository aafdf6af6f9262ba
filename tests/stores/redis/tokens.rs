//! Denied tokens and used ids that processes share.

use std::time::{Duration, SystemTime};

use tower_keep::testing::TestClock;
use tower_keep::{
    Clock, Denial, DenyAdmin, DenyList, MemoryReplayStore, RedisDenyList, RedisReplayStore, ReplayStore, StoreError,
    TokenFacts,
};

use crate::support::eventually;
use crate::support::redis::{ALWAYS, Server, shared};

fn in_a_minute() -> SystemTime {
    SystemTime::now() + Duration::from_secs(60)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_uses_on_two_processes_one_is_the_first() {
    let place = shared().place();
    let stores = [RedisReplayStore::open(place.clone()).await.unwrap(), RedisReplayStore::open(place).await.unwrap()];
    for id in ["a", "b", "c"] {
        let until = in_a_minute();
        let uses = (0..100).map(|n| {
            let store = stores[n % 2].clone();
            tokio::spawn(async move { store.first_use(id, until).await })
        });

        let mut first = 0;
        for once in uses.collect::<Vec<_>>() {
            first += usize::from(once.await.unwrap().unwrap());
        }

        assert_eq!(first, 1);
    }
}

#[tokio::test]
async fn a_denial_is_told_on_every_process_and_can_be_taken_back() {
    let place = shared().place();
    let one = RedisDenyList::open(place.clone()).await.unwrap();
    let other = RedisDenyList::open(place).await.unwrap();
    let alice = TokenFacts::new("alice");
    let denial = Denial::subject("alice").issued_before(SystemTime::now()).until(in_a_minute());

    one.deny(denial.clone()).await.unwrap();
    assert!(other.denies(&alice).await.unwrap());
    assert!(!other.allow(&Denial::subject("alice")).await.unwrap(), "another denial was not there");
    assert!(other.denies(&alice).await.unwrap());
    assert!(other.allow(&denial).await.unwrap());
    assert!(!one.denies(&alice).await.unwrap());
    assert!(!one.allow(&denial).await.unwrap(), "it is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_admits_nobody() {
    let mut server = Server::start(ALWAYS);
    let place = server.place();
    let list = RedisDenyList::open(place.clone()).await.unwrap();
    let used = RedisReplayStore::open(place).await.unwrap();
    list.deny(Denial::subject("alice")).await.unwrap();
    assert!(used.first_use("a", in_a_minute()).await.unwrap());

    server.kill();
    for name in ["alice", "bob"] {
        let denied = list.denies(&TokenFacts::new(name)).await;
        assert!(matches!(denied, Err(StoreError::Unavailable { .. })), "{denied:?}");
        let first = used.first_use(name, in_a_minute()).await;
        assert!(matches!(first, Err(StoreError::Unavailable { .. })), "{first:?}");
    }

    server.start_again();
    eventually("it is back by itself", async || list.denies(&TokenFacts::new("alice")).await.is_ok()).await;
    assert!(list.denies(&TokenFacts::new("alice")).await.unwrap(), "and knows");
    eventually("so are used ids", async || used.first_use("b", in_a_minute()).await.is_ok()).await;
    assert!(!used.first_use("a", in_a_minute()).await.unwrap());
}

#[tokio::test]
async fn a_store_in_memory_that_is_full_lets_nothing_pass() {
    let clock = TestClock::new();
    let used = MemoryReplayStore::with_capacity(2).with_clock(clock.clone());
    let in_a_minute = || clock.now() + Duration::from_secs(60);
    assert!(used.first_use("a", clock.now() + Duration::from_secs(1)).await.unwrap());
    assert!(used.first_use("b", in_a_minute()).await.unwrap());

    let full = used.first_use("c", in_a_minute()).await;
    assert!(matches!(full, Err(StoreError::Unavailable { .. })), "{full:?}");
    assert!(!used.first_use("b", in_a_minute()).await.unwrap(), "what it knows it knows");
    clock.advance(Duration::from_secs(1));
    assert!(used.first_use("c", in_a_minute()).await.unwrap(), "there is room when the time of one is over");
    assert_eq!(used.len(), 2);
}
