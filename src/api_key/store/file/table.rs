//! The keys of a file, in memory.

use std::collections::HashSet;
use std::sync::Arc;

use super::KeyFileError;
use crate::api_key::{KeyFilter, KeyId, KeyRecord, KeyRules, MemoryStore};

/// How many changed keys are told one by one.
const TOLD_MAX: usize = 256;

/// The keys of a file as they were at some time. A table that readers may see does not change; another takes its place.
pub(super) struct Table {
    keys: MemoryStore,
    /// The ids as they stand in the file.
    order: Vec<KeyId>,
}

impl Table {
    /// Makes a table of records that are all right, and that are known apart.
    pub(super) fn new(rules: &KeyRules, any_digest: bool, records: Vec<KeyRecord>) -> Result<Self, KeyFileError> {
        let keys = MemoryStore::with(rules.clone());
        let mut order = Vec::with_capacity(records.len());
        for record in records {
            let id = *record.id();
            if !any_digest {
                check(rules, &record)?;
            }
            match keys.insert(record) {
                Ok(()) => order.push(id),
                Err(_) if keys.get(&id).is_some() => return Err(KeyFileError::IdRepeated { id }),
                Err(_) => return Err(KeyFileError::DigestRepeated { id }),
            }
        }
        Ok(Self { keys, order })
    }

    pub(super) const fn keys(&self) -> &MemoryStore {
        &self.keys
    }

    /// Returns the records as they stand in the file, those that are new at the end.
    pub(super) fn records(&self) -> Vec<Arc<KeyRecord>> {
        let known: HashSet<_> = self.order.iter().collect();
        let mut records: Vec<_> = self.order.iter().filter_map(|id| self.keys.get(id)).collect();
        let all = self.keys.list(&KeyFilter::default(), None, usize::MAX).records;
        records.extend(all.into_iter().filter(|record| !known.contains(record.id())));
        records
    }

    /// Returns the ids of the keys that are not the same in both, or nothing if there are many of them.
    pub(super) fn changed(&self, before: &Self) -> Option<Vec<KeyId>> {
        let (ours, theirs) = (self.records(), before.records());
        let came = ours.iter().filter(|record| {
            let known = before.keys.get(record.id());
            known.is_none_or(|known| !is_same(&known, record))
        });
        let gone = theirs.iter().filter(|record| self.keys.get(record.id()).is_none());
        let changed: Vec<_> = came.chain(gone).map(|record| *record.id()).take(TOLD_MAX + 1).collect();
        (changed.len() <= TOLD_MAX).then_some(changed)
    }
}

fn is_same(left: &KeyRecord, right: &KeyRecord) -> bool {
    // Records are written without loss, so equal texts are equal records.
    let text = |record| serde_json::to_vec(record).ok();
    text(left).is_some_and(|left| Some(left) == text(right))
}

/// Refuses a record that could not be used. Those of keys that have ended may be as they are.
fn check(rules: &KeyRules, record: &KeyRecord) -> Result<(), KeyFileError> {
    let (id, now) = (*record.id(), rules.now());
    if record.ended_at().is_some_and(|end| end <= now) {
        return Ok(());
    }
    let present = (!record.digest().is_none()).then_some((record.digest(), record.is_imported()));
    let before = record.superseded().iter().filter(|old| old.until() > now);
    for (digest, is_imported) in present.into_iter().chain(before.map(|old| (old.digest(), old.is_imported()))) {
        let tag = digest.tag();
        if !rules.hasher().tags().any(|known| known == tag) {
            return Err(KeyFileError::DigestNotAccepted { id, tag });
        }
        if is_imported && !rules.accepts_imported() {
            return Err(KeyFileError::ImportNotAccepted { id });
        }
    }
    Ok(())
}
