//! Changes through a store with copies: they are in force here as soon as they are confirmed.

use std::sync::Arc;
use std::time::SystemTime;

use super::copies::Place;
use super::{Cached, Shared};
use crate::api_key::store::{AdminError, AuditEntry, KeyAdmin, KeyChange, KeyFilter, Lookup, Page};
use crate::api_key::{KeyId, KeyRecord};
use crate::{Answer, Durability};

impl<S: KeyAdmin> Cached<S> {
    /// Drops the copy of a key when its change is done, or may have been: also if nobody waits for it any more.
    fn after<T: Send + 'static>(&self, id: KeyId, done: Answer<T>) -> Answer<T> {
        let forget = Forget { shared: Arc::clone(&self.0), id: Some(id) };
        done.map(move |outcome| {
            drop(forget);
            outcome
        })
    }

    fn after_all<T: Send + 'static>(&self, done: Answer<T>) -> Answer<T> {
        let forget = Forget { shared: Arc::clone(&self.0), id: None };
        done.map(move |outcome| {
            drop(forget);
            outcome
        })
    }
}

/// Drops the copy of a key, or all of them, when it is dropped itself.
struct Forget<S> {
    shared: Arc<Shared<S>>,
    id: Option<KeyId>,
}

impl<S> Drop for Forget<S> {
    fn drop(&mut self) {
        match &self.id {
            Some(id) => self.shared.forget(id),
            None => self.shared.forget_all(),
        }
    }
}

impl<S: KeyAdmin> KeyAdmin for Cached<S> {
    fn insert(&self, record: KeyRecord) -> Answer<Result<(), AdminError>> {
        let id = *record.id();
        let imported: Vec<_> = record.indexed_digests().map(|digest| Place::of(&Lookup::Digest(*digest))).collect();
        let shared = Arc::clone(&self.0);
        self.after(id, self.0.store.insert(record)).map(move |outcome| {
            imported.iter().for_each(|place| shared.copies.unknown.remove(place));
            outcome
        })
    }

    fn change(&self, id: &KeyId, change: KeyChange) -> Answer<Result<Arc<KeyRecord>, AdminError>> {
        self.after(*id, self.0.store.change(id, change))
    }

    fn list(&self, filter: &KeyFilter, after: Option<&KeyId>, limit: usize) -> Answer<Result<Page, AdminError>> {
        self.0.store.list(filter, after, limit)
    }

    fn insert_all(&self, records: Vec<KeyRecord>) -> Answer<Result<Vec<KeyId>, AdminError>> {
        self.after_all(self.0.store.insert_all(records))
    }

    fn flush(&self) -> Answer<Result<(), AdminError>> {
        self.0.store.flush()
    }

    fn sweep(&self, ended_before: SystemTime) -> Answer<Result<u64, AdminError>> {
        self.after_all(self.0.store.sweep(ended_before))
    }

    fn audit(
        &self,
        key: Option<&KeyId>,
        before: Option<u64>,
        limit: usize,
    ) -> Answer<Result<Vec<AuditEntry>, AdminError>> {
        self.0.store.audit(key, before, limit)
    }

    fn durability(&self) -> Durability {
        self.0.store.durability()
    }
}
