//! The listener without TLS: what it refuses, and what is said of credentials that came over it.

use std::time::Duration;

use axum::http::header::{CACHE_CONTROL, STRICT_TRANSPORT_SECURITY, WWW_AUTHENTICATE};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;
use tower_keep::NewKey;

use super::{API_KEY, Check};
use crate::answer::{Asked, answer, client, seen, with_body};
use crate::common::Result;

/// How long it may take until an exposed credential is reported.
const PATIENCE: Duration = Duration::from_secs(10);

impl Check<'_> {
    pub(super) async fn over_plain_http(&mut self, exposed: &mut UnboundedReceiver<String>) -> Result<()> {
        let issued = self.server.keys.issue(NewKey::for_owner("gina"))?;
        let key = issued.key().expose();
        let plain = client().build()?;
        let get = async |path: &str, fields: &[(&str, &str)]| -> Asked {
            let request = plain.get(format!("{}{path}", self.server.plain_url));
            answer(fields.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
        };

        let nothing = get("/me", &[]).await;
        let wrong = get("/me", &[(API_KEY, "wrong")]).await;
        let forwarded = get("/me", &[("x-forwarded-proto", "https")]).await;
        let right = get("/me", &[(API_KEY, key)]).await;
        let told = timeout(PATIENCE, exposed.recv()).await;
        let health = get("/healthz", &[]).await;
        let over_tls = self.get("/", &[]).await;
        let still_good = self.get("/me", &[(API_KEY, key)]).await;

        let fields = [CACHE_CONTROL, WWW_AUTHENTICATE, STRICT_TRANSPORT_SECURITY];
        self.table.row("plain HTTP, nothing", "403 no-store | - | -", seen(&nothing, &fields));
        for (name, answer) in
            [("a wrong key", &wrong), ("X-Forwarded-Proto: https", &forwarded), ("a good key", &right)]
        {
            let actual = match (answer, &nothing) {
                (Ok(answer), Ok(nothing)) if answer.reads_like(nothing) => "as with nothing".to_owned(),
                _ => seen(answer, &[]),
            };
            self.table.row(&format!("plain HTTP, {name}"), "as with nothing", actual);
        }
        let expected = format!("api-key {} of gina (reported)", issued.id());
        let told = told.ok().flatten().unwrap_or_else(|| "nobody was told".to_owned());
        self.table.row("plain HTTP, whose key the network knows now", &expected, told);
        self.table.row("the same key over HTTPS, which was not revoked", "200", seen(&still_good, &[]));
        self.table.row("plain HTTP, a health check", "200 well", with_body(&health));
        let hsts = [STRICT_TRANSPORT_SECURITY];
        self.table.row("plain HTTP, a health check: HSTS", "200 -", seen(&health, &hsts));
        self.table.row("HTTPS: HSTS", "200 max-age=31536000", seen(&over_tls, &hsts));
        Ok(())
    }
}
