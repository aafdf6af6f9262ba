//! `docs/failures.md`: what is wanted when the issuer fails, and what is seen. `scripts/failures` writes it.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tower_keep::testing::Reply;

use super::{Scene, real, seconds};

/// What fails, what is wanted, what is seen.
type Row = (&'static str, &'static str, String);

#[tokio::test(start_paused = true)]
async fn failures_are_met_as_the_table_says() {
    let mut text = include_str!("failures.md").to_owned();
    let parts = [
        ("## No keys yet: 64 good tokens at once", cold().await),
        ("## Keys at hand", warm().await),
        ("## Real sockets", on_real_sockets()),
    ];
    for (title, rows) in parts {
        write!(text, "\n{title}\n\n| what happens | wanted | seen |\n|---|---|---|\n").unwrap();
        for (what, wanted, seen) in rows {
            assert_eq!(seen, wanted, "{what}");
            writeln!(text, "| {what} | {wanted} | {seen} |").unwrap();
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/failures.md");
    if std::env::var_os("TOWER_KEEP_WRITE").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    assert!(committed == text, "docs/failures.md is not what was seen: scripts/failures writes it anew");
}

async fn cold() -> Vec<Row> {
    const GOOD: &str = "64 × 200, 1 fetch, after 0 s";
    const OUT: &str = "64 × 503, 1 fetch, after 0 s, Retry-After 1; good again within 1 s";
    let (html, empty, huge) = ("<!doctype html>", r#"{"keys":[]}"#, 64 << 20);
    let elsewhere = "https://elsewhere.test/jwks".to_owned();
    let now = Duration::ZERO;
    vec![
        ("nothing", GOOD, start(Reply::Document, now).await),
        ("the keys come after 2 s", "64 × 200, 1 fetch, after 2 s", start(Reply::Document, seconds(2)).await),
        (
            "the keys never come",
            "64 × 503, 1 fetch, after 5 s, Retry-After 1; good again within 1 s",
            start(Reply::Document, seconds(3600)).await,
        ),
        ("connections are refused", OUT, start(Reply::Nothing, now).await),
        ("status 500", OUT, start(Reply::Status(StatusCode::INTERNAL_SERVER_ERROR), now).await),
        ("HTML with status 200", OUT, start(Reply::Body(html.into()), now).await),
        ("an empty set", OUT, start(Reply::Body(empty.into()), now).await),
        ("a junk entry beside good keys", GOOD, start_beside_junk().await),
        ("64 MiB", OUT, start(Reply::Blanks(huge), now).await),
        ("a redirect", OUT, start(Reply::Redirect(elsewhere), now).await),
        ("a token that is none, while the keys never come", "401, 0 fetches for it, after 0 s", junk_token().await),
    ]
}

async fn start(reply: Reply, delay: Duration) -> String {
    let scene = Scene::new();
    scene.issuer.keys_reply(reply);
    scene.issuer.delay(delay);
    ask_64(&scene).await
}

async fn start_beside_junk() -> String {
    let scene = Scene::new();
    scene.issuer.publish_beside([json!({ "kty": "RSA", "n": 7 })]);
    ask_64(&scene).await
}

async fn ask_64(scene: &Scene) -> String {
    let asked = Instant::now();
    let answers = counted(&scene.ask_all(vec![scene.token(); 64]).await);
    let (fetches, took) = (scene.issuer.key_fetches(), asked.elapsed().as_secs());
    let mut seen = format!("{answers}, {}, after {took} s", many(fetches, "fetch", "fetches"));
    if scene.tokens.status().usable {
        return seen;
    }
    let again = scene.answer(&scene.token()).await;
    let wait = again.headers().get("retry-after").map_or("missing", |wait| wait.to_str().unwrap());
    scene.issuer.delay(Duration::ZERO);
    scene.issuer.keys_reply(Reply::Document);
    write!(seen, ", Retry-After {wait}; {}", recovery(scene, seconds(1)).await).unwrap();
    seen
}

async fn junk_token() -> String {
    let scene = Scene::new();
    scene.issuer.delay(seconds(3600));
    // The fetch that nobody has to ask for is under way.
    sleep(seconds(1)).await;
    let (before, asked) = (scene.issuer.key_fetches(), Instant::now());
    let status = scene.ask("not.a.token").await.as_u16();
    let fetches = scene.issuer.key_fetches() - before;
    format!("{status}, {} for it, after {} s", many(fetches, "fetch", "fetches"), asked.elapsed().as_secs())
}

async fn warm() -> Vec<Row> {
    vec![
        ("down for 10 minutes, 20 good requests a second", "12000 × 200", down(seconds(600), 20).await),
        (
            "down for 70 minutes, a good request a second: fresh for 10, stale for 60",
            "4200 × 200; then 503; good again within 60 s",
            down_for_long().await,
        ),
        ("the issuer takes another key, 1,000 requests with it at once", "1000 × 200, 1 fetch", rotated().await),
        ("1,000 requests with 1,000 unknown keys at once", "1000 × 401, 1 fetch", flood().await),
        (
            "a fetch for an unknown key takes 3 s, 1,000 requests with a known one meanwhile",
            "1000 × 200, after 0 s",
            busy().await,
        ),
        ("the last fetch failed: an unknown key, a known key", "503, 200", unknown_while_failed().await),
        ("the document is empty, HTML, 64 MiB, a redirect, 500", "200, 200, 200, 200, 200", bad_documents().await),
    ]
}

async fn down(time: Duration, a_second: u32) -> String {
    let scene = Scene::warm().await;
    scene.issuer.reply(Reply::Nothing);
    let mut answers = std::collections::BTreeMap::new();
    let token = scene.token();
    let step = seconds(1) / a_second;
    for _ in 0..time.as_millis() / step.as_millis() {
        *answers.entry(scene.ask(&token).await.as_u16()).or_default() += 1;
        sleep(step).await;
    }
    counted(&Vec::from_iter(answers))
}

async fn down_for_long() -> String {
    let scene = Scene::warm().await;
    let fetched = Instant::now();
    scene.issuer.reply(Reply::Nothing);
    let mut good = 0;
    while scene.ask_good().await == StatusCode::OK {
        good += 1;
        sleep(seconds(1)).await;
    }
    let then = scene.ask_good().await.as_u16();
    assert!(fetched.elapsed() >= seconds(70 * 60));
    scene.issuer.reply(Reply::Document);
    format!("{good} × 200; then {then}; {}", recovery(&scene, seconds(60)).await)
}

async fn rotated() -> String {
    let scene = Scene::warm().await;
    scene.issuer.rotate();
    let answers = scene.ask_all(vec![scene.token(); 1000]).await;
    format!("{}, {}", counted(&answers), many(scene.issuer.key_fetches() - 1, "fetch", "fetches"))
}

async fn flood() -> String {
    let scene = Scene::warm().await;
    let answers = scene.ask_all((0..1000).map(|kid| scene.junk(kid)).collect::<Vec<_>>()).await;
    format!("{}, {}", counted(&answers), many(scene.issuer.key_fetches() - 1, "fetch", "fetches"))
}

async fn busy() -> String {
    let scene = Scene::warm().await;
    scene.issuer.delay(seconds(3));
    let (here, junk) = (scene.clone(), scene.junk(1));
    tokio::spawn(async move { here.ask(&junk).await });
    sleep(seconds(1)).await;
    assert_eq!(scene.issuer.key_fetches(), 2, "it is under way");
    let asked = Instant::now();
    let answers = scene.ask_all(vec![scene.token(); 1000]).await;
    format!("{}, after {} s", counted(&answers), asked.elapsed().as_secs())
}

async fn unknown_while_failed() -> String {
    let scene = Scene::warm().await;
    scene.issuer.reply(Reply::Nothing);
    scene.tokens.reload().await.unwrap_err();
    let (unknown, known) = (scene.ask(&scene.junk(1)).await, scene.ask_good().await);
    format!("{}, {}", unknown.as_u16(), known.as_u16())
}

async fn bad_documents() -> String {
    let bad = [
        Reply::Body(r#"{"keys":[]}"#.into()),
        Reply::Body("<!doctype html>".into()),
        Reply::Blanks(64 << 20),
        Reply::Redirect("https://elsewhere.test/jwks".to_owned()),
        Reply::Status(StatusCode::INTERNAL_SERVER_ERROR),
    ];
    let mut seen = Vec::new();
    for reply in bad {
        let scene = Scene::warm().await;
        scene.issuer.keys_reply(reply);
        scene.tokens.reload().await.unwrap_err();
        seen.push(scene.ask_good().await.as_u16().to_string());
    }
    seen.join(", ")
}

/// Runs on threads of its own: the clock of this runtime stands still.
fn on_real_sockets() -> Vec<Row> {
    let (cold, killed) = std::thread::spawn(|| (real::cold_start(), real::killed_under_load())).join().unwrap();
    vec![
        ("nobody listens at the start; then somebody does", "64 × 503; good again within 2 s", cold),
        (
            "the server is killed under load, and comes back with another key beside the old one",
            "the old key: 200 throughout; the new one: 503 while it is down, then 200 within 4 s; never 401",
            killed,
        ),
    ]
}

/// Asks until a good token is good again, and says whether that was soon enough. A millisecond is the step of tokio's clock.
async fn recovery(scene: &Scene, most: Duration) -> String {
    let start = Instant::now();
    while scene.ask_good().await != StatusCode::OK {
        sleep(seconds(1) / 20).await;
    }
    match start.elapsed() <= most + seconds(1) / 10 {
        true => format!("good again within {} s", most.as_secs()),
        false => format!("good again after {:?}", start.elapsed()),
    }
}

pub fn counted(answers: &[(u16, usize)]) -> String {
    answers.iter().map(|(status, count)| format!("{count} × {status}")).collect::<Vec<_>>().join(", ")
}

fn many(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}
