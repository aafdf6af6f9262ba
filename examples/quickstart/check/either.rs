//! Keys or tokens on one route.

use axum::http::header::WWW_AUTHENTICATE;

use super::{API_KEY, Check, bearer};
use crate::answer::{seen, with_body, with_error};

const AUTHORIZATION: &str = "authorization";

impl Check<'_> {
    pub(super) async fn either(&mut self) {
        let (key, token) = (self.key.expose(), self.token.as_str());
        let key_as_bearer = bearer(key);
        let forged = format!("{token}x");

        let by_key = self.get("/either", &[(API_KEY, key)]).await;
        let by_key_as_bearer = self.get("/either", &[(AUTHORIZATION, &key_as_bearer)]).await;
        let by_token = self.get("/either", &[(AUTHORIZATION, token)]).await;
        let by_both = self.get("/either", &[(API_KEY, key), (AUTHORIZATION, token)]).await;
        let by_none = self.get("/either", &[]).await;
        let bad_key = self.get("/either", &[(API_KEY, "tk_demo_nonsense")]).await;
        let bad_token = self.get("/either", &[(AUTHORIZATION, &forged)]).await;
        let unowned = self.get("/either", &[(AUTHORIZATION, "Bearer open-sesame")]).await;
        let token_claims = self.get("/either/email", &[(AUTHORIZATION, token)]).await;
        let key_claims = self.get("/either/email", &[(API_KEY, key)]).await;

        let table = &mut self.table;
        table.row("key or token: the key", "200 you are alice, by api-key", with_body(&by_key));
        table.row("key or token: the key as Bearer", "200 you are alice, by api-key", with_body(&by_key_as_bearer));
        table.row("key or token: the token", "200 you are alice, by bearer", with_body(&by_token));
        table.row("key or token: both", "400 invalid_request", with_error(&by_both));
        let challenges = r#"401 ApiKey realm="api" | Bearer realm="api""#;
        table.row("key or token: neither", challenges, seen(&by_none, &[WWW_AUTHENTICATE]));
        let key_blamed = r#"401 ApiKey realm="api", error="invalid_token" | Bearer realm="api""#;
        table.row("key or token: a bad key", key_blamed, seen(&bad_key, &[WWW_AUTHENTICATE]));
        let token_blamed = r#"401 ApiKey realm="api" | Bearer realm="api", error="invalid_token""#;
        table.row("key or token: a bad token", token_blamed, seen(&bad_token, &[WWW_AUTHENTICATE]));
        table.row("key or token: a text of neither form", token_blamed, seen(&unowned, &[WWW_AUTHENTICATE]));
        table.row("claims of the token: a token", "200 alice@example.com", with_body(&token_claims));
        table.row("claims of the token: a key, which has none", "403", seen(&key_claims, &[]));
    }
}
