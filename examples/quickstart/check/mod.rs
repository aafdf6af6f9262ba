//! What `--check` asks the running server, over TLS, and what it has to answer.

mod either;
mod keys;
mod plain;
mod tokens;

use std::process::ExitCode;

use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, VARY};
use reqwest::{Client, ClientBuilder};
use serde_json::json;
use tower_keep::{NewKey, Secret};

use super::Server;
use super::answer::{Asked, answer, client, seen, trusting};
use super::common::{Options, Result, Table};

const API_KEY: &str = "x-api-key";

pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    let mut server = Server::start(options).await?;
    let mut exposed = server.exposed.take().ok_or("somebody else listens")?;
    println!("checking {}\n", server.url);
    let mut check = Check::new(&server)?;
    check.trust().await?;
    check.places().await;
    check.bad_keys().await?;
    check.scopes().await?;
    check.optional().await;
    check.rotation().await?;
    check.good_tokens().await?;
    check.bad_tokens().await?;
    check.denied_tokens().await?;
    check.replaced_keys().await?;
    check.either().await;
    check.caches().await;
    check.over_plain_http(&mut exposed).await?;
    let verdict = check.table.finish();
    server.https.stop().await?;
    // Nobody has a use for the certificate any more.
    std::fs::remove_file(&options.cert_file)?;
    Ok(verdict)
}

struct Check<'a> {
    server: &'a Server,
    client: Client,
    /// A key of alice that has `orders:read`.
    key: Secret,
    /// A token of alice that has `orders:read`, as it stands in `Authorization`.
    token: String,
    table: Table,
}

impl<'a> Check<'a> {
    fn new(server: &'a Server) -> Result<Self> {
        let client = trusting(&server.https.ca_file)?.build()?;
        let issued = server.keys.issue(NewKey::for_owner("alice").scopes(["orders:read"]))?;
        let token = bearer(&server.issuer.access_token(&json!({ "scope": "orders:read" }))?);
        Ok(Self { server, client, key: issued.key().clone(), token, table: Table::default() })
    }

    async fn trust(&mut self) -> Result<()> {
        let url = format!("{}/", self.server.url);
        let ask = async |client: ClientBuilder| answer(client.build()?.get(&url)).await;
        let trusting_all = client().tls_danger_accept_invalid_certs(true);

        let trusting_ca = ask(trusting(&self.server.https.ca_file)?).await;
        let http1 = ask(trusting(&self.server.https.ca_file)?.http1_only()).await;
        let nothing_special = ask(client()).await;
        let all = ask(trusting_all).await;

        let spoken = |answer: &Asked| match answer {
            Ok(answer) => format!("{} {:?} {}", answer.status.as_u16(), answer.version, answer.body.trim()),
            Err(_) => seen(answer, &[]),
        };
        self.table.row("open route, trusting the CA file", "200 HTTP/2.0 welcome", spoken(&trusting_ca));
        self.table.row("open route over HTTP/1.1", "200 HTTP/1.1 welcome", spoken(&http1));
        self.table.row("client that trusts the usual CAs only", "certificate refused", spoken(&nothing_special));
        self.table.row("client that trusts every certificate", "200 HTTP/2.0 welcome", spoken(&all));
        Ok(())
    }

    async fn caches(&mut self) {
        let key = self.key.expose();
        let fields = [CACHE_CONTROL, VARY];
        let by_x_api_key = self.get("/me", &[(API_KEY, key)]).await;
        let by_apikey = self.get("/me", &[("apikey", key)]).await;
        let by_token = self.get("/me", &[(AUTHORIZATION.as_str(), &format!("Bearer {key}"))]).await;
        let by_either = self.get("/either", &[(AUTHORIZATION.as_str(), &self.token)]).await;
        let open = self.get("/", &[]).await;
        let missing = self.get("/nowhere", &[]).await;

        self.table.row("caches, the key in x-api-key", "200 private | x-api-key", seen(&by_x_api_key, &fields));
        self.table.row("caches, the key in apikey", "200 private | apikey", seen(&by_apikey, &fields));
        self.table.row("caches, the key in Authorization", "200 - | -", seen(&by_token, &fields));
        self.table.row("caches, a token where a key would do", "200 - | -", seen(&by_either, &fields));
        self.table.row("caches, open route", "200 - | -", seen(&open, &fields));
        self.table.row("a path that is not there, no key", "404", seen(&missing, &[]));
    }

    async fn get(&self, path: &str, fields: &[(&str, &str)]) -> Asked {
        let request = self.client.get(format!("{}{path}", self.server.url));
        answer(fields.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }
}

/// Writes a token as it stands in `Authorization`.
fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}
