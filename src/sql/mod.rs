//! What the stores in SQL databases have in common, whatever they keep.

mod errors;
#[cfg(feature = "postgres")]
mod postgres;

pub(crate) use errors::{newer, store_error, within};
#[cfg(feature = "postgres")]
pub(crate) use postgres::{connect, migrate, outage};
