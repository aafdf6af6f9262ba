//! The parts of a record that few keys have, as text: within a record that is text as a whole, and by themselves, in a column
//! of a table.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use serde::de::{Error as _, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{KeyRecord, Superseded};
use crate::ConfigError;
use crate::api_key::{DigestTag, KeyDigest};

/// What few keys have. What is not there is left out.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenMore {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) slow_hash: Option<String>,
    /// `requests/seconds`, such as `100/60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rate: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) networks: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) superseded: Vec<WrittenSuperseded>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenSuperseded {
    digest: String,
    until: Time,
    #[serde(default, skip_serializing_if = "is_false")]
    imported: bool,
}

impl WrittenMore {
    pub(super) fn of(record: &KeyRecord) -> Self {
        let superseded = record.superseded().iter().map(|old| WrittenSuperseded {
            digest: digest_text(old.digest()),
            until: Time(old.until()),
            imported: old.is_imported(),
        });
        Self {
            slow_hash: record.slow_hash().map(str::to_owned),
            rate: record.rate().map(|rate| rate.to_string()),
            networks: record.networks().collect(),
            labels: record.labels().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            superseded: superseded.collect(),
        }
    }

    pub(super) fn add_to(self, record: KeyRecord) -> Result<KeyRecord, String> {
        let text = |error: ConfigError| error.to_string();
        let record = self.slow_hash.into_iter().fold(record, KeyRecord::slowly_hashed);
        let record = record.with_networks(self.networks).map_err(text)?;
        let rate = self.rate.map(|rate| rate.parse()).transpose().map_err(text)?;
        let record = rate.into_iter().fold(record, KeyRecord::with_rate);
        let record = self.labels.into_iter().fold(record, |record, (name, value)| record.with_label(name, value));
        self.superseded.into_iter().try_fold(record, |record, old| {
            let digest = read_digest(&old.digest).map_err(text)?;
            Ok(record.with_superseded(Superseded::new(digest, old.until.0, old.imported)))
        })
    }
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl KeyRecord {
    /// Writes what few keys have as JSON, or nothing for all others.
    pub(in crate::api_key) fn more_text(&self) -> Result<Option<String>, serde_json::Error> {
        let text = self.more.is_some().then(|| serde_json::to_string(&WrittenMore::of(self))).transpose()?;
        // The last use stands elsewhere.
        Ok(text.filter(|text| text != "{}"))
    }

    /// Adds what [`more_text`](Self::more_text) wrote.
    pub(in crate::api_key) fn with_more_text(self, text: &str) -> Result<Self, String> {
        let more: WrittenMore = serde_json::from_str(text).map_err(|error| error.to_string())?;
        more.add_to(self)
    }
}

pub(super) fn is_false(value: &bool) -> bool {
    !*value
}

/// A time of RFC 3339, in whole seconds.
#[derive(Clone, Copy)]
pub(super) struct Time(pub(super) SystemTime);

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

pub(super) fn digest_text(digest: &KeyDigest) -> String {
    format!("{}:{}", digest.tag(), digest.to_hex())
}

pub(super) fn read_digest(text: &str) -> Result<KeyDigest, ConfigError> {
    let (tag, hex) = text.split_once(':').ok_or(ConfigError::DigestText { length: text.len() })?;
    KeyDigest::from_hex(tag.parse::<DigestTag>()?, hex)
}
