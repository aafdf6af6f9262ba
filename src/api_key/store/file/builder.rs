//! How a file of keys is opened.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::shared::{Opened, Shared};
use super::watch::Watch;
use super::{FileStore, KeyFileError};
use crate::api_key::KeyRules;

/// How often a file is looked at: a change is in force within half a second then, also where the system tells nothing.
const POLL_EVERY: Duration = Duration::from_millis(250);
const POLL_EVERY_MIN: Duration = Duration::from_millis(10);

/// The settings of a [`FileStore`]; [`FileStore::builder`] starts them.
#[derive(Clone, Debug)]
pub struct FileStoreBuilder {
    rules: KeyRules,
    poll_every: Duration,
    notified: bool,
    create: bool,
    any_digest: bool,
}

impl Default for FileStoreBuilder {
    fn default() -> Self {
        Self { rules: KeyRules::default(), poll_every: POLL_EVERY, notified: true, create: false, any_digest: false }
    }
}

impl FileStoreBuilder {
    /// Sets how the keys are written and hashed; [`KeyRules::default`] unless it is set.
    #[must_use]
    pub fn rules(mut self, rules: KeyRules) -> Self {
        self.rules = rules;
        self
    }

    /// Sets how often the file is looked at, besides when the system tells of changes: every 250 ms unless it is set, and every
    /// 10 ms at most. It costs a question about the file and nothing else, while that stays the same.
    #[must_use]
    pub fn poll_every(mut self, time: Duration) -> Self {
        self.poll_every = time.max(POLL_EVERY_MIN);
        self
    }

    /// Does not ask the system to tell of changes, and only looks: for file systems where it would tell nothing, and
    /// machines that watch too many files.
    #[must_use]
    pub const fn polling_only(mut self) -> Self {
        self.notified = false;
        self
    }

    /// Makes a file without keys if there is none. The folder has to be there.
    #[must_use]
    pub const fn create_if_missing(mut self) -> Self {
        self.create = true;
        self
    }

    /// Takes files in which some digests are of a kind that the rules do not accept, and imported keys where the rules accept
    /// none: for tools that list and revoke keys and know no pepper. Such keys are answered 500 or 401 by a layer.
    #[must_use]
    pub const fn accepting_any_digest(mut self) -> Self {
        self.any_digest = true;
        self
    }

    /// Opens a file, which is read before this returns, and watched by a thread until the store and its clones are gone.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`] if there is no such file, or anything is wrong with it.
    pub fn open(self, path: impl AsRef<Path>) -> Result<FileStore, KeyFileError> {
        let path = std::path::absolute(path.as_ref()).map_err(KeyFileError::reading)?;
        // Watching starts before reading, so that no change falls between.
        let (waker, watch) = Watch::new(&path, self.notified);
        let opened = Opened {
            path: path.clone(),
            rules: self.rules,
            any_digest: self.any_digest,
            notified: watch.is_notified(),
            create: self.create,
        };
        let shared = Arc::new(Shared::open(opened, waker)?);
        watch.start(path, self.poll_every, Arc::downgrade(&shared)).map_err(KeyFileError::reading)?;
        Ok(FileStore(shared))
    }
}
