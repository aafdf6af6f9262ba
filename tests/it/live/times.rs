//! How long keys are fresh, and whether they are news.

use std::sync::Arc;

use http::StatusCode;
use tokio::time::{Instant, sleep};
use tower_keep::Jwt;
use tower_keep::testing::{TestClock, TestIssuer};

use super::{Scene, Watch, seconds};

#[tokio::test(start_paused = true)]
async fn keys_are_fresh_as_long_as_their_server_says_within_a_minute_and_a_day() {
    for (cache_control, fresh) in [
        (None, 600),
        (Some("public"), 600),
        (Some("max-age=300"), 300),
        (Some("public, max-age=3600, must-revalidate"), 3600),
        (Some("max-age=1"), 60),
        (Some("max-age=0"), 60),
        (Some("no-store"), 60),
        (Some("max-age=300, no-cache"), 60),
        (Some("max-age=soon"), 60),
        (Some("max-age=99999999999"), 24 * 60 * 60),
    ] {
        for _ in 0..5 {
            let scene = Scene::new();
            if let Some(cache_control) = cache_control {
                scene.issuer.cache_control(cache_control);
            }
            scene.tokens.ready().await.unwrap();
            let next = scene.tokens.status().next_fetch.unwrap();
            let (least, most) = (seconds(fresh) * 72 / 100, seconds(fresh) * 88 / 100);
            assert!(least <= next && next <= most, "{cache_control:?}: {next:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_anew_in_the_background_before_their_time_is_over() {
    let scene = Scene::warm().await;
    scene.issuer.delay(seconds(4));
    let start = Instant::now();
    let token = scene.token();
    while start.elapsed() < seconds(24 * 60 * 60) {
        let asked = Instant::now();
        assert_eq!(scene.ask(&token).await, StatusCode::OK);
        assert_eq!(asked.elapsed(), seconds(0), "nobody waits for it");
        sleep(seconds(10)).await;
    }
    let started = scene.watch.started();
    for pair in started.windows(2).skip(1) {
        // 80 % of ten minutes, give or take a tenth, behind an answer that took 4 seconds.
        let wait = pair[1] - pair[0] - seconds(4);
        assert!(seconds(432) <= wait && wait <= seconds(529), "{wait:?}");
    }
    let waits: std::collections::HashSet<_> = started.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.len() > 100, "they are spread");
}

#[tokio::test(start_paused = true)]
async fn the_same_document_is_no_news() {
    let scene = Scene::warm().await;
    let keys = scene.tokens.keys();
    scene.tokens.reload().await.unwrap();
    assert!(Arc::ptr_eq(&keys, &scene.tokens.keys()));
    scene.issuer.rotate();
    scene.tokens.reload().await.unwrap();
    assert!(!Arc::ptr_eq(&keys, &scene.tokens.keys()));
    assert_eq!(scene.watch.statuses(), [Some(StatusCode::OK); 3]);
}

#[tokio::test(start_paused = true)]
async fn what_has_not_changed_is_not_sent_again() {
    let scene = Scene::new();
    scene.issuer.etags();
    scene.issuer.cache_control("max-age=3600");
    scene.tokens.ready().await.unwrap();
    let keys = scene.tokens.keys();
    sleep(seconds(40 * 60)).await;
    scene.tokens.reload().await.unwrap();
    assert_eq!(scene.watch.statuses(), [Some(StatusCode::OK), Some(StatusCode::NOT_MODIFIED)]);
    assert!(Arc::ptr_eq(&keys, &scene.tokens.keys()), "tokens that were verified stay so");
    assert_eq!(scene.tokens.status().age, Some(seconds(0)));
    let next = scene.tokens.status().next_fetch.unwrap();
    assert!(next >= seconds(3600) * 72 / 100, "{next:?}");

    scene.issuer.rotate();
    assert_eq!(scene.ask_good().await, StatusCode::OK);
    assert_eq!(scene.watch.statuses().last(), Some(&Some(StatusCode::OK)));
}

#[tokio::test(start_paused = true)]
async fn clocks_that_jump_stop_nothing() {
    let clock = TestClock::new();
    let issuer = TestIssuer::new().with_clock(clock.clone());
    let tokens = Jwt::discover(&issuer).audience(issuer.audience()).clock(clock.clone()).build().unwrap();
    let scene = Scene::over(issuer, tokens, Watch::default());
    let start = tower_keep::Clock::now(&clock);
    let first = scene.token();
    assert_eq!(scene.ask(&first).await, StatusCode::OK);

    clock.set(start - seconds(60 * 60));
    assert_eq!(scene.ask(&first).await, StatusCode::UNAUTHORIZED, "it is of the future");
    assert_eq!(scene.ask_good().await, StatusCode::OK);

    clock.set(start + seconds(24 * 60 * 60));
    assert_eq!(scene.ask(&first).await, StatusCode::UNAUTHORIZED, "it is over");
    assert_eq!(scene.ask_good().await, StatusCode::OK);

    clock.set(std::time::UNIX_EPOCH);
    assert_eq!(scene.ask(&first).await, StatusCode::UNAUTHORIZED);
    clock.set(start);
    assert_eq!(scene.ask(&first).await, StatusCode::OK);
    // What is fetched when goes by another clock.
    scene.issuer.rotate();
    assert_eq!(scene.ask_good().await, StatusCode::OK);
    assert!(scene.tokens.status().next_fetch.unwrap() <= seconds(528));
}
