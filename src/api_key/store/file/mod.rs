//! Keys in a file of TOML or JSON: for keys that come with the configuration, and for secrets that Kubernetes mounts.
//!
//! ```toml
//! # Digests, never keys. `keep keys create` writes such a file, and so may you.
//! version = 1
//!
//! [[keys]]
//! id = "4fJk0aQz81Lm"
//! owner = "billing"
//! scopes = ["orders:read"]
//! digest = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
//! expires_at = "2027-01-01T00:00:00Z"
//! ```
//!
//! A file whose name ends in `.json` holds the same: `{"version": 1, "keys": [{"id": "4fJk0aQz81Lm", ..}]}`. `version` may be
//! left out, `keys` may not: a file without keys says `keys = []`.
//!
//! # Reading
//!
//! A file is taken as a whole or not at all. When it changes, it is read as soon as it has stayed the same for 50 ms,
//! whether it was replaced, written in place, or lies behind symbolic links that now lead elsewhere, as in Kubernetes. On Linux
//! the system tells of changes in the folder; besides, the file is looked at [every 250 ms](FileStoreBuilder::poll_every), since
//! nothing is told of network file systems. If there is anything wrong with the file, or it is gone, the keys stay as they were:
//! an event `key_file_refused` and [`FileStore::status`] say what it is.
//!
//! Whoever writes such a file should write another one and rename it. Of TOML that is written in place and slowly, a part
//! can be a good file with fewer keys.
//!
//! # Writing
//!
//! A change is written to the file before it is in force: to a new file that takes the place of the old one, has its
//! owner and permissions, and is on the disk by then. Processes take turns, by a lock on a hidden file beside it
//! (`.keys.toml.lock`), so that none of their changes is lost. What is written anew is all but the comments at the head of a TOML
//! file; other comments are dropped. A file behind a symbolic link is not written.
//!
//! When keys were used is not kept, nor who changed what.

mod builder;
mod content;
mod error;
mod platform;
mod replace;
mod shared;
mod status;
mod table;
mod text;
mod watch;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::runtime::Handle;

pub use builder::FileStoreBuilder;
pub use error::KeyFileError;
pub use status::FileStatus;

use shared::Shared;

use super::{AdminError, Found, KeyAdmin, KeyChange, KeyFilter, KeyStore, Lookup, Notices, Page};
use crate::api_key::{KeyId, KeyRecord, KeyRules, MemoryStore};
use crate::{Answer, Durability, StoreError};

/// Keeps keys in a file, and reads it again when it changes. Cloning shares it; the [module](self) says how it is read and written.
///
/// ```
/// use tower_keep::{ApiKeyLayer, FileStore, KeyAdmin, NewKey};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("keys.toml");
/// let keys = FileStore::builder().create_if_missing().open(&path)?;
/// let layer = ApiKeyLayer::new(keys.clone());
///
/// let issued = keys.issue(NewKey::for_owner("billing").scopes(["orders:read"])).await?;
/// assert!(std::fs::read_to_string(&path)?.contains("owner = \"billing\""));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FileStore(Arc<Shared>);

impl FileStore {
    /// Opens a file with [`KeyRules::default`], and else as the builder does.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`] if there is no such file, or anything is wrong with it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        Self::builder().open(path)
    }

    /// Starts the settings of a store.
    pub fn builder() -> FileStoreBuilder {
        FileStoreBuilder::default()
    }

    /// Returns how the file is doing, for a health check.
    pub fn status(&self) -> FileStatus {
        self.0.status()
    }

    /// Does what waits for the disk and for other processes where that may be done, if there is a runtime.
    fn off_the_runtime<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, AdminError> + Send + 'static,
    ) -> Answer<Result<T, AdminError>> {
        let shared = Arc::clone(&self.0);
        match Handle::try_current() {
            Ok(runtime) => Answer::later(async move {
                let done = runtime.spawn_blocking(move || work(&shared)).await;
                done.unwrap_or_else(|error| Err(StoreError::unavailable(error).into()))
            }),
            Err(_) => Answer::Now(work(&shared)),
        }
    }
}

impl KeyStore for FileStore {
    fn find(&self, by: &Lookup) -> Answer<Found> {
        self.0.table().keys().find(by)
    }

    fn rules(&self) -> KeyRules {
        self.0.rules().clone()
    }

    fn notices(&self) -> Option<Notices> {
        Some(self.0.notices())
    }
}

impl KeyAdmin for FileStore {
    fn insert(&self, record: KeyRecord) -> Answer<Result<(), AdminError>> {
        self.off_the_runtime(move |shared| shared.edit(|keys| Ok((keys.insert(record.clone())?, true))))
    }

    fn change(&self, id: &KeyId, change: KeyChange) -> Answer<Result<Arc<KeyRecord>, AdminError>> {
        let id = *id;
        self.off_the_runtime(move |shared| {
            shared.edit(|keys: &MemoryStore| {
                let before = keys.get(&id);
                let after = keys.change(&id, change)?;
                let is_same = before.is_some_and(|before| Arc::ptr_eq(&before, &after));
                Ok((after, !is_same))
            })
        })
    }

    fn list(&self, filter: &KeyFilter, after: Option<&KeyId>, limit: usize) -> Answer<Result<Page, AdminError>> {
        Answer::Now(Ok(self.0.table().keys().list(filter, after, limit)))
    }

    fn insert_all(&self, records: Vec<KeyRecord>) -> Answer<Result<Vec<KeyId>, AdminError>> {
        self.off_the_runtime(move |shared| {
            shared.edit(|keys| {
                let known = |record: &&KeyRecord| keys.insert((*record).clone()).is_err();
                let known: Vec<_> = records.iter().filter(known).map(|record| *record.id()).collect();
                let changed = known.len() < records.len();
                Ok((known, changed))
            })
        })
    }

    fn sweep(&self, ended_before: SystemTime) -> Answer<Result<u64, AdminError>> {
        self.off_the_runtime(move |shared| {
            shared.edit(|keys| {
                let swept = keys.sweep(ended_before);
                Ok((swept, swept > 0))
            })
        })
    }

    fn durability(&self) -> Durability {
        Durability::Durable
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore")
            .field("path", self.0.path())
            .field("rules", self.0.rules())
            .field("status", &self.status())
            .finish()
    }
}
