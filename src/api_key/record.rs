//! What a store keeps of a key.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;
use std::time::{Duration, SystemTime};

use super::KeyDigest;
use crate::principal::Identity;
use crate::{ConfigError, Scopes};

const ID_MAX: usize = 36;

/// The public id of a key: 1 to 36 ASCII letters, digits, `-`, `.` or `_`. It is no secret.
///
/// Keys that this crate makes have ids of 12 letters and digits; ids of other forms, such as UUIDs, come with keys that
/// were imported.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KeyId([u8; ID_MAX]);

impl KeyId {
    /// Reads an id.
    ///
    /// # Errors
    ///
    /// [`ConfigError::KeyId`].
    pub fn new(id: &str) -> Result<Self, ConfigError> {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if id.is_empty() || id.len() > ID_MAX || !id.bytes().all(is_letter) {
            return Err(ConfigError::KeyId { length: id.len() });
        }
        let mut bytes = [0; ID_MAX];
        bytes[..id.len()].copy_from_slice(id.as_bytes());
        Ok(Self(bytes))
    }

    /// Makes an id of twelve bytes that are known to be letters and digits.
    pub(super) fn of_letters(letters: &[u8; 12]) -> Self {
        let mut bytes = [0; ID_MAX];
        bytes[..12].copy_from_slice(letters);
        Self(bytes)
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(ID_MAX);
        // Only ASCII was let in.
        std::str::from_utf8(&self.0[..end]).unwrap_or_default()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// A point in time in whole seconds, which fits in a word even when it is absent.
#[derive(Clone, Copy, Debug)]
struct Seconds(NonZeroU64);

impl Seconds {
    /// Drops part seconds; what lies before 1970 becomes its first second.
    fn new(when: SystemTime) -> Self {
        let seconds = when.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        Self(NonZeroU64::new(seconds).unwrap_or(NonZeroU64::MIN))
    }

    /// Rounds up, so that nothing starts early.
    fn at_or_after(when: SystemTime) -> Self {
        Self::new(when.checked_add(Duration::from_nanos(999_999_999)).unwrap_or(when))
    }

    fn time(self) -> SystemTime {
        // A time that the platform cannot tell lies beyond all that it can.
        let since = Duration::from_secs(self.0.get());
        SystemTime::UNIX_EPOCH
            .checked_add(since)
            .unwrap_or(SystemTime::UNIX_EPOCH + Duration::from_secs(u32::MAX.into()))
    }
}

/// What a store keeps of a key: who owns it, what it may do, from when to when, and digests. Times are whole seconds.
///
/// ```
/// use tower_keep::{KeyHasher, KeyId, KeyRecord};
///
/// // What a store of one's own does with a row:
/// let digest = KeyHasher::sha256().digest("some key of another system");
/// let record = KeyRecord::new(KeyId::new("row-17")?, "billing", digest)
///     .with_scopes("read write".try_into()?)
///     .imported();
///
/// assert_eq!(record.owner(), "billing");
/// # Ok::<(), tower_keep::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct KeyRecord {
    id: KeyId,
    imported: bool,
    owner: Box<str>,
    scopes: Scopes,
    digest: KeyDigest,
    created_at: Option<Seconds>,
    not_before: Option<Seconds>,
    expires_at: Option<Seconds>,
    revoked_at: Option<Seconds>,
    more: Option<Box<More>>,
}

/// What few keys have.
#[derive(Clone, Default)]
struct More {
    labels: BTreeMap<String, String>,
    superseded: Vec<Superseded>,
}

/// A secret that a newer one has taken the place of, and that still works for a while.
#[derive(Clone, Copy, Debug)]
pub struct Superseded {
    digest: KeyDigest,
    imported: bool,
    until: Seconds,
}

impl Superseded {
    /// Puts one together that a store has kept.
    pub fn new(digest: KeyDigest, until: SystemTime, imported: bool) -> Self {
        Self { digest, imported, until: Seconds::new(until) }
    }

    /// Returns the digest.
    pub const fn digest(&self) -> &KeyDigest {
        &self.digest
    }

    /// Returns when it stops working.
    pub fn until(&self) -> SystemTime {
        self.until.time()
    }

    /// Returns whether it is found by its digest and not by the id of the key.
    pub const fn is_imported(&self) -> bool {
        self.imported
    }
}

impl KeyRecord {
    /// Starts a record: it may do nothing, is good from now on, and does not end.
    pub fn new(id: KeyId, owner: impl Into<Box<str>>, digest: KeyDigest) -> Self {
        Self {
            id,
            imported: false,
            owner: owner.into(),
            scopes: Scopes::none(),
            digest,
            created_at: None,
            not_before: None,
            expires_at: None,
            revoked_at: None,
            more: None,
        }
    }

    /// Sets what the key may do.
    #[must_use]
    pub fn with_scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = scopes;
        self
    }

    /// Says that the key has the form of another system, so that it is found by its digest.
    #[must_use]
    pub const fn imported(mut self) -> Self {
        self.imported = true;
        self
    }

    /// Sets when the key was made.
    #[must_use]
    pub fn with_created_at(mut self, when: SystemTime) -> Self {
        self.created_at = Some(Seconds::new(when));
        self
    }

    /// Sets from when on the key is good, rounded up to a second.
    #[must_use]
    pub fn with_not_before(mut self, when: SystemTime) -> Self {
        self.not_before = Some(Seconds::at_or_after(when));
        self
    }

    /// Sets when the key ends, rounded down to a second; at that second it is no longer good.
    #[must_use]
    pub fn with_expires_at(mut self, when: SystemTime) -> Self {
        self.expires_at = Some(Seconds::new(when));
        self
    }

    /// Sets when the key was revoked. A revoked key is never good again, not even before that time.
    #[must_use]
    pub fn with_revoked_at(mut self, when: SystemTime) -> Self {
        self.revoked_at = Some(Seconds::new(when));
        self
    }

    /// Adds a label, for people.
    #[must_use]
    pub fn with_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.more.get_or_insert_default().labels.insert(name.into(), value.into());
        self
    }

    /// Adds a secret that still works for a while.
    #[must_use]
    pub fn with_superseded(mut self, superseded: Superseded) -> Self {
        self.more.get_or_insert_default().superseded.push(superseded);
        self
    }

    /// Puts a new secret in the place of the present one, which goes on working until the given time, and not past the
    /// end of the key. Superseded secrets that have stopped working are dropped.
    #[must_use]
    pub fn rotated(mut self, digest: KeyDigest, until: SystemTime, now: SystemTime) -> Self {
        let until = self.expires_at().map_or(until, |end| end.min(until));
        let old = Superseded::new(self.digest, until, self.imported);
        let more = self.more.get_or_insert_default();
        more.superseded.push(old);
        more.superseded.retain(|superseded| superseded.until() > now);
        if more.superseded.is_empty() && more.labels.is_empty() {
            self.more = None;
        }
        self.digest = digest;
        self.imported = false;
        self
    }

    /// Returns the public id.
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    /// Returns whose key it is; the subject of the principal.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Returns what the key may do.
    pub const fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// Returns the digest of the present secret.
    pub const fn digest(&self) -> &KeyDigest {
        &self.digest
    }

    /// Returns whether the present secret has the form of another system and is found by its digest.
    pub const fn is_imported(&self) -> bool {
        self.imported
    }

    /// Returns the secrets that still work for a while.
    pub fn superseded(&self) -> &[Superseded] {
        self.more.as_ref().map_or(&[], |more| &more.superseded)
    }

    /// Returns when the key was made.
    pub fn created_at(&self) -> Option<SystemTime> {
        self.created_at.map(Seconds::time)
    }

    /// Returns from when on the key is good.
    pub fn not_before(&self) -> Option<SystemTime> {
        self.not_before.map(Seconds::time)
    }

    /// Returns when the key ends.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at.map(Seconds::time)
    }

    /// Returns when the key was revoked.
    pub fn revoked_at(&self) -> Option<SystemTime> {
        self.revoked_at.map(Seconds::time)
    }

    /// Returns the labels.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let labels = self.more.iter().flat_map(|more| &more.labels);
        labels.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the digests under which a store has to find this record, besides its id: those of imported secrets.
    pub fn indexed_digests(&self) -> impl Iterator<Item = &KeyDigest> {
        let present = self.imported.then_some(&self.digest);
        let before = self.superseded().iter().filter(|superseded| superseded.imported);
        present.into_iter().chain(before.map(Superseded::digest))
    }

    /// Returns why the key is not good at a time, as a reason code, or nothing if it is.
    pub(crate) fn fault(&self, now: SystemTime) -> Option<&'static str> {
        if self.revoked_at.is_some() {
            Some("key_revoked")
        } else if self.not_before().is_some_and(|start| now < start) {
            Some("key_not_yet_valid")
        } else if self.expires_at().is_some_and(|end| now >= end) {
            Some("key_expired")
        } else {
            None
        }
    }
}

impl fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRecord")
            .field("id", &self.id)
            .field("owner", &self.owner)
            .field("scopes", &self.scopes)
            .field("digest", &self.digest)
            .field("not_before", &self.not_before())
            .field("expires_at", &self.expires_at())
            .field("revoked_at", &self.revoked_at())
            .finish_non_exhaustive()
    }
}

impl Identity for KeyRecord {
    fn subject(&self) -> &str {
        &self.owner
    }

    fn scheme(&self) -> &str {
        super::SCHEME
    }

    fn issuer(&self) -> Option<&str> {
        None
    }

    fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    fn expires_at(&self) -> Option<SystemTime> {
        Self::expires_at(self)
    }

    fn credential_id(&self) -> Option<&str> {
        Some(self.id.as_str())
    }

    fn details(&self) -> Option<&(dyn Any + Send + Sync)> {
        Some(self)
    }
}
