//! Stands in for the log where nobody keeps one.

use std::error::Error;
use std::net::IpAddr;
use std::path::Path;

use super::{KeysFetched, RefusalLog};
use crate::{Cause, Exposed, Principal, Rejection};

pub(crate) fn peer_unknown() {}

#[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "all stores last"))]
pub(crate) fn store_volatile(_: &'static str, _: &'static str) {}

pub(crate) fn proxy_untrusted(_: Option<IpAddr>) {}

pub(crate) fn throttle_off() {}

pub(super) fn exposure_skipped(log: &RefusalLog) {
    log.admit(Cause::Limited);
}

pub(super) fn admitted(_: &Principal) {}

pub(super) fn anonymous(_: bool) {}

// The count is kept all the same: a feature changes what is told, not what is done.
pub(super) fn refused(log: &RefusalLog, rejection: &Rejection, _: bool) {
    log.admit_refusal(rejection);
}

pub(super) fn exposed(log: &RefusalLog, _: &Principal, _: Exposed, _: Option<&(dyn Error + Send + Sync + 'static)>) {
    log.admit(Cause::Insecure);
}

pub(super) fn exposure_unknown(log: &RefusalLog, rejection: &Rejection) {
    log.admit(rejection.cause());
}

#[cfg_attr(not(feature = "jwks"), allow(dead_code, reason = "nothing is fetched"))]
pub(super) fn keys_fetched(_: &KeysFetched<'_>) {}

#[cfg_attr(not(feature = "jwks"), allow(dead_code, reason = "nothing is fetched"))]
pub(super) fn keys_not_fetched(_: &str, _: usize, _: &(dyn Error + 'static)) {}

#[cfg_attr(not(feature = "file"), allow(dead_code, reason = "there are no files"))]
pub(super) fn key_file_read(_: &Path, _: usize) {}

#[cfg_attr(not(feature = "file"), allow(dead_code, reason = "there are no files"))]
pub(super) fn key_file_refused(_: &Path, _: usize, _: &(dyn Error + 'static)) {}

#[cfg_attr(not(feature = "api-key"), allow(dead_code, reason = "there are no stores"))]
pub(super) fn key_changes_told() {}

#[cfg_attr(not(feature = "api-key"), allow(dead_code, reason = "there are no stores"))]
pub(super) fn key_changes_not_told(_: &(dyn Error + 'static)) {}

#[cfg_attr(not(feature = "api-key"), allow(dead_code, reason = "there are no stores"))]
pub(super) fn key_store_failed(log: &RefusalLog, _: &(dyn Error + 'static)) {
    log.admit(Cause::Unavailable);
}

#[cfg_attr(not(feature = "introspection"), allow(dead_code, reason = "nobody is asked about tokens"))]
pub(super) fn introspected(_: &str, _: bool) {}

#[cfg_attr(not(feature = "introspection"), allow(dead_code, reason = "nobody is asked about tokens"))]
pub(super) fn not_introspected(log: &RefusalLog, _: &str, _: &(dyn Error + 'static)) {
    log.admit(Cause::Unavailable);
}
