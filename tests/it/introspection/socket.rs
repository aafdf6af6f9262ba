//! The default client against a server on a socket.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use tokio::net::TcpListener;
use tower_keep::{BearerLayer, ClientAuth, HttpClient, Introspection};

use super::{SECRET, TOKEN, good};
use crate::support::{TestClock, get, status, with};
use crate::tokens::mint::AUDIENCE;

#[tokio::test]
async fn a_server_on_a_socket_is_asked() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let server = {
        let seen = Arc::clone(&seen);
        let answer = move |headers: HeaderMap, body: String| async move {
            let active = body.starts_with(&format!("token={TOKEN}&")) && headers.contains_key("authorization");
            seen.lock().unwrap().push((headers, body));
            let answer = if active { good() } else { serde_json::json!({ "active": false }) };
            ([(CONTENT_TYPE, "application/json")], answer.to_string())
        };
        Router::new().route("/introspect", post(answer))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, server).await });
    let tokens = Introspection::at(format!("http://{address}/introspect"))
        .insecure_allow_loopback()
        .client(HttpClient::builder().build().unwrap())
        .client_auth(ClientAuth::basic("orders", SECRET.to_owned()))
        .audience(AUDIENCE)
        .positive_ttl(Duration::from_secs(30))
        .clock(TestClock::new());
    let layer = BearerLayer::new(tokens.build().unwrap());
    let bearer = |token: &str| with(get("/"), "authorization", &format!("Bearer {token}"));

    assert_eq!(status(layer.clone(), bearer(TOKEN)).await, 200);
    assert_eq!(status(layer.clone(), bearer(TOKEN)).await, 200);
    assert_eq!(status(layer.clone(), bearer("another")).await, 401);

    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].1, format!("token={TOKEN}&token_type_hint=access_token"));
    assert_eq!(seen[0].0["content-type"], "application/x-www-form-urlencoded");
    serving.abort();
    assert!(serving.await.unwrap_err().is_cancelled());
    // What is remembered serves on; anything else cannot be known.
    assert_eq!(status(layer.clone(), bearer(TOKEN)).await, 200);
    assert_eq!(status(layer, bearer("a-third")).await, 503);
}
