//! What all stores have to do.

use std::sync::Arc;

use tower_keep::testing::{deny_list_contract, key_store_contract, replay_store_contract};
use tower_keep::{
    Durability, KeyAdmin, MemoryDenyList, MemoryReplayStore, RedisDenyList, RedisReplayStore, RedisStore,
};

use crate::support::redis::{ALWAYS, EVERY_SECOND, Server, shared, that_waits};

async fn keeps_the_contracts(server: &Server) {
    key_store_contract(async |rules| {
        let store = RedisStore::builder().rules(rules).open(server.place()).await.unwrap();
        assert_eq!(store.durability(), Durability::Durable);
        Arc::new(store) as _
    })
    .await;
    deny_list_contract(async |clock| {
        Arc::new(RedisDenyList::open(server.place()).await.unwrap().with_clock(clock)) as _
    })
    .await;
    replay_store_contract(async |clock| {
        Arc::new(RedisReplayStore::open(server.place()).await.unwrap().with_clock(clock)) as _
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_writes_always_keeps_the_contracts() {
    keeps_the_contracts(shared()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_waited_for_keeps_the_contracts() {
    let Some(program) = that_waits() else { return };

    keeps_the_contracts(&Server::start_program(program.clone(), EVERY_SECOND)).await;
    keeps_the_contracts(&Server::start_program(program, ALWAYS)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_contracts() {
    deny_list_contract(async |clock| Arc::new(MemoryDenyList::with_clock(clock)) as _).await;
    replay_store_contract(async |clock| Arc::new(MemoryReplayStore::new().with_clock(clock)) as _).await;
}
