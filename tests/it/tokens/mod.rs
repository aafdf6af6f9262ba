//! Bearer tokens.

mod accepted;
pub mod mint;
