//! Answers that the server signed (RFC 9701).

use http::StatusCode;
use serde_json::{Value, json};
use tower_keep::{Algorithm, Cause, ConfigError, IntrospectionBuilder, KeySet, RemoteKeys};

use super::{Reply, Server, TOKEN, good, good_with, outcome, verdict};
use crate::support::{START, TestClock};
use crate::tokens::mint::{AUDIENCE, ISSUER, Signer};

const UNAVAILABLE: &str = "introspection_unavailable";

/// The claims of a good answer.
fn envelope(answer: &Value) -> Value {
    json!({ "iss": ISSUER, "aud": "orders", "iat": START, "token_introspection": answer })
}

fn header() -> Value {
    json!({ "alg": "EdDSA", "typ": "token-introspection+jwt", "kid": "k1" })
}

fn signed(signer: &Signer, header: &Value, claims: &Value) -> Reply {
    Reply::Answer(StatusCode::OK, signer.jws(header.to_string(), claims.to_string()))
}

fn asker(server: &Server, signer: &Signer) -> IntrospectionBuilder {
    server.asker().issuer(ISSUER).signed_by(KeySet::try_from(&signer.jwk()).unwrap())
}

#[tokio::test]
async fn an_answer_that_is_signed_is_asked_for_and_read() {
    let signer = Signer::new(Algorithm::EdDSA);
    let server = Server::new(signed(&signer, &header(), &envelope(&good())));
    let tokens = asker(&server, &signer).build().unwrap();

    assert_eq!(verdict(&tokens, TOKEN).await.unwrap().subject(), "alice");

    let (head, _) = server.last_question();
    assert_eq!(head.headers["accept"], "application/token-introspection+jwt");
    let inactive = signed(&signer, &header(), &envelope(&json!({ "active": false })));
    server.reply_with(inactive);
    assert_eq!(outcome(&tokens, "another").await, "token_inactive");
}

#[tokio::test]
async fn an_answer_that_is_not_signed_as_it_should_be_is_none() {
    let (signer, other) = (Signer::new(Algorithm::EdDSA), Signer::new(Algorithm::EdDSA));
    let with = |changes: Value| {
        let mut claims = envelope(&good());
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        signed(&signer, &header(), &claims)
    };
    let typed = |typ: Value| {
        let header = json!({ "alg": "EdDSA", "typ": typ, "kid": "k1" });
        signed(&signer, &header, &envelope(&good()))
    };
    let inactive = json!({ "active": false });
    let cases = [
        (with(json!({})), "ok"),
        (with(json!({ "aud": ["x", "orders"] })), "ok"),
        (with(json!({ "aud": AUDIENCE })), "ok"),
        (with(json!({ "iat": START - 90 })), "ok"),
        (with(json!({ "iat": START + 30 })), "ok"),
        (typed(json!("application/token-introspection+jwt")), "ok"),
        // What is beside the answer says nothing of the token.
        (with(json!({ "active": true, "token_introspection": inactive })), "token_inactive"),
        (with(json!({ "token_introspection": good_with(json!({ "aud": "x" })) })), "token_audience"),
        (with(json!({ "token_introspection": good_with(json!({ "iss": "https://x.example.com" })) })), "token_issuer"),
        (with(json!({ "iss": "https://x.example.com" })), UNAVAILABLE),
        (with(json!({ "iss": null })), UNAVAILABLE),
        (with(json!({ "aud": "x" })), UNAVAILABLE),
        (with(json!({ "aud": [] })), UNAVAILABLE),
        (with(json!({ "aud": null })), UNAVAILABLE),
        (with(json!({ "iat": START - 91 })), UNAVAILABLE),
        (with(json!({ "iat": START + 31 })), UNAVAILABLE),
        (with(json!({ "iat": null })), UNAVAILABLE),
        (with(json!({ "iat": "now" })), UNAVAILABLE),
        (with(json!({ "token_introspection": null })), UNAVAILABLE),
        (with(json!({ "token_introspection": "x" })), UNAVAILABLE),
        (with(json!({ "token_introspection": [true] })), UNAVAILABLE),
        (typed(json!("at+jwt")), UNAVAILABLE),
        (typed(json!("JWT")), UNAVAILABLE),
        (typed(json!(null)), UNAVAILABLE),
        (signed(&other, &header(), &envelope(&good())), UNAVAILABLE),
        (signed(&signer, &json!({ "alg": "none", "typ": "token-introspection+jwt" }), &envelope(&good())), UNAVAILABLE),
        (Reply::Answer(StatusCode::OK, signer.token(&envelope(&good()))), UNAVAILABLE),
        (Reply::ok(&good()), UNAVAILABLE),
        (Reply::Answer(StatusCode::OK, "a.b.c.d.e".to_owned()), UNAVAILABLE),
    ];
    for (index, (reply, expected)) in cases.into_iter().enumerate() {
        let tokens = asker(&Server::new(reply), &signer).build().unwrap();

        let verdict = verdict(&tokens, TOKEN).await;

        let reason = verdict.as_ref().map_or_else(|rejection| rejection.reason(), |_| "ok");
        assert_eq!(reason, expected, "case {index}");
        assert!(verdict.is_ok() || expected != UNAVAILABLE || verdict.unwrap_err().cause() == Cause::Unavailable);
    }
}

#[test]
fn keys_need_an_issuer() {
    let signer = Signer::new(Algorithm::EdDSA);
    let asker = Server::content().asker().signed_by(KeySet::try_from(&signer.jwk()).unwrap());

    assert_eq!(asker.build().unwrap_err().as_slice(), [ConfigError::IssuerMissing]);
}

#[tokio::test(start_paused = true)]
async fn the_keys_may_be_fetched() {
    let (signer, next) = (Signer::new(Algorithm::EdDSA), Signer::new(Algorithm::EdDSA));
    let clock = TestClock::new();
    let jwks = Server::new(Reply::ok(&json!({ "keys": [signer.jwk()] })));
    let server = Server::new(signed(&signer, &header(), &envelope(&good())));
    let keys = RemoteKeys::new("https://login.example.com/jwks").client(jwks.client());
    let tokens = server.asker().clock(clock).issuer(ISSUER).signed_by_remote(keys).build().unwrap();
    assert_eq!(outcome(&tokens, TOKEN).await, "ok");

    // Another key takes its place.
    let mut jwk = next.jwk();
    jwk["kid"] = json!("k2");
    jwks.reply_with(Reply::ok(&json!({ "keys": [jwk] })));
    let header = json!({ "alg": "EdDSA", "typ": "token-introspection+jwt", "kid": "k2" });
    server.reply_with(signed(&next, &header, &envelope(&good())));

    assert_eq!(outcome(&tokens, "another").await, "ok");
    assert_eq!(jwks.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_keys_nobody_is_let_in() {
    let signer = Signer::new(Algorithm::EdDSA);
    let jwks = Server::new(Reply::Broken);
    let server = Server::new(signed(&signer, &header(), &envelope(&good())));
    let keys = RemoteKeys::new("https://login.example.com/jwks").client(jwks.client());
    let tokens = server.asker().issuer(ISSUER).signed_by_remote(keys).build().unwrap();

    assert_eq!(outcome(&tokens, TOKEN).await, UNAVAILABLE);
}
