//! What is imported, line by line.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Read};

use serde::Deserialize;
use serde_json::error::Category;
use tower_keep::{ConfigError, DigestTag, KeyDigest, KeyRecord, KeyRules, NewKey, RateLimit, Scopes, Secret};
use zeroize::Zeroizing;

use crate::args::Format;
use crate::failure::with_causes;
use crate::moment::Moment;

/// The longest line.
const LINE_MAX: usize = 1024 * 1024;

/// Reads lines of a format into records.
pub(super) struct Lines {
    pub(super) format: Format,
    pub(super) rules: KeyRules,
    /// How many records come at once.
    pub(super) batch: usize,
}

/// Records that stand one behind the other.
pub(super) struct Batch {
    pub(super) records: Vec<KeyRecord>,
    /// How long their text was.
    pub(super) bytes: u64,
}

/// Kinds of digests that nobody here can compare with.
pub(super) type Unknown = BTreeSet<DigestTag>;

impl Lines {
    /// Reads all lines and hands batches on, until somebody wants no more of them. Empty lines are left out.
    ///
    /// # Errors
    ///
    /// The number of the first line that is wrong, and what is wrong with it. The batch that it would have been in is not
    /// handed on.
    pub(super) fn read(
        &self,
        mut source: impl BufRead,
        mut each: impl FnMut(Batch) -> bool,
    ) -> Result<Unknown, String> {
        let known: BTreeSet<_> = self.rules.hasher().tags().collect();
        let mut unknown = Unknown::new();
        let mut line = Zeroizing::new(Vec::new());
        let mut batch = Batch { records: Vec::with_capacity(self.batch), bytes: 0 };
        for number in 1_u64.. {
            line.clear();
            let read = source.by_ref().take(LINE_MAX as u64 + 1).read_until(b'\n', &mut line);
            let length = read.map_err(|error| format!("line {number} cannot be read: {error}"))?;
            if length > LINE_MAX {
                return Err(format!("line {number} is longer than 1 MiB"));
            }
            batch.bytes += length as u64;
            if !line.trim_ascii().is_empty() {
                let record = self.record(&line).map_err(|reason| format!("line {number}: {reason}"))?;
                let tags = [record.digest()].into_iter().chain(record.superseded().iter().map(|old| old.digest()));
                let tags = tags.filter(|_| record.slow_hash().is_none()).map(KeyDigest::tag);
                unknown.extend(tags.filter(|tag| !known.contains(tag)));
                batch.records.push(record);
            }
            if length == 0 || batch.records.len() >= self.batch {
                let next = Batch { records: Vec::with_capacity(self.batch), bytes: 0 };
                if !each(std::mem::replace(&mut batch, next)) || length == 0 {
                    break;
                }
            }
        }
        Ok(unknown)
    }

    fn record(&self, line: &[u8]) -> Result<KeyRecord, String> {
        match self.format {
            Format::Jsonl => serde_json::from_slice(line).map_err(|error| reason(&error)),
            Format::Plain => {
                let mut about: Foreign = serde_json::from_slice(line).map_err(|error| reason(&error))?;
                let (Some(key), None) = (about.key.take(), &about.sha256) else {
                    return Err("a `key` is needed, and no `sha256`".to_owned());
                };
                self.rules.import(&Secret::new(key), about.new_key(&self.rules)?).map_err(|error| with_causes(&error))
            }
            Format::Sha256 => {
                let mut about: Foreign = serde_json::from_slice(line).map_err(|error| reason(&error))?;
                let (Some(sha256), None) = (about.sha256.take(), &about.key) else {
                    return Err("a `sha256` is needed, and no `key`".to_owned());
                };
                let digest = KeyDigest::from_hex(DigestTag::SHA256_BARE, &sha256).map_err(|error| error.to_string())?;
                self.rules.import_digest(digest, about.new_key(&self.rules)?).map_err(|error| with_causes(&error))
            }
        }
    }
}

/// Says what is wrong with a line of JSON. What stands in it may be a secret, so values are not repeated.
fn reason(error: &serde_json::Error) -> String {
    let (text, column) = (error.to_string(), error.column());
    let text = text.split(" at line ").next().unwrap_or_default();
    match error.classify() {
        Category::Data if text.starts_with("invalid ") => {
            format!("a value of another type than is needed, before column {column}")
        }
        Category::Data if text.starts_with("unknown field") => {
            let expected = text.rsplit_once(", expected").map_or("others are needed", |(_, expected)| expected.trim());
            format!("a field that is not known, before column {column}; those known are {expected}")
        }
        Category::Data => text.to_owned(),
        _ => format!("no JSON, at column {column}"),
    }
}

/// A key of another system, or what it kept of one, and what there is to say of it, in the words of a record.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Foreign {
    key: Option<String>,
    sha256: Option<String>,
    owner: String,
    #[serde(default)]
    scopes: Vec<String>,
    not_before: Option<String>,
    expires_at: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    rate: Option<String>,
    #[serde(default)]
    networks: Vec<String>,
}

impl Foreign {
    fn new_key(self, rules: &KeyRules) -> Result<NewKey, String> {
        let text = |error: ConfigError| error.to_string();
        let now = rules.now();
        let time = |text: String| {
            let time = Moment::parse(&text).map_err(str::to_owned)?.time(now);
            time.ok_or_else(|| "no clock goes as far as one of the times".to_owned())
        };
        let new = NewKey::for_owner(self.owner).scopes(Scopes::new(self.scopes).map_err(text)?).networks(self.networks);
        let new = self.not_before.map(time).transpose()?.into_iter().fold(new, NewKey::not_before);
        let new = self.expires_at.map(time).transpose()?.into_iter().fold(new, NewKey::expires_at);
        let rate = self.rate.map(|rate| rate.parse::<RateLimit>()).transpose().map_err(text)?;
        let new = rate.into_iter().fold(new, NewKey::rate);
        Ok(self.labels.into_iter().fold(new, |new, (name, value)| new.label(name, value)))
    }
}
