//! An HTTPS server that takes tokens of an issuer, which it is told nothing of but the name. `cargo run --example oidc` brings
//! an issuer along, and prints a token of it; with a real one, it is
//!
//! ```sh
//! ISSUER=https://tenant.eu.auth0.com/ AUDIENCE=https://api.example.com cargo run --example oidc --features jwks,reqwest
//! ```

#[allow(dead_code, reason = "it has more to it than every example takes")]
#[path = "../common/answer.rs"]
mod answer;
mod check;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/https.rs"]
mod https;
#[path = "../common/login.rs"]
mod login;
#[path = "../common/mint.rs"]
mod mint;

use std::env;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum_server::tls::TlsInfo;
use serde::Deserialize;
use serde_json::json;
use tower_keep::{BearerLayer, Claims, ConfigError, Issuer, Jwt, Principal, RequireHttps, RequireScopes};

use common::{About, Options, Result};
use https::Https;
use login::Login;

const ABOUT: About = About {
    name: "oidc",
    text: "An HTTPS server that takes tokens of the issuer that the variable ISSUER names, for the audience\n\
           AUDIENCE; without them, of a small issuer that it brings along.",
    port: 8443,
    plain_port: None,
};

/// What the issuer that is brought along calls itself, behind its address.
const REALM: &str = "demo";

#[tokio::main]
async fn main() -> ExitCode {
    common::run(ABOUT, async |options| match options.check {
        true => check::run(&options).await,
        false => serve(&options).await,
    })
    .await
}

/// The claims of a token that the handlers want, beside the ones that every token has. A good token may be without.
#[derive(Clone, Deserialize)]
struct Me {
    email: Option<String>,
}

/// What makes a token good: the issuer and the audience. The keys are found by the metadata of the issuer, and kept up to
/// date from then on.
fn tokens(issuer: &str, audience: &str) -> Result<Jwt> {
    // Plain HTTP is for issuers on this very machine.
    let issuer = Issuer::discover(issuer).insecure_allow_loopback();
    let tokens = Jwt::discover(issuer).audience(audience).claims::<Me>();
    // Few issuers say `at+jwt` without being told to: docs/providers.md has the settings of each.
    Ok(tokens.accept_typ_jwt().build()?)
}

fn app(tokens: Jwt) -> Result<Router, ConfigError> {
    let guarded = Router::new()
        .route("/me", get(me))
        .route("/orders", get(orders).route_layer(RequireScopes::all(["orders:read"])))
        .route_layer(BearerLayer::new(tokens.clone()));
    let https = RequireHttps::new().tls_marker::<Arc<TlsInfo>>().exempt("/ready")?;
    Ok(Router::new()
        .route("/", get(async || "welcome\n"))
        .route("/ready", get(ready))
        .with_state(tokens)
        .merge(guarded)
        .layer(https))
}

async fn me(Claims(me): Claims<Me>, who: Principal) -> String {
    let email = me.email.as_deref().unwrap_or("no address");
    format!("you are {} <{email}>, and may: {}\n", who.subject(), who.scopes())
}

async fn orders(who: Principal) -> String {
    format!("the orders of {}\n", who.subject())
}

/// Says whether tokens can be verified, for whoever sends requests here.
async fn ready(State(tokens): State<Jwt>) -> (StatusCode, String) {
    let status = tokens.status();
    let code = if status.usable { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{} keys\n", status.keys))
}

/// A server that runs, and what it knows.
struct Server {
    https: Https,
    url: String,
    tokens: Jwt,
    /// The issuer that was brought along, unless there is another one.
    login: Option<Login>,
}

impl Server {
    async fn start(options: &Options) -> Result<Self> {
        let (tokens, login) = match env::var("ISSUER") {
            Ok(issuer) => {
                let audience = env::var("AUDIENCE").map_err(|_| "AUDIENCE has to say for whom the tokens are")?;
                (tokens(&issuer, &audience)?, None)
            }
            Err(_) => {
                let login = Login::start().await?;
                login.change_key(REALM)?;
                (tokens(&login.realm(REALM), mint::AUDIENCE)?, Some(login))
            }
        };
        let https = Https::serve(options, ABOUT.name, app(tokens.clone())?).await?;
        let url = format!("https://{}", https.address);
        Ok(Self { https, url, tokens, login })
    }

    /// Makes a token of the issuer that was brought along.
    fn token(&self, changes: &serde_json::Value) -> Result<Option<String>> {
        let Some(login) = &self.login else { return Ok(None) };
        let mut claims = json!({ "iss": login.realm(REALM), "scope": "orders:read" });
        for (name, value) in changes.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        login.token(REALM, &claims).map(Some)
    }
}

async fn serve(options: &Options) -> Result<ExitCode> {
    let interrupted = common::interrupted()?;
    let server = Server::start(options).await?;
    // A server that starts without keys gets them when it can, and answers 503 until then.
    if let Err(outage) = server.tokens.ready().await {
        eprintln!("there are no keys yet: {outage}");
    }
    server.https.announce();
    let curl = format!("curl -i --cacert {} {}", server.https.ca_file.display(), server.url);
    if let Some(token) = server.token(&json!({}))? {
        println!("token: {token}");
        println!(
            "\nTry it from another terminal; Ctrl-C ends the server. The token is good for an hour.\n\nTOKEN='{token}'"
        );
    }
    println!(
        "
# 200: open to all; whether there are keys
{curl}/
{curl}/ready
# 401: no token
{curl}/me
# 200: a token, and what it says; with the scope orders:read, the orders
{curl}/me -H \"Authorization: Bearer $TOKEN\"
{curl}/orders -H \"Authorization: Bearer $TOKEN\""
    );
    server.https.run_until(interrupted).await?;
    Ok(ExitCode::SUCCESS)
}
