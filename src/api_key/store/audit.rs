//! Who did what to which key, and when.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use crate::api_key::KeyId;

/// What was done to a key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum AuditAction {
    /// Its record was stored.
    Issued,
    /// It was given a new secret.
    Rotated,
    /// It was revoked.
    Revoked,
    /// Another digest was made of a secret.
    Rehashed,
    /// Its record was dropped, long after its end.
    Swept,
}

impl AuditAction {
    const ALL: [Self; 5] = [Self::Issued, Self::Rotated, Self::Revoked, Self::Rehashed, Self::Swept];

    /// Returns the stable name, such as `revoked`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Rotated => "rotated",
            Self::Revoked => "revoked",
            Self::Rehashed => "rehashed",
            Self::Swept => "swept",
        }
    }
}

impl fmt::Display for AuditAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for AuditAction {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|action| action.name() == name).ok_or(())
    }
}

/// An entry of an audit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuditEntry {
    /// Its number, the greater the later.
    pub number: u64,
    /// When it was done, by the clock of whoever did it.
    pub at: SystemTime,
    /// By whom, as they call themselves.
    pub actor: Option<String>,
    /// What was done.
    pub action: AuditAction,
    /// To which key.
    pub key: KeyId,
}
