//! `keep keys import`.
//!
//! A file is read twice: nothing is stored before all of it is known to be right. What comes through a pipe is read once,
//! and a line that is wrong ends it; batches before that one are stored by then, which is told. Either way the same input can
//! be imported again, since records that are there already are left as they are.

use std::fs::File;
use std::io::{self, BufReader, Seek};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::{JoinError, spawn_blocking};

use super::Keys;
use super::lines::{Batch, Lines, Unknown};
use super::progress::{Tally, bar, grouped};
use crate::args::Import;
use crate::failure::Failure;
use crate::output::note;

/// How many records are stored at once.
const BATCH: usize = 5_000;
/// How much longer a batch may take than a single record.
const PATIENCE: u32 = 12;

pub(super) async fn run(keys: Keys, what: Import) -> Result<(), Failure> {
    let lines = Arc::new(Lines { format: what.format, rules: keys.rules.clone(), batch: BATCH });
    let mut source = Source::open(&what.file)?;
    if let Source::File(file, length) = source {
        source = Source::File(checked(file, length, Arc::clone(&lines)).await?, length);
    }
    let mut tally = Tally::new(bar(source.length(), "storing"));
    store(&keys, source, lines, &mut tally).await?;
    tally.end();
    let (stored, known, seconds) = (tally.stored, tally.known, tally.started.elapsed().as_secs_f64());
    let json = json!({
        "records": tally.records(),
        "stored": stored,
        "already_there": known,
        "seconds": (seconds * 1000.0).round() / 1000.0,
        "per_second": tally.rate(),
    });
    keys.output.result(&json, || {
        let (records, rate) = (grouped(tally.records()), grouped(tally.rate()));
        let (stored, known) = (grouped(stored), grouped(known));
        format!("{records} records in {seconds:.1} s ({rate}/s): {stored} stored, {known} were there already\n")
    })?;
    match what.fail_on_existing && known > 0 {
        true => Err(Failure::no(format!("{} records were there already", grouped(known)))),
        false => Ok(()),
    }
}

/// Where lines come from.
enum Source {
    /// A file, and its length.
    File(File, u64),
    /// Something that can be read once.
    Stream(Box<dyn io::Read + Send>),
}

impl Source {
    fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::Stream(Box::new(io::stdin())));
        }
        let opened = File::open(path).and_then(|file| file.metadata().map(|about| (file, about)));
        match opened {
            Ok((file, about)) if about.is_file() => Ok(Self::File(file, about.len())),
            Ok((file, _)) => Ok(Self::Stream(Box::new(file))),
            Err(error) => Err(Failure::refused(format!("{} cannot be read: {error}", path.display()))),
        }
    }

    const fn length(&self) -> Option<u64> {
        match self {
            Self::File(_, length) => Some(*length),
            Self::Stream(_) => None,
        }
    }
}

/// Reads a whole file, and stores nothing.
async fn checked(mut file: File, length: u64, lines: Arc<Lines>) -> Result<File, Failure> {
    let bar = bar(Some(length), "checking");
    let read = spawn_blocking(move || {
        let read = lines.read(BufReader::new(&file), |batch| {
            bar.inc(batch.bytes);
            true
        });
        bar.finish_and_clear();
        read.and_then(|_| file.rewind().map_err(|error| error.to_string())).map(|()| file)
    });
    read.await.map_err(broken)?.map_err(|reason| Failure::refused(format!("{reason}; nothing was stored")))
}

/// Stores one batch while the next one is read.
async fn store(keys: &Keys, source: Source, lines: Arc<Lines>, tally: &mut Tally) -> Result<(), Failure> {
    let (sender, mut batches) = mpsc::channel::<Batch>(1);
    let reader = spawn_blocking(move || {
        let each = |batch| sender.blocking_send(batch).is_ok();
        match source {
            Source::File(file, _) => lines.read(BufReader::new(file), each),
            Source::Stream(stream) => lines.read(BufReader::new(stream), each),
        }
    });
    while let Some(Batch { records, bytes }) = batches.recv().await {
        let count = records.len() as u64;
        let known = match records.is_empty() {
            true => 0,
            false => keys.ask_within(patience(keys), keys.store.insert_all(records)).await?.len() as u64,
        };
        tally.add(count.saturating_sub(known), known, bytes);
    }
    let unknown = reader.await.map_err(broken)?.map_err(Failure::Refused)?;
    warn(&unknown);
    Ok(())
}

fn patience(keys: &Keys) -> Duration {
    keys.patience * PATIENCE
}

fn warn(unknown: &Unknown) {
    for tag in unknown {
        note(&format!("some records have digests of the kind {tag}, which is not configured here"));
    }
}

fn broken(error: JoinError) -> Failure {
    Failure::refused(format!("reading broke off: {error}"))
}
