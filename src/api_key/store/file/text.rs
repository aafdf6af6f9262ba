//! Keys as the text of a file.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::KeyFileError;
use crate::api_key::KeyRecord;

/// The version that is written, and the only one that is known.
const VERSION: u32 = 1;
/// The longest name of a field that is repeated in an error; what is longer may be a key in the wrong place.
const FIELD_MAX: usize = 24;

/// How a file is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Syntax {
    Toml,
    Json,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    #[serde(default)]
    version: Option<u32>,
    keys: Vec<KeyRecord>,
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    keys: &'a [&'a KeyRecord],
}

impl Syntax {
    pub(super) fn of(path: &Path) -> Result<Self, KeyFileError> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => Ok(Self::Toml),
            Some("json") => Ok(Self::Json),
            _ => Err(KeyFileError::Extension),
        }
    }

    /// Reads the records, in the order in which they stand.
    pub(super) fn read(self, bytes: &[u8]) -> Result<Vec<KeyRecord>, KeyFileError> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| at(bytes, error.valid_up_to(), "this is not UTF-8".to_owned()))?;
        if text.trim().is_empty() {
            return Err(KeyFileError::Empty);
        }
        let read: Read = match self {
            Self::Toml => toml::from_str(text).map_err(|error| {
                let start = error.span().map_or(0, |span| span.start);
                at(bytes, start, without_values(error.message()))
            })?,
            Self::Json => serde_json::from_str(text).map_err(|error| {
                let whole = error.to_string();
                let problem = whole.rsplit_once(" at line ").map_or(&*whole, |(problem, _)| problem);
                let (line, column) = (error.line(), error.column().max(1));
                KeyFileError::Text { line, column, problem: without_values(problem) }
            })?,
        };
        match read.version.unwrap_or(VERSION) {
            VERSION => Ok(read.keys),
            given => Err(KeyFileError::Version { given }),
        }
    }

    /// Writes records. Of what stood in the file before, the comments at its head are kept.
    pub(super) fn write(self, before: &str, keys: &[&KeyRecord]) -> Result<String, KeyFileError> {
        let written = Written { version: VERSION, keys };
        let unwritable =
            |error: &dyn std::fmt::Display| KeyFileError::writing(std::io::Error::other(error.to_string()));
        match self {
            Self::Toml => {
                let text = toml::to_string(&written).map_err(|error| unwritable(&error))?;
                Ok(head(before).to_owned() + &text)
            }
            Self::Json => {
                let text = serde_json::to_string_pretty(&written).map_err(|error| unwritable(&error))?;
                Ok(text + "\n")
            }
        }
    }
}

/// Returns the comments before anything else.
fn head(text: &str) -> &str {
    let is_head = |line: &&str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let length: usize = text.split_inclusive('\n').take_while(is_head).map(str::len).sum();
    text.get(..length).filter(|head| head.ends_with('\n')).unwrap_or_default()
}

fn at(bytes: &[u8], offset: usize, problem: String) -> KeyFileError {
    let before = &bytes[..offset.min(bytes.len())];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = String::from_utf8_lossy(&before[line_start..]).chars().count() + 1;
    KeyFileError::Text { line, column, problem }
}

/// Leaves out what the file says: somebody may have put a key where it does not belong.
fn without_values(problem: &str) -> String {
    let quoted = |text: &str, open: &str, close: &str, keep: fn(&str) -> bool| -> Option<String> {
        let start = text.find(open)? + open.len();
        let end = start + text[start..].rfind(close)?;
        (!keep(&text[start..end])).then(|| format!("{}…{}", &text[..start], &text[end..]))
    };
    let is_name = |text: &str| text.len() <= FIELD_MAX && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'));
    if let Some((field, rest)) = problem.strip_prefix("unknown field `").and_then(|rest| rest.split_once("`, ")) {
        let field = if is_name(field) { field } else { "…" };
        return format!("unknown field `{field}`, {rest}");
    }
    let problem = problem.trim_end();
    quoted(problem, "string \"", "\", expected", |_| false).unwrap_or_else(|| problem.to_owned())
}
