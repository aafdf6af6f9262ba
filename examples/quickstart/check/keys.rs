//! Keys: where they may stand, which are refused, what they may do.

use std::time::{Duration, SystemTime};

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderName, StatusCode};
use tower_keep::{MemoryStore, NewKey, Secret};

use super::{API_KEY, Check};
use crate::answer::{answer, as_problem, seen, with_body, with_error};
use crate::common::Result;

const SUPERSEDED: HeaderName = HeaderName::from_static("api-key-superseded");
const HOUR: Duration = Duration::from_secs(60 * 60);

impl Check<'_> {
    pub(super) async fn places(&mut self) {
        let alice = "200 you are alice, and may: orders:read";
        let key = self.key.expose().to_owned();
        let places = [
            (API_KEY, key.clone(), "the key in x-api-key"),
            ("apikey", key.clone(), "the key in apikey"),
            ("authorization", format!("ApiKey {key}"), "the key in Authorization: ApiKey"),
            ("authorization", format!("Bearer {key}"), "the key in Authorization: Bearer"),
        ];
        for (field, value, name) in &places {
            let answer = self.get("/me", &[(*field, value)]).await;
            self.table.row(name, alice, with_body(&answer));
        }
        for (field, value, name) in &places {
            let answer = self.get("/headers", &[(*field, value)]).await;
            let actual = match &answer {
                Ok(answer) if answer.body.lines().any(|name| name == *field) => "the handler sees it".to_owned(),
                Ok(answer) if answer.status == StatusCode::OK => "the handler does not see it".to_owned(),
                _ => seen(&answer, &[]),
            };
            self.table.row(name, "the handler does not see it", actual);
        }
        let key = key.as_str();
        let bearer = &places[3].1;
        let twice: [(&str, &[(&str, &str)]); 3] = [
            ("two keys in two fields", &[(API_KEY, key), ("apikey", key)]),
            ("two keys in one field", &[(API_KEY, key), (API_KEY, key)]),
            ("one key in a field, one as a token", &[(API_KEY, key), ("authorization", bearer)]),
        ];
        for (name, fields) in twice {
            let answer = self.get("/me", fields).await;
            self.table.row(name, "400 invalid_request", with_error(&answer));
        }
    }

    pub(super) async fn bad_keys(&mut self) -> Result<()> {
        let none = self.get("/me", &[]).await;
        let challenges = r#"401 ApiKey realm="api" | Bearer realm="api""#;
        self.table.row("no key", challenges, seen(&none, &[WWW_AUTHENTICATE]));

        let rules = self.server.keys.rules();
        let unknown = rules.format().generate()?;
        let unknown = self.get("/me", &[(API_KEY, unknown.expose())]).await;
        self.table.row("unknown key", "401 invalid_token", with_error(&unknown));
        self.table.row(
            "unknown key: the answer is a problem",
            "401 application/problem+json | no-store",
            seen(&unknown, &[CONTENT_TYPE, CACHE_CONTROL]),
        );
        let problem = "401 Unauthorized: the credential is not valid (invalid_token)";
        self.table.row("unknown key: what the problem says", problem, as_problem(&unknown));
        let token = format!("Bearer {}", rules.format().generate()?.expose());
        let token = self.get("/me", &[("authorization", &token)]).await;
        let challenges = r#"401 ApiKey realm="api" | Bearer realm="api", error="invalid_token""#;
        self.table.row("unknown key as a token", challenges, seen(&token, &[WWW_AUTHENTICATE]));

        let (wrong_secret, _) = rules.reissue(&rules.format().parse(self.key.expose())?)?;
        let revoked = self.server.keys.issue(NewKey::for_owner("bob"))?;
        self.server.keys.revoke(revoked.id())?;
        let bad = [
            ("expired key", expired(&self.server.keys)?),
            ("revoked key", revoked.key().clone()),
            ("key with another secret", wrong_secret),
            ("key with a wrong checksum", mistyped(&self.key)),
            ("text that is no key", Secret::new("open-sesame".to_owned())),
        ];
        for (name, key) in bad {
            let answer = self.get("/me", &[(API_KEY, key.expose())]).await;
            let actual = match (&answer, &unknown) {
                (Ok(answer), Ok(unknown)) if answer.reads_like(unknown) => "as for an unknown key".to_owned(),
                _ => with_error(&answer),
            };
            self.table.row(name, "as for an unknown key", actual);
        }
        Ok(())
    }

    pub(super) async fn scopes(&mut self) -> Result<()> {
        let both = self.server.keys.issue(NewKey::for_owner("carol").scopes(["orders:read", "orders:write"]))?;
        let orders = format!("{}/orders", self.server.url);

        let read = self.get("/orders", &[(API_KEY, self.key.expose())]).await;
        let write = answer(self.client.post(&orders).header(API_KEY, self.key.expose())).await;
        let write_allowed = answer(self.client.post(&orders).header(API_KEY, both.key().expose())).await;
        let no_key = answer(self.client.post(&orders)).await;

        self.table.row("a scope that the key has", "200 the orders of alice", with_body(&read));
        self.table.row("a scope that the key lacks", "403 insufficient_scope orders:write", with_error(&write));
        self.table.row("the same with a key that has it", "201 an order of carol", with_body(&write_allowed));
        self.table.row("a scope without a key", "401 no error code", with_error(&no_key));
        Ok(())
    }

    pub(super) async fn optional(&mut self) {
        let nobody = self.get("/maybe", &[]).await;
        let alice = self.get("/maybe", &[(API_KEY, self.key.expose())]).await;
        let bad = self.get("/maybe", &[(API_KEY, mistyped(&self.key).expose())]).await;

        self.table.row("optional route, no key", "200 hello, stranger", with_body(&nobody));
        self.table.row("optional route, a key", "200 hello, alice", with_body(&alice));
        self.table.row("optional route, a bad key", "401 invalid_token", with_error(&bad));
    }

    pub(super) async fn rotation(&mut self) -> Result<()> {
        let keys = self.server.keys.clone();
        let first = keys.issue(NewKey::for_owner("dave"))?;
        let second = keys.rotate(first.id(), HOUR)?;
        let until = second.record().superseded().first().map(|old| old.until()).ok_or("nothing was superseded")?;
        let until = until.duration_since(SystemTime::UNIX_EPOCH)?.as_secs();

        let old = self.get("/me", &[(API_KEY, first.key().expose())]).await;
        let new = self.get("/me", &[(API_KEY, second.key().expose())]).await;
        keys.revoke(first.id())?;
        let old_revoked = self.get("/me", &[(API_KEY, first.key().expose())]).await;
        let new_revoked = self.get("/me", &[(API_KEY, second.key().expose())]).await;

        self.table.row("rotated, the old key in its grace period", &format!("200 @{until}"), seen(&old, &[SUPERSEDED]));
        self.table.row("rotated, the new key", "200 -", seen(&new, &[SUPERSEDED]));
        self.table.row("revoked a moment ago, the old key", "401 invalid_token", with_error(&old_revoked));
        self.table.row("revoked a moment ago, the new key", "401 invalid_token", with_error(&new_revoked));

        let first = keys.issue(NewKey::for_owner("erin"))?;
        keys.rotate(first.id(), Duration::ZERO)?;
        let old = self.get("/me", &[(API_KEY, first.key().expose())]).await;
        self.table.row("rotated without a grace period, the old key", "401 invalid_token", with_error(&old));
        Ok(())
    }
}

/// Makes a key that ended a moment ago. Nobody issues such a key, so its record is put into the store by hand.
fn expired(keys: &MemoryStore) -> Result<Secret> {
    let issued = keys.rules().issue(NewKey::for_owner("frank"))?;
    let ended = SystemTime::now() - Duration::from_secs(2);
    keys.insert((**issued.record()).clone().with_created_at(ended - HOUR).with_expires_at(ended))?;
    Ok(issued.key().clone())
}

/// Changes the last character, which belongs to the checksum.
fn mistyped(key: &Secret) -> Secret {
    let mut text = key.expose().to_owned();
    let last = text.pop();
    text.push(if last == Some('0') { '1' } else { '0' });
    Secret::new(text)
}
