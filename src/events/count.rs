//! Counters for `metrics`.

use metrics::counter;

use crate::Rejection;

pub(super) fn count_admitted() {
    counter!("tower_keep_admitted_total").increment(1);
}

pub(super) fn count_anonymous() {
    counter!("tower_keep_anonymous_total").increment(1);
}

pub(super) fn count_refused(rejection: &Rejection, report_only: bool) {
    counter!(
        "tower_keep_refused_total",
        "cause" => rejection.cause().name(),
        "reason" => rejection.reason(),
        "report_only" => if report_only { "true" } else { "false" }
    )
    .increment(1);
}

pub(super) fn count_exposed(action: &'static str) {
    counter!("tower_keep_exposed_total", "action" => action).increment(1);
}

#[cfg_attr(not(feature = "jwks"), allow(dead_code, reason = "nothing is fetched"))]
pub(super) fn count_fetch(from: &str, outcome: &'static str) {
    counter!("tower_keep_key_fetches_total", "from" => from.to_owned(), "outcome" => outcome).increment(1);
}
