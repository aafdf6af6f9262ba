//! That another server cannot be asked.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::back_off::FIRST;
use super::{FetchError, with_causes};
use crate::Rejection;

/// What is fetched from another server cannot be had at the moment. Why not, with all causes, is for the log: it
/// may name machines.
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

    pub(crate) const fn new(retry_after: Duration, source: Arc<FetchError>) -> Self {
        Self { retry_after, source }
    }

    /// Returns what stands for an outage of which nobody heard in time.
    pub(crate) fn unknown() -> Self {
        Self::new(FIRST, Arc::new(FetchError::TimedOut))
    }

    /// Refuses for it, with a reason for the log: it is never the caller's fault.
    pub(crate) fn into_rejection(self, reason: &'static str) -> Rejection {
        let retry_after = self.retry_after;
        Rejection::unavailable(reason, self).with_retry_after(retry_after)
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_causes(&*self.source))
    }
}

/// Its text has all causes in it.
impl Error for Outage {}
