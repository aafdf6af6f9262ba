//! The examples, seen from outside: their own checks, curl, and clients in Python. Beside them, tokens that somebody
//! else's library signed.
//!
//! The examples have to be built, as `cargo test --all-features` does, and `cargo test --test clients` does not. The
//! Python clients run where the environment variable `TOWER_KEEP_PYTHON` names an interpreter that has what
//! `tests/clients/requirements.txt` lists. `scripts/test` sees to both.

#![allow(clippy::expect_used, reason = "a test may stop")]

use std::convert::Infallible;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use http::{Request, Response};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{BearerLayer, Jwt, KeySet, Principal};

/// How long a server may take to start or stop, and a client to do its work.
const PATIENCE: Duration = Duration::from_secs(60);
const EXAMPLES: [&str; 4] = ["quickstart", "grpc", "both", "mcp"];
/// What curl says when nobody vouches for the certificate of a server.
const CURL_CERTIFICATE_REFUSED: i32 = 60;

#[tokio::test]
async fn the_check_of_the_quickstart_finds_nothing_wrong() {
    let checked = run(example("quickstart").arg("--check").args(cert_file("quickstart-check"))).await;

    assert_success(&checked);
}

#[tokio::test]
async fn the_check_of_grpc_finds_nothing_wrong() {
    let checked = run(example("grpc").arg("--check").args(cert_file("grpc-check"))).await;

    assert_success(&checked);
}

#[tokio::test]
async fn the_check_of_both_finds_nothing_wrong() {
    let checked = run(example("both").arg("--check").args(cert_file("both-check"))).await;

    assert_success(&checked);
}

#[tokio::test]
async fn the_check_of_mcp_finds_nothing_wrong() {
    let checked = run(example("mcp").arg("--check").args(cert_file("mcp-check"))).await;

    assert_success(&checked);
}

#[tokio::test]
async fn the_check_of_oidc_finds_nothing_wrong() {
    let mut check = example("oidc");
    // Those name an issuer of somebody else's.
    check.env_remove("ISSUER").env_remove("AUDIENCE");

    let checked = run(check.arg("--check").args(cert_file("oidc-check"))).await;

    assert_success(&checked);
}

#[tokio::test]
async fn the_check_of_multi_tenant_finds_nothing_wrong() {
    let checked = run(example("multi_tenant").arg("--check").args(cert_file("multi-tenant-check"))).await;

    assert_success(&checked);
}

#[tokio::test]
async fn curl_is_served_without_a_look_at_the_certificate() {
    let server = Server::start("quickstart", "curl-insecure").await;

    let answer = curl(&server, ["-k", "-H", &format!("apikey: {}", server.key)], "/me").await;

    assert_success(&answer);
    assert_eq!(text(&answer.stdout), "you are alice, and may: orders:read\n200");
}

#[tokio::test]
async fn curl_is_served_when_it_trusts_the_ca_file() {
    let server = Server::start("quickstart", "curl-trusting").await;
    let header = format!("Authorization: Bearer {}", server.key);

    let with_key = curl(&server, ["--cacert", &server.cert_file, "-H", &header], "/me").await;
    let without = curl(&server, ["--cacert", &server.cert_file], "/me").await;
    let lacking = curl(&server, ["--cacert", &server.cert_file, "-H", &header, "-X", "POST"], "/orders").await;

    assert_eq!(text(&with_key.stdout), "you are alice, and may: orders:read\n200");
    assert!(text(&without.stdout).ends_with("401"), "{without:?}");
    assert!(text(&lacking.stdout).ends_with("403"), "{lacking:?}");
}

#[tokio::test]
async fn curl_is_served_with_a_token() {
    let server = Server::start("quickstart", "curl-token").await;
    let (token, key) = (format!("Authorization: Bearer {}", server.token()), format!("x-api-key: {}", server.key));

    let me = curl(&server, ["--cacert", &server.cert_file, "-H", &token], "/token/me").await;
    let nobody = curl(&server, ["--cacert", &server.cert_file], "/token/me").await;
    let lacking = curl(&server, ["--cacert", &server.cert_file, "-H", &token, "-X", "POST"], "/token/orders").await;
    let by_token = curl(&server, ["--cacert", &server.cert_file, "-H", &token], "/either").await;
    let by_key = curl(&server, ["--cacert", &server.cert_file, "-H", &key], "/either").await;
    let by_both = curl(&server, ["--cacert", &server.cert_file, "-H", &key, "-H", &token], "/either").await;

    assert_eq!(text(&me.stdout), "you are alice <alice@example.com>, and may: orders:read\n200");
    assert!(text(&nobody.stdout).ends_with("401"), "{nobody:?}");
    assert!(text(&lacking.stdout).ends_with("403"), "{lacking:?}");
    assert_eq!(text(&by_token.stdout), "you are alice, by bearer\n200");
    assert_eq!(text(&by_key.stdout), "you are alice, by api-key\n200");
    assert!(text(&by_both.stdout).ends_with("400"), "{by_both:?}");
}

#[tokio::test]
async fn a_key_that_curl_sends_over_plain_http_is_refused_and_reported() {
    let mut server = Server::start("quickstart", "curl-plain").await;
    let header = format!("x-api-key: {}", server.key);
    let plain = async |options: &[&str], path: &str| {
        let mut curl = command("curl");
        curl.args(["-q", "-sS", "-i"]).args(options).arg(format!("{}{path}", server.plain_url));
        let answer = run(&mut curl).await;
        assert_success(&answer);
        // The date is the only line that may differ.
        text(&answer.stdout).lines().filter(|line| !line.starts_with("date: ")).collect::<Vec<_>>().join("\n")
    };

    let nothing = plain(&[], "/me").await;
    let health = plain(&[], "/healthz").await;
    for options in [["-H", &header], ["-H", "x-api-key: wrong"], ["-H", "x-forwarded-proto: https"]] {
        assert_eq!(plain(&options, "/me").await, nothing, "{options:?}");
    }
    let old = plain(&["--http1.0", "-H", &header], "/me").await;
    let http2 = plain(&["--http2-prior-knowledge", "-H", &header], "/me").await;
    let over_tls = curl(&server, ["--cacert", &server.cert_file, "-i", "-H", &header], "/me").await;

    assert!(nothing.starts_with("HTTP/1.1 403 Forbidden\n"), "{nothing}");
    assert!(old.starts_with("HTTP/1.0 403 Forbidden\n") && http2.starts_with("HTTP/2 403"), "{old}\n{http2}");
    assert!(health.starts_with("HTTP/1.1 200 OK\n") && health.ends_with("\nwell"), "{health}");
    assert!(text(&over_tls.stdout).contains("\nstrict-transport-security: max-age=31536000\r\n"), "{over_tls:?}");
    let exposed = server.told("exposed: ").await;
    assert!(exposed.starts_with("api-key ") && exposed.ends_with(" of alice (reported)"), "{exposed}");
}

#[tokio::test]
async fn curl_is_answered_in_the_protocol_that_it_speaks() {
    let server = Server::start("both", "curl-both").await;
    let token = format!("Authorization: Bearer {}", server.token());
    let ca = &server.cert_file;
    let as_grpc = "content-type: application/grpc";

    let me = curl(&server, ["--cacert", ca, "-H", &token], "/me").await;
    let http = curl(&server, ["--cacert", ca, "-i"], "/me").await;
    let http1 = curl(&server, ["--cacert", ca, "-i", "--http1.1"], "/me").await;
    let grpc = ["--cacert", ca, "-i", "-H", as_grpc, "-d", ""];
    let grpc = curl(&server, grpc, "/hello.v1.Greeter/SayHello").await;

    assert_eq!(text(&me.stdout), "you are alice, by bearer, and may: greeter:hello\n200");
    for http in [http, http1] {
        assert!(text(&http.stdout).contains("\ncontent-type: application/problem+json\r\n"), "{http:?}");
        assert!(text(&http.stdout).ends_with("401"), "{http:?}");
    }
    assert!(text(&grpc.stdout).contains("\ngrpc-status: 16\r\n"), "{grpc:?}");
    assert!(text(&grpc.stdout).ends_with("200"), "{grpc:?}");
}

#[tokio::test]
async fn curl_refuses_a_certificate_that_nobody_vouches_for() {
    let server = Server::start("quickstart", "curl-distrusting").await;

    let refused = curl(&server, [], "/").await;

    assert_eq!(refused.status.code(), Some(CURL_CERTIFICATE_REFUSED), "{refused:?}");
}

#[tokio::test]
async fn curl_sees_a_refusal_of_grpc_in_the_header() {
    let server = Server::start("grpc", "curl-grpc").await;
    let options = ["--http2", "--cacert", &server.cert_file, "-H", "content-type: application/grpc", "-d", "", "-i"];

    let refused = curl(&server, options, "/hello.v1.Greeter/SayHello").await;

    assert_success(&refused);
    assert!(text(&refused.stdout).contains("\ngrpc-status: 16\r\n"), "{refused:?}");
}

#[tokio::test]
async fn requests_is_served_by_the_quickstart() {
    let Some(mut python) = python("https.py") else { return };
    let server = Server::start("quickstart", "requests").await;

    let asked = run(python.args([&server.url, &server.cert_file, &server.key, server.token()])).await;

    assert_success(&asked);
}

#[tokio::test]
async fn grpcio_is_served_by_grpc() {
    let Some(mut python) = python("grpc_hello.py") else { return };
    let server = Server::start("grpc", "grpcio").await;
    let address = server.url.trim_start_matches("https://");
    let proto_folder = repository().join("examples/grpc/proto");

    let called = run(python.args([address, &server.cert_file, &server.key]).arg(proto_folder)).await;

    assert_success(&called);
}

#[tokio::test]
async fn grpcio_and_requests_are_served_by_both_on_one_port() {
    let Some(mut python) = python("both.py") else { return };
    let server = Server::start("both", "python-both").await;
    let proto_folder = repository().join("examples/grpc/proto");

    let arguments = [&server.url, &server.cert_file, &server.key, server.token()];
    let called = run(python.args(arguments).arg(proto_folder)).await;

    assert_success(&called);
}

#[tokio::test]
async fn tokens_that_pyjwt_signed_are_let_in_whatever_their_algorithm() {
    let Some(mut python) = python("pyjwt_tokens.py") else { return };
    let made = run(&mut python).await;
    assert_success(&made);
    let made: Vec<Value> = serde_json::from_slice(&made.stdout).expect("it prints JSON");
    assert_eq!(made.len(), 13);

    for made in made {
        let (algorithm, token) = (&made["algorithm"], made["token"].as_str().expect("there is a token"));
        let keys = KeySet::try_from(&made["jwk"]).unwrap();
        let tokens = Jwt::with_keys(keys).issuer("https://login.example.com").audience("https://api.example.com");
        let layer = BearerLayer::new(tokens.build().unwrap());
        let ask = async |token: &str| {
            let service = layer.layer(service_fn(async |request: Request<()>| {
                let who = Principal::of(request.extensions()).expect("the layer lets nobody else in");
                Ok::<_, Infallible>(Response::new(format!("{} {}", who.subject(), who.scopes())))
            }));
            let request = Request::get("/").header("authorization", format!("Bearer {token}"));
            service.oneshot(request.body(()).unwrap()).await.unwrap()
        };

        let admitted = ask(token).await;
        let refused = ask(&token.replacen('.', ".e30", 1)).await;

        assert_eq!((admitted.status().as_u16(), admitted.body().as_str()), (200, "älice orders:read"), "{algorithm}");
        assert_eq!(refused.status().as_u16(), 401, "{algorithm}");
    }
}

#[tokio::test]
async fn options_that_make_no_sense_end_with_2() {
    let cases: [&[&str]; 5] = [&["--prot", "1"], &["stray"], &["--addr"], &["--addr", "localhost:1"], &["--check=yes"]];
    for name in EXAMPLES {
        for arguments in cases {
            let refused = run(example(name).args(arguments)).await;

            assert_eq!(refused.status.code(), Some(2), "{name} {arguments:?}: {refused:?}");
            assert!(text(&refused.stderr).starts_with("error: "), "{name} {arguments:?}: {refused:?}");
        }
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_and_leaves_the_cert_file_alone() {
    for name in EXAMPLES {
        let server = Server::start(name, &format!("{name}-taken")).await;
        let before = std::fs::read(&server.cert_file).unwrap();
        let address = server.url.trim_start_matches("https://");

        let second = run(example(name).args(["--addr", address, "--cert-file", &server.cert_file])).await;

        assert_eq!(second.status.code(), Some(1), "{second:?}");
        assert!(text(&second.stderr).starts_with(&format!("error: cannot listen on {address}: ")), "{second:?}");
        assert_eq!(std::fs::read(&server.cert_file).unwrap(), before);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn an_interrupt_ends_a_server_in_good_order() {
    for name in EXAMPLES {
        let mut server = Server::start(name, &format!("{name}-interrupted")).await;
        let id = server.child.id().expect("the server runs").to_string();

        assert_success(&run(Command::new("kill").args(["-s", "INT", &id])).await);

        let ended = timeout(PATIENCE, server.child.wait()).await.expect("the server does not stop").unwrap();
        assert!(ended.success(), "{name}: {ended}");
    }
}

/// An example that serves. It is killed when this is dropped.
struct Server {
    url: String,
    /// Only of the quickstart.
    plain_url: String,
    cert_file: String,
    /// Only of the examples that have keys.
    key: String,
    /// Only of the examples that have tokens.
    token: Option<String>,
    child: Child,
    // A server that cannot print would end.
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Server {
    async fn start(name: &str, purpose: &str) -> Self {
        let [option, cert_file] = cert_file(purpose);
        let log = PathBuf::from(&cert_file).with_extension("log");
        let stderr = std::fs::File::create(&log).expect("the log file can be made");
        let mut command = example(name);
        command.args(["--addr", "127.0.0.1:0", &option, &cert_file]);
        if name == "quickstart" {
            command.args(["--plain-addr", "127.0.0.1:0"]);
        }
        command.stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().expect("the example starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();

        let mut told = async |what: &str| loop {
            let line = timeout(PATIENCE, stdout.next_line()).await.unwrap_or(Ok(None));
            let Ok(Some(line)) = line else {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                panic!("{name} did not say {what:?}, its log is:\n{log}");
            };
            if let Some(told) = line.strip_prefix(what) {
                break told.to_owned();
            }
        };
        let url = told("listening on ").await;
        let cert_file = told("cert file: ").await;
        let plain_url = match name {
            "quickstart" => told("without TLS on ").await,
            _ => String::new(),
        };
        let key = match name {
            "mcp" => String::new(),
            _ => told("key: ").await,
        };
        let token = match name {
            "grpc" => None,
            _ => Some(told("token: ").await),
        };
        Self { url, plain_url, cert_file, key, token, child, stdout }
    }

    /// Waits for a line that starts so, and returns the rest of it.
    async fn told(&mut self, what: &str) -> String {
        loop {
            let line = timeout(PATIENCE, self.stdout.next_line()).await.unwrap_or(Ok(None));
            let Ok(Some(line)) = line else { panic!("the server did not say {what:?}") };
            if let Some(told) = line.strip_prefix(what) {
                break told.to_owned();
            }
        }
    }

    fn token(&self) -> &String {
        self.token.as_ref().expect("the example has tokens")
    }
}

/// Returns the options that put the CA certificate of an example where no other test does.
fn cert_file(purpose: &str) -> [String; 2] {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("clients-{purpose}.pem"));
    ["--cert-file".to_owned(), file.to_str().expect("the target folder has a readable name").to_owned()]
}

/// Finds an example beside this test: `target/<profile>/deps/clients-*` and `target/<profile>/examples/*`.
fn example(name: &str) -> Command {
    let test = env::current_exe().expect("the test knows where it is");
    let profile = test.parent().and_then(Path::parent).expect("the test stands in a target folder");
    let file = profile.join("examples").join(format!("{name}{}", env::consts::EXE_SUFFIX));
    let way_out = "run `scripts/test` or `cargo test --all-features`, which build it";
    assert!(file.exists(), "{} is missing: {way_out}", file.display());
    command(file)
}

/// Returns a Python client, or nothing where there is no Python to run it with.
fn python(client: &str) -> Option<Command> {
    let requirements = "tests/clients/requirements.txt";
    let Some(python) = env::var_os("TOWER_KEEP_PYTHON") else {
        assert!(env::var_os("CI").is_none(), "TOWER_KEEP_PYTHON is not set, and CI skips nothing");
        println!(
            "skipped: {client}. `scripts/test` runs it, and so does this:\n\
             python3 -m venv target/python && target/python/bin/pip install -r {requirements}\n\
             TOWER_KEEP_PYTHON=target/python/bin/python cargo test --all-features"
        );
        return None;
    };
    let mut command = command(python);
    command.arg(repository().join("tests/clients").join(client));
    Some(command)
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

async fn curl<const N: usize>(server: &Server, options: [&str; N], path: &str) -> Output {
    // The first option keeps a configuration file of the user out of it.
    let mut curl = command("curl");
    curl.args(["-q", "-sS", "-w", "%{http_code}"]).args(options).arg(format!("{}{path}", server.url));
    run(&mut curl).await
}

/// Makes a command that ends with this test, and that goes to servers on this machine directly.
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.kill_on_drop(true).stdin(Stdio::null()).current_dir(repository());
    for name in ["NO_PROXY", "no_proxy", "no_grpc_proxy"] {
        command.env(name, "127.0.0.1,localhost");
    }
    command.env_remove("RUST_LOG");
    command
}

async fn run(command: &mut Command) -> Output {
    let output = timeout(PATIENCE, command.output()).await;
    match output.unwrap_or_else(|_| panic!("{command:?} does not end")) {
        Ok(output) => output,
        Err(error) => panic!("{command:?} does not start: {error}"),
    }
}

fn assert_success(output: &Output) {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
