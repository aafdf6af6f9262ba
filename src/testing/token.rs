//! Tokens, good ones and any other.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::signing::SigningKey;

/// A token that is about to be signed. [`TestIssuer::token`](super::TestIssuer::token) starts one that is good.
///
/// ```
/// use serde_json::json;
/// use tower_keep::testing::TestIssuer;
///
/// let issuer = TestIssuer::new();
/// let good = issuer.token("alice").claim("scope", "orders:read").claim("roles", json!(["admin", "clerk"]));
/// let endless = issuer.token("alice").without_claim("exp");
/// let of_another_kind = issuer.token("alice").header("typ", "logout+jwt");
/// let of_a_stranger = issuer.token("alice").forged();
/// assert!(good.bearer().starts_with("Bearer ey"));
/// ```
#[derive(Clone)]
#[must_use = "a token is made by `sign` or `bearer`"]
pub struct TestToken {
    key: Arc<SigningKey>,
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl TestToken {
    pub(super) fn new(key: Arc<SigningKey>, claims: Map<String, Value>) -> Self {
        let header = [("alg", key.algorithm().name()), ("typ", "at+jwt"), ("kid", key.kid())];
        let header = header.map(|(name, value)| (name.to_owned(), Value::from(value)));
        Self { key, header: Map::from_iter(header), claims }
    }

    /// Sets a claim, in the place of the one that is there.
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// Takes a claim away.
    pub fn without_claim(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets a member of the header, in the place of the one that is there. How the token is signed does not change.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.header.insert(name.into(), value.into());
        self
    }

    /// Takes a member of the header away.
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    /// Signs with a key that nobody knows, under the id of the issuer's.
    pub fn forged(mut self) -> Self {
        self.key = Arc::new(SigningKey::new(self.key.algorithm(), self.key.kid().to_owned()));
        self
    }

    /// Makes the token.
    #[must_use]
    pub fn sign(&self) -> String {
        self.key.jws(&Value::Object(self.header.clone()), &Value::Object(self.claims.clone()))
    }

    /// Makes the token as it stands in `Authorization`: `Bearer ` and the token.
    #[must_use]
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.sign())
    }
}

impl fmt::Debug for TestToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestToken").field("header", &self.header).field("claims", &self.claims).finish_non_exhaustive()
    }
}
