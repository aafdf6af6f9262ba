//! What the layers tell the log, with names that stay.
//!
//! | event (`message`) | level | fields |
//! |---|---|---|
//! | `admitted` | DEBUG | `scheme`, `subject`, `credential_id`, `superseded` |
//! | `anonymous` | DEBUG | `preflight` |
//! | `exposed` | WARN, ERROR where somebody has to look | `scheme`, `subject`, `issuer`, `credential_id`, `action`, `suppressed`, `error` |
//! | `refused` | DEBUG for `missing`, INFO for other faults of the caller, ERROR for ours | `cause`, `reason`, `status`, `credential_id`, `report_only`, `suppressed`, `error` |
//!
//! | `peer_unknown` | WARN, once for a layer | `help` |
//!
//! The target is `tower_keep` for all of them. What the reasons of tokens mean and what helps stands in
//! `bearer::jwt`, those of requests over an insecure transport in [`origin`](crate::origin). `action` is what
//! [`Exposed::name`](crate::Exposed::name) says, or `unknown` where it could not be found out what a credential is worth. An admitted request also records `auth.subject`, `auth.credential_id`
//! and `auth.scheme` on the current span, where the span declares these fields.
//!
//! Refusals are logged up to a number a second (10 by default), counted apart for four classes, so that anonymous
//! traffic can neither flood the log nor hide an outage or a known caller's attempts: no credential, a bad one, a good
//! one that is not enough, faults of ours. `suppressed` says how many of its class were left out in the second before.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::rejection::{Cause, Rejection};

pub(crate) use emit::{admitted, anonymous, exposed, exposure_unknown, peer_unknown, refused};

/// How many refusals of a class are logged in a second unless the layer is told otherwise.
pub(crate) const REFUSALS_PER_SECOND: u32 = 10;

/// Counts refusals, so that a flood of them is logged as a trickle.
#[derive(Debug)]
pub(crate) struct RefusalLog {
    start: Instant,
    per_second: u32,
    // The current second in the upper half, the refusals in it in the lower.
    classes: [AtomicU64; 4],
}

impl RefusalLog {
    pub(crate) fn new(per_second: u32) -> Self {
        Self { start: Instant::now(), per_second, classes: Default::default() }
    }

    /// Returns how many refusals of this class were left out before this one, or nothing if this one is left out.
    fn admit(&self, cause: Cause) -> Option<u32> {
        self.admit_at(cause, self.start.elapsed().as_secs() as u32)
    }

    fn admit_at(&self, cause: Cause, second: u32) -> Option<u32> {
        let next = |packed: u64| match (packed >> 32) as u32 == second {
            true => packed.saturating_add(1),
            false => u64::from(second) << 32 | 1,
        };
        let window = &self.classes[class(cause)];
        // Only the counts have to be right, nothing else is ordered by them.
        let before = window.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |packed| Some(next(packed)));
        let before = before.unwrap_or_default();
        let count = next(before) as u32;
        let suppressed = if count == 1 { (before as u32).saturating_sub(self.per_second) } else { 0 };
        (count <= self.per_second).then_some(suppressed)
    }
}

const fn class(cause: Cause) -> usize {
    match cause {
        Cause::Missing => 0,
        Cause::Malformed | Cause::Invalid | Cause::NonceRequired | Cause::Insecure | Cause::Misdirected => 1,
        Cause::Forbidden | Cause::InsufficientScope | Cause::StepUp | Cause::Limited => 2,
        Cause::Unavailable | Cause::Misconfigured => 3,
    }
}

#[cfg(feature = "tracing")]
mod emit {
    use std::error::Error;

    use std::fmt;

    use tracing::level_filters::LevelFilter;
    use tracing::{Level, Span, debug, error, event, field, warn};

    use super::{RefusalLog, Rejection};
    use crate::{Cause, Exposed, Principal};

    pub(crate) fn admitted(principal: &Principal) {
        // Asking for the span is not free, even if there can be none.
        if LevelFilter::current() == LevelFilter::OFF {
            return;
        }
        debug!(
            target: "tower_keep",
            scheme = principal.scheme(),
            subject = principal.subject(),
            credential_id = principal.credential_id(),
            superseded = principal.superseded().is_some(),
            "admitted"
        );
        let span = Span::current();
        if !span.is_disabled() {
            span.record("auth.subject", principal.subject());
            span.record("auth.scheme", principal.scheme());
            if let Some(id) = principal.credential_id() {
                span.record("auth.credential_id", id);
            }
        }
    }

    pub(crate) fn anonymous(preflight: bool) {
        debug!(target: "tower_keep", preflight, "anonymous");
    }

    pub(crate) fn refused(log: &RefusalLog, rejection: &Rejection, report_only: bool) {
        macro_rules! refused {
            ($level:expr, $suppressed:expr) => {
                event!(
                    target: "tower_keep",
                    $level,
                    cause = rejection.cause().name(),
                    reason = rejection.reason(),
                    status = rejection.cause().status().as_u16(),
                    credential_id = rejection.credential_id(),
                    report_only,
                    suppressed = $suppressed,
                    error = rejection.source().map(Chain).map(field::display),
                    "refused"
                )
            };
        }
        let level = level(rejection.cause());
        // Where nobody listens, a flood costs no look at the clock.
        if level > LevelFilter::current() {
            return;
        }
        let Some(suppressed) = log.admit(rejection.cause()) else { return };
        match level {
            Level::DEBUG => refused!(Level::DEBUG, suppressed),
            Level::ERROR => refused!(Level::ERROR, suppressed),
            _ => refused!(Level::INFO, suppressed),
        }
    }

    pub(crate) fn exposed(
        log: &RefusalLog,
        principal: &Principal,
        done: Exposed,
        error: Option<&(dyn Error + Send + Sync + 'static)>,
    ) {
        macro_rules! exposed {
            ($level:expr, $suppressed:expr) => {
                event!(
                    target: "tower_keep",
                    $level,
                    scheme = principal.scheme(),
                    subject = principal.subject(),
                    issuer = principal.issuer(),
                    credential_id = principal.credential_id(),
                    action = done.name(),
                    suppressed = $suppressed,
                    error = error.map(|error| field::display(Chain(error))),
                    "exposed"
                )
            };
        }
        match done {
            Exposed::Reported | Exposed::Revoked => {
                let Some(suppressed) = log.admit(Cause::Insecure) else { return };
                exposed!(Level::WARN, suppressed);
            }
            Exposed::RevocationFailed | Exposed::RevocationStopped => {
                let Some(suppressed) = log.admit(Cause::Misconfigured) else { return };
                exposed!(Level::ERROR, suppressed);
            }
        }
    }

    pub(crate) fn exposure_unknown(log: &RefusalLog, rejection: &Rejection) {
        let Some(suppressed) = log.admit(rejection.cause()) else { return };
        let error = field::display(Chain(rejection));
        error!(target: "tower_keep", action = "unknown", suppressed, error, "exposed");
    }

    pub(crate) fn peer_unknown() {
        warn!(
            target: "tower_keep",
            help = "axum: serve `app.into_make_service_with_connect_info::<SocketAddr>()` and say \
                    `.peer_from::<ConnectInfo<SocketAddr>>()`; tonic: say \
                    `.peer(|extensions| extensions.get::<TcpConnectInfo>()?.remote_addr())`; a Unix socket: \
                    `TrustedProxies::dangerous_any_peer()`",
            "peer_unknown"
        );
    }

    const fn level(cause: Cause) -> Level {
        match cause {
            Cause::Missing => Level::DEBUG,
            Cause::Unavailable | Cause::Misconfigured => Level::ERROR,
            _ => Level::INFO,
        }
    }

    /// An error and all that is behind it.
    struct Chain<'a>(&'a (dyn Error + 'static));

    impl fmt::Display for Chain<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let mut error = self.0;
            write!(f, "{error}")?;
            while let Some(source) = error.source() {
                write!(f, ": {source}")?;
                error = source;
            }
            Ok(())
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod emit {
    use std::error::Error;

    use super::{RefusalLog, Rejection};
    use crate::{Cause, Exposed, Principal};

    pub(crate) fn admitted(_: &Principal) {}

    pub(crate) fn anonymous(_: bool) {}

    pub(crate) fn exposed(
        log: &RefusalLog,
        _: &Principal,
        _: Exposed,
        _: Option<&(dyn Error + Send + Sync + 'static)>,
    ) {
        log.admit(Cause::Insecure);
    }

    pub(crate) fn exposure_unknown(log: &RefusalLog, rejection: &Rejection) {
        log.admit(rejection.cause());
    }

    pub(crate) fn peer_unknown() {}

    // The count is kept all the same: a feature changes what is told, not what is done.
    pub(crate) fn refused(log: &RefusalLog, rejection: &Rejection, _: bool) {
        log.admit(rejection.cause());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_logged_as_a_trickle_and_the_rest_is_counted() {
        let log = RefusalLog::new(2);

        let first: Vec<_> = (0..5).map(|_| log.admit_at(Cause::Missing, 7)).collect();
        let next = log.admit_at(Cause::Missing, 8);

        assert_eq!(first, [Some(0), Some(0), None, None, None]);
        assert_eq!(next, Some(3));
    }

    #[test]
    fn anonymous_traffic_does_not_hide_an_outage_or_a_known_caller() {
        let log = RefusalLog::new(1);
        assert_eq!(log.admit_at(Cause::Invalid, 0), Some(0));
        assert_eq!(log.admit_at(Cause::Invalid, 0), None);

        assert_eq!(log.admit_at(Cause::Missing, 0), Some(0));
        assert_eq!(log.admit_at(Cause::InsufficientScope, 0), Some(0));
        assert_eq!(log.admit_at(Cause::Unavailable, 0), Some(0));
    }
}
