//! Denials as lists on servers keep them.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{Rule, TokenFacts};
use crate::StoreError;

/// What a rule asks of a token.
pub(super) struct Owned {
    issuer: Option<String>,
    issued_at: Option<SystemTime>,
}

impl Owned {
    pub(super) fn of(token: &TokenFacts<'_>) -> Self {
        Self { issuer: token.issuer.map(str::to_owned), issued_at: token.issued_at }
    }

    pub(super) fn facts(&self) -> TokenFacts<'_> {
        TokenFacts { issuer: self.issuer.as_deref(), issued_at: self.issued_at, ..TokenFacts::new("") }
    }
}

/// A rule as it is written. Times are seconds since 1970 and nanoseconds.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued_before: Option<(u64, u32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<(u64, u32)>,
}

pub(super) fn write(rules: &[Rule]) -> Result<String, StoreError> {
    let time = |when: SystemTime| {
        let since = when.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        (since.as_secs(), since.subsec_nanos())
    };
    let written = rules.iter().map(|rule| Written {
        issuer: rule.issuer.clone(),
        issued_before: rule.issued_before.map(time),
        until: rule.until.map(time),
    });
    serde_json::to_string(&written.collect::<Vec<_>>()).map_err(StoreError::misconfigured)
}

pub(super) fn read(text: &str) -> Result<Vec<Rule>, StoreError> {
    let wrong = |what: String| StoreError::misconfigured(format!("a denial cannot be read: {what}"));
    let written: Vec<Written> = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let time = |(seconds, nanos): (u64, u32)| {
        let since = Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanos.into()));
        let when = since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
        when.ok_or_else(|| wrong("a time is out of range".to_owned()))
    };
    let rules = written.into_iter().map(|rule| {
        Ok(Rule {
            issuer: rule.issuer,
            issued_before: rule.issued_before.map(time).transpose()?,
            until: rule.until.map(time).transpose()?,
        })
    });
    rules.collect()
}
