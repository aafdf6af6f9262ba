//! `keep keys create`, `rotate` and `revoke`.

use std::time::Duration;

use serde_json::json;
use tower_keep::{IssuedKey, NewKey};

use super::{Keys, view};
use crate::args::Create;
use crate::ask::confirm;
use crate::failure::Failure;
use crate::moment::{Moment, written};
use crate::output::{note, pairs};

pub(super) async fn create(keys: Keys, what: Create) -> Result<(), Failure> {
    let now = keys.rules.now();
    let time = |moment: Moment| moment.time(now).ok_or_else(|| Failure::Usage("no clock goes that far".to_owned()));
    let new = NewKey::for_owner(what.owner).scopes(what.scopes).networks(what.networks);
    let new = what.expires.map(time).transpose()?.into_iter().fold(new, NewKey::expires_at);
    let new = what.not_before.map(time).transpose()?.into_iter().fold(new, NewKey::not_before);
    let new = what.rate.into_iter().fold(new, NewKey::rate);
    let new = what.labels.into_iter().fold(new, |new, (name, value)| new.label(name, value));
    let issued = keys.ask(keys.store.issue(new)).await?;
    show(&keys, &issued)
}

pub(super) async fn rotate(keys: Keys, id: &str, grace: Duration) -> Result<(), Failure> {
    let id = keys.id(id)?;
    if grace.is_zero() {
        confirm(format!("End the present secret of {id} at once?"), keys.yes).await?;
    }
    let issued = keys.ask(keys.store.rotate(&id, grace)).await?;
    show(&keys, &issued)
}

/// Shows a key, this once. If it reaches nobody, it has to be replaced, and that must not go unnoticed.
fn show(keys: &Keys, issued: &IssuedKey) -> Result<(), Failure> {
    let now = keys.rules.now();
    let mut json = view::json(issued.record(), now);
    json["key"] = json!(issued.key().expose());
    json["public"] = json!(issued.public_part());
    let shown = keys.output.result(&json, || {
        let mut shown = vec![("key", issued.key().expose().to_owned())];
        shown.extend(view::pairs(issued.record(), now));
        pairs(&shown)
    });
    match shown {
        Ok(()) if keys.output.is_human() => note("the key is shown this once, and kept nowhere"),
        Ok(()) => {}
        Err(_) => {
            let text = format!("key {} was stored, but it could not be shown: rotate or revoke it", issued.id());
            return Err(Failure::Refused(text));
        }
    }
    Ok(())
}

pub(super) async fn revoke(keys: Keys, ids: &[String]) -> Result<(), Failure> {
    let ids = ids.iter().map(|id| keys.id(id)).collect::<Result<Vec<_>, _>>()?;
    let named: Vec<_> = ids.iter().map(ToString::to_string).collect();
    confirm(format!("Revoke {} for good?", named.join(", ")), keys.yes).await?;
    let mut missing = Vec::new();
    for id in &ids {
        match keys.ask(keys.store.revoke(id)).await {
            Ok(record) => {
                let human = || {
                    let when = record.revoked_at().map(written).unwrap_or_default();
                    format!("{id} of {} is revoked since {when}\n", crate::output::visible(record.owner()))
                };
                keys.output.result(&view::json(&record, keys.rules.now()), human)?;
            }
            // The others are to be revoked all the same.
            Err(Failure::No(_)) => missing.push(id.to_string()),
            Err(failure) => return Err(failure),
        }
    }
    keys.warn_if_volatile();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Failure::no(format!("there is no key {}", missing.join(", ")))),
    }
}
