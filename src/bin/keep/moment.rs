//! Points in time, as people write them.

use std::time::{Duration, SystemTime};

/// A point in time, or a span from now on.
#[derive(Clone, Copy)]
pub(crate) enum Moment {
    At(SystemTime),
    In(Duration),
}

impl Moment {
    /// Reads `90d` or `2027-01-01T00:00:00Z`.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let at = || humantime::parse_rfc3339_weak(text).map(Self::At);
        let span = humantime::parse_duration(text).map(Self::In);
        span.or_else(|_| at()).map_err(|_| "a time is \"90d\" from now, or \"2027-01-01T00:00:00Z\"")
    }

    /// Returns the time, or nothing if no clock goes that far.
    pub(crate) fn time(self, now: SystemTime) -> Option<SystemTime> {
        match self {
            Self::At(time) => Some(time),
            Self::In(span) => now.checked_add(span),
        }
    }
}

/// Writes a time as RFC 3339 does, in whole seconds.
pub(crate) fn written(time: SystemTime) -> String {
    let latest = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_seconds(time.min(latest)).to_string()
}
