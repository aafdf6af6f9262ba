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
use std::fmt;
use std::time::SystemTime;

use serde::de::{Error as _, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{KeyRecord, Superseded};
use crate::api_key::{DigestTag, KeyDigest, KeyId};
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

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WrittenSuperseded {
    digest: String,
    until: Time,
    #[serde(default, skip_serializing_if = "is_false")]
    imported: bool,
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// A time of RFC 3339, in whole seconds.
#[derive(Clone, Copy)]
struct Time(SystemTime);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_seconds(self.0))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimeText)
    }
}

/// Reads a time as text, or as TOML's own kind of value, which comes as a map of one entry.
struct TimeText;

impl<'de> Visitor<'de> for TimeText {
    type Value = Time;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as \"2027-01-01T00:00:00Z\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Time, E> {
        let time = humantime::parse_rfc3339_weak(text);
        time.map(Time).map_err(|_| E::custom("this is not a time such as \"2027-01-01T00:00:00Z\""))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Time, A::Error> {
        match map.next_entry::<String, String>()? {
            Some((kind, text)) if kind == "$__toml_private_datetime" => self.visit_str(&text),
            _ => Err(A::Error::invalid_type(Unexpected::Map, &self)),
        }
    }
}

fn digest_text(digest: &KeyDigest) -> String {
    format!("{}:{}", digest.tag(), digest.to_hex())
}

fn read_digest(text: &str) -> Result<KeyDigest, ConfigError> {
    let (tag, hex) = text.split_once(':').ok_or(ConfigError::DigestText { length: text.len() })?;
    KeyDigest::from_hex(tag.parse::<DigestTag>()?, hex)
}

impl Serialize for KeyRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let superseded = self.superseded().iter().map(|old| WrittenSuperseded {
            digest: digest_text(old.digest()),
            until: Time(old.until()),
            imported: old.is_imported(),
        });
        let written = Written {
            id: self.id().to_string(),
            owner: self.owner().to_owned(),
            scopes: self.scopes().iter().map(str::to_owned).collect(),
            digest: (!self.digest().is_none()).then(|| digest_text(self.digest())),
            slow_hash: self.slow_hash().map(str::to_owned),
            imported: self.is_imported(),
            created_at: self.created_at().map(Time),
            not_before: self.not_before().map(Time),
            expires_at: self.expires_at().map(Time),
            revoked_at: self.revoked_at().map(Time),
            last_used_at: self.last_used_at().map(Time),
            rate: self.rate().map(|rate| rate.to_string()),
            networks: self.networks().collect(),
            labels: self.labels().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            superseded: superseded.collect(),
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
        let record = record.with_scopes(scopes).with_networks(written.networks).map_err(text)?;
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
        let rate = written.rate.map(|rate| rate.parse()).transpose().map_err(text)?;
        let record = rate.into_iter().fold(record, Self::with_rate);
        let record = written.labels.into_iter().fold(record, |record, (name, value)| record.with_label(name, value));
        written.superseded.into_iter().try_fold(record, |record, old| {
            let digest = read_digest(&old.digest).map_err(text)?;
            Ok(record.with_superseded(Superseded::new(digest, old.until.0, old.imported)))
        })
    }
}
