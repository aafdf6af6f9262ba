//! Tokens: which are let in, which are refused, what they may do.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use serde_json::{Value, json};
use tower_keep::Denial;

use super::{API_KEY, Check, bearer};
use crate::answer::{answer, as_problem, seen, with_body, with_error};
use crate::common::Result;
use crate::mint::{AUDIENCE, ISSUER, Issuer};

const AUTHORIZATION: &str = "authorization";

impl Check<'_> {
    pub(super) async fn good_tokens(&mut self) -> Result<()> {
        let token = [(AUTHORIZATION, self.token.as_str())];
        let both = self.access_token(json!({ "sub": "carol", "scope": "orders:read orders:write" }))?;
        let post = |token: &str| {
            let request = self.client.post(format!("{}/token/orders", self.server.url));
            answer(request.header(AUTHORIZATION, token))
        };

        let me = self.get("/token/me", &token).await;
        let again = self.get("/token/me", &token).await;
        let read = self.get("/token/orders", &token).await;
        let write = post(&self.token).await;
        let write_allowed = post(&both).await;
        let headers = self.get("/token/headers", &token).await;

        let alice = "200 you are alice <alice@example.com>, and may: orders:read";
        self.table.row("a token", alice, with_body(&me));
        self.table.row("the same token, which is remembered", alice, with_body(&again));
        self.table.row("a scope that the token has", "200 the orders of alice", with_body(&read));
        self.table.row("a scope that the token lacks", "403 insufficient_scope orders:write", with_error(&write));
        self.table.row("the same with a token that has it", "201 an order of carol", with_body(&write_allowed));
        let actual = match &headers {
            Ok(answer) if answer.body.lines().any(|name| name == AUTHORIZATION) => "the handler sees it".to_owned(),
            Ok(answer) if answer.status == StatusCode::OK => "the handler does not see it".to_owned(),
            _ => seen(&headers, &[]),
        };
        self.table.row("the token in Authorization: Bearer", "the handler does not see it", actual);
        Ok(())
    }

    pub(super) async fn bad_tokens(&mut self) -> Result<()> {
        let none = self.get("/token/me", &[]).await;
        self.table.row("no token", r#"401 Bearer realm="api""#, seen(&none, &[WWW_AUTHENTICATE]));
        let query = self.get(&format!("/token/me?access_token={}", &self.token["Bearer ".len()..]), &[]).await;
        self.table.row("a token in the query", "401 no error code", with_error(&query));

        // A key of the same name that the server does not know.
        let forged = bearer(&Issuer::new()?.access_token(&json!({ "scope": "orders:read" }))?);
        let forged = self.get("/token/me", &[(AUTHORIZATION, &forged)]).await;
        let challenge = r#"401 application/problem+json | no-store | Bearer realm="api", error="invalid_token""#;
        let fields = [CONTENT_TYPE, CACHE_CONTROL, WWW_AUTHENTICATE];
        self.table.row("a token of another key", challenge, seen(&forged, &fields));
        let problem = "401 Unauthorized: the credential is not valid (invalid_token)";
        self.table.row("a token of another key: what the problem says", problem, as_problem(&forged));

        let mut changed = self.token.clone();
        changed.replace_range(changed.rfind('.').ok_or("a token has dots")?.., ".c2ln");
        let bad = [
            ("a token with another signature", changed),
            ("a token that has expired", self.access_token(json!({ "exp": seconds_from_now(-60)? }))?),
            ("a token that is not yet valid", self.access_token(json!({ "nbf": seconds_from_now(60)? }))?),
            ("a token for another audience", self.access_token(json!({ "aud": "https://other.example.com" }))?),
            ("a token of another issuer", self.access_token(json!({ "iss": "https://other.example.com" }))?),
            ("a token without an end", self.access_token(json!({ "exp": null }))?),
            ("a token without the claims of the handler", self.access_token(json!({ "email": null }))?),
            ("a token bound to a key of the caller", self.access_token(json!({ "cnf": { "jkt": "0" } }))?),
            ("an ID token", self.id_token()?),
            ("a text that is no token", bearer("open-sesame")),
            ("a key", bearer(self.key.expose())),
        ];
        for (name, token) in bad {
            let answer = self.get("/token/me", &[(AUTHORIZATION, &token)]).await;
            let actual = match (&answer, &forged) {
                (Ok(answer), Ok(forged)) if answer.reads_like(forged) => "as for a token of another key".to_owned(),
                _ => with_error(&answer),
            };
            self.table.row(name, "as for a token of another key", actual);
        }

        let key = self.get("/token/me", &[(API_KEY, self.key.expose())]).await;
        self.table.row("a key in x-api-key, which is not read here", "401 no error code", with_error(&key));
        let twice = self.get("/token/me", &[(AUTHORIZATION, &self.token), (AUTHORIZATION, &self.token)]).await;
        self.table.row("two tokens", "400 invalid_request", with_error(&twice));
        let unreadable = self.get("/token/me", &[(AUTHORIZATION, "Bearer a,b")]).await;
        self.table.row("what no token looks like", "400 invalid_request", with_error(&unreadable));
        Ok(())
    }

    pub(super) async fn denied_tokens(&mut self) -> Result<()> {
        let denied = &self.server.denied;
        let of_dave = |id: &str| self.access_token(json!({ "sub": "dave", "email": "dave@example.com", "jti": id }));
        let (one, other) = (of_dave("dave-1")?, of_dave("dave-2")?);
        let me = async |token: &str| self.get("/token/me", &[(AUTHORIZATION, token)]).await;

        let before = me(&one).await;
        denied.deny(Denial::token("dave-1"));
        let after = me(&one).await;
        let beside = me(&other).await;
        let everywhere = Denial::subject("dave").issued_before(SystemTime::now());
        denied.deny(everywhere.clone());
        let logged_out = me(&other).await;
        denied.allow(&everywhere);
        let allowed = me(&other).await;

        let dave = "200 you are dave <dave@example.com>, and may:";
        self.table.row("a token that is about to be denied", dave, with_body(&before));
        self.table.row("the token, denied a moment ago", "401 invalid_token", with_error(&after));
        self.table.row("another token of the same subject", dave, with_body(&beside));
        self.table.row("the same, all tokens of the subject denied", "401 invalid_token", with_error(&logged_out));
        self.table.row("the same, and that taken back", dave, with_body(&allowed));
        Ok(())
    }

    pub(super) async fn replaced_keys(&mut self) -> Result<()> {
        let next = Issuer::new()?;
        let next_token = bearer(&next.access_token(&json!({ "scope": "orders:read" }))?);
        let orders = async |token: &str| self.get("/token/orders", &[(AUTHORIZATION, token)]).await;

        let before = orders(&next_token).await;
        self.server.tokens.replace_keys(next.public_key()?)?;
        let after = orders(&next_token).await;
        let old = orders(&self.token).await;
        self.server.tokens.replace_keys(self.server.issuer.public_key()?)?;
        let again = orders(&self.token).await;

        let alice = "200 the orders of alice";
        self.table.row("a token of the issuer's next key", "401 invalid_token", with_error(&before));
        self.table.row("the same, once the keys are replaced", alice, with_body(&after));
        self.table.row("a token of the key before, which was remembered", "401 invalid_token", with_error(&old));
        self.table.row("the same, and that taken back", alice, with_body(&again));
        Ok(())
    }

    fn access_token(&self, changes: Value) -> Result<String> {
        Ok(bearer(&self.server.issuer.access_token(&changes)?))
    }

    /// Makes what a client gets at the login beside the access token, to know who logged in (OpenID Connect Core, section
    /// 2). It is no key to an API.
    fn id_token(&self) -> Result<String> {
        let claims = json!({
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "alice",
            "email": "alice@example.com",
            "nonce": "n",
            "iat": seconds_from_now(0)?,
            "exp": seconds_from_now(600)?,
        });
        Ok(bearer(&self.server.issuer.jws(&json!({ "alg": "EdDSA", "typ": "JWT", "kid": "demo" }), &claims)))
    }
}

fn seconds_from_now(seconds: i64) -> Result<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(i64::try_from(now.as_secs())? + seconds)
}
