//! Keys of which another system kept a slow hash.
//!
//! A slow hash, such as argon2 or bcrypt, is made for passwords: it costs as much as thousands of requests, on every
//! request. It cannot be looked up by, since each has a salt of its own, so the id has to come out of the key. That is for as
//! long as it takes to see each key once: its first use puts a fast digest in the place of the slow hash, where
//! [`ApiKey::rehash`](super::ApiKey::rehash) says who may write it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::judge::Core;
use super::{Found, KeyId, KeyRecord, Lookup, PresentedKey};
use crate::{Answer, Rejection};

/// How many keys are hashed at the same time, unless something else is set.
const AT_ONCE: usize = 2;
/// How many may wait for that.
const WAITING: usize = 64;
/// How long one of them waits.
const PATIENCE: Duration = Duration::from_secs(5);

type FindId = dyn Fn(&str) -> Option<KeyId> + Send + Sync;
type Verify = dyn Fn(&str, &str) -> bool + Send + Sync;

/// How to verify keys by the slow hashes that another system kept of them: a function that finds the id in a key, and one
/// that compares a key with a hash.
///
/// Few keys are hashed at the same time (2, unless [`at_once`](Self::at_once) says otherwise), on threads of their own; 64
/// more wait for 5 seconds at most, and any other is answered 503.
///
/// ```
/// use tower_keep::{KeyId, SlowHashes};
///
/// # fn bcrypt_verify(_: &str, _: &str) -> bool { false }
/// // Keys of the other system are `id.secret`.
/// let slow = SlowHashes::new(
///     |key| KeyId::new(key.split_once('.')?.0).ok(),
///     |key, hash| bcrypt_verify(key, hash), // bcrypt::verify(key, hash).unwrap_or(false)
/// );
/// ```
#[derive(Clone)]
pub struct SlowHashes {
    find_id: Arc<FindId>,
    verify: Arc<Verify>,
    at_once: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl SlowHashes {
    /// Takes the two functions: `find_id(key)` and `verify(key, hash)`.
    pub fn new(
        find_id: impl Fn(&str) -> Option<KeyId> + Send + Sync + 'static,
        verify: impl Fn(&str, &str) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            find_id: Arc::new(find_id),
            verify: Arc::new(verify),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
        }
    }

    /// Sets how many keys are hashed at the same time; one at least.
    #[must_use]
    pub fn at_once(mut self, keys: usize) -> Self {
        let keys = keys.clamp(1, 1024);
        self.at_once = Arc::new(Semaphore::new(keys));
        self.waiting = Arc::new(Semaphore::new(keys + WAITING));
        self
    }

    /// Looks for the record of a key by its id, and compares the slow hash if there is one. Nothing is hashed before the answer
    /// is waited for.
    fn check(&self, core: &Core, key: PresentedKey) -> Answer<(PresentedKey, Found, Checked)> {
        let Some(id) = (self.find_id)(key.as_str()) else { return Answer::Now((key, Ok(None), Ok(None))) };
        let slow = self.clone();
        core.store.find(&Lookup::Id(id)).then(move |found| match found {
            Ok(Some(record)) if record.slow_hash().is_some() => {
                Answer::later(slow.hash(key, record)).map(|(key, checked)| (key, Ok(None), checked))
            }
            // Nobody; or somebody whose key was rehashed since it was looked for by its digest, and is compared with that.
            found => Answer::Now((key, found, Ok(None))),
        })
    }

    async fn hash(self, key: PresentedKey, record: Arc<KeyRecord>) -> (PresentedKey, Checked) {
        let busy = |text: &'static str| Rejection::unavailable("slow_hash_busy", text);
        let Ok(_waiting) = self.waiting.try_acquire() else {
            return (key, Err(busy("too many keys wait for a slow hash to be compared")));
        };
        let Ok(Ok(permit)) = timeout(PATIENCE, Arc::clone(&self.at_once).acquire_owned()).await else {
            return (key, Err(busy("a slow hash was not compared in time")));
        };
        let Ok(runtime) = Handle::try_current() else {
            return (key, Err(busy("it takes a runtime of tokio to compare a slow hash")));
        };
        let verify = Arc::clone(&self.verify);
        let (text, of) = (key.copied(), Arc::clone(&record));
        // The permit goes with the work: a caller that goes away does not make room for another one.
        let compared = runtime.spawn_blocking(move || {
            let _permit = permit;
            of.slow_hash().is_some_and(|hash| verify(text.expose(), hash))
        });
        let checked = match compared.await {
            Ok(matches) => Ok(Some((record, matches))),
            Err(error) => Err(Rejection::misconfigured("slow_hash_failed", error)),
        };
        (key, checked)
    }
}

/// The record that a key says it is, if it has a slow hash, and whether the hash is one of the key.
pub(super) type Checked = Result<Option<(Arc<KeyRecord>, bool)>, Rejection>;

/// Checks a key by its slow hash, if nothing else was found and there are such hashes.
pub(super) fn or_slowly(
    slow: Option<SlowHashes>,
    core: Arc<Core>,
    key: PresentedKey,
    found: Found,
) -> Answer<(Arc<Core>, PresentedKey, Found, Checked)> {
    match (slow, &found) {
        (Some(slow), Ok(None)) => slow.check(&core, key).map(move |(key, found, checked)| (core, key, found, checked)),
        _ => Answer::Now((core, key, found, Ok(None))),
    }
}

impl fmt::Debug for SlowHashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SlowHashes")
    }
}
