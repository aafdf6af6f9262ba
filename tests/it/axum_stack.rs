//! axum: the router, extractors, layer order, and what is around the layer.

use axum::Router;
use axum::body::Body;
use axum::extract::OriginalUri;
use axum::routing::get;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt};
use tower_http::cors::CorsLayer;
use tower_keep::{ApiKey, ApiKeyLayer, AuthLayer, Principal, Rejection, RequireScopes};

use crate::support::{Ticket, store, values};

async fn who(principal: Principal) -> String {
    principal.subject().to_owned()
}

async fn maybe(principal: Option<Principal>) -> String {
    principal.map_or("nobody".to_owned(), |principal| principal.subject().to_owned())
}

async fn send(app: &Router, path: &str, fields: &[(&str, &str)]) -> (StatusCode, String, http::HeaderMap) {
    let request = fields.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
    split(app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()).await
}

async fn split(response: Response<Body>) -> (StatusCode, String, http::HeaderMap) {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, String::from_utf8(body.to_vec()).unwrap(), head.headers)
}

#[tokio::test]
async fn a_router_is_guarded_by_one_line() {
    let (keys, issued) = store();
    let app = Router::new().route("/me", get(who)).layer(ApiKeyLayer::new(keys));

    let (status, body, _) = send(&app, "/me", &[("x-api-key", issued.key().expose())]).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "billing"));

    let (status, body, headers) = send(&app, "/me", &[]).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(values(&headers, "content-type"), ["application/problem+json"]);
    assert!(body.contains(r#""status":401"#));
}

#[tokio::test]
async fn layer_guards_unknown_paths_and_route_layer_does_not() {
    let (keys, _) = store();
    let layer = ApiKeyLayer::new(keys);
    let all = Router::new().route("/me", get(who)).layer(layer.clone());
    let routes = Router::new().route("/me", get(who)).route_layer(layer);

    assert_eq!(send(&all, "/nothing", &[]).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(send(&routes, "/nothing", &[]).await.0, StatusCode::NOT_FOUND);
    assert_eq!(send(&routes, "/me", &[]).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_route_may_need_scopes_of_its_own() {
    let (keys, issued) = store();
    let app = Router::new()
        .route("/read", get(who).layer(RequireScopes::all(["read"])))
        .route("/write", get(who).layer(RequireScopes::all(["write"])))
        .layer(ApiKeyLayer::new(keys));
    let key = [("x-api-key", issued.key().expose())];

    assert_eq!(send(&app, "/read", &key).await.0, StatusCode::OK);
    let (status, body, _) = send(&app, "/write", &key).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(body.contains("insufficient_scope"));
}

#[tokio::test]
async fn an_extractor_on_a_route_without_the_layer_is_500_and_never_anonymous() {
    let app = Router::new().route("/who", get(who)).route("/maybe", get(maybe));
    for path in ["/who", "/maybe"] {
        assert_eq!(send(&app, path, &[]).await.0, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
    }
}

#[tokio::test]
async fn any_framework_finds_the_principal_in_the_extensions() {
    let (keys, issued) = store();
    async fn of(request: axum::extract::Request) -> Result<String, Rejection> {
        Principal::of(request.extensions()).map(|principal| principal.subject().to_owned())
    }
    let router = Router::new().route("/", get(of));
    let guarded = router.clone().layer(ApiKeyLayer::new(keys).optional());

    assert_eq!(send(&guarded, "/", &[("x-api-key", issued.key().expose())]).await.1, "billing");
    assert_eq!(send(&guarded, "/", &[]).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(send(&router, "/", &[]).await.0, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn behind_an_optional_layer_one_extractor_sees_nobody_and_the_other_asks_for_a_credential() {
    let (keys, issued) = store();
    let app = Router::new().route("/who", get(who)).route("/maybe", get(maybe)).layer(
        ApiKeyLayer::new(keys).optional().responder(|rejection: &Rejection, _: &http::request::Parts| {
            Response::new(Body::from(rejection.cause().name()))
        }),
    );
    let key = [("x-api-key", issued.key().expose())];

    assert_eq!(send(&app, "/maybe", &[]).await.1, "nobody");
    assert_eq!(send(&app, "/maybe", &key).await.1, "billing");
    assert_eq!(send(&app, "/who", &key).await.1, "billing");
    let (status, body, headers) = send(&app, "/who", &[]).await;
    assert_eq!((status, body.as_str()), (StatusCode::UNAUTHORIZED, "missing"), "the layer's responder answers");
    assert_eq!(values(&headers, "www-authenticate"), [r#"ApiKey realm="api""#]);
}

#[tokio::test]
async fn a_handler_may_refuse_with_a_rejection() {
    let (keys, issued) = store();
    async fn closed(_: Principal) -> Result<&'static str, Rejection> {
        Err(Rejection::forbidden("closed_today"))
    }
    let app = Router::new().route("/", get(closed)).layer(ApiKeyLayer::new(keys));

    let (status, body, _) = send(&app, "/", &[("x-api-key", issued.key().expose())]).await;

    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(body.contains(r#""status":403"#) && !body.contains("closed_today"));
}

#[tokio::test]
async fn cors_outside_answers_the_preflight_and_lets_browsers_read_refusals() {
    let (keys, _) = store();
    let cors = CorsLayer::permissive();
    let app = Router::new().route("/me", get(who)).layer(ApiKeyLayer::new(keys)).layer(cors);
    let preflight = Request::options("/me")
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "GET")
        .body(Body::empty())
        .unwrap();

    let (status, _, _) = split(app.clone().oneshot(preflight).await.unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    let (status, _, headers) = send(&app, "/me", &[("origin", "https://app.example.com")]).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(values(&headers, "access-control-allow-origin"), ["*"]);
}

#[tokio::test]
async fn a_preflight_passes_the_scopes_on_its_way_to_cors_inside() {
    let (keys, _) = store();
    let app = Router::new()
        .route("/me", get(who).layer((RequireScopes::all(["read"]), CorsLayer::permissive())))
        .layer(ApiKeyLayer::new(keys).allow_preflight());
    let preflight = Request::options("/me")
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "GET")
        .body(Body::empty())
        .unwrap();

    let (status, _, headers) = split(app.oneshot(preflight).await.unwrap()).await;

    assert_eq!(status, StatusCode::OK);
    assert_eq!(values(&headers, "access-control-allow-origin"), ["*"]);
}

#[tokio::test]
async fn axums_original_uri_keeps_a_query_key_as_documented() {
    let (keys, issued) = store();
    async fn uris(OriginalUri(original): OriginalUri, uri: http::Uri) -> String {
        format!("{original} {uri}")
    }
    let scheme = ApiKey::new(keys).insecure_allow_query("api_key").unwrap();
    let app = Router::new().route("/", get(uris)).layer(ApiKeyLayer::over(scheme));
    let key = issued.key().expose();

    let (_, body, _) = send(&app, &format!("/?api_key={key}"), &[]).await;

    assert_eq!(body, format!("/?api_key={key} /"));
}

/// The layer and the service it makes have names that fit in a struct.
struct App {
    layer: ApiKeyLayer,
    service: tower_keep::Auth<Router, ApiKey>,
}

#[tokio::test]
async fn layers_and_services_are_struct_fields() {
    let (keys, issued) = store();
    let layer = ApiKeyLayer::new(keys);
    let app = App { service: layer.layer(Router::new().route("/me", get(who))), layer };
    let request = || Request::get("/me").header("x-api-key", issued.key().expose()).body(Body::empty()).unwrap();

    let response = app.service.clone().oneshot(request()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let again = app.layer.clone().layer(app.service.inner().clone());
    assert_eq!(again.oneshot(request()).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn keys_or_tickets_on_one_route() {
    let (keys, issued) = store();
    let layer = ApiKeyLayer::new(keys).or(AuthLayer::over(Ticket));
    let app = Router::new().route("/me", get(who)).layer(layer);
    assert_eq!(send(&app, "/me", &[("x-api-key", issued.key().expose())]).await.1, "billing");
    assert_eq!(send(&app, "/me", &[("ticket", "good")]).await.1, "guest");
    let (status, _, headers) = send(&app, "/me", &[]).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let expected = [r#"ApiKey realm="api""#, r#"Ticket realm="cinema""#];
    assert_eq!(values(&headers, "www-authenticate"), expected);
}
