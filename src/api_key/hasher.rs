//! What is kept of a key: a digest, never the key.
//!
//! Keys that this crate makes have 256 bits of randomness, so a fast hash is as hard to invert as a slow one. A
//! **pepper**, a secret that lives beside the server and not in its database, makes a leaked table of digests useless
//! even for keys that were imported and are weaker, and keeps digests from being computed by anyone else.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::IssueError;
use crate::ConfigError;

/// Separates the digests of keys from any other use of SHA-256, and of the same pepper.
const DOMAIN: &[u8] = b"tower-keep/api-key/1\0";
const PEPPER_MIN: usize = 32;
const PEPPER_ID_MAX: usize = 8;

/// Makes the digests of keys, for the layer and for whoever issues keys. Cloning shares it.
///
/// A digest is SHA-256 or HMAC-SHA-256 over `tower-keep/api-key/1`, a zero byte, and the whole key. Digests that another
/// system made of its keys are others, and cannot be used.
///
/// It writes digests in one way and may accept others, so that a pepper can be introduced or replaced while keys live
/// on:
///
/// ```
/// use tower_keep::KeyHasher;
///
/// # let [new, old] = [[7_u8; 32], [1_u8; 32]];
/// let hasher = KeyHasher::peppered("2026", new)?
///     .also_accepting(&KeyHasher::peppered("2025", old)?)?
///     .also_accepting(&KeyHasher::sha256())?;
/// assert_eq!(hasher.digest("some key").tag().to_string(), "hmac-sha256/2026");
/// # Ok::<(), tower_keep::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct KeyHasher {
    /// The way that digests are written.
    present: Way,
    older: Arc<[Way]>,
}

/// A way to make digests.
#[derive(Clone)]
struct Way {
    tag: DigestTag,
    /// The HMAC with its key absorbed, which saves two blocks on every request; without a pepper there is none.
    keyed: Option<Hmac<Sha256>>,
}

impl KeyHasher {
    /// Hashes without a pepper: `sha256`.
    pub fn sha256() -> Self {
        Self { present: Way { tag: DigestTag::SHA256, keyed: None }, older: Arc::new([]) }
    }

    /// Hashes with a pepper of at least 32 random bytes: `hmac-sha256/<pepper id>`. The id is 1 to 8 ASCII letters,
    /// digits or `-`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::PepperId`] and [`ConfigError::PepperTooShort`].
    pub fn peppered(id: &str, pepper: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let (tag, pepper) = (DigestTag::peppered(id)?, pepper.as_ref());
        let short = ConfigError::PepperTooShort { bytes: pepper.len() };
        if pepper.len() < PEPPER_MIN {
            return Err(short);
        }
        // HMAC takes keys of any length; an error could only speak of the length.
        let keyed = Hmac::new_from_slice(pepper).map_err(|_| short)?;
        Ok(Self { present: Way { tag, keyed: Some(keyed) }, older: Arc::new([]) })
    }

    /// Accepts the digests that another hasher makes or accepts as well.
    ///
    /// # Errors
    ///
    /// [`ConfigError::PepperIdRepeated`].
    pub fn also_accepting(self, other: &Self) -> Result<Self, ConfigError> {
        if let Some(repeated) = other.ways().find(|way| self.ways().any(|known| known.tag == way.tag)) {
            return Err(ConfigError::PepperIdRepeated { given: repeated.tag.to_string() });
        }
        let older = self.older.iter().chain(other.ways()).cloned().collect();
        Ok(Self { older, ..self })
    }

    /// Hashes with a pepper that nobody knows and that ends with the process: right for keys that live in memory.
    pub(super) fn ephemeral() -> Result<Self, IssueError> {
        let mut pepper = Zeroizing::new([0; PEPPER_MIN]);
        getrandom::fill(&mut *pepper)?;
        Ok(Self::peppered("memory", pepper.as_slice())?)
    }

    /// Makes the digest that new records keep.
    pub fn digest(&self, key: &str) -> KeyDigest {
        self.present.digest(key)
    }

    /// Makes a digest of the kind that a record has, or nothing if that kind is not accepted.
    pub fn digest_as(&self, tag: DigestTag, key: &str) -> Option<KeyDigest> {
        Some(self.ways().find(|way| way.tag == tag)?.digest(key))
    }

    /// Returns the tags of the digests that it accepts, the one that it writes first.
    pub fn tags(&self) -> impl Iterator<Item = DigestTag> {
        self.ways().map(|way| way.tag)
    }

    fn ways(&self) -> impl Iterator<Item = &Way> {
        [&self.present].into_iter().chain(&*self.older)
    }
}

impl Way {
    fn digest(&self, key: &str) -> KeyDigest {
        let bytes = match self.keyed.clone() {
            Some(hmac) => hmac.chain_update(DOMAIN).chain_update(key.as_bytes()).finalize().into_bytes(),
            None => Sha256::new().chain_update(DOMAIN).chain_update(key.as_bytes()).finalize(),
        };
        KeyDigest::new(self.tag, bytes.into())
    }
}

impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.tags()).finish()
    }
}

/// How a digest was made: `sha256`, or `hmac-sha256/<pepper id>`.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DigestTag([u8; PEPPER_ID_MAX]);

impl DigestTag {
    /// SHA-256 without a pepper.
    pub const SHA256: Self = Self([0; PEPPER_ID_MAX]);

    fn peppered(id: &str) -> Result<Self, ConfigError> {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if id.is_empty() || id.len() > PEPPER_ID_MAX || !id.bytes().all(is_letter) {
            return Err(ConfigError::PepperId { length: id.len() });
        }
        let mut tag = [0; PEPPER_ID_MAX];
        tag[..id.len()].copy_from_slice(id.as_bytes());
        Ok(Self(tag))
    }
}

impl FromStr for DigestTag {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        match text.split_once('/') {
            None if text == "sha256" => Ok(Self::SHA256),
            Some(("hmac-sha256", id)) => Self::peppered(id),
            _ => Err(ConfigError::DigestTag { length: text.len() }),
        }
    }
}

impl fmt::Display for DigestTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::SHA256 {
            return f.write_str("sha256");
        }
        let id = std::str::from_utf8(&self.0).unwrap_or_default();
        write!(f, "hmac-sha256/{}", id.trim_end_matches('\0'))
    }
}

impl fmt::Debug for DigestTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The digest of a key: its tag and 32 bytes.
///
/// It has no `==`: two digests are compared by [`matches`](Self::matches), which takes the same time wherever they
/// differ.
#[derive(Clone, Copy)]
pub struct KeyDigest {
    tag: DigestTag,
    bytes: [u8; 32],
}

impl KeyDigest {
    /// Puts a digest together that a store has kept.
    pub const fn new(tag: DigestTag, bytes: [u8; 32]) -> Self {
        Self { tag, bytes }
    }

    /// Returns how it was made.
    pub const fn tag(&self) -> DigestTag {
        self.tag
    }

    /// Returns its 32 bytes, for a store to keep.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Compares in constant time. Digests of different tags never match.
    pub fn matches(&self, other: &Self) -> bool {
        let words = |bytes: &[u8; 32]| {
            let (words, _) = bytes.as_chunks::<8>();
            [words[0], words[1], words[2], words[3]].map(u64::from_ne_bytes)
        };
        let (left, right) = (words(&self.bytes), words(&other.bytes));
        // Four words through `subtle` cost a twentieth of 32 bytes through it. The tag is no secret.
        let equal =
            left[0].ct_eq(&right[0]) & left[1].ct_eq(&right[1]) & left[2].ct_eq(&right[2]) & left[3].ct_eq(&right[3]);
        self.tag == other.tag && bool::from(equal)
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyDigest({}, [redacted])", self.tag)
    }
}
