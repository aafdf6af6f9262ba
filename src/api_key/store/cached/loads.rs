//! Look-ups that are under way: one for each key, however many ask.
//!
//! A task of its own asks the store, so that a caller that goes away ends nothing. What it finds is kept only if it is still
//! the look-up that counts: a change that is told meanwhile overtakes it, under the same lock, and it asks once more. So there
//! is no order of events in which what was read before a change is kept after it.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

use super::Shared;
use super::copies::{Copy, Place};
use crate::api_key::store::{Found, KeyStore};
use crate::{StoreError, events};

/// How many look-ups may be under way at once, of keys of which nothing is known: so that a flood of made-up keys is none of
/// look-ups.
const UNKNOWN_AT_ONCE: usize = 192;
/// How many besides, of keys of which there is a copy or was one until lately.
const KNOWN_AT_ONCE: usize = 64;
/// How many of each kind may be under way or wait until they can be.
const WAITING: usize = 1024;
/// How long the store has to settle a doubt about a copy that is good for a while yet.
const DOUBT: Duration = Duration::from_millis(250);
/// For how long doubts are set aside then, and nothing is asked for ahead of time.
const SUSPENDED: Duration = Duration::from_secs(1);

type Outcome = watch::Receiver<Option<Found>>;

pub(super) struct Loads {
    flights: Mutex<Flights>,
    unknown: Lane,
    known: Lane,
}

/// Look-ups of one kind.
struct Lane {
    turns: Semaphore,
    /// How many there are, those that a change has overtaken among them.
    flying: AtomicUsize,
}

impl Lane {
    fn new(at_once: usize) -> Self {
        Self { turns: Semaphore::new(at_once), flying: AtomicUsize::new(0) }
    }
}

impl Default for Loads {
    fn default() -> Self {
        Self { flights: Mutex::default(), unknown: Lane::new(UNKNOWN_AT_ONCE), known: Lane::new(KNOWN_AT_ONCE) }
    }
}

#[derive(Default)]
struct Flights {
    by_place: HashMap<Place, Flight>,
    next: u64,
}

struct Flight {
    number: u64,
    outcome: Outcome,
}

impl Loads {
    fn lock(&self) -> MutexGuard<'_, Flights> {
        // Nothing panics between two changes that belong together.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets look-ups count no longer, and drops copies, in one step.
    pub(super) fn overtake(&self, is_overtaken: impl Fn(&Place) -> bool, drop_copies: impl FnOnce()) {
        let mut flights = self.lock();
        flights.by_place.retain(|place, _| !is_overtaken(place));
        drop_copies();
    }

    const fn lane(&self, is_known: bool) -> &Lane {
        if is_known { &self.known } else { &self.unknown }
    }

    /// Runs something if a look-up still counts.
    fn if_current(&self, place: &Place, number: u64, then: impl FnOnce()) -> bool {
        let mut flights = self.lock();
        let is_current = flights.by_place.get(place).is_some_and(|flight| flight.number == number);
        if is_current {
            then();
            flights.by_place.remove(place);
        }
        is_current
    }
}

impl<S: KeyStore> Shared<S> {
    /// Finds a record by a look-up that is under way, or by one of its own. If the store does not say, a copy is served that is
    /// in doubt, or stale.
    pub(super) async fn load(self: Arc<Self>, place: Place) -> Found {
        let is_in_doubt = self.copies.record(&place).is_some_and(|copy| Instant::now() < copy.until);
        let wait = if is_in_doubt { DOUBT.min(self.settings.timeout) } else { self.settings.timeout };
        let found = match self.join(place) {
            Ok(mut outcome) => match timeout(wait, outcome.wait_for(Option::is_some)).await {
                Ok(Ok(found)) => found.clone().unwrap_or_else(late),
                // It was not answered in time, or ended without an answer.
                _ => late(),
            },
            Err(error) => Err(error),
        };
        match found {
            Err(error @ StoreError::Unavailable { .. }) => {
                let (now, is_busy) = (Instant::now(), is_busy(&error));
                // Where nobody asked the store there is no saying whether it is down: nothing stale is served for that.
                let longer = if is_busy { Duration::ZERO } else { self.settings.stale };
                match self.copies.record(&place).filter(|copy| now < copy.until + longer) {
                    Some(copy) => {
                        if !is_busy {
                            self.doubts.suspend(now + SUSPENDED);
                        }
                        Ok(Some(copy.record))
                    }
                    None => Err(error),
                }
            }
            found => found,
        }
    }

    fn join(self: &Arc<Self>, place: Place) -> Result<Outcome, StoreError> {
        let flights = self.loads.lock();
        // It may have ended since it was looked for.
        if let Some(known) = self.copies.find(&place, Instant::now(), &self.doubts) {
            return Ok(watch::channel(Some(Ok(known.record))).1);
        }
        self.start(place, flights)
    }

    /// Asks for a record that is known, ahead of time.
    pub(super) fn refresh(self: &Arc<Self>, place: Place) {
        if self.doubts.is_resting(Instant::now()) {
            return;
        }
        // What cannot be found out now is found out when it has to be.
        let _under_way = self.start(place, self.loads.lock());
    }

    /// Joins the look-up of a key, or starts it.
    fn start(self: &Arc<Self>, place: Place, mut flights: MutexGuard<'_, Flights>) -> Result<Outcome, StoreError> {
        if let Some(flight) = flights.by_place.get(&place) {
            return Ok(flight.outcome.clone());
        }
        let is_known = self.copies.know(&place);
        let flying = &self.loads.lane(is_known).flying;
        if flying.load(Ordering::Relaxed) >= WAITING {
            return Err(StoreError::unavailable(Busy));
        }
        let runtime = Handle::try_current()
            .map_err(|_| StoreError::misconfigured("it takes a runtime of tokio to look keys up"))?;
        let number = flights.next;
        flights.next += 1;
        let (sender, outcome) = watch::channel(None);
        flights.by_place.insert(place, Flight { number, outcome: outcome.clone() });
        flying.fetch_add(1, Ordering::Relaxed);
        let pilot = Pilot { shared: Arc::clone(self), place, number, epoch: self.doubts.epoch(), is_known };
        // A runtime that has ended drops what it is given at once, and that takes the look-up back.
        drop(flights);
        runtime.spawn(pilot.fly(sender));
        Ok(outcome)
    }
}

fn late() -> Found {
    Err(StoreError::unavailable("the key store did not answer in time"))
}

/// A look-up was not made, since there are so many.
#[derive(Debug)]
struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many look-ups of keys are under way")
    }
}

impl Error for Busy {}

fn is_busy(error: &StoreError) -> bool {
    error.source().is_some_and(|source| source.is::<Busy>())
}

/// Flies a look-up, and leaves nothing behind if it crashes.
struct Pilot<S: KeyStore> {
    shared: Arc<Shared<S>>,
    place: Place,
    number: u64,
    epoch: u64,
    is_known: bool,
}

impl<S: KeyStore> Pilot<S> {
    async fn fly(self, outcome: watch::Sender<Option<Found>>) {
        let shared = &self.shared;
        let (mut found, asked) = self.ask().await;
        if !shared.loads.if_current(&self.place, self.number, || self.keep(&found, asked)) {
            // Those who wait may have come after the change by which it was overtaken. What is found now is as new as that.
            (found, _) = self.ask().await;
        }
        if let Err(error) = &found
            && !is_busy(error)
        {
            shared.doubts.rest(Instant::now() + SUSPENDED);
            events::key_store_failed(&shared.log, error);
        }
        outcome.send_replace(Some(found));
    }

    /// Asks the store as soon as it is this one's turn, and returns when that was.
    async fn ask(&self) -> (Found, Instant) {
        let (lane, wait) = (self.shared.loads.lane(self.is_known), self.shared.settings.timeout);
        let Ok(Ok(_turn)) = timeout(wait, lane.turns.acquire()).await else {
            return (Err(StoreError::unavailable(Busy)), Instant::now());
        };
        let asked = Instant::now();
        let found = timeout(wait, self.shared.store.find(&self.place.lookup())).await;
        (found.unwrap_or_else(|_| late()), asked)
    }

    /// Keeps what was found, as of when it was asked for.
    fn keep(&self, found: &Found, asked: Instant) {
        let Shared { copies, settings, doubts, .. } = &*self.shared;
        match found {
            Ok(Some(record)) => {
                let until = asked + settings.ttl;
                let refresh_at = until - settings.ttl / 5;
                let copy = Copy { record: Arc::clone(record), until, refresh_at, epoch: self.epoch };
                // Two may have asked for it, by its id and by a digest: the later question counts.
                if copies.record(&Place::Id(*record.id())).is_none_or(|known| known.until <= until) {
                    copies.records.insert(*record.id(), copy, until + settings.stale);
                }
                if matches!(self.place, Place::Digest(..)) {
                    copies.digests.insert(self.place, *record.id(), until + settings.stale);
                }
                copies.unknown.remove(&self.place);
            }
            Ok(None) => {
                match &self.place {
                    Place::Id(id) => copies.records.remove(id),
                    Place::Digest(..) => copies.digests.remove(&self.place),
                }
                // What is not there is not asked about again when there are doubts: they are over sooner than that.
                copies.unknown.insert(self.place, (), asked + settings.negative_ttl);
            }
            Err(_) => return,
        }
        doubts.resume();
    }
}

impl<S: KeyStore> Drop for Pilot<S> {
    fn drop(&mut self) {
        self.shared.loads.if_current(&self.place, self.number, || {});
        self.shared.loads.lane(self.is_known).flying.fetch_sub(1, Ordering::Relaxed);
    }
}
