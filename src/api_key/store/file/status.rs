//! How a file of keys is doing.

use std::time::SystemTime;

use super::KeyFileError;

/// How a [`FileStore`](crate::FileStore) is doing.
#[derive(Clone, Debug)]
pub struct FileStatus {
    pub(super) keys: usize,
    pub(super) read_at: SystemTime,
    pub(super) error: Option<KeyFileError>,
    pub(super) notified: bool,
}

impl FileStatus {
    /// Returns how many keys are in force, ended ones included.
    pub const fn keys(&self) -> usize {
        self.keys
    }

    /// Returns when the file was read that is in force.
    pub const fn read_at(&self) -> SystemTime {
        self.read_at
    }

    /// Returns what is wrong with the file as it is now, while the keys of an earlier one are in force.
    pub const fn error(&self) -> Option<&KeyFileError> {
        self.error.as_ref()
    }

    /// Returns whether the system tells of changes; if not, the file is looked at every so often and nothing else.
    pub const fn is_notified(&self) -> bool {
        self.notified
    }
}
