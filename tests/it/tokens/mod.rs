//! Bearer tokens.

mod accepted;
mod claims;
mod denied;
mod details;
pub mod mint;
mod remembered;
mod settings;
mod times;
mod tools;
