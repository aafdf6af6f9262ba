//! A secret that has a successor.

use std::time::SystemTime;

use super::time::Seconds;
use crate::api_key::KeyDigest;

/// A secret that a newer one has taken the place of, and that still works for a while.
#[derive(Clone, Copy, Debug)]
pub struct Superseded {
    pub(super) digest: KeyDigest,
    pub(super) imported: bool,
    until: Seconds,
}

impl Superseded {
    /// Puts one together that a store has kept.
    pub fn new(digest: KeyDigest, until: SystemTime, imported: bool) -> Self {
        Self { digest, imported, until: Seconds::new(until) }
    }

    /// Returns the digest.
    pub const fn digest(&self) -> &KeyDigest {
        &self.digest
    }

    /// Returns when it stops working.
    pub fn until(&self) -> SystemTime {
        self.until.time()
    }

    /// Returns whether it is found by its digest and not by the id of the key.
    pub const fn is_imported(&self) -> bool {
        self.imported
    }
}
