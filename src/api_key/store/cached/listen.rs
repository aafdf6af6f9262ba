//! Listening to a store that tells of changes.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use tokio::runtime::Handle;

use super::Shared;
use crate::api_key::store::{KeyStore, Notice, Notices};
use crate::{StoreError, events};

impl<S: KeyStore> Shared<S> {
    /// Starts to listen to the store, once, as soon as there is a runtime.
    pub(super) fn listen(self: &Arc<Self>) {
        if self.listening.load(Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        if self.listening.swap(true, Ordering::AcqRel) {
            return;
        }
        let Some(notices) = self.store.notices() else { return };
        let mut link = self.link();
        link.is_up = Some(false);
        link.task = Some(runtime.spawn(heed(notices, Arc::downgrade(self))).abort_handle());
    }

    fn heed(&self, notice: Notice) {
        match notice {
            Notice::Changed(id) => self.forget(&id),
            Notice::AllChanged => self.forget_all(),
            Notice::Connected => {
                let before = self.link().is_up.replace(true);
                // What was read before may have changed in between.
                self.doubts.raise();
                if before != Some(true) {
                    events::key_changes_told();
                }
            }
            Notice::Disconnected(error) => {
                let before = self.link().is_up.replace(false);
                self.doubts.raise();
                if before == Some(true) {
                    events::key_changes_not_told(&error);
                }
            }
        }
    }
}

/// Does what the notices of a store say, for as long as somebody has the copies.
async fn heed<S: KeyStore>(mut notices: Notices, shared: Weak<Shared<S>>) {
    while let Some(notice) = notices.next().await {
        let Some(shared) = shared.upgrade() else { return };
        shared.heed(notice);
    }
    let Some(shared) = shared.upgrade() else { return };
    shared.heed(Notice::Disconnected(StoreError::unavailable("the store stopped telling of changes")));
}
