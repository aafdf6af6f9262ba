//! Peppers as text: how a file or an environment variable holds them, for servers and for the command line alike.
//!
//! Each line is `<pepper id>:<hexadecimal digits>`, 64 digits or more, which are 32 bytes. The first pepper is the one that
//! digests are written with; the others are accepted, so that keys which were made with them live on. What follows a `#`
//! is a comment, and spaces are as good as ends of lines:
//!
//! ```text
//! # written
//! 2026:6b1f…
//! # accepted as long as there are keys of that time
//! 2025:09c4…
//! ```

use std::path::Path;

use zeroize::Zeroizing;

use super::{IssueError, KeyHasher};
use crate::{ConfigError, Secret};

/// How many bytes a fresh pepper has.
const FRESH: usize = 32;

impl KeyHasher {
    /// Reads peppers out of a file: the first one is written, the others are accepted. See the
    /// [module](crate::api_key::pepper) for its form. A file with one pepper is
    ///
    /// ```text
    /// 2026:6b1f0c5e9a3d7284bb10c8f2e6d4a59713f08e2c6d9ab4571e03f8c2a6d7b945
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::PepperFile`] if it cannot be read, and those of [`from_pepper_text`](Self::from_pepper_text).
    pub fn from_pepper_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::PepperFile { reason: format!("{}: {error}", path.display()) })?;
        Self::from_pepper_text(&Zeroizing::new(text))
    }

    /// Reads peppers out of a text, such as the value of an environment variable, which has the form of a
    /// [file](Self::from_pepper_file).
    ///
    /// ```
    /// use tower_keep::KeyHasher;
    ///
    /// let (new, old) = ("a7".repeat(32), "3c".repeat(32));
    /// let hasher = KeyHasher::from_pepper_text(&format!("2026:{new}\n2025:{old}\n"))?;
    /// assert_eq!(format!("{hasher:?}"), "[hmac-sha256/2026, hmac-sha256/2025]");
    /// # Ok::<(), tower_keep::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::PepperText`], [`ConfigError::PeppersMissing`], and those of [`peppered`](Self::peppered) and
    /// [`also_accepting`](Self::also_accepting).
    pub fn from_pepper_text(text: &str) -> Result<Self, ConfigError> {
        let mut hasher: Option<Self> = None;
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            for entry in line.split_whitespace() {
                let wrong = || ConfigError::PepperText { line: index + 1 };
                let (id, digits) = entry.split_once(':').ok_or_else(wrong)?;
                let pepper = Self::peppered(id, &*from_hex(digits).ok_or_else(wrong)?)?;
                hasher = Some(match hasher {
                    Some(hasher) => hasher.also_accepting(&pepper)?,
                    None => pepper,
                });
            }
        }
        hasher.ok_or(ConfigError::PeppersMissing)
    }

    /// Draws a pepper of 32 bytes, and returns the line for a file of them.
    ///
    /// # Errors
    ///
    /// [`ConfigError::PepperId`] for the id, and [`IssueError::Randomness`] if the operating system has none to give.
    pub fn fresh_pepper(id: &str) -> Result<Secret, IssueError> {
        let mut bytes = Zeroizing::new([0; FRESH]);
        getrandom::fill(&mut *bytes)?;
        Self::peppered(id, bytes.as_slice())?;
        let mut line = Secret::with_capacity(id.len() + 1 + 2 * FRESH);
        line.push(id);
        line.push(":");
        for digit in bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
            let digit = [b"0123456789abcdef"[usize::from(digit)]];
            line.push(std::str::from_utf8(&digit).unwrap_or_default());
        }
        Ok(line)
    }
}

fn from_hex(digits: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| (digit as char).to_digit(16);
    // The whole length at once: a vector that grows leaves copies of itself behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for [high, low] in pairs {
        bytes.push((digit(*high)? << 4 | digit(*low)?) as u8);
    }
    rest.is_empty().then_some(bytes)
}
