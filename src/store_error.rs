//! Why a store has no answer.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::Rejection;

/// A store could not answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// It is out of reach: 503, and the caller is asked to come back.
    Unavailable {
        /// When to come back, if the store knows.
        retry_after: Option<Duration>,
        /// What happened, for the log.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// It is set up wrongly, or what it holds makes no sense: 500.
    Misconfigured {
        /// What is wrong, for the log.
        source: Arc<dyn Error + Send + Sync>,
    },
}

impl StoreError {
    /// The store is out of reach.
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable { retry_after: None, source: Arc::from(source.into()) }
    }

    /// Says when to come back, if the store is out of reach.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        if let Self::Unavailable { retry_after, .. } = &mut self {
            *retry_after = Some(wait);
        }
        self
    }

    /// The store is set up wrongly, or what it holds makes no sense.
    pub fn misconfigured(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Misconfigured { source: Arc::from(source.into()) }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable { .. } => f.write_str("the store is out of reach"),
            Self::Misconfigured { .. } => f.write_str("the store is set up wrongly"),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable { source, .. } | Self::Misconfigured { source } => Some(&**source),
        }
    }
}

/// An outage of a store is never the caller's fault.
impl From<StoreError> for Rejection {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable { retry_after, .. } => {
                let retry_after = *retry_after;
                let rejection = Self::unavailable("store_unavailable", error);
                retry_after.into_iter().fold(rejection, Self::with_retry_after)
            }
            StoreError::Misconfigured { .. } => Self::misconfigured("store_misconfigured", error),
        }
    }
}
