//! Stores on real servers, which the tests start by themselves. `scripts/test` installs them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]
#![allow(unreachable_pub, reason = "a test binary has no outside")]

mod command_line;
mod nodes;
mod postgres;
mod postgres_tokens;
mod redis;
mod sqlite;
mod support;
