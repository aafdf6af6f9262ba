//! Putting digests of the present kind in the place of others.

use std::fmt;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::issue::IMPORT_MIN;
use super::{KeyAdmin, KeyChange, KeyDigest, KeyId, KeyRules};

/// How many digests are written at the same time. A key that finds no room is rehashed at its next use.
const AT_ONCE: usize = 16;

/// Writes digests of the present kind, apart from the requests that brought the keys.
#[derive(Clone)]
pub(super) struct Rehasher {
    admin: Arc<dyn KeyAdmin>,
    at_once: Arc<Semaphore>,
}

impl Rehasher {
    pub(super) fn new(admin: impl KeyAdmin) -> Self {
        Self { admin: Arc::new(admin), at_once: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Rehashes a key that was proven to be right by one of the digests of its record.
    pub(super) fn rehash(&self, rules: &KeyRules, id: KeyId, from: KeyDigest, key: &str) {
        let hasher = rules.hasher();
        let is_present = hasher.tags().next() == Some(from.tag());
        if is_present || !protects(key, &from, hasher.tags().next().is_some_and(super::DigestTag::is_peppered)) {
            return;
        }
        let (Ok(runtime), Ok(permit)) = (Handle::try_current(), Arc::clone(&self.at_once).try_acquire_owned()) else {
            return;
        };
        let (admin, to) = (Arc::clone(&self.admin), hasher.digest(key));
        runtime.spawn(async move {
            // The old digest goes on working: another use tries again.
            let _outcome = admin.change(&id, KeyChange::Rehash { from, to }).await;
            drop(permit);
        });
    }
}

/// Returns whether the new digest protects a key no less than the old one: a fast hash without a pepper is only for keys that
/// cannot be guessed.
fn protects(key: &str, from: &KeyDigest, peppered: bool) -> bool {
    peppered || key.len() >= IMPORT_MIN || !(from.is_none() || from.tag().is_peppered())
}

impl fmt::Debug for Rehasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rehasher")
    }
}
