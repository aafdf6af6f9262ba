//! The part of a program that `tests/counts.rs` counts the instructions of, under callgrind.
//!
//! `instructions <case> <keys> <times>` makes a store with so many keys, and then does what the case says so many times
//! inside of [`measured_part`], the only function that is counted:
//!
//! ```text
//! valgrind --tool=callgrind --toggle-collect='*measured_part*' target/release/deps/instructions-… find 1000000 2000
//! ```
//!
//! valgrind has no SHA instructions, so what hashes costs several times what it costs on a processor that has them.

#[allow(clippy::expect_used, reason = "a benchmark may stop")]
mod support;

use std::hint::black_box;
use std::process::ExitCode;

use axum::Router;
use axum::routing::post;
use http::{Method, Request};
use tower::Service;
use tower::layer::layer_fn;
use tower_keep::{ApiKeyLayer, KeyId, KeyStore, Lookup, MemoryStore, NewKey};

use support::{Body, Hello, Marking, drive, filled, guarded, id, mistyped, request, scattered};

const CASES: &str = "find, find-nothing, bare, marking, admitted, missing, junk, checksum, unknown, mismatch, axum-bare, axum-marking, axum-admitted";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let Some((case, keys, times)) = read(&arguments) else {
        println!("usage: instructions <case> <keys> <times>, under callgrind; the cases are {CASES}");
        return if arguments.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    };
    let store = filled(keys);
    match case {
        "find" => find(&store, times, |number| id(scattered(number) % keys)),
        "find-nothing" => find(&store, times, |number| id(keys + scattered(number) % keys)),
        _ => send(case, &store, times),
    }
    ExitCode::SUCCESS
}

fn read(arguments: &[String]) -> Option<(&str, u64, u64)> {
    let [case, keys, times] = arguments else { return None };
    let known = CASES.split(", ").any(|known| known == case);
    known.then_some((case.as_str(), keys.parse().ok()?, times.parse().ok()?))
}

fn find(store: &MemoryStore, times: u64, id: impl Fn(u64) -> KeyId) {
    let lookups: Vec<_> = (0..times).map(|number| Lookup::Id(id(number))).collect();
    // The first look-up of a thread costs more than the others.
    drop(store.find(&lookups[0]));
    measured_part(&mut || {
        for lookup in &lookups {
            let _ = black_box(store.find(lookup));
        }
    });
}

fn send(case: &str, store: &MemoryStore, times: u64) {
    let issued = store.issue(NewKey::for_owner("billing")).ok();
    let key = issued.as_ref().map(|issued| issued.key().expose().to_owned()).unwrap_or_default();
    let unknown = store.rules().format().generate().map(|key| key.expose().to_owned()).unwrap_or_default();
    let mismatch = issued.as_ref().and_then(|issued| store.rules().reissue(issued.id()).ok());
    let credential = match case {
        "missing" => None,
        "junk" => Some("not-a-key".to_owned()),
        "checksum" => Some(mistyped(&key)),
        "unknown" => Some(unknown),
        "mismatch" => mismatch.map(|(key, _)| key.expose().to_owned()),
        _ => Some(key),
    };
    let credential = credential.as_deref().map(|credential| ("x-api-key", credential));
    match case {
        "bare" => send_all::<Body, _>(Hello, credential, times),
        "marking" => send_all::<Body, _>(Marking(Hello), credential, times),
        "axum-bare" => send_to(router(), credential, times),
        "axum-marking" => send_to(router().layer(layer_fn(Marking)), credential, times),
        "axum-admitted" => send_to(router().layer(ApiKeyLayer::new(store.clone())), credential, times),
        _ => send_all::<Body, _>(guarded(store), credential, times),
    }
}

fn router() -> Router {
    Router::new().route("/orders/{id}", post(|| async {}))
}

fn send_to(router: Router, credential: Option<(&'static str, &str)>, times: u64) {
    // As `axum::serve` does; layers are put around handlers for each request again otherwise.
    send_all::<axum::body::Body, _>(router.with_state(()), credential, times);
}

fn send_all<B, S>(mut service: S, credential: Option<(&'static str, &str)>, times: u64)
where
    B: Default,
    S: Service<Request<B>>,
{
    let mut requests: Vec<_> = (0..=times).map(|_| request(Method::POST, credential)).collect();
    // The first request of a thread costs more than the others.
    drop(requests.pop().map(|request| drive(&mut service, request)));
    measured_part(&mut || {
        for request in requests.drain(..) {
            black_box(drive(&mut service, request));
        }
    });
}

/// What is counted.
#[inline(never)]
fn measured_part(work: &mut dyn FnMut()) {
    work();
}
