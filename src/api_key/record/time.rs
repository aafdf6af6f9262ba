//! Times of records.

use std::num::NonZeroU64;
use std::time::{Duration, SystemTime};

/// A point in time in whole seconds, which fits in a word even when it is absent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seconds(NonZeroU64);

/// The last second of the year 9999, beyond which there is no way to write a time (RFC 3339, section 1).
const LAST: u64 = 253_402_300_799;

impl Seconds {
    /// Drops part seconds; what lies before 1970 becomes its first second, and what lies beyond the year 9999 the last one of that.
    pub(super) fn new(when: SystemTime) -> Self {
        let seconds = when.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs().min(LAST);
        Self(NonZeroU64::new(seconds).unwrap_or(NonZeroU64::MIN))
    }

    /// Rounds up, so that nothing starts early.
    pub(super) fn at_or_after(when: SystemTime) -> Self {
        Self::new(when.checked_add(Duration::from_nanos(999_999_999)).unwrap_or(when))
    }

    pub(super) fn time(self) -> SystemTime {
        // A time that the platform cannot tell lies beyond all that it can.
        let since = Duration::from_secs(self.0.get());
        SystemTime::UNIX_EPOCH
            .checked_add(since)
            .unwrap_or(SystemTime::UNIX_EPOCH + Duration::from_secs(u32::MAX.into()))
    }
}
