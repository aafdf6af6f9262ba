//! The command line, run as operators run it.

mod help;
mod import;
mod keys;
mod support;
mod terminal;
mod token;
