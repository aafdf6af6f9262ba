//! The tools for the tests of others.

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_keep::testing::{Reply, TestClock, TestIssuer};
use tower_keep::{Algorithm, BearerLayer, Clock, Jwt, KeySet};

use crate::support::{get, send, with};

/// Returns a segment of a token.
fn segment(token: &str, index: usize) -> Value {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

async fn fetched(issuer: &TestIssuer, path: &str) -> (StatusCode, Value) {
    let request = Request::get(format!("{}{path}", issuer.url())).body(Full::<Bytes>::default()).unwrap();
    let (head, body) = issuer.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, serde_json::from_slice(&body).unwrap_or_default())
}

#[test]
fn a_token_is_one_of_rfc_9068_unless_it_is_changed() {
    let clock = TestClock::new();
    let issuer = TestIssuer::at("https://id.test").with_audience("https://x.test").with_clock(clock.clone());
    let token = issuer.token("alice");
    let now = clock.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = segment(&token.sign(), 1);
    assert!(claims["jti"].as_str().is_some_and(|id| id.len() == 16));
    claims["jti"] = "".into();
    let expected = json!({
        "iss": "https://id.test", "aud": "https://x.test", "sub": "alice", "client_id": "test", "jti": "",
        "iat": now, "exp": now + 3600,
    });
    assert_eq!(claims, expected);
    assert_eq!(segment(&token.sign(), 0), json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "k1" }));

    let token = token.claim("aud", json!(["a", "b"])).without_claim("exp").header("x", 7).without_header("kid").sign();
    assert_eq!(segment(&token, 0), json!({ "alg": "EdDSA", "typ": "at+jwt", "x": 7 }));
    let claims = segment(&token, 1);
    assert_eq!((&claims["aud"], claims.get("exp")), (&json!(["a", "b"]), None));
}

#[test]
fn its_keys_verify_its_tokens_and_no_forged_ones() {
    for algorithm in [
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::ES512,
        Algorithm::EdDSA,
    ] {
        let issuer = TestIssuer::new().with_algorithm(algorithm);
        let keys = KeySet::try_from(&issuer.keys()).unwrap();
        assert!(keys.verify(&issuer.token("alice").sign()).is_ok(), "{algorithm}");
        assert!(keys.verify(&issuer.token("alice").forged().sign()).is_err(), "{algorithm}");
    }
}

#[test]
#[should_panic(expected = "HS256 has no public key")]
fn nobody_publishes_a_secret() {
    let _ = TestIssuer::new().with_algorithm(Algorithm::HS256);
}

#[test]
fn rotation_withdraws_the_old_keys_or_keeps_them() {
    let issuer = TestIssuer::new();
    let kids = || {
        let keys = issuer.keys();
        keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    issuer.rotate_keeping_old();
    assert_eq!(kids(), ["k1", "k2"]);
    assert_eq!(segment(&issuer.token("alice").sign(), 0)["kid"], "k2");
    issuer.rotate();
    assert_eq!(kids(), ["k3"]);
}

#[tokio::test]
async fn metadata_is_at_every_place_of_the_standards_and_counted_apart() {
    let issuer = TestIssuer::at("https://id.test/realms/one");
    let places = [
        "https://id.test/.well-known/oauth-authorization-server/realms/one",
        "https://id.test/.well-known/openid-configuration/realms/one",
        "https://id.test/realms/one/.well-known/openid-configuration",
    ];
    for place in places {
        let request = Request::get(place).body(Full::<Bytes>::default()).unwrap();
        let body = issuer.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
        let metadata: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(metadata["issuer"], "https://id.test/realms/one");
        assert_eq!(metadata["jwks_uri"], "https://id.test/realms/one/jwks");
    }
    assert_eq!((issuer.metadata_fetches(), issuer.key_fetches()), (3, 0));
    assert_eq!(fetched(&issuer, "/jwks").await, (StatusCode::OK, issuer.keys()));
    assert_eq!(fetched(&issuer, "/elsewhere").await.0, StatusCode::NOT_FOUND);
    assert_eq!((issuer.metadata_fetches(), issuer.key_fetches()), (3, 1));
}

#[tokio::test]
async fn keys_and_metadata_fail_apart() {
    let issuer = TestIssuer::new();
    const METADATA: &str = "/.well-known/openid-configuration";
    issuer.keys_reply(Reply::Status(StatusCode::BAD_GATEWAY));
    issuer.metadata_reply(Reply::Body("7".into()));
    assert_eq!(fetched(&issuer, "/jwks").await, (StatusCode::BAD_GATEWAY, Value::Null));
    assert_eq!(fetched(&issuer, METADATA).await, (StatusCode::OK, json!(7)));
    issuer.reply(Reply::Redirect("https://x.test".to_owned()));
    assert_eq!(fetched(&issuer, "/jwks").await.0, StatusCode::FOUND);
    assert_eq!(fetched(&issuer, METADATA).await.0, StatusCode::FOUND);
}

#[tokio::test]
async fn a_server_listens_until_it_is_stopped_and_then_at_the_same_address() {
    let issuer = TestIssuer::new();
    let mut addresses = Vec::new();
    for _ in 0..3 {
        let server = issuer.serve().await.unwrap();
        addresses.push(server.address());
        let body = reqwest::get(issuer.keys_url()).await.unwrap().text().await.unwrap();
        assert_eq!(body, issuer.keys().to_string());
        server.stop().await;
        assert!(reqwest::get(issuer.keys_url()).await.is_err());
    }
    addresses.dedup();
    assert_eq!(addresses.len(), 1);
    assert_eq!(issuer.url(), format!("http://{}", addresses[0]));
}

#[tokio::test]
async fn a_server_fails_as_it_is_told_to() {
    let issuer = TestIssuer::new();
    let _server = issuer.serve().await.unwrap();
    issuer.reply(Reply::Nothing);
    assert!(reqwest::get(issuer.keys_url()).await.is_err());
    issuer.reply(Reply::Blanks(1 << 20));
    assert_eq!(reqwest::get(issuer.keys_url()).await.unwrap().bytes().await.unwrap().len(), 1 << 20);
    issuer.reply(Reply::Status(StatusCode::IM_A_TEAPOT));
    assert_eq!(reqwest::get(issuer.keys_url()).await.unwrap().status(), StatusCode::IM_A_TEAPOT);
}

#[tokio::test]
async fn a_clock_that_stands_still_ends_a_token_when_it_is_told_to() {
    let clock = TestClock::new();
    let issuer = TestIssuer::new().with_clock(clock.clone());
    let tokens = Jwt::discover(&issuer).audience(issuer.audience()).clock(clock.clone()).build().unwrap();
    let layer = BearerLayer::new(tokens);
    let request = with(get("/"), "authorization", &issuer.token("alice").bearer());
    // An hour, and the leeway of 30 seconds.
    for (wait, expected) in [(0, 200), (3600, 200), (29, 200), (2, 401)] {
        clock.advance(Duration::from_secs(wait));
        assert_eq!(send(layer.clone(), request.clone()).await.0.status().as_u16(), expected, "{wait}");
    }
    assert_eq!(clock.now(), TestClock::default().now() + Duration::from_secs(3631));
}

#[test]
fn no_key_and_no_signature_stands_in_debug_output() {
    let issuer = TestIssuer::new();
    let token = issuer.token("alice");
    let signature = token.sign().rsplit_once('.').unwrap().1.to_owned();
    let shown = format!("{issuer:?} {token:?}");
    assert!(shown.contains("kid: \"k1\"") && shown.contains("alice"), "{shown}");
    assert!(!shown.contains(&signature));
    // Nothing that long but the id of the token.
    let longest = shown.split(|c: char| !c.is_ascii_alphanumeric()).map(str::len).max().unwrap();
    assert!(longest < 32, "{shown}");
}
