//! Servers that are not as they should be.

use std::time::{Duration, Instant, SystemTime};

use redis::Commands;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tower_keep::{
    AdminError, Denial, DenyAdmin, DenyList, KeyAdmin, KeyId, KeyStore, Lookup, Notice, RedisDenyList,
    RedisReplayStore, RedisServer, RedisStore, ReplayStore, StoreError, TokenFacts,
};

use super::{record, rules};
use crate::support::redis::{ALWAYS, EVERY_SECOND, Server, prefix, shared, that_waits};

/// Returns what is told of a connection that cannot be made, for the log, and whether it may pass by itself.
async fn refusal(server: RedisServer) -> (String, bool) {
    let started = Instant::now();
    let shown = format!("{server:?}");
    let error = RedisStore::open(server.clone()).await.expect_err("it is refused");
    RedisDenyList::open(server.clone()).await.expect_err("it is refused");
    RedisReplayStore::open(server).await.expect_err("it is refused");
    assert!(started.elapsed() < Duration::from_secs(9), "in time: {:?}", started.elapsed());
    let text = format!("{error:?} {error} {}", std::error::Error::source(&error).unwrap());
    assert!(!text.contains("hunter2") && !shown.contains("hunter2"), "no password is shown: {text} {shown}");
    (text, matches!(error, StoreError::Unavailable { .. }))
}

#[tokio::test]
async fn a_wrong_password_is_a_mistake_in_the_settings() {
    let server = Server::start(ALWAYS);
    redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("correct").exec(&mut server.client()).unwrap();
    let address = server.url().split_off("redis://".len());

    let (wrong, passes) = refusal(RedisServer::new(format!("redis://:hunter2@{address}"))).await;
    assert!(!passes, "{wrong}");
    let (none, passes) = refusal(RedisServer::new(server.url())).await;
    assert!(!passes, "{none}");
    RedisStore::open(format!("redis://:correct@{address}")).await.expect("the right one is accepted");
}

#[tokio::test]
async fn a_url_that_is_none_is_a_mistake_in_the_settings() {
    for url in [
        "",
        "hunter2",
        "http://127.0.0.1",
        "redis://",
        "redis://:hunter2@127.0.0.1/many",
        "rediss://127.0.0.1/#insecure",
    ] {
        let (text, passes) = refusal(RedisServer::new(url)).await;
        assert!(!passes, "{url}: {text}");
    }
}

#[tokio::test]
async fn nobody_there_is_an_outage() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();

    let (text, passes) = refusal(RedisServer::new(format!("redis://:hunter2@{free}"))).await;

    assert!(passes, "{text}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_an_outage() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://:hunter2@{}", silent.local_addr().unwrap());

    let (text, passes) = refusal(RedisServer::new(url.clone())).await;
    assert!(passes, "{text}");
    let (text, passes) = refusal(RedisServer::new(url.replace("redis://", "rediss://"))).await;
    assert!(passes, "{text}");
}

#[tokio::test]
async fn a_server_of_another_kind_is_a_mistake_in_the_settings() {
    let odd = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://:hunter2@{}", odd.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = odd.accept().await.unwrap();
            tokio::spawn(async move {
                let _read = stream.read(&mut [0; 100]).await;
                let _written = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            });
        }
    });

    let (text, passes) = refusal(RedisServer::new(url)).await;

    assert!(!passes, "{text}");
}

#[tokio::test]
async fn an_entry_that_makes_no_sense_is_not_a_key_that_is_not_there() {
    let own = prefix();
    let place = RedisServer::new(shared().url()).prefix(own.clone());
    let store = RedisStore::builder().rules(rules()).open(place).await.unwrap();
    let mut other = shared().client();
    other.set::<_, _, ()>(format!("{own}key:odd"), "{\"id\":\"odd\"}").unwrap();
    other.set::<_, _, ()>(format!("{own}key:other"), serde_json::to_string(&record(1)).unwrap()).unwrap();
    other.zadd::<_, _, _, ()>(format!("{own}ids"), "odd", 0).unwrap();

    for id in ["odd", "other"] {
        let found = store.find(&Lookup::Id(KeyId::new(id).unwrap())).await;
        assert!(matches!(found, Err(StoreError::Misconfigured { .. })), "{found:?}");
    }
    let listed = store.list(&Default::default(), None, 10).await;
    assert!(matches!(listed, Err(AdminError::Store(StoreError::Misconfigured { .. }))), "{listed:?}");
    other.del::<_, ()>(format!("{own}ids")).unwrap();
    other.set::<_, _, ()>(format!("{own}ids"), "a text").unwrap();
    let inserted = store.insert(record(2)).await;
    assert!(matches!(inserted, Err(AdminError::Store(StoreError::Misconfigured { .. }))), "{inserted:?}");
}

#[tokio::test]
async fn a_server_without_room_is_an_outage_and_goes_on_finding() {
    let server = Server::start(ALWAYS);
    let store = RedisStore::builder().rules(rules()).open(server.place()).await.unwrap();
    let known = record(1);
    store.insert(known.clone()).await.unwrap();
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1").exec(&mut server.client()).unwrap();

    let inserted = store.insert(record(2)).await;
    let found = store.find(&Lookup::Id(*known.id())).await.unwrap();

    assert!(matches!(inserted, Err(AdminError::Store(StoreError::Unavailable { .. }))), "{inserted:?}");
    assert!(found.is_some());
}

#[tokio::test]
async fn a_user_that_may_not_is_a_mistake_in_the_settings() {
    let server = Server::start(ALWAYS);
    redis::cmd("ACL")
        .arg(&["SETUSER", "poor", "on", ">x", "~*", "+@read", "+info"])
        .exec(&mut server.client())
        .unwrap();
    let url = server.url().replace("redis://", "redis://poor:x@");
    let store = RedisStore::builder().rules(rules()).open(url).await.unwrap();

    let inserted = store.insert(record(1)).await;

    assert!(matches!(inserted, Err(AdminError::Store(StoreError::Misconfigured { .. }))), "{inserted:?}");
    assert!(store.find(&Lookup::Id(*record(2).id())).await.unwrap().is_none());
}

#[tokio::test]
async fn a_change_that_the_disk_does_not_take_in_time_is_not_confirmed() {
    let Some(program) = that_waits() else { return };
    let server = Server::start_program(program, EVERY_SECOND);
    let store = RedisStore::builder().rules(rules()).open(server.place()).await.unwrap();
    store.insert(record(1)).await.unwrap();
    redis::cmd("CONFIG").arg("SET").arg("appendfsync").arg("no").exec(&mut server.client()).unwrap();

    let inserted = store.insert(record(2)).await;

    let Err(AdminError::Store(StoreError::Unavailable { source, .. })) = inserted else { panic!("{inserted:?}") };
    assert!(source.to_string().contains("not known to survive a crash"), "{source}");
    assert!(store.find(&Lookup::Id(*record(1).id())).await.is_ok(), "and holds up nobody else");
}

#[tokio::test]
async fn the_commands_that_the_documentation_names_are_enough() {
    let commands = "+info +config|get +get +mget +set +del +exists +pttl +pexpire +pexpireat +zadd +zrem +zrangebylex +evalsha \
                    +script|load +ping +client|tracking";
    let servers = [
        Some(("redis-server".into(), commands.to_owned())),
        that_waits().map(|it| (it, format!("{commands} +waitaof"))),
    ];
    for (program, commands) in servers.into_iter().flatten() {
        let server = Server::start_program(program, EVERY_SECOND);
        let mut user = redis::cmd("ACL");
        user.arg("SETUSER").arg("keys").arg("on").arg(">x").arg("~{keys}:*").arg("-@all");
        commands.split_whitespace().for_each(|command| {
            user.arg(command);
        });
        user.exec(&mut server.client()).unwrap();
        let place = RedisServer::new(server.url().replace("redis://", "redis://keys:x@")).prefix("{keys}:");
        let store = RedisStore::builder().rules(rules()).open(place.clone()).await.unwrap();
        let mut notices = store.notices().unwrap();
        assert!(matches!(notices.next().await, Some(Notice::Connected)));

        let known = record(1).imported();
        store.insert(known.clone()).await.unwrap();
        store.rotate(known.id(), Duration::from_secs(60)).await.unwrap();
        store.seen(known.id(), SystemTime::now());
        store.flush().await.unwrap();
        store.revoke(known.id()).await.unwrap();
        assert!(store.find(&Lookup::Digest(*known.digest())).await.unwrap().is_some());
        assert_eq!(store.list(&Default::default(), None, 10).await.unwrap().records.len(), 1);
        assert_eq!(store.sweep(SystemTime::now() + Duration::from_secs(60)).await.unwrap(), 1);
        let list = RedisDenyList::open(place.clone()).await.unwrap();
        list.deny(Denial::subject("alice").until(SystemTime::now() + Duration::from_secs(60))).await.unwrap();
        assert!(list.denies(&TokenFacts::new("alice")).await.unwrap());
        let used = RedisReplayStore::open(place).await.unwrap();
        assert!(used.first_use("a", SystemTime::now() + Duration::from_secs(60)).await.unwrap());
    }
}

#[tokio::test]
async fn a_revocation_that_is_not_on_the_disk_is_not_confirmed() {
    let Some(program) = that_waits() else { return };
    let server = Server::start_program(program, EVERY_SECOND);
    let store = RedisStore::builder().rules(rules()).open(server.place()).await.unwrap();
    let known = record(1);
    store.insert(known.clone()).await.unwrap();

    redis::cmd("CONFIG").arg("SET").arg("appendonly").arg("no").exec(&mut server.client()).unwrap();
    let revoked = store.revoke(known.id()).await;
    let again = store.revoke(known.id()).await;

    for outcome in [revoked, again] {
        let Err(AdminError::Store(StoreError::Unavailable { source, .. })) = outcome else { panic!("{outcome:?}") };
        assert!(source.to_string().contains("the change was made"), "{source}");
    }
}
