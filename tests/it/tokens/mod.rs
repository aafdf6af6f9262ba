//! Bearer tokens.

mod accepted;
mod attacks;
mod claims;
mod denied;
mod details;
mod extractor;
mod judge;
pub mod mint;
mod remembered;
mod settings;
mod shared_field;
mod times;
pub mod tools;
mod vectors;
