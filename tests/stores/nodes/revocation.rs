//! How a revocation travels from one process to another.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower_keep::{IssuedKey, KeyAdmin, KeyId, NewKey};

use super::wire::Wire;
use super::{Node, open, report};
use crate::support::{postgres, redis};

/// How long copies are good, when nobody tells of changes.
const TTL: Duration = Duration::from_secs(10);

async fn issue(admin: &Arc<dyn KeyAdmin>, count: usize) -> Vec<IssuedKey> {
    let rules = admin.rules();
    let issued: Vec<_> = (0..count).map(|_| rules.issue(NewKey::for_owner("billing")).unwrap()).collect();
    let records = issued.iter().map(|issued| (**issued.record()).clone()).collect();
    assert_eq!(admin.insert_all(records).await.unwrap(), []);
    issued
}

/// Revokes keys here, and waits until the node refuses them.
async fn travels(what: &str, url: &str) {
    let here = open(url).await;
    let node = Node::start(url);
    let keys = issue(&here, 200).await;
    let mut times = Vec::new();
    for key in &keys {
        // A new key in a file is known as soon as the file is read again.
        let made = Instant::now();
        while node.ask(key.key().expose()).await != StatusCode::OK {
            assert!(made.elapsed() < TTL, "a new key is let in");
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(node.ask(key.key().expose()).await, StatusCode::OK);
    }

    for key in &keys {
        here.revoke(key.id()).await.unwrap();
        let confirmed = Instant::now();
        while node.ask(key.key().expose()).await != StatusCode::UNAUTHORIZED {
            assert!(confirmed.elapsed() < TTL / 2, "a revocation is told, and not found out by the time");
        }
        times.push(confirmed.elapsed());
    }

    report(&format!("{what}: from the confirmation here to the refusal there"), times);
}

/// Revokes many keys while many requests come with them.
async fn none_of_many_is_admitted_afterwards(what: &str, url: &str, count: usize) {
    let here = open(url).await;
    let node = Arc::new(Node::start(url));
    let keys = Arc::new(issue(&here, count).await);
    let confirmed: Arc<Mutex<HashMap<KeyId, Instant>>> = Arc::default();
    let (done, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let late: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let mut load = JoinSet::new();
    for start in 0..8 {
        let (node, keys, confirmed) = (Arc::clone(&node), Arc::clone(&keys), Arc::clone(&confirmed));
        let (done, asked, late) = (Arc::clone(&done), Arc::clone(&asked), Arc::clone(&late));
        load.spawn(async move {
            for key in keys.iter().cycle().skip(start * keys.len() / 8) {
                if done.load(Ordering::SeqCst) {
                    return;
                }
                let began = Instant::now();
                let status = node.ask(key.key().expose()).await;
                asked.fetch_add(1, Ordering::Relaxed);
                let revoked = confirmed.lock().unwrap().get(key.id()).copied();
                match (status, revoked) {
                    (StatusCode::OK, Some(revoked)) if revoked < began => late.lock().unwrap().push(began - revoked),
                    (StatusCode::OK | StatusCode::UNAUTHORIZED, _) => {}
                    (other, _) => panic!("{other}"),
                }
            }
        });
    }

    let start = Instant::now();
    let mut revocations = JoinSet::new();
    for lane in 0..16 {
        let (here, keys, confirmed) = (Arc::clone(&here), Arc::clone(&keys), Arc::clone(&confirmed));
        revocations.spawn(async move {
            for key in keys.iter().skip(lane).step_by(16) {
                here.revoke(key.id()).await.unwrap();
                confirmed.lock().unwrap().insert(*key.id(), Instant::now());
            }
        });
    }
    revocations.join_all().await;
    let took = start.elapsed();
    // Whatever was told last has arrived by then.
    sleep(Duration::from_secs(1)).await;
    done.store(true, Ordering::SeqCst);
    load.join_all().await;

    let asked = asked.load(Ordering::Relaxed);
    println!("{what}: {count} keys revoked in {took:.1?} under {:.0} requests/s", asked as f64 / took.as_secs_f64());
    let late = std::mem::take(&mut *late.lock().unwrap());
    println!("{what}: {} of {asked} requests were admitted after the confirmation", late.len());
    if !late.is_empty() {
        assert!(late.iter().max() < Some(&(TTL / 2)), "a revocation is told, and not found out by the time");
        report(&format!("{what}: how long after"), late);
    }
    for key in keys.iter() {
        assert_eq!(node.ask(key.key().expose()).await, StatusCode::UNAUTHORIZED, "{}", key.id());
    }
}

/// Revokes a key while the node that has a copy of it hears nothing, and does not know that.
async fn is_bounded_by_time(url: &str, port: u16) {
    let wire = Wire::to(port).await;
    let cut = url.replace(&format!(":{port}"), &format!(":{}", wire.address.port()));
    let here = open(url).await;
    let node = Node::start(&cut);
    let key = issue(&here, 1).await.remove(0);
    for _ in 0..2 {
        assert_eq!(node.ask(key.key().expose()).await, StatusCode::OK);
    }

    wire.deafen();
    here.revoke(key.id()).await.unwrap();
    let confirmed = Instant::now();
    while node.ask(key.key().expose()).await != StatusCode::UNAUTHORIZED {
        assert!(confirmed.elapsed() <= TTL + Duration::from_secs(5), "a copy is good for ten seconds at most");
        sleep(Duration::from_millis(5)).await;
    }

    println!("with the link cut: refused after {:.1?}", confirmed.elapsed());
}

fn file(name: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let url = name.replace("{}", folder.path().to_str().unwrap());
    (folder, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_told_over_postgresql() {
    travels("PostgreSQL", &postgres::shared().database()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_told_over_redis() {
    let server = redis::Server::start(redis::ALWAYS);
    travels("Redis", &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_told_over_sqlite() {
    let (_folder, url) = file("sqlite:{}/keys.db");
    travels("SQLite", &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_told_over_a_file() {
    let (_folder, url) = file("file:{}/keys.toml");
    travels("file", &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_keys_revoked_under_load_over_postgresql_are_refused() {
    let url = postgres::shared().database();
    none_of_many_is_admitted_afterwards("PostgreSQL", &url, 10_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_keys_revoked_under_load_over_redis_are_refused() {
    let server = redis::Server::start(redis::ALWAYS);
    none_of_many_is_admitted_afterwards("Redis", &server.url(), 10_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_revoked_under_load_over_sqlite_are_refused() {
    let (_folder, url) = file("sqlite:{}/keys.db");
    none_of_many_is_admitted_afterwards("SQLite", &url, 2_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_link_to_postgresql_cut_a_revocation_is_bounded_by_time() {
    let server = postgres::shared();
    is_bounded_by_time(&server.database(), server.port()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_link_to_redis_cut_a_revocation_is_bounded_by_time() {
    let server = redis::Server::start(redis::ALWAYS);
    is_bounded_by_time(&server.url(), server.port()).await;
}
