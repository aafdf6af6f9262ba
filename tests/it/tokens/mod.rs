//! Bearer tokens.

mod accepted;
mod claims;
mod details;
pub mod mint;
mod settings;
mod times;
mod tools;
