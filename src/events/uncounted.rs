//! Stands in for the counters where nobody counts.

use std::path::Path;

use crate::Rejection;

pub(super) const fn count_admitted() {}

pub(super) const fn count_anonymous() {}

pub(super) const fn count_refused(_: &Rejection, _: bool) {}

pub(super) const fn count_exposed(_: &'static str) {}

#[cfg_attr(not(feature = "jwks"), allow(dead_code, reason = "nothing is fetched"))]
pub(super) const fn count_fetch(_: &str, _: &'static str) {}

#[cfg_attr(not(feature = "api-key"), allow(dead_code, reason = "there are no stores"))]
pub(super) const fn count_key_changes(_: &'static str) {}

#[cfg_attr(not(feature = "api-key"), allow(dead_code, reason = "there are no stores"))]
pub(super) const fn count_key_store_failed() {}

#[cfg_attr(not(feature = "file"), allow(dead_code, reason = "there are no files"))]
pub(super) const fn count_key_file(_: &Path, _: &'static str) {}

#[cfg_attr(not(feature = "introspection"), allow(dead_code, reason = "nobody is asked about tokens"))]
pub(super) const fn count_introspection(_: &str, _: &'static str) {}
