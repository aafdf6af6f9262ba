//! An endpoint that the metadata of the issuer names.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::time::advance;
use tower::service_fn;
use tower_keep::{ClientAuth, HttpClient, Introspection, IntrospectionBuilder, Issuer};

use super::{TOKEN, good, good_with, outcome};
use crate::support::TestClock;
use crate::tokens::mint::{AUDIENCE, ISSUER};

/// An issuer that has metadata at one place and answers questions at another. Clones share it.
#[derive(Clone)]
struct Host {
    paths: Arc<Mutex<Vec<String>>>,
    metadata: Arc<Mutex<Value>>,
    endpoint: Arc<Mutex<&'static str>>,
    answer: Value,
}

impl Host {
    fn new(answer: Value) -> Self {
        let metadata = json!({ "issuer": ISSUER, "introspection_endpoint": format!("{ISSUER}/ask") });
        Self {
            paths: Arc::default(),
            metadata: Arc::new(Mutex::new(metadata)),
            endpoint: Arc::new(Mutex::new("/ask")),
            answer,
        }
    }

    fn asker(&self) -> IntrospectionBuilder {
        Introspection::discover(Issuer::discover(ISSUER).client(self.client()))
            .client_auth(ClientAuth::none("orders"))
            .audience(AUDIENCE)
            .clock(TestClock::new())
    }

    fn client(&self) -> HttpClient {
        let host = self.clone();
        HttpClient::new(service_fn(move |request: Request<Full<Bytes>>| {
            let answer = host.answer(&request);
            async move {
                tokio::task::yield_now().await;
                Ok::<_, Infallible>(answer)
            }
        }))
    }

    fn answer(&self, request: &Request<Full<Bytes>>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        self.paths.lock().unwrap().push(path.to_owned());
        let text = match path {
            "/.well-known/openid-configuration" => self.metadata.lock().unwrap().to_string(),
            path if path == *self.endpoint.lock().unwrap() && request.method() == Method::POST => {
                self.answer.to_string()
            }
            _ => {
                let missing = Response::builder().status(StatusCode::NOT_FOUND);
                return missing.body(Full::default()).unwrap();
            }
        };
        Response::new(Full::new(Bytes::from(text)))
    }

    fn paths(&self) -> Vec<String> {
        std::mem::take(&mut self.paths.lock().unwrap())
    }
}

const METADATA: [&str; 2] = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];

#[tokio::test(start_paused = true)]
async fn the_endpoint_is_found_once() {
    let host = Host::new(good());
    let tokens = host.asker().build().unwrap();

    let (first, second) = tokio::join!(outcome(&tokens, TOKEN), outcome(&tokens, "another"));

    assert_eq!((first, second), ("ok", "ok"));
    assert_eq!(host.paths(), [&METADATA[..], &["/ask", "/ask"]].concat());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_moved_is_found_again() {
    let host = Host::new(good());
    let tokens = host.asker().build().unwrap();
    assert_eq!(outcome(&tokens, TOKEN).await, "ok");
    *host.endpoint.lock().unwrap() = "/moved";
    host.metadata.lock().unwrap()["introspection_endpoint"] = json!(format!("{ISSUER}/moved"));

    assert_eq!(outcome(&tokens, "another").await, "introspection_unavailable");
    advance(std::time::Duration::from_secs(1)).await;

    assert_eq!(outcome(&tokens, "another").await, "ok");
}

#[tokio::test(start_paused = true)]
async fn metadata_that_is_not_there_is_an_outage_at_once_whatever_the_token() {
    let host = Host::new(good());
    let good_metadata = host.metadata.lock().unwrap().take();
    let tokens = host.asker().build().unwrap();
    assert_eq!(outcome(&tokens, TOKEN).await, "introspection_unavailable");
    assert_eq!(host.paths(), METADATA);
    assert_eq!(outcome(&tokens, "another").await, "introspection_unavailable");
    assert_eq!(host.paths(), [""; 0]);

    *host.metadata.lock().unwrap() = good_metadata;
    advance(std::time::Duration::from_secs(1)).await;
    assert_eq!(outcome(&tokens, "third").await, "ok");
}

#[tokio::test(start_paused = true)]
async fn the_issuer_of_a_token_has_to_be_the_one_that_was_asked() {
    let cases = [
        (json!({ "iss": "https://other.example.com" }), false, "token_issuer"),
        (json!({ "iss": null }), false, "token_issuer"),
        (json!({ "iss": null }), true, "ok"),
    ];
    for (changes, none_will_do, expected) in cases {
        let mut asker = Host::new(good_with(changes)).asker();
        if none_will_do {
            asker = asker.accept_no_issuer();
        }

        assert_eq!(outcome(&asker.build().unwrap(), TOKEN).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_that_leads_elsewhere_is_not_followed() {
    let cases = [
        json!({ "issuer": ISSUER }),
        json!({ "issuer": ISSUER, "introspection_endpoint": null }),
        json!({ "issuer": ISSUER, "introspection_endpoint": 7 }),
        json!({ "issuer": "https://other.example.com", "introspection_endpoint": format!("{ISSUER}/ask") }),
        json!({ "issuer": ISSUER, "introspection_endpoint": "http://login.example.com/ask" }),
        json!({ "issuer": ISSUER, "introspection_endpoint": "https://user:secret@login.example.com/ask" }),
        json!({ "issuer": ISSUER, "introspection_endpoint": "/ask" }),
    ];
    for metadata in cases {
        let host = Host::new(good());
        *host.metadata.lock().unwrap() = metadata.clone();
        let tokens = host.asker().build().unwrap();

        assert_eq!(outcome(&tokens, TOKEN).await, "introspection_unavailable", "{metadata}");
        assert_eq!(host.paths(), METADATA);
    }
    let host = Host::new(good());
    host.metadata.lock().unwrap()["introspection_endpoint"] = json!("https://elsewhere.example.com/ask");
    let issuer = Issuer::discover(ISSUER).client(host.client()).same_origin();
    let asker = Introspection::discover(issuer).client_auth(ClientAuth::none("orders")).audience(AUDIENCE);
    assert_eq!(outcome(&asker.build().unwrap(), TOKEN).await, "introspection_unavailable");
    assert_eq!(host.paths(), METADATA);
}
