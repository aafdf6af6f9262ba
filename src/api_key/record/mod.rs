//! What a store keeps of a key.

mod id;
mod networks;
mod rate;
mod superseded;
#[cfg(feature = "records")]
mod text;
mod time;
#[cfg(feature = "records")]
mod written;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::SystemTime;

pub use id::KeyId;
pub use rate::RateLimit;
pub use superseded::Superseded;

use networks::Networks;
use time::Seconds;

use super::KeyDigest;
use crate::principal::Identity;
use crate::{ConfigError, Scopes};

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
    rate: Option<RateLimit>,
    networks: Networks,
    slow_hash: Option<Box<str>>,
    last_used_at: Option<Seconds>,
}

impl More {
    fn is_empty(&self) -> bool {
        let Self { labels, superseded, rate, networks, slow_hash, last_used_at } = self;
        labels.is_empty()
            && superseded.is_empty()
            && networks.is_empty()
            && rate.is_none()
            && slow_hash.is_none()
            && last_used_at.is_none()
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

    /// Starts a record of a key of which another system kept a slow hash, such as one of argon2 or bcrypt. The key is found
    /// by its id, and the hash is compared by what [`ApiKey::slow_hashes`](crate::ApiKey::slow_hashes) is given. A first use
    /// puts a fast digest in its place, where that may be written.
    pub fn with_slow_hash(id: KeyId, owner: impl Into<Box<str>>, hash: impl Into<Box<str>>) -> Self {
        Self::new(id, owner, KeyDigest::none()).slowly_hashed(hash)
    }

    pub(super) fn slowly_hashed(mut self, hash: impl Into<Box<str>>) -> Self {
        self.more.get_or_insert_default().slow_hash = Some(hash.into());
        self
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

    /// Sets when the key was last seen to be used, as far as the store knows.
    #[must_use]
    pub fn with_last_used_at(mut self, when: SystemTime) -> Self {
        self.more.get_or_insert_default().last_used_at = Some(Seconds::new(when));
        self
    }

    /// Sets how many requests the key may make, which [`KeyLimits`](crate::KeyLimits) enforces.
    #[must_use]
    pub fn with_rate(mut self, rate: RateLimit) -> Self {
        self.more.get_or_insert_default().rate = Some(rate);
        self
    }

    /// Adds networks, such as `10.0.0.0/8`, or addresses from which alone the key is accepted. The layer then has to know
    /// the address of the client, by an [`Origin`](crate::Origin).
    ///
    /// # Errors
    ///
    /// [`ConfigError::KeyNetwork`].
    pub fn with_networks<T: AsRef<str>>(mut self, networks: impl IntoIterator<Item = T>) -> Result<Self, ConfigError> {
        for network in networks {
            self.more.get_or_insert_default().networks.add(network.as_ref())?;
        }
        Ok(self)
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
        // A slow hash has no digest that could go on working.
        more.slow_hash = None;
        more.superseded.push(old);
        more.superseded.retain(|superseded| superseded.until() > now && !superseded.digest.is_none());
        self.digest = digest;
        self.imported = false;
        self.trimmed()
    }

    /// Puts another digest of the same secret in the place of one that it has, or in that of a slow hash: the present one or
    /// one that is superseded. Nothing changes if the record has no such digest.
    #[must_use]
    pub fn rehashed(mut self, from: &KeyDigest, to: KeyDigest) -> Self {
        if self.slow_hash().is_some() && from.is_none() {
            self.digest = to;
            self.imported = true;
            self.more.get_or_insert_default().slow_hash = None;
        } else if self.digest.matches(from) {
            self.digest = to;
        } else if let Some(more) = &mut self.more {
            more.superseded.iter_mut().filter(|old| old.digest.matches(from)).for_each(|old| old.digest = to);
        }
        self.trimmed()
    }

    /// Gives back the room of what is not there.
    fn trimmed(mut self) -> Self {
        if self.more.as_ref().is_some_and(|more| more.is_empty()) {
            self.more = None;
        }
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

    /// Returns when the key was last seen to be used, as far as the store knows: within a minute or so.
    pub fn last_used_at(&self) -> Option<SystemTime> {
        self.more.as_ref()?.last_used_at.map(Seconds::time)
    }

    /// Returns how many requests the key may make, if that is limited.
    pub fn rate(&self) -> Option<RateLimit> {
        self.more.as_ref()?.rate
    }

    /// Returns the networks from which alone the key is accepted; none if it is accepted from everywhere.
    pub fn networks(&self) -> impl Iterator<Item = String> {
        self.more.iter().flat_map(|more| more.networks.iter())
    }

    /// Returns whether the key is accepted from an address. One that is not known is in no network.
    pub fn allows(&self, address: Option<IpAddr>) -> bool {
        self.more.as_ref().is_none_or(|more| more.networks.allow(address))
    }

    /// Returns whether the key is accepted from some networks alone.
    pub fn is_bound_to_networks(&self) -> bool {
        self.more.as_ref().is_some_and(|more| !more.networks.is_empty())
    }

    /// Returns the slow hash that another system made of the key, until a digest has taken its place. It has no digest then.
    pub fn slow_hash(&self) -> Option<&str> {
        self.more.as_ref()?.slow_hash.as_deref()
    }

    /// Returns since when the key is of no use any more: revoked, or expired.
    pub fn ended_at(&self) -> Option<SystemTime> {
        [self.revoked_at(), self.expires_at()].into_iter().flatten().min()
    }

    /// Returns the labels.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let labels = self.more.iter().flat_map(|more| &more.labels);
        labels.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the digests of all its secrets.
    pub(crate) fn digests(&self) -> impl Iterator<Item = &KeyDigest> {
        [&self.digest].into_iter().chain(self.superseded().iter().map(Superseded::digest))
    }

    /// Returns the digests under which a store has to find this record, besides its id: those of imported secrets.
    pub fn indexed_digests(&self) -> impl Iterator<Item = &KeyDigest> {
        let present = (self.imported && !self.digest.is_none()).then_some(&self.digest);
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
