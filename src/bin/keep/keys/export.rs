//! `keep keys export`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use tower_keep::KeyFilter;

use super::Keys;
use crate::failure::Failure;
use crate::output::note;

/// How many records are asked for at once.
const PAGE: usize = 1_000;

pub(super) async fn run(keys: Keys, file: &Path) -> Result<(), Failure> {
    if file == Path::new("-") {
        let mut out = BufWriter::new(io::stdout().lock());
        // A lock of standard output does not go from thread to thread; this future stays where it is.
        let written = write(&keys, &mut out, |error| Failure::output(&error)).await;
        return written.map(drop);
    }
    let wrong = |error: io::Error| Failure::refused(format!("{} cannot be written: {error}", file.display()));
    let target = Target::open(file).map_err(wrong)?;
    let mut out = BufWriter::new(&target.file);
    let records = write(&keys, &mut out, wrong).await?;
    drop(out);
    target.finish().map_err(wrong)?;
    match keys.output.is_human() {
        true => note(&format!("{records} records were written to {}", file.display())),
        false => keys.output.result(&json!({ "records": records }), String::new)?,
    }
    Ok(())
}

async fn write(keys: &Keys, out: &mut impl Write, wrong: impl Fn(io::Error) -> Failure) -> Result<u64, Failure> {
    let (filter, mut after, mut records) = (KeyFilter::default(), None, 0);
    loop {
        let page = keys.ask(keys.store.list(&filter, after.as_ref(), PAGE)).await?;
        for record in &page.records {
            serde_json::to_writer(&mut *out, &**record).map_err(|error| wrong(error.into()))?;
            out.write_all(b"\n").map_err(&wrong)?;
        }
        records += page.records.len() as u64;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    out.flush().map_err(&wrong)?;
    Ok(records)
}

/// The file that is written. A file of that name is replaced at the end, so that half of an export never looks like all
/// of it; what is no file, such as a pipe, is written as it is.
struct Target {
    file: File,
    replaces: Option<(PathBuf, PathBuf)>,
}

impl Target {
    fn open(path: &Path) -> io::Result<Self> {
        let path = match fs::canonicalize(path) {
            Ok(path) if !fs::metadata(&path)?.is_file() => {
                return Ok(Self { file: OpenOptions::new().write(true).open(path)?, replaces: None });
            }
            Ok(path) => path,
            Err(_) => path.to_owned(),
        };
        let mut name = path.file_name().ok_or_else(|| io::Error::other("that is no name of a file"))?.to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let part = path.with_file_name(name);
        let file = private(OpenOptions::new().write(true).create_new(true)).open(&part)?;
        Ok(Self { file, replaces: Some((part, path)) })
    }

    fn finish(mut self) -> io::Result<()> {
        if let Some((part, path)) = &self.replaces {
            self.file.sync_all()?;
            fs::rename(part, path)?;
        }
        self.replaces = None;
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some((part, _)) = &self.replaces {
            let _left = fs::remove_file(part);
        }
    }
}

/// Makes a new file one that its owner alone can read.
#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}
