//! The claims in a handler, scopes behind tokens, gRPC, and what the log is told.

use axum::Router;
use axum::body::Body;
use axum::routing::get as route;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::json;
use tower::ServiceExt;
use tower::layer::util::Stack;
use tower_keep::{
    Algorithm, ApiKey, ApiKeyLayer, AuthLayer, BearerLayer, Cause, Claims, Denial, Jwt, MemoryDenyList, Principal,
    Rejection, RequireScopes,
};

use super::mint::{Signer, claims, claims_with};
use crate::log::logged;
use crate::support::{Ticket, as_grpc, get, send, store, values, with};

#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
struct Me {
    email: String,
}

/// Claims that nothing was read as.
#[derive(Clone, Debug)]
struct Other;

async fn me(Claims(me): Claims<Me>) -> String {
    me.email
}

async fn maybe(me: Option<Claims<Me>>) -> String {
    me.map_or("nobody".to_owned(), |Claims(me)| me.email)
}

async fn other(Claims(Other): Claims<Other>) -> &'static str {
    "other"
}

async fn maybe_other(other: Option<Claims<Other>>) -> &'static str {
    if other.is_some() { "other" } else { "nobody" }
}

async fn of(request: axum::extract::Request) -> Result<String, Rejection> {
    Claims::<Me>::of(request.extensions()).map(|me| me.email.clone())
}

fn routes() -> Router {
    Router::new()
        .route("/me", route(me))
        .route("/maybe", route(maybe))
        .route("/other", route(other))
        .route("/maybe-other", route(maybe_other))
        .route("/of", route(of))
}

fn typed() -> (Jwt, Signer) {
    let signer = Signer::new(Algorithm::EdDSA);
    (signer.verifier().claims::<Me>().build().unwrap(), signer)
}

fn good(signer: &Signer) -> String {
    format!("Bearer {}", signer.token(&claims_with(json!({ "email": "alice@example.com" }))))
}

async fn ask(app: &Router, path: &str, field: Option<(&str, &str)>) -> (StatusCode, String, Vec<String>) {
    let request = field.into_iter().fold(Request::get(path), |request, (name, value)| request.header(name, value));
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, String::from_utf8(body.to_vec()).unwrap(), values(&head.headers, "www-authenticate"))
}

const PLAIN: &str = r#"Bearer realm="api""#;

#[tokio::test]
async fn a_handler_is_handed_the_claims() {
    let (jwt, signer) = typed();
    let app = routes().layer(BearerLayer::new(jwt));
    let good = good(&signer);
    for path in ["/me", "/maybe", "/of"] {
        let (status, body, _) = ask(&app, path, Some(("authorization", &good))).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "alice@example.com"), "{path}");
    }
    for path in ["/me", "/maybe", "/of", "/other"] {
        let (status, body, challenges) = ask(&app, path, None).await;
        assert_eq!((status, challenges), (StatusCode::UNAUTHORIZED, vec![PLAIN.to_owned()]), "{path}");
        assert!(body.contains(r#""status":401"#));
    }
    // A token that does not fit the type is a bad one, and no fault of the server's.
    let misfit = format!("Bearer {}", signer.token(&claims()));
    for path in ["/me", "/maybe", "/of"] {
        let (status, _, challenges) = ask(&app, path, Some(("authorization", &misfit))).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(challenges, [r#"Bearer realm="api", error="invalid_token""#]);
    }
}

#[tokio::test]
async fn claims_of_another_type_and_a_missing_layer_are_the_servers_fault() {
    let (jwt, signer) = typed();
    let guarded = routes().layer(BearerLayer::new(jwt));
    let good = good(&signer);
    let log = logged();
    for path in ["/other", "/maybe-other"] {
        let (status, body, challenges) = ask(&guarded, path, Some(("authorization", &good))).await;
        assert_eq!((status, challenges.len()), (StatusCode::INTERNAL_SERVER_ERROR, 0), "{path}");
        assert!(!body.contains("Other"), "{body}");
        let lines = log.lines();
        assert!(
            lines.iter().any(|line| line.contains("claims_type") && line.contains("extractor::Other")),
            "the log names the type: {lines:?}"
        );
    }
    for path in ["/me", "/maybe", "/of", "/other", "/maybe-other"] {
        for field in [None, Some(("authorization", &*good))] {
            let (status, _, challenges) = ask(&routes(), path, field).await;
            assert_eq!((status, challenges.len()), (StatusCode::INTERNAL_SERVER_ERROR, 0), "{path}");
        }
    }
}

#[tokio::test]
async fn a_verifier_without_a_type_has_no_claims_to_hand_out() {
    let signer = Signer::new(Algorithm::EdDSA);
    let app = routes().layer(BearerLayer::new(signer.verifier().build().unwrap()));
    let (status, _, _) = ask(&app, "/me", Some(("authorization", &good(&signer)))).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_key_has_no_claims() {
    let (jwt, signer) = typed();
    let (keys, issued) = store();
    let keys = || ApiKeyLayer::over(ApiKey::new(keys.clone()).bearer());
    let good = good(&signer);
    let key = issued.key().expose();
    let as_bearer = format!("Bearer {key}");
    let orders =
        [routes().layer(keys().or(BearerLayer::new(jwt.clone()))), routes().layer(BearerLayer::new(jwt).or(keys()))];
    for app in orders {
        for path in ["/me", "/maybe", "/of"] {
            let (status, body, _) = ask(&app, path, Some(("authorization", &good))).await;
            assert_eq!((status, body.as_str()), (StatusCode::OK, "alice@example.com"), "{path}");
        }
        for field in [("x-api-key", key), ("authorization", &*as_bearer)] {
            for path in ["/me", "/of", "/other"] {
                let (status, _, challenges) = ask(&app, path, Some(field)).await;
                assert_eq!((status, challenges.len()), (StatusCode::FORBIDDEN, 0), "{path}");
            }
            let (status, body, _) = ask(&app, "/maybe", Some(field)).await;
            assert_eq!((status, body.as_str()), (StatusCode::OK, "nobody"));
        }
    }
}

#[tokio::test]
async fn behind_an_optional_layer_nobody_has_no_claims() {
    let (jwt, signer) = typed();
    let app = routes().layer(BearerLayer::new(jwt).optional());
    let good = good(&signer);

    assert_eq!(ask(&app, "/maybe", None).await.1, "nobody");
    assert_eq!(ask(&app, "/maybe-other", None).await.1, "nobody");
    assert_eq!(ask(&app, "/maybe", Some(("authorization", "Basic YTpi"))).await.1, "nobody");
    assert_eq!(ask(&app, "/maybe", Some(("authorization", &good))).await.1, "alice@example.com");
    for path in ["/me", "/of", "/other"] {
        let (status, _, challenges) = ask(&app, path, None).await;
        assert_eq!((status, challenges), (StatusCode::UNAUTHORIZED, vec![PLAIN.to_owned()]), "{path}");
    }
    let (status, _, _) = ask(&app, "/maybe", Some(("authorization", "Bearer a.b.c"))).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn claims_are_found_in_the_extensions_by_anybody() {
    let (jwt, signer) = typed();
    let found = |heads: &[http::request::Parts]| -> Result<String, (Cause, &'static str)> {
        let mut request = tonic::Request::new(());
        *request.extensions_mut() = heads[0].extensions.clone();
        let me = Claims::<Me>::of(request.extensions());
        me.map(|me| me.email.clone()).map_err(|rejection| (rejection.cause(), rejection.reason()))
    };
    let layer = BearerLayer::new(jwt).optional();

    let (_, heads) = send(layer.clone(), with(get("/"), "authorization", &good(&signer))).await;
    assert_eq!(found(&heads), Ok("alice@example.com".to_owned()));
    let wrong = Claims::<Other>::of(&heads[0].extensions).unwrap_err();
    assert_eq!((wrong.cause(), wrong.reason()), (Cause::Misconfigured, "claims_type"));
    assert_eq!(tonic::Status::from(wrong).code(), tonic::Code::Internal);

    let (_, heads) = send(layer, get("/")).await;
    assert_eq!(found(&heads), Err((Cause::Missing, "credential_missing")));
    let (_, heads) = send(AuthLayer::over(Ticket), with(get("/"), "ticket", "good")).await;
    assert_eq!(found(&heads), Err((Cause::Forbidden, "claims_absent")));
    let bare = get("/").into_parts().0;
    assert_eq!(found(&[bare]), Err((Cause::Misconfigured, "layer_missing")));
}

/// A layer of tokens around one of scopes.
fn scoped(jwt: &Jwt, scopes: &[&str]) -> Stack<RequireScopes, BearerLayer> {
    Stack::new(RequireScopes::all(scopes), BearerLayer::new(jwt.clone()))
}

#[tokio::test]
async fn a_scope_that_the_token_lacks_is_403_and_says_which() {
    let signer = Signer::new(Algorithm::EdDSA);
    let jwt = signer.verifier().build().unwrap();
    let token = |scope: &str| format!("Bearer {}", signer.token(&claims_with(json!({ "scope": scope }))));
    for (scope, needed, admitted) in [
        ("orders:read", vec!["orders:read"], true),
        ("orders:read orders:write", vec!["orders:read", "orders:write"], true),
        ("orders:read", vec!["orders:write"], false),
        ("orders:read", vec!["orders:write", "orders:read"], false),
        ("", vec!["orders:read"], false),
        ("orders:read2 orders", vec!["orders:read"], false),
    ] {
        let layer = scoped(&jwt, &needed);
        let request = || with(get("/"), "authorization", &token(scope));
        let mut sorted = needed.clone();
        sorted.sort_unstable();
        let challenge = format!(r#"Bearer realm="api", error="insufficient_scope", scope="{}""#, sorted.join(" "));

        let (response, heads) = send(layer.clone(), request()).await;
        let expected = if admitted { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!((response.status(), heads.len()), (expected, usize::from(admitted)), "{scope} {needed:?}");
        let (grpc, _) = send(layer, as_grpc(request())).await;
        assert_eq!(grpc.status(), StatusCode::OK);
        if !admitted {
            assert_eq!(values(response.headers(), "www-authenticate"), [&*challenge]);
            assert!(response.body().contains("insufficient_scope"));
            assert_eq!(values(grpc.headers(), "grpc-status"), ["7"]);
            assert_eq!(values(grpc.headers(), "www-authenticate"), [&*challenge]);
        }
    }
    for needed in [vec!["a"], vec!["a", "b"]] {
        let (response, _) = send(scoped(&jwt, &needed), get("/")).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(values(response.headers(), "www-authenticate"), [PLAIN]);
    }
}

#[tokio::test]
async fn every_bad_token_is_status_16_for_a_grpc_caller() {
    let signer = Signer::new(Algorithm::EdDSA);
    let layer = BearerLayer::new(signer.verifier().build().unwrap());
    let expired = signer.token(&claims_with(json!({ "exp": 1 })));
    let foreign = Signer::new(Algorithm::EdDSA).token(&claims());
    let cases = [
        (None, PLAIN),
        (Some(format!("Bearer {expired}")), r#"Bearer realm="api", error="invalid_token""#),
        (Some(format!("Bearer {foreign}")), r#"Bearer realm="api", error="invalid_token""#),
        (Some("Bearer junk".to_owned()), r#"Bearer realm="api", error="invalid_token""#),
        (Some("Bearer".to_owned()), r#"Bearer realm="api", error="invalid_request""#),
        (Some("Bearer two words".to_owned()), r#"Bearer realm="api", error="invalid_request""#),
        (Some("Basic YTpi".to_owned()), PLAIN),
    ];
    for (field, challenge) in cases {
        let mut request = as_grpc(get("/"));
        if let Some(field) = &field {
            request = with(request, "authorization", field);
        }
        let (response, heads) = send(layer.clone(), request).await;
        assert_eq!((response.status(), heads.len()), (StatusCode::OK, 0), "{field:?}");
        assert_eq!(values(response.headers(), "grpc-status"), ["16"], "{field:?}");
        assert_eq!(values(response.headers(), "www-authenticate"), [challenge], "{field:?}");
        assert_eq!(values(response.headers(), "content-type"), ["application/grpc"]);
        assert!(response.body().is_empty());
    }
}

#[tokio::test]
async fn the_log_is_told_the_reason_and_the_id_of_the_token_and_never_the_token() {
    let signer = Signer::new(Algorithm::EdDSA);
    let denied = MemoryDenyList::new();
    denied.deny(Denial::token("denied-1"));
    let layer =
        BearerLayer::new(signer.verifier().deny_list(denied).build().unwrap()).refusals_logged_per_second(1_000);
    let token = |changes| signer.token(&claims_with(changes));
    let good = signer.token(&claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let changed = format!("{signed}.{}{}", if signature.starts_with('A') { "B" } else { "A" }, &signature[1..]);
    let header = json!({ "alg": "none", "typ": "at+jwt" }).to_string();
    // What comes from a token whose signature is not good is not told, not even its id.
    let cases: Vec<(String, &str, Option<&str>)> = vec![
        (good.clone(), "ok", Some("t1")),
        (good.clone(), "ok", Some("t1")),
        (token(json!({ "jti": null })), "ok", None),
        (token(json!({ "jti": "e-1", "exp": 1 })), "token_expired", Some("e-1")),
        (token(json!({ "jti": "n-1", "nbf": 1e12 })), "token_not_yet_valid", Some("n-1")),
        (token(json!({ "jti": "denied-1" })), "token_denied", Some("denied-1")),
        (token(json!({ "jti": null, "exp": 1 })), "token_expired", None),
        (token(json!({ "aud": "x" })), "token_audience", None),
        (token(json!({ "iss": "https://evil.example" })), "token_issuer", None),
        (changed, "token_signature", None),
        (Signer::new(Algorithm::EdDSA).token(&claims()), "token_signature", None),
        (signer.jws(header, claims().to_string()), "token_alg", None),
        (signer.jws("{}", "secret-junk"), "token_alg", None),
        ("opaque-secret-text".to_owned(), "token_segments", None),
        ("a.b.c.d.secret-text".to_owned(), "token_segments", None),
    ];
    for (token, reason, id) in cases {
        let log = logged();
        let (response, _) = send(layer.clone(), with(get("/"), "authorization", &format!("Bearer {token}"))).await;
        let lines = log.lines();
        let line = lines.first().unwrap_or_else(|| panic!("nothing was logged of {reason}"));
        match reason {
            "ok" => {
                let start = "DEBUG tower_keep message=admitted scheme=\"bearer\" subject=\"alice\"";
                assert!(line.starts_with(start), "{line}");
            }
            _ => {
                let start = format!("INFO tower_keep message=refused cause=\"invalid\" reason=\"{reason}\" status=401");
                assert!(line.starts_with(&start), "{line}");
            }
        }
        match id {
            Some(id) => assert!(line.contains(&format!("credential_id=\"{id}\"")), "{line}"),
            None => assert!(!line.contains("credential_id"), "{line}"),
        }
        let told = format!("{} {:?} {}", lines.join("\n"), response.headers(), response.body());
        for secret in token.split('.').filter(|segment| segment.len() > 4) {
            assert!(!told.contains(secret), "{told}");
        }
        // The caller learns that it was refused, and not why.
        let answer = format!("{:?} {}", response.headers(), response.body());
        assert!(reason == "ok" || !answer.contains(reason), "{answer}");
    }
}

#[tokio::test]
async fn a_handler_is_handed_the_principal_beside_the_claims() {
    let (jwt, signer) = typed();
    async fn both(who: Principal, Claims(me): Claims<Me>) -> String {
        format!("{} {} {}", who.subject(), who.issuer().unwrap(), me.email)
    }
    let app = Router::new().route("/", route(both)).layer(BearerLayer::new(jwt));
    let (_, body, _) = ask(&app, "/", Some(("authorization", &good(&signer)))).await;
    assert_eq!(body, "alice https://login.example.com alice@example.com");
}
