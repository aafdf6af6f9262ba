//! Telling browsers to use HTTPS from now on (RFC 6797).

use std::time::Duration;

use http::HeaderValue;

use crate::ConfigError;

const DAY: u64 = 24 * 60 * 60;
/// What browsers ask of a host that is to be built into them.
const PRELOAD_MIN: u64 = 365 * DAY;

/// What `Strict-Transport-Security` says: for a year by default, of this host alone.
///
/// ```
/// use tower_keep::{Hsts, RequireHttps};
///
/// let a_month = Hsts::days(30);
/// let for_good = Hsts::days(2 * 365).include_subdomains().preload();
/// let layer = RequireHttps::new().hsts(for_good)?;
/// # let _ = RequireHttps::new().hsts(a_month)?;
/// # Ok::<(), tower_keep::ConfigError>(())
/// ```
///
/// Browsers keep it for that long, for every port of the host, and there is no way back but waiting or
/// [`forget`](Self::forget). Other clients pay no attention to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hsts {
    max_age: u64,
    include_subdomains: bool,
    preload: bool,
}

impl Default for Hsts {
    fn default() -> Self {
        Self::days(365)
    }
}

impl Hsts {
    /// Tells browsers to use HTTPS for some days after each answer.
    pub const fn days(days: u32) -> Self {
        Self { max_age: days as u64 * DAY, include_subdomains: false, preload: false }
    }

    /// As [`days`](Self::days), for another time; what is less than a second is cut off.
    pub const fn max_age(max_age: Duration) -> Self {
        Self { max_age: max_age.as_secs(), include_subdomains: false, preload: false }
    }

    /// Tells browsers to forget what they were told (RFC 6797, section 6.1.1).
    pub const fn forget() -> Self {
        Self::days(0)
    }

    /// Speaks for all hosts below this one as well, also for those that are served by others (RFC 6797, section 6.1.2).
    #[must_use]
    pub const fn include_subdomains(mut self) -> Self {
        self.include_subdomains = true;
        self
    }

    /// Asks to be built into browsers. That takes a year at least, and all hosts below this one.
    #[must_use]
    pub const fn preload(mut self) -> Self {
        self.preload = true;
        self
    }

    /// Writes the field's value.
    pub(super) fn to_header(self) -> Result<HeaderValue, ConfigError> {
        let Self { max_age, include_subdomains, preload } = self;
        if preload && (max_age < PRELOAD_MIN || !include_subdomains) {
            return Err(ConfigError::HstsPreload);
        }
        let mut text = format!("max-age={max_age}");
        text.extend(include_subdomains.then_some("; includeSubDomains"));
        text.extend(preload.then_some("; preload"));
        // Digits and fixed words are a field value.
        Ok(HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("max-age=0")))
    }
}
