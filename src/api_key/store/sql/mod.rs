//! What the stores in SQL databases share: a row, a batch, the settings, errors, and whom to tell of changes.
//!
//! The tables are the same in each: `tower_keep_keys` has a row for a key; `tower_keep_digests` finds imported ones;
//! `tower_keep_audit` is added to and never changed; `tower_keep_version` says how new the tables are.

mod batch;
mod errors;
mod row;
mod settings;
mod told;

pub(super) use batch::Batch;
pub(super) use errors::{admin_error, corrupt, newer, store_error, within};
pub(super) use row::{Row, audit_entry, changed_digests, next_page, seconds, seconds_up};
pub(super) use settings::Settings;
pub(super) use told::{Told, back_off};

/// What a row is read from, in the order of [`Row`].
macro_rules! columns {
    () => {
        "id, owner, scopes, digest_tag, digest, imported, created_at, not_before, expires_at, revoked_at, last_used_at, more"
    };
}
pub(super) use columns;

/// How many rows a statement writes, or a sweep drops at a time.
pub(super) const BATCH: usize = 1000;
