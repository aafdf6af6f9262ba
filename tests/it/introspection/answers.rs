//! What becomes of each answer.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tower_keep::{Bearer, BearerLayer, Cause, Claims, Denial, MemoryDenyList, Scheme, TokenForm, TokenVerifier};

use super::{Reply, Server, TOKEN, good, good_with, outcome, verdict};
use crate::support::{START, at, get, send, status, with};
use crate::tokens::mint::{AUDIENCE, ISSUER};

const OK: &str = "ok";
const UNAVAILABLE: &str = "introspection_unavailable";

#[tokio::test]
async fn who_a_token_speaks_of_is_what_the_server_says() {
    let tokens = Server::content().asker().build().unwrap();

    let principal = verdict(&tokens, TOKEN).await.unwrap();

    assert_eq!(principal.subject(), "alice");
    assert_eq!(principal.scheme(), "bearer");
    assert_eq!(principal.issuer(), Some(ISSUER));
    assert!(principal.scopes().contains("orders:read"));
    assert_eq!(principal.expires_at(), Some(at(START + 3600)));
    assert_eq!(principal.credential_id(), Some("t1"));
    assert_eq!(tokens.form(), TokenForm::Any);
}

#[tokio::test]
async fn what_need_not_be_there_need_not_be_there() {
    for name in ["iss", "jti", "iat", "exp", "scope", "client_id", "token_type"] {
        let tokens = Server::new(Reply::ok(&good_with(json!({ name: null })))).asker().build().unwrap();

        assert_eq!(outcome(&tokens, TOKEN).await, OK, "{name}");
    }
    let no_end = Server::new(Reply::ok(&good_with(json!({ "exp": null })))).asker().build().unwrap();
    assert_eq!(verdict(&no_end, TOKEN).await.unwrap().expires_at(), None);
}

#[tokio::test]
async fn each_answer_has_one_outcome() {
    let cases: Vec<(String, &str)> = [
        (json!({ "active": false }), "token_inactive"),
        (good_with(json!({ "active": false })), "token_inactive"),
        (good_with(json!({ "active": null })), "introspection_active"),
        (good_with(json!({ "active": "true" })), "introspection_active"),
        (good_with(json!({ "active": 1 })), "introspection_active"),
        (good_with(json!({ "active": [true] })), "introspection_active"),
        (json!({}), "introspection_active"),
        (json!({ "error": "server_error" }), "introspection_active"),
        (good_with(json!({ "aud": "https://other.example.com" })), "token_audience"),
        (good_with(json!({ "aud": [] })), "token_audience"),
        (good_with(json!({ "aud": null })), "token_audience"),
        (good_with(json!({ "aud": ["https://other.example.com", AUDIENCE] })), OK),
        (good_with(json!({ "sub": null })), "token_claim_missing"),
        (good_with(json!({ "sub": "" })), "token_claim_missing"),
        (good_with(json!({ "exp": START - 30 })), "token_expired"),
        (good_with(json!({ "exp": START - 29 })), OK),
        (good_with(json!({ "exp": -1 })), "token_expired"),
        (good_with(json!({ "exp": 1e308 })), OK),
        (good_with(json!({ "nbf": START + 30 })), OK),
        (good_with(json!({ "nbf": START + 31 })), "token_not_yet_valid"),
        (good_with(json!({ "iat": START + 31 })), "token_from_future"),
        (good_with(json!({ "cnf": { "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } })), "token_bound"),
        (good_with(json!({ "cnf": { "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2" } })), "token_bound"),
        (good_with(json!({ "cnf": {} })), "token_bound"),
        (good_with(json!({ "token_type": "DPoP" })), "token_bound"),
        (good_with(json!({ "token_type": "dpop" })), "token_bound"),
        (good_with(json!({ "token_type": ["DPoP"] })), UNAVAILABLE),
        (good_with(json!({ "token_type": 7 })), UNAVAILABLE),
        (good_with(json!({ "token_use": "access_token" })), OK),
        (good_with(json!({ "token_use": "refresh_token" })), "token_use"),
        (good_with(json!({ "token_use": 7 })), "token_use"),
        (good_with(json!({ "at_hash": "x" })), "token_is_id_token"),
        (good_with(json!({ "scope": ["orders:read"] })), OK),
        (good_with(json!({ "scope": "a\"b" })), UNAVAILABLE),
        (good_with(json!({ "scope": 7 })), UNAVAILABLE),
        (good_with(json!({ "exp": "soon" })), UNAVAILABLE),
        (good_with(json!({ "exp": [START + 3600] })), UNAVAILABLE),
        (good_with(json!({ "nbf": true })), UNAVAILABLE),
        (good_with(json!({ "iat": {} })), UNAVAILABLE),
        (good_with(json!({ "aud": 7 })), UNAVAILABLE),
        (good_with(json!({ "aud": [7] })), UNAVAILABLE),
        (good_with(json!({ "iss": 7 })), UNAVAILABLE),
        (good_with(json!({ "sub": 7 })), UNAVAILABLE),
        (json!([true]), UNAVAILABLE),
        (json!(true), UNAVAILABLE),
        (json!("active"), UNAVAILABLE),
        (json!(null), UNAVAILABLE),
    ]
    .into_iter()
    .map(|(answer, expected)| (answer.to_string(), expected))
    .chain([
        (String::new(), UNAVAILABLE),
        ("<html>".to_owned(), UNAVAILABLE),
        ("{\"active\":true".to_owned(), UNAVAILABLE),
        (format!("{}{{}}", good()), UNAVAILABLE),
        // Which of the two is meant nobody knows.
        (format!("{{\"active\":false,{}", &good().to_string()[1..]), UNAVAILABLE),
        (format!("{{\"sub\":\"mallory\",{}", &good().to_string()[1..]), UNAVAILABLE),
        (format!("{{\"exp\":null,{}", &good_with(json!({ "exp": null })).to_string()[1..]), UNAVAILABLE),
        (format!("{{\"x\":{}1{}}}", "[".repeat(20_000), "]".repeat(20_000)), "introspection_active"),
        (format!("{{\"x\":\"{}\"}}", "x".repeat(256 * 1024)), UNAVAILABLE),
    ])
    .collect();
    for (answer, expected) in cases {
        let server = Server::new(Reply::Answer(StatusCode::OK, answer.clone()));
        let tokens = server.asker().build().unwrap();

        let verdict = verdict(&tokens, TOKEN).await;

        let reason = verdict.as_ref().map_or_else(|rejection| rejection.reason(), |_| OK);
        assert_eq!(reason, expected, "{:.200}", answer);
        if let Err(rejection) = verdict {
            let cause = if expected == UNAVAILABLE { Cause::Unavailable } else { Cause::Invalid };
            assert_eq!(rejection.cause(), cause, "{:.200}", answer);
        }
    }
}

#[tokio::test]
async fn each_status_has_one_outcome() {
    let error = |code: &str| json!({ "error": code }).to_string();
    let cases = [
        (401, String::new(), Cause::Misconfigured),
        (403, String::new(), Cause::Misconfigured),
        (401, good().to_string(), Cause::Misconfigured),
        (400, error("invalid_client"), Cause::Misconfigured),
        (400, error("unauthorized_client"), Cause::Misconfigured),
        (400, error("unsupported_token_type"), Cause::Invalid),
        (400, error("invalid_request"), Cause::Unavailable),
        (400, good().to_string(), Cause::Unavailable),
        (404, String::new(), Cause::Unavailable),
        (429, String::new(), Cause::Unavailable),
        (500, String::new(), Cause::Unavailable),
        (503, good().to_string(), Cause::Unavailable),
        (302, good().to_string(), Cause::Unavailable),
        (201, good().to_string(), Cause::Unavailable),
        (204, String::new(), Cause::Unavailable),
    ];
    for (status, body, expected) in cases {
        let server = Server::new(Reply::Answer(StatusCode::from_u16(status).unwrap(), body));
        let tokens = server.asker().build().unwrap();

        let rejection = verdict(&tokens, TOKEN).await.unwrap_err();

        assert_eq!(rejection.cause(), expected, "{status}");
        assert_eq!(rejection.retry_after().is_some(), expected == Cause::Unavailable, "{status}");
    }
}

#[tokio::test]
async fn a_caller_learns_that_and_not_why() {
    let request = || with(get("/"), "authorization", &format!("Bearer {TOKEN}"));
    let cases = [
        (Reply::ok(&good()), 200),
        (Reply::ok(&json!({ "active": false })), 401),
        (Reply::status(401), 500),
        (Reply::status(500), 503),
        (Reply::Broken, 503),
    ];
    for (reply, expected) in cases {
        let layer = BearerLayer::new(Server::new(reply).asker().build().unwrap());

        let (response, seen) = send(layer, request()).await;

        assert_eq!(response.status(), expected);
        assert_eq!(seen.len(), usize::from(expected == 200));
        assert_eq!(response.headers().contains_key("retry-after"), expected == 503);
        assert!(!response.body().contains("login.example.com"), "{}", response.body());
    }
}

#[tokio::test]
async fn the_issuer_is_asked_for_where_one_is_named() {
    let other = json!({ "iss": "https://other.example.com" });
    let cases = [
        // What is named, what the answer has, whether none will do.
        (None, json!({}), false, OK),
        (None, other.clone(), false, OK),
        (None, json!({ "iss": null }), false, OK),
        (Some(ISSUER), json!({}), false, OK),
        (Some(ISSUER), other.clone(), false, "token_issuer"),
        (Some(ISSUER), json!({ "iss": format!("{ISSUER}/") }), false, "token_issuer"),
        (Some(ISSUER), json!({ "iss": null }), false, "token_issuer"),
        (Some(ISSUER), json!({ "iss": null }), true, OK),
        (Some(ISSUER), other, true, "token_issuer"),
    ];
    for (issuer, changes, none_will_do, expected) in cases {
        let mut asker = Server::new(Reply::ok(&good_with(changes.clone()))).asker();
        if let Some(issuer) = issuer {
            asker = asker.issuer(issuer);
        }
        if none_will_do {
            asker = asker.accept_no_issuer();
        }
        let tokens = asker.build().unwrap();

        assert_eq!(outcome(&tokens, TOKEN).await, expected, "{issuer:?} {changes}");
    }
    let silent = Server::new(Reply::ok(&good_with(json!({ "iss": null }))));
    let tokens = silent.asker().issuer(ISSUER).accept_no_issuer().build().unwrap();
    assert_eq!(verdict(&tokens, TOKEN).await.unwrap().issuer(), Some(ISSUER));
}

#[tokio::test]
async fn settings_change_what_is_asked_of_an_answer() {
    let of = |answer: Value| Server::new(Reply::ok(&answer)).asker();
    let no_sub = || good_with(json!({ "sub": null }));
    let cases = [
        (of(good_with(json!({ "aud": null }))).dangerous_any_audience(), OK),
        (of(good_with(json!({ "aud": "other" }))).audience("other"), OK),
        (of(no_sub()).subject_claim("client_id"), OK),
        (of(no_sub()).subject_claim("username"), "token_claim_missing"),
        (of(good_with(json!({ "permissions": ["a"] }))).scope_claim("permissions"), OK),
        (of(good()).scope_claim("permissions"), "token_claim_missing"),
        (of(good()).required_claims(["client_id"]), OK),
        (of(good()).required_claims(["acr"]), "token_claim_missing"),
        (of(good_with(json!({ "exp": START - 1 }))).leeway(std::time::Duration::ZERO), "token_expired"),
        (of(good()).token_limit(TOKEN.len()), OK),
        (of(good()).token_limit(TOKEN.len() - 1), "token_too_long"),
        (of(good()).predicate(|()| false), "token_predicate"),
    ];
    for (index, (asker, expected)) in cases.into_iter().enumerate() {
        assert_eq!(outcome(&asker.build().unwrap(), TOKEN).await, expected, "case {index}");
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Me {
    sub: String,
    client_id: String,
    level: Option<u8>,
}

#[tokio::test]
async fn the_answer_is_read_as_a_type_too() {
    let asker = |changes| Server::new(Reply::ok(&good_with(changes))).asker().claims::<Me>();
    let adults = asker(json!({ "level": 2 })).predicate(|me| me.level.is_some_and(|level| level > 1)).build().unwrap();
    let layer = BearerLayer::new(adults);

    let (response, seen) = send(layer, with(get("/"), "authorization", &format!("Bearer {TOKEN}"))).await;

    assert_eq!(response.status(), 200);
    let me = Claims::<Me>::of(&seen[0].extensions).unwrap();
    assert_eq!(me, &Me { sub: "alice".to_owned(), client_id: "web".to_owned(), level: Some(2) });
    let minors = asker(json!({})).predicate(|me| me.level.is_some()).build().unwrap();
    assert_eq!(outcome(&minors, TOKEN).await, "token_predicate");
    // What the service expects beyond the standard is no fault of the server.
    let misfit = asker(json!({ "level": "high" })).build().unwrap();
    assert_eq!(outcome(&misfit, TOKEN).await, "token_claims_misfit");
}

#[tokio::test]
async fn a_deny_list_has_the_last_word() {
    let denied = MemoryDenyList::new();
    let layer = BearerLayer::new(Server::content().asker().deny_list(denied.clone()).build().unwrap());
    let request = || with(get("/"), "authorization", &format!("Bearer {TOKEN}"));
    assert_eq!(status(layer.clone(), request()).await, StatusCode::OK);

    denied.deny(Denial::token("t1"));

    assert_eq!(status(layer, request()).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_of_other_characters_is_not_asked_about() {
    let server = Server::content();
    let scheme = Bearer::new(server.asker().build().unwrap());
    for token in ["a b", "a\"b", "=", "{}", ""] {
        let (mut head, _) = with(get("/"), "authorization", &format!("Bearer {token}")).into_parts();

        assert!(scheme.take(&mut head).is_err(), "{token:?}");
    }
    assert_eq!(server.asked(), 0);
}
