//! The keys of a verifier.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::Algorithm;
use crate::ConfigError;
use crate::bearer::{KeySet, VerificationKey};

/// The keys, which may be replaced while tokens are verified.
pub(crate) struct Keys {
    current: RwLock<Option<Arc<Current>>>,
    /// The epoch of the current keys, for those who need nothing else of them.
    pub(super) epoch: AtomicU64,
    /// The algorithms that keys are held to, if they are.
    algorithms: Option<Vec<Algorithm>>,
}

/// The keys of an epoch, and the headers that were seen with good signatures.
pub(crate) struct Current {
    pub(super) set: Arc<KeySet>,
    pub(super) epoch: u64,
    pub(super) headers: KnownHeaders,
}

impl Keys {
    pub(super) fn new(set: KeySet, algorithms: Option<Vec<Algorithm>>) -> Result<Self, ConfigError> {
        let keys = Self::none_yet(algorithms);
        keys.replace(set)?;
        Ok(keys)
    }

    /// Starts without keys, which come later.
    pub(crate) fn none_yet(algorithms: Option<Vec<Algorithm>>) -> Self {
        Self { current: RwLock::new(None), epoch: AtomicU64::new(0), algorithms }
    }

    pub(crate) fn replace(&self, set: KeySet) -> Result<(), ConfigError> {
        let set = held_to(set, self.algorithms.as_deref())?;
        // Readers hold the lock for as long as it takes to count a reference, so that nobody waits to speak of.
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let epoch = current.as_ref().map_or(0, |current| current.epoch + 1);
        let before = current.replace(Arc::new(Current::new(set, epoch)));
        // Before the lock is given back, so that of two changes the later one counts.
        self.epoch.store(epoch, Ordering::Release);
        drop(current);
        drop(before);
        Ok(())
    }

    pub(super) fn current(&self) -> Option<Arc<Current>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Keeps the keys that are allowed, and of those the ones that name their algorithm.
fn held_to(set: KeySet, algorithms: Option<&[Algorithm]>) -> Result<KeySet, ConfigError> {
    match algorithms {
        Some(algorithms) => set.restricted_to(algorithms),
        None => set.without_unbound(),
    }
}

impl Current {
    fn new(set: KeySet, epoch: u64) -> Self {
        Self { set: Arc::new(set), epoch, headers: KnownHeaders::default() }
    }
}

/// The headers of good tokens, as they are written, and the key that each of them means.
///
/// An issuer writes the same header for all tokens of a key. It is noted with the first good signature, so that what
/// somebody else writes takes no place.
#[derive(Default)]
pub(super) struct KnownHeaders {
    seen: [OnceLock<(Box<[u8]>, VerificationKey)>; 16],
}

impl KnownHeaders {
    pub(super) fn find(&self, segment: &[u8]) -> Option<&VerificationKey> {
        let mut seen = self.seen.iter().map_while(OnceLock::get);
        seen.find(|(known, _)| **known == *segment).map(|(_, key)| key)
    }

    pub(super) fn note(&self, segment: &[u8], key: &VerificationKey) {
        if self.find(segment).is_none()
            && let Some(free) = self.seen.iter().find(|slot| slot.get().is_none())
        {
            // Another thread may be faster; there are more tokens to come.
            let _ = free.set((segment.into(), key.clone()));
        }
    }
}
