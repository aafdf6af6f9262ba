//! Keys in memory.
//!
//! Readers take no lock: they look into concurrent hash tables. Writers take turns, and a record is replaced as a
//! whole, so a reader sees the one before or the one after, never a mixture. By digest only the id is found, so there
//! is one place where a record is current.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use papaya::HashMap;

use super::{AdminError, Found, KeyAdmin, KeyChange, KeyFilter, KeyStore, Lookup, Page, after};
use crate::api_key::{DigestTag, IssuedKey, KeyDigest, KeyFormat, KeyHasher, KeyId, KeyRecord, KeyRules, NewKey};
use crate::{Answer, ConfigError, Durability, Secret};

/// Keeps keys in memory: the store for tests, for one process, and for keys that come from a file or an environment
/// variable at start. Cloning shares it, and changes work at once.
///
/// ```
/// use std::time::Duration;
/// use tower_keep::{ApiKeyLayer, MemoryStore, NewKey};
///
/// let keys = MemoryStore::new();
/// let layer = ApiKeyLayer::new(keys.clone());
///
/// let issued = keys.issue(NewKey::for_owner("billing").scopes(["read"]))?;
/// let newer = keys.rotate(issued.id(), Duration::from_secs(60 * 60))?; // both work for an hour
/// keys.revoke(newer.id())?; // neither works
/// # Ok::<(), tower_keep::AdminError>(())
/// ```
#[derive(Clone)]
pub struct MemoryStore(Arc<Inner>);

struct Inner {
    rules: KeyRules,
    // Maps a record's id to the record. The key is the record itself, which costs a pointer and not a copy of the id;
    // it may be an older version of the value, which has the same id.
    records: HashMap<ById, Arc<KeyRecord>>,
    digests: HashMap<Indexed, KeyId>,
    // The ids in order. Its lock is what writers take turns by.
    order: Mutex<BTreeSet<ById>>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// Makes an empty store for keys with the prefix `tk`. Digests are peppered with bytes that end with the process.
    pub fn new() -> Self {
        Self::of_format(KeyFormat::default())
    }

    /// Makes an empty store for keys with a prefix of one's own, such as `acme_live`, and else as [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// [`ConfigError::KeyPrefix`].
    pub fn with_prefix(prefix: &str) -> Result<Self, ConfigError> {
        Ok(Self::of_format(KeyFormat::new(prefix)?))
    }

    /// Makes an empty store with rules of one's own: a pepper that outlives the process, keys that were imported.
    pub fn with(rules: KeyRules) -> Self {
        Self(Arc::new(Inner { rules, records: HashMap::new(), digests: HashMap::new(), order: Mutex::default() }))
    }

    /// Makes a key and stores its record.
    ///
    /// # Errors
    ///
    /// [`AdminError::Issue`] if what was asked for cannot be.
    pub fn issue(&self, new: NewKey) -> Result<IssuedKey, AdminError> {
        let issued = self.0.rules.issue(new)?;
        self.put(Arc::clone(issued.record()))?;
        Ok(issued)
    }

    /// Stores the record of a key of another form, for which the caller vouches that it has 128 bits of randomness.
    ///
    /// # Errors
    ///
    /// [`AdminError::Issue`] if the store's rules do not [accept](KeyRules::accepting_imported) such keys or this one,
    /// [`AdminError::AlreadyExists`] if it is there.
    pub fn import(&self, key: &Secret, new: NewKey) -> Result<Arc<KeyRecord>, AdminError> {
        let record = Arc::new(self.0.rules.import(key, new)?);
        self.put(Arc::clone(&record))?;
        Ok(record)
    }

    /// Stores a record that was made elsewhere.
    ///
    /// # Errors
    ///
    /// [`AdminError::AlreadyExists`] if its id or an indexed digest is taken.
    pub fn insert(&self, record: KeyRecord) -> Result<(), AdminError> {
        self.put(Arc::new(record))
    }

    /// Gives a key a new secret. The one before it goes on working for the grace period, and not past the end of the
    /// key; callers that use it are told by the header field `Api-Key-Superseded`.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`], [`AdminError::Ended`], and [`AdminError::Issue`] if the id of the key cannot stand in
    /// a key of the store's format.
    pub fn rotate(&self, id: &KeyId, grace: Duration) -> Result<IssuedKey, AdminError> {
        let (key, digest) = self.0.rules.reissue(id)?;
        let at = self.0.rules.now();
        let record = self.change(id, KeyChange::Supersede { digest, until: after(at, grace), at })?;
        Ok(self.0.rules.issued(key, record))
    }

    /// Revokes a key for good, with all its secrets. No request that starts after this is admitted.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`].
    pub fn revoke(&self, id: &KeyId) -> Result<Arc<KeyRecord>, AdminError> {
        self.change(id, KeyChange::Revoke { at: self.0.rules.now() })
    }

    /// Changes a record as [`KeyChange::apply`] says.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`], and those of the change.
    pub fn change(&self, id: &KeyId, change: KeyChange) -> Result<Arc<KeyRecord>, AdminError> {
        let mut order = self.lock();
        let record = self.get(id).ok_or(AdminError::NotFound)?;
        match change.apply(&record)? {
            Some(changed) if changed.indexed_digests().any(|digest| self.is_of_another(digest, id)) => {
                Err(AdminError::AlreadyExists)
            }
            Some(changed) => Ok(self.replace(&mut order, &record, changed)),
            None => Ok(record),
        }
    }

    /// Lists records in the order of their ids, from behind one id on, up to a limit.
    pub fn list(&self, filter: &KeyFilter, after: Option<&KeyId>, limit: usize) -> Page {
        let order = self.lock();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut matching = order.range::<KeyId, _>((start, Bound::Unbounded)).filter(|entry| filter.matches(&entry.0));
        let records: Vec<_> = matching.by_ref().take(limit).map(|entry| Arc::clone(&entry.0)).collect();
        let more = matching.next().is_some();
        let next = records.last().filter(|_| more).map(|record| *record.id());
        Page { records, next }
    }

    /// Drops the records of keys that ended before a time, and returns how many there were.
    pub fn sweep(&self, ended_before: SystemTime) -> u64 {
        let mut order = self.lock();
        let is_over = |record: &KeyRecord| record.ended_at().is_some_and(|end| end < ended_before);
        let over: Vec<_> = order.iter().filter(|entry| is_over(&entry.0)).map(|entry| Arc::clone(&entry.0)).collect();
        for record in &over {
            order.remove(record.id());
            self.0.records.pin().remove(record.id());
            record.indexed_digests().for_each(|digest| {
                self.0.digests.pin().remove(&Indexed::of(digest));
            });
        }
        over.len() as u64
    }

    /// Returns how the keys in this store are written and hashed.
    pub fn rules(&self) -> KeyRules {
        self.0.rules.clone()
    }

    /// Returns the record of an id.
    pub fn get(&self, id: &KeyId) -> Option<Arc<KeyRecord>> {
        self.0.records.pin().get(id).cloned()
    }

    /// Returns how many records there are, revoked and expired ones included.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Returns whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn of_format(format: KeyFormat) -> Self {
        // Without randomness no key can be issued either, and that call will say so.
        let hasher = KeyHasher::ephemeral().unwrap_or_else(|_| KeyHasher::sha256());
        Self::with(KeyRules::new(format, hasher))
    }

    fn is_of_another(&self, digest: &KeyDigest, id: &KeyId) -> bool {
        self.0.digests.pin().get(&Indexed::of(digest)).is_some_and(|owner| owner != id)
    }

    fn put(&self, record: Arc<KeyRecord>) -> Result<(), AdminError> {
        let mut order = self.lock();
        let digests = self.0.digests.pin();
        let taken = record.indexed_digests().any(|digest| digests.contains_key(&Indexed::of(digest)));
        if taken || order.contains(record.id()) {
            return Err(AdminError::AlreadyExists);
        }
        self.0.records.pin().insert(ById(Arc::clone(&record)), Arc::clone(&record));
        for digest in record.indexed_digests() {
            digests.insert(Indexed::of(digest), *record.id());
        }
        order.insert(ById(record));
        Ok(())
    }

    fn replace(&self, order: &mut BTreeSet<ById>, old: &KeyRecord, new: KeyRecord) -> Arc<KeyRecord> {
        let new = Arc::new(new);
        self.0.records.pin().insert(ById(Arc::clone(&new)), Arc::clone(&new));
        order.replace(ById(Arc::clone(&new)));
        let digests = self.0.digests.pin();
        for digest in new.indexed_digests() {
            digests.insert(Indexed::of(digest), *new.id());
        }
        for gone in old.indexed_digests() {
            if !new.indexed_digests().any(|kept| kept.matches(gone)) {
                digests.remove(&Indexed::of(gone));
            }
        }
        new
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<ById>> {
        // Nothing can panic between two changes that belong together.
        self.0.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyStore for MemoryStore {
    fn find(&self, by: &Lookup) -> Answer<Found> {
        Answer::Now(Ok(match by {
            Lookup::Id(id) => self.get(id),
            Lookup::Digest(digest) => {
                let id = self.0.digests.pin().get(&Indexed::of(digest)).copied();
                id.and_then(|id| self.get(&id))
            }
        }))
    }

    fn rules(&self) -> KeyRules {
        self.rules()
    }
}

impl KeyAdmin for MemoryStore {
    fn insert(&self, record: KeyRecord) -> Answer<Result<(), AdminError>> {
        Answer::Now(self.insert(record))
    }

    fn change(&self, id: &KeyId, change: KeyChange) -> Answer<Result<Arc<KeyRecord>, AdminError>> {
        Answer::Now(self.change(id, change))
    }

    fn list(&self, filter: &KeyFilter, after: Option<&KeyId>, limit: usize) -> Answer<Result<Page, AdminError>> {
        Answer::Now(Ok(self.list(filter, after, limit)))
    }

    fn sweep(&self, ended_before: SystemTime) -> Answer<Result<u64, AdminError>> {
        Answer::Now(Ok(self.sweep(ended_before)))
    }

    fn durability(&self) -> Durability {
        Durability::Volatile
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("rules", &self.0.rules).field("keys", &self.len()).finish()
    }
}

/// A record that is told from others by its id alone.
struct ById(Arc<KeyRecord>);

impl Borrow<KeyId> for ById {
    fn borrow(&self) -> &KeyId {
        self.0.id()
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id() == other.0.id()
    }
}

impl Eq for ById {}

impl PartialOrd for ById {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ById {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.id().cmp(other.0.id())
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id().hash(state);
    }
}

/// A digest as an index entry. It is found by hashing and `==`, whose time may show how far two digests agree: that
/// tells nothing, since a caller who could compute digests would need the pepper, and 256 bits to guess by.
#[derive(Eq, Hash, PartialEq)]
struct Indexed(DigestTag, [u8; 32]);

impl Indexed {
    const fn of(digest: &KeyDigest) -> Self {
        Self(digest.tag(), *digest.as_bytes())
    }
}
