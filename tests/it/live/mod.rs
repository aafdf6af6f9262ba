//! Keys that are fetched.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;
use tower::service_fn;
use tower_keep::{Algorithm, BearerLayer, HttpClient, Issuer, Jwt};

use crate::support::{TestClock, get, status, with};
use crate::tokens::mint::{AUDIENCE, ISSUER, Signer, claims};

#[tokio::test(start_paused = true)]
async fn the_first_token_has_the_keys_fetched() {
    let signer = Arc::new(Mutex::new(Signer::new(Algorithm::EdDSA)));
    let fetches = Arc::new(AtomicUsize::new(0));
    let client = {
        let (signer, fetches) = (Arc::clone(&signer), Arc::clone(&fetches));
        HttpClient::new(service_fn(move |request: Request<Full<Bytes>>| {
            let document = match request.uri().path() {
                "/.well-known/oauth-authorization-server" => {
                    json!({ "issuer": ISSUER, "jwks_uri": format!("{ISSUER}/jwks") })
                }
                _ => {
                    fetches.fetch_add(1, Ordering::SeqCst);
                    json!({ "keys": [signer.lock().unwrap().jwk()] })
                }
            };
            async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(document.to_string())))) }
        }))
    };
    let tokens = Jwt::discover(Issuer::discover(ISSUER).client(client)).audience(AUDIENCE).clock(TestClock::new());
    let layer = BearerLayer::new(tokens.build().unwrap());
    let bearer = |signer: &Signer| with(get("/"), "authorization", &format!("Bearer {}", signer.token(&claims())));
    let first = bearer(&signer.lock().unwrap());
    assert_eq!(status(layer.clone(), first).await, StatusCode::OK);
    assert_eq!(fetches.load(Ordering::SeqCst), 1);
}
