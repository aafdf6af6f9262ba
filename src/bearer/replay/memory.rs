//! What was used, in memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::{ReplayStore, short};
use crate::{Answer, Clock, StoreError, SystemClock};

/// How many ids are remembered at once, at about 64 bytes each.
const CAPACITY: usize = 100_000;

/// Remembers in memory what was used, for one process. Clones share it. When it is full of ids whose time is not over, it
/// answers that it is [unavailable](StoreError::Unavailable) and lets nothing pass.
#[derive(Clone)]
pub struct MemoryReplayStore(Arc<Shared>);

struct Shared {
    used: Mutex<Used>,
    capacity: usize,
    clock: Box<dyn Clock>,
}

#[derive(Default)]
struct Used {
    until: HashMap<[u8; 32], SystemTime>,
    /// Until when the first of them is remembered, at the earliest: nothing is over before.
    first_end: Option<SystemTime>,
    /// At how many ids those that are over are dropped.
    sweep_at: usize,
}

impl MemoryReplayStore {
    /// Makes an empty store for 100,000 ids at once.
    pub fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    /// Makes an empty store for a number of ids at once.
    pub fn with_capacity(ids: usize) -> Self {
        Self::of(ids, Box::new(SystemClock))
    }

    /// Asks another clock whether the time of an id is over, and remembers nothing yet. The default is that of the machine.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        Self::of(self.0.capacity, Box::new(clock))
    }

    /// Returns how many ids are remembered. The time of some may be over already.
    pub fn len(&self) -> usize {
        self.lock().until.len()
    }

    /// Returns whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn of(capacity: usize, clock: Box<dyn Clock>) -> Self {
        Self(Arc::new(Shared { used: Mutex::default(), capacity, clock }))
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The least number of ids at which those that are over are looked for.
const SWEEP_MIN: usize = 1024;

impl Used {
    fn note(&mut self, id: [u8; 32], until: SystemTime, now: SystemTime, capacity: usize) -> Result<bool, StoreError> {
        let len = self.until.len();
        if len >= capacity.min(self.sweep_at.max(SWEEP_MIN)) && self.first_end.is_some_and(|end| end <= now) {
            self.until.retain(|_, until| now < *until);
            self.first_end = self.until.values().min().copied();
            self.sweep_at = 2 * self.until.len();
        }
        let is_full = self.until.len() >= capacity;
        match self.until.entry(id) {
            Entry::Occupied(mut known) if *known.get() <= now => {
                known.insert(until);
            }
            Entry::Occupied(_) => return Ok(false),
            Entry::Vacant(_) if is_full => {
                return Err(StoreError::unavailable(format!(
                    "{capacity} ids are remembered, and there is room for no more"
                )));
            }
            Entry::Vacant(free) => {
                free.insert(until);
            }
        }
        self.first_end = Some(self.first_end.map_or(until, |end| end.min(until)));
        Ok(true)
    }
}

impl ReplayStore for MemoryReplayStore {
    fn first_use(&self, id: &str, until: SystemTime) -> Answer<Result<bool, StoreError>> {
        let now = self.0.clock.now();
        if until <= now {
            return Answer::Now(Ok(false));
        }
        Answer::Now(self.lock().note(short(id), until, now, self.0.capacity))
    }
}

impl Default for MemoryReplayStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryReplayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryReplayStore").field("len", &self.len()).finish_non_exhaustive()
    }
}
