//! What is known of the records of a store.

use std::sync::Arc;

use tokio::time::Instant;

use super::doubts::Doubts;
use super::table::Table;
use crate::api_key::store::Lookup;
use crate::api_key::{DigestTag, KeyDigest, KeyId, KeyRecord};

/// How many keys are remembered that are not there.
const UNKNOWN: usize = 10_000;

/// What is looked for, as the key of a table.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(super) enum Place {
    Id(KeyId),
    Digest(DigestTag, [u8; 32]),
}

impl Place {
    pub(super) const fn of(by: &Lookup) -> Self {
        match by {
            Lookup::Id(id) => Self::Id(*id),
            Lookup::Digest(digest) => Self::Digest(digest.tag(), *digest.as_bytes()),
        }
    }

    pub(super) const fn lookup(self) -> Lookup {
        match self {
            Self::Id(id) => Lookup::Id(id),
            Self::Digest(tag, bytes) => Lookup::Digest(KeyDigest::new(tag, bytes)),
        }
    }
}

/// What is known.
pub(super) struct Copies {
    /// One place for each record, so that a change has one copy to end.
    pub(super) records: Table<KeyId, Copy>,
    /// The ids of imported keys.
    pub(super) digests: Table<Place, KeyId>,
    /// What is not there. Whoever makes keys up takes nobody else's place.
    pub(super) unknown: Table<Place, ()>,
}

/// A copy of a record. It is kept for as long as it may be served while the store is down, and says until when it is good.
#[derive(Clone)]
pub(super) struct Copy {
    pub(super) record: Arc<KeyRecord>,
    pub(super) until: Instant,
    /// When it is asked for again if it is used, so that a key that is used stays known.
    pub(super) refresh_at: Instant,
    pub(super) epoch: u64,
}

/// What is known of a key.
pub(super) struct Known {
    pub(super) record: Option<Arc<KeyRecord>>,
    /// Whether it is time to ask for it again, apart from whoever wants it now.
    pub(super) is_due: bool,
}

impl Copies {
    pub(super) fn new(capacity: usize) -> Self {
        Self { records: Table::new(capacity), digests: Table::new(capacity), unknown: Table::new(UNKNOWN) }
    }

    pub(super) fn clear(&self) {
        self.records.clear();
        self.digests.clear();
        self.unknown.clear();
    }

    /// Returns whether there is a copy, or was one until lately.
    pub(super) fn know(&self, place: &Place) -> bool {
        match place {
            Place::Id(id) => self.records.has(id),
            Place::Digest(..) => self.digests.has(place),
        }
    }

    /// Finds what is good, and not in doubt.
    pub(super) fn find(&self, place: &Place, now: Instant, doubts: &Doubts) -> Option<Known> {
        match self.record(place) {
            Some(copy) if now < copy.until => (!doubts.hold(copy.epoch, now))
                .then(|| Known { is_due: copy.refresh_at <= now, record: Some(copy.record) }),
            _ => self.unknown.find(place, now).map(|()| Known { record: None, is_due: false }),
        }
    }

    /// Finds a copy, also one that is in doubt or not good any more.
    pub(super) fn record(&self, place: &Place) -> Option<Copy> {
        let now = Instant::now();
        match place {
            Place::Id(id) => self.records.find(id, now),
            Place::Digest(..) => {
                let id = self.digests.find(place, now)?;
                let copy = self.records.find(&id, now)?;
                // The record may be a newer one, which has the digest no longer.
                let is_it = |digest: &KeyDigest| Place::of(&Lookup::Digest(*digest)) == *place;
                let has_it = copy.record.indexed_digests().any(is_it);
                has_it.then_some(copy)
            }
        }
    }
}
