//! That something cannot be had.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::FetchError;
use crate::Rejection;

/// What is fetched from another server cannot be had at the moment. Why not is for the log: it may name machines.
#[derive(Clone, Debug)]
pub struct Outage {
    pub(super) retry_after: Duration,
    pub(super) source: Arc<FetchError>,
}

impl Outage {
    /// Returns when it is tried again.
    pub const fn retry_after(&self) -> Duration {
        self.retry_after
    }

    /// Says that no answer came in time.
    pub(super) fn unknown(retry_after: Duration) -> Self {
        Self { retry_after, source: Arc::new(FetchError::TimedOut) }
    }

    /// Refuses for it, with a reason for the log: it is never the caller's fault.
    pub(crate) fn into_rejection(self, reason: &'static str) -> Rejection {
        let retry_after = self.retry_after;
        Rejection::unavailable(reason, self).with_retry_after(retry_after)
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl std::error::Error for Outage {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.source()
    }
}
