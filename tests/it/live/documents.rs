//! What stands where the keys should be.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::{convert::Infallible, io};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::time::sleep;
use tower::service_fn;
use tower_keep::testing::{Reply, TestIssuer};
use tower_keep::{Algorithm, HttpClient, KeyFault};

use super::{Scene, seconds};
use crate::tokens::mint::{Signer, claims_with};

#[tokio::test(start_paused = true)]
async fn a_document_of_no_use_leaves_the_keys_as_they_are() {
    let two_of_a_name = {
        let rival = |x: &str| json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x });
        json!({ "keys": [
            rival("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
            rival("PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw"),
        ] })
    };
    let secret = json!({ "keys": [{ "kty": "oct", "alg": "HS256", "kid": "k1", "k": "A".repeat(64) }] });
    for reply in [
        Reply::Status(StatusCode::OK),
        Reply::Status(StatusCode::NO_CONTENT),
        Reply::Status(StatusCode::NOT_MODIFIED),
        Reply::Status(StatusCode::NOT_FOUND),
        Reply::Body("<!doctype html>".into()),
        Reply::Body("{".into()),
        Reply::Body("[]".into()),
        Reply::Body("{}".into()),
        Reply::Body(r#"{"keys":{}}"#.into()),
        Reply::Body(r#"{"keys":[]}"#.into()),
        Reply::Body(r#"{"keys":[{"kty":"junk"},7,null]}"#.into()),
        Reply::Body(secret.to_string().into()),
        Reply::Body(two_of_a_name.to_string().into()),
        Reply::Blanks(64 << 20),
        Reply::Redirect("https://issuer.test/elsewhere".to_owned()),
        Reply::Nothing,
    ] {
        let scene = Scene::warm().await;
        scene.issuer.keys_reply(reply.clone());
        assert!(scene.tokens.reload().await.is_err(), "{reply:?}");
        assert_eq!(scene.ask_good().await, StatusCode::OK, "{reply:?}");
        assert!(scene.tokens.status().last_error.is_some(), "{reply:?}");
        // It counts as a failure: it is tried again soon.
        scene.issuer.keys_reply(Reply::Document);
        sleep(seconds(2)).await;
        assert!(scene.tokens.status().last_error.is_none(), "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn junk_beside_good_keys_is_skipped() {
    let scene = Scene::new();
    let mut secret = Signer::new(Algorithm::HS256).jwk();
    secret["kid"] = "s".into();
    let of_rsa = json!({ "kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB" });
    scene.issuer.publish_beside([secret, of_rsa, json!(null), json!([]), json!({ "kty": "AKP", "alg": "ML-DSA-65" })]);
    assert_eq!(scene.ask_all(vec![scene.token(); 64]).await, [(200, 64)]);
    let keys = scene.tokens.keys();
    let faults: Vec<_> = keys.skipped().iter().map(|skipped| skipped.fault().clone()).collect();
    assert_eq!(faults[0], KeyFault::SecretPublished);
    assert_eq!((keys.len(), faults.len()), (1, 5));
    assert!(keys.iter().all(|key| key.algorithm() == Some(Algorithm::EdDSA)));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_published_verifies_nothing() {
    let signer = Signer::new(Algorithm::HS256);
    let scene = Scene::new();
    scene.issuer.publish_beside([signer.jwk()]);
    scene.issuer.rotate();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({ "iss": scene.issuer.url(), "aud": scene.issuer.audience(), "iat": now, "exp": now + 60 });
    assert_eq!(scene.ask(&signer.token(&claims_with(claims))).await, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.ask_good().await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn two_keys_of_one_name_are_both_skipped() {
    let scene = Scene::new();
    let mut rival = TestIssuer::new().keys()["keys"][0].clone();
    scene.issuer.publish_beside([rival.clone()]);
    scene.issuer.rotate();
    assert_eq!(scene.ask_good().await, StatusCode::OK, "k2 is not k1");
    rival["kid"] = "k2".into();
    scene.issuer.publish_beside([rival, TestIssuer::new().keys()["keys"][0].clone()]);
    scene.tokens.reload().await.unwrap();
    assert_eq!(scene.ask_good().await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_keys_are_used_and_no_more() {
    let scene = Scene::new();
    let key = |kid: u64| {
        let mut key = TestIssuer::new().keys()["keys"][0].clone();
        key["kid"] = format!("other-{kid}").into();
        key
    };
    scene.issuer.publish_beside((0..150).map(key).collect::<Vec<Value>>());
    assert_eq!(scene.ask_good().await, StatusCode::OK);
    let keys = scene.tokens.keys();
    assert_eq!((keys.len(), keys.skipped().len()), (100, 51));
    assert!(keys.skipped().iter().all(|skipped| skipped.fault() == &KeyFault::TooMany));
}

/// A body that goes on for ever, and counts what was taken of it.
struct Endless(Arc<AtomicUsize>);

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = Bytes::from_static(&[b' '; 8192]);
        self.0.fetch_add(piece.len(), Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_is_read_up_to_256_kib_and_cut_off() {
    let taken: Arc<AtomicUsize> = Arc::default();
    let client = {
        let taken = Arc::clone(&taken);
        HttpClient::new(service_fn(move |_: Request<Full<Bytes>>| {
            let body = Endless(Arc::clone(&taken));
            async move { Ok::<_, io::Error>(Response::new(body)) }
        }))
    };
    let scene = Scene::with(|keys| keys.client(client));
    assert!(scene.tokens.ready().await.is_err());
    assert_eq!(taken.load(Ordering::Relaxed), 256 * 1024 + 8192);
    assert_eq!(scene.tokens.status().last_error.as_deref(), Some("the answer is longer than 256 KiB"));
}

#[tokio::test(start_paused = true)]
async fn a_document_of_256_kib_is_read() {
    let scene = Scene::new();
    let document = scene.issuer.keys().to_string();
    let document = document.clone() + &" ".repeat(256 * 1024 - document.len());
    assert_eq!(document.len(), 256 * 1024);
    scene.issuer.keys_reply(Reply::Body(document.clone().into()));
    assert_eq!(scene.ask_good().await, StatusCode::OK);
    scene.issuer.keys_reply(Reply::Body((document + " ").into()));
    assert!(scene.tokens.reload().await.is_err());
}
