//! Bearer tokens.

mod accepted;
mod claims;
mod details;
pub mod mint;
mod times;
mod tools;
