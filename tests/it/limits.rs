//! How many requests a caller may make.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use proptest::prelude::*;
use tokio::task::JoinSet;
use tokio::time::advance;
use tower::{Layer, ServiceExt};
use tower_keep::{
    Algorithm, ApiKeyLayer, BearerLayer, IssuedKey, KeyLimits, KeyRecord, KeyStore, Lookup, MemoryStore, NewKey,
    RateLimit, RequireScopes, store_fn,
};

use crate::log::logged;
use crate::support::{Inner, TestClock, as_grpc, get, only, rules, values, with, with_key};
use crate::tokens::mint::{Signer, claims, claims_with};

fn rate(requests: u32, seconds: u64) -> RateLimit {
    RateLimit::new(requests, Duration::from_secs(seconds)).unwrap()
}

fn keys() -> MemoryStore {
    MemoryStore::with(rules(&TestClock::new()))
}

async fn answer(keys: &MemoryStore, limits: &KeyLimits, request: Request<String>) -> Response<String> {
    ApiKeyLayer::new(keys.clone()).layer(limits.layer(Inner::new())).oneshot(request).await.unwrap()
}

async fn statuses(keys: &MemoryStore, limits: &KeyLimits, issued: &IssuedKey, times: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..times {
        statuses.push(answer(keys, limits, with_key(issued)).await.status().as_u16());
    }
    statuses
}

#[tokio::test(start_paused = true)]
async fn a_key_makes_as_many_requests_as_its_record_says_and_is_told_what_is_left() {
    let (keys, limits) = (keys(), KeyLimits::new());
    let issued = keys.issue(NewKey::for_owner("a").rate(rate(3, 60))).unwrap();
    let expected = [
        (0, 200, r#""key";r=2;t=20"#, None),
        (0, 200, r#""key";r=1;t=40"#, None),
        (0, 200, r#""key";r=0;t=20"#, None),
        (0, 429, r#""key";r=0;t=20"#, Some("20")),
        (1, 429, r#""key";r=0;t=19"#, Some("19")),
        (18_500, 429, r#""key";r=0;t=1"#, Some("1")),
        (500, 200, r#""key";r=0;t=20"#, None),
        (0, 429, r#""key";r=0;t=20"#, Some("20")),
        (60_000, 200, r#""key";r=2;t=20"#, None),
    ];
    let mut before = 0;
    for (number, (pause, status, told, retry_after)) in expected.into_iter().enumerate() {
        // The fifth request comes after a whole second.
        let pause = if pause == 1 { 1000 } else { pause };
        before += pause;
        advance(Duration::from_millis(pause)).await;

        let response = answer(&keys, &limits, with_key(&issued)).await;

        assert_eq!(response.status(), status, "request {number} at {before} ms");
        assert_eq!(only(&response, "ratelimit-policy"), r#""key";q=3;w=60"#);
        assert_eq!(only(&response, "ratelimit"), told, "request {number} at {before} ms");
        assert_eq!(response.headers().get("retry-after").map(|wait| wait.to_str().unwrap()), retry_after);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_rendered_by_the_layer_outside_and_told_to_the_log() {
    let (keys, limits) = (keys(), KeyLimits::new());
    let issued = keys.issue(NewKey::for_owner("a").rate(rate(1, 60))).unwrap();
    assert_eq!(statuses(&keys, &limits, &issued, 1).await, [200]);
    let log = logged();

    let response = answer(&keys, &limits, with_key(&issued)).await;
    assert_eq!(response.status(), 429);
    assert_eq!(only(&response, "content-type"), "application/problem+json");
    assert_eq!(only(&response, "cache-control"), "no-store");
    assert!(!response.headers().contains_key("www-authenticate"));
    let told = format!("cause=\"limited\" reason=\"limited\" status=429 credential_id=\"{}\"", issued.id());
    assert!(log.lines().concat().contains(&told));

    let grpc = answer(&keys, &limits, as_grpc(with_key(&issued))).await;
    assert_eq!((grpc.status().as_u16(), only(&grpc, "grpc-status"), only(&grpc, "retry-after")), (200, "8", "60"));
    assert_eq!(only(&grpc, "ratelimit"), r#""key";r=0;t=60"#);
}

#[tokio::test(start_paused = true)]
async fn each_key_counts_by_itself_and_one_without_a_rate_is_not_limited() {
    let (keys, limits) = (keys(), KeyLimits::new());
    let limited = || keys.issue(NewKey::for_owner("a").rate(rate(2, 60))).unwrap();
    let (one, other) = (limited(), limited());
    let free = keys.issue(NewKey::for_owner("a")).unwrap();

    assert_eq!(statuses(&keys, &limits, &one, 3).await, [200, 200, 429]);
    assert_eq!(statuses(&keys, &limits, &other, 3).await, [200, 200, 429]);
    assert_eq!(statuses(&keys, &limits, &free, 20).await, [200; 20]);
    let response = answer(&keys, &limits, with_key(&free)).await;
    assert!(!response.headers().contains_key("ratelimit") && !response.headers().contains_key("ratelimit-policy"));
}

#[tokio::test(start_paused = true)]
async fn the_default_rate_is_for_those_without_one_and_a_fixed_rate_for_all() {
    let keys = keys();
    let own = keys.issue(NewKey::for_owner("a").rate(rate(2, 60))).unwrap();
    let none = keys.issue(NewKey::for_owner("a")).unwrap();

    let limits = KeyLimits::new().default_rate(rate(1, 60));
    assert_eq!(statuses(&keys, &limits, &own, 3).await, [200, 200, 429]);
    assert_eq!(statuses(&keys, &limits, &none, 2).await, [200, 429]);

    let limits = KeyLimits::new().fixed_rate(rate(1, 60));
    assert_eq!(statuses(&keys, &limits, &own, 2).await, [200, 429]);
}

#[tokio::test(start_paused = true)]
async fn tokens_pass_unless_there_is_a_default_and_count_by_their_subject() {
    let signer = Signer::new(Algorithm::EdDSA);
    let [one, again, other] = [
        claims(),
        claims_with(serde_json::json!({ "jti": "second" })),
        claims_with(serde_json::json!({ "sub": "other" })),
    ]
    .map(|claims| signer.token(&claims));
    let layer = BearerLayer::new(signer.verifier().build().unwrap());
    let status = async |limits: &KeyLimits, token: &str| {
        let request = with(get("/"), "authorization", &format!("Bearer {token}"));
        layer.layer(limits.layer(Inner::new())).oneshot(request).await.unwrap().status().as_u16()
    };

    let none = KeyLimits::new();
    assert_eq!([status(&none, &one).await, status(&none, &one).await], [200, 200]);
    let limits = KeyLimits::new().default_rate(rate(2, 60));
    let statuses = [&one, &again, &one, &other].map(|token| status(&limits, token));
    let [first, second, third, fourth] = statuses;
    assert_eq!([first.await, second.await, third.await, fourth.await], [200, 200, 429, 200]);
}

#[tokio::test(start_paused = true)]
async fn nobody_passes_and_a_missing_layer_is_a_fault_of_ours() {
    let limits = KeyLimits::new().default_rate(rate(1, 60));
    let optional = ApiKeyLayer::new(keys()).optional().layer(limits.layer(Inner::new()));
    for _ in 0..3 {
        let response = optional.clone().oneshot(get("/")).await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(!response.headers().contains_key("ratelimit"));
    }
    assert_eq!(limits.layer(Inner::new()).oneshot(get("/")).await.unwrap().status(), 500);
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_only_reports_lets_all_through() {
    let keys = keys();
    let issued = keys.issue(NewKey::for_owner("a").rate(rate(1, 60))).unwrap();
    let service = ApiKeyLayer::new(keys).report_only().layer(KeyLimits::new().layer(Inner::new()));
    let log = logged();
    for _ in 0..3 {
        assert_eq!(service.clone().oneshot(with_key(&issued)).await.unwrap().status(), 200);
    }
    let lines = log.lines().concat();
    assert_eq!(lines.matches("reason=\"limited\"").count(), 2);
    assert_eq!(lines.matches("report_only=true").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_changes_counts_at_once() {
    let keys = keys();
    let issued = keys.issue(NewKey::for_owner("a").rate(rate(1, 60))).unwrap();
    let record = keys.find(&Lookup::Id(*issued.id())).now().unwrap().unwrap().unwrap();
    let current = Arc::new(Mutex::new(record));
    let shared = Arc::clone(&current);
    let store = store_fn(move |_| {
        let record = Arc::clone(&shared.lock().unwrap());
        async move { Ok(Some(record)) }
    });
    let service = ApiKeyLayer::new(store.rules(keys.rules())).layer(KeyLimits::new().layer(Inner::new()));
    let statuses = async |times| {
        let mut statuses = Vec::new();
        for _ in 0..times {
            statuses.push(service.clone().oneshot(with_key(&issued)).await.unwrap().status().as_u16());
        }
        statuses
    };
    let change = |rate| {
        let mut current = current.lock().unwrap();
        *current = Arc::new(KeyRecord::clone(&current).with_rate(rate));
    };

    assert_eq!(statuses(2).await, [200, 429]);
    change(rate(3, 60));
    assert_eq!(statuses(4).await, [200, 200, 200, 429]);
    // What was used up stays used up.
    change(rate(1, 60));
    assert_eq!(statuses(1).await, [429]);
}

#[tokio::test(start_paused = true)]
async fn keys_of_an_owner_or_of_a_group_may_count_together() {
    let keys = keys();
    let issue = |owner: &str, team: &str| {
        let new = NewKey::for_owner(owner).rate(rate(2, 60));
        keys.issue(if team.is_empty() { new } else { new.label("team", team) }).unwrap()
    };
    let [a, b, c, d] = [("x", "red"), ("x", "blue"), ("y", "red"), ("y", "")].map(|(owner, team)| issue(owner, team));

    let owners = KeyLimits::new().per_owner();
    assert_eq!(statuses(&keys, &owners, &a, 2).await, [200, 200]);
    assert_eq!(statuses(&keys, &owners, &b, 1).await, [429]);
    assert_eq!(statuses(&keys, &owners, &c, 1).await, [200]);

    let teams = KeyLimits::new().shared_by("te\"am", |principal| {
        let record = principal.details::<KeyRecord>()?;
        record.labels().find(|(name, _)| *name == "team").map(|(_, team)| team.to_owned())
    });
    assert_eq!(statuses(&keys, &teams, &a, 2).await, [200, 200]);
    assert_eq!(statuses(&keys, &teams, &c, 1).await, [429]);
    assert_eq!(statuses(&keys, &teams, &b, 1).await, [200]);
    assert_eq!(statuses(&keys, &teams, &d, 3).await, [200, 200, 429]);
    let response = answer(&keys, &teams, with_key(&a)).await;
    assert_eq!(only(&response, "ratelimit-policy"), r#""team";q=2;w=60"#);
}

#[tokio::test(start_paused = true)]
async fn two_limits_inside_each_other_tell_of_both() {
    let keys = keys();
    let issued = keys.issue(NewKey::for_owner("x").scopes(["read"]).rate(rate(5, 60))).unwrap();
    let owners = KeyLimits::new().per_owner().fixed_rate(rate(2, 60));
    let inner = RequireScopes::all(["admin"]).layer(Inner::new());
    let service = ApiKeyLayer::new(keys).layer(owners.layer(KeyLimits::new().layer(inner)));

    // A refusal further in says what is left, too.
    let response = service.clone().oneshot(with_key(&issued)).await.unwrap();
    assert_eq!(response.status(), 403);
    assert_eq!(values(response.headers(), "ratelimit"), [r#""key";r=4;t=12"#, r#""owner";r=1;t=30"#]);
    service.clone().oneshot(with_key(&issued)).await.unwrap();
    let response = service.oneshot(with_key(&issued)).await.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(only(&response, "ratelimit"), r#""owner";r=0;t=30"#);
}

#[tokio::test(start_paused = true)]
async fn no_more_callers_are_counted_than_there_is_room_for() {
    let (keys, limits) = (keys(), KeyLimits::new().capacity(100));
    let busy = keys.issue(NewKey::for_owner("busy").rate(rate(50, 60))).unwrap();
    assert_eq!(statuses(&keys, &limits, &busy, 51).await[49..], [200, 429]);
    for _ in 0..1_000 {
        let issued = keys.issue(NewKey::for_owner("a").rate(rate(50, 60))).unwrap();
        assert_eq!(statuses(&keys, &limits, &issued, 1).await, [200]);
        let told = format!("{limits:?}");
        let callers = told.split("callers: ").nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
        assert!(callers.unwrap().parse::<usize>().unwrap() <= 100, "{told}");
    }
    assert_eq!(statuses(&keys, &limits, &busy, 1).await, [429], "whoever used up the most is not forgotten");

    let one = KeyLimits::new().capacity(0);
    assert_eq!(statuses(&keys, &one, &busy, 51).await[49..], [200, 429]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_at_the_same_moment_are_counted_one_by_one() {
    let (keys, limits) = (keys(), KeyLimits::new());
    let issued = keys.issue(NewKey::for_owner("a").rate(rate(10, 24 * 60 * 60))).unwrap();
    let service = ApiKeyLayer::new(keys).layer(limits.layer(Inner::new()));
    let mut tasks = JoinSet::new();
    for _ in 0..64 {
        tasks.spawn(service.clone().oneshot(with_key(&issued)));
    }
    let answers = tasks.join_all().await;
    let admitted = answers.into_iter().filter(|answer| answer.as_ref().unwrap().status() == 200).count();
    assert_eq!(admitted, 10);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against credit that grows with time, counted by hand.
    #[test]
    fn what_is_let_through_is_what_one_counts_by_hand(
        requests in 1_u32..20,
        seconds in 1_u64..100,
        pauses in prop::collection::vec(prop_oneof![Just(0_u64), 0_u64..30_000], 1..100),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (keys, limits) = (keys(), KeyLimits::new());
            let issued = keys.issue(NewKey::for_owner("a").rate(rate(requests, seconds))).unwrap();
            let share = seconds * 1_000_000_000 / u64::from(requests);
            let whole = share * u64::from(requests);
            let mut credit = whole;
            for pause in pauses {
                advance(Duration::from_millis(pause)).await;
                credit = (credit + pause * 1_000_000).min(whole);
                let response = answer(&keys, &limits, with_key(&issued)).await;
                let passes = credit >= share;
                assert_eq!(response.status() == 200, passes);
                if passes {
                    credit -= share;
                    let left = format!("r={};", credit / share);
                    assert!(only(&response, "ratelimit").contains(&left), "{left} {response:?}");
                } else {
                    let wait = (share - credit).div_ceil(1_000_000_000);
                    assert_eq!(only(&response, "retry-after"), wait.to_string());
                }
            }
        });
    }
}
