//! Text that must not be seen.

use std::fmt;

use zeroize::Zeroizing;

/// A secret text: never printed, wiped from memory when dropped.
///
/// ```
/// use tower_keep::Secret;
///
/// let secret = Secret::new("correct horse".to_owned());
/// assert_eq!(format!("{secret:?}"), "Secret([redacted])");
/// assert_eq!(secret.expose(), "correct horse");
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over; the caller's copies, if any, stay the caller's to wipe.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    #[cfg_attr(not(feature = "api-key"), allow(dead_code, reason = "keys are the secrets that are made here"))]
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self::new(String::with_capacity(bytes))
    }

    #[cfg_attr(not(feature = "api-key"), allow(dead_code, reason = "keys are the secrets that are made here"))]
    pub(crate) fn push(&mut self, text: &str) {
        self.0.push_str(text);
    }

    /// Returns the text. The name is there to be searched for.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}
