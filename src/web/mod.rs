//! What axum and tonic get from this crate: extractors, names, statuses. Both are optional.

#[cfg_attr(not(feature = "axum"), path = "absent.rs", doc(hidden))]
pub mod axum;
#[cfg_attr(not(feature = "tonic"), path = "absent.rs", doc(hidden))]
pub mod tonic;
