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
#[path = "../common/https.rs"]
mod https;
#[path = "../common/mint.rs"]
mod mint;

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use axum_server::tls::TlsInfo;
use serde_json::json;
use tonic::service::Routes;
use tower::Layer;
use tower_keep::{
    ApiKey, ApiKeyLayer, BearerLayer, ConfigError, Jwt, MemoryDenyList, MemoryStore, Need, NewKey, Principal,
    RequireHttps, RequireScopes,
};

use common::{About, Options, Result};
use greetings::Greetings;
use hello::greeter_server::GreeterServer;
use https::Https;
use mint::{AUDIENCE, ISSUER, Issuer};

const ABOUT: About = About {
    name: "both",
    text: "HTTP routes and a gRPC service on one port, guarded by one layer for API keys and tokens.",
    port: 8444,
    plain_port: None,
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
    let https = RequireHttps::new().tls_marker::<Arc<TlsInfo>>();
    Ok(Router::new().route("/", get(async || "welcome\n")).merge(guarded).layer(https))
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

/// A server that runs, and what it knows.
struct Server {
    https: Https,
    keys: MemoryStore,
    issuer: Issuer,
    denied: MemoryDenyList,
}

impl Server {
    async fn start(options: &Options) -> Result<Self> {
        let keys = MemoryStore::with_prefix("tk_demo")?;
        let (issuer, denied) = (Issuer::new()?, MemoryDenyList::new());
        let app = app(keys.clone(), tokens(&issuer, denied.clone())?)?;
        let https = Https::serve(options, ABOUT.name, app).await?;
        Ok(Self { https, keys, issuer, denied })
    }
}

async fn serve(options: &Options) -> Result<ExitCode> {
    let interrupted = common::interrupted()?;
    let server = Server::start(options).await?;
    let issued = server.keys.issue(NewKey::for_owner("alice").scopes(["greeter:hello"]))?;
    let token = server.issuer.access_token(&json!({ "scope": "greeter:hello" }))?;
    server.https.announce();
    println!("key: {}", issued.key().expose());
    println!("token: {token}");
    println!("{}", to_paste(&server.https, issued.key().expose(), &token));
    server.https.run_until(interrupted).await?;
    Ok(ExitCode::SUCCESS)
}

fn to_paste(https: &Https, key: &str, token: &str) -> String {
    let Https { address, ca_file, .. } = https;
    let curl = format!("curl -i --cacert {}", ca_file.display());
    let url = format!("https://{address}");
    let grpcurl = format!("grpcurl -cacert {} -import-path examples/grpc/proto -proto hello.proto", ca_file.display());
    format!(
        "
Try it from another terminal; Ctrl-C ends the server. The token is good for an hour.

KEY='{key}'
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
