//! Putting digests of the present kind in the place of others.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::issue::IMPORT_MIN;
use super::{DigestTag, KeyAdmin, KeyChange, KeyDigest, KeyId, KeyRules};

/// How many digests are written at the same time. A key that finds no room is rehashed at its next use.
const AT_ONCE: usize = 16;
/// After what time a secret is tried again.
const AGAIN: Duration = Duration::from_secs(60);
/// How many keys are remembered for that, before all are forgotten.
const REMEMBERED: usize = 100_000;

/// Writes digests of the present kind, apart from the requests that brought the keys.
#[derive(Clone)]
pub(super) struct Rehasher {
    admin: Arc<dyn KeyAdmin>,
    at_once: Arc<Semaphore>,
    /// When a secret was last rehashed, or could not be, by its digest: servers that do not agree on the present kind write no more often.
    tried: Arc<Mutex<HashMap<[u8; 32], Instant>>>,
}

impl Rehasher {
    pub(super) fn new(admin: impl KeyAdmin) -> Self {
        Self { admin: Arc::new(admin), at_once: Arc::new(Semaphore::new(AT_ONCE)), tried: Arc::default() }
    }

    /// Returns whether a key is not one that was tried lately.
    fn is_due(&self, digest: &KeyDigest, id: KeyId) -> bool {
        // A slow hash has no digest; there is one for an id.
        let secret = if digest.is_none() { padded(id) } else { *digest.as_bytes() };
        let (now, mut tried) = (Instant::now(), self.tried.lock().unwrap_or_else(PoisonError::into_inner));
        if tried.get(&secret).is_some_and(|when| now < *when + AGAIN) {
            return false;
        }
        if tried.len() >= REMEMBERED {
            tried.clear();
        }
        tried.insert(secret, now);
        true
    }

    /// Rehashes a key that was proven to be right by one of the digests of its record.
    pub(super) fn rehash(&self, rules: &KeyRules, id: KeyId, from: KeyDigest, key: &str) {
        let hasher = rules.hasher();
        let is_present = hasher.tags().next() == Some(from.tag());
        if is_present || !protects(key, &from, hasher.tags().next().is_some_and(DigestTag::is_peppered)) {
            return;
        }
        let (Ok(runtime), Ok(permit)) = (Handle::try_current(), Arc::clone(&self.at_once).try_acquire_owned()) else {
            return;
        };
        if !self.is_due(&from, id) {
            return;
        }
        let (admin, to) = (Arc::clone(&self.admin), hasher.digest(key));
        runtime.spawn(async move {
            // The old digest goes on working: a use after a minute tries again.
            let _outcome = admin.change(&id, KeyChange::Rehash { from, to }).await;
            drop(permit);
        });
    }
}

fn padded(id: KeyId) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(id.as_str().bytes()).for_each(|(to, from)| *to = from);
    bytes
}

/// Returns whether the new digest protects a key no less than the old one: a pepper is never taken off, and a fast hash without
/// one is only for keys that cannot be guessed.
fn protects(key: &str, from: &KeyDigest, peppered: bool) -> bool {
    peppered || (!from.tag().is_peppered() && (key.len() >= IMPORT_MIN || !from.is_none()))
}

impl fmt::Debug for Rehasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rehasher")
    }
}
