//! Keys that sign. The library itself has none.
#![allow(clippy::expect_used, reason = "a tool of tests may panic as they do")]

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaEncoding};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::Algorithm;
use crate::bearer::jwt::der;

/// A key that signs, with its id and the one algorithm it is for.
pub(super) struct SigningKey {
    kid: String,
    algorithm: Algorithm,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    EllipticCurve(EcdsaKeyPair, &'static str),
    Edwards(Ed25519KeyPair),
}

impl SigningKey {
    /// Makes a key. There are none for HMAC, which no issuer publishes.
    pub(super) fn new(algorithm: Algorithm, kid: String) -> Self {
        let pair = match algorithm {
            Algorithm::RS256 => Pair::rsa(&signature::RSA_PKCS1_SHA256),
            Algorithm::RS384 => Pair::rsa(&signature::RSA_PKCS1_SHA384),
            Algorithm::RS512 => Pair::rsa(&signature::RSA_PKCS1_SHA512),
            Algorithm::PS256 => Pair::rsa(&signature::RSA_PSS_SHA256),
            Algorithm::PS384 => Pair::rsa(&signature::RSA_PSS_SHA384),
            Algorithm::PS512 => Pair::rsa(&signature::RSA_PSS_SHA512),
            Algorithm::ES256 => Pair::curve(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            Algorithm::ES384 => Pair::curve(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            Algorithm::ES512 => Pair::curve(&signature::ECDSA_P521_SHA512_FIXED_SIGNING, "P-521"),
            Algorithm::EdDSA => Pair::Edwards(Ed25519KeyPair::generate().expect("there is randomness")),
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
                panic!("{algorithm} has no public key to publish")
            }
        };
        Self { kid, algorithm, pair }
    }

    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the public half (RFC 7517, section 4).
    pub(super) fn jwk(&self) -> Value {
        let Self { kid, algorithm, pair } = self;
        let alg = algorithm.name();
        match pair {
            Pair::Rsa(pair, _) => {
                let (n, e) = der::rsa_public_key(pair.public_key().as_ref()).expect("it is in DER");
                // DER has a zero in front of what would be negative.
                let n = n.strip_prefix(&[0]).unwrap_or(n);
                json!({ "kty": "RSA", "kid": kid, "use": "sig", "alg": alg, "n": encode(n), "e": encode(e) })
            }
            Pair::EllipticCurve(pair, curve) => {
                // An uncompressed point: 4, then the two coordinates.
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({ "kty": "EC", "kid": kid, "use": "sig", "alg": alg, "crv": curve, "x": encode(x), "y": encode(y) })
            }
            Pair::Edwards(pair) => {
                let x = encode(pair.public_key());
                json!({ "kty": "OKP", "kid": kid, "use": "sig", "alg": alg, "crv": "Ed25519", "x": x })
            }
        }
    }

    /// Makes a JWS of a header and claims, whatever they say (RFC 7515, section 7.1).
    pub(super) fn jws(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = self.pair.sign(signed.as_bytes());
        format!("{signed}.{}", encode(signature))
    }
}

impl Pair {
    fn rsa(encoding: &'static dyn RsaEncoding) -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("there is randomness"), encoding)
    }

    fn curve(algorithm: &'static EcdsaSigningAlgorithm, name: &'static str) -> Self {
        Self::EllipticCurve(EcdsaKeyPair::generate(algorithm).expect("there is randomness"), name)
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature).expect("the length is right");
                signature
            }
            Self::EllipticCurve(pair, _) => pair.sign(&random, message).expect("there is randomness").as_ref().to_vec(),
            Self::Edwards(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// Makes an id that no other token has.
pub(super) fn unique() -> String {
    let mut id = [0; 12];
    aws_lc_rs::rand::fill(&mut id).expect("there is randomness");
    encode(id)
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}
