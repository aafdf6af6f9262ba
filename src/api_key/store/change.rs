//! What can be done to a key that is there.

use std::time::SystemTime;

use super::{AdminError, AuditAction};
use crate::api_key::{KeyDigest, KeyRecord};

/// A change to a key. A store finds out what becomes of the record by [`apply`](Self::apply), and writes that in place of
/// the old one in one step, so that of two changes at once none is lost.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum KeyChange {
    /// The key is revoked for good, with all its secrets.
    Revoke {
        /// When.
        at: SystemTime,
    },
    /// Another digest becomes the present one, as [`KeyRecord::rotated`] does.
    Supersede {
        /// The digest of the new secret.
        digest: KeyDigest,
        /// Until when the secret before it works.
        until: SystemTime,
        /// When.
        at: SystemTime,
    },
    /// Another digest of the same secret takes the place of one, as [`KeyRecord::rehashed`] does.
    Rehash {
        /// The digest that was found; for a slow hash, that of the record.
        from: KeyDigest,
        /// The one to be kept.
        to: KeyDigest,
    },
}

impl KeyChange {
    /// Returns the record as it is after the change, or nothing if there is nothing to change.
    ///
    /// # Errors
    ///
    /// [`AdminError::Ended`] for a key that is revoked or has expired and cannot be given a new secret.
    pub fn apply(&self, record: &KeyRecord) -> Result<Option<KeyRecord>, AdminError> {
        match *self {
            Self::Revoke { .. } if record.revoked_at().is_some() => Ok(None),
            Self::Revoke { at } => Ok(Some(record.clone().with_revoked_at(at))),
            Self::Supersede { at, .. } if record.ended_at().is_some_and(|end| end <= at) => Err(AdminError::Ended),
            Self::Supersede { .. } if record.revoked_at().is_some() => Err(AdminError::Ended),
            Self::Supersede { digest, until, at } => Ok(Some(record.clone().rotated(digest, until, at))),
            Self::Rehash { from, to } => {
                let is_there = match from.is_none() {
                    true => record.slow_hash().is_some(),
                    false => record.digests().any(|known| known.matches(&from)),
                };
                Ok(is_there.then(|| record.clone().rehashed(&from, to)))
            }
        }
    }

    /// Returns what an audit calls it.
    pub const fn action(&self) -> AuditAction {
        match self {
            Self::Revoke { .. } => AuditAction::Revoked,
            Self::Supersede { .. } => AuditAction::Rotated,
            Self::Rehash { .. } => AuditAction::Rehashed,
        }
    }
}
