//! Many records that are stored at once.

use std::collections::HashSet;

use crate::api_key::{KeyDigest, KeyId, KeyRecord};

/// A digest as it is indexed.
pub(crate) type Indexed = (String, Vec<u8>);

/// Some records, and which of them are there already.
#[derive(Default)]
pub(crate) struct Batch {
    ids: HashSet<String>,
    digests: HashSet<Indexed>,
}

impl Batch {
    /// Starts with the ids and digests that are taken.
    pub(crate) fn knowing(ids: Vec<String>, digests: Vec<Indexed>) -> Self {
        Self { ids: ids.into_iter().collect(), digests: digests.into_iter().collect() }
    }

    /// Takes the records that can be stored, in their order; of two with the same id or digest that is the first. The ids of
    /// the others are added to `known`.
    pub(crate) fn admit<'a>(mut self, records: &'a [KeyRecord], known: &mut Vec<KeyId>) -> Vec<&'a KeyRecord> {
        let mut admitted = Vec::with_capacity(records.len());
        for record in records {
            let digests: HashSet<_> = record.indexed_digests().map(indexed).collect();
            if self.ids.contains(record.id().as_str()) || !digests.is_disjoint(&self.digests) {
                known.push(*record.id());
                continue;
            }
            self.ids.insert(record.id().to_string());
            self.digests.extend(digests);
            admitted.push(record);
        }
        admitted
    }
}

fn indexed(digest: &KeyDigest) -> Indexed {
    (digest.tag().to_string(), digest.as_bytes().to_vec())
}
