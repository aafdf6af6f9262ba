//! What a store tells those who keep copies of its records.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use crate::StoreError;
use crate::api_key::KeyId;

/// How many notices may wait to be read; more become one that speaks of all keys.
const WAITING: usize = 1024;

/// A notice of a store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// From now on changes are told. What was copied before may have changed since.
    Connected,
    /// A key has changed, or is new.
    Changed(KeyId),
    /// Any key may have changed.
    AllChanged,
    /// Changes are not told any more, until there is another [`Connected`](Self::Connected).
    Disconnected(StoreError),
}

/// The notices of a store, from when it was asked for them. A store of one's own makes it by [`channel`](Self::channel).
#[derive(Debug)]
pub struct Notices {
    waiting: mpsc::Receiver<Notice>,
    overflown: Arc<AtomicBool>,
}

impl Notices {
    /// Makes notices and where to put them.
    pub fn channel() -> (NoticeSender, Self) {
        let (sender, waiting) = mpsc::channel(WAITING);
        let overflown = Arc::<AtomicBool>::default();
        (NoticeSender { sender, overflown: Arc::clone(&overflown) }, Self { waiting, overflown })
    }

    /// Waits for the next notice; there is none once the store is gone. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Notice> {
        if self.overflown.swap(false, Ordering::AcqRel) {
            return Some(Notice::AllChanged);
        }
        self.waiting.recv().await
    }
}

/// Where a store puts its notices.
#[derive(Clone)]
pub struct NoticeSender {
    sender: mpsc::Sender<Notice>,
    overflown: Arc<AtomicBool>,
}

impl NoticeSender {
    /// Tells something. It never waits: where the reader does not keep up, it is told that all keys may have changed. Returns
    /// whether there is still somebody to tell.
    pub fn send(&self, notice: Notice) -> bool {
        match self.sender.try_send(notice) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.overflown.store(true, Ordering::Release);
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }

    /// Returns whether nobody listens any more.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until nobody listens any more.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }
}

impl fmt::Debug for NoticeSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoticeSender")
    }
}
