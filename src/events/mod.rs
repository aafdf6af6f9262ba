//! What the layers tell the log and the metrics, with names that stay.
//!
//! # Events
//!
//! | event (`message`) | level | fields |
//! |---|---|---|
//! | `admitted` | DEBUG | `scheme`, `subject`, `credential_id`, `superseded` |
//! | `anonymous` | DEBUG | `preflight` |
//! | `refused` | DEBUG for `missing`, INFO for other faults of the caller, ERROR for ours | `cause`, `reason`, `status`, `credential_id`, `report_only`, `suppressed`, `error` |
//! | `exposed` | WARN, ERROR where somebody has to look | `scheme`, `subject`, `issuer`, `credential_id` where they are known; `action`, `suppressed`, `error` |
//! | `peer_unknown` | WARN, once for a layer | `help` |
//! | `proxy_untrusted` | WARN, once for a layer | `peer`, `help` |
//! | `throttle_off` | WARN, once for a layer | `help` |
//! | `keys_fetched` | INFO if they are others than before, else DEBUG | `from`, `keys`, `skipped`, `changed` |
//! | `keys_not_fetched` | WARN | `from`, `keys`, `error` |
//! | `key_changes_told` | INFO | |
//! | `key_changes_not_told` | WARN | `error` |
//! | `key_store_failed` | WARN | `suppressed`, `error` |
//! | `key_file_read` | INFO | `path`, `keys` |
//! | `key_file_refused` | WARN, once for a file as it is | `path`, `keys` that stay in force, `error` |
//! | `introspected` | DEBUG | `from`, `active` |
//! | `not_introspected` | WARN | `from`, `suppressed`, `error` |
//! | `store_volatile` | WARN, once for a store | `store`, `help` |
//!
//! The target is `tower_keep` for all of them. What the reasons of tokens mean and what helps stands in
//! `bearer::jwt`, those of requests over an insecure transport in [`origin`](crate::origin). `limited` is a caller over its
//! request rate, `throttled` a client that presented [too many](crate::auth::throttle) bad credentials; `key_network` is a key from
//! an address that it is not good for, and `peer_unknown` one from an address that nobody knows. `action` is what
//! [`Exposed::name`](crate::Exposed::name) says, `unknown` where it could not be found out what a credential is worth, or
//! `skipped` where there were too many at once to look;
//! `store` says what confirms changes that a crash may undo;
//! `from` is the URL of an issuer, of its keys, or where it is asked about tokens; `active` is what it says of one. An admitted request also records `auth.subject`, `auth.credential_id` and
//! `auth.scheme` on the current span, where the span declares these fields.
//!
//! Refusals are logged up to a number a second (10 by default), counted apart for four classes, so that anonymous
//! traffic can neither flood the log nor hide an outage or a known caller's attempts: no credential, a bad one, a good
//! one that is not enough, faults of ours. `suppressed` says how many of its class were left out in the second before.
//! Clients that are [throttled](crate::auth::throttle) count among bad credentials.
//! Questions about tokens and keys that fail are held to the same number, apart from refusals. `key_changes_not_told` says that a
//! store no longer tells [`Cached`](crate::Cached) which keys have changed: each copy is asked about again, and a new one is good for
//! its time.
//!
//! # Metrics
//!
//! With the feature `metrics`, counters of the facade of that name:
//!
//! | counter | labels |
//! |---|---|
//! | `tower_keep_admitted_total` | |
//! | `tower_keep_anonymous_total` | |
//! | `tower_keep_refused_total` | `cause`, `reason`, `report_only` |
//! | `tower_keep_exposed_total` | `action` |
//! | `tower_keep_key_fetches_total` | `from`, `outcome`: `changed`, `same` or `failed` |
//! | `tower_keep_key_changes_total` | `outcome`: `told` or `not_told`, each time the link to a store comes up or goes down |
//! | `tower_keep_key_store_failures_total` | |
//! | `tower_keep_key_file_reads_total` | `path`, `outcome`: `read` or `refused` |
//! | `tower_keep_introspections_total` | `from`, `outcome`: `active`, `inactive` or `failed` |
//!
//! Every refusal is counted, and every question about a token, also one that the log leaves out; no question is asked about
//! a token that is remembered, or while the server is left alone. No label is made of what a request holds.

#[cfg(feature = "metrics")]
mod count;
#[cfg(feature = "tracing")]
mod log;
#[cfg(not(feature = "tracing"))]
mod silent;
#[cfg(not(feature = "metrics"))]
mod uncounted;

#[cfg(not(feature = "tracing"))]
use silent as log;
#[cfg(not(feature = "metrics"))]
use uncounted as count;

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::auth::THROTTLED;
use crate::rejection::{Cause, Rejection};
use crate::{Exposed, Principal};

#[cfg(feature = "redis")]
pub(crate) use log::store_volatile;
pub(crate) use log::{peer_unknown, proxy_untrusted, throttle_off};

pub(crate) fn admitted(principal: &Principal) {
    log::admitted(principal);
    count::count_admitted();
}

pub(crate) fn anonymous(preflight: bool) {
    log::anonymous(preflight);
    count::count_anonymous();
}

pub(crate) fn refused(refusals: &RefusalLog, rejection: &Rejection, report_only: bool) {
    log::refused(refusals, rejection, report_only);
    count::count_refused(rejection, report_only);
}

pub(crate) fn exposed(
    refusals: &RefusalLog,
    principal: &Principal,
    done: Exposed,
    error: Option<&(dyn Error + Send + Sync + 'static)>,
) {
    log::exposed(refusals, principal, done, error);
    count::count_exposed(done.name());
}

pub(crate) fn exposure_unknown(refusals: &RefusalLog, rejection: &Rejection) {
    log::exposure_unknown(refusals, rejection);
    count::count_exposed("unknown");
}

pub(crate) fn exposure_skipped(refusals: &RefusalLog) {
    log::exposure_skipped(refusals);
    count::count_exposed("skipped");
}

/// A key set was fetched, or could not be.
#[cfg_attr(not(all(feature = "jwks", feature = "tracing")), allow(dead_code, reason = "it is not told"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeysFetched<'a> {
    /// The URL of the issuer or of its keys.
    pub(crate) from: &'a str,
    /// How many keys there are now, and how many were skipped.
    pub(crate) keys: usize,
    pub(crate) skipped: usize,
    /// Whether they are others than before.
    pub(crate) changed: bool,
}

#[cfg_attr(not(feature = "jwks"), allow(dead_code, reason = "nothing is fetched"))]
pub(crate) fn keys_fetched(fetched: &KeysFetched<'_>) {
    log::keys_fetched(fetched);
    count::count_fetch(fetched.from, if fetched.changed { "changed" } else { "same" });
}

#[cfg_attr(not(feature = "jwks"), allow(dead_code, reason = "nothing is fetched"))]
pub(crate) fn keys_not_fetched(from: &str, keys: usize, error: &(dyn Error + 'static)) {
    log::keys_not_fetched(from, keys, error);
    count::count_fetch(from, "failed");
}

/// A store tells which keys have changed.
#[cfg_attr(not(feature = "api-key"), allow(dead_code, reason = "there are no stores"))]
pub(crate) fn key_changes_told() {
    log::key_changes_told();
    count::count_key_changes("told");
}

/// A store does not tell any more which keys have changed.
#[cfg_attr(not(feature = "api-key"), allow(dead_code, reason = "there are no stores"))]
pub(crate) fn key_changes_not_told(error: &(dyn Error + 'static)) {
    log::key_changes_not_told(error);
    count::count_key_changes("not_told");
}

/// A file of keys was read, and is in force.
#[cfg_attr(not(feature = "file"), allow(dead_code, reason = "there are no files"))]
pub(crate) fn key_file_read(path: &Path, keys: usize) {
    log::key_file_read(path, keys);
    count::count_key_file(path, "read");
}

/// A file of keys is wrong, and the keys that were read before stay in force.
#[cfg_attr(not(feature = "file"), allow(dead_code, reason = "there are no files"))]
pub(crate) fn key_file_refused(path: &Path, keys: usize, error: &(dyn Error + 'static)) {
    log::key_file_refused(path, keys, error);
    count::count_key_file(path, "refused");
}

/// A store was asked for a key, and there is no answer.
#[cfg_attr(not(feature = "api-key"), allow(dead_code, reason = "there are no stores"))]
pub(crate) fn key_store_failed(refusals: &RefusalLog, error: &(dyn Error + 'static)) {
    log::key_store_failed(refusals, error);
    count::count_key_store_failed();
}

/// A server was asked about a token, and said whether it is active.
#[cfg_attr(not(feature = "introspection"), allow(dead_code, reason = "nobody is asked about tokens"))]
pub(crate) fn introspected(from: &str, active: bool) {
    log::introspected(from, active);
    count::count_introspection(from, if active { "active" } else { "inactive" });
}

/// A server was asked about a token, and there is no answer.
#[cfg_attr(not(feature = "introspection"), allow(dead_code, reason = "nobody is asked about tokens"))]
pub(crate) fn not_introspected(refusals: &RefusalLog, from: &str, error: &(dyn Error + 'static)) {
    log::not_introspected(refusals, from, error);
    count::count_introspection(from, "failed");
}

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

    /// As [`admit`](Self::admit). Whoever is throttled is nobody that is known, and hides nobody that is.
    fn admit_refusal(&self, rejection: &Rejection) -> Option<u32> {
        self.admit(if rejection.reason() == THROTTLED { Cause::Invalid } else { rejection.cause() })
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
