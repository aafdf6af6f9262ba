//! Keys that sign, with which this service says who it is. Like `signature`, this file talks to the cryptographic library.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, RsaEncoding};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::algorithm::{Algorithm, Family};
use super::pem;
use crate::ConfigError;

/// A private key that signs with one algorithm: that of a client which proves by it who it is. It is never printed.
///
/// ```
/// use tower_keep::{Algorithm, ClientAuth, ConfigError, SigningKey};
///
/// fn client(pem: &str) -> Result<ClientAuth, ConfigError> {
///     let key = SigningKey::pem(Algorithm::ES256, pem)?.with_kid("2026");
///     Ok(ClientAuth::private_key_jwt("orders", key))
/// }
/// ```
#[derive(Clone)]
pub struct SigningKey {
    algorithm: Algorithm,
    kid: Option<String>,
    key: Arc<Signer>,
}

enum Signer {
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    EllipticCurve(EcdsaKeyPair),
    Edwards(Ed25519KeyPair),
}

impl SigningKey {
    /// Takes a private key in PEM: the one section `PRIVATE KEY`, which is PKCS#8 (RFC 5958), of a text.
    ///
    /// # Errors
    ///
    /// [`ConfigError::SigningKey`] if there is none, it is of another algorithm, or RSA with less than 2048 bits.
    pub fn pem(algorithm: Algorithm, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let key = pem::private_key(pem.as_ref()).and_then(|der| Signer::pkcs8(algorithm, &der));
        let key = key.ok_or(ConfigError::SigningKey { algorithm: algorithm.name() })?;
        Ok(Self { algorithm, kid: None, key: Arc::new(key) })
    }

    /// Sets the id by which the other side knows the key.
    #[must_use]
    pub fn with_kid(mut self, kid: impl Into<String>) -> Self {
        self.kid = Some(kid.into());
        self
    }

    /// Makes a signed JWT of claims.
    pub(crate) fn jwt(&self, claims: &Value) -> Option<String> {
        let mut header = json!({ "alg": self.algorithm.name(), "typ": "JWT" });
        if let Some(kid) = &self.kid {
            header["kid"] = kid.as_str().into();
        }
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let signature = self.key.sign(signed.as_bytes())?;
        Some(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl Signer {
    fn pkcs8(algorithm: Algorithm, der: &[u8]) -> Option<Self> {
        match algorithm.family() {
            Family::Secret => None,
            Family::Rsa => Some(Self::Rsa(RsaKeyPair::from_pkcs8(der).ok()?, padding(algorithm)?)),
            Family::EllipticCurve => EcdsaKeyPair::from_pkcs8(curve(algorithm)?, der).ok().map(Self::EllipticCurve),
            Family::Edwards => Ed25519KeyPair::from_pkcs8(der).ok().map(Self::Edwards),
        }
    }

    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key, padding) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(*padding, &random, message, &mut signature).ok()?;
                Some(signature)
            }
            Self::EllipticCurve(key) => Some(key.sign(&random, message).ok()?.as_ref().to_vec()),
            Self::Edwards(key) => Some(key.sign(message).as_ref().to_vec()),
        }
    }
}

/// Returns a text that nobody can guess, of 128 random bits.
pub(crate) fn nonce() -> Option<String> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).ok()?;
    Some(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

fn padding(algorithm: Algorithm) -> Option<&'static dyn RsaEncoding> {
    Some(match algorithm {
        Algorithm::RS256 => &signature::RSA_PKCS1_SHA256,
        Algorithm::RS384 => &signature::RSA_PKCS1_SHA384,
        Algorithm::RS512 => &signature::RSA_PKCS1_SHA512,
        Algorithm::PS256 => &signature::RSA_PSS_SHA256,
        Algorithm::PS384 => &signature::RSA_PSS_SHA384,
        Algorithm::PS512 => &signature::RSA_PSS_SHA512,
        _ => return None,
    })
}

fn curve(algorithm: Algorithm) -> Option<&'static EcdsaSigningAlgorithm> {
    Some(match algorithm {
        Algorithm::ES256 => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        Algorithm::ES384 => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        Algorithm::ES512 => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
        _ => return None,
    })
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("algorithm", &self.algorithm).field("kid", &self.kid).finish_non_exhaustive()
    }
}
