//! Bearer tokens.

mod accepted;
mod judge;
pub mod mint;
mod vectors;
