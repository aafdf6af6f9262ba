//! What `--check` asks the running server, over TLS, and what it has to answer.

use std::process::ExitCode;

use axum::http::header::RETRY_AFTER;
use reqwest::Client;
use serde_json::json;

use super::answer::{Asked, answer, seen, trusting, with_body, with_error};
use super::common::{Options, Result, Table};
use super::{REALMS, Server};

pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    let server = Server::start(options).await?;
    println!("checking {}\n", server.url);
    let client = trusting(&server.https.ca_file)?.build()?;
    let mut check = Check { server: &server, client, table: Table::default() };
    check.admitted().await?;
    check.mixed_up().await?;
    check.strangers().await?;
    check.coming_and_going().await?;
    check.registry_away().await?;
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
    async fn admitted(&mut self) -> Result<()> {
        for (tenant, issuer) in [
            ("staff", super::STAFF.to_owned()),
            ("acme", format!("{REALMS}acme")),
            ("globex", format!("{REALMS}globex")),
        ] {
            let answer = self.me(&self.server.token(tenant, tenant)?).await;
            let expected = format!("200 you are alice at {issuer}");
            self.table.row(&format!("a token of {tenant}"), &expected, with_body(&answer));
        }
        for _ in 0..10 {
            self.me(&self.server.token("acme", "acme")?).await?;
        }
        let (looked_up, fetched) = (self.server.registry.asked(), self.server.login.asked());
        self.table.row("ten more of acme: tenants looked up in all", "2", looked_up.to_string());
        self.table.row("and keys fetched in all", "3", fetched.to_string());
        Ok(())
    }

    /// A key is good for the issuer it belongs to, and a token for the service it was made for.
    async fn mixed_up(&mut self) -> Result<()> {
        let other_key = self.me(&self.server.token("acme", "globex")?).await;
        let as_staff = self.me(&self.server.token("acme", "staff")?).await;
        let other_audience = json!({ "iss": format!("{REALMS}acme"), "aud": "https://globex.api.example.com" });
        let other_audience = self.me(&self.server.login.token("acme", &other_audience)?).await;

        self.table.row("a token of globex that acme signed", "401 invalid_token", with_error(&other_key));
        self.table.row("a token of the staff that acme signed", "401 invalid_token", with_error(&as_staff));
        self.table.row("a token of acme for globex", "401 invalid_token", with_error(&other_audience));
        Ok(())
    }

    async fn strangers(&mut self) -> Result<()> {
        let before = self.server.registry.asked();
        let names = [
            ("https://evil.example/realms/acme", "another login service"),
            ("https://login.example.com/realms/", "no tenant's name"),
            ("https://login.example.com/realms/../acme", "a path that leads elsewhere"),
            ("https://login.example.com", "the login service itself"),
        ];
        for (issuer, name) in names {
            let answer = self.me(&self.server.login.token("acme", &json!({ "iss": issuer }))?).await;
            self.table.row(name, "401 invalid_token", with_error(&answer));
        }
        let opaque = self.me("2YotnFZFEjr1zCsicMWpAA").await;
        self.table.row("a text that is no JWT", "401 invalid_token", with_error(&opaque));
        let asked = self.server.registry.asked() - before;
        self.table.row("tenants looked up for them", "0", asked.to_string());
        for _ in 0..10 {
            self.me(&self.server.token("acme", "nobody")?).await?;
        }
        let asked = self.server.registry.asked() - before;
        self.table.row("and for ten tokens of one that is no tenant", "1", asked.to_string());
        Ok(())
    }

    async fn coming_and_going(&mut self) -> Result<()> {
        let Server { login, registry, tenants, .. } = self.server;
        login.change_key("initech")?;
        let token = self.server.token("initech", "initech")?;
        let before = self.me(&token).await;
        registry.add("initech", "https://initech.api.example.com");
        tenants.forget(&format!("{REALMS}initech"));
        let after = self.me(&token).await;
        registry.remove("initech");
        tenants.forget(&format!("{REALMS}initech"));
        let gone = self.me(&token).await;

        let initech = format!("200 you are alice at {REALMS}initech");
        self.table.row("initech, which is no tenant yet", "401 invalid_token", with_error(&before));
        self.table.row("initech, which is one now", &initech, with_body(&after));
        self.table.row("initech, which has left", "401 invalid_token", with_error(&gone));
        Ok(())
    }

    /// What cannot be known is nobody's fault.
    async fn registry_away(&mut self) -> Result<()> {
        let Server { login, registry, .. } = self.server;
        login.change_key("hooli")?;
        registry.set_away(true);
        let known = self.me(&self.server.token("acme", "acme")?).await;
        let unknown = self.me(&self.server.token("hooli", "hooli")?).await;
        registry.set_away(false);

        let acme = format!("200 you are alice at {REALMS}acme");
        self.table.row("the registry is away: acme, which is known", &acme, with_body(&known));
        self.table.row("hooli, which is not", "503 1", seen(&unknown, &[RETRY_AFTER]));
        Ok(())
    }

    async fn me(&self, token: &str) -> Asked {
        answer(self.client.get(format!("{}/me", self.server.url)).bearer_auth(token)).await
    }
}
