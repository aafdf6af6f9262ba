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
    how: How,
}

#[derive(Clone)]
enum How {
    /// The HMAC with its key absorbed, which saves two blocks on every request.
    Keyed(Hmac<Sha256>),
    Plain,
    /// As others do: the key and nothing else.
    Bare,
}

impl KeyHasher {
    /// Hashes without a pepper: `sha256`.
    pub fn sha256() -> Self {
        Self { present: Way { tag: DigestTag::SHA256, how: How::Plain }, older: Arc::new([]) }
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
        Ok(Self { present: Way { tag, how: How::Keyed(keyed) }, older: Arc::new([]) })
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

    /// Accepts digests that are the SHA-256 of the key and nothing else, as many systems keep them: `sha256-bare`. None is
    /// ever written; [`ApiKey::rehash`](crate::ApiKey::rehash) puts digests of the present kind in their place.
    ///
    /// # Errors
    ///
    /// [`ConfigError::PepperIdRepeated`] if they are accepted already.
    pub fn also_accepting_bare_sha256(self) -> Result<Self, ConfigError> {
        let bare = Way { tag: DigestTag::SHA256_BARE, how: How::Bare };
        self.also_accepting(&Self { present: bare, older: Arc::new([]) })
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
        let bytes = match &self.how {
            How::Keyed(hmac) => hmac.clone().chain_update(DOMAIN).chain_update(key.as_bytes()).finalize().into_bytes(),
            How::Plain => Sha256::new().chain_update(DOMAIN).chain_update(key.as_bytes()).finalize(),
            How::Bare => Sha256::digest(key.as_bytes()),
        };
        KeyDigest::new(self.tag, bytes.into())
    }
}

impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.tags()).finish()
    }
}

/// How a digest was made: `hmac-sha256/<pepper id>`, `sha256`, or `sha256-bare`.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DigestTag([u8; PEPPER_ID_MAX]);

impl DigestTag {
    /// SHA-256 without a pepper.
    pub const SHA256: Self = Self([0; PEPPER_ID_MAX]);
    /// SHA-256 of the key and nothing else, made by another system.
    pub const SHA256_BARE: Self = Self([1; PEPPER_ID_MAX]);
    /// There is no digest, but a slow hash.
    pub(super) const NONE: Self = Self([2; PEPPER_ID_MAX]);

    /// Returns whether the digest was made with a pepper.
    pub fn is_peppered(self) -> bool {
        ![Self::SHA256, Self::SHA256_BARE, Self::NONE].contains(&self)
    }

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
            None if text == "sha256-bare" => Ok(Self::SHA256_BARE),
            Some(("hmac-sha256", id)) => Self::peppered(id),
            _ => Err(ConfigError::DigestTag { length: text.len() }),
        }
    }
}

impl fmt::Display for DigestTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::SHA256 => return f.write_str("sha256"),
            Self::SHA256_BARE => return f.write_str("sha256-bare"),
            Self::NONE => return f.write_str("none"),
            _ => {}
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

    /// Reads a digest from 64 hexadecimal digits, as other systems write it.
    ///
    /// # Errors
    ///
    /// [`ConfigError::DigestText`].
    pub fn from_hex(tag: DigestTag, hex: &str) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::DigestText { length: hex.len() };
        let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
        let digit = |digit: u8| (digit as char).to_digit(16).ok_or_else(wrong);
        let mut bytes = [0; 32];
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err(wrong());
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = (digit(*high)? << 4 | digit(*low)?) as u8;
        }
        Ok(Self::new(tag, bytes))
    }

    /// Writes the 32 bytes as hexadecimal digits, for a store to keep.
    pub fn to_hex(&self) -> String {
        self.bytes.iter().fold(String::with_capacity(64), |mut hex, byte| {
            hex.extend([byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])));
            hex
        })
    }

    /// Returns what stands in the place of a digest where there is only a slow hash. No key has it.
    pub(super) const fn none() -> Self {
        Self::new(DigestTag::NONE, [0; 32])
    }

    pub(super) fn is_none(&self) -> bool {
        self.tag == DigestTag::NONE
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
