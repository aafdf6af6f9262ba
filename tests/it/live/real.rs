//! The same over real sockets, in real time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::runtime::Builder;
use tokio::time::sleep;
use tower_keep::testing::TestIssuer;
use tower_keep::{HttpClient, Issuer, Jwt};

use super::failures::counted;
use super::{Scene, Watch};

const STEP: Duration = Duration::from_millis(20);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

/// Takes keys by the client that people use.
fn scene(issuer: TestIssuer) -> Scene {
    let client = HttpClient::builder().build().unwrap();
    let found = Issuer::discover(issuer.url()).client(client).insecure_allow_loopback();
    let tokens = Jwt::discover(found).audience(issuer.audience()).build().unwrap();
    Scene::over(issuer, tokens, Watch::default())
}

/// Starts while nobody listens.
pub fn cold_start() -> String {
    block_on(async {
        let issuer = TestIssuer::new();
        // So that it has an address.
        issuer.serve().await.unwrap().stop().await;
        let scene = scene(issuer);
        let answers = counted(&scene.ask_all(vec![scene.token(); 64]).await);
        let server = scene.issuer.serve().await.unwrap();
        let recovery = recovery(&scene, &scene.token(), Duration::from_secs(2)).await;
        server.stop().await;
        format!("{answers}; good again {recovery}")
    })
}

/// Kills the server under load, and starts it again with another key.
pub fn killed_under_load() -> String {
    block_on(async {
        let issuer = TestIssuer::new();
        let server = issuer.serve().await.unwrap();
        let scene = scene(issuer);
        scene.tokens.ready().await.unwrap();

        let is_over = Arc::new(AtomicBool::new(false));
        let load: Vec<_> = (0..4).map(|_| tokio::spawn(load(scene.clone(), Arc::clone(&is_over)))).collect();
        sleep(10 * STEP).await;
        server.stop().await;
        scene.issuer.rotate_keeping_old();
        let token = scene.token();
        let mut while_down = Vec::new();
        for _ in 0..10 {
            while_down.push(scene.ask(&token).await.as_u16());
            sleep(STEP).await;
        }
        while_down.dedup();

        let server = scene.issuer.serve().await.unwrap();
        let recovery = recovery(&scene, &token, Duration::from_secs(4)).await;
        is_over.store(true, Ordering::Relaxed);
        let mut others = Vec::new();
        for load in load {
            let (asked, not_good) = load.await.unwrap();
            assert!(asked > 10, "there was no load");
            others.extend(not_good);
        }
        server.stop().await;
        let throughout = if others.is_empty() { "200 throughout".to_owned() } else { format!("also {others:?}") };
        let while_down: Vec<_> = while_down.iter().map(u16::to_string).collect();
        let while_down = while_down.join(", ");
        format!("the old key: {throughout}; the new one: {while_down} while it is down, then 200 {recovery}; never 401")
    })
}

/// Asks with a token of the first key until it is over. Returns how often, and the answers that were not good.
async fn load(scene: Scene, is_over: Arc<AtomicBool>) -> (usize, Vec<u16>) {
    let (token, mut asked, mut others) = (scene.token(), 0, Vec::new());
    while !is_over.load(Ordering::Relaxed) {
        let status = scene.ask(&token).await;
        asked += 1;
        if status != StatusCode::OK {
            others.push(status.as_u16());
        }
        sleep(STEP / 10).await;
    }
    (asked, others)
}

/// Asks until a token is good, and says whether that was soon enough. What was never to come is said, too.
async fn recovery(scene: &Scene, token: &str, most: Duration) -> String {
    let start = Instant::now();
    loop {
        match scene.ask(token).await {
            StatusCode::OK => break,
            StatusCode::SERVICE_UNAVAILABLE if start.elapsed() < Duration::from_secs(70) => sleep(STEP).await,
            other => return format!("never: {other}"),
        }
    }
    match start.elapsed() <= most {
        true => format!("within {} s", most.as_secs()),
        false => format!("after {:?}", start.elapsed()),
    }
}
