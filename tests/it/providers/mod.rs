//! Tokens as well-known issuers document them, under the settings that `docs/providers.md` names: header, claims, metadata
//! and key set have their shape, the keys are ours.

mod claims;
mod entra;
mod kubernetes;
mod others;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tower::service_fn;
use tower_keep::{
    Algorithm, HttpClient, Issuer, Jwt, JwtBuilder, PresentedToken, Principal, Rejection, RemoteKeys, TokenVerifier,
};

use crate::support::{START, TestClock};
use crate::tokens::mint::Signer;

/// An issuer with an RSA key, and the documents that it publishes.
struct Provider {
    signer: Signer,
    documents: HashMap<String, Value>,
}

impl Provider {
    /// Publishes metadata at the place of OpenID Connect, and keys where that says.
    fn new(issuer: &str, keys_at: &str) -> Self {
        let metadata = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let this = Self::publishing(keys_at, json!({}));
        this.with(&metadata, json!({ "issuer": issuer, "jwks_uri": keys_at }))
    }

    /// Publishes keys alone, with changes to the JWK; a change to null takes a member away.
    fn publishing(keys_at: &str, changes: Value) -> Self {
        let signer = Signer::new(Algorithm::RS256);
        let keys = json!({ "keys": [changed(signer.jwk(), changes)] });
        Self { signer, documents: HashMap::new() }.with(keys_at, keys)
    }

    fn with(mut self, url: &str, document: Value) -> Self {
        self.documents.insert(url.to_owned(), document);
        self
    }

    fn client(&self) -> HttpClient {
        let documents = Arc::new(self.documents.clone());
        HttpClient::new(service_fn(move |request: Request<Full<Bytes>>| {
            let mut response = Response::new(Full::default());
            match documents.get(&request.uri().to_string()) {
                Some(document) => *response.body_mut() = Full::from(document.to_string()),
                None => *response.status_mut() = StatusCode::NOT_FOUND,
            }
            async { Ok::<_, Infallible>(response) }
        }))
    }

    fn discover(&self, issuer: &str) -> JwtBuilder {
        Jwt::discover(Issuer::discover(issuer).client(self.client())).clock(TestClock::new())
    }

    fn keys(&self, url: &str) -> JwtBuilder {
        Jwt::with_remote_keys(RemoteKeys::new(url).client(self.client())).clock(TestClock::new())
    }

    /// Signs claims under a header that names the key and has these members besides.
    fn sign(&self, header: Value, claims: &Value) -> String {
        let header = changed(json!({ "alg": "RS256", "kid": "k1" }), header);
        self.signer.jws(header.to_string(), claims.to_string())
    }
}

/// Changes some members of an object; a change to null takes one away.
fn changed(mut object: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => object.as_object_mut().unwrap().remove(name),
            value => object.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    object
}

/// Returns claims that are good for an hour from the start of the tests on.
fn lasting(claims: Value) -> Value {
    changed(json!({ "iat": START, "exp": START + 3600 }), claims)
}

async fn verdict(jwt: &Jwt, token: &str) -> Result<Principal, Rejection> {
    jwt.verify(&PresentedToken::from_text(token)?).await
}

async fn outcome(jwt: &Jwt, token: &str) -> &'static str {
    verdict(jwt, token).await.map_or_else(|rejection| rejection.reason(), |_| "ok")
}
