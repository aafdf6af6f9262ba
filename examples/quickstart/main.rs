//! An HTTPS server with open and guarded routes. `cargo run --example quickstart` prints a key, a token, and what to send
//! with them.

#[path = "../common/answer.rs"]
mod answer;
mod check;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/https.rs"]
mod https;
#[path = "../common/mint.rs"]
mod mint;

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum_server::tls::TlsInfo;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tower_keep::{
    ApiKey, ApiKeyLayer, BearerLayer, Claims, ConfigError, Jwt, MemoryDenyList, MemoryStore, NewKey, Principal,
    RequireHttps, RequireScopes,
};

use common::{About, Options, Result};
use https::Https;
use mint::{AUDIENCE, ISSUER, Issuer};

const ABOUT: About = About {
    name: "quickstart",
    text: "An HTTPS server whose routes are guarded by API keys and tokens.",
    port: 8443,
    plain_port: Some(8080),
};

#[tokio::main]
async fn main() -> ExitCode {
    common::run(ABOUT, async |options| match options.check {
        true => check::run(&options).await,
        false => serve(&options).await,
    })
    .await
}

/// The routes. One layer guards what stands above it; the scopes stand at the routes that need them. Nothing but the health
/// check is answered over plain HTTP, and a good credential that comes so is reported.
fn app(keys: MemoryStore, tokens: Jwt, exposed: UnboundedSender<String>) -> Result<Router, ConfigError> {
    let keys = ApiKeyLayer::over(ApiKey::new(keys).also_header("apikey")?.bearer());
    let tokens = BearerLayer::new(tokens);
    let either = keys.clone().or(tokens.clone());
    either.check()?;

    let https =
        RequireHttps::new().tls_marker::<Arc<TlsInfo>>().exempt_health().watch(&either).on_exposed(move |who, done| {
            let id = who.credential_id().unwrap_or("without an id");
            // If nobody listens, the log has it all the same.
            let _ = exposed.send(format!("{} {id} of {} ({})", who.scheme(), who.subject(), done.name()));
        });

    let by_key = Router::new()
        .route("/me", get(me))
        .route("/orders", get(list_orders).route_layer(RequireScopes::all(["orders:read"])))
        .route("/orders", post(add_order).route_layer(RequireScopes::all(["orders:write"])))
        .route("/headers", get(headers))
        .route_layer(keys.clone());
    let by_token = Router::new()
        .route("/token/me", get(token_me))
        .route("/token/orders", get(list_orders).route_layer(RequireScopes::all(["orders:read"])))
        .route("/token/orders", post(add_order).route_layer(RequireScopes::all(["orders:write"])))
        .route("/token/headers", get(headers))
        .route_layer(tokens);
    let by_either =
        Router::new().route("/either", get(by_which)).route("/either/email", get(email)).route_layer(either);
    let optional = Router::new().route("/maybe", get(maybe)).route_layer(keys.optional());
    Ok(Router::new()
        .route("/", get(async || "welcome\n"))
        .route("/healthz", get(async || "well\n"))
        .merge(by_key)
        .merge(by_token)
        .merge(by_either)
        .merge(optional)
        .layer(https))
}

/// The claims of a token that the handlers want, beside the ones that every token has.
#[derive(Clone, Deserialize)]
struct Me {
    email: String,
}

/// What makes a token good. The key comes from the issuer's own process here; `KeySet::from_file` reads it from a file.
fn tokens(issuer: &Issuer, denied: MemoryDenyList) -> Result<Jwt> {
    let tokens = Jwt::with_keys(issuer.public_key()?)
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .claims::<Me>()
        .deny_list(denied)
        .build()?;
    Ok(tokens)
}

async fn me(who: Principal) -> String {
    format!("you are {}, and may: {}\n", who.subject(), who.scopes())
}

async fn token_me(Claims(me): Claims<Me>, who: Principal) -> String {
    format!("you are {} <{}>, and may: {}\n", who.subject(), me.email, who.scopes())
}

async fn by_which(who: Principal) -> String {
    format!("you are {}, by {}\n", who.subject(), who.scheme())
}

/// Needs a token, although the layer lets keys in, too.
async fn email(Claims(me): Claims<Me>) -> String {
    format!("{}\n", me.email)
}

async fn maybe(who: Option<Principal>) -> String {
    format!("hello, {}\n", who.as_ref().map_or("stranger", Principal::subject))
}

async fn list_orders(who: Principal) -> String {
    format!("the orders of {}\n", who.subject())
}

async fn add_order(who: Principal) -> (StatusCode, String) {
    (StatusCode::CREATED, format!("an order of {}\n", who.subject()))
}

/// Tells the names of the header fields that handlers see: the one with the key or token is never among them.
async fn headers(headers: HeaderMap) -> String {
    headers.keys().map(|name| format!("{name}\n")).collect()
}

/// A server that runs, and what it knows.
struct Server {
    https: Https,
    url: String,
    plain_url: String,
    /// The credentials that came over plain HTTP.
    exposed: Option<UnboundedReceiver<String>>,
    keys: MemoryStore,
    issuer: Issuer,
    tokens: Jwt,
    denied: MemoryDenyList,
}

impl Server {
    async fn start(options: &Options) -> Result<Self> {
        let keys = MemoryStore::with_prefix("tk_demo")?;
        let (issuer, denied) = (Issuer::new()?, MemoryDenyList::new());
        let tokens = tokens(&issuer, denied.clone())?;
        let (report, exposed) = unbounded_channel();
        let https = Https::serve(options, ABOUT.name, app(keys.clone(), tokens.clone(), report)?).await?;
        let url = format!("https://{}", https.address);
        let plain_url = format!("http://{}", https.plain_address.ok_or("there is a listener without TLS")?);
        Ok(Self { https, url, plain_url, exposed: Some(exposed), keys, issuer, tokens, denied })
    }
}

async fn serve(options: &Options) -> Result<ExitCode> {
    let interrupted = common::interrupted()?;
    let mut server = Server::start(options).await?;
    let issued = server.keys.issue(NewKey::for_owner("alice").scopes(["orders:read"]))?;
    let token = server.issuer.access_token(&json!({ "scope": "orders:read" }))?;
    server.https.announce();
    println!("key: {}", issued.key().expose());
    println!("token: {token}");
    println!("{}", to_paste(&server, issued.key().expose(), &token));
    tokio::spawn(tell(server.exposed.take()));
    server.https.run_until(interrupted).await?;
    Ok(ExitCode::SUCCESS)
}

/// Prints which credentials came over plain HTTP.
async fn tell(exposed: Option<UnboundedReceiver<String>>) {
    let Some(mut exposed) = exposed else { return };
    while let Some(exposed) = exposed.recv().await {
        println!("exposed: {exposed}");
    }
}

fn to_paste(server: &Server, key: &str, token: &str) -> String {
    let Server { url, plain_url, https, .. } = server;
    let ca_file = https.ca_file.display();
    format!(
        "
Try it from another terminal; Ctrl-C ends the server. The token is good for an hour.

KEY='{key}'
TOKEN='{token}'

# 200: open to all
curl -i --cacert {ca_file} {url}/
# 200: the key in either header field, or as a bearer credential
curl -i --cacert {ca_file} -H 'x-api-key: {key}' {url}/me
curl -i --cacert {ca_file} -H 'apikey: {key}' {url}/me
curl -i --cacert {ca_file} -H 'Authorization: Bearer {key}' {url}/me
# 200: the key has the scope orders:read
curl -i --cacert {ca_file} -H 'x-api-key: {key}' {url}/orders
# 403: it does not have orders:write
curl -i --cacert {ca_file} -H 'x-api-key: {key}' -X POST {url}/orders
# 401: no key
curl -i --cacert {ca_file} {url}/me
# 200: a token, and what it says; 403: it does not have orders:write
curl -i --cacert {ca_file} -H \"Authorization: Bearer $TOKEN\" {url}/token/me
curl -i --cacert {ca_file} -H \"Authorization: Bearer $TOKEN\" -X POST {url}/token/orders
# 200: the key or the token; 400: both
curl -i --cacert {ca_file} -H 'x-api-key: {key}' {url}/either
curl -i --cacert {ca_file} -H \"Authorization: Bearer $TOKEN\" {url}/either
curl -i --cacert {ca_file} -H 'x-api-key: {key}' -H \"Authorization: Bearer $TOKEN\" {url}/either
# 401: neither
curl -i --cacert {ca_file} {url}/either
# 200: without a look at the certificate
curl -i -k -H 'x-api-key: {key}' {url}/me
# curl: (60): nobody vouches for the certificate
curl -i {url}/
# 403 over plain HTTP, whatever the request carries; this server prints whose key the network knows now
curl -i -H 'x-api-key: {key}' {plain_url}/me
curl -i -H 'x-api-key: wrong' {plain_url}/me
# 200: health checks need no TLS
curl -i {plain_url}/healthz"
    )
}
