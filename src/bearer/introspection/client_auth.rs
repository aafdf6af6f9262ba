//! Who asks: how this service proves to the authorization server that it is one that may.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use serde_json::json;
use zeroize::Zeroizing;

use super::form::{Form, encode};
use crate::Secret;
use crate::bearer::jwt::SigningKey;
use crate::bearer::jwt::signing::nonce;
use crate::fetch::FetchError;

/// How long an assertion is good.
const ASSERTION: Duration = Duration::from_secs(60);

/// What this service proves by who it is, where it asks an authorization server (RFC 6749, section 2.3; RFC 7523). Secrets
/// are never printed.
#[derive(Clone)]
pub struct ClientAuth {
    id: String,
    method: Method,
}

#[derive(Clone)]
enum Method {
    Basic(Secret),
    Post(Secret),
    PrivateKeyJwt { key: SigningKey, audience: Option<String> },
    None,
}

impl ClientAuth {
    /// Sends client id and secret in `Authorization: Basic`, each as a form spells it first (RFC 6749, section 2.3.1):
    /// `client_secret_basic`.
    pub fn basic(id: impl Into<String>, secret: impl Into<Secret>) -> Self {
        Self { id: id.into(), method: Method::Basic(secret.into()) }
    }

    /// Sends client id and secret in the form: `client_secret_post`. Servers have to support
    /// [`basic`](Self::basic), and need not support this.
    pub fn post(id: impl Into<String>, secret: impl Into<Secret>) -> Self {
        Self { id: id.into(), method: Method::Post(secret.into()) }
    }

    /// Sends a JWT that a private key signed, made for each request and good for a minute (RFC 7523, section 2.2):
    /// `private_key_jwt`. Nothing that is sent can be used for anything else.
    pub fn private_key_jwt(id: impl Into<String>, key: SigningKey) -> Self {
        Self { id: id.into(), method: Method::PrivateKeyJwt { key, audience: None } }
    }

    /// Sends the client id and no secret: for an [`HttpClient`](crate::HttpClient) that has a client certificate (RFC 8705,
    /// section 2), and servers that ask nothing of those who reach them.
    pub fn none(id: impl Into<String>) -> Self {
        Self { id: id.into(), method: Method::None }
    }

    /// Names the audience of the JWT of [`private_key_jwt`](Self::private_key_jwt), for servers that want another one than
    /// the issuer, or the URL that is asked where the issuer is not known. Other ways to prove have none.
    #[must_use]
    pub fn for_audience(mut self, name: impl Into<String>) -> Self {
        if let Method::PrivateKeyJwt { audience, .. } = &mut self.method {
            *audience = Some(name.into());
        }
        self
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Adds the proof to a request for an audience.
    pub(super) fn prove(
        &self,
        form: &mut Form,
        headers: &mut HeaderMap,
        server: &str,
        now: SystemTime,
    ) -> Result<(), FetchError> {
        match &self.method {
            Method::Basic(secret) => {
                headers.insert(AUTHORIZATION, self.basic_value(secret)?);
            }
            Method::Post(secret) => {
                form.push("client_id", &self.id);
                form.push("client_secret", secret.expose());
            }
            Method::PrivateKeyJwt { key, audience } => {
                let assertion = self.assertion(key, audience.as_deref().unwrap_or(server), now);
                let assertion = assertion.ok_or_else(|| FetchError::local("the assertion could not be signed"))?;
                form.push("client_id", &self.id);
                form.push("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
                form.push("client_assertion", &assertion);
            }
            Method::None => form.push("client_id", &self.id),
        }
        Ok(())
    }

    fn basic_value(&self, secret: &Secret) -> Result<HeaderValue, FetchError> {
        let mut pair = Zeroizing::new(String::with_capacity(3 * (self.id.len() + secret.expose().len()) + 1));
        encode(&self.id, &mut pair);
        pair.push(':');
        encode(secret.expose(), &mut pair);
        let encoded = Zeroizing::new(BASE64_STANDARD.encode(&*pair));
        let value = Zeroizing::new(format!("Basic {}", *encoded));
        let mut value = HeaderValue::from_str(&value).map_err(FetchError::local)?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// RFC 7523, section 3.
    fn assertion(&self, key: &SigningKey, audience: &str, now: SystemTime) -> Option<Zeroizing<String>> {
        let now = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
        let claims = json!({
            "iss": self.id,
            "sub": self.id,
            "aud": audience,
            "jti": nonce()?,
            "iat": now,
            "exp": now + ASSERTION.as_secs(),
        });
        key.jwt(&claims).map(Zeroizing::new)
    }
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match self.method {
            Method::Basic(_) => "basic",
            Method::Post(_) => "post",
            Method::PrivateKeyJwt { .. } => "private_key_jwt",
            Method::None => "none",
        };
        f.debug_struct("ClientAuth").field("id", &self.id).field("method", &method).finish_non_exhaustive()
    }
}
