//! `keep keys verify` and `leaked`: a whole key is read, and never shown.

use std::sync::Arc;

use http::{HeaderValue, Request};
use serde_json::{Value, json};
use tower_keep::{AdminError, ApiKey, Cause, FormatError, KeyRecord, Lookup, Principal, Rejection, Scheme, Secret};

use super::{Keys, view};
use crate::args::{Global, Nothing};
use crate::ask::{confirm, secret};
use crate::failure::Failure;
use crate::moment::written;
use crate::output::pairs;

pub(super) async fn verify(global: &Global, said: &Nothing) -> Result<(), Failure> {
    let key = secret("key", said).await?;
    let keys = Keys::open(global, false).await?;
    match judge(&keys, &key).await? {
        Ok(principal) => {
            let record = principal.details::<KeyRecord>();
            keys.output.result(&good(&principal, record), || {
                let mut shown = vec![
                    ("good", "yes".to_owned()),
                    ("id", principal.credential_id().unwrap_or_default().to_owned()),
                    ("owner", principal.subject().to_owned()),
                    ("scopes", principal.scopes().as_str().to_owned()),
                    ("expires", principal.expires_at().map(written).unwrap_or_default()),
                    ("superseded, works until", principal.superseded().map(written).unwrap_or_default()),
                ];
                if let Some(record) = record {
                    shown.push(("networks", record.networks().collect::<Vec<_>>().join(" ")));
                    shown.push(("digest", record.digest().tag().to_string()));
                }
                pairs(&shown)
            })
        }
        Err(rejection) => {
            let (reason, id) = (rejection.reason(), rejection.credential_id());
            keys.output.result(&json!({ "good": false, "reason": reason, "id": id }), || {
                let why = ("why", why(reason).to_owned());
                pairs(&[("good", "no".to_owned()), why, ("id", id.unwrap_or_default().to_owned())])
            })?;
            Err(Failure::No(None))
        }
    }
}

/// Judges a key as the layer of a server does.
async fn judge(keys: &Keys, key: &Secret) -> Result<Result<Principal, Rejection>, Failure> {
    let scheme = ApiKey::new(Arc::clone(&keys.store));
    let (mut head, ()) = Request::new(()).into_parts();
    let Ok(mut value) = HeaderValue::from_str(key.expose()) else {
        return Ok(Err(Rejection::invalid("key_malformed")));
    };
    value.set_sensitive(true);
    head.headers.insert("x-api-key", value);
    let verdict = match scheme.take(&mut head) {
        Ok(Some(presented)) => {
            match tokio::time::timeout(keys.patience, scheme.verify(presented).into_future()).await {
                Ok(verdict) => verdict.map(|admission| admission.principal().clone()),
                Err(_) => return Err(super::too_late(keys.patience)),
            }
        }
        Ok(None) => Err(Rejection::missing()),
        Err(rejection) => Err(rejection),
    };
    match verdict {
        Err(rejection) if matches!(rejection.cause(), Cause::Unavailable | Cause::Misconfigured) => {
            Err(rejection.into())
        }
        verdict => Ok(verdict),
    }
}

fn good(principal: &Principal, record: Option<&KeyRecord>) -> Value {
    let mut json = json!({
        "good": true,
        "id": principal.credential_id(),
        "owner": principal.subject(),
        "scopes": principal.scopes().iter().collect::<Vec<_>>(),
    });
    let mut set = |name: &str, value: Option<Value>| value.into_iter().for_each(|value| json[name] = value);
    set("expires_at", principal.expires_at().map(|time| json!(written(time))));
    set("superseded_until", principal.superseded().map(|time| json!(written(time))));
    if let Some(record) = record {
        set("digest", Some(json!(record.digest().tag().to_string())));
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
        "key_malformed" | "credential_malformed" => "it is not built as keys are",
        other => other,
    }
}

pub(super) async fn leaked(global: &Global, said: &Nothing) -> Result<(), Failure> {
    let key = secret("key", said).await?;
    let keys = Keys::open(global, false).await?;
    let record = find(&keys, key.expose()).await?;
    let now = keys.rules.now();
    match secret_of(&keys, &record, key.expose())? {
        Which::None => return Err(Failure::no("the key is not right, and nothing was revoked")),
        Which::Old { over: true } if record.revoked_at().is_none() => {
            let text = format!("that secret of {} has stopped working already, and a newer one is in use", record.id());
            return Err(Failure::no(format!("{text}; nothing was revoked")));
        }
        Which::Old { .. } | Which::Present if record.revoked_at().is_some() => {}
        which => {
            let newer = match which {
                Which::Old { .. } => " The newer secret that has taken its place ends, too.",
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
async fn find(keys: &Keys, key: &str) -> Result<Arc<KeyRecord>, Failure> {
    let hasher = keys.rules.hasher();
    let lookups: Vec<_> = match keys.rules.format().parse(key) {
        Ok(id) => vec![Lookup::Id(id)],
        Err(FormatError::Foreign) => {
            hasher.tags().filter_map(|tag| hasher.digest_as(tag, key)).map(Lookup::Digest).collect()
        }
        Err(error) => return Err(Failure::no(error.to_string())),
    };
    for lookup in lookups {
        if let Some(record) = keys.ask(keys.store.find(&lookup)).await? {
            return Ok(record);
        }
    }
    Err(AdminError::NotFound.into())
}

/// Which secret of a record a key is.
enum Which {
    Present,
    Old { over: bool },
    None,
}

fn secret_of(keys: &Keys, record: &KeyRecord, key: &str) -> Result<Which, Failure> {
    let old =
        record.superseded().iter().map(|old| (old.digest(), Which::Old { over: old.until() <= keys.rules.now() }));
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
