//! Writing a file so that readers see the old one or the new one, and so that two writers take turns.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::KeyFileError;
use super::platform;

/// How long another writer may take.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The turn of a writer among those of all processes. It ends with this value, or with the process.
pub(super) struct Turn {
    // The lock goes with the file, and the file next to the keys stays: whoever removed it could let in two at once.
    _lock: File,
}

impl Turn {
    /// Waits for it.
    pub(super) fn take(path: &Path) -> Result<Self, KeyFileError> {
        let lock = open_lock(path).map_err(KeyFileError::writing)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match try_lock(&lock) {
                Ok(()) => return Ok(Self { _lock: lock }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(LOOK_EVERY),
                Err(TryLockError::WouldBlock) => {
                    let held = "another process has been writing for 10 seconds";
                    return Err(KeyFileError::writing(io::Error::new(io::ErrorKind::TimedOut, held)));
                }
                Err(TryLockError::Error(error)) => return Err(KeyFileError::writing(error)),
            }
        }
    }
}

#[allow(clippy::incompatible_msrv, reason = "the feature `file` says that it needs Rust 1.89")]
fn try_lock(file: &File) -> Result<(), TryLockError> {
    file.try_lock()
}

fn open_lock(path: &Path) -> io::Result<File> {
    let name = beside(path, "lock")?;
    let new = platform::private(OpenOptions::new().read(true).write(true).create_new(true)).open(&name);
    match new {
        Ok(file) => {
            // Whoever may write the keys may take turns, also if it was root who came first.
            if let Ok(keys) = fs::metadata(path) {
                let _as_it_is = platform::give_to_owner_of(&file, &keys);
            }
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            OpenOptions::new().read(true).write(true).open(&name).or_else(|_| File::open(&name))
        }
        Err(error) => Err(error),
    }
}

/// Puts a text in the place of a file, or makes one that only its owner may read. `is_current` is asked at the last moment, and
/// nothing is written if it says no. Returns whether it was.
pub(super) fn replace(
    path: &Path,
    before: Option<&Metadata>,
    text: &str,
    is_current: impl FnOnce() -> bool,
) -> Result<bool, KeyFileError> {
    let name = beside(path, "new").map_err(KeyFileError::writing)?;
    // What a writer left that was killed; it was its turn then, and is ours now.
    let _was_there = fs::remove_file(&name);
    let replaced = write(&name, before, text).and_then(|()| match is_current() {
        true => fs::rename(&name, path).map(|()| true).map_err(KeyFileError::writing),
        false => Ok(false),
    });
    match replaced {
        Ok(true) => platform::sync_folder(folder(path)).map(|()| true).map_err(KeyFileError::writing),
        other => {
            let _gone = fs::remove_file(&name);
            other
        }
    }
}

fn write(name: &Path, before: Option<&Metadata>, text: &str) -> Result<(), KeyFileError> {
    let open = platform::private(OpenOptions::new().write(true).create_new(true)).open(name);
    let mut file = open.map_err(KeyFileError::writing)?;
    if let Some(before) = before {
        platform::give_to_owner_of(&file, before).map_err(|error| KeyFileError::Owner(Arc::new(error)))?;
        file.set_permissions(before.permissions()).map_err(KeyFileError::writing)?;
    }
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(KeyFileError::writing)
}

/// Returns the folder of a file.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Names a hidden file next to one: `.keys.toml.lock`.
fn beside(path: &Path, what: &str) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    Ok(folder(path).join(format!(".{}.{what}", name.to_string_lossy())))
}
