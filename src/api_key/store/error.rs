//! Why a change to a store was not made.

use std::error::Error;
use std::fmt;

use crate::StoreError;
use crate::api_key::IssueError;

/// A change to a store was not made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AdminError {
    /// The key could not be made.
    Issue(IssueError),
    /// There is no key of that id.
    NotFound,
    /// There is a key of that id or digest already.
    AlreadyExists,
    /// The key is revoked or has expired, and cannot be given a new secret.
    Ended,
    /// The store does not do such a thing.
    Unsupported,
    /// The store could not answer.
    Store(StoreError),
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Issue(_) => "the key could not be made",
            Self::NotFound => "there is no key of that id",
            Self::AlreadyExists => "there is a key of that id or digest already",
            Self::Ended => "the key is revoked or has expired",
            Self::Unsupported => "this store does not do that",
            Self::Store(_) => "the key store could not answer",
        })
    }
}

impl Error for AdminError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Issue(error) => Some(error),
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<IssueError> for AdminError {
    fn from(error: IssueError) -> Self {
        Self::Issue(error)
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
