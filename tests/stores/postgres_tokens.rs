//! Denied tokens and used ids in PostgreSQL.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tower_keep::testing::{deny_list_contract, replay_store_contract};
use tower_keep::{
    Denial, DenyAdmin, DenyList, PostgresDenyList, PostgresReplayStore, PostgresStore, ReplayStore, StoreError,
    TokenFacts,
};

use crate::support::eventually;
use crate::support::postgres::{Server, shared};

fn in_a_minute() -> SystemTime {
    SystemTime::now() + Duration::from_secs(60)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denied_tokens_and_used_ids_keep_the_contracts() {
    deny_list_contract(async |clock| {
        Arc::new(PostgresDenyList::open(&shared().database()).await.unwrap().with_clock(clock)) as _
    })
    .await;
    replay_store_contract(async |clock| {
        Arc::new(PostgresReplayStore::open(&shared().database()).await.unwrap().with_clock(clock)) as _
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_start_at_once_on_an_empty_database_all_do() {
    let url = shared().database();
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move {
                PostgresDenyList::open(&url).await.unwrap();
                PostgresReplayStore::open(&url).await.unwrap();
                PostgresStore::open(&url).await.unwrap();
            })
        })
        .collect();

    for start in starts {
        start.await.expect("each of them starts");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_uses_on_two_processes_one_is_the_first() {
    let url = shared().database();
    let stores = [PostgresReplayStore::open(&url).await.unwrap(), PostgresReplayStore::open(&url).await.unwrap()];
    let until = in_a_minute();

    let uses: Vec<_> = (0..100)
        .map(|n| {
            let store = stores[n % 2].clone();
            tokio::spawn(async move { store.first_use("a", until).await })
        })
        .collect();
    let mut first = 0;
    for once in uses {
        first += usize::from(once.await.unwrap().unwrap());
    }

    assert_eq!(first, 1);
}

#[tokio::test]
async fn a_denial_is_told_on_every_process_and_can_be_taken_back() {
    let url = shared().database();
    let [one, other] = [PostgresDenyList::open(&url).await.unwrap(), PostgresDenyList::open(&url).await.unwrap()];
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

#[tokio::test]
async fn what_is_over_makes_room() {
    let url = shared().database();
    let list = PostgresDenyList::open(&url).await.unwrap();
    let used = PostgresReplayStore::open(&url).await.unwrap();
    let over = "UPDATE tower_keep_denied SET kept_until = 1; UPDATE tower_keep_used SET kept_until = 1";
    list.deny(Denial::token("a").until(in_a_minute())).await.unwrap();
    list.deny(Denial::key("for good")).await.unwrap();
    used.first_use("a", in_a_minute()).await.unwrap();
    shared().sql(&url, &over.replace(';', " WHERE kept_until IS NOT NULL;"));

    list.deny(Denial::token("b").until(in_a_minute())).await.unwrap();
    for n in 0..256 {
        used.first_use(&n.to_string(), in_a_minute()).await.unwrap();
    }

    assert_eq!(shared().sql(&url, "SELECT count(*) FROM tower_keep_denied"), "2");
    assert_eq!(shared().sql(&url, "SELECT count(*) FROM tower_keep_used"), "256");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_admits_nobody_and_nothing_confirmed_is_lost() {
    let server = Server::start();
    let url = server.database();
    let list = PostgresDenyList::open(&url).await.unwrap();
    let used = PostgresReplayStore::open(&url).await.unwrap();
    list.deny(Denial::subject("alice")).await.unwrap();
    assert!(used.first_use("a", in_a_minute()).await.unwrap());

    server.kill();
    for name in ["alice", "bob"] {
        let start = Instant::now();
        let denied = list.denies(&TokenFacts::new(name)).await;
        assert!(matches!(denied, Err(StoreError::Unavailable { .. })), "{denied:?}");
        let first = used.first_use(name, in_a_minute()).await;
        assert!(matches!(first, Err(StoreError::Unavailable { .. })), "{first:?}");
        assert!(start.elapsed() < Duration::from_secs(6), "each within its time: {:?}", start.elapsed());
    }

    server.run_again();
    eventually("it is back by itself", async || list.denies(&TokenFacts::new("alice")).await.is_ok()).await;
    assert!(list.denies(&TokenFacts::new("alice")).await.unwrap());
    eventually("so are used ids", async || used.first_use("a", in_a_minute()).await.is_ok_and(|first| !first)).await;
}

#[tokio::test]
async fn a_denial_that_makes_no_sense_admits_nobody() {
    let url = shared().database();
    let list = PostgresDenyList::open(&url).await.unwrap();
    list.deny(Denial::subject("alice")).await.unwrap();
    shared().sql(&url, "UPDATE tower_keep_denied SET rules = '[{'");

    let denied = list.denies(&TokenFacts::new("alice")).await;

    assert!(matches!(denied, Err(StoreError::Misconfigured { .. })), "{denied:?}");
    assert!(!format!("{list:?}").contains("password"));
}
