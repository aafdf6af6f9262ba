//! HTTP routes and a gRPC service on one port, over TLS, behind one layer that takes API keys or tokens. `cargo run
//! --example both --features tonic` prints a key, a token, and what to send with them.

#[path = "../common/answer.rs"]
mod answer;
#[path = "../grpc/calls.rs"]
mod calls;
mod check;
#[path = "../common/mod.rs"]
mod common;
#[path = "../grpc/greetings.rs"]
mod greetings;
// Made by scripts/generate-grpc.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code has a style of its own")]
#[path = "../grpc/hello.rs"]
mod hello;
#[path = "../common/mint.rs"]
mod mint;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use serde_json::json;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tower::Layer;
use tower_keep::{
    ApiKey, ApiKeyLayer, BearerLayer, ConfigError, Jwt, MemoryDenyList, MemoryStore, Need, NewKey, Principal,
    RequireScopes,
};

use common::{About, Certificates, Options, Result};
use greetings::Greetings;
use hello::greeter_server::GreeterServer;
use mint::{AUDIENCE, ISSUER, Issuer};

/// How long requests that are on their way may take when the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);

const ABOUT: About = About {
    name: "both",
    text: "HTTP routes and a gRPC service on one port, guarded by one layer for API keys and tokens.",
    port: 8444,
};

#[tokio::main]
async fn main() -> ExitCode {
    common::run(ABOUT, async |options| match options.check {
        true => check::run(&options).await,
        false => serve(&options).await,
    })
    .await
}

/// The routes of both protocols. One layer guards all of them but the open one.
fn app(keys: MemoryStore, tokens: Jwt) -> Result<Router, ConfigError> {
    let keys_or_tokens = ApiKeyLayer::over(ApiKey::new(keys).bearer()).or(BearerLayer::new(tokens));
    keys_or_tokens.check()?;
    // A method that is not listed is refused.
    let scopes = RequireScopes::by_method([
        ("/hello.v1.Greeter/SayHello", Need::all(["greeter:hello"])),
        ("/hello.v1.Greeter/SayGoodbye", Need::all(["greeter:goodbye"])),
    ]);
    scopes.check()?;

    let http = Router::new()
        .route("/me", get(me))
        .route("/goodbye", get(goodbye).route_layer(RequireScopes::all(["greeter:goodbye"])));
    // A path that is not there is answered in HTTP, as 404; tonic's own fallback would answer everybody in gRPC.
    let grpc = Routes::new(scopes.layer(GreeterServer::new(Greetings))).into_axum_router().reset_fallback();
    let guarded = http.merge(grpc).route_layer(keys_or_tokens);
    Ok(Router::new().route("/", get(async || "welcome\n")).merge(guarded))
}

async fn me(who: Principal) -> String {
    format!("you are {}, by {}, and may: {}\n", who.subject(), who.scheme(), who.scopes())
}

async fn goodbye(who: Principal) -> String {
    format!("goodbye, {}\n", who.subject())
}

/// What makes a token good. The key comes from the issuer's own process here; `KeySet::from_file` reads it from a file.
fn tokens(issuer: &Issuer, denied: MemoryDenyList) -> Result<Jwt> {
    let tokens = Jwt::with_keys(issuer.public_key()?).issuer(ISSUER).audience(AUDIENCE);
    Ok(tokens.deny_list(denied).build()?)
}

/// A server that runs.
struct Server {
    address: SocketAddr,
    ca_file: PathBuf,
    keys: MemoryStore,
    issuer: Issuer,
    denied: MemoryDenyList,
    handle: Handle<SocketAddr>,
    running: JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start(options: &Options) -> Result<Self> {
        let (listener, address) = options.listen()?;
        let certificates = Certificates::new(ABOUT.name, address.ip())?;
        certificates.write_ca(&options.cert_file)?;
        // It offers HTTP/2, which gRPC needs, and HTTP/1.1.
        let tls = RustlsConfig::from_pem(certificates.server.into(), certificates.key.into()).await?;

        let keys = MemoryStore::with_prefix("tk_demo")?;
        let (issuer, denied) = (Issuer::new()?, MemoryDenyList::new());
        let app = app(keys.clone(), tokens(&issuer, denied.clone())?)?;

        let handle = Handle::new();
        let server = axum_server::from_tcp_rustls(listener, tls)?.handle(handle.clone());
        let running = tokio::spawn(server.serve(app.into_make_service()));
        Ok(Self { address, ca_file: options.cert_file.clone(), keys, issuer, denied, handle, running })
    }

    async fn stop(self) -> Result<()> {
        self.handle.graceful_shutdown(Some(GRACE));
        Ok(self.running.await??)
    }
}

async fn serve(options: &Options) -> Result<ExitCode> {
    let interrupted = common::interrupted()?;
    let mut server = Server::start(options).await?;
    let issued = server.keys.issue(NewKey::for_owner("alice").scopes(["greeter:hello"]))?;
    let token = server.issuer.access_token(&json!({ "scope": "greeter:hello" }))?;
    println!("listening on https://{}", server.address);
    println!("cert file: {}", server.ca_file.display());
    println!("key: {}", issued.key().expose());
    println!("token: {token}");
    println!("{}", to_paste(&server, issued.key().expose(), &token));
    tokio::select! {
        () = interrupted => server.stop().await?,
        ended = &mut server.running => ended??,
    }
    Ok(ExitCode::SUCCESS)
}

fn to_paste(server: &Server, key: &str, token: &str) -> String {
    let Server { address, ca_file, .. } = server;
    let curl = format!("curl -i --cacert {}", ca_file.display());
    let url = format!("https://{address}");
    let grpcurl = format!("grpcurl -cacert {} -import-path examples/grpc/proto -proto hello.proto", ca_file.display());
    format!(
        "
Try it from another terminal; Ctrl-C ends the server. The token is good for an hour.

TOKEN='{token}'

# 200: the key or the token
{curl} -H 'x-api-key: {key}' {url}/me
{curl} -H \"Authorization: Bearer $TOKEN\" {url}/me
# 401: neither; 400: both
{curl} {url}/me
{curl} -H 'x-api-key: {key}' -H \"Authorization: Bearer $TOKEN\" {url}/me
# 403: neither of them has the scope greeter:goodbye
{curl} -H \"Authorization: Bearer $TOKEN\" {url}/goodbye
# hello: the key or the token as metadata
{grpcurl} -H 'x-api-key: {key}' -d '{{\"name\": \"world\"}}' {address} hello.v1.Greeter/SayHello
{grpcurl} -H \"authorization: Bearer $TOKEN\" -d '{{\"name\": \"world\"}}' {address} hello.v1.Greeter/SayHello
# Unauthenticated: neither
{grpcurl} {address} hello.v1.Greeter/SayHello
# the same with curl, which sends an empty message: `grpc-status: 16` is Unauthenticated
printf '\\0\\0\\0\\0\\0' | {curl} -H 'content-type: application/grpc' -H 'te: trailers' --data-binary @- \\
  {url}/hello.v1.Greeter/SayHello"
    )
}
