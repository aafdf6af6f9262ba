//! Answers that the server signed (RFC 9701).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::response::unreadable;
use crate::Rejection;
use crate::bearer::jwks::object;
use crate::bearer::jwt::keyring::Keyring;
use crate::fetch::FetchError;

/// What is asked for, and answered (RFC 9701, section 4).
pub(super) const MEDIA_TYPE: &str = "application/token-introspection+jwt";
/// The `typ` of an answer (RFC 9701, section 5).
const TYP: &str = "token-introspection+jwt";
/// How long ago an answer may have been made.
const AGE: Duration = Duration::from_secs(60);

/// What an answer that is signed is held against.
pub(super) struct Signed {
    pub(super) keys: Keyring,
    pub(super) issuer: String,
    /// Whom the answer is for: this service, by its client id or as an audience of tokens.
    pub(super) audiences: Vec<String>,
    pub(super) leeway: Duration,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    iss: String,
    aud: OneOrMany,
    iat: f64,
    #[serde(borrow)]
    token_introspection: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Signed {
    /// Verifies an answer, and returns what is in it.
    pub(super) async fn open(&self, answer: &Bytes, now: SystemTime) -> Result<Bytes, FetchError> {
        let payload = self.keys.verify(answer.trim_ascii(), TYP).await.map_err(unverified)?;
        let envelope: Envelope<'_> = object(&payload).map_err(|error| unreadable(&error))?;
        let names = match &envelope.aud {
            OneOrMany::One(name) => std::slice::from_ref(name),
            OneOrMany::Many(names) => names,
        };
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let (early, late) = (now + self.leeway.as_secs_f64(), now - (AGE + self.leeway).as_secs_f64());
        let wrong = [
            (envelope.iss != self.issuer, "another issuer made it"),
            (!names.iter().any(|name| self.audiences.contains(name)), "it is for another service"),
            (envelope.iat > early || envelope.iat < late, "it was made at another time"),
        ];
        match wrong.into_iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, text)) => Err(FetchError::document(text)),
            None => Ok(Bytes::copy_from_slice(envelope.token_introspection.get().as_bytes())),
        }
    }
}

/// That an answer is not signed as it should be is the server's fault, and that there are no keys is nobody's here.
fn unverified(rejection: Rejection) -> FetchError {
    match rejection.cause() {
        crate::Cause::Invalid => {
            FetchError::document(format!("it is not signed as it should be ({})", rejection.reason()))
        }
        _ => FetchError::local(rejection),
    }
}
