//! `keep keys verify` and `leaked`: a whole key is read, and never shown.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value, json};
use tower_keep::{AdminError, FormatError, KeyRecord, Lookup};

use super::{Keys, view};
use crate::args::{Global, Nothing, VerifyKey};
use crate::ask::{confirm, secret};
use crate::failure::Failure;
use crate::moment::written;
use crate::output::pairs;

pub(super) async fn verify(global: &Global, how: &VerifyKey) -> Result<(), Failure> {
    let key = secret("key", &how.nothing).await?;
    let keys = Keys::open(global, false).await?;
    let now = keys.rules.now();
    let (record, reason) = judge(&keys, key.expose(), how.from).await?;
    let reason = match reason {
        Verdict::Good(until) => {
            let record = record.as_deref();
            let until = until.map(written).unwrap_or_default();
            return keys.output.result(&good(record, &until), || {
                let mut shown = vec![("good", "yes".to_owned()), ("superseded, works until", until.clone())];
                shown.extend(record.into_iter().flat_map(|record| view::pairs(record, now)));
                pairs(&shown)
            });
        }
        Verdict::Bad(reason) => reason,
    };
    let id = record.map(|record| record.id().to_string());
    keys.output.result(&json!({ "good": false, "reason": reason, "id": id }), || {
        let why = ("why", why(reason).to_owned());
        pairs(&[("good", "no".to_owned()), why, ("id", id.clone().unwrap_or_default())])
    })?;
    Err(Failure::No(None))
}

/// What there is to say of a key.
enum Verdict {
    /// It is good, perhaps until a time, if a newer secret has taken its place.
    Good(Option<SystemTime>),
    /// It is not, for the reason that a server logs.
    Bad(&'static str),
}

/// Judges a key as the layer of a server does, but for the address that it comes from, unless one is said.
async fn judge(keys: &Keys, key: &str, from: Option<IpAddr>) -> Result<(Option<Arc<KeyRecord>>, Verdict), Failure> {
    let found = match find(keys, key).await? {
        Ok(found) => found,
        Err(FormatError::Checksum) => return Ok((None, Verdict::Bad("key_checksum"))),
        Err(_) => return Ok((None, Verdict::Bad("key_malformed"))),
    };
    let Some(record) = found else { return Ok((None, Verdict::Bad("key_unknown"))) };
    let ended = match view::state(&record, keys.rules.now()) {
        "revoked" => Some("key_revoked"),
        "expired" => Some("key_expired"),
        "not_yet_valid" => Some("key_not_yet_valid"),
        _ => None,
    };
    let verdict = match (secret_of(keys, &record, key), ended) {
        (Ok(Which::None), _) => Verdict::Bad("key_mismatch"),
        (_, Some(reason)) => Verdict::Bad(reason),
        (Err(failure), None) => return Err(failure),
        (Ok(Which::Old(until)), None) if until <= keys.rules.now() => Verdict::Bad("key_superseded"),
        (Ok(_), None) if from.is_some_and(|from| !record.allows(Some(from))) => Verdict::Bad("key_network"),
        (Ok(Which::Old(until)), None) => Verdict::Good(Some(until)),
        (Ok(Which::Present), None) => Verdict::Good(None),
    };
    Ok((Some(record), verdict))
}

fn good(record: Option<&KeyRecord>, until: &str) -> Value {
    let mut json = json!({ "good": true });
    if let Some(record) = record {
        json["id"] = json!(record.id().as_str());
        json["owner"] = json!(record.owner());
        json["scopes"] = record.scopes().iter().collect();
        json["digest"] = json!(record.digest().tag().to_string());
        let mut set = |name: &str, value: Option<Value>| value.into_iter().for_each(|value| json[name] = value);
        set("expires_at", record.expires_at().map(|time| json!(written(time))));
        set("superseded_until", (!until.is_empty()).then(|| json!(until)));
        set("networks", record.is_bound_to_networks().then(|| record.networks().collect()));
        set("rate", record.rate().map(|rate| json!(rate.to_string())));
    }
    json
}

fn why(reason: &str) -> &str {
    match reason {
        "key_revoked" => "it is revoked",
        "key_expired" => "it has expired",
        "key_not_yet_valid" => "it is not good yet",
        "key_superseded" => "a newer secret has taken its place, and its time is over",
        "key_unknown" => "there is no such key",
        "key_mismatch" => "the secret is not that of the key with this id",
        "key_checksum" => "the checksum does not fit: it was mistyped, or made up",
        "key_network" => "it is not accepted from that address",
        "key_malformed" => "it is not built as keys are",
        other => other,
    }
}

pub(super) async fn leaked(global: &Global, said: &Nothing) -> Result<(), Failure> {
    let key = secret("key", said).await?;
    let keys = Keys::open(global, false).await?;
    let found = find(&keys, key.expose()).await?.map_err(|error| Failure::no(error.to_string()))?;
    let format = keys.rules.format();
    let record = found.ok_or_else(|| match format.owns(key.expose()) {
        true => Failure::from(AdminError::NotFound),
        false => Failure::no(format!(
            "there is no such key, and nothing was revoked: it does not start with `{}_`, which --prefix says, and one of which \
             there is only a slow hash cannot be found by itself",
            format.prefix()
        )),
    })?;
    let now = keys.rules.now();
    match secret_of(&keys, &record, key.expose())? {
        Which::None => return Err(Failure::no("the key is not right, and nothing was revoked")),
        Which::Old(until) if until <= now && record.revoked_at().is_none() => {
            let text = format!("that secret of {} has stopped working already, and a newer one is in use", record.id());
            return Err(Failure::no(format!("{text}; nothing was revoked")));
        }
        Which::Old(_) | Which::Present if record.revoked_at().is_some() => {}
        which => {
            let newer = match which {
                Which::Old(_) => " The newer secret that has taken its place ends, too.",
                _ => "",
            };
            let question = format!("Revoke {} of {} for good?{newer}", record.id(), record.owner());
            confirm(question, keys.yes).await?;
        }
    }
    let record = keys.ask(keys.store.revoke(record.id())).await?;
    keys.output.result(&view::json(&record, now), || {
        let when = record.revoked_at().map(written).unwrap_or_default();
        format!("{} of {} is revoked since {when}\n", record.id(), crate::output::visible(record.owner()))
    })?;
    keys.warn_if_volatile();
    Ok(())
}

/// Finds the record that a key may be one of: by the id in it, or by its digests.
async fn find(keys: &Keys, key: &str) -> Result<Result<Option<Arc<KeyRecord>>, FormatError>, Failure> {
    let hasher = keys.rules.hasher();
    let lookups: Vec<_> = match keys.rules.format().parse(key) {
        Ok(id) => vec![Lookup::Id(id)],
        Err(FormatError::Foreign) => {
            hasher.tags().filter_map(|tag| hasher.digest_as(tag, key)).map(Lookup::Digest).collect()
        }
        Err(error) => return Ok(Err(error)),
    };
    for lookup in lookups {
        if let Some(record) = keys.ask(keys.store.find(&lookup)).await? {
            return Ok(Ok(Some(record)));
        }
    }
    Ok(Ok(None))
}

/// Which secret of a record a key is.
enum Which {
    Present,
    /// One that works until a time.
    Old(SystemTime),
    None,
}

fn secret_of(keys: &Keys, record: &KeyRecord, key: &str) -> Result<Which, Failure> {
    let old = record.superseded().iter().map(|old| (old.digest(), Which::Old(old.until())));
    let mut unknown = None;
    for (digest, which) in [(record.digest(), Which::Present)].into_iter().chain(old) {
        match keys.rules.hasher().digest_as(digest.tag(), key) {
            Some(made) if made.matches(digest) => return Ok(which),
            Some(_) => {}
            None => unknown = Some(digest.tag()),
        }
    }
    match unknown {
        Some(tag) => {
            Err(Failure::refused(format!("a digest of {} was made as {tag}, which is not configured", record.id())))
        }
        None => Ok(Which::None),
    }
}
