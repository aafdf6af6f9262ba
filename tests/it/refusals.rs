//! Whose fault it is, the status, the body, and that a refusal tells nothing else.

use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::{BoxBody, UnsyncBoxBody};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keep::{ApiKeyLayer, Cause, MemoryStore, NewKey, Rejection, Responder, Scopes, StoreError, store_fn};

use crate::support::{Inner, TestClock, as_grpc, at, get, rules, send, send_to, store, values, with, with_key};

#[tokio::test]
async fn unknown_expired_revoked_future_and_wrong_keys_get_the_same_answer() {
    let clock = TestClock::new();
    let keys = MemoryStore::with(rules(&clock));
    let start = crate::support::START;
    let issue = |new: NewKey| keys.issue(new).unwrap();
    let good = issue(NewKey::for_owner("a"));
    let expired = issue(NewKey::for_owner("a").expires_at(at(start + 10)));
    let future = issue(NewKey::for_owner("a").not_before(at(start + 1_000)));
    let revoked = issue(NewKey::for_owner("a"));
    keys.revoke(revoked.id()).unwrap();
    let superseded = issue(NewKey::for_owner("a"));
    keys.rotate(superseded.id(), Duration::from_secs(10)).unwrap();
    let unknown = MemoryStore::with(rules(&clock)).issue(NewKey::for_owner("a")).unwrap();
    clock.advance(60);
    let mut mistyped = good.key().expose().to_owned();
    mistyped.replace_range(20..21, if &mistyped[20..21] == "a" { "b" } else { "a" });
    let layer = ApiKeyLayer::new(keys);
    let mut answers = Vec::new();
    for key in [&expired, &future, &revoked, &superseded, &unknown].map(|issued| issued.key().expose()) {
        answers.push(send(layer.clone(), with(get("/"), "x-api-key", key)).await);
    }
    answers.push(send(layer.clone(), with(get("/"), "x-api-key", &mistyped)).await);
    answers.push(send(layer.clone(), with(get("/"), "x-api-key", "of-another-form")).await);
    answers.push(send(layer.clone(), with(get("/"), "x-api-key", "test_short")).await);

    for (response, heads) in &answers {
        assert!(heads.is_empty());
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers(), answers[0].0.headers());
        assert_eq!(response.body(), answers[0].0.body());
    }
    assert_eq!(send(layer, with_key(&good)).await.0.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_store_that_is_down_is_never_the_callers_fault() {
    let (keys, issued) = store();
    let rules = tower_keep::KeyStore::rules(&keys);
    let down = store_fn(|_| async { Err(StoreError::unavailable("connection refused at 10.0.0.7")) });
    let slow =
        store_fn(|_| async { Err(StoreError::unavailable("busy").with_retry_after(Duration::from_millis(2_500))) });
    let broken = store_fn(|_| async { Err(StoreError::misconfigured("no such table: keys")) });

    let (response, _) = send(ApiKeyLayer::new(down.rules(rules.clone())), with_key(&issued)).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(values(response.headers(), "retry-after"), ["1"]);
    assert!(values(response.headers(), "www-authenticate").is_empty());
    assert!(!response.body().contains("10.0.0.7"));

    let (response, _) = send(ApiKeyLayer::new(slow.rules(rules.clone())), with_key(&issued)).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(values(response.headers(), "retry-after"), ["3"]);

    let (response, _) = send(ApiKeyLayer::new(broken.rules(rules)), with_key(&issued)).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!response.body().contains("table"));
}

#[tokio::test]
async fn junk_is_never_the_servers_fault_even_while_the_store_is_down() {
    let down =
        store_fn(|_| async { Err(StoreError::unavailable("down")) }).rules(tower_keep::KeyStore::rules(&store().0));
    let layer = ApiKeyLayer::new(down);
    for (value, expected) in
        [("", StatusCode::BAD_REQUEST), ("junk", StatusCode::UNAUTHORIZED), ("test_junk", StatusCode::UNAUTHORIZED)]
    {
        assert_eq!(send(layer.clone(), with(get("/"), "x-api-key", value)).await.0.status(), expected);
    }
    assert_eq!(send(layer, get("/")).await.0.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_wrong_checksum_is_refused_before_the_store_is_asked() {
    let (keys, issued) = store();
    let asked = store_fn(|_| async { panic!("the store was asked") }).rules(tower_keep::KeyStore::rules(&keys));
    let mut key = issued.key().expose().to_owned();
    key.replace_range(key.len() - 1.., if key.ends_with('0') { "1" } else { "0" });

    let (response, _) = send(ApiKeyLayer::new(asked), with(get("/"), "x-api-key", &key)).await;

    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

/// Answers with the rejection that a request header names.
fn refusing(
    rejection: Rejection,
) -> impl Layer<
    Inner,
    Service = impl Service<
        Request<String>,
        Response = Response<String>,
        Error = std::convert::Infallible,
        Future = impl Send,
    >,
> + Clone {
    let (keys, _) = store();
    let inside = tower::layer::layer_fn(move |_: Inner| {
        let rejection = rejection.clone();
        service_fn(move |_: Request<String>| {
            let rejection = rejection.clone();
            async move { Ok(rejection.into_response()) }
        })
    });
    let outside = ApiKeyLayer::new(keys).optional();
    tower::layer::layer_fn(move |inner: Inner| outside.layer(inside.layer(inner)))
}

#[tokio::test]
async fn each_cause_has_its_status_code_and_body() {
    let scopes = Scopes::try_from("read write").unwrap();
    let nonce = HeaderValue::from_static("n1");
    // The rejection, the HTTP status, the gRPC code, the error code, whether there is a challenge.
    let cases = [
        (Rejection::missing(), 401, "16", None, true),
        (Rejection::malformed("x"), 400, "16", Some("invalid_request"), true),
        (Rejection::invalid("x"), 401, "16", Some("invalid_token"), true),
        (Rejection::forbidden("x"), 403, "7", None, false),
        (Rejection::insufficient_scope(scopes), 403, "7", Some("insufficient_scope"), true),
        (
            Rejection::step_up(Some("gold"), Some(Duration::from_secs(60))),
            401,
            "16",
            Some("insufficient_user_authentication"),
            true,
        ),
        (Rejection::nonce_required(nonce), 401, "16", Some("use_dpop_nonce"), true),
        (Rejection::insecure(), 403, "7", None, false),
        (Rejection::limited(Duration::from_millis(1_001)), 429, "8", None, false),
        (Rejection::unavailable("x", "down"), 503, "14", None, false),
        (Rejection::misconfigured("x", "wrong"), 500, "13", None, false),
    ];
    for (rejection, status, grpc, code, challenged) in cases {
        let cause = rejection.cause();
        let (response, _) = send(refusing(rejection.clone()), get("/")).await;
        assert_eq!(response.status(), status, "{cause:?}");
        assert_eq!(values(response.headers(), "content-type"), ["application/problem+json"]);
        assert_eq!(values(response.headers(), "cache-control"), ["no-store"]);
        assert_eq!(values(response.headers(), "www-authenticate").len(), usize::from(challenged), "{cause:?}");
        let body: serde_json::Value = serde_json::from_str(response.body()).unwrap();
        assert_eq!(body["type"], "about:blank");
        assert_eq!(body["status"], status);
        assert_eq!(body["title"], response.status().canonical_reason().unwrap());
        assert_eq!(body.get("error").map(|error| error.as_str().unwrap()), code, "{cause:?}");
        if let (Some(code), true) = (code, challenged) {
            assert!(values(response.headers(), "www-authenticate")[0].contains(&format!("error=\"{code}\"")));
        }

        let (response, _) = send(refusing(rejection), as_grpc(get("/"))).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(values(response.headers(), "grpc-status"), [grpc], "{cause:?}");
        assert_eq!(values(response.headers(), "content-type"), ["application/grpc"]);
        assert_eq!(values(response.headers(), "www-authenticate").len(), usize::from(challenged));
        assert!(response.body().is_empty());
    }
}

#[tokio::test]
async fn what_a_refusal_asks_for_stands_in_the_challenge() {
    let scopes = Scopes::try_from("write read").unwrap();
    let challenge = |rejection: Rejection| async move {
        let (response, _) = send(refusing(rejection), get("/")).await;
        values(response.headers(), "www-authenticate").remove(0)
    };
    assert_eq!(
        challenge(Rejection::insufficient_scope(scopes)).await,
        r#"ApiKey realm="api", error="insufficient_scope", scope="read write""#
    );
    assert_eq!(
        challenge(Rejection::step_up(Some("gold silver"), Some(Duration::from_secs(300)))).await,
        r#"ApiKey realm="api", error="insufficient_user_authentication", acr_values="gold silver", max_age="300""#
    );
    for (rejection, start) in [
        (Rejection::missing(), r#"ApiKey realm="api""#),
        (Rejection::malformed("x"), r#"ApiKey realm="api", error="invalid_request""#),
        (Rejection::invalid("x"), r#"ApiKey realm="api", error="invalid_token""#),
    ] {
        assert_eq!(challenge(rejection.clone()).await, start);
        assert_eq!(challenge(rejection.with_param("hint", "x")).await, format!(r#"{start}, hint="x""#));
    }
    let (response, _) = send(refusing(Rejection::nonce_required(HeaderValue::from_static("n1"))), get("/")).await;
    assert_eq!(values(response.headers(), "dpop-nonce"), ["n1"]);
    let (response, _) = send(refusing(Rejection::limited(Duration::from_millis(1_001))), get("/")).await;
    assert_eq!(values(response.headers(), "retry-after"), ["2"]);
}

#[tokio::test]
async fn what_services_in_between_added_to_a_refusal_stays() {
    let (keys, _) = store();
    let inner = Inner::answering(|_| {
        let mut response: Response<String> = Rejection::forbidden("x").into_response();
        response.headers_mut().insert("x-request-id", HeaderValue::from_static("7"));
        response.headers_mut().insert("content-length", HeaderValue::from_static("9999"));
        response.extensions_mut().insert(42_u8);
        response
    });

    let layer =
        ApiKeyLayer::new(keys).optional().responder(|_: &Rejection, _: &Parts| Response::new("mine".to_owned()));
    let (response, _) = send_to(layer, inner, get("/")).await;

    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(response.body(), "mine");
    assert_eq!(values(response.headers(), "x-request-id"), ["7"]);
    assert!(!response.headers().contains_key("content-length"));
    assert_eq!(response.extensions().get(), Some(&42_u8));
    assert!(response.extensions().get::<Rejection>().is_none(), "an outer layer would render it again");
}

#[tokio::test]
async fn a_custom_responder_cannot_forget_what_the_protocol_needs() {
    let (keys, issued) = store();
    let layer = ApiKeyLayer::new(keys).responder(|rejection: &Rejection, head: &Parts| {
        Response::builder()
            .status(200)
            .header("cache-control", "public")
            .header("www-authenticate", "Bogus")
            .header("x-path", head.uri.path())
            .body(format!("{:?} {:?}", rejection.cause(), head.headers))
            .unwrap()
    });

    let (response, _) = send(layer.clone(), with(get("/path"), "x-api-key", "test_secret-of-mine")).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(values(response.headers(), "cache-control"), ["no-store"]);
    assert_eq!(values(response.headers(), "www-authenticate"), [r#"ApiKey realm="api", error="invalid_token""#]);
    assert_eq!(values(response.headers(), "x-path"), ["/path"]);
    assert!(response.body().starts_with("Invalid"));
    assert!(!response.body().contains("secret-of-mine"), "the responder saw the credential");

    // Where a service further in refuses, the responder sees the head as that service did.
    let inner = Inner::answering(|_| Rejection::forbidden("x").into_response());
    let request = with(with_key(&issued), "accept", "text/html");
    let (response, _) = send_to(layer.clone().keep_credential(), inner, request).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(response.body().contains("text/html"));
    assert!(!response.body().contains(issued.key().expose()));

    let (response, _) = send(layer, as_grpc(get("/"))).await;
    assert_eq!(values(response.headers(), "grpc-status"), ["16"]);
    assert!(response.body().is_empty());
}

#[tokio::test]
async fn bodies_that_can_carry_the_problem_do_and_others_stay_empty() {
    async fn refuse<B: Default + Send + 'static>() -> Response<B> {
        let inner =
            service_fn(|_: Request<()>| async { Ok::<_, std::convert::Infallible>(Response::new(B::default())) });
        ApiKeyLayer::new(MemoryStore::new()).layer(inner).oneshot(Request::new(())).await.unwrap()
    }
    async fn text<B: http_body::Body<Error: std::fmt::Debug> + Default + Send + 'static>() -> String {
        let response = refuse::<B>().await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(values(response.headers(), "content-type"), ["application/problem+json"]);
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }
    type Boxed = Box<dyn std::error::Error + Send + Sync>;
    let texts = [
        text::<axum::body::Body>().await,
        text::<tonic::body::Body>().await,
        text::<Full<Bytes>>().await,
        text::<BoxBody<Bytes, Boxed>>().await,
        text::<UnsyncBoxBody<Bytes, Boxed>>().await,
        text::<BoxBody<Bytes, std::convert::Infallible>>().await,
        text::<String>().await,
        refuse::<Bytes>().await.into_body().escape_ascii().to_string().replace('\\', ""),
        String::from_utf8(refuse::<Vec<u8>>().await.into_body()).unwrap(),
    ];
    for text in &texts {
        assert_eq!(text, &texts[0]);
        assert!(text.contains(r#""status":401"#), "{text}");
    }

    #[derive(Default)]
    struct Foreign;
    let response = refuse::<Foreign>().await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(!response.headers().contains_key("content-type"));
    assert_eq!(values(response.headers(), "www-authenticate"), [r#"ApiKey realm="api""#]);
}

#[tokio::test]
async fn a_body_without_a_default_is_served_by_a_responder_of_its_own() {
    struct Body(&'static str);

    #[derive(Clone)]
    struct Mine;

    impl Responder<Body> for Mine {
        fn respond(&self, _: &Rejection, _: &Parts) -> Response<Body> {
            Response::new(Body("refused"))
        }

        fn empty(&self) -> Body {
            Body("")
        }
    }

    let inner = service_fn(|_: Request<()>| async { Ok::<_, std::convert::Infallible>(Response::new(Body("hello"))) });
    let service = ApiKeyLayer::new(MemoryStore::new()).responder(Mine).layer(inner);

    let response = service.clone().oneshot(Request::new(())).await.unwrap();
    assert_eq!((response.status(), response.body().0), (StatusCode::UNAUTHORIZED, "refused"));

    let grpc = Request::post("/").header("content-type", "application/grpc").body(()).unwrap();
    let response = service.oneshot(grpc).await.unwrap();
    assert_eq!((response.status(), response.body().0), (StatusCode::OK, ""));
}

#[test]
fn a_rejection_is_an_error_for_logs() {
    let rejection = Rejection::unavailable("store_unavailable", "connection refused").about("abc");

    assert_eq!(rejection.to_string(), "the credential cannot be checked at the moment (store_unavailable)");
    assert_eq!(std::error::Error::source(&rejection).unwrap().to_string(), "connection refused");
    assert_eq!(rejection.cause(), Cause::Unavailable);
    assert_eq!(rejection.credential_id(), Some("abc"));
    let extra = Rejection::forbidden("x").with_header(HeaderName::from_static("x-a"), HeaderValue::from_static("1"));
    assert_eq!(extra.headers().len(), 1);
}
