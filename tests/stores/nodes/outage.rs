//! What happens to requests when the store is killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};
use tower_keep::{IssuedKey, KeyAdmin, Lookup, NewKey};

use super::wire::Wire;
use super::{Node, open, report};
use crate::support::{postgres, redis};

/// How many requests come in a second.
const RATE: u64 = 500;
/// How long a node waits for the store.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// A server that can be killed and started again where it was.
pub trait Mortal: Send {
    fn url(&self) -> String;
    /// Ends it as `kill -9` does.
    fn kill(&mut self);
    async fn restart(&mut self);
}

/// What a request with a key was answered, and when it was sent.
struct Answer {
    sent: Instant,
    took: Duration,
    known: bool,
    status: StatusCode,
}

impl Mortal for (postgres::Server, String) {
    fn url(&self) -> String {
        self.1.clone()
    }

    fn kill(&mut self) {
        self.0.kill();
    }

    async fn restart(&mut self) {
        tokio::task::block_in_place(|| self.0.run_again());
    }
}

impl Mortal for redis::Server {
    fn url(&self) -> String {
        self.url()
    }

    fn kill(&mut self) {
        self.kill();
    }

    async fn restart(&mut self) {
        tokio::task::block_in_place(|| self.start_again());
    }
}

async fn issue(admin: &Arc<dyn KeyAdmin>) -> IssuedKey {
    admin.issue(NewKey::for_owner("billing")).await.unwrap()
}

/// Kills a server under load, and starts it again four seconds later.
async fn survives(what: &str, mut server: impl Mortal) {
    let here = open(&server.url()).await;
    // However long it takes the server to start again on a busy machine.
    let node = Arc::new(Node::start_with(&server.url(), Some(60)));
    let known = issue(&here).await;
    let mut fresh = Vec::new();
    for _ in 0..(RATE * 20) {
        fresh.push(here.rules().issue(NewKey::for_owner("billing")).unwrap());
    }
    here.insert_all(fresh.iter().map(|key| (**key.record()).clone()).collect()).await.unwrap();
    let revoked = issue(&here).await;
    here.revoke(revoked.id()).await.unwrap();
    assert_eq!(node.ask(known.key().expose()).await, StatusCode::OK);

    // Half of the requests come with the key of which there is a copy, the others with keys that the node has never seen.
    let done = Arc::<AtomicBool>::default();
    let load = {
        let (node, done, known) = (Arc::clone(&node), Arc::clone(&done), known.key().expose().to_owned());
        tokio::spawn(async move {
            let mut ticks = interval(Duration::from_micros(1_000_000 / RATE));
            let (mut requests, mut fresh) = (JoinSet::new(), fresh.into_iter());
            for n in 0_u64.. {
                ticks.tick().await;
                let is_known = n % 2 == 0;
                let another = if is_known { None } else { fresh.next() };
                let key = another.map_or_else(|| known.clone(), |key| key.key().expose().to_owned());
                let node = Arc::clone(&node);
                requests.spawn(async move {
                    let sent = Instant::now();
                    let status = node.ask(&key).await;
                    Answer { sent, took: sent.elapsed(), known: is_known, status }
                });
                if done.load(Ordering::SeqCst) {
                    break;
                }
            }
            requests.join_all().await
        })
    };
    sleep(Duration::from_secs(1)).await;
    let last = issue(&here).await;
    let withdrawn = issue(&here).await;
    here.revoke(withdrawn.id()).await.unwrap();
    let killed = Instant::now();
    server.kill();
    sleep(Duration::from_secs(4)).await;
    let restarted = Instant::now();
    server.restart().await;
    let up = Instant::now();
    sleep(Duration::from_secs(5)).await;
    done.store(true, Ordering::SeqCst);
    let answers = load.await.unwrap();

    let count = |known: bool, status: StatusCode| {
        answers.iter().filter(|answer| answer.known == known && answer.status == status).count()
    };
    println!(
        "{what}: {} requests; known keys {} x 200, unknown {} x 200 and {} x 503; down for {:.1?}",
        answers.len(),
        count(true, StatusCode::OK),
        count(false, StatusCode::OK),
        count(false, StatusCode::SERVICE_UNAVAILABLE),
        up - killed,
    );
    for answer in &answers {
        let expected: &[StatusCode] = match answer.known {
            true => &[StatusCode::OK],
            false => &[StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE],
        };
        let after = answer.sent.saturating_duration_since(killed);
        assert!(
            expected.contains(&answer.status),
            "{} of a known key: {}, {after:?} after",
            answer.status,
            answer.known
        );
        assert!(answer.took < Duration::from_secs(9), "a request took {:?}", answer.took);
    }
    // Whoever asks later may still wait when the server is back.
    let hopeless = killed + Duration::from_millis(500)..restarted - STORE_TIMEOUT;
    let down = |answer: &&Answer| hopeless.contains(&answer.sent);
    let refused = answers.iter().filter(down).filter(|answer| !answer.known);
    assert!(
        refused.clone().count() > 0 && refused.clone().all(|answer| answer.status == StatusCode::SERVICE_UNAVAILABLE)
    );
    report(
        &format!("{what}: known keys while it is down"),
        answers.iter().filter(down).filter(|it| it.known).map(|it| it.took).collect(),
    );
    report(&format!("{what}: unknown keys while it is down"), refused.map(|it| it.took).collect());
    let back = answers
        .iter()
        .filter(|it| !it.known && it.status == StatusCode::OK && it.sent > restarted)
        .map(|it| it.sent + it.took)
        .min();
    let back = back.expect("it recovers by itself");
    println!("{what}: unknown keys are let in again {:.1?} after the server is up", back.saturating_duration_since(up));

    // What was confirmed is there, and nobody has come back to life.
    assert!(here.find(&Lookup::Id(*last.id())).await.unwrap().is_some());
    assert_eq!(node.ask(last.key().expose()).await, StatusCode::OK);
    assert_eq!(node.ask(revoked.key().expose()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(node.ask(withdrawn.key().expose()).await, StatusCode::UNAUTHORIZED);
    // And revocations travel again.
    here.revoke(known.id()).await.unwrap();
    let confirmed = Instant::now();
    while node.ask(known.key().expose()).await != StatusCode::UNAUTHORIZED {
        assert!(confirmed.elapsed() < Duration::from_secs(5), "revocations are told again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_may_be_killed_under_load() {
    let server = postgres::Server::start();
    let database = server.database();
    survives("PostgreSQL", (server, database)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_may_be_killed_under_load() {
    survives("Redis", redis::Server::start(redis::ALWAYS)).await;
}

/// Cuts all connections without a word, lets new ones through, and waits until keys are found again.
async fn finds_again(what: &str, url: &str, port: u16) {
    let wire = Wire::to(port).await;
    let here = open(&url.replace(&format!(":{port}"), &format!(":{}", wire.address.port()))).await;
    let key = issue(&here).await;
    let find = || {
        let (here, id) = (Arc::clone(&here), *key.id());
        async move { here.find(&Lookup::Id(id)).await }
    };
    (0..20).map(|_| find()).collect::<JoinSet<_>>().join_all().await.into_iter().for_each(|found| {
        found.unwrap();
    });

    wire.silence();
    let silent = Instant::now();
    (0..20).map(|_| find()).collect::<JoinSet<_>>().join_all().await;
    while !matches!(find().await, Ok(Some(_))) {
        assert!(silent.elapsed() < Duration::from_secs(30), "new connections are made");
    }

    println!("{what}: keys are found again {:.1?} after all connections fell silent", silent.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_postgresql_that_fall_silent_make_way_for_others() {
    let server = postgres::shared();
    finds_again("PostgreSQL", &server.database(), server.port()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_redis_that_fall_silent_make_way_for_others() {
    let server = redis::Server::start(redis::ALWAYS);
    finds_again("Redis", &server.url(), server.port()).await;
}
