//! Logins that are strong and recent enough (RFC 9470).

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};
use tower_keep::{Algorithm, ApiKeyLayer, BearerLayer, ConfigError, Principal, ProtectedResource, RequireLogin};

use crate::support::{Inner, START, TestClock, as_grpc, at, get, status, store, values, with, with_key};
use crate::tokens::mint::{AUDIENCE, Signer, claims_with};
use crate::tokens::tools::{Desk, OK, TYPE, verdict, with_member, with_raw};

const MINUTE: Duration = Duration::from_secs(60);

/// What comes of a token with some claims, and the challenge.
async fn outcome(login: RequireLogin, changes: Value) -> (u16, Vec<String>) {
    let signer = Signer::new(Algorithm::EdDSA);
    let guard = BearerLayer::new(signer.verifier().build().unwrap());
    let token = format!("Bearer {}", signer.token(&claims_with(changes)));
    let service = guard.layer(login.clock(TestClock::new()).layer(Inner::new()));
    let response = service.oneshot(with(get("/"), "authorization", &token)).await.unwrap();
    (response.status().as_u16(), values(response.headers(), "www-authenticate"))
}

#[tokio::test]
async fn a_login_is_as_strong_as_one_of_the_classes_and_as_recent_as_the_age() {
    let strong = || RequireLogin::new().acr(["urn:mfa", "urn:phr"]);
    let recent = || RequireLogin::new().max_age(MINUTE);
    let both = || strong().max_age(MINUTE);
    let cases = [
        (json!({}), [401, 401, 401]),
        (json!({ "acr": "urn:mfa" }), [200, 401, 401]),
        (json!({ "acr": "urn:phr" }), [200, 401, 401]),
        (json!({ "acr": "urn:pwd" }), [401, 401, 401]),
        (json!({ "acr": "urn:mf" }), [401, 401, 401]),
        (json!({ "acr": "urn:mfa urn:phr" }), [401, 401, 401]),
        (json!({ "acr": "URN:MFA" }), [401, 401, 401]),
        (json!({ "acr": "" }), [401, 401, 401]),
        (json!({ "auth_time": START }), [401, 200, 401]),
        (json!({ "auth_time": START - 60 }), [401, 200, 401]),
        (json!({ "auth_time": START as f64 - 60.5 }), [401, 200, 401]),
        (json!({ "auth_time": START - 61 }), [401, 401, 401]),
        (json!({ "auth_time": 0 }), [401, 401, 401]),
        (json!({ "auth_time": -1 }), [401, 401, 401]),
        // A clock may be ahead by little; milliseconds are no time to come.
        (json!({ "auth_time": START + 30 }), [401, 200, 401]),
        (json!({ "auth_time": START + 31 }), [401, 401, 401]),
        (json!({ "auth_time": START * 1000 }), [401, 401, 401]),
        (json!({ "acr": "urn:mfa", "auth_time": START - 10 }), [200, 200, 200]),
        (json!({ "acr": "urn:pwd", "auth_time": START - 10 }), [401, 200, 401]),
        (json!({ "acr": "urn:mfa", "auth_time": START - 90 }), [200, 401, 401]),
        // By when the token was made nobody is told when the login was.
        (json!({ "acr": "urn:mfa", "iat": START }), [200, 401, 401]),
    ];
    for (changes, expected) in cases {
        for (login, expected) in [strong(), recent(), both()].into_iter().zip(expected) {
            let (status, _) = outcome(login.clone(), changes.clone()).await;
            assert_eq!(status, expected, "{changes} {login:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_says_what_would_do() {
    let error = r#"Bearer realm="api", error="insufficient_user_authentication""#;
    let cases = [
        (RequireLogin::new().acr(["urn:mfa", "urn:phr"]), format!(r#"{error}, acr_values="urn:mfa urn:phr""#)),
        (RequireLogin::new().max_age(Duration::from_millis(5900)), format!(r#"{error}, max_age="5""#)),
        (RequireLogin::new().acr(["a"]).max_age(MINUTE), format!(r#"{error}, acr_values="a", max_age="60""#)),
    ];
    for (login, challenge) in cases {
        assert_eq!(outcome(login, json!({ "auth_time": 1 })).await, (401, vec![challenge]));
    }
}

#[tokio::test]
async fn the_challenge_names_the_metadata_and_grpc_is_told_16() {
    let signer = Signer::new(Algorithm::EdDSA);
    let resource = ProtectedResource::new(AUDIENCE).unwrap();
    let (guard, metadata) = BearerLayer::new(signer.verifier().build().unwrap()).protect(&resource).unwrap();
    let token = format!("Bearer {}", signer.token(&claims_with(json!({}))));
    let service = guard.layer(RequireLogin::new().acr(["urn:mfa"]).layer(Inner::new()));

    let http = service.clone().oneshot(with(get("/"), "authorization", &token)).await.unwrap();
    let grpc = service.clone().oneshot(with(as_grpc(get("/a.B/C")), "authorization", &token)).await.unwrap();

    let challenge = format!(
        r#"Bearer realm="api", resource_metadata="{}", error="insufficient_user_authentication", acr_values="urn:mfa""#,
        metadata.url()
    );
    assert_eq!(http.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(values(http.headers(), "www-authenticate"), [challenge.as_str()]);
    assert!(http.body().contains(r#""error":"insufficient_user_authentication""#));
    assert_eq!((grpc.status(), values(grpc.headers(), "grpc-status")), (StatusCode::OK, vec!["16".to_owned()]));
    assert_eq!(values(grpc.headers(), "www-authenticate"), [challenge]);
}

#[tokio::test]
async fn an_api_key_is_no_login_and_nobody_is_asked_for_a_credential() {
    let (keys, issued) = store();
    let service = ApiKeyLayer::new(keys).optional().layer(RequireLogin::new().max_age(MINUTE).layer(Inner::new()));

    let key = service.clone().oneshot(with_key(&issued)).await.unwrap();
    let nobody = service.oneshot(get("/")).await.unwrap();

    assert_eq!([key.status(), nobody.status()], [StatusCode::UNAUTHORIZED; 2]);
    let expected = r#"ApiKey realm="api", error="insufficient_user_authentication", max_age="60""#;
    assert_eq!(values(key.headers(), "www-authenticate"), [expected]);
    assert_eq!(values(nobody.headers(), "www-authenticate"), [r#"ApiKey realm="api""#]);
}

#[tokio::test]
async fn a_condition_that_makes_no_sense_lets_nobody_through_and_check_says_why() {
    let acr = |given: &str| ConfigError::Acr { given: given.to_owned() };
    let cases = [
        (RequireLogin::new(), ConfigError::LoginConditionsMissing),
        (RequireLogin::new().acr([""; 0]), ConfigError::LoginConditionsMissing),
        (RequireLogin::new().acr([""; 0]).max_age(MINUTE), ConfigError::LoginConditionsMissing),
        (RequireLogin::new().acr(["a", "two words"]), acr("two words")),
        (RequireLogin::new().acr([""]).max_age(MINUTE), acr("")),
        (RequireLogin::new().max_age(MINUTE).acr(["quo\"te"]), acr("quo\"te")),
        (RequireLogin::new().acr(["li\r\nne"]), acr("li\r\nne")),
    ];
    for (login, expected) in cases {
        assert_eq!(login.check().unwrap_err(), expected);
        let everything = json!({ "acr": "a", "auth_time": START });
        assert_eq!(outcome(login, everything).await.0, 500, "{expected}");
    }
    assert_eq!(RequireLogin::new().acr(["urn:mfa"]).max_age(MINUTE).check(), Ok(()));
    assert_eq!(status(RequireLogin::new().max_age(MINUTE), get("/")).await, StatusCode::INTERNAL_SERVER_ERROR);
}

#[test]
fn a_login_of_another_json_type_makes_a_token_invalid() {
    let desk = Desk::new();
    let jwt = desk.jwt(|it| it);
    let judge = |name: &str, value: &str| desk.judge(&jwt, &with_raw(name, Some(value)));
    for value in ["null", "true", "{}", "[]", r#"["urn:mfa"]"#] {
        assert_eq!(judge("acr", value), TYPE, "{value}");
        assert_eq!(judge("auth_time", value), TYPE, "{value}");
    }
    assert_eq!(judge("acr", "1"), TYPE);
    assert_eq!(judge("auth_time", r#""1767225600""#), TYPE);
    assert_eq!(judge("acr", r#""1""#), OK);
    assert_eq!(judge("auth_time", "1767225600.25"), OK);
    let twice = with_member(r#""acr":"a","acr":"a""#);
    assert_eq!(desk.judge(&jwt, &twice), "token_claim_repeated");
}

#[test]
fn a_principal_says_how_and_when_it_logged_in() {
    let desk = Desk::new();
    let principal = |changes: Value| verdict(&desk.jwt(|it| it), &desk.0.token(&claims_with(changes))).unwrap();

    let full = principal(json!({ "acr": "urn:mfa", "auth_time": START - 5, "sid": "s1" }));
    assert_eq!((full.acr(), full.auth_time()), (Some("urn:mfa"), Some(at(START - 5))));
    assert_eq!((full.subject(), full.credential_id()), ("alice", Some("t1")));
    let bare = principal(json!({ "jti": null, "acr": "x" }));
    assert_eq!((bare.acr(), bare.auth_time(), bare.credential_id()), (Some("x"), None, None));
    assert_eq!(principal(json!({})).acr(), None);

    let built = Principal::builder("alice").acr("urn:mfa").auth_time(at(1)).build();
    assert_eq!((built.acr(), built.auth_time()), (Some("urn:mfa"), Some(at(1))));
}
