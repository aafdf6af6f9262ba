//! No secret in anything that is printed, returned or logged.

use std::error::Error;
use std::fmt::Debug;
use std::time::Duration;

use http::Request;
use tower::{Layer, Service, ServiceExt};
use tower_keep::{
    ApiKey, ApiKeyLayer, DigestTag, KeyFormat, KeyHasher, KeyId, Lookup, NewKey, Principal, Rejection, RequireScopes,
    Scheme, Secret, StoreError, store_fn,
};

use crate::log::logged;
use crate::support::{Inner, Slow, as_grpc, get, store, with, with_key};

/// A text as hexadecimal digits, in which a digest could be seen.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn list(bytes: &[u8]) -> String {
    format!("{bytes:?}").trim_matches(['[', ']']).to_owned()
}

#[test]
fn no_public_type_prints_a_secret() {
    let (keys, issued) = store();
    let key = issued.key().expose();
    let pepper = [0xAB_u8; 32];
    let hasher = KeyHasher::peppered("p", pepper).unwrap();
    let digest = hasher.digest(key);
    let scheme = ApiKey::new(keys.clone()).bearer();
    let (mut head, ()) = Request::get("/").header("x-api-key", key).body(()).unwrap().into_parts();
    let presented = scheme.take(&mut head).unwrap().unwrap();
    let layer = ApiKeyLayer::over(scheme.clone());
    let mut service = layer.layer(Inner::new().clone_debug());
    let response = service.call(with_key(&issued));
    let record = keys.get(issued.id()).unwrap();
    let admission = scheme.verify(scheme.take(&mut with_key(&issued).into_parts().0).unwrap().unwrap()).now();
    let rotated = keys.rotate(issued.id(), Duration::from_secs(60)).unwrap();
    let or = ApiKeyLayer::over(scheme.clone()).or(layer.clone());
    let printed: [&dyn Debug; 22] = [
        or.scheme(),
        &keys,
        &issued,
        &rotated,
        issued.key(),
        &Secret::new(key.to_owned()),
        &hasher,
        &keys.rules(),
        &digest,
        &*record,
        &**rotated.record(),
        &rotated.record().superseded()[0],
        &Lookup::Digest(digest),
        &presented,
        &head,
        &scheme,
        &layer,
        &service,
        &response,
        &admission,
        &Principal::builder("a").details(Secret::new(key.to_owned())).build(),
        &NewKey::for_owner("a"),
    ];
    for (index, value) in printed.iter().enumerate() {
        for text in [format!("{value:?}"), format!("{value:#?}")] {
            assert!(!text.is_empty(), "value {index} prints nothing");
            for secret in
                [key, &key[20..], &hex(&pepper), &list(&pepper), &hex(digest.as_bytes()), &list(digest.as_bytes())]
            {
                assert!(!text.contains(secret), "value {index} prints {secret}: {text}");
            }
        }
    }
}

trait CloneDebug {
    fn clone_debug(&self) -> DebugInner;
}

impl CloneDebug for Inner {
    fn clone_debug(&self) -> DebugInner {
        DebugInner(self.clone())
    }
}

/// The inner service, printable.
#[derive(Clone)]
struct DebugInner(Inner);

impl Debug for DebugInner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inner")
    }
}

impl Service<Request<String>> for DebugInner {
    type Response = http::Response<String>;
    type Error = std::convert::Infallible;
    type Future = <Inner as Service<Request<String>>>::Future;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<String>) -> Self::Future {
        self.0.call(request)
    }
}

#[tokio::test]
async fn no_response_and_no_log_line_holds_a_presented_key() {
    let (keys, issued) = store();
    let key = issued.key().expose();
    let mut wrong = key.to_owned();
    wrong.replace_range(30..31, if &wrong[30..31] == "a" { "b" } else { "a" });
    let other = crate::support::store().1;
    let rules = keys.rules();
    let down = store_fn(|_| async { Err(StoreError::unavailable("down")) }).rules(rules);
    let log = logged();
    let scoped = RequireScopes::all(["admin"]).layer(Inner::new());
    let mut texts = Vec::new();
    for value in [key, &wrong, other.key().expose(), "junk-secret-junk", &format!("{key} {key}"), &"x".repeat(600)] {
        let requests = || {
            [
                with(get("/"), "x-api-key", value),
                with(get("/"), "authorization", &format!("ApiKey {value}")),
                with(with(get("/"), "x-api-key", value), "x-api-key", value),
                as_grpc(with(get("/"), "x-api-key", value)),
            ]
        };
        for request in requests() {
            let response = ApiKeyLayer::new(keys.clone()).layer(scoped.clone()).oneshot(request).await.unwrap();
            texts.push((value.to_owned(), format!("{:?} {}", response.headers(), response.body())));
        }
        for request in requests() {
            let response = ApiKeyLayer::new(down.clone()).layer(Inner::new()).oneshot(request).await.unwrap();
            texts.push((value.to_owned(), format!("{:?} {}", response.headers(), response.body())));
        }
    }
    let log = log.lines().join("\n");
    assert!(log.contains("refused"), "nothing was logged");
    for (value, text) in texts {
        let secret = value.get(value.len().saturating_sub(40)..).unwrap();
        assert!(!text.contains(secret), "{text}");
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn a_rejection_prints_its_reason_and_no_source_reaches_the_caller() {
    let rejection = Rejection::unavailable("store_unavailable", "password=hunter2");
    assert!(!format!("{rejection:?} {rejection}").contains("hunter2"));
    assert!(rejection.source().unwrap().to_string().contains("hunter2"), "the log alone may see it");
    let response: http::Response<String> = rejection.into_response();
    assert!(!format!("{:?} {}", response.headers(), response.body()).contains("hunter2"));
}

#[test]
fn a_secret_in_the_wrong_place_is_not_shown_by_the_error() {
    let (_, issued) = store();
    let key = issued.key().expose();
    let pepper = "0123456789abcdef0123456789abcdef";
    let errors = [
        (key, KeyId::new(key).unwrap_err()),
        (key, KeyFormat::new(&format!("{key}-")).unwrap_err()),
        (key, key.parse::<DigestTag>().unwrap_err()),
        (pepper, KeyHasher::peppered(pepper, "2026").unwrap_err()),
    ];
    for (secret, error) in errors {
        let text = format!("{error} {error:?}");
        assert!(!text.contains(&secret[..12]), "{text}");
    }
}

#[tokio::test]
async fn waiting_for_a_store_prints_no_secret() {
    let (store, issued) = store();
    let mut service = ApiKeyLayer::new(Slow { store, polls: 1 }).layer(Inner::new());
    let response = service.call(with_key(&issued));
    assert!(!format!("{response:?}").contains(issued.key().expose()));
    assert_eq!(response.await.unwrap().status(), 200);
}
