//! How long a caller waits whose token is good, while others do their worst.

use std::time::{Duration, Instant};

use http::{Request, StatusCode};
use tokio::runtime::Builder;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tower::{Layer, Service, ServiceExt};
use tower_keep::testing::TestIssuer;
use tower_keep::{Auth, Bearer, BearerLayer, Jwt};

use crate::support::{Body, Hello};
use crate::tokens::with_token;

const ROUNDS: usize = 9;
/// How long is measured, in each round and case.
const WHILE: Duration = Duration::from_secs(1);
/// How long a fetch hangs.
const HANGS: Duration = Duration::from_secs(3);
/// How many tokens of unknown keys come in a second.
const FLOOD: usize = 1_000;

/// The times of one round, in nanoseconds: the median and the 99th percentile.
type Times = [f64; 2];

#[derive(Clone, Copy)]
enum Case {
    Idle,
    Flooded,
    Hanging,
}

const CASES: [Case; 3] = [Case::Idle, Case::Flooded, Case::Hanging];

/// An issuer, and who takes its tokens: with a memory and without.
struct Scene {
    issuer: TestIssuer,
    services: [Auth<Hello, Bearer>; 2],
    /// Tokens of keys that nobody knows, each of another one.
    unknown: Vec<String>,
}

pub(crate) fn measure() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime can be made");
    // The caller is a task as all others are.
    runtime.block_on(async { tokio::spawn(rounds()).await.expect("it ends") });
}

async fn rounds() {
    let scene = Scene::new().await;
    // By service, by case, by round.
    let mut all: [[Vec<Times>; 3]; 2] = Default::default();
    for round in 0..ROUNDS {
        for turn in 0..CASES.len() {
            let place = (round + turn) % CASES.len();
            for (of_service, times) in all.iter_mut().zip(scene.case(CASES[place]).await) {
                of_service[place].push(times);
            }
        }
    }
    println!("a token that is good, {ROUNDS} rounds, {} fetches of keys", scene.issuer.key_fetches());
    println!("  {:<34}{:>10}{:>9}{:>12}{:>9}", "", "median", "", "p99", "");
    for (service, [idle, flooded, hanging]) in ["verified", "remembered"].into_iter().zip(&all) {
        print(&format!("{service}, idle"), idle, idle);
        print(&format!("{service}, {FLOOD}/s of unknown keys"), flooded, idle);
        print(&format!("{service}, a fetch hangs"), hanging, idle);
    }
}

fn print(name: &str, times: &[Times], idle: &[Times]) {
    let column = |of: usize| {
        let absolute = median(times.iter().map(|times| times[of]));
        let ratio = median(times.iter().zip(idle).map(|(times, idle)| times[of] / idle[of]));
        (absolute, ratio)
    };
    let ((half, half_ratio), (late, late_ratio)) = (column(0), column(1));
    println!("  {name:<34}{half:>7.0} ns{half_ratio:>7.2} x{late:>9.0} ns{late_ratio:>7.2} x");
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

impl Scene {
    async fn new() -> Self {
        let issuer = TestIssuer::new();
        // Each case of a round may cause a fetch.
        let keys = issuer.remote_keys().cool_down(Duration::from_millis(500));
        let tokens = || Jwt::with_remote_keys(keys.clone()).issuer(issuer.url()).audience(issuer.audience());
        let jwts = [tokens().remember_none().build(), tokens().build()].map(|jwt| jwt.expect("nothing is wrong"));
        for jwt in &jwts {
            jwt.ready().await.expect("the keys can be had");
        }
        let services = jwts.map(|jwt| BearerLayer::new(jwt).layer(Hello));
        let unknown = (0..4 * FLOOD).map(|number| issuer.token("junk").header("kid", format!("u{number}")).sign());
        Self { unknown: unknown.collect(), services, issuer }
    }

    /// Measures a case, of each service.
    async fn case(&self, case: Case) -> [Times; 2] {
        let mut all = [[0.0; 2]; 2];
        for (service, times) in self.services.iter().zip(&mut all) {
            let mut others = JoinSet::new();
            match case {
                Case::Idle => {}
                Case::Flooded => {
                    others.spawn(flood(service.clone(), self.unknown.clone()));
                }
                Case::Hanging => {
                    self.issuer.delay(HANGS);
                    let before = self.issuer.key_fetches();
                    let mut number = 0;
                    while self.issuer.key_fetches() == before {
                        others.spawn(refused(service.clone(), self.unknown[number].clone()));
                        number += 1;
                        sleep(Duration::from_millis(10)).await;
                    }
                }
            }
            *times = self.times(service.clone()).await;
            self.issuer.delay(Duration::ZERO);
            match case {
                Case::Flooded => others.abort_all(),
                // What hangs ends by itself.
                _ => while others.join_next().await.is_some() {},
            }
        }
        all
    }

    /// Sends one request after the other.
    async fn times(&self, mut service: Auth<Hello, Bearer>) -> Times {
        let token = self.issuer.token("alice").sign();
        let end = Instant::now() + WHILE;
        let mut times = Vec::new();
        while Instant::now() < end {
            let request = with_token(Some(&token));
            let ready = ServiceExt::<Request<Body>>::ready(&mut service).await.expect("it never fails");
            let start = Instant::now();
            let answer = ready.call(request).await;
            times.push(start.elapsed().as_nanos() as f64);
            assert!(answer.is_ok_and(|answer| answer.status() == StatusCode::OK));
            // Others have their turn, as between two requests of a connection.
            yield_now().await;
        }
        times.sort_by(f64::total_cmp);
        [times[times.len() / 2], times[times.len() * 99 / 100]]
    }
}

/// Sends tokens of one unknown key after the other, none of which waits for the one before.
async fn flood(service: Auth<Hello, Bearer>, tokens: Vec<String>) {
    let mut ticks = interval(Duration::from_secs(1) / FLOOD as u32);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut callers = JoinSet::new();
    for token in tokens.into_iter().cycle() {
        ticks.tick().await;
        callers.spawn(refused(service.clone(), token));
        while callers.try_join_next().is_some() {}
    }
}

async fn refused(service: Auth<Hello, Bearer>, token: String) {
    let answer = service.oneshot(with_token(Some(&token))).await;
    assert!(answer.is_ok_and(|answer| answer.status() == StatusCode::UNAUTHORIZED));
}
