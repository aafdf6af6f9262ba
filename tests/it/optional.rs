//! What optional, report-only and preflight let through, and what not.

use http::{HeaderValue, Method, Request, StatusCode};
use tower_keep::{Anonymous, ApiKey, ApiKeyLayer, AuthLayer, Principal, RequireScopes, StoreError, store_fn};

use crate::support::{Inner, Ticket, get, send, send_to, store, values, with, with_key};

#[tokio::test]
async fn optional_lets_exactly_the_missing_credential_through() {
    let (keys, issued) = store();
    let rules = tower_keep::KeyStore::rules(&keys);
    let down = store_fn(|_| async { Err(StoreError::unavailable("down")) }).rules(rules);
    let layer = ApiKeyLayer::new(keys.clone()).optional();

    let (response, heads) = send(layer.clone(), get("/")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(heads[0].extensions.get::<Principal>().is_none());
    assert!(!heads[0].extensions.get::<Anonymous>().unwrap().is_preflight());

    let (response, heads) = send(layer.clone(), with_key(&issued)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(heads[0].extensions.get::<Anonymous>().is_none());

    let refused = [
        (layer.clone(), with(get("/"), "x-api-key", ""), StatusCode::BAD_REQUEST),
        (layer.clone(), with(with_key(&issued), "x-api-key", "x"), StatusCode::BAD_REQUEST),
        (layer.clone(), with(get("/"), "x-api-key", "junk"), StatusCode::UNAUTHORIZED),
        (ApiKeyLayer::new(down).optional(), with_key(&issued), StatusCode::SERVICE_UNAVAILABLE),
    ];
    for (layer, request, expected) in refused {
        let (response, heads) = send(layer, request).await;
        assert_eq!((response.status(), heads.len()), (expected, 0));
    }
    keys.revoke(issued.id()).unwrap();
    assert_eq!(send(layer, with_key(&issued)).await.0.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn report_only_refuses_nothing_and_leaves_the_request_as_it_came() {
    let (keys, issued) = store();
    let layer = ApiKeyLayer::new(keys.clone()).report_only();
    let requests = [
        get("/"),
        with(get("/"), "x-api-key", "junk"),
        with(with_key(&issued), "x-api-key", "second"),
        with(get("/"), "authorization", "ApiKey two words"),
    ];
    for request in requests {
        let headers = request.headers().clone();
        let (response, heads) = send(layer.clone(), request).await;

        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(heads[0].headers, headers);
        assert!(heads[0].extensions.get::<Anonymous>().is_some());
    }
    let (_, heads) = send(layer, with_key(&issued)).await;
    assert_eq!(heads[0].extensions.get::<Principal>().unwrap().subject(), "billing");
    assert!(heads[0].headers["x-api-key"].is_sensitive());
}

#[tokio::test]
async fn report_only_reaches_the_scopes_further_in() {
    let (keys, issued) = store();
    let layer = |report_only: bool| {
        let outer = ApiKeyLayer::new(keys.clone());
        let outer = if report_only { outer.report_only() } else { outer };
        tower::layer::layer_fn(move |inner: Inner| {
            tower::Layer::layer(&outer, tower::Layer::layer(&RequireScopes::all(["admin"]), inner))
        })
    };
    for request in [get("/"), with_key(&issued)] {
        assert_eq!(send(layer(true), request).await.0.status(), StatusCode::OK);
    }
    assert_eq!(send(layer(false), with_key(&issued)).await.0.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_verdict_that_comes_later_can_be_reported_only_too() {
    let layer = AuthLayer::over(Ticket).report_only();
    let (response, heads) = send(layer, with(get("/"), "ticket", "slow-bad")).await;
    assert_eq!((response.status(), heads.len()), (StatusCode::OK, 1));
    assert_eq!(values(&heads[0].headers, "ticket"), ["slow-bad"]);
}

fn preflight(method: Method, fields: &[(&'static str, &str)]) -> Request<String> {
    let mut request = get("/");
    *request.method_mut() = method;
    for (name, value) in fields {
        request.headers_mut().append(*name, HeaderValue::from_str(value).unwrap());
    }
    request
}

#[tokio::test]
async fn only_a_preflight_without_a_credential_is_let_through() {
    let (keys, issued) = store();
    let layer = ApiKeyLayer::new(keys.clone()).allow_preflight();
    let origin = ("origin", "https://app.example.com");
    let asks = ("access-control-request-method", "POST");
    let key = ("x-api-key", issued.key().expose());
    let cases = [
        (Method::OPTIONS, vec![origin, asks], StatusCode::OK),
        (Method::OPTIONS, vec![origin], StatusCode::UNAUTHORIZED),
        (Method::OPTIONS, vec![asks], StatusCode::UNAUTHORIZED),
        (Method::OPTIONS, vec![], StatusCode::UNAUTHORIZED),
        (Method::GET, vec![origin, asks], StatusCode::UNAUTHORIZED),
        (Method::POST, vec![origin, asks], StatusCode::UNAUTHORIZED),
        (Method::OPTIONS, vec![origin, asks, ("x-api-key", "junk")], StatusCode::UNAUTHORIZED),
        (Method::OPTIONS, vec![origin, asks, key], StatusCode::OK),
    ];
    for (method, fields, expected) in cases {
        let request = preflight(method.clone(), &fields);
        let (response, heads) = send(layer.clone(), request).await;
        assert_eq!(response.status(), expected, "{method} {fields:?}");
        if let Some(head) = heads.first() {
            let anonymous = head.extensions.get::<Anonymous>();
            assert_eq!(anonymous.is_some_and(Anonymous::is_preflight), fields.len() == 2);
        }
    }
    let closed = ApiKeyLayer::new(keys);
    let request = preflight(Method::OPTIONS, &[origin, asks]);
    assert_eq!(send(closed, request).await.0.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_answer_to_nobody_varies_by_the_fields_that_may_hold_a_key() {
    let scheme = ApiKey::new(store().0).also_header("apikey").unwrap().insecure_allow_cookie("key").unwrap();
    let layer = ApiKeyLayer::over(scheme).optional();

    let (response, _) = send(layer.clone(), get("/")).await;
    assert_eq!(values(response.headers(), "vary"), ["x-api-key, apikey, cookie"]);
    assert!(!response.headers().contains_key("cache-control"));

    let (response, _) = send(layer, preflight(Method::POST, &[])).await;
    assert!(!response.headers().contains_key("vary"));
}

#[tokio::test]
async fn whoever_an_inner_layer_admits_is_no_longer_nobody() {
    let (keys, issued) = store();
    let optional = AuthLayer::over(Ticket).optional();
    let layer = tower::layer::layer_fn(move |inner: Inner| {
        tower::Layer::layer(&optional, tower::Layer::layer(&ApiKeyLayer::new(keys.clone()), inner))
    });
    let (_, heads) = send(layer, with_key(&issued)).await;
    assert_eq!(heads[0].extensions.get::<Principal>().unwrap().subject(), "billing");
    assert!(heads[0].extensions.get::<Anonymous>().is_none());
}

#[tokio::test]
async fn an_optional_layer_inside_another_one_keeps_the_principal() {
    let (keys, issued) = store();
    let inner = Inner::new();
    let optional = AuthLayer::over(Ticket).optional();
    let layer = tower::layer::layer_fn(move |inner: Inner| {
        tower::Layer::layer(&ApiKeyLayer::new(keys.clone()), tower::Layer::layer(&optional, inner))
    });
    let (response, _) = send_to(layer, inner, with_key(&issued)).await;
    assert_eq!(response.body(), "hello billing");
}
