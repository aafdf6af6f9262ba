//! How long to wait after a failure.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The first wait after a failure.
pub(crate) const FIRST: Duration = Duration::from_secs(1);
/// The longest one.
const LONGEST: Duration = Duration::from_secs(60);

/// Returns how long to wait after one more failure than these in a row: 1 s, 2 s, 4 s, .. 60 s.
pub(crate) fn back_off(failures: u32) -> Duration {
    FIRST.saturating_mul(1 << failures.min(6)).min(LONGEST)
}

/// Returns a number from 0 to 1. It is no secret: the seeds of hash tables will do.
pub(crate) fn random() -> f64 {
    let bits = RandomState::new().hash_one(()) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}
