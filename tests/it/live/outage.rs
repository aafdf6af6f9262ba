//! The issuer is out of reach.

use http::StatusCode;
use tokio::time::{Instant, sleep};
use tower_keep::testing::Reply;

use super::{Scene, seconds};

#[tokio::test(start_paused = true)]
async fn ten_minutes_without_the_issuer_fail_no_good_request() {
    let scene = Scene::warm().await;
    scene.issuer.reply(Reply::Nothing);
    let token = scene.token();
    let start = Instant::now();
    while start.elapsed() < seconds(600) {
        assert_eq!(scene.ask(&token).await, StatusCode::OK);
        sleep(seconds(1) / 2).await;
    }
    // The first attempt is at 432 s at the earliest, and six steps of the back-off are a minute.
    assert!(scene.issuer.key_fetches() < 30, "{} fetches", scene.issuer.key_fetches());
}

#[tokio::test(start_paused = true)]
async fn keys_are_used_for_an_hour_beyond_their_time_and_then_it_is_503() {
    let scene = Scene::warm().await;
    let start = Instant::now();
    scene.issuer.reply(Reply::Nothing);
    while start.elapsed() < seconds(70 * 60) {
        assert_eq!(scene.ask_good().await, StatusCode::OK, "after {:?}", start.elapsed());
        sleep(seconds(1)).await;
    }
    for _ in 0..600 {
        let answer = scene.answer(&scene.token()).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!(wait <= 60, "{wait}");
        sleep(seconds(1)).await;
    }
    assert!(!scene.tokens.status().usable);

    scene.issuer.reply(Reply::Document);
    let recovering = Instant::now();
    while scene.ask_good().await != StatusCode::OK {
        sleep(seconds(1) / 10).await;
    }
    assert!(recovering.elapsed() <= seconds(61), "{:?}", recovering.elapsed());
}

#[tokio::test(start_paused = true)]
async fn retry_after_tells_when_it_is_tried_again() {
    let scene = Scene::new();
    scene.issuer.reply(Reply::Nothing);
    sleep(seconds(600)).await;
    let answer = scene.answer(&scene.token()).await;
    let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    scene.issuer.reply(Reply::Document);
    sleep(seconds(wait)).await;
    assert_eq!(scene.ask_good().await, StatusCode::OK, "after {wait} s");
}

#[tokio::test(start_paused = true)]
async fn keys_that_may_not_be_stale_are_not() {
    let scene = Scene::with(|keys| keys.max_stale(seconds(0)));
    scene.tokens.ready().await.unwrap();
    scene.issuer.reply(Reply::Nothing);
    sleep(seconds(599)).await;
    assert_eq!(scene.ask_good().await, StatusCode::OK);
    sleep(seconds(2)).await;
    assert_eq!(scene.ask_good().await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn requests_cause_no_fetch_while_it_is_backed_off() {
    let scene = Scene::new();
    scene.issuer.reply(Reply::Nothing);
    sleep(seconds(1800)).await;
    let (before, start) = (scene.issuer.key_fetches(), Instant::now());
    while scene.tokens.status().next_fetch.unwrap() < seconds(10) {
        sleep(seconds(1)).await;
    }
    let tried = scene.issuer.key_fetches();
    for _ in 0..90 {
        assert_eq!(scene.ask_all((0..10).map(|kid| scene.junk(kid))).await, [(503, 10)]);
        sleep(seconds(1) / 10).await;
    }
    assert_eq!(scene.issuer.key_fetches(), tried, "{before} before {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn it_is_tried_again_after_a_second_then_two_up_to_a_minute() {
    let mut firsts = Vec::new();
    for _ in 0..20 {
        let scene = Scene::new();
        scene.issuer.reply(Reply::Nothing);
        sleep(seconds(1800)).await;
        let started = scene.watch.started();
        let waits: Vec<_> = started.windows(2).map(|pair| pair[1] - pair[0]).collect();
        for (failures, wait) in waits.iter().enumerate() {
            let most = seconds(60.min(1 << failures.min(6)));
            // The clock of tokio goes in steps of a millisecond.
            assert!(*wait <= most + seconds(1) / 500, "{wait:?} after {failures} failures");
        }
        assert!(started.len() < 120, "{} attempts", started.len());
        assert_eq!(scene.watch.most_at_once(), 1);
        firsts.push(waits[5]);
    }
    firsts.sort();
    assert!(firsts[19] - firsts[0] > seconds(8), "they come all at once: {firsts:?}");
}

#[tokio::test(start_paused = true)]
async fn there_are_never_two_fetches_at_once() {
    let scene = Scene::warm().await;
    scene.issuer.delay(seconds(3));
    scene.issuer.reply(Reply::Status(StatusCode::INTERNAL_SERVER_ERROR));
    for round in 0..300 {
        let tokens = scene.tokens.clone();
        tokio::spawn(async move { drop(tokens.reload().await) });
        let (here, junk) = (scene.clone(), scene.junk(round));
        tokio::spawn(async move { here.ask(&junk).await });
        if round == 150 {
            scene.issuer.reply(Reply::Document);
            scene.issuer.delay(seconds(60));
        }
        sleep(seconds(1) / 3).await;
    }
    assert_eq!(scene.watch.most_at_once(), 1);
    assert!(scene.watch.started().len() > 10);
}
