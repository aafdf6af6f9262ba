//! The first tokens, when there are no keys yet.

use http::StatusCode;
use tokio::time::{Instant, sleep, timeout};
use tower_keep::testing::{Reply, TestIssuer};
use tower_keep::{Algorithm, BearerLayer, Jwt};

use super::{Scene, of_unknown_key, seconds};
use crate::support::{as_grpc, get, send, status, values, with};

#[tokio::test(start_paused = true)]
async fn a_thousand_first_requests_cause_one_fetch() {
    let scene = Scene::discovering(TestIssuer::new(), |issuer| issuer);
    assert_eq!(scene.ask_all(vec![scene.token(); 1000]).await, [(200, 1000)]);
    assert_eq!((scene.issuer.metadata_fetches(), scene.issuer.key_fetches()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_first_requests_wait_for_a_slow_fetch() {
    let scene = Scene::new();
    scene.issuer.delay(seconds(2));
    let start = Instant::now();
    assert_eq!(scene.ask_all(vec![scene.token(); 1000]).await, [(200, 1000)]);
    assert_eq!(start.elapsed().as_secs(), 2);
    assert_eq!(scene.issuer.key_fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn tokens_of_every_algorithm_are_verified_by_keys_that_were_fetched() {
    for algorithm in
        [Algorithm::EdDSA, Algorithm::ES256, Algorithm::ES384, Algorithm::ES512, Algorithm::RS256, Algorithm::PS384]
    {
        let scene = Scene::of(TestIssuer::new().with_algorithm(algorithm), |keys| keys);
        assert_eq!(scene.ask_good().await, StatusCode::OK, "{algorithm}");
        assert_eq!(
            scene.ask(&scene.issuer.token("alice").forged().sign()).await,
            StatusCode::UNAUTHORIZED,
            "{algorithm}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_keys_is_told_within_the_time_of_a_fetch() {
    let scene = Scene::new();
    scene.issuer.delay(seconds(3600));
    let start = Instant::now();
    assert_eq!(scene.ask_all(vec![scene.token(); 64]).await, [(503, 64)]);
    assert_eq!(start.elapsed().as_secs(), 5);
    assert_eq!(scene.issuer.key_fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_token_is_refused_at_once_and_causes_no_fetch() {
    // Built where nothing is fetched ahead: outside of a runtime.
    let issuer = TestIssuer::new();
    let built = issuer.clone();
    let build = move || Scene::of(built, |keys| keys);
    let scene = std::thread::spawn(build).join().unwrap();
    issuer.delay(seconds(2));
    let start = Instant::now();
    for (junk, expected) in [
        ("a.b.c".to_owned(), 401),
        ("ey..".to_owned(), 401),
        ("x".to_owned(), 401),
        ("a b".to_owned(), 400),
        (scene.issuer.token("alice").header("alg", "none").sign(), 401),
        (scene.issuer.token("alice").header("typ", "logout+jwt").sign(), 401),
        ("a".repeat(9000), 401),
    ] {
        assert_eq!(scene.ask(&junk).await.as_u16(), expected, "{junk}");
    }
    assert_eq!(start.elapsed(), seconds(0));
    assert_eq!(issuer.key_fetches(), 0);
    assert_eq!(scene.ask_good().await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn there_are_keys_once_it_is_ready() {
    let scene = Scene::new();
    assert!(!scene.tokens.status().usable);
    scene.tokens.ready().await.unwrap();
    assert!(scene.tokens.status().usable);
    assert!(scene.tokens.ready().now().is_some(), "nobody waits for what is there");
    scene.issuer.delay(seconds(2));
    let asked = timeout(seconds(1), scene.ask_good()).await;
    assert_eq!(asked, Ok(StatusCode::OK));
    assert_eq!(scene.issuer.key_fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn being_ready_fails_while_the_issuer_is_down_and_is_tried_again() {
    let scene = Scene::new();
    scene.issuer.reply(Reply::Nothing);
    let outage = scene.tokens.ready().await.unwrap_err();
    assert!(outage.retry_after() <= seconds(1));
    assert_eq!(outage.to_string(), "the server could not be reached: connection refused");
    scene.issuer.reply(Reply::Document);
    sleep(seconds(1)).await;
    scene.tokens.ready().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_status_tells_operators_how_the_keys_stand() {
    let scene = Scene::new();
    scene.issuer.reply(Reply::Status(StatusCode::BAD_GATEWAY));
    scene.tokens.ready().await.unwrap_err();
    let status = scene.tokens.status();
    assert_eq!((status.usable, status.keys, status.age, status.fetches), (false, 0, None, 1));
    assert_eq!(status.last_error.as_deref(), Some("status 502"));

    scene.issuer.reply(Reply::Document);
    scene.issuer.publish_beside([serde_json::json!({ "kty": "none" })]);
    scene.tokens.reload().await.unwrap();
    sleep(seconds(7)).await;
    let status = scene.tokens.status();
    assert_eq!((status.usable, status.keys, status.skipped, status.fetches), (true, 1, 1, 2));
    assert_eq!((status.age, status.last_error), (Some(seconds(7)), None));
    let next = status.next_fetch.unwrap();
    assert!(seconds(425) <= next && next <= seconds(521), "{next:?}");
}

#[tokio::test(start_paused = true)]
async fn keys_that_were_exported_bridge_a_start_while_the_issuer_is_down() {
    let before = Scene::warm().await;
    let exported = before.tokens.export_keys().unwrap();
    before.issuer.reply(Reply::Nothing);

    let after = Scene::of(before.issuer.clone(), |keys| keys.seed(exported.clone()));
    assert_eq!(after.ask_good().await, StatusCode::OK);
    assert_eq!(after.tokens.export_keys(), Some(exported));
    sleep(seconds(59 * 60)).await;
    assert_eq!(after.ask_good().await, StatusCode::OK);
    sleep(seconds(2 * 60)).await;
    assert_eq!(after.ask_good().await, StatusCode::SERVICE_UNAVAILABLE, "an hour, and no longer");
    after.issuer.reply(Reply::Document);
    sleep(seconds(60)).await;
    assert_eq!(after.ask_good().await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn keys_that_were_exported_make_way_for_newer_ones() {
    let issuer = TestIssuer::new();
    let exported = issuer.keys().to_string();
    issuer.rotate();
    let scene = Scene::of(issuer, |keys| keys.seed(exported));
    assert_eq!(scene.ask_good().await, StatusCode::OK);
    assert_eq!(scene.issuer.key_fetches(), 1);
}

#[test]
fn a_seed_without_a_key_is_an_error_when_it_is_built() {
    for seed in ["", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#] {
        let issuer = TestIssuer::new();
        let keys = issuer.remote_keys().seed(seed);
        assert!(Jwt::with_remote_keys(keys).issuer("i").audience("a").build().is_err(), "{seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn grpc_callers_are_told_unavailable() {
    let scene = Scene::new();
    scene.issuer.reply(Reply::Nothing);
    let request = as_grpc(with(get("/"), "authorization", &scene.issuer.token("alice").bearer()));
    let (response, seen) = send(BearerLayer::new(scene.tokens.clone()), request).await;
    assert_eq!((response.status(), seen.len()), (StatusCode::OK, 0));
    assert_eq!(values(response.headers(), "grpc-status"), ["14"]);
    assert!(response.headers().contains_key("retry-after"));
}

#[tokio::test(start_paused = true)]
async fn requests_without_a_token_wait_for_nothing() {
    let scene = Scene::new();
    scene.issuer.delay(seconds(3));
    let layer = BearerLayer::new(scene.tokens.clone());
    let missing = timeout(seconds(0), status(layer, get("/"))).await;
    assert_eq!(missing, Ok(StatusCode::UNAUTHORIZED));
    assert_eq!(scene.ask(&of_unknown_key(scene.issuer.token("alice"))).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_fetched_are_not_replaced() {
    let scene = Scene::warm().await;
    let other = tower_keep::KeySet::try_from(&TestIssuer::new().keys()).unwrap();
    assert_eq!(scene.tokens.replace_keys(other), Err(tower_keep::ConfigError::KeysAreFetched));
    assert_eq!(scene.ask_good().await, StatusCode::OK);
}
