//! What may be used once: proofs, assertions, codes.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use tower_keep::{MemoryReplayStore, ReplayStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keep::StoreError> {
//! let used = MemoryReplayStore::new();
//! let in_a_minute = SystemTime::now() + Duration::from_secs(60); // the proof is refused for its age from then on
//! assert!(used.first_use("dpop:a7f3", in_a_minute).await?);
//! assert!(!used.first_use("dpop:a7f3", in_a_minute).await?);
//! # Ok(())
//! # }
//! ```

mod memory;
#[cfg(feature = "redis")]
mod redis;

use std::sync::Arc;
use std::time::SystemTime;

pub use self::memory::MemoryReplayStore;
#[cfg(feature = "redis")]
pub use self::redis::RedisReplayStore;

use crate::{Answer, StoreError};

/// Remembers what was used.
pub trait ReplayStore: Send + Sync + 'static {
    /// Returns whether an id is used for the first time, and remembers it until a time. Of any number of calls at once, on all
    /// processes that share the store, one is told so. An id whose time is over has no first use. The caller says in the id
    /// what kind of thing it is about: `dpop:<thumbprint>:<jti>`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it cannot be known: the caller is answered 503, and never let in.
    fn first_use(&self, id: &str, until: SystemTime) -> Answer<Result<bool, StoreError>>;
}

impl<S: ReplayStore + ?Sized> ReplayStore for Arc<S> {
    fn first_use(&self, id: &str, until: SystemTime) -> Answer<Result<bool, StoreError>> {
        (**self).first_use(id, until)
    }
}

/// What stands for an id: as long as any other, whoever has chosen it.
fn short(id: &str) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, id.as_bytes());
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    bytes
}
