//! Who looks whether a file has changed.
//!
//! The system tells of changes in the folder, where a file is replaced as well as written; and whether or not it tells, the
//! file is looked at every so often, since it tells nothing of network file systems and of where a symbolic link leads.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::content::Stamp;
use super::replace::folder;
use super::shared::Shared;

/// For how long a file has to stay the same before it is read.
const QUIET: Duration = Duration::from_millis(50);
/// How often that is looked at before a file is read that does not stay the same.
const LOOKS: usize = 10;

/// What wakes the watcher.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wake {
    Look,
    End,
}

/// How to wake the watcher, and to end it.
pub(super) struct Waker(SyncSender<Wake>);

impl Drop for Waker {
    fn drop(&mut self) {
        // If it is about to look, it finds that the store is gone.
        let _is_awake = self.0.try_send(Wake::End);
    }
}

/// What a watcher waits at.
pub(super) struct Watch {
    wakes: Receiver<Wake>,
    watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Prepares to watch a file; the system is asked to tell unless it is only to be looked at.
    pub(super) fn new(path: &Path, notified: bool) -> (Waker, Self) {
        // One place: whoever is to look at a file does so once, however often it was told.
        let (sender, wakes) = sync_channel(1);
        let teller = sender.clone();
        let told = move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| is_change(event.kind)) {
                let _is_awake = teller.try_send(Wake::Look);
            }
        };
        let watcher = notified.then(|| notify::recommended_watcher(told)).and_then(Result::ok);
        let watcher = watcher.and_then(|mut watcher| {
            watcher.watch(folder(path), RecursiveMode::NonRecursive).ok()?;
            Some(watcher)
        });
        (Waker(sender), Self { wakes, watcher })
    }

    /// Returns whether the system tells of changes.
    pub(super) const fn is_notified(&self) -> bool {
        self.watcher.is_some()
    }

    /// Starts a thread that ends with the store.
    pub(super) fn start(self, path: PathBuf, every: Duration, store: Weak<Shared>) -> io::Result<()> {
        let run = move || self.run(&path, every, &store);
        thread::Builder::new().name("tower-keep-file".to_owned()).spawn(run).map(drop)
    }

    fn run(self, path: &Path, every: Duration, store: &Weak<Shared>) {
        loop {
            match self.wakes.recv_timeout(every) {
                Ok(Wake::End) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(Wake::Look) | Err(RecvTimeoutError::Timeout) => {}
            }
            match store.upgrade() {
                Some(store) if store.is_current() => continue,
                Some(_) => {}
                None => return,
            }
            // Nothing of the store is held while time passes.
            until_quiet(path);
            match store.upgrade() {
                Some(store) => store.read_again(),
                None => return,
            }
        }
    }
}

/// Reading a file is told as well, and looking at it then would never end.
const fn is_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if !matches!(access, AccessKind::Close(AccessMode::Write)))
}

/// Waits until a file stays the same, for a while.
fn until_quiet(path: &Path) {
    let mut before = Stamp::of(path).ok();
    for _ in 0..LOOKS {
        thread::sleep(QUIET);
        let now = Stamp::of(path).ok();
        if now == before {
            return;
        }
        before = now;
    }
}
