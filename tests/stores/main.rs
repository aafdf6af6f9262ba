//! Stores on real servers, which the tests start by themselves. `scripts/test` installs them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]
#![allow(unreachable_pub, reason = "a test binary has no outside")]

mod nodes;
mod postgres;
mod redis;
mod sqlite;
mod support;
