//! What systems do in ways of their own.

#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
pub(super) use other::{give_to_owner_of, identity, private, sync_folder};
#[cfg(unix)]
pub(super) use unix::{give_to_owner_of, identity, private, sync_folder};
