//! What the server is asked, byte by byte.

use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use serde_json::{Value, json};
use tower_keep::{Algorithm, ClientAuth, ConfigError, KeySet, SigningKey, VerificationKey};

use super::{ENDPOINT, Server, TOKEN, verdict};
use crate::support::START;
use crate::tokens::mint::{ISSUER, Signer, decode};

#[tokio::test]
async fn a_question_is_a_form_in_a_post() {
    let server = Server::content();
    let tokens = server.asker().client_auth(ClientAuth::basic("or ders:1", "a+b%c d".to_owned())).build().unwrap();

    verdict(&tokens, "aZ09-._~+/==").await.unwrap();

    let (head, body) = server.last_question();
    assert_eq!(head.method, Method::POST);
    assert_eq!(head.uri, ENDPOINT);
    assert_eq!(body, "token=aZ09-._%7E%2B%2F%3D%3D&token_type_hint=access_token");
    assert_eq!(head.headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(head.headers["accept"], "application/json");
    assert!(head.headers["user-agent"].to_str().unwrap().starts_with("tower-keep/"));
    // Each part as a form spells it (RFC 6749, section 2.3.1).
    let basic = BASE64_STANDARD.encode("or+ders%3A1:a%2Bb%25c+d");
    assert_eq!(head.headers["authorization"], format!("Basic {basic}"));
    assert!(head.headers["authorization"].is_sensitive());
    assert_eq!(head.headers.len(), 4);
}

#[tokio::test]
async fn a_secret_may_stand_in_the_form() {
    let server = Server::content();
    let tokens = server.asker().client_auth(ClientAuth::post("orders", "a&b=c".to_owned())).build().unwrap();

    verdict(&tokens, TOKEN).await.unwrap();

    let (head, body) = server.last_question();
    let expected = format!("token={TOKEN}&token_type_hint=access_token&client_id=orders&client_secret=a%26b%3Dc");
    assert_eq!(body, expected);
    assert!(!head.headers.contains_key("authorization"));
}

#[tokio::test]
async fn a_client_with_a_certificate_says_its_id_and_no_more() {
    let server = Server::content();
    let tokens = server.asker().client_auth(ClientAuth::none("orders")).build().unwrap();

    verdict(&tokens, TOKEN).await.unwrap();

    let (head, body) = server.last_question();
    assert_eq!(body, format!("token={TOKEN}&token_type_hint=access_token&client_id=orders"));
    assert!(!head.headers.contains_key("authorization"));
}

/// A key pair: the private half in PEM, and what verifies its signatures.
fn pair(algorithm: Algorithm) -> (String, KeySet) {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, KeyPair};

    let (der, public) = match algorithm {
        Algorithm::EdDSA => {
            let key = Ed25519KeyPair::generate().unwrap();
            (key.to_pkcs8v1().unwrap().as_ref().to_vec(), key.public_key().as_ref().to_vec())
        }
        Algorithm::ES256 => {
            let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            (key.to_pkcs8v1().unwrap().as_ref().to_vec(), key.public_key().as_ref().to_vec())
        }
        _ => {
            let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
            let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).unwrap().as_ref().to_vec();
            (der, key.public_key().as_ref().to_vec())
        }
    };
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64_STANDARD.encode(der));
    (pem, VerificationKey::der(algorithm, public).unwrap().into())
}

fn value_of<'a>(body: &'a str, name: &str) -> &'a str {
    body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap()
}

fn segment(jwt: &str, place: usize) -> Value {
    serde_json::from_slice(&decode(jwt.split('.').nth(place).unwrap())).unwrap()
}

#[tokio::test]
async fn a_private_key_signs_an_assertion_for_each_question() {
    for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256, Algorithm::PS256] {
        let (pem, public) = pair(algorithm);
        let key = SigningKey::pem(algorithm, pem).unwrap().with_kid("2026");
        let server = Server::content();
        let asker = server.asker().remember_none().client_auth(ClientAuth::private_key_jwt("orders", key));
        let tokens = asker.issuer(ISSUER).build().unwrap();

        verdict(&tokens, TOKEN).await.unwrap();
        let (head, body) = server.last_question();
        verdict(&tokens, TOKEN).await.unwrap();
        let (_, next) = server.last_question();

        assert!(!head.headers.contains_key("authorization"));
        assert_eq!(value_of(&body, "client_id"), "orders");
        let kind = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
        assert_eq!(value_of(&body, "client_assertion_type"), kind);
        let assertion = value_of(&body, "client_assertion");
        let claims: Value = serde_json::from_slice(&public.verify(assertion).unwrap()).unwrap();
        assert_eq!(segment(assertion, 0), json!({ "alg": algorithm.name(), "typ": "JWT", "kid": "2026" }));
        let jti = claims["jti"].as_str().unwrap();
        assert_eq!(decode(jti).len(), 16);
        assert_eq!(
            claims,
            json!({
                "iss": "orders", "sub": "orders", "aud": ISSUER, "jti": jti, "iat": START, "exp": START + 60
            })
        );
        assert_ne!(segment(value_of(&next, "client_assertion"), 1)["jti"], jti);
    }
}

#[tokio::test]
async fn an_assertion_is_for_the_issuer_or_else_for_whom_is_asked() {
    let (pem, _) = pair(Algorithm::EdDSA);
    let auth = || ClientAuth::private_key_jwt("orders", SigningKey::pem(Algorithm::EdDSA, &pem).unwrap());
    let server = Server::content();
    let cases = [
        (server.asker().client_auth(auth()), ENDPOINT),
        (server.asker().client_auth(auth()).issuer(ISSUER), ISSUER),
        (server.asker().client_auth(auth().for_audience("x")).issuer(ISSUER), "x"),
    ];
    for (asker, expected) in cases {
        verdict(&asker.build().unwrap(), TOKEN).await.unwrap();

        let (_, body) = server.last_question();
        let assertion = value_of(&body, "client_assertion");
        assert_eq!(segment(assertion, 1)["aud"], expected);
        assert_eq!(segment(assertion, 0).get("kid"), None);
    }
}

#[test]
fn a_signing_key_is_one_private_key_of_the_algorithm() {
    let (edwards, _) = pair(Algorithm::EdDSA);
    let (curve, _) = pair(Algorithm::ES256);
    let wrong = [
        (Algorithm::ES256, edwards.clone()),
        (Algorithm::RS256, edwards.clone()),
        (Algorithm::HS256, edwards.clone()),
        (Algorithm::EdDSA, curve.clone()),
        (Algorithm::ES384, curve.clone()),
        (Algorithm::EdDSA, format!("{edwards}{edwards}")),
        (Algorithm::EdDSA, edwards.replace("PRIVATE KEY", "EC PRIVATE KEY")),
        (Algorithm::EdDSA, Signer::new(Algorithm::EdDSA).pem()),
        (Algorithm::EdDSA, String::new()),
    ];
    for (algorithm, pem) in wrong {
        let fault = SigningKey::pem(algorithm, &pem).unwrap_err();

        assert_eq!(fault, ConfigError::SigningKey { algorithm: algorithm.name() }, "{pem}");
    }
    assert!(SigningKey::pem(Algorithm::EdDSA, &edwards).is_ok());
    assert!(SigningKey::pem(Algorithm::ES256, &curve).is_ok());
}
