//! Callers that go away.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::StatusCode;
use tokio::time::sleep;
use tower::{Layer, ServiceExt};
use tower_keep::BearerLayer;
use tower_keep::testing::{Reply, TestIssuer};

use super::{Scene, seconds};
use crate::support::{Inner, get, with};

/// Polls a request so often, time passing between, and drops it then. Returns whether it was over before.
async fn is_over_after(scene: &Scene, token: &str, polls: usize) -> bool {
    let request = with(get("/"), "authorization", &format!("Bearer {token}"));
    let mut request = pin!(BearerLayer::new(scene.tokens.clone()).layer(Inner::new()).oneshot(request));
    for _ in 0..polls {
        if let Poll::Ready(response) = request.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            response.unwrap();
            return true;
        }
        sleep(seconds(1) / 10).await;
    }
    false
}

/// Drops a request at each of its polls, on a scene of its own, and tells what has become of the scene.
async fn drop_at_every_poll<F>(start: impl Fn() -> F, token: impl Fn(&Scene) -> String, check: impl AsyncFn(&Scene))
where
    F: Future<Output = Scene>,
{
    for polls in 0.. {
        let scene = start().await;
        scene.issuer.delay(seconds(1));
        let is_over = is_over_after(&scene, &token(&scene), polls).await;
        check(&scene).await;
        if is_over {
            assert!(polls > 10, "it was over after {polls} polls: nothing was dropped");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_caller_who_goes_away_takes_no_fetch_along() {
    let start = async || Scene::discovering(TestIssuer::new(), |issuer| issuer);
    drop_at_every_poll(start, Scene::token, async |scene| {
        assert_eq!(scene.ask_all(vec![scene.token(); 10]).await, [(200, 10)]);
        assert_eq!(scene.issuer.key_fetches(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_with_a_new_key_who_goes_away_takes_no_fetch_along() {
    let start = async || {
        let scene = Scene::warm().await;
        scene.issuer.rotate();
        scene
    };
    drop_at_every_poll(start, Scene::token, async |scene| {
        assert_eq!(scene.ask_all(vec![scene.token(); 10]).await, [(200, 10)]);
        assert_eq!(scene.issuer.key_fetches(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_goes_away_while_a_fetch_fails_leaves_the_next_one_a_back_off() {
    let start = async || {
        let scene = Scene::new();
        scene.issuer.reply(Reply::Status(StatusCode::INTERNAL_SERVER_ERROR));
        scene
    };
    drop_at_every_poll(start, Scene::token, async |scene| {
        scene.issuer.reply(Reply::Document);
        scene.issuer.delay(seconds(0));
        // An attempt that is under way fails, too, and the back-off after it is two seconds at most.
        sleep(seconds(4)).await;
        assert_eq!(scene.ask_all(vec![scene.token(); 10]).await, [(200, 10)]);
        assert_eq!(scene.watch.most_at_once(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_to_be_ready_or_reloads_may_go_away() {
    let scene = Scene::new();
    scene.issuer.delay(seconds(1));
    drop(scene.tokens.ready());
    drop(tokio::time::timeout(seconds(1) / 2, scene.tokens.ready().into_future()).await);
    drop(tokio::time::timeout(seconds(1) / 4, scene.tokens.reload().into_future()).await);
    assert_eq!(scene.ask_good().await, StatusCode::OK);
    assert_eq!(scene.issuer.key_fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fetched_for_a_verifier_that_is_gone() {
    let scene = Scene::warm().await;
    let (issuer, watch) = (scene.issuer.clone(), scene.watch.clone());
    drop(scene);
    sleep(seconds(24 * 60 * 60)).await;
    assert_eq!((issuer.key_fetches(), watch.started().len()), (1, 1));
}
