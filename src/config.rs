//! What can be wrong with a configuration.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;

/// A layer, a scheme or a store was configured with something it cannot use.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A header field name is not one (RFC 9110, section 5.1).
    HeaderName {
        /// What was given instead.
        given: String,
    },
    /// A header field has a meaning of its own and cannot hold a key.
    HeaderReserved {
        /// The field.
        given: String,
    },
    /// A query parameter or cookie name is empty or has characters that would need quoting.
    ParameterName {
        /// What was given instead.
        given: String,
    },
    /// An origin is not `scheme://host[:port]` (RFC 6454, section 6.2).
    Origin {
        /// What was given instead.
        given: String,
    },
    /// A scope is not a scope token: printable ASCII without space, `"` and `\` (RFC 6749, section 3.3).
    Scope {
        /// What was given instead.
        given: String,
    },
    /// A list of needed scopes is empty, so it is not clear who may pass.
    ScopesEmpty,
    /// A method path is not `/package.Service/Method`.
    MethodPath {
        /// What was given instead.
        given: String,
    },
    /// A realm has characters outside printable ASCII.
    Realm {
        /// What was given instead.
        given: String,
    },
    /// A key prefix is not made of ASCII letters and digits, with single `_` between them, 32 characters at most.
    KeyPrefix {
        /// How long the text is that was given. It may be a secret in the wrong place, so it is not shown.
        length: usize,
    },
    /// A key id is empty, longer than 36 characters, or has characters other than ASCII letters, digits, `-`, `.`
    /// and `_`.
    KeyId {
        /// How long the text is that was given. It may be a secret in the wrong place, so it is not shown.
        length: usize,
    },
    /// A pepper id is not 1 to 8 ASCII letters, digits or `-`.
    PepperId {
        /// How long the text is that was given. It may be a secret in the wrong place, so it is not shown.
        length: usize,
    },
    /// Two ways to make digests have one tag, so it would not be clear by which pepper a digest was made.
    PepperIdRepeated {
        /// The tag.
        given: String,
    },
    /// A pepper is shorter than 32 bytes.
    PepperTooShort {
        /// How many bytes were given.
        bytes: usize,
    },
    /// A digest tag is neither `sha256` nor `hmac-sha256/<pepper id>`.
    DigestTag {
        /// How long the text is that was given. It may be a secret in the wrong place, so it is not shown.
        length: usize,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeaderName { given } => write!(f, "{given:?} is not a header field name"),
            Self::HeaderReserved { given } => {
                write!(f, "header field {given:?} has a meaning of its own and cannot hold a key")
            }
            Self::ParameterName { given } => write!(f, "{given:?} cannot name a query parameter or cookie"),
            Self::Origin { given } => write!(f, "{given:?} is not an origin such as \"https://app.example.com\""),
            Self::Scope { given } => write!(f, "{given:?} is not a scope token"),
            Self::ScopesEmpty => f.write_str("the list of needed scopes is empty"),
            Self::MethodPath { given } => {
                write!(f, "{given:?} is not a method path such as \"/package.Service/Method\"")
            }
            Self::Realm { given } => write!(f, "realm {given:?} has characters outside printable ASCII"),
            Self::KeyPrefix { length } => write!(
                f,
                "a text of {length} bytes is no key prefix: letters and digits with single '_' between them, 32 at most"
            ),
            Self::KeyId { length } => {
                write!(f, "a text of {length} bytes is no key id: 1 to 36 ASCII letters, digits, '-', '.' or '_'")
            }
            Self::PepperId { length } => {
                write!(f, "a text of {length} bytes is no pepper id: 1 to 8 ASCII letters, digits or '-'")
            }
            Self::PepperIdRepeated { given } => write!(f, "two ways to make digests have the tag {given:?}"),
            Self::PepperTooShort { bytes } => write!(f, "a pepper of {bytes} bytes is too short, 32 are needed"),
            Self::DigestTag { length } => {
                write!(f, "a text of {length} bytes is neither \"sha256\" nor \"hmac-sha256/<pepper id>\"")
            }
        }
    }
}

impl Error for ConfigError {}

impl From<Infallible> for ConfigError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
