//! What a store tells those who keep copies of its records.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    overflow: Arc<Overflow>,
}

/// What had no room among those that wait.
#[derive(Debug, Default)]
struct Overflow {
    /// The last that was said of the link.
    link: Mutex<Option<Notice>>,
    changes: AtomicBool,
}

impl Overflow {
    fn link(&self) -> MutexGuard<'_, Option<Notice>> {
        // Nothing panics while it is held.
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notices {
    /// Makes notices and where to put them.
    pub fn channel() -> (NoticeSender, Self) {
        let (sender, waiting) = mpsc::channel(WAITING);
        let overflow = Arc::<Overflow>::default();
        (NoticeSender { sender, overflow: Arc::clone(&overflow) }, Self { waiting, overflow })
    }

    /// Waits for the next notice; there is none once the store is gone. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Notice> {
        if self.overflow.changes.swap(false, Ordering::AcqRel) {
            return Some(Notice::AllChanged);
        }
        if let Ok(notice) = self.waiting.try_recv() {
            return Some(notice);
        }
        // It is later than all that waited.
        if let Some(link) = self.overflow.link().take() {
            return Some(link);
        }
        self.waiting.recv().await
    }
}

/// Where a store puts its notices.
#[derive(Clone)]
pub struct NoticeSender {
    sender: mpsc::Sender<Notice>,
    overflow: Arc<Overflow>,
}

impl NoticeSender {
    /// Tells something. It never waits: where the reader does not keep up, it is told that all keys may have changed, and the last
    /// that was said of the link. Returns whether there is still somebody to tell.
    pub fn send(&self, notice: Notice) -> bool {
        let is_link = matches!(notice, Notice::Connected | Notice::Disconnected(_));
        let mut link = self.overflow.link();
        // What is said of the link overtakes nothing that was said of it before.
        let notice = match is_link && link.is_some() {
            true => notice,
            false => match self.sender.try_send(notice) {
                Ok(()) => return true,
                Err(mpsc::error::TrySendError::Closed(_)) => return false,
                Err(mpsc::error::TrySendError::Full(notice)) => notice,
            },
        };
        if is_link {
            *link = Some(notice);
        }
        drop(link);
        self.overflow.changes.store(true, Ordering::Release);
        // The reader may have read all that waited before there was an overflow to be seen, and wait itself by now.
        let _there_is_more_to_read = self.sender.try_send(Notice::AllChanged);
        true
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreError;

    #[tokio::test]
    async fn who_does_not_keep_up_is_told_of_all_keys_and_of_the_link() {
        let (sender, mut notices) = Notices::channel();
        let id = KeyId::of_letters(b"000000000000");
        for _ in 0..2 * WAITING {
            assert!(sender.send(Notice::Changed(id)));
        }
        sender.send(Notice::Connected);
        sender.send(Notice::Disconnected(StoreError::unavailable("gone")));
        sender.send(Notice::Changed(id));

        let (mut links, mut all, mut changed) = (0, 0, 0);
        while let Ok(Some(notice)) = tokio::time::timeout(std::time::Duration::from_millis(10), notices.next()).await {
            match notice {
                Notice::Disconnected(_) => links += 1,
                Notice::AllChanged => all += 1,
                Notice::Changed(_) => changed += 1,
                Notice::Connected => panic!("it is over"),
            }
        }

        assert_eq!((links, changed), (1, WAITING));
        assert!(all >= 1);
        assert!(sender.send(Notice::Connected));
        assert!(matches!(notices.next().await, Some(Notice::Connected)));
    }
}
