//! An HTTPS server for many tenants, each with an issuer of its own at one login service. Tenants come and go while it runs.
//! `cargo run --example multi_tenant` brings the login service along, and prints tokens.

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
mod registry;

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use axum_server::tls::TlsInfo;
use serde_json::json;
use tower_keep::{Answer, BearerLayer, Issuers, Jwt, Principal, RemoteKeys, RequireHttps, Tenants, TokenVerifier};

use common::{About, Options, Result};
use https::Https;
use login::Login;
use registry::Registry;

const ABOUT: About = About {
    name: "multi_tenant",
    text: "An HTTPS server for many tenants, each with an issuer and an audience of its own.",
    port: 8443,
    plain_port: None,
};

/// What the issuers of tenants start with.
const REALMS: &str = "https://login.example.com/realms/";
/// The issuer of those who run the service. It is always there.
const STAFF: &str = "https://staff.example.com";

#[tokio::main]
async fn main() -> ExitCode {
    common::run(ABOUT, async |options| match options.check {
        true => check::run(&options).await,
        false => serve(&options).await,
    })
    .await
}

/// Whose tokens are good: those of the staff, and those of the tenants that the registry has.
fn issuers(login: &Login, registry: &Registry) -> Result<(Issuers, Tenants)> {
    let tenants = {
        let (login, registry) = (login.clone(), registry.clone());
        // Nobody but these is ever looked up, whatever a token says of its issuer.
        Tenants::below(REALMS, move |issuer| {
            let (login, registry, issuer) = (login.clone(), registry.clone(), issuer.to_owned());
            Answer::later(async move {
                let realm = issuer.strip_prefix(REALMS).unwrap_or_default();
                let Some(audience) = registry.audience_of(realm).await? else { return Ok(None) };
                let tokens = verifier(&login, realm, &issuer, &audience)?;
                Ok(Some(Arc::new(tokens) as Arc<dyn TokenVerifier>))
            })
        })
    };
    let staff = verifier(login, "staff", STAFF, mint::AUDIENCE)?;
    let issuers = Issuers::builder().issuer(STAFF, staff).resolve(tenants.clone()).build()?;
    Ok((issuers, tenants))
}

/// What makes a token of one issuer good. In earnest it is `Jwt::discover(issuer)`: here the login service is on this machine,
/// and only the names are those of another one.
fn verifier(login: &Login, realm: &str, issuer: &str, audience: &str) -> Result<Jwt> {
    let keys = RemoteKeys::new(format!("{}/jwks", login.realm(realm))).insecure_allow_loopback();
    Ok(Jwt::with_remote_keys(keys).issuer(issuer).audience(audience).build()?)
}

fn app(issuers: Issuers) -> Router {
    let https = RequireHttps::new().tls_marker::<Arc<TlsInfo>>();
    let guarded = Router::new().route("/me", get(me)).route_layer(BearerLayer::new(issuers));
    Router::new().route("/", get(async || "welcome\n")).merge(guarded).layer(https)
}

/// A subject is somebody's at one issuer, and somebody else's at another: what belongs to whom is told by both.
async fn me(who: Principal) -> String {
    format!("you are {} at {}\n", who.subject(), who.issuer().unwrap_or_default())
}

/// A server that runs, and what it knows.
struct Server {
    https: Https,
    url: String,
    login: Login,
    registry: Registry,
    tenants: Tenants,
}

impl Server {
    /// Starts with two tenants.
    async fn start(options: &Options) -> Result<Self> {
        let (login, registry) = (Login::start().await?, Registry::default());
        for realm in ["staff", "acme", "globex"] {
            login.change_key(realm)?;
        }
        registry.add("acme", "https://acme.api.example.com");
        registry.add("globex", "https://globex.api.example.com");
        let (issuers, tenants) = issuers(&login, &registry)?;
        let https = Https::serve(options, ABOUT.name, app(issuers)).await?;
        let url = format!("https://{}", https.address);
        Ok(Self { https, url, login, registry, tenants })
    }

    /// Makes a token that a realm signs, for the issuer and the audience of a tenant.
    fn token(&self, signer: &str, tenant: &str) -> Result<String> {
        let claims = match tenant {
            "staff" => json!({ "iss": STAFF }),
            tenant => {
                json!({ "iss": format!("{REALMS}{tenant}"), "aud": format!("https://{tenant}.api.example.com") })
            }
        };
        self.login.token(signer, &claims)
    }
}

async fn serve(options: &Options) -> Result<ExitCode> {
    let interrupted = common::interrupted()?;
    let server = Server::start(options).await?;
    server.https.announce();
    println!("\nTry it from another terminal; Ctrl-C ends the server. The tokens are good for an hour.\n");
    for tenant in ["staff", "acme", "globex"] {
        println!("{}='{}'", tenant.to_uppercase(), server.token(tenant, tenant)?);
    }
    let curl = format!("curl -i --cacert {} {}/me", server.https.ca_file.display(), server.url);
    println!(
        "
# 200: each by its own issuer
{curl} -H \"Authorization: Bearer $STAFF\"
{curl} -H \"Authorization: Bearer $ACME\"
{curl} -H \"Authorization: Bearer $GLOBEX\"
# 401: no token
{curl}"
    );
    server.https.run_until(interrupted).await?;
    Ok(ExitCode::SUCCESS)
}
