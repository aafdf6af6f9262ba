//! The behaviour of the crate, through its public door.
#![allow(unreachable_pub, reason = "a test binary has no outside")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod admin;
mod axum_stack;
mod cached;
mod challenges;
mod credentials;
mod ended;
mod events;
mod file_store;
mod grpc;
mod https;
mod imported;
mod introspection;
mod issuers;
mod keys;
mod limits;
mod live;
mod log;
mod login;
mod metadata;
mod metrics;
mod moved_in;
mod networks;
mod optional;
mod peppers;
mod pipeline;
mod properties;
mod providers;
mod refusals;
mod scopes;
mod secrets;
mod support;
mod testing;
mod throttle;
mod tokens;
mod types;
