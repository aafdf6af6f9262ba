//! How many requests a key may make.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use crate::ConfigError;

/// A number of requests in a time, such as 100 in a minute. All of them may come at once; each then comes back after its
/// share of the time (the generic cell rate algorithm).
///
/// As text it is `100/60s`; `s`, `m`, `h` and `d` are units.
///
/// ```
/// use std::time::Duration;
/// use tower_keep::RateLimit;
///
/// let rate = RateLimit::new(100, Duration::from_secs(60))?;
/// assert_eq!(rate.to_string(), "100/60s");
/// assert_eq!("100/1m".parse(), Ok(rate));
/// # Ok::<(), tower_keep::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct RateLimit {
    requests: NonZeroU32,
    seconds: NonZeroU32,
}

impl RateLimit {
    /// Makes a limit. Part seconds are dropped.
    ///
    /// # Errors
    ///
    /// [`ConfigError::RateLimit`] for no requests at all, or a time that is shorter than a second or longer than 30 days.
    pub fn new(requests: u32, per: Duration) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::RateLimit { given: format!("{requests}/{}s", per.as_secs()) };
        let seconds = u32::try_from(per.as_secs()).ok().filter(|seconds| *seconds <= 30 * 24 * 60 * 60);
        let seconds = seconds.and_then(NonZeroU32::new).ok_or_else(wrong)?;
        Ok(Self { requests: NonZeroU32::new(requests).ok_or_else(wrong)?, seconds })
    }

    /// Returns how many requests there may be.
    pub const fn requests(self) -> NonZeroU32 {
        self.requests
    }

    /// Returns in which time.
    pub const fn per(self) -> Duration {
        Duration::from_secs(self.seconds.get() as u64)
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}s", self.requests, self.seconds)
    }
}

impl FromStr for RateLimit {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::RateLimit { given: text.to_owned() };
        let (requests, per) = text.split_once('/').ok_or_else(wrong)?;
        let (number, unit) = match per.char_indices().next_back() {
            Some((at, 's')) => (&per[..at], 1),
            Some((at, 'm')) => (&per[..at], 60),
            Some((at, 'h')) => (&per[..at], 60 * 60),
            Some((at, 'd')) => (&per[..at], 24 * 60 * 60),
            _ => return Err(wrong()),
        };
        // `100/m` is one minute.
        let number: u64 = if number.is_empty() { 1 } else { number.parse().map_err(|_| wrong())? };
        let per = Duration::from_secs(number.checked_mul(unit).ok_or_else(wrong)?);
        Self::new(requests.parse().map_err(|_| wrong())?, per).map_err(|_| wrong())
    }
}
