//! Counts the instructions that something takes on the processor at hand. `tests/counts.rs` asks it to.
//!
//! `instructions <case> <keys>` makes a store with so many keys, does what the case says some times, and prints how many
//! instructions it takes to do it once. It does so by running itself, one instruction after the other, on Linux only.
//!
//! `instructions <case> <keys> <times>` does it so many times and counts nothing. All that would be counted happens inside
//! of [`measured_part`], for a look at where the instructions go:
//!
//! ```text
//! valgrind --tool=callgrind --toggle-collect='*measured_part*' target/release/deps/instructions-… junk 1000 500
//! ```

#[allow(clippy::expect_used, reason = "a benchmark may stop")]
mod support;

#[allow(clippy::expect_used, reason = "a benchmark may stop")]
#[path = "support/steps.rs"]
mod steps;

#[allow(clippy::expect_used, reason = "a benchmark may stop")]
#[path = "support/tokens.rs"]
mod tokens;

use std::hint::black_box;
use std::process::ExitCode;

use axum::Router;
use axum::routing::post;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderValue, Method, Request};
use tower::layer::layer_fn;
use tower::{Layer, Service};
use tower_keep::{
    Admission, Algorithm, Answer, ApiKeyLayer, AuthLayer, BearerLayer, Challenge, KeyId, KeyStore, Lookup, MemoryStore,
    NewKey, Principal, Rejection, RequireHttps, Scheme, TrustedProxies, mark_plain, mark_secure,
};

use tokens::{MEASURED, Sample};

use support::{Body, Hello, Marking, Refusing, drive, filled, guarded, id, light_request, mistyped, scattered};

const CASES: &str = "find, find-nothing, bare, bare-missing, marking, refusing, admitted, missing, junk, checksum, unknown, mismatch, \
                     pipeline-admitted, pipeline-missing, pipeline-junk, axum-bare, axum-marking, axum-admitted, \
                     https-secure, https-behind, https-refused, \
                     token-missing, token-malformed, token-unknown-kid, token-marking, \
                     HS256-alone, HS256-verified, HS256-remembered, ES256-alone, ES256-verified, ES256-remembered, \
                     RS256-alone, RS256-verified, RS256-remembered, EdDSA-alone, EdDSA-verified, EdDSA-remembered, \
                     ES256-either";

/// How many look-ups are counted as one: each finds another key, at a cost of its own.
const LOOKUPS: u64 = 30;

/// How often a case is counted. The median is printed: a clock that is read while the kernel sets it is read twice.
const ROUNDS: u64 = 5;

/// How often a case is counted that takes hundreds of thousands of instructions.
const FEW_ROUNDS: u64 = 1;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match read(&arguments) {
        Some((case, keys, "")) => return count(case, keys),
        Some((case, keys, "counted")) if steps::allow() => run(case, keys, &Run { times: rounds(case), marked: true }),
        Some((case, keys, times)) if times != "counted" => {
            run(case, keys, &Run { times: times.parse().unwrap_or(1), marked: false });
        }
        Some(_) => return ExitCode::FAILURE,
        None => {
            println!("usage: instructions <case> <keys> [<times>]; the cases are {CASES}");
            return if arguments.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
    }
    ExitCode::SUCCESS
}

fn read<'a>(arguments: &[&'a str]) -> Option<(&'a str, u64, &'a str)> {
    let [case, keys, rest @ ..] = arguments else { return None };
    let known = CASES.split(", ").any(|known| known == *case) && rest.len() <= 1;
    known.then_some((case, keys.parse().ok()?, rest.first().copied().unwrap_or_default()))
}

fn rounds(case: &str) -> u64 {
    match measured(case) {
        Some((algorithm, "alone" | "verified")) if algorithm != Algorithm::HS256 => FEW_ROUNDS,
        _ => ROUNDS,
    }
}

/// Prints the instructions of what a case does once.
fn count(case: &str, keys: u64) -> ExitCode {
    let counts = match steps::count(&[case, &keys.to_string(), "counted"]) {
        Ok(counts) => counts,
        Err(error) => {
            eprintln!("nothing can be counted here: {error}");
            return ExitCode::FAILURE;
        }
    };
    // The first count is of nothing at all, which is in the others, too.
    let [nothing, counts @ ..] = &counts[..] else { return ExitCode::FAILURE };
    let mut counts: Vec<_> = counts.iter().map(|count| count - nothing).collect();
    counts.sort_unstable();
    let each = if case.starts_with("find") { LOOKUPS } else { 1 };
    println!("{}", counts[counts.len() / 2] / each);
    ExitCode::SUCCESS
}

/// How a case is run.
struct Run {
    times: u64,
    marked: bool,
}

impl Run {
    fn measure(&self, work: &mut dyn FnMut()) {
        if self.marked {
            steps::mark();
        }
        measured_part(work);
        if self.marked {
            steps::mark();
        }
    }
}

/// What is counted.
#[inline(never)]
fn measured_part(work: &mut dyn FnMut()) {
    work();
}

fn run(case: &str, keys: u64, run: &Run) {
    let store = filled(keys);
    run.measure(&mut || ());
    match case {
        "find" => find(&store, run, |number| id(scattered(number) % keys)),
        _ if case.starts_with("token") => {
            let sample = Sample::new(Algorithm::HS256);
            let unknown = sample.of_unknown_key();
            let token = match case {
                "token-missing" => None,
                "token-malformed" => Some("not-a-token"),
                "token-unknown-kid" => Some(unknown.as_str()),
                _ => Some(sample.token.as_str()),
            };
            let value = token.map(|token| format!("Bearer {token}"));
            let credential = value.as_deref().map(|value| ("authorization", value));
            match case {
                "token-marking" => send_all::<Body, _>(Marking(Hello), credential, run),
                _ => send_all::<Body, _>(sample.guarded(true), credential, run),
            }
        }
        _ if case.starts_with("https") => https(case, run),
        _ if measured(case).is_some() => token(case, &store, run),
        "find-nothing" => find(&store, run, |number| id(keys + scattered(number) % keys)),
        _ => send(case, &store, run),
    }
}

/// Reads the name of a case that takes an algorithm.
fn measured(case: &str) -> Option<(Algorithm, &str)> {
    let (name, how) = case.split_once('-')?;
    Some((MEASURED.into_iter().find(|algorithm| algorithm.name() == name)?, how))
}

fn token(case: &str, store: &MemoryStore, run: &Run) {
    let Some((algorithm, how)) = measured(case) else { return };
    let sample = Sample::new(algorithm);
    let value = format!("Bearer {}", sample.token);
    let credential = Some(("authorization", value.as_str()));
    match how {
        "alone" => {
            // The first signature of a key may cost more than the others.
            assert!(sample.verify_alone());
            for _ in 0..run.times {
                run.measure(&mut || assert!(black_box(sample.verify_alone())));
            }
        }
        "verified" => send_all::<Body, _>(sample.guarded(false), credential, run),
        "either" => {
            let Ok(tokens) = sample.verifier().build() else { return };
            let service = ApiKeyLayer::new(store.clone()).or(BearerLayer::new(tokens)).layer(Hello);
            send_all::<Body, _>(service, credential, run);
        }
        _ => send_all::<Body, _>(sample.guarded(true), credential, run),
    }
}

/// Sends a request over TLS by the word of its server, by the word of a proxy, and over plain HTTP.
fn https(case: &str, run: &Run) {
    let layer = RequireHttps::new();
    match case {
        "https-secure" => send_all::<Body, _>(mark_secure(layer.layer(Hello)), None, run),
        "https-refused" => send_all::<Body, _>(mark_plain(layer.layer(Hello)), None, run),
        _ => {
            let Ok(proxies) = TrustedProxies::new(["10.0.0.0/8"]) else { return };
            let layer = layer.behind(proxies).peer(|_| Some(([10, 0, 0, 1], 80).into()));
            send_all::<Body, _>(layer.layer(Hello), Some(("x-forwarded-proto", "https")), run);
        }
    }
}

fn find(store: &MemoryStore, run: &Run, id: impl Fn(u64) -> KeyId) {
    let lookups: Vec<_> = (0..LOOKUPS * run.times).map(|number| Lookup::Id(id(number))).collect();
    // The first look-up of a thread costs more than the others.
    drop(store.find(&lookups[0]));
    for lookups in lookups.chunks_exact(LOOKUPS as usize) {
        run.measure(&mut || {
            for lookup in lookups {
                let _ = black_box(store.find(lookup));
            }
        });
    }
}

fn send(case: &str, store: &MemoryStore, run: &Run) {
    let issued = store.issue(NewKey::for_owner("billing")).ok();
    let key = issued.as_ref().map(|issued| issued.key().expose().to_owned()).unwrap_or_default();
    let unknown = store.rules().format().generate().map(|key| key.expose().to_owned()).unwrap_or_default();
    let mismatch = issued.as_ref().and_then(|issued| store.rules().reissue(issued.id()).ok());
    let credential = match case {
        "bare-missing" | "refusing" | "missing" | "pipeline-missing" => None,
        "junk" => Some("not-a-key".to_owned()),
        "checksum" => Some(mistyped(&key)),
        "unknown" => Some(unknown),
        "mismatch" => mismatch.map(|(key, _)| key.expose().to_owned()),
        "pipeline-junk" => Some("Bearer not-a-token".to_owned()),
        "pipeline-admitted" => Some("Bearer good".to_owned()),
        _ => Some(key),
    };
    let field = if case.starts_with("pipeline") { "authorization" } else { "x-api-key" };
    let credential = credential.as_deref().map(|credential| (field, credential));
    match case {
        "bare" | "bare-missing" => send_all::<Body, _>(Hello, credential, run),
        "refusing" => {
            let mut guarded = Least::layer().layer(Hello);
            send_all::<Body, _>(
                Refusing(drive(&mut guarded, light_request::<Body>(Method::POST, None))),
                credential,
                run,
            );
        }
        "marking" => send_all::<Body, _>(Marking(Hello), credential, run),
        "axum-bare" => send_to(router(), credential, run),
        "axum-marking" => send_to(router().layer(layer_fn(Marking)), credential, run),
        "axum-admitted" => send_to(router().layer(ApiKeyLayer::new(store.clone())), credential, run),
        _ if case.starts_with("pipeline") => send_all::<Body, _>(Least::layer().layer(Hello), credential, run),
        _ => send_all::<Body, _>(guarded(store), credential, run),
    }
}

fn router() -> Router {
    Router::new().route("/orders/{id}", post(|| async {}))
}

fn send_to(router: Router, credential: Option<(&'static str, &str)>, run: &Run) {
    // As `axum::serve` does; layers are put around handlers for each request again otherwise.
    send_all::<axum::body::Body, _>(router.with_state(()), credential, run);
}

fn send_all<B, S>(mut service: S, credential: Option<(&'static str, &str)>, run: &Run)
where
    B: Default,
    S: Service<Request<B>>,
{
    // What happens once for a thread or a process happens here.
    for _ in 0..10 {
        drive(&mut service, light_request(Method::POST, credential));
    }
    for _ in 0..run.times {
        let mut request = Some(light_request(Method::POST, credential));
        run.measure(&mut || {
            if let Some(request) = request.take() {
                drop(drive(&mut service, request));
            }
        });
    }
}

/// The least that a scheme can do, so that what is counted is the pipeline around it: it reads `Authorization: Bearer`,
/// and knows one token.
#[derive(Debug)]
struct Least {
    principal: Principal,
}

impl Least {
    fn layer() -> AuthLayer<Self> {
        AuthLayer::over(Self { principal: Principal::builder("billing").build() })
    }
}

impl Scheme for Least {
    type Credential = HeaderValue;

    fn take(&self, head: &mut Parts) -> Result<Option<HeaderValue>, Rejection> {
        let Some(value) = head.headers.get(AUTHORIZATION) else { return Ok(None) };
        match value.as_bytes().starts_with(b"Bearer ") {
            true => Ok(head.headers.remove(AUTHORIZATION)),
            false => Ok(None),
        }
    }

    fn verify(&self, token: HeaderValue) -> Answer<Result<Admission, Rejection>> {
        Answer::Now(match token == "Bearer good" {
            true => Ok(Admission::new(self.principal.clone()).presented_as(Some("Bearer"))),
            false => Err(Rejection::invalid("token_unknown").presented_as(Some("Bearer"))),
        })
    }

    fn challenges(&self) -> Vec<Challenge> {
        vec![Challenge::new("Bearer").with("realm", "api")]
    }
}
