//! What a file holds, and whether it is still the same.

use std::fs::{self, Metadata};
use std::path::Path;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::KeyFileError;
use super::platform;

/// How often a file is read that changes while it is read.
const TRIES: usize = 5;

/// What tells a file from another one, without reading it: that of the target of a symbolic link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    identity: [i64; 4],
}

impl Stamp {
    pub(super) fn of(path: &Path) -> Result<Self, KeyFileError> {
        Ok(Self::new(&metadata(path)?))
    }

    fn new(file: &Metadata) -> Self {
        Self { length: file.len(), modified: file.modified().ok(), identity: platform::identity(file) }
    }
}

fn metadata(path: &Path) -> Result<Metadata, KeyFileError> {
    let file = fs::metadata(path).map_err(KeyFileError::reading)?;
    match file.is_file() {
        true => Ok(file),
        // Opening a pipe would wait for somebody who writes to it.
        false => Err(KeyFileError::NotAFile),
    }
}

/// What a file held at some time.
pub(super) struct Content {
    pub(super) stamp: Stamp,
    pub(super) metadata: Metadata,
    pub(super) bytes: Vec<u8>,
    pub(super) hash: [u8; 32],
}

impl Content {
    /// Reads a file as it was at one time, unless it never stays the same.
    pub(super) fn read(path: &Path) -> Result<Self, KeyFileError> {
        let mut tries = 0;
        loop {
            let before = metadata(path)?;
            let bytes = fs::read(path).map_err(KeyFileError::reading)?;
            tries += 1;
            let stamp = Stamp::new(&before);
            if tries == TRIES || Stamp::of(path)? == stamp {
                let hash = Self::hash(&bytes);
                return Ok(Self { stamp, metadata: before, bytes, hash });
            }
        }
    }

    pub(super) fn hash(bytes: &[u8]) -> [u8; 32] {
        Sha256::digest(bytes).into()
    }
}
