//! Bearer tokens.

mod accepted;
mod claims;
mod denied;
mod details;
mod extractor;
pub mod mint;
mod remembered;
mod settings;
mod shared_field;
mod times;
mod tools;
