//! Tokens for the counts and the benchmarks: one of each algorithm, what verifies its signature alone, and a service
//! that is guarded by its key.

#![allow(dead_code, reason = "each target uses a part of it")]

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, ParsedPublicKey};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{Method, Request};
use serde::Deserialize;
use tower::Layer;
use tower_keep::{Algorithm, Auth, Bearer, BearerLayer, Jwt, JwtBuilder, VerificationKey};

use crate::support::{Body, Hello, request};

/// The algorithms that are measured.
pub(crate) const MEASURED: [Algorithm; 4] = [Algorithm::HS256, Algorithm::ES256, Algorithm::RS256, Algorithm::EdDSA];

pub(crate) const ISSUER: &str = "https://login.example.com/tenants/7f3c";
pub(crate) const AUDIENCE: &str = "https://api.example.com/orders";

/// What the service wants to know of a caller.
#[derive(Debug, Deserialize)]
pub(crate) struct Caller {
    pub(crate) client_id: String,
    pub(crate) email: String,
    pub(crate) org: String,
}

/// A token, and what says alone whether its signature is good.
pub(crate) struct Sample {
    pub(crate) token: String,
    pub(crate) key: VerificationKey,
    raw: Raw,
    signed: usize,
    signature: Vec<u8>,
}

enum Raw {
    Secret(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

impl Sample {
    /// Makes a token as issuers do: ten claims, 370 bytes of them, and a header with `kid` and `typ`.
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
        let claims = format!(
            r#"{{"iss":"{ISSUER}","sub":"5b1d6a3e-0c7f-4f2c-9d55-0f4d9d7f3e21","aud":["{AUDIENCE}"],"exp":{},"nbf":{now},"iat":{now},"jti":"01JD3Q0Y2W8H6V5K4N3M2P1R0S","scope":"orders:read orders:write","client_id":"billing-batch","email":"jo.doe@example.com","org":"org_9a8b7c6d5e4f3210"}}"#,
            now + 24 * 60 * 60
        );
        let header = format!(r#"{{"alg":"{algorithm}","typ":"at+jwt","kid":"2026-11-23T10:00:00Z"}}"#);
        let signed = format!("{}.{}", encode(header), encode(claims));
        let (raw, key, signature) = sign(algorithm, signed.as_bytes());
        let token = format!("{signed}.{}", encode(&signature));
        let key = key.with_kid("2026-11-23T10:00:00Z");
        Self { token, key, raw, signed: signed.len(), signature }
    }

    /// Verifies the signature, and does nothing else.
    pub(crate) fn verify_alone(&self) -> bool {
        let signed = &self.token.as_bytes()[..self.signed];
        match &self.raw {
            Raw::Secret(key) => hmac::verify(key, signed, &self.signature).is_ok(),
            Raw::Public(key) => key.verify_sig(signed, &self.signature).is_ok(),
        }
    }

    /// Starts a verifier that knows the key.
    pub(crate) fn verifier(&self) -> JwtBuilder<Caller> {
        Jwt::with_keys(self.key.clone()).issuer(ISSUER).audience(AUDIENCE).claims()
    }

    /// Guards [`Hello`]; without a memory, each token is verified as if it came for the first time.
    pub(crate) fn guarded(&self, remember: bool) -> Auth<Hello, Bearer> {
        let verifier = if remember { self.verifier() } else { self.verifier().remember_none() };
        BearerLayer::new(verifier.build().expect("the settings are complete")).layer(Hello)
    }

    /// Makes a request with the token.
    pub(crate) fn request(&self) -> Request<Body> {
        with_token(Some(&self.token))
    }

    /// Returns the same token with another `kid`.
    pub(crate) fn of_unknown_key(&self) -> String {
        let (_, rest) = self.token.split_once('.').expect("a token has segments");
        format!("{}.{rest}", encode(r#"{"alg":"HS256","typ":"at+jwt","kid":"2025-11-23T10:00:00Z"}"#))
    }
}

/// Makes a request with a text in the place of a token.
pub(crate) fn with_token(token: Option<&str>) -> Request<Body> {
    let value = token.map(|token| format!("Bearer {token}"));
    request(Method::POST, value.as_deref().map(|value| ("authorization", value)))
}

fn sign(algorithm: Algorithm, signed: &[u8]) -> (Raw, VerificationKey, Vec<u8>) {
    let random = SystemRandom::new();
    let public = |verification: &'static dyn signature::VerificationAlgorithm, bytes: &[u8]| {
        let raw = ParsedPublicKey::new(verification, bytes).expect("the key is one");
        (Raw::Public(raw), VerificationKey::der(algorithm, bytes).expect("the key is one"))
    };
    match algorithm {
        Algorithm::ES256 => {
            let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).expect("randomness");
            let (raw, key) = public(&signature::ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref());
            (raw, key, pair.sign(&random, signed).expect("randomness").as_ref().to_vec())
        }
        Algorithm::RS256 => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("randomness");
            let (raw, key) = public(&signature::RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(&signature::RSA_PKCS1_SHA256, &random, signed, &mut signature).expect("randomness");
            (raw, key, signature)
        }
        Algorithm::EdDSA => {
            let pair = Ed25519KeyPair::generate().expect("randomness");
            let (raw, key) = public(&signature::ED25519, pair.public_key().as_ref());
            (raw, key, pair.sign(signed).as_ref().to_vec())
        }
        _ => {
            let mut secret = [0; 32];
            aws_lc_rs::rand::fill(&mut secret).expect("randomness");
            let raw = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            let signature = hmac::sign(&raw, signed).as_ref().to_vec();
            let key = VerificationKey::secret(Algorithm::HS256, &secret).expect("the secret is long enough");
            (Raw::Secret(Box::new(raw)), key, signature)
        }
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
