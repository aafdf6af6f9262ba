//! The public id of a key.

use std::fmt;

use crate::ConfigError;

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
    pub(in crate::api_key) fn of_letters(letters: &[u8; 12]) -> Self {
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
