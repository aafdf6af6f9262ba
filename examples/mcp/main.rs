//! An MCP server on the official SDK, guarded by tokens in two lines. `cargo run --example mcp` prints a token, and what
//! to send with it.
//!
//! A client needs nothing but the URL: the challenge names the metadata, the metadata names the issuer and the scopes.

#[allow(dead_code, reason = "not every example asks for everything")]
#[path = "../common/answer.rs"]
mod answer;
mod check;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/https.rs"]
mod https;
#[path = "../common/mint.rs"]
mod mint;
mod notes;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum_server::tls::TlsInfo;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::json;
use tower_keep::{BearerLayer, Jwt, ProtectedResource, RequireHttps, RequireScopes, ScopeCatalogue};

use common::{About, Options, Result};
use https::Https;
use mint::{ISSUER, Issuer};
use notes::Notes;

const ABOUT: About =
    About { name: "mcp", text: "An MCP server that is guarded by tokens.", port: 8447, plain_port: None };

#[tokio::main]
async fn main() -> ExitCode {
    common::run(ABOUT, async |options| match options.check {
        true => check::run(&options).await,
        false => serve(&options).await,
    })
    .await
}

/// The URL that a client is given. It is what tokens are for, so it is configured, and not read out of requests.
fn url_at(address: SocketAddr) -> String {
    format!("https://{address}/mcp")
}

fn app(address: SocketAddr, issuer: &Issuer) -> Result<Router> {
    let catalogue = ScopeCatalogue::new(["notes:read", "notes:write"])?.implies("notes:write", ["notes:read"])?;
    let url = url_at(address);
    // The key comes from the issuer's own process here; `Jwt::discover(ISSUER)` fetches those of a login server.
    let tokens = Jwt::with_keys(issuer.public_key()?).issuer(ISSUER).audience(&url).build()?;

    // The two lines: a layer that refuses, and the metadata that says where tokens come from.
    let resource = ProtectedResource::new(&url)?.name("Notes").scopes(&catalogue).asks_for(["notes:write"])?;
    let (guard, metadata) = BearerLayer::new(tokens).protect(&resource)?;

    let may_read = RequireScopes::all(["notes:read"]).in_catalogue(&catalogue)?;
    Ok(Router::new()
        .route_service("/mcp", mcp(address, Notes::new(catalogue)))
        .route_layer(may_read)
        .route_layer(guard)
        .route_service(metadata.path(), metadata.clone())
        .layer(RequireHttps::new().tls_marker::<Arc<TlsInfo>>()))
}

fn mcp(address: SocketAddr, notes: Notes) -> StreamableHttpService<Notes, LocalSessionManager> {
    let hosts = ["localhost".to_owned(), address.ip().to_string()];
    let config = StreamableHttpServerConfig::default().with_allowed_hosts(hosts);
    StreamableHttpService::new(move || Ok(notes.clone()), Arc::default(), config)
}

/// A server that runs, and what it knows.
struct Server {
    https: Https,
    issuer: Issuer,
    url: String,
}

impl Server {
    async fn start(options: &Options) -> Result<Self> {
        let issuer = Issuer::new()?;
        let https = Https::serve_at(options, ABOUT.name, |address| app(address, &issuer)).await?;
        let url = url_at(https.address);
        Ok(Self { https, issuer, url })
    }

    /// Makes a token for the server.
    fn token(&self, subject: &str, scope: &str) -> Result<String> {
        self.issuer.access_token(&json!({ "aud": self.url, "sub": subject, "scope": scope }))
    }
}

async fn serve(options: &Options) -> Result<ExitCode> {
    let interrupted = common::interrupted()?;
    let server = Server::start(options).await?;
    let token = server.token("alice", "notes:write")?;
    server.https.announce();
    println!("token: {token}");
    println!("{}", to_paste(&server, &token));
    server.https.run_until(interrupted).await?;
    Ok(ExitCode::SUCCESS)
}

fn to_paste(server: &Server, token: &str) -> String {
    let Server { https: Https { address, ca_file, .. }, url, .. } = server;
    let curl = format!("curl -i --cacert {}", ca_file.display());
    let json = "-H 'content-type: application/json' -H 'accept: application/json, text/event-stream'";
    let initialize = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": { "name": "curl", "version": "1" },
        },
    });
    format!(
        "
Try it from another terminal; Ctrl-C ends the server. The token is good for an hour. An MCP client takes the URL and the
token, too, if it trusts the certificate.

TOKEN='{token}'

# 401: no token; the challenge says where to find out more
{curl} -X POST {url}
# 200: and there it is
{curl} https://{address}/.well-known/oauth-protected-resource/mcp
# 200: the token
{curl} {json} -H \"Authorization: Bearer $TOKEN\" \\
  -d '{initialize}' {url}"
    )
}
