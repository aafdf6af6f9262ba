//! What a store tells of changes that others make.

use std::time::Duration;

use redis::Commands;
use tokio::time::timeout;
use tower_keep::{KeyAdmin, KeyId, KeyStore, Notice, Notices, RedisServer, RedisStore};

use super::{record, rules};
use crate::support::redis::{ALWAYS, PATIENCE, Server, prefix};

async fn next(notices: &mut Notices) -> Notice {
    timeout(PATIENCE, notices.next()).await.expect("something is told").expect("the store is there")
}

async fn until_told(notices: &mut Notices, id: &str) {
    let id = KeyId::new(id).unwrap();
    while !matches!(next(notices).await, Notice::Changed(told) if told == id) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_any_client_are_told() {
    let server = Server::start(ALWAYS);
    let own = prefix();
    let store =
        RedisStore::builder().rules(rules()).open(RedisServer::new(server.url()).prefix(own.clone())).await.unwrap();
    let mut notices = store.notices().unwrap();
    let mut other = server.client();
    assert!(matches!(next(&mut notices).await, Notice::Connected));

    other.set::<_, _, ()>(format!("{own}used:quiet"), "1").unwrap();
    other.set::<_, _, ()>("another-prefix:key:foreign", "{}").unwrap();
    other.set::<_, _, ()>(format!("{own}key:written"), "{}").unwrap();
    let first = next(&mut notices).await;
    assert!(matches!(first, Notice::Changed(id) if id.as_str() == "written"), "other entries are not told: {first:?}");
    other.del::<_, ()>(format!("{own}key:written")).unwrap();
    until_told(&mut notices, "written").await;
    other.pset_ex::<_, _, ()>(format!("{own}key:brief"), "{}", 50).unwrap();
    until_told(&mut notices, "brief").await;
    until_told(&mut notices, "brief").await;
    redis::cmd("FLUSHALL").exec(&mut other).unwrap();
    while !matches!(next(&mut notices).await, Notice::AllChanged) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_lost_and_comes_back_is_told() {
    let mut server = Server::start(ALWAYS);
    let store = RedisStore::builder().rules(rules()).open(server.place()).await.unwrap();
    let mut notices = store.notices().unwrap();
    assert!(matches!(next(&mut notices).await, Notice::Connected));

    server.kill();
    assert!(matches!(next(&mut notices).await, Notice::Disconnected(_)));
    server.start_again();
    let then = next(&mut notices).await;
    assert!(matches!(then, Notice::Connected), "an outage is told once: {then:?}");

    let record = record(1);
    let id = *record.id();
    store.insert(record).await.unwrap();
    until_told(&mut notices, id.as_str()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_silent_is_told() {
    let server = Server::start(ALWAYS);
    let place = server.place().response_timeout(Duration::from_millis(300));
    let store = RedisStore::builder().rules(rules()).open(place).await.unwrap();
    let mut notices = store.notices().unwrap();
    assert!(matches!(next(&mut notices).await, Notice::Connected));

    server.freeze(true);
    let told = next(&mut notices).await;
    server.freeze(false);

    assert!(matches!(told, Notice::Disconnected(_)), "{told:?}");
    assert!(matches!(next(&mut notices).await, Notice::Connected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notices_end_with_the_store() {
    let server = Server::start(ALWAYS);
    let store = RedisStore::builder().rules(rules()).open(server.place()).await.unwrap();
    let mut notices = store.notices().unwrap();
    assert!(matches!(next(&mut notices).await, Notice::Connected));

    drop(store);

    assert!(timeout(PATIENCE, notices.next()).await.unwrap().is_none());
}
