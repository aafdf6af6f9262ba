//! How a key is written.
//!
//! ```text
//! acme_live_4fJk0aQz81Lm_9sX…43 characters…Tb0kZ3qP
//! ├───────┘ ├──────────┘ ├─────────────────┘├────┘
//! prefix    id           secret             checksum
//! ```
//!
//! * The **prefix** names product, kind and environment, and makes a key recognisable wherever it leaks to.
//! * The **id** is public: it is what logs, lists and revocations speak of. 12 characters.
//! * The **secret** is 43 characters of the operating system's randomness, 256 bits.
//! * The **checksum** is the CRC-32 of everything before it, 6 characters. It is no secret and no signature: it lets a
//!   scanner drop a false hit without asking anyone, and the layer refuse a typing error without hashing or looking up
//!   anything.
//!
//! All characters behind the prefix are letters and digits, so a double click selects the whole key.

use std::fmt;
use std::sync::Arc;

use super::{IssueError, KeyId};
use crate::{ConfigError, Secret};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID: usize = 12;
const SECRET: usize = 43;
const CHECKSUM: usize = 6;
const PREFIX_MAX: usize = 32;

/// The form of the keys of one product: a prefix, and what follows from it. Cloning shares it.
///
/// ```
/// use tower_keep::{FormatError, KeyFormat};
///
/// let format = KeyFormat::new("acme_live")?;
/// let key = format.generate()?;
///
/// assert_eq!(format.parse(key.expose())?.as_str().len(), 12);
/// assert_eq!(format.parse("acme_live_short"), Err(FormatError::Shape));
/// assert_eq!(format.parse("sk_live_other"), Err(FormatError::Foreign));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyFormat {
    /// With the `_` that ends it.
    prefix: Arc<str>,
}

impl Default for KeyFormat {
    /// Returns the format with the prefix `tk`. A prefix of one's own is better found by secret scanners.
    fn default() -> Self {
        Self { prefix: Arc::from("tk_") }
    }
}

impl KeyFormat {
    /// Makes the format for a prefix, such as `acme_live`: ASCII letters and digits with single `_` between them, 32
    /// characters at most.
    ///
    /// # Errors
    ///
    /// [`ConfigError::KeyPrefix`].
    pub fn new(prefix: &str) -> Result<Self, ConfigError> {
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if prefix.len() > PREFIX_MAX || !prefix.split('_').all(is_word) {
            return Err(ConfigError::KeyPrefix { length: prefix.len() });
        }
        Ok(Self { prefix: Arc::from(format!("{prefix}_")) })
    }

    /// Returns the prefix.
    pub fn prefix(&self) -> &str {
        self.prefix.trim_end_matches('_')
    }

    /// Returns whether a text starts as keys of this format do, whatever follows. Such a text is never taken for a
    /// credential of another kind.
    pub fn owns(&self, text: &str) -> bool {
        self.owns_bytes(text.as_bytes())
    }

    pub(super) fn owns_bytes(&self, bytes: &[u8]) -> bool {
        bytes.starts_with(self.prefix.as_bytes())
    }

    /// Makes a key.
    ///
    /// # Errors
    ///
    /// [`IssueError::Randomness`] if the operating system has no randomness to give.
    pub fn generate(&self) -> Result<Secret, IssueError> {
        self.generate_for(&Self::fresh_id()?)
    }

    /// Makes a key with an id that is known, for a rotation. The id has to be one of this format.
    pub(super) fn generate_for(&self, id: &KeyId) -> Result<Secret, IssueError> {
        // The whole length at once: a text that grows leaves copies of itself behind.
        let mut key = Secret::with_capacity(self.prefix.len() + ID + 1 + SECRET + CHECKSUM);
        key.push(&self.prefix);
        key.push(id.as_str());
        key.push("_");
        random(SECRET, |letter| key.push(letter))?;
        let checksum = checksum(key.expose());
        key.push(std::str::from_utf8(&checksum).unwrap_or_default());
        Ok(key)
    }

    /// Draws an id.
    pub(super) fn fresh_id() -> Result<KeyId, IssueError> {
        let mut id = String::with_capacity(ID);
        random(ID, |letter| id.push_str(letter))?;
        Ok(KeyId::new(&id)?)
    }

    /// Reads a key and returns its public id. Nothing is hashed and nothing is looked up.
    ///
    /// # Errors
    ///
    /// [`FormatError::Foreign`] if the text does not start with the prefix, [`FormatError::Shape`] if it is not built
    /// as described above, [`FormatError::Checksum`] if it was mistyped or made up.
    pub fn parse(&self, text: &str) -> Result<KeyId, FormatError> {
        let rest = text.strip_prefix(&*self.prefix).ok_or(FormatError::Foreign)?;
        let are_letters = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_alphanumeric);
        let id = match rest.as_bytes().split_first_chunk::<ID>() {
            Some((id, [b'_', secret @ ..])) if secret.len() == SECRET + CHECKSUM => {
                if !are_letters(id) || !are_letters(secret) {
                    return Err(FormatError::Shape);
                }
                KeyId::of_letters(id)
            }
            _ => return Err(FormatError::Shape),
        };
        let (body, given) = text.split_at(text.len() - CHECKSUM);
        if given.as_bytes() != checksum(body) {
            return Err(FormatError::Checksum);
        }
        Ok(id)
    }

    /// Returns the part of a key that may be shown: prefix and id.
    pub fn public_part(&self, id: &KeyId) -> String {
        format!("{}{id}", self.prefix)
    }

    /// Returns the regular expression that finds keys of this format in texts, for secret scanners. What it finds is a
    /// key if [`parse`](Self::parse) says so.
    pub fn pattern(&self) -> String {
        format!(r"\b{}[0-9A-Za-z]{{{ID}}}_[0-9A-Za-z]{{{}}}\b", self.prefix, SECRET + CHECKSUM)
    }
}

/// A text is not a key of a [`KeyFormat`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FormatError {
    /// It does not start with the prefix: it may be a credential of another kind.
    Foreign,
    /// It starts with the prefix, and lengths or characters are wrong.
    Shape,
    /// It looks like a key, and the checksum does not fit.
    Checksum,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Foreign => "the text does not start with the prefix of this key format",
            Self::Shape => "the key has a wrong length, or characters that no key has",
            Self::Checksum => "the checksum of the key does not fit",
        })
    }
}

impl std::error::Error for FormatError {}

/// Draws letters, each as likely as any other: bytes from 248 on would favour the first eight, and are drawn again.
fn random(count: usize, mut put: impl FnMut(&str)) -> Result<(), IssueError> {
    let mut left = count;
    let mut bytes = zeroize::Zeroizing::new([0; 64]);
    while left > 0 {
        getrandom::fill(&mut *bytes)?;
        for byte in bytes.iter().filter(|byte| **byte < 248).take(left) {
            let letter = [ALPHABET[usize::from(byte % 62)]];
            put(std::str::from_utf8(&letter).unwrap_or_default());
            left -= 1;
        }
    }
    Ok(())
}

/// Writes the CRC-32 of a text in base 62, the most significant digit first.
fn checksum(text: &str) -> [u8; CHECKSUM] {
    let mut rest = crc32(text.as_bytes()) as usize;
    let mut digits = [0; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[rest % 62];
        rest /= 62;
    }
    digits
}

/// The CRC-32 of zip and Ethernet, reflected, of some bytes. It tells typing errors and secures nothing.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut entry = index as u32;
            let mut bit = 0;
            while bit < 8 {
                entry = (entry >> 1) ^ (0xEDB8_8320 * (entry & 1));
                bit += 1;
            }
            table[index] = entry;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_crc_32_in_base_62() {
        // CRC-32 of "123456789" is 0xCBF43926, the check value of the algorithm's catalogue entry.
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        let digits = checksum("123456789");
        let value = digits.iter().fold(0_u64, |value, digit| {
            value * 62 + ALPHABET.iter().position(|letter| letter == digit).unwrap() as u64
        });
        assert_eq!(value, 0xCBF4_3926);
        assert_eq!(&checksum(""), b"000000");
    }
}
