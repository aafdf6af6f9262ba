//! Where keys are kept: [`KeyStore`] finds them, [`KeyAdmin`] changes them.
//!
//! A store never sees a key. It finds a [`KeyRecord`] by its public id, or by a digest where the key has the form of
//! another system, and it is the layer that compares. People who have a table already write one closure, and say by the
//! rules how keys are written and hashed, and whether those of other forms are accepted:
//!
//! ```
//! use std::sync::Arc;
//! use tower_keep::{ApiKeyLayer, KeyRecord, KeyRules, Lookup, StoreError, store_fn};
//!
//! async fn select(lookup: Lookup) -> Result<Option<Arc<KeyRecord>>, StoreError> {
//!     match lookup {
//!         Lookup::Id(id) => Ok(None),         // SELECT .. WHERE id = $1: keys that tower-keep made
//!         Lookup::Digest(digest) => Ok(None), // SELECT .. WHERE digest = $1: KeyRecord::new(..).imported()
//!     }
//! }
//!
//! let layer = ApiKeyLayer::new(store_fn(select).rules(KeyRules::default().accepting_imported()));
//! ```

mod audit;
pub mod cached;
mod change;
mod closure;
mod error;
#[cfg(feature = "file")]
pub mod file;
pub mod memory;
mod notices;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
mod upkeep;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

#[cfg(feature = "redis")]
pub use self::redis::{RedisStore, RedisStoreBuilder};
pub use audit::{AuditAction, AuditEntry};
pub use cached::Cached;
pub use change::KeyChange;
pub use closure::{StoreFn, store_fn};
pub use error::AdminError;
#[cfg(feature = "file")]
pub use file::{FileStatus, FileStore, FileStoreBuilder, KeyFileError};
pub use memory::MemoryStore;
pub use notices::{Notice, NoticeSender, Notices};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresStore, PostgresStoreBuilder};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteStore, SqliteStoreBuilder};

use super::issue::after;
use super::{IssuedKey, KeyDigest, KeyId, KeyRecord, KeyRules, NewKey};
use crate::{Answer, Durability, Secret, StoreError};

/// What a look-up found: a record, nothing, or an error of the store.
pub type Found = Result<Option<Arc<KeyRecord>>, StoreError>;

/// Finds keys. A store in memory answers at once, any other later.
pub trait KeyStore: Send + Sync + 'static {
    /// Finds a record. Revoked, expired and future ones are found, too: it is the layer that judges them, so that each
    /// is answered in the same way and time.
    ///
    /// An answer that comes later does nothing before it is polled for the first time. For a client that has failed
    /// [too often](crate::auth::throttle) it is dropped right away, and nobody has to be asked then.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it cannot be known whether there is one: the caller is answered 503, never 401.
    fn find(&self, by: &Lookup) -> Answer<Found>;

    /// Is told that a key was admitted. It is called on the request's path and has to return at once.
    fn seen(&self, _id: &KeyId, _when: SystemTime) {}

    /// Returns how the keys in this store are written and hashed. The layer asks once, when it is made.
    fn rules(&self) -> KeyRules {
        KeyRules::default()
    }

    /// Starts to tell of changes, for somebody who keeps copies of records, as [`Cached`] does. Nothing if the
    /// store does not tell, which is the default: a copy is then good for its time.
    fn notices(&self) -> Option<Notices> {
        None
    }
}

impl<T: KeyStore + ?Sized> KeyStore for Arc<T> {
    fn find(&self, by: &Lookup) -> Answer<Found> {
        (**self).find(by)
    }

    fn seen(&self, id: &KeyId, when: SystemTime) {
        (**self).seen(id, when);
    }

    fn rules(&self) -> KeyRules {
        (**self).rules()
    }

    fn notices(&self) -> Option<Notices> {
        (**self).notices()
    }
}

/// By what a record is looked for. These two are all there are: a store that did not know a third would have to say
/// that there is no such key.
#[derive(Clone, Copy, Debug)]
pub enum Lookup {
    /// By its public id.
    Id(KeyId),
    /// By the digest of a key that has the form of another system; see [`KeyRecord::indexed_digests`].
    Digest(KeyDigest),
}

/// Changes keys. What a store has to do is three verbs on records; making keys comes with them.
///
/// It is object-safe: tools hold an `Arc<dyn KeyAdmin>`. A store of one's own is checked by
/// `testing::key_store_contract`, with the feature `testing`.
pub trait KeyAdmin: KeyStore {
    /// Stores a new record.
    ///
    /// # Errors
    ///
    /// [`AdminError::AlreadyExists`] if the id or an [indexed digest](KeyRecord::indexed_digests) is taken.
    fn insert(&self, record: KeyRecord) -> Answer<Result<(), AdminError>>;

    /// Changes a record as [`KeyChange::apply`] says, in one step, and returns it as it is then. When the answer to a
    /// revocation is there, no request that starts is admitted by this store.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`], and those of the change.
    fn change(&self, id: &KeyId, change: KeyChange) -> Answer<Result<Arc<KeyRecord>, AdminError>>;

    /// Lists records in the order of the bytes of their ids, from behind one id on, up to a limit.
    ///
    /// # Errors
    ///
    /// [`AdminError::Store`] if the store cannot answer.
    fn list(&self, filter: &KeyFilter, after: Option<&KeyId>, limit: usize) -> Answer<Result<Page, AdminError>>;

    /// Stores many records, in one step where the store can, and returns the ids of those that were left out since they are
    /// [there already](AdminError::AlreadyExists). It can be repeated after an error. The default stores one after the other, and
    /// Redis ten thousand at a time.
    ///
    /// # Errors
    ///
    /// Those of [`insert`](Self::insert), but for [`AdminError::AlreadyExists`].
    fn insert_all(&self, records: Vec<KeyRecord>) -> Answer<Result<Vec<KeyId>, AdminError>> {
        insert_one_by_one(records.into_iter().map(|record| (*record.id(), self.insert(record))).collect())
    }

    /// Writes down what [`seen`](KeyStore::seen) told of, when the process is about to end. The default has nothing to write.
    ///
    /// # Errors
    ///
    /// [`AdminError::Store`] if it could not be written.
    fn flush(&self) -> Answer<Result<(), AdminError>> {
        Answer::Now(Ok(()))
    }

    /// Drops the records of keys that ended before a time, and returns how many there were. The default drops none.
    ///
    /// # Errors
    ///
    /// [`AdminError::Store`] if the store cannot answer; some may have been dropped.
    fn sweep(&self, ended_before: SystemTime) -> Answer<Result<u64, AdminError>> {
        let _ = ended_before;
        Answer::Now(Ok(0))
    }

    /// Lists who did what, the latest first, from before one number on, up to a limit; of one key, or of all.
    ///
    /// # Errors
    ///
    /// [`AdminError::Unsupported`] where that is not kept, which is the default.
    fn audit(
        &self,
        key: Option<&KeyId>,
        before: Option<u64>,
        limit: usize,
    ) -> Answer<Result<Vec<AuditEntry>, AdminError>> {
        let _ = (key, before, limit);
        Answer::Now(Err(AdminError::Unsupported))
    }

    /// Returns whether a change that is confirmed survives the end of the store's process and of its machine. The default
    /// says that it does.
    fn durability(&self) -> Durability {
        Durability::Durable
    }

    /// Revokes a key for good, with all its secrets, and returns its record. Revoking a revoked key changes nothing.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`].
    fn revoke(&self, id: &KeyId) -> Answer<Result<Arc<KeyRecord>, AdminError>> {
        self.change(id, KeyChange::Revoke { at: self.rules().now() })
    }

    /// Makes a key and stores its record.
    ///
    /// # Errors
    ///
    /// [`AdminError::Issue`] if what was asked for cannot be.
    fn issue(&self, new: NewKey) -> Answer<Result<IssuedKey, AdminError>> {
        match self.rules().issue(new) {
            Ok(issued) => self.insert((**issued.record()).clone()).map(|done| done.map(|()| issued)),
            Err(error) => Answer::Now(Err(error.into())),
        }
    }

    /// Stores the record of a key of another form, for which the caller vouches that it has 128 bits of randomness.
    ///
    /// # Errors
    ///
    /// [`AdminError::Issue`] if the store's rules do not accept such keys or this one.
    fn import(&self, key: &Secret, new: NewKey) -> Answer<Result<Arc<KeyRecord>, AdminError>> {
        match self.rules().import(key, new) {
            Ok(record) => self.insert(record.clone()).map(|done| done.map(|()| Arc::new(record))),
            Err(error) => Answer::Now(Err(error.into())),
        }
    }

    /// Gives a key a new secret. The one before it goes on working for the grace period, and not past the end of the
    /// key; callers that use it are told by the header field `Api-Key-Superseded`.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`], [`AdminError::Ended`] for a key that is revoked or has expired, and
    /// [`IssueError::ForeignId`](crate::IssueError::ForeignId) if the id of the key cannot stand in a key of the store's format.
    fn rotate(&self, id: &KeyId, grace: Duration) -> Answer<Result<IssuedKey, AdminError>> {
        let rules = self.rules();
        match rules.reissue(id) {
            Ok((key, digest)) => {
                let at = rules.now();
                let change = KeyChange::Supersede { digest, until: after(at, grace), at };
                self.change(id, change).map(move |done| done.map(|record| rules.issued(key, record)))
            }
            Err(error) => Answer::Now(Err(error.into())),
        }
    }
}

impl<T: KeyAdmin + ?Sized> KeyAdmin for Arc<T> {
    fn insert(&self, record: KeyRecord) -> Answer<Result<(), AdminError>> {
        (**self).insert(record)
    }

    fn change(&self, id: &KeyId, change: KeyChange) -> Answer<Result<Arc<KeyRecord>, AdminError>> {
        (**self).change(id, change)
    }

    fn list(&self, filter: &KeyFilter, after: Option<&KeyId>, limit: usize) -> Answer<Result<Page, AdminError>> {
        (**self).list(filter, after, limit)
    }

    fn insert_all(&self, records: Vec<KeyRecord>) -> Answer<Result<Vec<KeyId>, AdminError>> {
        (**self).insert_all(records)
    }

    fn flush(&self) -> Answer<Result<(), AdminError>> {
        (**self).flush()
    }

    fn sweep(&self, ended_before: SystemTime) -> Answer<Result<u64, AdminError>> {
        (**self).sweep(ended_before)
    }

    fn audit(
        &self,
        key: Option<&KeyId>,
        before: Option<u64>,
        limit: usize,
    ) -> Answer<Result<Vec<AuditEntry>, AdminError>> {
        (**self).audit(key, before, limit)
    }

    fn revoke(&self, id: &KeyId) -> Answer<Result<Arc<KeyRecord>, AdminError>> {
        (**self).revoke(id)
    }

    fn issue(&self, new: NewKey) -> Answer<Result<IssuedKey, AdminError>> {
        (**self).issue(new)
    }

    fn import(&self, key: &Secret, new: NewKey) -> Answer<Result<Arc<KeyRecord>, AdminError>> {
        (**self).import(key, new)
    }

    fn rotate(&self, id: &KeyId, grace: Duration) -> Answer<Result<IssuedKey, AdminError>> {
        (**self).rotate(id, grace)
    }

    fn durability(&self) -> Durability {
        (**self).durability()
    }
}

/// Waits for insertions one after the other, and collects the ids of those that were there already.
fn insert_one_by_one(
    insertions: Vec<(KeyId, Answer<Result<(), AdminError>>)>,
) -> Answer<Result<Vec<KeyId>, AdminError>> {
    let mut known = Vec::new();
    let mut insertions = insertions.into_iter();
    while let Some((id, insertion)) = insertions.next() {
        match insertion {
            Answer::Now(Ok(())) => {}
            Answer::Now(Err(AdminError::AlreadyExists)) => known.push(id),
            Answer::Now(Err(error)) => return Answer::Now(Err(error)),
            later => {
                return Answer::later(async move {
                    for (id, insertion) in std::iter::once((id, later)).chain(insertions) {
                        match insertion.await {
                            Ok(()) => {}
                            Err(AdminError::AlreadyExists) => known.push(id),
                            Err(error) => return Err(error),
                        }
                    }
                    Ok(known)
                });
            }
        }
    }
    Answer::Now(Ok(known))
}

/// Which records to list: all, unless something is said.
#[derive(Clone, Debug, Default)]
pub struct KeyFilter {
    owner: Option<String>,
    label: Option<(String, String)>,
    good_at: Option<SystemTime>,
}

impl KeyFilter {
    /// Lists the keys of one owner.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// Lists the keys with a label.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.label = Some((name.into(), value.into()));
        self
    }

    /// Lists the keys that are good at a time.
    #[must_use]
    pub const fn good_at(mut self, when: SystemTime) -> Self {
        self.good_at = Some(when);
        self
    }

    /// Returns whether a record is to be listed.
    pub fn matches(&self, record: &KeyRecord) -> bool {
        self.owner.as_ref().is_none_or(|owner| owner == record.owner())
            && self.label.as_ref().is_none_or(|(name, value)| record.labels().any(|label| label == (name, value)))
            && self.good_at.is_none_or(|when| record.fault(when).is_none())
    }
}

/// A page of a list.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The records, in the order of their ids.
    pub records: Vec<Arc<KeyRecord>>,
    /// Behind which id the next page starts, if there is one.
    pub next: Option<KeyId>,
}
