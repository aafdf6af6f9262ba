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

mod closure;
pub mod memory;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use closure::{StoreFn, store_fn};
pub use memory::MemoryStore;

use super::issue::after;
use super::{IssueError, IssuedKey, KeyDigest, KeyId, KeyRecord, KeyRules, NewKey};
use crate::{Answer, Secret, StoreError};

/// What a look-up found: a record, nothing, or an error of the store.
pub type Found = Result<Option<Arc<KeyRecord>>, StoreError>;

/// Finds keys. A store in memory answers at once, any other later.
pub trait KeyStore: Send + Sync + 'static {
    /// Finds a record. Revoked, expired and future ones are found, too: it is the layer that judges them, so that each
    /// is answered in the same way and time.
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

/// Changes keys. What a store has to do is four verbs on records; making keys comes with them.
///
/// It is object-safe: tools hold an `Arc<dyn KeyAdmin>`.
pub trait KeyAdmin: KeyStore {
    /// Stores a new record.
    ///
    /// # Errors
    ///
    /// [`AdminError::AlreadyExists`] if the id or an [indexed digest](KeyRecord::indexed_digests) is taken.
    fn insert(&self, record: KeyRecord) -> Answer<Result<(), AdminError>>;

    /// Revokes a key for good, with all its secrets, and returns its record. When the answer is there, no request that
    /// starts is admitted. Revoking a revoked key changes nothing.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`].
    fn revoke(&self, id: &KeyId) -> Answer<Result<Arc<KeyRecord>, AdminError>>;

    /// Makes another digest the present one, as [`KeyRecord::rotated`] does, and returns the record.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`], and [`AdminError::Ended`] for a key that is revoked or has expired.
    fn supersede(&self, id: &KeyId, digest: KeyDigest, until: SystemTime)
    -> Answer<Result<Arc<KeyRecord>, AdminError>>;

    /// Lists records in the order of their ids, from behind one id on, up to a limit.
    fn list(&self, filter: &KeyFilter, after: Option<&KeyId>, limit: usize) -> Answer<Result<Page, AdminError>>;

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
    /// As [`supersede`](Self::supersede); [`IssueError::ForeignId`] if the id of the key cannot stand in a key of the
    /// store's format.
    fn rotate(&self, id: &KeyId, grace: Duration) -> Answer<Result<IssuedKey, AdminError>> {
        let rules = self.rules();
        match rules.reissue(id) {
            Ok((key, digest)) => {
                let until = after(rules.now(), grace);
                self.supersede(id, digest, until).map(move |done| done.map(|record| rules.issued(key, record)))
            }
            Err(error) => Answer::Now(Err(error.into())),
        }
    }
}

impl<T: KeyAdmin + ?Sized> KeyAdmin for Arc<T> {
    fn insert(&self, record: KeyRecord) -> Answer<Result<(), AdminError>> {
        (**self).insert(record)
    }

    fn revoke(&self, id: &KeyId) -> Answer<Result<Arc<KeyRecord>, AdminError>> {
        (**self).revoke(id)
    }

    fn supersede(
        &self,
        id: &KeyId,
        digest: KeyDigest,
        until: SystemTime,
    ) -> Answer<Result<Arc<KeyRecord>, AdminError>> {
        (**self).supersede(id, digest, until)
    }

    fn list(&self, filter: &KeyFilter, after: Option<&KeyId>, limit: usize) -> Answer<Result<Page, AdminError>> {
        (**self).list(filter, after, limit)
    }
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

/// A change to a store was not made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AdminError {
    /// The key could not be made.
    Issue(IssueError),
    /// There is no key of that id.
    NotFound,
    /// There is a key of that id or digest already.
    AlreadyExists,
    /// The key is revoked or has expired, and cannot be given a new secret.
    Ended,
    /// The store could not answer.
    Store(StoreError),
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Issue(_) => "the key could not be made",
            Self::NotFound => "there is no key of that id",
            Self::AlreadyExists => "there is a key of that id or digest already",
            Self::Ended => "the key is revoked or has expired",
            Self::Store(_) => "the key store could not answer",
        })
    }
}

impl Error for AdminError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Issue(error) => Some(error),
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<IssueError> for AdminError {
    fn from(error: IssueError) -> Self {
        Self::Issue(error)
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
