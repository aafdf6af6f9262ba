//! An issuer that nobody here wrote: oidc-provider, as a process on this machine.
//!
//! The tests run where the environment variable `TOWER_KEEP_NODE` names a folder with the packages that
//! `tests/clients/oidc_provider/package.json` lists. `scripts/test` sees to that.

#![allow(clippy::expect_used, reason = "a test may stop")]

#[path = "oidc_provider/introspection.rs"]
mod introspection;

use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use http::{Request, Response};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{AuthLayer, BearerLayer, HttpClient, Issuer, Issuers, Jwt, Principal, Scheme};

/// How long the issuer may take to start, and to answer.
const PATIENCE: Duration = Duration::from_secs(60);
const API: &str = "https://api.example.com";
const OTHER_API: &str = "https://other.example.com";
/// The issuer gives out opaque tokens for it.
const OPAQUE_API: &str = "https://api.example.com/opaque";

#[tokio::test]
async fn its_tokens_are_let_in_whatever_the_algorithm() {
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let Some(provider) = Provider::start(0, "k1", algorithm).await else { return };
        let layer = BearerLayer::new(provider.tokens());
        let token = provider.token(API, "orders:read orders:write").await;

        assert_eq!(ask(&layer, &token).await, (200, "checkout orders:read orders:write".to_owned()), "{algorithm}");
        assert_eq!(ask(&layer, &token).await.0, 200, "remembered, {algorithm}");
        assert_eq!(ask(&layer, &token.replacen('.', ".e30", 1)).await.0, 401, "{algorithm}");
    }
}

#[tokio::test]
async fn its_tokens_for_others_are_refused() {
    let Some(provider) = Provider::start(0, "k1", "ES256").await else { return };
    let tokens = provider.tokens();
    let layer = BearerLayer::new(tokens.clone());

    let for_other = provider.token(OTHER_API, "orders:read").await;
    let without_scope = provider.token(API, "").await;
    let opaque = provider.token(OPAQUE_API, "orders:read").await;

    assert_eq!(ask(&layer, &for_other).await.0, 401);
    assert_eq!(ask(&layer, &without_scope).await, (200, "checkout ".to_owned()));
    assert!(!opaque.contains('.'), "{opaque}");
    assert_eq!(ask(&layer, &opaque).await.0, 401);
    assert_eq!(tokens.status().fetches, 1);
}

#[tokio::test]
async fn a_new_key_is_found_when_a_token_names_it() {
    let Some(provider) = Provider::start(0, "k1", "EdDSA").await else { return };
    let tokens = provider.tokens();
    let layer = BearerLayer::new(tokens.clone());
    let by_first = provider.token(API, "orders:read").await;
    assert_eq!(ask(&layer, &by_first).await.0, 200);

    let provider = provider.restart("k2", "ES256").await;
    let by_second = provider.token(API, "orders:read").await;

    assert_eq!(ask(&layer, &by_first).await.0, 200, "nobody knows yet");
    assert_eq!(ask(&layer, &by_second).await.0, 200);
    assert_eq!(ask(&layer, &by_first).await.0, 401, "the key is gone");
    assert_eq!(tokens.status().fetches, 2);
}

#[tokio::test]
async fn while_it_is_away_its_keys_stay_and_nothing_else_is_known() {
    let Some(provider) = Provider::start(0, "k1", "EdDSA").await else { return };
    let warm = provider.tokens();
    let token = provider.token(API, "orders:read").await;
    warm.ready().await.expect("the keys can be had");
    let provider = provider.stop().await;
    let cold = provider.tokens();

    assert_eq!(ask(&BearerLayer::new(warm.clone()), &token).await.0, 200);
    assert_eq!(ask(&BearerLayer::new(cold.clone()), &token).await.0, 503);
    assert!(warm.reload().await.is_err() && warm.status().usable);

    let provider = provider.start_again("k1", "EdDSA").await;
    let token = provider.token(API, "orders:read").await;
    let back = async {
        // It is tried again after a second at the latest, then two.
        while ask(&BearerLayer::new(cold.clone()), &token).await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, back).await.expect("it is found again");
}

#[tokio::test]
async fn two_of_them_stand_side_by_side() {
    let Some(first) = Provider::start(0, "k1", "EdDSA").await else { return };
    let Some(second) = Provider::start(0, "k1", "EdDSA").await else { return };
    let issuers = Issuers::new([(first.url.clone(), first.tokens()), (second.url.clone(), second.tokens())]);
    let both = BearerLayer::new(issuers.expect("they are two"));
    let of_first = BearerLayer::new(first.tokens());
    let (by_first, by_second) = (first.token(API, "").await, second.token(API, "").await);

    assert_eq!((ask(&both, &by_first).await.0, ask(&both, &by_second).await.0), (200, 200));
    assert_eq!((ask(&of_first, &by_first).await.0, ask(&of_first, &by_second).await.0), (200, 401));
}

/// The example has to be built, as `cargo test --all-features` does, and `cargo test --test oidc_provider` does not.
#[tokio::test]
async fn the_example_takes_its_tokens() {
    let Some(provider) = Provider::start(0, "k1", "RS256").await else { return };
    let test = env::current_exe().expect("the test knows where it is");
    let profile = test.parent().and_then(Path::parent).expect("the test stands in a target folder");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oidc-provider-example.pem");
    let mut check = Command::new(profile.join("examples/oidc"));
    check.arg("--check").arg("--cert-file").arg(file).env("ISSUER", &provider.url).env("AUDIENCE", API);
    check.env("TOKEN", provider.token(API, "orders:read").await).kill_on_drop(true).stdin(Stdio::null());

    let checked = timeout(PATIENCE, check.output()).await.expect("it ends").expect("it starts");

    let text = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && text.contains("ok: 7 of 7"), "{checked:?}");
}

/// Asks a service behind the layer who it is.
async fn ask<C: Scheme>(layer: &AuthLayer<C>, token: &str) -> (u16, String) {
    let service = layer.layer(service_fn(async |request: Request<()>| {
        let who = Principal::of(request.extensions()).expect("the layer lets nobody else in");
        Ok::<_, Infallible>(Response::new(format!("{} {}", who.subject(), who.scopes())))
    }));
    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    let response = service.oneshot(request.body(()).expect("the token fits")).await.expect("it never fails");
    (response.status().as_u16(), response.into_body())
}

/// An issuer that runs. It is killed when this is dropped.
struct Provider {
    url: String,
    /// The private keys by which clients say who they are, in PEM and by algorithm.
    client_keys: Value,
    child: Child,
    // A process that cannot print would end.
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Provider {
    /// Starts one, or nothing where there are no packages to run.
    async fn start(port: u16, kid: &str, algorithm: &str) -> Option<Self> {
        let packages = packages()?;
        let mut command = Command::new("node");
        command.arg(repository().join("tests/clients/oidc_provider/server.mjs"));
        command.args([&port.to_string(), kid, algorithm]).env("TOWER_KEEP_NODE", packages);
        command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped());
        // What it warns of is meant for those who run it in earnest.
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("oidc-provider-{kid}-{algorithm}-{port}.log"));
        command.stderr(std::fs::File::create(&log).expect("the log file can be made"));
        let mut child = command.spawn().expect("node starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let mut client_keys = Value::Null;
        let url = loop {
            let Ok(Ok(Some(line))) = timeout(PATIENCE, stdout.next_line()).await else {
                panic!("oidc-provider does not start: {}", std::fs::read_to_string(&log).unwrap_or_default());
            };
            if let Some(keys) = line.strip_prefix("client keys ") {
                client_keys = serde_json::from_str(keys).expect("the keys are JSON");
            }
            if let Some(url) = line.strip_prefix("listening on ") {
                break url.to_owned();
            }
        };
        Some(Self { url, client_keys, child, _stdout: stdout })
    }

    /// Starts it again at the same place, with another key.
    async fn restart(self, kid: &str, algorithm: &str) -> Self {
        self.stop().await.start_again(kid, algorithm).await
    }

    async fn stop(mut self) -> Self {
        self.child.kill().await.expect("it can be stopped");
        self
    }

    async fn start_again(self, kid: &str, algorithm: &str) -> Self {
        let port = self.url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("the URL has a port");
        Self::start(port, kid, algorithm).await.expect("it ran before")
    }

    /// Verifies its tokens for the API.
    fn tokens(&self) -> Jwt {
        Jwt::discover(self.issuer()).audience(API).build().expect("nothing is wrong")
    }

    fn issuer(&self) -> Issuer {
        let client = HttpClient::builder().build().expect("there are certificates to trust");
        Issuer::discover(&self.url).client(client).insecure_allow_loopback()
    }

    /// Asks it for a token, as a client that acts for itself (RFC 6749, section 4.4; RFC 8707).
    async fn token(&self, resource: &str, scope: &str) -> String {
        let form = format!("grant_type=client_credentials&resource={resource}&scope={}", scope.replace(' ', "+"));
        let answer = self.post("/token", form).await;
        let token: Value = serde_json::from_str(&answer).unwrap_or_default();
        token["access_token"].as_str().unwrap_or_else(|| panic!("there is no token: {answer}")).to_owned()
    }

    /// Revokes a token, as the client that it was given to (RFC 7009).
    async fn revoke(&self, token: &str) {
        assert_eq!(self.post("/token/revocation", format!("token={token}")).await, "");
    }

    async fn post(&self, path: &str, form: String) -> String {
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("it is built");
        let request = client.post(format!("{}{path}", self.url)).body(form);
        // The name and the secret are written as in a form (RFC 6749, section 2.3.1).
        let request = request.basic_auth("checkout", Some("a+secret+that+is+a+test"));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.send().await.expect("it answers").text().await.expect("it answers with a text")
    }
}

/// Returns where the packages are, or nothing where there are none.
fn packages() -> Option<PathBuf> {
    let packages: Option<OsString> = env::var_os("TOWER_KEEP_NODE");
    if packages.is_none() {
        assert!(env::var_os("CI").is_none(), "TOWER_KEEP_NODE is not set, and CI skips nothing");
        println!(
            "skipped: oidc-provider. `scripts/test` runs it, and so does this:\n\
             mkdir -p target/node && cp tests/clients/oidc_provider/package*.json target/node && (cd target/node && npm ci)\n\
             TOWER_KEEP_NODE=target/node cargo test --all-features --test oidc_provider"
        );
    }
    // A path that is not absolute starts where Cargo runs tests: in the repository.
    Some(repository().join(packages?))
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
