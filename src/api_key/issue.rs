//! How keys are made: a format, a hasher and a clock, and what is asked of a new key.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{KeyDigest, KeyFormat, KeyHasher, KeyId, KeyRecord, RateLimit};
use crate::{Clock, ConfigError, Scopes, Secret, SystemClock};

/// Shorter texts cannot hold 128 bits in base 62, and a fast hash would not protect them.
pub(super) const IMPORT_MIN: usize = 22;

/// The rules that whoever makes keys and whoever checks them share: a [`KeyFormat`], a [`KeyHasher`] and a [`Clock`].
///
/// A store carries them, so that the layer in front of it reads keys the way they were written. Cloning is cheap.
///
/// ```
/// use tower_keep::{KeyFormat, KeyHasher, KeyRules, MemoryStore};
///
/// # let pepper = [7_u8; 32];
/// let rules = KeyRules::new(KeyFormat::new("acme_live")?, KeyHasher::peppered("2026", pepper)?);
/// let store = MemoryStore::with(rules);
/// # Ok::<(), tower_keep::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct KeyRules {
    format: KeyFormat,
    hasher: KeyHasher,
    clock: Arc<dyn Clock>,
    imported: bool,
}

impl Default for KeyRules {
    /// Returns the rules of stores that set none: the default format, SHA-256 without a pepper, the machine's clock.
    fn default() -> Self {
        Self::new(KeyFormat::default(), KeyHasher::sha256())
    }
}

impl KeyRules {
    /// Combines a format and a hasher.
    pub fn new(format: KeyFormat, hasher: KeyHasher) -> Self {
        Self { format, hasher, clock: Arc::new(SystemClock), imported: false }
    }

    /// Makes digests in another way.
    #[must_use]
    pub fn with_hasher(mut self, hasher: KeyHasher) -> Self {
        self.hasher = hasher;
        self
    }

    /// Tells the time by another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Accepts keys of other forms as well, which were imported and are found by their digest. Any text is then a key
    /// that has to be hashed and looked up.
    #[must_use]
    pub const fn accepting_imported(mut self) -> Self {
        self.imported = true;
        self
    }

    /// Returns the format.
    pub const fn format(&self) -> &KeyFormat {
        &self.format
    }

    /// Returns the hasher.
    pub const fn hasher(&self) -> &KeyHasher {
        &self.hasher
    }

    /// Returns the time of day.
    pub fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Returns whether keys of other forms are accepted.
    pub const fn accepts_imported(&self) -> bool {
        self.imported
    }

    /// Makes a key and the record to store; nothing is stored yet.
    ///
    /// # Errors
    ///
    /// [`IssueError`] if what was asked for cannot be, or if there is no randomness.
    pub fn issue(&self, new: NewKey) -> Result<IssuedKey, IssueError> {
        let id = KeyFormat::fresh_id()?;
        let key = self.format.generate_for(&id)?;
        let record = new.record(id, self.hasher.digest(key.expose()), self.now())?;
        Ok(self.issued(key, Arc::new(record)))
    }

    /// Makes the record for a key of another form; nothing is stored yet. The caller vouches for 128 bits of
    /// randomness in it.
    ///
    /// # Errors
    ///
    /// [`IssueError::ImportTooShort`] and [`IssueError::ImportOwnFormat`] for the text, the rest for what was asked.
    pub fn import(&self, key: &Secret, new: NewKey) -> Result<KeyRecord, IssueError> {
        let text = key.expose();
        if !self.imported {
            return Err(IssueError::ImportNotAccepted);
        }
        if text.len() < IMPORT_MIN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(IssueError::ImportTooShort);
        }
        if self.format.owns(text) {
            return Err(IssueError::ImportOwnFormat);
        }
        let record = new.record(KeyFormat::fresh_id()?, self.hasher.digest(text), self.now())?;
        Ok(record.imported())
    }

    /// Makes the record for a key of which only a digest is known; nothing is stored yet. The caller vouches for 128 bits of
    /// randomness in the key, and for what the digest was made of.
    ///
    /// ```
    /// use tower_keep::{DigestTag, KeyDigest, KeyHasher, KeyRules, NewKey};
    ///
    /// // SELECT encode(key_hash, 'hex'), owner FROM api_keys
    /// let hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    /// let hasher = KeyHasher::sha256().also_accepting_bare_sha256()?;
    /// let rules = KeyRules::default().with_hasher(hasher).accepting_imported();
    ///
    /// let digest = KeyDigest::from_hex(DigestTag::SHA256_BARE, hex)?;
    /// let record = rules.import_digest(digest, NewKey::for_owner("billing"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`IssueError::ImportNotAccepted`], also for digests that the hasher does not accept, and what else was asked wrongly.
    pub fn import_digest(&self, digest: KeyDigest, new: NewKey) -> Result<KeyRecord, IssueError> {
        if !self.imported || !self.hasher.tags().any(|tag| tag == digest.tag()) {
            return Err(IssueError::ImportNotAccepted);
        }
        Ok(new.record(KeyFormat::fresh_id()?, digest, self.now())?.imported())
    }

    /// Makes the record for a key of which only a slow hash is known; nothing is stored yet. The id is what the function
    /// given to [`ApiKey::slow_hashes`](crate::ApiKey::slow_hashes) makes of the key.
    ///
    /// # Errors
    ///
    /// As [`import_digest`](Self::import_digest).
    pub fn import_slow_hash(&self, id: KeyId, hash: &str, new: NewKey) -> Result<KeyRecord, IssueError> {
        if !self.imported {
            return Err(IssueError::ImportNotAccepted);
        }
        Ok(new.record(id, KeyDigest::none(), self.now())?.slowly_hashed(hash))
    }

    /// Makes a new secret for a key that is there, to be stored as its present one.
    ///
    /// # Errors
    ///
    /// [`IssueError::ForeignId`] if the id cannot stand in a key of this format.
    pub fn reissue(&self, id: &KeyId) -> Result<(Secret, KeyDigest), IssueError> {
        let key = self.format.generate_for(id)?;
        match self.format.parse(key.expose()) {
            Ok(_) => {
                let digest = self.hasher.digest(key.expose());
                Ok((key, digest))
            }
            Err(_) => Err(IssueError::ForeignId),
        }
    }

    pub(super) fn issued(&self, key: Secret, record: Arc<KeyRecord>) -> IssuedKey {
        IssuedKey { key, public: self.format.public_part(record.id()), record }
    }
}

/// What is asked of a new key: an owner, and what else there is to say.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use tower_keep::{MemoryStore, NewKey};
///
/// let keys = MemoryStore::new();
/// let in_a_year = SystemTime::now() + Duration::from_secs(365 * 24 * 60 * 60);
/// let issued = keys.issue(
///     NewKey::for_owner("billing")
///         .scopes(["orders:read"])
///         .expires_at(in_a_year)
///         .label("issued-by", "alice"),
/// )?;
/// println!("shown once: {}", issued.key().expose());
/// # Ok::<(), tower_keep::AdminError>(())
/// ```
#[derive(Clone, Debug)]
pub struct NewKey {
    owner: String,
    scopes: Result<Scopes, ConfigError>,
    not_before: Option<SystemTime>,
    expires_at: Option<SystemTime>,
    labels: Vec<(String, String)>,
    rate: Option<RateLimit>,
    networks: Vec<String>,
}

impl NewKey {
    /// Asks for a key of an owner. It may do nothing, is good from now on, and does not end, unless more is said.
    pub fn for_owner(owner: impl Into<String>) -> Self {
        Self {
            owner: owner.into(),
            scopes: Ok(Scopes::none()),
            not_before: None,
            expires_at: None,
            labels: Vec::new(),
            rate: None,
            networks: Vec::new(),
        }
    }

    /// Sets what the key may do: a list, or [`Scopes`] that many keys share. A scope that is none is reported when the
    /// key is issued.
    #[must_use]
    pub fn scopes<T>(mut self, scopes: T) -> Self
    where
        T: TryInto<Scopes>,
        T::Error: Into<ConfigError>,
    {
        self.scopes = scopes.try_into().map_err(Into::into);
        self
    }

    /// Sets from when on the key is good, rounded up to a second.
    #[must_use]
    pub const fn not_before(mut self, when: SystemTime) -> Self {
        self.not_before = Some(when);
        self
    }

    /// Sets when the key ends, rounded down to a second.
    #[must_use]
    pub const fn expires_at(mut self, when: SystemTime) -> Self {
        self.expires_at = Some(when);
        self
    }

    /// Adds a label, for people: who asked for it, what for.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }

    /// Limits how many requests the key may make, which [`KeyLimits`](crate::KeyLimits) enforces.
    #[must_use]
    pub const fn rate(mut self, rate: RateLimit) -> Self {
        self.rate = Some(rate);
        self
    }

    /// Accepts the key from some networks or addresses alone, such as `10.0.0.0/8`. One that is none is reported when the
    /// key is issued. See [`KeyRecord::with_networks`] for what it takes.
    #[must_use]
    pub fn networks<T: Into<String>>(mut self, networks: impl IntoIterator<Item = T>) -> Self {
        self.networks.extend(networks.into_iter().map(Into::into));
        self
    }

    fn record(self, id: KeyId, digest: KeyDigest, now: SystemTime) -> Result<KeyRecord, IssueError> {
        if self.owner.is_empty() {
            return Err(IssueError::OwnerEmpty);
        }
        let record = KeyRecord::new(id, self.owner, digest).with_scopes(self.scopes?).with_created_at(now);
        let record = self.not_before.into_iter().fold(record, KeyRecord::with_not_before);
        let record = self.expires_at.into_iter().fold(record, KeyRecord::with_expires_at);
        let start = record.not_before().map_or(now, |start| start.max(now));
        if record.expires_at().is_some_and(|end| end <= start) {
            return Err(IssueError::NeverValid);
        }
        let record = record.with_networks(self.networks)?;
        let record = self.rate.into_iter().fold(record, KeyRecord::with_rate);
        let labels = self.labels.into_iter();
        Ok(labels.fold(record, |record, (name, value)| record.with_label(name, value)))
    }
}

/// A key that was just made. This is the only time it can be seen.
#[derive(Clone, Debug)]
pub struct IssuedKey {
    key: Secret,
    public: String,
    record: Arc<KeyRecord>,
}

impl IssuedKey {
    /// Returns the key, to be shown once and not kept.
    pub const fn key(&self) -> &Secret {
        &self.key
    }

    /// Returns the public id.
    pub fn id(&self) -> &KeyId {
        self.record.id()
    }

    /// Returns the part of the key that may be shown and logged: prefix and id.
    pub fn public_part(&self) -> &str {
        &self.public
    }

    /// Returns what the store keeps.
    pub const fn record(&self) -> &Arc<KeyRecord> {
        &self.record
    }
}

/// A key could not be made.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum IssueError {
    /// Something asked for is not of the right form.
    Config(ConfigError),
    /// The owner is empty.
    OwnerEmpty,
    /// The key would end before it starts, or has ended already.
    NeverValid,
    /// The store's rules do not accept keys of other forms: see [`KeyRules::accepting_imported`].
    ImportNotAccepted,
    /// A key to import is shorter than 22 characters, or has others than printable ASCII without spaces.
    ImportTooShort,
    /// A key to import starts as this format's own keys do, and would never be looked up by its digest.
    ImportOwnFormat,
    /// The id of the key cannot stand in a key of this format.
    ForeignId,
    /// The operating system has no randomness to give.
    Randomness(getrandom::Error),
}

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(_) => f.write_str("the key was asked for in a wrong way"),
            Self::OwnerEmpty => f.write_str("the owner is empty"),
            Self::NeverValid => f.write_str("the key would end before it starts, or has ended already"),
            Self::ImportNotAccepted => f.write_str("the rules of this store do not accept imported keys"),
            Self::ImportTooShort => write!(f, "a key to import needs {IMPORT_MIN} printable ASCII characters or more"),
            Self::ImportOwnFormat => f.write_str("a key to import starts with the prefix of this store's own keys"),
            Self::ForeignId => f.write_str("the id of the key cannot stand in a key of this format"),
            Self::Randomness(_) => f.write_str("the operating system has no randomness to give"),
        }
    }
}

impl std::error::Error for IssueError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Randomness(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ConfigError> for IssueError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<getrandom::Error> for IssueError {
    fn from(error: getrandom::Error) -> Self {
        Self::Randomness(error)
    }
}

/// Adds a grace period to a time; one that is too long for the clock lasts for ever, as far as the clock goes.
pub(super) fn after(now: SystemTime, grace: Duration) -> SystemTime {
    now.checked_add(grace).unwrap_or(SystemTime::UNIX_EPOCH + Duration::from_secs(u32::MAX.into()))
}
