//! Stores of keys, on real databases and servers.

mod postgres;
mod sqlite;
mod support;
