//! An issuer takes other keys.

use http::StatusCode;
use tokio::time::{Instant, sleep};

use super::{COOL_DOWN, Scene, seconds};

#[tokio::test(start_paused = true)]
async fn no_request_is_lost_when_the_issuer_takes_another_key() {
    let scene = Scene::warm().await;
    let old = scene.token();
    scene.issuer.rotate();
    // All at once, so that most of them come when a fetch is wanted already and has not begun.
    assert_eq!(scene.ask_all(vec![scene.token(); 1000]).await, [(200, 1000)]);
    assert_eq!(scene.issuer.key_fetches(), 2);
    assert_eq!(scene.ask(&old).await, StatusCode::UNAUTHORIZED, "the old key is withdrawn");
}

#[tokio::test(start_paused = true)]
async fn old_tokens_stay_good_while_their_key_is_published() {
    let scene = Scene::warm().await;
    let old = scene.token();
    scene.issuer.rotate_keeping_old();
    assert_eq!(scene.ask_all([scene.token(), old.clone(), scene.token(), old]).await, [(200, 4)]);
    assert_eq!(scene.issuer.key_fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_published_while_a_fetch_was_under_way_is_found_by_the_next() {
    let scene = Scene::warm().await;
    scene.issuer.delay(seconds(3));
    let reloading = tokio::spawn({
        let tokens = scene.tokens.clone();
        async move { tokens.reload().await }
    });
    sleep(seconds(1)).await;
    scene.issuer.rotate();
    assert_eq!(scene.ask_all(vec![scene.token(); 100]).await, [(200, 100)]);
    assert_eq!(scene.issuer.key_fetches(), 3);
    reloading.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn fifty_rotations_under_load_refuse_no_good_token() {
    let scene = Scene::warm().await;
    for _ in 0..50 {
        let old = scene.token();
        scene.issuer.rotate_keeping_old();
        let next = Instant::now() + COOL_DOWN;
        while Instant::now() < next {
            assert_eq!(scene.ask_all([scene.token(), old.clone(), scene.token()]).await, [(200, 3)]);
            sleep(seconds(1)).await;
        }
    }
    assert!(scene.issuer.key_fetches() <= 1 + 50 + 5, "{} fetches", scene.issuer.key_fetches());
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_junk_delays_a_new_key_by_one_cool_down_at_most() {
    let scene = Scene::warm().await;
    let mut slowest = seconds(0);
    let (mut junk, start) = (0, Instant::now());
    for _ in 0..50 {
        scene.issuer.rotate_keeping_old();
        let (token, rotated) = (scene.token(), Instant::now());
        loop {
            junk += 4;
            let flood = (junk..junk + 4).map(|kid| scene.junk(kid));
            assert_eq!(scene.ask_all(flood).await, [(401, 4)]);
            if scene.ask(&token).await == StatusCode::OK {
                break;
            }
            sleep(seconds(1) / 2).await;
        }
        slowest = slowest.max(rotated.elapsed());
        // Somewhere within the cool-down.
        sleep(seconds(junk % 31)).await;
    }
    assert!(slowest <= COOL_DOWN + seconds(1), "{slowest:?}");
    let most = start.elapsed().as_secs() / 27 + start.elapsed().as_secs() / 430 + 2;
    assert!(scene.issuer.key_fetches() <= most, "{} fetches, {most} at most", scene.issuer.key_fetches());
}

#[tokio::test(start_paused = true)]
async fn reloading_takes_what_is_published_now() {
    let scene = Scene::warm().await;
    let old = scene.token();
    assert_eq!(scene.ask(&old).await, StatusCode::OK);
    scene.issuer.rotate();
    assert_eq!(scene.ask(&old).await, StatusCode::OK, "nobody knows yet");
    scene.tokens.reload().await.unwrap();
    assert_eq!(scene.ask(&old).await, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.ask_good().await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_withdrawn_is_refused_once_its_time_is_over() {
    let scene = Scene::warm().await;
    let old = scene.token();
    scene.issuer.rotate();
    let start = Instant::now();
    while scene.ask(&old).await == StatusCode::OK {
        sleep(seconds(1)).await;
    }
    assert!(start.elapsed() <= seconds(10 * 60), "{:?}", start.elapsed());
}
