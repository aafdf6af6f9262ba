//! What can be wrong with a file of keys.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::StoreError;
use crate::api_key::{AdminError, DigestTag, KeyId};

/// A file of keys could not be read or written. Nothing that the file says stands in it but ids, tags, and names of fields.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The name ends neither in `.toml` nor in `.json`.
    Extension,
    /// There is no such file.
    Missing,
    /// It is a directory, or a device.
    NotAFile,
    /// It could not be read.
    Read(Arc<io::Error>),
    /// It is empty, as a file is that is just being written. A file without keys says so: `keys = []`.
    Empty,
    /// It is not UTF-8, or not TOML or JSON, or a record in it is not one.
    Text {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong.
        problem: String,
    },
    /// It has a version that is not known.
    Version {
        /// The version.
        given: u32,
    },
    /// Two records have the same id.
    IdRepeated {
        /// The id.
        id: KeyId,
    },
    /// Two records have the same digest, and are found by it.
    DigestRepeated {
        /// The id of the second.
        id: KeyId,
    },
    /// A digest is of a kind that the rules do not accept, so that every use of the key would be answered 500.
    DigestNotAccepted {
        /// The id of the record.
        id: KeyId,
        /// The kind of digest.
        tag: DigestTag,
    },
    /// A key is an imported one, and the rules do not accept such keys, so that it would never be found.
    ImportNotAccepted {
        /// The id of the record.
        id: KeyId,
    },
    /// The file is a symbolic link, as in Kubernetes, and is changed by whoever made the link.
    SymbolicLink,
    /// What takes its place could not be given the same owner, and would lock others out.
    Owner(Arc<io::Error>),
    /// It could not be written.
    Write(Arc<io::Error>),
}

impl KeyFileError {
    pub(super) fn reading(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            _ => Self::Read(Arc::new(error)),
        }
    }

    pub(super) fn writing(error: io::Error) -> Self {
        Self::Write(Arc::new(error))
    }
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Extension => f.write_str("the name of a file of keys ends in .toml or .json"),
            Self::Missing => f.write_str("there is no such file"),
            Self::NotAFile => f.write_str("this is not a regular file"),
            Self::Read(_) => f.write_str("the file could not be read"),
            Self::Empty => f.write_str("the file is empty; one without keys says `keys = []` or {\"keys\": []}"),
            Self::Text { line, column, problem } => write!(f, "line {line}, column {column}: {problem}"),
            Self::Version { given } => write!(f, "version {given} of the file is not known, only 1 is"),
            Self::IdRepeated { id } => write!(f, "there are two keys of the id {id}"),
            Self::DigestRepeated { id } => write!(f, "the key {id} has the digest of another one"),
            Self::DigestNotAccepted { id, tag } => write!(f, "the key {id} has a digest {tag}, which is not accepted"),
            Self::ImportNotAccepted { id } => write!(f, "the key {id} is imported, and such keys are not accepted"),
            Self::SymbolicLink => f.write_str("the file is a symbolic link, and is changed where that is made"),
            Self::Owner(_) => f.write_str("what takes the file's place could not be given the same owner"),
            Self::Write(_) => f.write_str("the file could not be written"),
        }
    }
}

impl Error for KeyFileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read(error) | Self::Owner(error) | Self::Write(error) => Some(&**error),
            _ => None,
        }
    }
}

impl From<KeyFileError> for StoreError {
    fn from(error: KeyFileError) -> Self {
        match error {
            KeyFileError::Read(_) | KeyFileError::Write(_) => Self::unavailable(error),
            error => Self::misconfigured(error),
        }
    }
}

impl From<KeyFileError> for AdminError {
    fn from(error: KeyFileError) -> Self {
        Self::Store(error.into())
    }
}
