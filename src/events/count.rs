//! Counters for `metrics`.

use std::path::Path;
use std::sync::OnceLock;

use metrics::{Key, Label, Level, Metadata, counter, with_recorder};

use crate::{Cause, Rejection};

const REFUSED: &str = "tower_keep_refused_total";
static METADATA: Metadata<'static> = Metadata::new("tower_keep", Level::INFO, Some(module_path!()));

/// More reasons than there are.
const REASONS: usize = 256;

/// A counter of refusals, made when there is the first of its kind: floods of them allocate nothing.
struct Refused {
    cause: Cause,
    reason: &'static str,
    report_only: bool,
    key: Key,
}

static KNOWN: [OnceLock<Refused>; REASONS] = [const { OnceLock::new() }; REASONS];

pub(super) fn count_admitted() {
    counter!("tower_keep_admitted_total").increment(1);
}

pub(super) fn count_anonymous() {
    counter!("tower_keep_anonymous_total").increment(1);
}

pub(super) fn count_refused(rejection: &Rejection, report_only: bool) {
    let (cause, reason) = (rejection.cause(), rejection.reason());
    let count = |key: &Key| with_recorder(|recorder| recorder.register_counter(key, &METADATA).increment(1));
    // Reasons differ in their length or their last letters mostly; what does not stands in one of the next places.
    let start = reason.bytes().rev().take(4).fold(reason.len(), |sum, byte| sum * 31 + usize::from(byte));
    for place in (0..REASONS).map(|step| (start + step) % REASONS) {
        let known =
            KNOWN[place].get_or_init(|| Refused { cause, reason, report_only, key: key(cause, reason, report_only) });
        if known.report_only == report_only && known.cause == cause && known.reason == reason {
            return count(&known.key);
        }
    }
    count(&key(cause, reason, report_only));
}

fn key(cause: Cause, reason: &'static str, report_only: bool) -> Key {
    let labels =
        [("cause", cause.name()), ("reason", reason), ("report_only", if report_only { "true" } else { "false" })];
    Key::from_parts(REFUSED, labels.map(|(name, value)| Label::from_static_parts(name, value)).to_vec())
}

pub(super) fn count_exposed(action: &'static str) {
    counter!("tower_keep_exposed_total", "action" => action).increment(1);
}

#[cfg_attr(not(feature = "jwks"), allow(dead_code, reason = "nothing is fetched"))]
pub(super) fn count_fetch(from: &str, outcome: &'static str) {
    counter!("tower_keep_key_fetches_total", "from" => from.to_owned(), "outcome" => outcome).increment(1);
}

#[cfg_attr(not(feature = "api-key"), allow(dead_code, reason = "there are no stores"))]
pub(super) fn count_key_changes(outcome: &'static str) {
    counter!("tower_keep_key_changes_total", "outcome" => outcome).increment(1);
}

#[cfg_attr(not(feature = "api-key"), allow(dead_code, reason = "there are no stores"))]
pub(super) fn count_key_store_failed() {
    counter!("tower_keep_key_store_failures_total").increment(1);
}

#[cfg_attr(not(feature = "file"), allow(dead_code, reason = "there are no files"))]
pub(super) fn count_key_file(path: &Path, outcome: &'static str) {
    let path = path.to_string_lossy().into_owned();
    counter!("tower_keep_key_file_reads_total", "path" => path, "outcome" => outcome).increment(1);
}

#[cfg_attr(not(feature = "introspection"), allow(dead_code, reason = "nobody is asked about tokens"))]
pub(super) fn count_introspection(from: &str, outcome: &'static str) {
    counter!("tower_keep_introspections_total", "from" => from.to_owned(), "outcome" => outcome).increment(1);
}
