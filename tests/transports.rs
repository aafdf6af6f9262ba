//! `RequireHttps` where it stands in earnest: behind nginx, under axum-server, tonic and hyper, on sockets of this machine.
//! Whatever a client writes, no request reaches the inner service unless its connection was TLS.
//!
//! The tests behind nginx run where there is one; `scripts/test` installs it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "transports/axum_server.rs"]
mod axum_server;
#[path = "transports/certificates.rs"]
mod certificates;
#[path = "transports/clients.rs"]
mod clients;
#[path = "transports/forgeries.rs"]
mod forgeries;
// Made by scripts/generate-grpc.
#[allow(missing_docs, unreachable_pub, dead_code, clippy::all, reason = "generated code has a style of its own")]
#[path = "../examples/grpc/hello.rs"]
mod hello;
#[path = "transports/hyper.rs"]
mod hyper;
#[path = "transports/inner.rs"]
mod inner;
#[path = "transports/nginx.rs"]
mod nginx;
#[path = "transports/proxied.rs"]
mod proxied;
#[path = "transports/tonic.rs"]
mod tonic;
