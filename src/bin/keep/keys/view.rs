//! How records are shown: without digests.

use std::time::SystemTime;

use serde_json::{Value, json};
use tower_keep::{AuditEntry, KeyRecord};

use crate::moment::written;

/// Returns what a record is at a time: `good`, `revoked`, `expired` or `not_yet_valid`.
pub(super) fn state(record: &KeyRecord, now: SystemTime) -> &'static str {
    if record.revoked_at().is_some() {
        "revoked"
    } else if record.not_before().is_some_and(|start| now < start) {
        "not_yet_valid"
    } else if record.expires_at().is_some_and(|end| now >= end) {
        "expired"
    } else {
        "good"
    }
}

/// The record as it is exported, with its state, and the tag in the place of each digest.
pub(super) fn json(record: &KeyRecord, now: SystemTime) -> Value {
    let mut value = serde_json::to_value(record).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.remove("slow_hash");
        object.insert("digest".to_owned(), json!(kind(record)));
        object.insert("state".to_owned(), json!(state(record, now)));
        let superseded = record.superseded().iter();
        let superseded: Vec<_> = superseded
            .map(|old| json!({ "digest": old.digest().tag().to_string(), "until": written(old.until()) }))
            .collect();
        if !superseded.is_empty() {
            object.insert("superseded".to_owned(), Value::Array(superseded));
        }
    }
    value
}

fn kind(record: &KeyRecord) -> String {
    match record.slow_hash() {
        Some(_) => "slow".to_owned(),
        None => record.digest().tag().to_string(),
    }
}

/// The record as names and values.
pub(super) fn pairs(record: &KeyRecord, now: SystemTime) -> Vec<(&'static str, String)> {
    let time = |time: Option<SystemTime>| time.map(written).unwrap_or_default();
    let superseded: Vec<_> = record.superseded().iter().map(|old| written(old.until())).collect();
    let labels: Vec<_> = record.labels().map(|(name, value)| format!("{name}={value}")).collect();
    vec![
        ("id", record.id().to_string()),
        ("owner", record.owner().to_owned()),
        ("state", state(record, now).to_owned()),
        ("scopes", record.scopes().as_str().to_owned()),
        ("created", time(record.created_at())),
        ("not before", time(record.not_before())),
        ("expires", time(record.expires_at())),
        ("revoked", time(record.revoked_at())),
        ("last used", time(record.last_used_at())),
        ("rate", record.rate().map(|rate| rate.to_string()).unwrap_or_default()),
        ("networks", record.networks().collect::<Vec<_>>().join(" ")),
        ("labels", labels.join(" ")),
        ("imported", if record.is_imported() { "yes".to_owned() } else { String::new() }),
        ("digest", kind(record)),
        ("old secret works until", superseded.join(" ")),
    ]
}

pub(super) const HEAD: [&str; 7] = ["ID", "OWNER", "STATE", "SCOPES", "CREATED", "EXPIRES", "LAST USED"];

pub(super) fn row(record: &KeyRecord, now: SystemTime) -> [String; 7] {
    let time = |time: Option<SystemTime>| time.map_or_else(|| "-".to_owned(), written);
    let scopes = record.scopes();
    [
        record.id().to_string(),
        record.owner().to_owned(),
        state(record, now).to_owned(),
        if scopes.is_empty() { "-".to_owned() } else { scopes.as_str().to_owned() },
        time(record.created_at()),
        time(record.expires_at()),
        time(record.last_used_at()),
    ]
}

pub(super) fn entry_json(entry: &AuditEntry) -> Value {
    json!({
        "number": entry.number,
        "at": written(entry.at),
        "actor": entry.actor,
        "action": entry.action.name(),
        "key": entry.key.as_str(),
    })
}

pub(super) const ENTRY_HEAD: [&str; 5] = ["NUMBER", "AT", "ACTION", "KEY", "ACTOR"];

pub(super) fn entry_row(entry: &AuditEntry) -> [String; 5] {
    let actor = entry.actor.clone().unwrap_or_else(|| "-".to_owned());
    [entry.number.to_string(), written(entry.at), entry.action.name().to_owned(), entry.key.to_string(), actor]
}
