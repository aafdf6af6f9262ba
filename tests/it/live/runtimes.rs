//! Runtimes that end, and clients that panic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};
use tower::{Service, service_fn};
use tower_keep::HttpClient;
use tower_keep::testing::TestIssuer;

use super::{Scene, seconds};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

#[test]
fn a_verifier_is_built_without_a_runtime_and_fetches_once_there_is_one() {
    let scene = Scene::new();
    assert_eq!(scene.issuer.key_fetches(), 0);
    assert!(!scene.tokens.status().usable);
    runtime().block_on(async {
        assert_eq!(scene.ask_all(vec![scene.token(); 100]).await, [(200, 100)]);
    });
    assert_eq!(scene.issuer.key_fetches(), 1);
}

#[test]
fn without_a_runtime_it_is_an_outage_and_no_panic() {
    let scene = Scene::new();
    let outage = scene.tokens.ready().now().unwrap().unwrap_err();
    assert_eq!(outage.to_string(), "it could not be asked: it takes a runtime of tokio to fetch");
    assert!(scene.tokens.reload().now().unwrap().is_err());
}

#[test]
fn a_runtime_that_ends_takes_no_keys_along_and_the_next_one_keeps_them_fresh() {
    let scene = Scene::new();
    for round in 1..=3 {
        let runtime = runtime();
        runtime.block_on(async {
            assert_eq!(scene.ask_good().await, StatusCode::OK);
            let before = scene.issuer.key_fetches();
            // Beyond where the clock of the runtime before stopped.
            sleep(seconds(1300 * round)).await;
            assert!(scene.issuer.key_fetches() > before, "round {round}: nobody fetches any more");
        });
    }
}

#[test]
fn a_runtime_that_ends_during_a_fetch_leaves_the_next_one_to_fetch() {
    let scene = Scene::new();
    scene.issuer.delay(seconds(4));
    for _ in 0..3 {
        runtime().block_on(async {
            assert!(timeout(seconds(1), scene.ask_good()).await.is_err());
        });
    }
    runtime().block_on(async {
        assert_eq!(scene.ask_all(vec![scene.token(); 10]).await, [(200, 10)]);
    });
    assert_eq!(scene.issuer.key_fetches(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_panics_has_failed_and_is_asked_again() {
    let issuer = TestIssuer::new();
    let panics = Arc::new(AtomicBool::new(true));
    for later in [false, true] {
        let client = {
            let (issuer, panics) = (issuer.clone(), Arc::clone(&panics));
            HttpClient::new(service_fn(move |request: Request<Full<Bytes>>| {
                let must = panics.load(Ordering::Relaxed);
                assert!(!must || later, "the client panics, as it is meant to");
                let answer = issuer.clone().call(request);
                async move {
                    tokio::task::yield_now().await;
                    assert!(!must, "the client panics, as it is meant to");
                    answer.await
                }
            }))
        };
        panics.store(true, Ordering::Relaxed);
        let scene = Scene::of(issuer.clone(), |keys| keys.client(client));
        assert_eq!(timeout(seconds(1), scene.ask_all(vec![scene.token(); 10])).await.unwrap(), [(503, 10)]);
        assert!(scene.tokens.status().last_error.unwrap().contains("the client panicked"));
        panics.store(false, Ordering::Relaxed);
        sleep(seconds(1)).await;
        assert_eq!(scene.ask_good().await, StatusCode::OK);

        // The same with keys at hand: they serve, and are fetched again afterwards.
        panics.store(true, Ordering::Relaxed);
        sleep(seconds(700)).await;
        assert_eq!(scene.ask_good().await, StatusCode::OK);
        panics.store(false, Ordering::Relaxed);
        sleep(seconds(61)).await;
        assert!(scene.tokens.status().last_error.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_verifier_that_is_dropped_leaves_no_task_behind() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for _ in 0..10 {
        let scene = Scene::warm().await;
        assert!(tasks() > before);
        drop(scene);
    }
    tokio::task::yield_now().await;
    sleep(seconds(1)).await;
    assert_eq!(tasks(), before);
}
