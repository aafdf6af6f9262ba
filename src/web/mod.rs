//! What axum and tonic get from this crate: extractors, names, statuses. Both are optional.

#[cfg(not(all(feature = "axum", feature = "tonic")))]
pub(crate) mod absent;
#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "tonic")]
pub mod tonic;

#[cfg(not(feature = "axum"))]
pub(crate) use absent as axum;
#[cfg(not(feature = "tonic"))]
pub(crate) use absent as tonic;
