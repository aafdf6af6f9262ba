//! What others cost a caller whose token is good: those who send tokens of unknown keys, an issuer that hangs, other
//! issuers in the same layer, a server that was asked about the token before.
//!
//! ```text
//! cargo bench --all-features --bench issuers
//! ```
//!
//! The times under load are those of one caller on a runtime with two workers. Idle, flooded and hanging take turns, in
//! another order each round; a ratio is that of two times of the same round, and the table shows the median over the rounds.

#![allow(clippy::expect_used, reason = "a benchmark may stop")]

#[path = "support/group.rs"]
mod group;
#[path = "support/load.rs"]
mod load;
mod support;
#[path = "support/tokens.rs"]
mod tokens;

use std::convert::Infallible;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, Service, service_fn};
use tower_keep::{Algorithm, BearerLayer, ClientAuth, HttpClient, Introspection, Issuers, Jwt};

use group::Group;
use support::Hello;
use tokens::{AUDIENCE, Caller, ISSUER, Sample, with_token};

/// How many requests a batch has.
const MANY: usize = 64;
/// A token that says nothing.
const OPAQUE: &str = "mF_9.B5f-4.1JqM_2YotnFZFEjr1zCsicMWpAA_tGzv3J";

fn main() {
    load::measure();
    several_issuers();
    introspection();
}

/// Tokens that are remembered, behind one issuer of several.
fn several_issuers() {
    let sample = Sample::new(Algorithm::ES256);
    let of = |issuers: usize| {
        let others = (1..issuers).map(|number| (format!("https://login.example.com/tenants/{number}"), jwt(&sample)));
        let issuers = Issuers::new(others.chain([(ISSUER.to_owned(), jwt(&sample))])).expect("no two are the same");
        BearerLayer::new(issuers).layer(Hello)
    };
    let mut group = Group::default();
    group.service("a plain Jwt", MANY, sample.guarded(true), || sample.request(), StatusCode::OK);
    group.service("Issuers, 1", MANY, of(1), || sample.request(), StatusCode::OK);
    group.service("Issuers, 10", MANY, of(10), || sample.request(), StatusCode::OK);
    group.service("unguarded", MANY, Hello, || sample.request(), StatusCode::OK);
    group.print("remembered tokens");
}

/// Tokens that are remembered, whoever said that they are good.
fn introspection() {
    let sample = Sample::new(Algorithm::ES256);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let asked = |token: &str| {
        let mut service = BearerLayer::new(introspected()).layer(Hello);
        // The first time, the server is asked.
        let answer = runtime.block_on(async { service.call(with_token(Some(token))).await });
        assert!(answer.is_ok_and(|answer| answer.status() == StatusCode::OK));
        service
    };
    let opaque = || with_token(Some(OPAQUE));
    let mut group = Group::default();
    group.service("a JWT", MANY, sample.guarded(true), || sample.request(), StatusCode::OK);
    group.service("introspected, opaque", MANY, asked(OPAQUE), opaque, StatusCode::OK);
    group.service("introspected, a JWT", MANY, asked(&sample.token), || sample.request(), StatusCode::OK);
    group.print("remembered tokens");
}

fn jwt(sample: &Sample) -> Jwt {
    sample.verifier().build().expect("the settings are complete")
}

/// Asks a server that finds every token good.
fn introspected() -> Introspection {
    const ANSWER: &str = r#"{"active":true,"sub":"5b1d6a3e-0c7f-4f2c-9d55-0f4d9d7f3e21","aud":"https://api.example.com/orders","scope":"orders:read orders:write","client_id":"billing-batch","email":"jo.doe@example.com","org":"org_9a8b7c6d5e4f3210"}"#;
    let server =
        service_fn(async |_| Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())))));
    let asked = Introspection::at("https://login.example.com/introspect").client(HttpClient::new(server));
    let asked = asked.client_auth(ClientAuth::none("orders")).audience(AUDIENCE).claims::<Caller>();
    asked.build().expect("the settings are complete")
}
