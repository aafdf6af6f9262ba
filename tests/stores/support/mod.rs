//! Servers for tests.

pub(crate) mod redis;
