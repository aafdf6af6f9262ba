//! Tokens that name a key which is not there.

use http::StatusCode;
use tokio::time::{Instant, sleep, timeout};
use tower_keep::testing::Reply;

use super::{COOL_DOWN, Scene, seconds};

#[tokio::test(start_paused = true)]
async fn a_thousand_unknown_keys_cause_one_fetch_per_cool_down() {
    let scene = Scene::warm().await;
    for round in 0..3_u64 {
        let flood: Vec<_> = (0..1000).map(|kid| scene.junk(kid)).collect();
        assert_eq!(scene.ask_all(flood).await, [(401, 1000)]);
        assert_eq!(scene.issuer.key_fetches(), 2 + round);
        sleep(COOL_DOWN).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_with_one_unknown_key_cause_one_fetch() {
    let scene = Scene::warm().await;
    assert_eq!(scene.ask_all(vec![scene.junk("one"); 1000]).await, [(401, 1000)]);
    assert_eq!(scene.issuer.key_fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn known_keys_serve_while_a_slow_fetch_is_under_way() {
    let scene = Scene::warm().await;
    scene.issuer.delay(seconds(3));
    let unknown = tokio::spawn({
        let (scene, junk) = (scene.clone(), scene.junk("slow"));
        async move { scene.ask(&junk).await }
    });
    sleep(seconds(1)).await;
    assert_eq!(scene.issuer.key_fetches(), 2, "it is under way");
    let start = Instant::now();
    assert_eq!(scene.ask_all((0..100).map(|_| scene.token())).await, [(200, 100)]);
    assert_eq!(start.elapsed(), seconds(0));
    assert_eq!(unknown.await.unwrap(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn known_keys_and_tokens_that_name_none_cause_no_fetch() {
    let scene = Scene::warm().await;
    let forged = scene.issuer.token("mallory").forged();
    assert_eq!(scene.ask(&forged.sign()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.ask(&forged.without_header("kid").sign()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.ask(&scene.issuer.token("alice").header("alg", "RS256").sign()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.ask(&scene.issuer.token("alice").without_header("kid").sign()).await, StatusCode::OK);
    assert_eq!(scene.issuer.key_fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_failed_counts_for_the_cool_down() {
    let scene = Scene::warm().await;
    scene.issuer.reply(Reply::Status(StatusCode::INTERNAL_SERVER_ERROR));
    assert_eq!(scene.ask(&scene.junk(1)).await, StatusCode::SERVICE_UNAVAILABLE);
    scene.issuer.reply(Reply::Document);
    sleep(seconds(5)).await;
    let fetches = scene.issuer.key_fetches();
    assert!(scene.tokens.status().last_error.is_none(), "it was tried again in the background");
    assert_eq!(scene.ask(&scene.junk(2)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.issuer.key_fetches(), fetches, "the cool-down of the first one is not over");
    sleep(COOL_DOWN - seconds(5)).await;
    assert_eq!(scene.ask(&scene.junk(3)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.issuer.key_fetches(), fetches + 1);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_in_the_background_does_not_keep_a_new_key_out() {
    let scene = Scene::warm().await;
    while scene.issuer.key_fetches() == 1 {
        sleep(seconds(1)).await;
    }
    scene.issuer.rotate();
    assert_eq!(scene.ask_good().await, StatusCode::OK);
    assert_eq!(scene.issuer.key_fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_cannot_be_known_while_the_last_fetch_failed() {
    let scene = Scene::warm().await;
    scene.issuer.reply(Reply::Nothing);
    scene.tokens.reload().await.unwrap_err();
    let answer = scene.answer(&scene.junk(1)).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(!answer.headers().contains_key("www-authenticate"), "it says nothing about the token");
    assert_eq!(scene.ask_good().await, StatusCode::OK, "a known key is known");
}

#[tokio::test(start_paused = true)]
async fn an_empty_set_limits_fetches_as_a_full_one_does() {
    let scene = Scene::new();
    scene.issuer.keys_reply(Reply::Body(r#"{"keys":[]}"#.into()));
    let start = Instant::now();
    while start.elapsed() < seconds(60) {
        let kid = start.elapsed().as_millis();
        assert_eq!(scene.ask_all((0..5).map(|n| scene.junk(kid + n))).await, [(503, 5)]);
        sleep(seconds(1) / 5).await;
    }
    // 6 steps of the back-off are a minute, and each may be short; 1,500 requests came.
    assert!(scene.issuer.key_fetches() < 30, "{} fetches", scene.issuer.key_fetches());
}

#[tokio::test(start_paused = true)]
async fn how_long_to_cool_down_is_a_setting() {
    for wait in [seconds(1), seconds(1000)] {
        let scene = Scene::with(|keys| keys.cool_down(wait).fresh_for(seconds(24 * 60 * 60)));
        scene.tokens.ready().await.unwrap();
        scene.ask(&scene.junk(1)).await;
        sleep(wait * 8 / 10).await;
        scene.ask(&scene.junk(2)).await;
        assert_eq!(scene.issuer.key_fetches(), 2);
        sleep(wait * 4 / 10).await;
        scene.ask(&scene.junk(3)).await;
        assert_eq!(scene.issuer.key_fetches(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn settings_may_say_for_ever() {
    let ever = std::time::Duration::MAX;
    let scene = Scene::with(|keys| keys.cool_down(ever).max_stale(ever).fresh_for(ever));
    assert_eq!(timeout(seconds(1), scene.ask_good()).await, Ok(StatusCode::OK));
    assert_eq!(timeout(seconds(1), scene.ask(&scene.junk(1))).await, Ok(StatusCode::UNAUTHORIZED));
    scene.issuer.reply(Reply::Nothing);
    sleep(seconds(3 * 24 * 60 * 60)).await;
    assert_eq!(scene.ask_good().await, StatusCode::OK);
}
