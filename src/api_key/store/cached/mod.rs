//! Copies of records, in front of a store that is far away.
//!
//! ```
//! use tower_keep::{ApiKeyLayer, Cached, KeyStore};
//!
//! fn layer(store: impl KeyStore) -> ApiKeyLayer {
//!     ApiKeyLayer::new(Cached::new(store))
//! }
//! ```
//!
//! # How long a copy is good
//!
//! A record is found in memory for 10 seconds after it was read, and that there is none for 2 seconds; then the store is asked
//! again, and nobody is served what is older. A key that is used in the last two of these seconds is asked for ahead of time,
//! apart from its request, so that nobody waits. Whether a key is revoked, expired or not yet good is judged each time it comes,
//! by the copy.
//!
//! A store that tells of changes ([`KeyStore::notices`]) makes copies of changed records end at once: those of PostgreSQL,
//! Redis, SQLite and files do. If the link over which it tells goes down, the log says so, and each copy that there is at that
//! moment counts no longer: the store is asked at the next use, and the copy is served only if it does not answer in 250
//! milliseconds. From then on the ten seconds are what is left: so long may a key that is revoked elsewhere be let in at most.
//! A look-up that began before a change never brings back what was there before it.
//!
//! # When the store is down
//!
//! Keys whose copy is good are let in, and all others are answered 503, within 2 seconds at most, however many there are: one
//! look-up is under way for each key, 192 in all of keys of which nothing is known, and 64 of others. With [`stale_while_down`](Cached::stale_while_down), records that were
//! good until then are served a little longer, for a minute at most, and only while the store fails.

mod admin;
mod copies;
mod doubts;
mod listen;
mod loads;
mod table;

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::task::AbortHandle;
use tokio::time::Instant;

use copies::{Copies, Place};
use doubts::Doubts;
use loads::Loads;

use super::{Found, KeyStore, Lookup};
use crate::api_key::{KeyId, KeyRules};
use crate::events::{REFUSALS_PER_SECOND, RefusalLog};
use crate::{Answer, ConfigError};

const TTL: Duration = Duration::from_secs(10);
const TTL_MAX: Duration = Duration::from_secs(10 * 60);
const NEGATIVE_TTL: Duration = Duration::from_secs(2);
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(60);
const STALE_MAX: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(2);
const CAPACITY: usize = 100_000;

/// A store with copies of its records in memory; see the [module](self). Cloning shares it.
pub struct Cached<S>(Arc<Shared<S>>);

struct Shared<S> {
    store: Arc<S>,
    settings: Settings,
    copies: Copies,
    doubts: Doubts,
    loads: Loads,
    log: RefusalLog,
    /// Whether the store tells of changes at the moment; nothing if it never does.
    link: Mutex<Link>,
    listening: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    ttl: Duration,
    negative_ttl: Duration,
    stale: Duration,
    timeout: Duration,
    capacity: usize,
}

#[derive(Default)]
struct Link {
    is_up: Option<bool>,
    task: Option<AbortHandle>,
}

impl<S: KeyStore> Cached<S> {
    /// Keeps copies of the records of a store.
    pub fn new(store: S) -> Self {
        let settings = Settings {
            ttl: TTL,
            negative_ttl: NEGATIVE_TTL,
            stale: Duration::ZERO,
            timeout: TIMEOUT,
            capacity: CAPACITY,
        };
        Self::with(Arc::new(store), settings)
    }

    /// Sets how long a record is good after it was read: 10 seconds by default, 10 minutes at most. It is how long a key may
    /// still be let in that was revoked elsewhere, while the store does not tell.
    ///
    /// # Errors
    ///
    /// [`ConfigError::CacheTime`].
    pub fn ttl(self, ttl: Duration) -> Result<Self, ConfigError> {
        let ttl = at_most(ttl, TTL_MAX)?;
        Ok(self.set(|settings| settings.ttl = ttl))
    }

    /// Sets how long it is remembered that there is no such key: 2 seconds by default, a minute at most.
    ///
    /// # Errors
    ///
    /// [`ConfigError::CacheTime`].
    pub fn negative_ttl(self, ttl: Duration) -> Result<Self, ConfigError> {
        let ttl = at_most(ttl, NEGATIVE_TTL_MAX)?;
        Ok(self.set(|settings| settings.negative_ttl = ttl))
    }

    /// Serves records that were good until then for a while longer, while the store fails: a minute at most. The default is
    /// not to.
    ///
    /// # Errors
    ///
    /// [`ConfigError::CacheTime`].
    ///
    /// # Security
    ///
    /// A key that was revoked elsewhere may be let in for that time more.
    pub fn stale_while_down(self, time: Duration) -> Result<Self, ConfigError> {
        let stale = at_most(time, STALE_MAX)?;
        Ok(self.set(|settings| settings.stale = stale))
    }

    /// Sets how long the store may take to answer before a request is answered 503: 2 seconds by default.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.timeout = timeout)
    }

    /// Sets how many records are kept: 100,000 by default. One that is used makes way for none that is not.
    #[must_use]
    pub fn capacity(self, records: usize) -> Self {
        self.set(|settings| settings.capacity = records)
    }

    /// Drops the copy of a key, so that the next request asks the store.
    pub fn invalidate(&self, id: &KeyId) {
        self.0.forget(id);
    }

    /// Drops all copies.
    pub fn clear(&self) {
        self.0.forget_all();
    }

    /// Returns whether the store tells of changes at the moment; nothing if it never does, or was not asked yet.
    pub fn is_told(&self) -> Option<bool> {
        self.0.link().is_up
    }

    /// Returns how many records there are copies of.
    pub fn len(&self) -> usize {
        self.0.copies.records.len()
    }

    /// Returns whether there are no copies.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the store.
    pub fn store(&self) -> &S {
        &self.0.store
    }

    fn with(store: Arc<S>, settings: Settings) -> Self {
        Self(Arc::new(Shared {
            store,
            settings,
            copies: Copies::new(settings.capacity),
            doubts: Doubts::default(),
            loads: Loads::default(),
            log: RefusalLog::new(REFUSALS_PER_SECOND),
            link: Mutex::default(),
            listening: AtomicBool::new(false),
        }))
    }

    /// Makes another one with other settings, in front of the same store. Clones from before keep what they have.
    fn set(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.0.settings;
        change(&mut settings);
        Self::with(Arc::clone(&self.0.store), settings)
    }
}

fn at_most(given: Duration, most: Duration) -> Result<Duration, ConfigError> {
    if given > most {
        return Err(ConfigError::CacheTime { given, most });
    }
    Ok(given)
}

impl<S> Shared<S> {
    fn link(&self) -> std::sync::MutexGuard<'_, Link> {
        // Nothing panics while it is held.
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, id: &KeyId) {
        self.loads.overtake(
            |place| !matches!(place, Place::Id(other) if other != id),
            || {
                self.copies.records.remove(id);
                self.copies.unknown.remove(&Place::Id(*id));
            },
        );
        // A key that is new may be one of those whose digest was looked for; it has to wait for 2 seconds at most.
    }

    fn forget_all(&self) {
        self.loads.overtake(
            |_| true,
            || {
                self.copies.clear();
            },
        );
    }
}

impl<S> Drop for Shared<S> {
    fn drop(&mut self) {
        self.link().task.take().inspect(AbortHandle::abort);
    }
}

impl<S: KeyStore> KeyStore for Cached<S> {
    fn find(&self, by: &Lookup) -> Answer<Found> {
        let place = Place::of(by);
        self.0.listen();
        match self.0.copies.find(&place, Instant::now(), &self.0.doubts) {
            Some(known) => {
                if known.is_due {
                    self.0.refresh(place);
                }
                Answer::Now(Ok(known.record))
            }
            None => Answer::later(Arc::clone(&self.0).load(place)),
        }
    }

    fn seen(&self, id: &KeyId, when: SystemTime) {
        self.0.store.seen(id, when);
    }

    fn rules(&self) -> KeyRules {
        self.0.store.rules()
    }
}

impl<S> Clone for Cached<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: fmt::Debug> fmt::Debug for Cached<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached")
            .field("store", &self.0.store)
            .field("settings", &self.0.settings)
            .field("records", &self.0.copies.records.len())
            .finish_non_exhaustive()
    }
}
