//! Keys that verify what is signed and is no token, whether they are at hand or fetched.

use std::sync::Arc;

use super::builder::Source;
use super::live::Live;
use super::{Keys, jws, media_type};
use crate::{ConfigError, Rejection};

/// Keys, and what keeps them up to date.
pub(crate) struct Keyring {
    keys: Arc<Keys>,
    live: Option<Arc<Live>>,
}

impl Keyring {
    pub(crate) fn open(source: Source) -> Result<Self, Vec<ConfigError>> {
        source.open(None).map(|(keys, live)| Self { keys, live })
    }

    /// Verifies a JWS of a `typ`, and returns its payload.
    pub(crate) async fn verify(&self, jws: &[u8], typ: &str) -> Result<Vec<u8>, Rejection> {
        if let Some(live) = &self.live {
            live.required().await?;
        }
        match (self.verify_now(jws, typ), &self.live) {
            (Err(rejection), Some(live)) if rejection.reason() == jws::KID_UNKNOWN => {
                live.demanded().await?;
                self.verify_now(jws, typ)
            }
            (verified, _) => verified,
        }
    }

    fn verify_now(&self, jws: &[u8], typ: &str) -> Result<Vec<u8>, Rejection> {
        let parts = jws::Parts::split(jws)?;
        let mut buffer = Vec::new();
        let header = jws::Header::decode(parts.header, &mut buffer)?;
        if !header.typ().is_some_and(|given| media_type(given).eq_ignore_ascii_case(typ)) {
            return Err(Rejection::invalid("token_typ"));
        }
        let current = self.keys.current().ok_or(Rejection::invalid(jws::KID_UNKNOWN))?;
        parts.verify(&current.set, &header)?;
        parts.decode_payload(&mut buffer)?;
        Ok(buffer)
    }
}
