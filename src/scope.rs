//! What a principal may do, as OAuth 2.0 spells it.
//!
//! A scope is a token of printable ASCII without space, `"` and `\` (RFC 6749, section 3.3). [`Scopes`] is a set of
//! them in one shared text, so that a million keys with the same rights hold it once.
//!
//! ```
//! use tower_keep::Scopes;
//!
//! let scopes = Scopes::try_from("orders:write orders:read")?;
//! assert!(scopes.contains("orders:read"));
//! assert_eq!(scopes.to_string(), "orders:read orders:write");
//! assert_eq!(scopes, Scopes::try_from(["orders:read", "orders:write"])?);
//! # Ok::<(), tower_keep::ConfigError>(())
//! ```

use std::fmt;
use std::sync::Arc;

use crate::ConfigError;

/// The scope by which a client asks an authorization server for refresh tokens (OpenID Connect Core, section 11). No
/// resource needs it, and none may ask for it.
pub(crate) const OFFLINE_ACCESS: &str = "offline_access";

/// A set of scopes, sorted and without repetition; cloning shares it.
#[derive(Clone, Default, Eq, Hash, PartialEq)]
pub struct Scopes(Option<Arc<str>>);

impl Scopes {
    /// Returns the set of no scopes.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Collects scopes.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Scope`] names the first one that is not a scope token.
    pub fn new<T: AsRef<str>>(scopes: impl IntoIterator<Item = T>) -> Result<Self, ConfigError> {
        let scopes: Vec<T> = scopes.into_iter().collect();
        let mut all: Vec<&str> = scopes.iter().map(AsRef::as_ref).collect();
        match all.iter().find(|scope| !is_token(scope)) {
            Some(wrong) => Err(ConfigError::Scope { given: (*wrong).to_owned() }),
            None => Ok(Self::of_tokens(&mut all)),
        }
    }

    /// Collects what is a scope token, and leaves out what is none.
    pub(crate) fn of_those_that_are<'a>(scopes: impl Iterator<Item = &'a str>) -> Self {
        Self::of_tokens(&mut scopes.filter(|scope| is_token(scope)).collect())
    }

    /// Collects what is known to be scope tokens.
    fn of_tokens(all: &mut Vec<&str>) -> Self {
        all.sort_unstable();
        all.dedup();
        Self((!all.is_empty()).then(|| Arc::from(all.join(" "))))
    }

    /// Returns whether the scope is in the set.
    pub fn contains(&self, scope: &str) -> bool {
        self.iter().any(|held| held == scope)
    }

    /// Returns the scopes in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        // An empty text would split into one empty scope.
        self.0.iter().flat_map(|text| text.split(' '))
    }

    /// Returns whether there is no scope in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the set as one text, separated by single spaces.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

/// RFC 6749, section 3.3: `%x21 / %x23-5B / %x5D-7E`, at least one.
pub(crate) fn is_token(scope: &str) -> bool {
    is_token_of(scope.as_bytes())
}

fn is_token_of(scope: &[u8]) -> bool {
    !scope.is_empty() && scope.iter().all(|byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~'))
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl TryFrom<&str> for Scopes {
    type Error = ConfigError;

    /// Reads a space-separated list, as in the `scope` parameter of OAuth 2.0.
    fn try_from(list: &str) -> Result<Self, ConfigError> {
        let mut before: &[u8] = b"";
        let follows = |scope| is_token_of(scope) && std::mem::replace(&mut before, scope) < scope;
        match list.as_bytes().split(|byte| *byte == b' ').all(follows) {
            // Most lists are written as they are kept.
            true => Ok(Self(Some(Arc::from(list)))),
            false => Self::new(list.split(' ').filter(|scope| !scope.is_empty())),
        }
    }
}

impl<T: AsRef<str>> TryFrom<&[T]> for Scopes {
    type Error = ConfigError;

    fn try_from(list: &[T]) -> Result<Self, ConfigError> {
        Self::new(list)
    }
}

impl<T: AsRef<str>> TryFrom<&Vec<T>> for Scopes {
    type Error = ConfigError;

    fn try_from(list: &Vec<T>) -> Result<Self, ConfigError> {
        Self::new(list)
    }
}

impl<T: AsRef<str>, const N: usize> TryFrom<&[T; N]> for Scopes {
    type Error = ConfigError;

    fn try_from(list: &[T; N]) -> Result<Self, ConfigError> {
        Self::new(list)
    }
}

impl<T: AsRef<str>, const N: usize> TryFrom<[T; N]> for Scopes {
    type Error = ConfigError;

    fn try_from(list: [T; N]) -> Result<Self, ConfigError> {
        Self::new(list)
    }
}

impl<T: AsRef<str>> TryFrom<Vec<T>> for Scopes {
    type Error = ConfigError;

    fn try_from(list: Vec<T>) -> Result<Self, ConfigError> {
        Self::new(list)
    }
}
