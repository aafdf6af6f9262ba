//! What the tests of tokens share: a clock that goes either way, and verdicts without a service around them.

use std::any::Any;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use http::Request;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower_keep::{Algorithm, Bearer, Cause, Clock, Jwt, JwtBuilder, Principal, Rejection, Scheme};

use super::mint::{Signer, claims, claims_with};
use crate::support::{START, at};

/// A clock that shows what it is set to, earlier times included.
#[derive(Clone, Debug)]
pub struct SetClock(Arc<Mutex<SystemTime>>);

impl SetClock {
    /// Starts when the tests do.
    pub fn new() -> Self {
        Self::showing(at(START))
    }

    pub fn showing(now: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(now)))
    }

    pub fn set(&self, now: SystemTime) {
        *self.0.lock().unwrap() = now;
    }
}

impl Clock for SetClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

/// What the scheme says to a token, where it says it at once.
pub fn verdict(jwt: &Jwt, token: &str) -> Result<Principal, Rejection> {
    verdict_of(&Bearer::new(jwt.clone()), token)
}

pub fn verdict_of(scheme: &Bearer, token: &str) -> Result<Principal, Rejection> {
    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    let (mut head, ()) = request.body(()).unwrap().into_parts();
    let token = scheme.take(&mut head)?.unwrap();
    scheme.verify(token).now().unwrap().map(|admission| admission.principal().clone())
}

/// The reason for the log, or `ok`.
pub fn outcome(jwt: &Jwt, token: &str) -> &'static str {
    verdict(jwt, token).map_or_else(|rejection| rejection.reason(), |_| "ok")
}

/// Signs claims with one key, and has them judged by verifiers of that key.
pub struct Desk(pub Signer);

impl Desk {
    pub fn new() -> Self {
        Self(Signer::new(Algorithm::EdDSA))
    }

    pub fn jwt(&self, settings: impl FnOnce(JwtBuilder) -> JwtBuilder) -> Jwt {
        settings(self.0.verifier()).build().unwrap()
    }

    /// Signs a text as claims.
    pub fn sign(&self, claims: &str) -> String {
        self.0.jws(self.0.header().to_string(), claims)
    }

    pub fn judge(&self, jwt: &Jwt, claims: &str) -> &'static str {
        outcome(jwt, &self.sign(claims))
    }

    /// Reads good claims with some changes as a type.
    pub fn read<T: DeserializeOwned + Any + Send + Sync>(&self, changes: Value) -> Result<Principal, &'static str> {
        let jwt = self.0.verifier().claims::<T>().build().unwrap();
        verdict(&jwt, &self.0.token(&claims_with(changes))).map_err(|rejection| {
            assert_eq!(rejection.cause(), Cause::Invalid);
            rejection.reason()
        })
    }
}

/// Writes good claims with one of them as it is given, in the place of the good one; none takes it away.
pub fn with_raw(name: &str, value: Option<&str>) -> String {
    let mut others = claims();
    others.as_object_mut().unwrap().remove(name);
    let others = others.to_string();
    match value {
        Some(value) => format!("{{\"{name}\":{value},{}", &others[1..]),
        None => others,
    }
}

/// Adds a member in front of good claims, which may be there a second time then.
pub fn with_member(member: &str) -> String {
    format!("{{{member},{}", &claims().to_string()[1..])
}

/// What [`outcome`] says to a good token, and to one with a claim of the wrong JSON type.
pub const OK: &str = "ok";
pub const TYPE: &str = "token_claim_type";
