//! A login service on this machine, for examples that fetch keys: it publishes them, signs tokens, and can be away.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::common::Result;
use crate::mint::Issuer;

/// A service whose realms have a key each. It ends with the process.
#[derive(Clone)]
pub(crate) struct Login {
    url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    realms: Mutex<HashMap<String, Issuer>>,
    keys: AtomicUsize,
    asked: AtomicUsize,
    away: AtomicBool,
}

impl Login {
    pub(crate) async fn start() -> Result<Self> {
        // Keys are public, and nothing but this machine is to trust them: it takes no TLS.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let this = Self { url, shared: Arc::default() };
        let app = Router::new()
            .route("/realms/{realm}/.well-known/openid-configuration", get(metadata))
            .route("/realms/{realm}/jwks", get(keys))
            .with_state(this.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(this)
    }

    /// Gives a realm a new key; one that is not there comes to be.
    pub(crate) fn change_key(&self, realm: &str) -> Result<()> {
        let number = self.shared.keys.fetch_add(1, Ordering::Relaxed);
        let key = Issuer::with_kid(format!("{realm}-{number}"))?;
        self.shared.realms().insert(realm.to_owned(), key);
        Ok(())
    }

    /// Returns what a realm is called: its issuer, unless it goes by another name.
    pub(crate) fn realm(&self, realm: &str) -> String {
        format!("{}/realms/{realm}", self.url)
    }

    /// Makes an access token of a realm, with changes to its claims.
    pub(crate) fn token(&self, realm: &str, changes: &Value) -> Result<String> {
        self.shared.realms().get(realm).ok_or("there is no such realm")?.access_token(changes)
    }

    /// Answers nobody any more, or again.
    #[allow(dead_code, reason = "not every example has it away")]
    pub(crate) fn set_away(&self, away: bool) {
        self.shared.away.store(away, Ordering::Relaxed);
    }

    /// Returns how often somebody asked for keys.
    #[allow(dead_code, reason = "not every example counts")]
    pub(crate) fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn realms(&self) -> MutexGuard<'_, HashMap<String, Issuer>> {
        self.realms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What clients are told about a realm (OpenID Connect Discovery, section 4).
async fn metadata(State(login): State<Login>, Path(realm): Path<String>) -> Json<Value> {
    let issuer = login.realm(&realm);
    Json(json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/jwks") }))
}

async fn keys(State(login): State<Login>, Path(realm): Path<String>) -> Result<Json<Value>, StatusCode> {
    login.shared.asked.fetch_add(1, Ordering::Relaxed);
    if login.shared.away.load(Ordering::Relaxed) {
        return Err(StatusCode::BAD_GATEWAY);
    }
    let realms = login.shared.realms();
    let key = realms.get(&realm).ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(json!({ "keys": [key.jwk()] })))
}
