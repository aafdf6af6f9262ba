//! An issuer in a few lines, so that an example has tokens to show. tower-keep verifies tokens and signs none: in earnest
//! they come from a login server, and only its public keys are at hand.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tower_keep::{Algorithm, VerificationKey};

use super::common::Result;

/// The name that stands in `iss`.
pub(crate) const ISSUER: &str = "https://login.example.com";
/// The name that stands in `aud`: the service that the tokens are for.
pub(crate) const AUDIENCE: &str = "https://api.example.com";

/// By which name tokens call the key.
const KID: &str = "demo";
/// How long a token is good.
const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Signs tokens with a key that ends with the process.
pub(crate) struct Issuer {
    key: Ed25519KeyPair,
    kid: String,
}

impl Issuer {
    #[allow(dead_code, reason = "not every example leaves the name to it")]
    pub(crate) fn new() -> Result<Self> {
        Self::with_kid(KID)
    }

    /// Makes a key that tokens call by another name.
    pub(crate) fn with_kid(kid: impl Into<String>) -> Result<Self> {
        let key = Ed25519KeyPair::generate().map_err(|_| "no key could be made")?;
        Ok(Self { key, kid: kid.into() })
    }

    /// Returns the public half of the key, which is all that a service needs.
    #[allow(dead_code, reason = "not every example has the key at hand")]
    pub(crate) fn public_key(&self) -> Result<VerificationKey> {
        Ok(VerificationKey::der(Algorithm::EdDSA, self.key.public_key())?.with_kid(&self.kid))
    }

    /// Returns the public half of the key as issuers publish it (RFC 8037, section 2).
    #[allow(dead_code, reason = "not every example publishes it")]
    pub(crate) fn jwk(&self) -> Value {
        let x = encode(self.key.public_key());
        json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.kid, "x": x })
    }

    /// Makes an access token (RFC 9068) of claims that are good from now on, with the changes of the caller; a change to
    /// null takes a claim away.
    pub(crate) fn access_token(&self, changes: &Value) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let mut id = [0; 12];
        aws_lc_rs::rand::fill(&mut id).map_err(|_| "there is no randomness")?;
        let mut claims = json!({
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "alice",
            "email": "alice@example.com",
            "jti": encode(id),
            "iat": now.as_secs(),
            "exp": (now + LIFETIME).as_secs(),
        });
        merge(&mut claims, changes);
        Ok(self.jws(&json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": self.kid }), &claims))
    }

    /// Signs a header and claims, whatever they say (RFC 7515, section 7.1).
    pub(crate) fn jws(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", encode(signature))
    }
}

/// Changes the members of an object as a merge patch does (RFC 7396).
fn merge(object: &mut Value, changes: &Value) {
    let (Some(object), Some(changes)) = (object.as_object_mut(), changes.as_object()) else { return };
    for (name, value) in changes {
        match value {
            Value::Null => object.remove(name),
            value => object.insert(name.clone(), value.clone()),
        };
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
