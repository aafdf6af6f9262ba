//! What a bearer token costs beside the verification of its signature alone.
//!
//! ```text
//! cargo bench --all-features --bench tokens
//! ```
//!
//! The cases of a group take turns; see `support/group.rs`.

#![allow(clippy::expect_used, reason = "a benchmark may stop")]

#[path = "support/group.rs"]
mod group;
mod support;
#[path = "support/tokens.rs"]
mod tokens;

use std::hint::black_box;

use http::StatusCode;

use group::Group;
use support::{Hello, Marking};
use tokens::{MEASURED, Sample, with_token};

/// How many requests a batch has, so that it lasts about as long for each case.
const MANY: usize = 64;
const FEW: usize = 8;

fn main() {
    for algorithm in MEASURED {
        let sample = Sample::new(algorithm);
        let few = if algorithm.name().starts_with("HS") { MANY } else { FEW };
        let mut group = Group::default();
        group.case("signature alone", few, {
            let sample = &sample;
            move |_| assert!(black_box(sample.verify_alone()))
        });
        group.service("verified", few, sample.guarded(false), || sample.request(), StatusCode::OK);
        group.service("remembered", MANY, sample.guarded(true), || sample.request(), StatusCode::OK);
        group.print(algorithm.name());
    }

    let sample = Sample::new(MEASURED[0]);
    let unknown = sample.of_unknown_key();
    let mut group = Group::default();
    group.service("unguarded", MANY, Hello, || sample.request(), StatusCode::OK);
    group.service("no-op and one extension", MANY, Marking(Hello), || sample.request(), StatusCode::OK);
    group.service("remembered", MANY, sample.guarded(true), || sample.request(), StatusCode::OK);
    group.service("missing", MANY, sample.guarded(true), || with_token(None), StatusCode::UNAUTHORIZED);
    group.service("malformed", MANY, sample.guarded(true), || with_token(Some("junk")), StatusCode::UNAUTHORIZED);
    group.service("unknown kid", MANY, sample.guarded(true), || with_token(Some(&unknown)), StatusCode::UNAUTHORIZED);
    group.print("layer");
}
