//! The file of a database.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::str::FromStr;

use sqlx::sqlite::SqliteConnectOptions;

/// Reads `sqlite:keys.db`, or a path.
pub(super) fn options(place: &str) -> Result<SqliteConnectOptions, sqlx::Error> {
    match place.starts_with("sqlite:") {
        true => SqliteConnectOptions::from_str(place),
        false => Ok(SqliteConnectOptions::new().filename(place)),
    }
}

/// Returns whether a place is no file at all.
pub(super) fn is_memory(place: &str) -> bool {
    let place = place.strip_prefix("sqlite:").unwrap_or(place);
    place.trim_start_matches("//").starts_with(":memory:") || place.contains("mode=memory")
}

/// Makes an empty file that nobody else may read, unless there is one. SQLite gives the files beside it the same mode.
pub(super) fn create(path: &Path) -> io::Result<()> {
    match private(OpenOptions::new().write(true).create_new(true)).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done.map(drop),
    }
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}
