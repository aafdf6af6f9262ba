//! Makes tokens, good ones and any other: header and claims are whatever text a test hands in.

#![allow(dead_code, reason = "a tool has more to it than every test takes")]

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tower_keep::{Algorithm, Jwt, JwtBuilder, KeySet};

use crate::support::{START, TestClock};

pub const ISSUER: &str = "https://login.example.com";
pub const AUDIENCE: &str = "https://api.example.com";

pub const ALGORITHMS: [Algorithm; 13] = [
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::ES512,
    Algorithm::EdDSA,
];

/// A key that signs.
pub enum Signer {
    Secret { algorithm: Algorithm, secret: Vec<u8> },
    Rsa { algorithm: Algorithm, key: &'static RsaKeyPair },
    EllipticCurve { algorithm: Algorithm, key: EcdsaKeyPair },
    Edwards { key: Ed25519KeyPair },
}

/// Making an RSA key takes long, so there is one for all tests.
static RSA: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
static OTHER_RSA: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

impl Signer {
    /// Makes a key; RSA keys are the same each time.
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
                let mut secret = vec![0; 64];
                aws_lc_rs::rand::fill(&mut secret).unwrap();
                Self::Secret { algorithm, secret }
            }
            Algorithm::ES256 => Self::curve(algorithm, &signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::ES384 => Self::curve(algorithm, &signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::ES512 => Self::curve(algorithm, &signature::ECDSA_P521_SHA512_FIXED_SIGNING),
            Algorithm::EdDSA => Self::Edwards { key: Ed25519KeyPair::generate().unwrap() },
            _ => Self::Rsa { algorithm, key: &RSA },
        }
    }

    /// Makes another RSA key than [`new`](Self::new) does.
    pub fn other_rsa(algorithm: Algorithm) -> Self {
        Self::Rsa { algorithm, key: &OTHER_RSA }
    }

    fn curve(algorithm: Algorithm, signing: &'static signature::EcdsaSigningAlgorithm) -> Self {
        Self::EllipticCurve { algorithm, key: EcdsaKeyPair::generate(signing).unwrap() }
    }

    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Secret { algorithm, .. } | Self::Rsa { algorithm, .. } | Self::EllipticCurve { algorithm, .. } => {
                *algorithm
            }
            Self::Edwards { .. } => Algorithm::EdDSA,
        }
    }

    /// Signs some bytes.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Secret { algorithm, secret } => {
                let algorithm = match algorithm {
                    Algorithm::HS256 => hmac::HMAC_SHA256,
                    Algorithm::HS384 => hmac::HMAC_SHA384,
                    _ => hmac::HMAC_SHA512,
                };
                hmac::sign(&hmac::Key::new(algorithm, secret), message).as_ref().to_vec()
            }
            Self::Rsa { algorithm, key } => {
                let padding: &'static dyn signature::RsaEncoding = match algorithm {
                    Algorithm::RS256 => &signature::RSA_PKCS1_SHA256,
                    Algorithm::RS384 => &signature::RSA_PKCS1_SHA384,
                    Algorithm::RS512 => &signature::RSA_PKCS1_SHA512,
                    Algorithm::PS256 => &signature::RSA_PSS_SHA256,
                    Algorithm::PS384 => &signature::RSA_PSS_SHA384,
                    _ => &signature::RSA_PSS_SHA512,
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
            Self::EllipticCurve { key, .. } => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Edwards { key } => key.sign(message).as_ref().to_vec(),
        }
    }

    /// Makes a JWS of a header and a payload, as they are.
    pub fn jws(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = self.sign(signed.as_bytes());
        format!("{signed}.{}", encode(signature))
    }

    /// Makes an access token of claims, with the header that belongs to the key: `kid` is `k1`.
    pub fn token(&self, claims: &Value) -> String {
        self.jws(self.header().to_string(), claims.to_string())
    }

    /// Returns the header of access tokens.
    pub fn header(&self) -> Value {
        json!({ "alg": self.algorithm().name(), "typ": "at+jwt", "kid": "k1" })
    }

    /// Returns the public key, or the secret, as a JWK with the id `k1`.
    pub fn jwk(&self) -> Value {
        let alg = self.algorithm().name();
        match self {
            Self::Secret { secret, .. } => json!({ "kty": "oct", "kid": "k1", "alg": alg, "k": encode(secret) }),
            Self::Rsa { key, .. } => {
                let (n, e) = self.modulus_and_exponent(key);
                json!({ "kty": "RSA", "kid": "k1", "use": "sig", "alg": alg, "n": encode(n), "e": encode(e) })
            }
            Self::EllipticCurve { key, .. } => {
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = match alg {
                    "ES256" => "P-256",
                    "ES384" => "P-384",
                    _ => "P-521",
                };
                json!({ "kty": "EC", "kid": "k1", "alg": alg, "crv": curve, "x": encode(x), "y": encode(y) })
            }
            Self::Edwards { key } => {
                json!({ "kty": "OKP", "kid": "k1", "alg": alg, "crv": "Ed25519", "x": encode(key.public_key()) })
            }
        }
    }

    fn modulus_and_exponent(&self, key: &RsaKeyPair) -> (Vec<u8>, Vec<u8>) {
        // RSAPublicKey: a sequence of two integers. For 2048 bits all lengths but the exponent's have two bytes.
        let der = key.public_key().as_ref();
        let n = &der[4 + 4..];
        let (n, rest) = n.split_at(der.len() - 8 - 5);
        (n.iter().skip_while(|byte| **byte == 0).copied().collect(), rest[2..].to_vec())
    }

    /// Returns the public key in DER, as a `SubjectPublicKeyInfo`.
    pub fn spki(&self) -> Vec<u8> {
        match self {
            Self::Secret { .. } => panic!("a secret is no public key"),
            Self::Rsa { key, .. } => der(key.public_key()),
            Self::EllipticCurve { key, .. } => der(key.public_key()),
            Self::Edwards { key } => der(key.public_key()),
        }
    }

    /// Returns the public key in PEM.
    pub fn pem(&self) -> String {
        let body = base64::prelude::BASE64_STANDARD.encode(self.spki());
        format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    }

    /// Starts a verifier that knows this key alone, at the time when the tests start.
    pub fn verifier(&self) -> JwtBuilder {
        verifier(KeySet::try_from(&self.jwk()).unwrap())
    }
}

/// Starts a verifier of the tests' issuer and audience, at the time when the tests start.
pub fn verifier(keys: impl Into<KeySet>) -> JwtBuilder {
    Jwt::with_keys(keys).issuer(ISSUER).audience(AUDIENCE).clock(TestClock::new())
}

/// Returns the claims of a good access token, which ends an hour after the tests start.
pub fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "client_id": "web",
        "jti": "t1",
        "iat": START,
        "exp": START + 3600,
        "scope": "orders:read",
    })
}

/// Returns the claims of a good access token with some of them changed; a change to null takes the claim away.
pub fn claims_with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

fn der<'a, K: AsDer<PublicKeyX509Der<'a>>>(key: &K) -> Vec<u8> {
    key.as_der().unwrap().as_ref().to_vec()
}

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

pub fn decode(text: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
}
