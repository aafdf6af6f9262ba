//! Where the keys are.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use tokio::time::sleep;
use tower::{Service, service_fn};
use tower_keep::testing::{Reply, TestIssuer};
use tower_keep::{ConfigError, HttpClient, Issuer, Jwt, RemoteKeys};

use super::{Scene, seconds};

/// Asks an issuer that has metadata at one place alone; elsewhere there is what a single-page application sends to everybody.
async fn places_asked(issuer: &str, at: &str) -> (bool, Vec<String>) {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let client = {
        let (asked, at, issuer) = (Arc::clone(&asked), at.to_owned(), TestIssuer::at(issuer));
        HttpClient::new(service_fn(move |request: Request<Full<Bytes>>| {
            let path = request.uri().path().to_owned();
            let body = match path.as_str() {
                path if path == at => json!({ "issuer": issuer.url(), "jwks_uri": issuer.keys_url() }).to_string(),
                path if path.ends_with("/jwks") => issuer.keys().to_string(),
                _ => "<!doctype html>".to_owned(),
            };
            asked.lock().unwrap().push(path);
            async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body)))) }
        }))
    };
    let tokens = Jwt::discover(Issuer::discover(issuer).client(client)).audience("a").build().unwrap();
    let is_ready = tokens.ready().await.is_ok();
    let asked = asked.lock().unwrap().clone();
    (is_ready, asked)
}

#[tokio::test(start_paused = true)]
async fn places_are_asked_in_their_order_until_one_has_it() {
    let places = [
        "/.well-known/oauth-authorization-server/realms/one",
        "/.well-known/openid-configuration/realms/one",
        "/realms/one/.well-known/openid-configuration",
    ];
    for (index, at) in places.iter().enumerate() {
        let (is_ready, asked) = places_asked("https://id.test/realms/one", at).await;
        let mut expected = places[..=index].to_vec();
        expected.push("/realms/one/jwks");
        assert!(is_ready);
        assert_eq!(asked, expected);
    }
    let (is_ready, asked) = places_asked("https://id.test/realms/one", "/elsewhere").await;
    assert!(!is_ready);
    assert_eq!(asked, places);
}

#[tokio::test(start_paused = true)]
async fn the_issuer_in_the_metadata_has_to_be_the_same_to_the_letter() {
    for other in ["https://evil.test", "https://issuer.test/", "https://ISSUER.test", "http://issuer.test", ""] {
        let scene = Scene::discovering(TestIssuer::new(), |issuer| issuer);
        scene.issuer.metadata_member("issuer", other);
        assert_eq!(scene.ask_good().await, StatusCode::SERVICE_UNAVAILABLE, "{other:?}");
        let why = scene.tokens.status().last_error.unwrap();
        assert!(why.contains("not of \"https://issuer.test\""), "{why}");
        assert_eq!(scene.issuer.key_fetches(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn keys_may_be_elsewhere_unless_they_have_to_be_at_the_issuer() {
    for (keys, of_same_origin) in [
        ("https://keys.test/jwks", false),
        ("https://issuer.test:8443/jwks", false),
        ("https://issuer.test.evil.test/jwks", false),
        ("https://issuer.test:443/jwks", true),
        ("https://ISSUER.test/jwks", true),
    ] {
        for (is_held, expected) in [(false, true), (true, of_same_origin)] {
            let scene =
                Scene::discovering(TestIssuer::new(), |issuer| if is_held { issuer.same_origin() } else { issuer });
            scene.issuer.metadata_member("jwks_uri", keys);
            assert_eq!(scene.tokens.ready().await.is_ok(), expected, "{keys} {is_held}");
            assert_eq!(scene.issuer.key_fetches(), u64::from(expected));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_cannot_lead_to_plain_http() {
    for keys in [json!("http://issuer.test/jwks"), json!("file:///etc/passwd"), json!("/jwks"), json!(null), json!(7)] {
        let scene = Scene::discovering(TestIssuer::new(), |issuer| issuer);
        scene.issuer.metadata_member("jwks_uri", keys.clone());
        assert!(scene.tokens.ready().await.is_err(), "{keys}");
        assert_eq!(scene.issuer.key_fetches(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn plain_http_is_for_this_machine_and_has_to_be_allowed() {
    let client = || TestIssuer::new().client();
    let build = |issuer: Issuer| Jwt::discover(issuer.client(client())).audience("a").build().map(drop);
    let build_keys =
        |keys: RemoteKeys| Jwt::with_remote_keys(keys.client(client())).issuer("i").audience("a").build().map(drop);
    for url in ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:80"] {
        assert!(build(Issuer::discover(url)).is_err(), "{url}");
        assert!(build(Issuer::discover(url).insecure_allow_loopback()).is_ok(), "{url}");
        assert!(build_keys(RemoteKeys::new(url)).is_err(), "{url}");
        assert!(build_keys(RemoteKeys::new(url).insecure_allow_loopback()).is_ok(), "{url}");
    }
    let refused = build(Issuer::discover("http://id.test").insecure_allow_loopback()).unwrap_err();
    assert!(refused.to_string().contains("http://id.test"), "{refused}");
    let refused = build(Issuer::discover("https://id.test/?a=b"));
    assert!(refused.unwrap_err().as_slice().iter().any(|error| matches!(error, ConfigError::EndpointUrl { .. })));
}

#[tokio::test(start_paused = true)]
async fn metadata_is_asked_for_again_when_the_keys_are_gone_from_where_they_were() {
    let scene = Scene::discovering(TestIssuer::new(), |issuer| issuer);
    scene.tokens.ready().await.unwrap();
    scene.tokens.reload().await.unwrap();
    assert_eq!(scene.issuer.metadata_fetches(), 1, "it is remembered where they are");

    scene.issuer.keys_reply(Reply::Status(StatusCode::GONE));
    scene.tokens.reload().await.unwrap_err();
    scene.issuer.keys_reply(Reply::Document);
    scene.issuer.metadata_member("jwks_uri", "https://keys.test/jwks");
    scene.issuer.rotate();
    sleep(seconds(1)).await;
    assert_eq!(scene.ask_good().await, StatusCode::OK);
    assert_eq!(scene.issuer.metadata_fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn keys_that_moved_are_found_where_they_are_within_a_day() {
    let scene = Scene::discovering(TestIssuer::new(), |issuer| issuer);
    scene.tokens.ready().await.unwrap();
    sleep(seconds(11 * 60 * 60)).await;
    assert_eq!(scene.issuer.metadata_fetches(), 1);
    scene.issuer.metadata_member("jwks_uri", "https://keys.test/jwks");
    sleep(seconds(2 * 60 * 60)).await;
    assert_eq!(scene.issuer.metadata_fetches(), 2);
    assert_eq!(scene.watch.hosts().last().map(String::as_str), Some("keys.test"));
}

#[tokio::test(start_paused = true)]
async fn metadata_out_of_reach_leaves_the_keys_where_they_were() {
    let scene = Scene::discovering(TestIssuer::new(), |issuer| issuer);
    scene.tokens.ready().await.unwrap();
    scene.issuer.reply(Reply::Nothing);
    scene.tokens.reload().await.unwrap_err();
    scene.issuer.keys_reply(Reply::Document);
    scene.issuer.rotate();
    sleep(seconds(1)).await;
    assert_eq!(scene.ask_good().await, StatusCode::OK);

    // Not so if it is another issuer's. It is looked for every 30 seconds at most.
    sleep(seconds(30)).await;
    scene.issuer.reply(Reply::Document);
    scene.issuer.metadata_member("issuer", "https://evil.test");
    scene.issuer.keys_reply(Reply::Nothing);
    scene.tokens.reload().await.unwrap_err();
    scene.issuer.keys_reply(Reply::Document);
    let fetches = scene.issuer.key_fetches();
    scene.tokens.reload().await.unwrap_err();
    assert_eq!(scene.issuer.key_fetches(), fetches);
}

#[tokio::test(start_paused = true)]
async fn metadata_that_hangs_keeps_no_keys_from_being_fetched() {
    let scene = Scene::discovering(TestIssuer::new(), |issuer| issuer);
    scene.tokens.ready().await.unwrap();
    scene.issuer.metadata_reply(Reply::Nothing);
    for _ in 0..3 {
        // Beyond the half day for which it is remembered where the keys are.
        sleep(seconds(13 * 60 * 60)).await;
        scene.issuer.rotate();
        assert_eq!(scene.ask_good().await, StatusCode::OK);
        assert_eq!(scene.tokens.status().last_error, None);
    }
    assert!(scene.issuer.metadata_fetches() > 3);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_without_metadata_is_told_of_with_every_place() {
    let scene = Scene::discovering(TestIssuer::at("https://issuer.test/one"), |issuer| issuer);
    scene.issuer.metadata_reply(Reply::Status(StatusCode::NOT_FOUND));
    let why = scene.tokens.ready().await.unwrap_err().to_string();
    assert!(why.starts_with("there is no metadata: of \"https://issuer.test/one\", neither at https://"), "{why}");
    assert_eq!(why.matches(" nor at https://").count(), 2, "{why}");
}

#[tokio::test(start_paused = true)]
async fn keys_that_moved_are_found_however_it_shows() {
    let gone = |status| Reply::Status(StatusCode::from_u16(status).unwrap());
    for reply in [gone(301), gone(403), gone(404), gone(500), Reply::Body("<html>".into()), Reply::Nothing] {
        let scene = Scene::discovering(TestIssuer::new(), |issuer| issuer);
        scene.tokens.ready().await.unwrap();
        scene.issuer.keys_reply(reply);
        scene.tokens.reload().await.unwrap_err();
        scene.issuer.keys_reply(Reply::Document);
        scene.issuer.metadata_member("jwks_uri", "https://keys.test/jwks");
        scene.tokens.reload().await.unwrap();
        assert_eq!(scene.watch.hosts().last().map(String::as_str), Some("keys.test"));
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_is_looked_for_first_where_it_was() {
    let issuer = TestIssuer::at("https://issuer.test/one");
    let hangs = Arc::new(AtomicBool::new(false));
    let hosts: Arc<Mutex<Vec<String>>> = Arc::default();
    let client = {
        let (issuer, hangs, hosts) = (issuer.clone(), Arc::clone(&hangs), Arc::clone(&hosts));
        HttpClient::new(service_fn(move |request: Request<Full<Bytes>>| {
            hosts.lock().unwrap().push(request.uri().host().unwrap().to_owned());
            let is_elsewhere = request.uri().path().starts_with("/.well-known");
            let (hangs, mut issuer) = (hangs.load(Ordering::Relaxed), issuer.clone());
            async move {
                match (is_elsewhere, hangs) {
                    (true, true) => std::future::pending().await,
                    (true, false) => Ok(Response::builder()
                        .status(StatusCode::NOT_FOUND)
                        .body(Full::default().boxed_unsync())
                        .unwrap()),
                    (false, _) => issuer.call(request).await.map(|answer| answer.map(BodyExt::boxed_unsync)),
                }
            }
        }))
    };
    let tokens = Jwt::discover(Issuer::discover(issuer.url()).client(client)).audience("a").build().unwrap();
    tokens.ready().await.unwrap();

    hangs.store(true, Ordering::Relaxed);
    issuer.metadata_member("jwks_uri", "https://keys.test/jwks");
    sleep(seconds(13 * 60 * 60)).await;

    assert_eq!(hosts.lock().unwrap().last().map(String::as_str), Some("keys.test"));
}
