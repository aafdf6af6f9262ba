//! Sets that an issuer publishes.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{KeySet, object, read, without_text};
use crate::{ConfigError, KeyFault};

/// How many keys of a published set are used.
const PUBLISHED_MAX: usize = 100;

impl KeySet {
    /// Reads a JWK Set that everybody can read. Secrets in it are none, so they are skipped, and so are keys beyond the first
    /// 100.
    pub(super) fn published(json: &[u8]) -> Result<Self, ConfigError> {
        #[derive(Deserialize)]
        struct Document<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }
        let document: Document<'_> =
            object(json).map_err(|error| ConfigError::KeySetUnreadable { reason: without_text(&error) })?;
        let mut usable = 0;
        let keys = document.keys.into_iter().map(|key| {
            let (kid, key) = read(key.get().as_bytes());
            let key = key.and_then(|key| match key.is_secret() {
                true => Err(KeyFault::SecretPublished),
                false if usable == PUBLISHED_MAX => Err(KeyFault::TooMany),
                false => Ok(key),
            });
            usable += usize::from(key.is_ok());
            (kid, key)
        });
        Self::collect(keys.enumerate(), Vec::new())
    }
}
