//! What `--check` asks the running server, over TLS, and what it has to answer. With an issuer of somebody else's, the variable
//! TOKEN may hold a token that has to be let in.

use std::env;
use std::process::ExitCode;

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::Client;
use serde_json::json;

use super::answer::{Asked, answer, seen, trusting, with_body, with_error};
use super::common::{Options, Result, Table};
use super::login::Login;
use super::mint::Issuer;
use super::{REALM, Server, tokens};

pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    let server = Server::start(options).await?;
    println!("checking {}\n", server.url);
    let client = trusting(&server.https.ca_file)?.build()?;
    let mut check = Check { server: &server, client, table: Table::default() };
    check.ready().await;
    check.refused().await?;
    match &server.login {
        Some(login) => {
            check.admitted().await?;
            check.changed_keys(login).await?;
            check.away(login).await?;
        }
        None => check.given().await,
    }
    let Check { table, client, .. } = check;
    drop(client);
    let verdict = table.finish();
    server.https.stop().await?;
    // Nobody has a use for the certificate any more.
    std::fs::remove_file(&options.cert_file)?;
    Ok(verdict)
}

struct Check<'a> {
    server: &'a Server,
    client: Client,
    table: Table,
}

impl Check<'_> {
    async fn ready(&mut self) {
        let fetched = self.server.tokens.ready().await;
        let ready = self.get("/ready", None).await;

        self.table.row(
            "the keys of the issuer",
            "fetched",
            fetched.map_or_else(|it| it.to_string(), |()| "fetched".into()),
        );
        self.table.row("the server says that it is ready", "200", seen(&ready, &[]));
    }

    async fn refused(&mut self) -> Result<()> {
        // The name is that of no key of the issuer, so it is looked for once.
        let forged = Issuer::with_kid("forged")?.access_token(&json!({}))?;
        let nothing = self.get("/me", None).await;
        let opaque = self.get("/me", Some("2YotnFZFEjr1zCsicMWpAA")).await;
        let forged = self.get("/me", Some(&forged)).await;

        self.table.row("no token", r#"401 Bearer realm="api""#, seen(&nothing, &[WWW_AUTHENTICATE]));
        self.table.row("a text that is no JWT", "401 invalid_token", with_error(&opaque));
        self.table.row("a token that somebody else signed", "401 invalid_token", with_error(&forged));
        Ok(())
    }

    async fn admitted(&mut self) -> Result<()> {
        let alice = "200 you are alice <alice@example.com>, and may: orders:read";
        let unnamed = "200 you are alice <no address>, and may: orders:read";
        let cases = [
            ("a token", "/me", json!({}), alice),
            ("a token without an address", "/me", json!({ "email": null }), unnamed),
            ("a scope that the token has", "/orders", json!({}), "200 the orders of alice"),
        ];
        for (name, path, claims, expected) in cases {
            let answer = self.get(path, self.server.token(&claims)?.as_deref()).await;
            self.table.row(name, expected, with_body(&answer));
        }
        let cases = [
            ("a scope that the token lacks", "/orders", json!({ "scope": "x" }), "403 insufficient_scope orders:read"),
            ("a token for another service", "/me", json!({ "aud": "https://other.example.com" }), "401 invalid_token"),
            ("a token of another issuer", "/me", json!({ "iss": "https://evil.example" }), "401 invalid_token"),
            ("a token that has ended", "/me", json!({ "exp": 1 }), "401 invalid_token"),
        ];
        for (name, path, claims, expected) in cases {
            let answer = self.get(path, self.server.token(&claims)?.as_deref()).await;
            self.table.row(name, expected, with_error(&answer));
        }
        Ok(())
    }

    async fn changed_keys(&mut self, login: &Login) -> Result<()> {
        let before = self.server.token(&json!({}))?;
        login.change_key(REALM)?;
        // A token of the new key would have them fetched, had not the forged one a moment ago: 30 seconds have to be between.
        let reloaded = self.server.tokens.reload().await;
        let after = self.server.token(&json!({}))?;

        let old = self.get("/me", before.as_deref()).await;
        let new = self.get("/orders", after.as_deref()).await;

        self.table.row(
            "the issuer changes its key",
            "fetched",
            reloaded.map_or_else(|it| it.to_string(), |()| "fetched".into()),
        );
        self.table.row("a token of the new key", "200 the orders of alice", with_body(&new));
        self.table.row("a token of the old key", "401 invalid_token", with_error(&old));
        Ok(())
    }

    async fn away(&mut self, login: &Login) -> Result<()> {
        login.set_away(true);
        // Another server, which has no keys yet.
        let cold = tokens(&login.realm(REALM), super::mint::AUDIENCE)?;
        let without_keys = cold.ready().await;
        let reloaded = self.server.tokens.reload().await;
        let token = self.server.token(&json!({ "sub": "bob" }))?;
        let known = self.get("/orders", token.as_deref()).await;
        let unknown = self.get("/me", Some(&Issuer::with_kid("unknown")?.access_token(&json!({}))?)).await;
        login.set_away(false);

        let is_away =
            |fetched: std::result::Result<(), tower_keep::Outage>| if fetched.is_err() { "no keys" } else { "keys" };
        self.table.row("the issuer is away: a server that starts", "no keys", is_away(without_keys));
        self.table.row("a server that runs asks for keys", "no keys", is_away(reloaded));
        self.table.row("and goes on with those that it has", "200 the orders of bob", with_body(&known));
        let is_asked_back = matches!(&unknown, Ok(answer) if answer.headers.contains_key(RETRY_AFTER));
        let asked_back = if is_asked_back { "later" } else { "never" };
        self.table.row("a token of an unknown key", "503 later", format!("{} {asked_back}", seen(&unknown, &[])));
        Ok(())
    }

    /// Sends the token that the environment names, if it does.
    async fn given(&mut self) {
        let Ok(token) = env::var("TOKEN") else { return };
        let me = self.get("/me", Some(&token)).await;
        let changed = self.get("/me", Some(&token.replacen('.', ".e30", 1))).await;

        self.table.row("the token in TOKEN", "200", seen(&me, &[]));
        self.table.row("the same with other claims", "401 invalid_token", with_error(&changed));
    }

    async fn get(&self, path: &str, token: Option<&str>) -> Asked {
        let request = self.client.get(format!("{}{path}", self.server.url));
        answer(token.into_iter().fold(request, |request, token| request.bearer_auth(token))).await
    }
}
