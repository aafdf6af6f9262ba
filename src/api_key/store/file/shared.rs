//! What all clones of a store share: the table, the file it comes from, and who is told of changes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::SystemTime;

use super::content::{Content, Stamp};
use super::replace::{Turn, replace};
use super::table::Table;
use super::text::Syntax;
use super::watch::Waker;
use super::{FileStatus, KeyFileError};
use crate::api_key::{AdminError, KeyRules, MemoryStore, Notice, NoticeSender, Notices};
use crate::events;

/// How often a change is made anew when somebody who takes no turns wrote in between.
const TRIES: usize = 5;

pub(super) struct Shared {
    path: PathBuf,
    syntax: Syntax,
    rules: KeyRules,
    any_digest: bool,
    /// Whether the system tells of changes.
    notified: bool,
    // Readers hold it while they look, writers while they put another table in its place.
    table: RwLock<Arc<Table>>,
    /// Who reads the file and puts another table in place takes turns.
    turn: Mutex<()>,
    seen: Mutex<Seen>,
    told: Mutex<Vec<NoticeSender>>,
    _waker: Waker,
}

/// What was seen of the file.
struct Seen {
    /// What it was when it was last looked at; nothing if it was not there.
    stamp: Option<Stamp>,
    /// Of what is in force.
    hash: [u8; 32],
    read_at: SystemTime,
    error: Option<KeyFileError>,
}

/// What a store is opened with.
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) rules: KeyRules,
    pub(super) any_digest: bool,
    pub(super) notified: bool,
    pub(super) create: bool,
}

impl Shared {
    pub(super) fn open(opened: Opened, waker: Waker) -> Result<Self, KeyFileError> {
        let Opened { path, rules, any_digest, notified, create } = opened;
        let syntax = Syntax::of(&path)?;
        let content = match Content::read(&path) {
            Err(KeyFileError::Missing) if create => {
                let _turn = Turn::take(&path)?;
                if !path.exists() {
                    replace(&path, None, &syntax.write("", &[])?, || true)?;
                }
                Content::read(&path)?
            }
            content => content?,
        };
        let table = Table::new(&rules, any_digest, syntax.read(&content.bytes)?)?;
        events::key_file_read(&path, table.keys().len());
        let seen = Seen { stamp: Some(content.stamp), hash: content.hash, read_at: SystemTime::now(), error: None };
        Ok(Self {
            path,
            syntax,
            rules,
            any_digest,
            notified,
            table: RwLock::new(Arc::new(table)),
            turn: Mutex::default(),
            seen: Mutex::new(seen),
            told: Mutex::default(),
            _waker: waker,
        })
    }

    pub(super) const fn path(&self) -> &PathBuf {
        &self.path
    }

    pub(super) const fn rules(&self) -> &KeyRules {
        &self.rules
    }

    pub(super) fn table(&self) -> RwLockReadGuard<'_, Arc<Table>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> FileStatus {
        let keys = self.table().keys().len();
        let seen = lock(&self.seen);
        FileStatus { keys, read_at: seen.read_at, error: seen.error.clone(), notified: self.notified }
    }

    pub(super) fn notices(&self) -> Notices {
        let (sender, notices) = Notices::channel();
        sender.send(Notice::Connected);
        lock(&self.told).push(sender);
        notices
    }

    /// Returns whether the file is the one that was seen last.
    pub(super) fn is_current(&self) -> bool {
        let now = Stamp::of(&self.path).ok();
        now == lock(&self.seen).stamp
    }

    /// Reads the file again. If there is anything wrong with it, the keys stay as they were.
    pub(super) fn read_again(&self) {
        let _turn = lock(&self.turn);
        if self.is_current() {
            return;
        }
        match Content::read(&self.path) {
            Ok(content) => {
                let table = self.read_table(&content);
                self.saw(Some(content.stamp), table.map(|table| (table, content.hash)));
            }
            Err(error) => self.saw(Stamp::of(&self.path).ok(), Err(error)),
        }
    }

    /// Makes a change of the file, and puts it in force. `edit` is given what the file holds, and says whether it changed that.
    pub(super) fn edit<T>(
        &self,
        edit: impl Fn(&MemoryStore) -> Result<(T, bool), AdminError>,
    ) -> Result<T, AdminError> {
        let _turn = lock(&self.turn);
        if self.path.is_symlink() {
            return Err(KeyFileError::SymbolicLink.into());
        }
        let _others = Turn::take(&self.path)?;
        for _ in 0..TRIES {
            let before = Content::read(&self.path)?;
            let table = self.read_table(&before)?;
            let (outcome, changed) = edit(table.keys())?;
            if !changed {
                // Others may have made the change, and it has to be in force here, too.
                self.saw(Some(before.stamp), Ok((table, before.hash)));
                return Ok(outcome);
            }
            let records = table.records();
            let records: Vec<_> = records.iter().map(|record| &**record).collect();
            let text = self.syntax.write(std::str::from_utf8(&before.bytes).unwrap_or_default(), &records)?;
            let is_current = || Stamp::of(&self.path).is_ok_and(|stamp| stamp == before.stamp);
            if replace(&self.path, Some(&before.metadata), &text, is_current)? {
                let hash = Content::hash(text.as_bytes());
                // If somebody put another file in its place since, that is read by the watcher.
                let written = Content::read(&self.path).ok().filter(|now| now.hash == hash);
                self.saw(written.map(|now| now.stamp), Ok((table, hash)));
                return Ok(outcome);
            }
        }
        Err(KeyFileError::writing(std::io::Error::other("it changes all the time")).into())
    }

    fn read_table(&self, content: &Content) -> Result<Table, KeyFileError> {
        Table::new(&self.rules, self.any_digest, self.syntax.read(&content.bytes)?)
    }

    fn saw(&self, stamp: Option<Stamp>, read: Result<(Table, [u8; 32]), KeyFileError>) {
        match read {
            Ok((table, hash)) => {
                let mut seen = lock(&self.seen);
                let is_same = seen.hash == hash && seen.error.is_none();
                *seen = Seen { stamp, hash, read_at: SystemTime::now(), error: None };
                drop(seen);
                if !is_same {
                    events::key_file_read(&self.path, table.keys().len());
                    self.put_in_force(table);
                }
            }
            Err(error) => {
                events::key_file_refused(&self.path, self.table().keys().len(), &error);
                let mut seen = lock(&self.seen);
                seen.stamp = stamp;
                seen.error = Some(error);
            }
        }
    }

    fn put_in_force(&self, table: Table) {
        let table = Arc::new(table);
        let before = {
            let mut current = self.table.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, Arc::clone(&table))
        };
        let mut told = lock(&self.told);
        told.retain(|sender| !sender.is_closed());
        if told.is_empty() {
            return;
        }
        match table.changed(&before) {
            Some(ids) => ids.into_iter().for_each(|id| told.retain(|sender| sender.send(Notice::Changed(id)))),
            None => told.retain(|sender| sender.send(Notice::AllChanged)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing can panic between two changes that belong together.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
