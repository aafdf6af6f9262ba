//! Doubts about copies: whether the store told of all that has changed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Copies of an earlier epoch are in doubt: the link over which changes are told was down since they were made. They are asked
/// about again when they are used, unless the store is found not to answer.
pub(super) struct Doubts {
    epoch: AtomicU64,
    start: Instant,
    /// Until when doubts are set aside, in milliseconds since the start.
    suspended: AtomicU64,
    /// Until when nothing is asked for ahead of time, likewise.
    resting: AtomicU64,
}

impl Default for Doubts {
    fn default() -> Self {
        Self {
            epoch: AtomicU64::new(0),
            start: Instant::now(),
            suspended: AtomicU64::new(0),
            resting: AtomicU64::new(0),
        }
    }
}

impl Doubts {
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Puts all copies that there are in doubt.
    pub(super) fn raise(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Returns whether a copy of an epoch is to be asked about.
    pub(super) fn hold(&self, epoch: u64, now: Instant) -> bool {
        epoch != self.epoch() && self.is_over(&self.suspended, now)
    }

    /// Sets doubts aside, since the store does not answer.
    pub(super) fn suspend(&self, until: Instant) {
        self.suspended.fetch_max(self.milliseconds(until), Ordering::Relaxed);
    }

    /// Lets nothing be asked for ahead of time, since the store did not answer.
    pub(super) fn rest(&self, until: Instant) {
        self.resting.fetch_max(self.milliseconds(until), Ordering::Relaxed);
    }

    pub(super) fn is_resting(&self, now: Instant) -> bool {
        !self.is_over(&self.resting, now)
    }

    fn milliseconds(&self, until: Instant) -> u64 {
        until.saturating_duration_since(self.start).as_millis() as u64
    }

    fn is_over(&self, until: &AtomicU64, now: Instant) -> bool {
        self.start + Duration::from_millis(until.load(Ordering::Relaxed)) <= now
    }

    /// Raises them again, since the store has answered.
    pub(super) fn resume(&self) {
        if self.suspended.load(Ordering::Relaxed) != 0 {
            self.suspended.store(0, Ordering::Relaxed);
        }
    }
}
