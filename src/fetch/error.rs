//! Why an answer did not come.

use std::error::Error;
use std::fmt;

/// An answer that did not come, or is of no use. It is for the log alone: callers are told that something is out of reach.
#[derive(Debug)]
pub(crate) enum FetchError {
    /// It took too long.
    TimedOut,
    /// It is too long.
    TooLong,
    /// It has another status than was hoped for.
    Status(http::StatusCode),
    /// The server could not be reached, or broke off.
    Transport(Box<dyn Error + Send + Sync>),
    /// It makes no sense.
    Document(Box<dyn Error + Send + Sync>),
    /// There is none where it should be.
    Nowhere(Box<dyn Error + Send + Sync>),
    /// It says something else than what is configured.
    Contradiction(Box<dyn Error + Send + Sync>),
    /// What is needed to ask is not there: a file, a runtime.
    Local(Box<dyn Error + Send + Sync>),
}

impl FetchError {
    pub(crate) fn document(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Document(error.into())
    }

    #[cfg(any(feature = "jwks", feature = "introspection"))]
    pub(crate) fn nowhere(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Nowhere(error.into())
    }

    pub(crate) fn contradiction(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Contradiction(error.into())
    }

    pub(crate) fn local(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Local(error.into())
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => write!(f, "no answer within {} seconds", super::PATIENCE.as_secs()),
            Self::TooLong => write!(f, "the answer is longer than {} KiB", super::BODY_MAX / 1024),
            Self::Status(status) if status.is_redirection() => write!(f, "a redirect (status {})", status.as_u16()),
            Self::Status(status) => write!(f, "status {}", status.as_u16()),
            Self::Transport(_) => f.write_str("the server could not be reached"),
            Self::Document(_) => f.write_str("the answer makes no sense"),
            Self::Nowhere(_) => f.write_str("there is no metadata"),
            Self::Contradiction(_) => f.write_str("the answer contradicts the settings"),
            Self::Local(_) => f.write_str("it could not be asked"),
        }
    }
}

impl Error for FetchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Transport(error)
            | Self::Document(error)
            | Self::Nowhere(error)
            | Self::Contradiction(error)
            | Self::Local(error) => Some(&**error),
            _ => None,
        }
    }
}
