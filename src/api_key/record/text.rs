//! Records as text: how files keep them, and how they go from one store to another.
//!
//! ```
//! use tower_keep::KeyRecord;
//!
//! let text = r#"{
//!     "id": "4fJk0aQz81Lm",
//!     "owner": "billing",
//!     "scopes": ["orders:read"],
//!     "digest": "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
//!     "expires_at": "2027-01-01T00:00:00Z"
//! }"#;
//! let record: KeyRecord = serde_json::from_str(text)?;
//! assert_eq!(record.owner(), "billing");
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::KeyRecord;
use super::written::{Time, WrittenMore, WrittenSuperseded, digest_text, is_false, read_digest};
use crate::api_key::KeyId;
use crate::{ConfigError, Scopes};

/// A record as it is written. What is not there is left out.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: String,
    owner: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    /// `tag:hexadecimal digits`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slow_hash: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    imported: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_used_at: Option<Time>,
    /// `requests/seconds`, such as `100/60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    networks: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    superseded: Vec<WrittenSuperseded>,
}

impl Serialize for KeyRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let more = WrittenMore::of(self);
        let written = Written {
            id: self.id().to_string(),
            owner: self.owner().to_owned(),
            scopes: self.scopes().iter().map(str::to_owned).collect(),
            digest: (!self.digest().is_none()).then(|| digest_text(self.digest())),
            slow_hash: more.slow_hash,
            imported: self.is_imported(),
            created_at: self.created_at().map(Time),
            not_before: self.not_before().map(Time),
            expires_at: self.expires_at().map(Time),
            revoked_at: self.revoked_at().map(Time),
            last_used_at: self.last_used_at().map(Time),
            rate: more.rate,
            networks: more.networks,
            labels: more.labels,
            superseded: more.superseded,
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for KeyRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(Written::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl TryFrom<Written> for KeyRecord {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let text = |error: ConfigError| error.to_string();
        let id = KeyId::new(&written.id).map_err(text)?;
        if written.owner.is_empty() {
            return Err(format!("the owner of {id} is empty"));
        }
        let record = match (written.digest, written.slow_hash) {
            (Some(digest), None) => Self::new(id, written.owner, read_digest(&digest).map_err(text)?),
            (None, Some(hash)) => Self::with_slow_hash(id, written.owner, hash),
            _ => return Err(format!("{id} needs a digest or a slow hash, and not both")),
        };
        let scopes = Scopes::try_from(written.scopes).map_err(text)?;
        let record = record.with_scopes(scopes);
        let record = if written.imported { record.imported() } else { record };
        let set = |record: Self, time: Option<Time>, with: fn(Self, SystemTime) -> Self| match time {
            Some(Time(time)) => with(record, time),
            None => record,
        };
        let record = set(record, written.created_at, Self::with_created_at);
        let record = set(record, written.not_before, Self::with_not_before);
        let record = set(record, written.expires_at, Self::with_expires_at);
        let record = set(record, written.revoked_at, Self::with_revoked_at);
        let record = set(record, written.last_used_at, Self::with_last_used_at);
        let more = WrittenMore {
            slow_hash: None,
            rate: written.rate,
            networks: written.networks,
            labels: written.labels,
            superseded: written.superseded,
        };
        more.add_to(record)
    }
}
