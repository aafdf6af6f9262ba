//! The command line, run as operators run it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod help;
mod import;
mod keys;
mod support;
mod terminal;
mod token;
