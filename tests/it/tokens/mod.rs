//! Bearer tokens.

mod accepted;
mod attacks;
mod judge;
pub mod mint;
mod vectors;
