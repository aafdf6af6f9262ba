//! What `--check` asks the running server over TLS, as an MCP client that knows its URL and nothing else, and what it has
//! to answer.

use std::process::ExitCode;

use axum::http::Method;
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE, ORIGIN};
use reqwest::Client;
use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};

use super::Server;
use super::answer::{Answer, Asked, answer, seen, trusting, with_error};
use super::common::{Options, Result, Table, failure};

pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    let server = Server::start(options).await?;
    println!("checking {}\n", server.url);
    let mut check =
        Check { server: &server, client: trusting(&server.https.ca_file)?.build()?, table: Table::default() };
    check.found_out().await?;
    check.refused().await?;
    check.served().await?;
    let Check { table, client, .. } = check;
    // The server waits for connections that are open.
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
    /// Finds out from the challenge where tokens come from.
    async fn found_out(&mut self) -> Result<()> {
        let url = &self.server.url;
        let refused = self.post(None).await?;
        let metadata_url = refused.param("resource_metadata").unwrap_or_default();
        let expected = format!("https://{}/.well-known/oauth-protected-resource/mcp", self.server.https.address);
        self.table.row("no token: where the metadata is", &expected, metadata_url.clone());
        let refused = Ok(refused);
        self.table.row("no token: what to ask for", "401 no error code notes:write", with_error(&refused));

        let metadata = answer(self.client.get(&metadata_url)).await;
        self.table.row("the metadata", "200 application/json", seen(&metadata, &[CONTENT_TYPE]));
        let document: Value = serde_json::from_str(&metadata?.body)?;
        let mut row = |member: &str, expected: Value| {
            self.table.row(&format!("its {member}"), &expected.to_string(), document[member].to_string());
        };
        row("resource", json!(url));
        row("authorization_servers", json!(["https://login.example.com"]));
        row("scopes_supported", json!(["notes:read", "notes:write"]));
        row("bearer_methods_supported", json!(["header"]));

        let preflight = self.client.request(Method::OPTIONS, &metadata_url).header(ORIGIN, "https://app.example.com");
        let preflight = seen(&answer(preflight).await, &[ACCESS_CONTROL_ALLOW_ORIGIN]);
        self.table.row("the metadata, for a page elsewhere", "204 *", preflight);
        let other = metadata_url.replace("oauth-protected-resource", "oauth-authorization-server");
        self.table.row("another well-known path", "404", seen(&answer(self.client.get(other)).await, &[]));
        Ok(())
    }

    async fn refused(&mut self) -> Result<()> {
        let elsewhere = json!({ "aud": "https://api.example.com", "scope": "notes:write" });
        let elsewhere = self.server.issuer.access_token(&elsewhere)?;
        let nothing = self.server.token("alice", "")?;

        let elsewhere = Ok(self.post(Some(&elsewhere)).await?);
        let nothing = Ok(self.post(Some(&nothing)).await?);

        self.table.row("a token for another service", "401 invalid_token notes:write", with_error(&elsewhere));
        self.table.row("a token without scopes", "403 insufficient_scope notes:read", with_error(&nothing));
        Ok(())
    }

    /// Speaks MCP, as the client of the SDK does: initialize, then calls of tools.
    async fn served(&mut self) -> Result<()> {
        let writer = self.server.token("alice", "notes:write")?;
        let reader = self.server.token("alice", "notes:read")?;
        let other = self.server.token("bob", "notes:write")?;
        let add = || Some(json!({ "text": "buy milk" }));

        let rows = [
            ("MCP, a token that may write: a note", "noted for alice", self.call(&writer, "add_note", add()).await),
            ("MCP, the same: the notes", "buy milk", self.call(&writer, "list_notes", None).await),
            ("MCP, a token that may read: the notes", "buy milk", self.call(&reader, "list_notes", None).await),
            ("MCP, the same: a note", "error: notes:write is needed", self.call(&reader, "add_note", add()).await),
            ("MCP, somebody else: the notes", "", self.call(&other, "list_notes", None).await),
        ];
        for (name, expected, called) in rows {
            self.table.row(name, expected, called.unwrap_or_else(|error| failure(&*error)));
        }
        Ok(())
    }

    async fn call(&self, token: &str, tool: &'static str, arguments: Option<Value>) -> Result<String> {
        let config = StreamableHttpClientTransportConfig::with_uri(self.server.url.as_str()).auth_header(token);
        let transport = StreamableHttpClientTransport::with_client(self.client.clone(), config);
        let session = ().serve(transport).await?;
        let mut params = CallToolRequestParams::new(tool);
        params.arguments = arguments.and_then(|arguments| arguments.as_object().cloned());
        let called = session.call_tool(params).await;
        session.cancel().await?;
        let called = called?;
        let texts = called.content.iter().filter_map(|content| content.as_text()).map(|text| text.text.as_str());
        let text: String = texts.collect();
        Ok(if called.is_error == Some(true) { format!("error: {text}") } else { text })
    }

    async fn post(&self, token: Option<&str>) -> Result<Answer> {
        let request = self.client.post(&self.server.url);
        let asked: Asked = answer(match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
        .await;
        asked
    }
}
