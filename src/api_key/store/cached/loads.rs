//! Look-ups that are under way: one for each key, however many ask.
//!
//! A task of its own asks the store, so that a caller that goes away ends nothing. What it finds is kept only if it is still
//! the look-up that counts: a change that is told meanwhile overtakes it, under the same lock, and it asks once more. So there
//! is no order of events in which what was read before a change is kept after it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::Shared;
use super::copies::{Copy, Place};
use crate::api_key::store::{Found, KeyStore};
use crate::{StoreError, events};

/// How many look-ups may be under way at once, so that a flood of made-up keys is none of look-ups.
const AT_ONCE: usize = 256;
/// How long the store has to settle a doubt about a copy that is good for a while yet.
const DOUBT: Duration = Duration::from_millis(250);
/// For how long doubts are set aside then, and nothing is asked for ahead of time.
const SUSPENDED: Duration = Duration::from_secs(1);

type Outcome = watch::Receiver<Option<Found>>;

#[derive(Default)]
pub(super) struct Loads(Mutex<Flights>);

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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets look-ups count no longer, and drops copies, in one step.
    pub(super) fn overtake(&self, is_overtaken: impl Fn(&Place) -> bool, drop_copies: impl FnOnce()) {
        let mut flights = self.lock();
        flights.by_place.retain(|place, _| !is_overtaken(place));
        drop_copies();
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
        let mut outcome = self.join(place)?;
        let found = match timeout(wait, outcome.wait_for(Option::is_some)).await {
            Ok(Ok(found)) => found.clone(),
            // It was not answered in time, or ended without an answer.
            _ => None,
        };
        match found.unwrap_or_else(|| Err(StoreError::unavailable("the key store did not answer in time"))) {
            Err(error @ StoreError::Unavailable { .. }) => {
                let now = Instant::now();
                match self.copies.record(&place).filter(|copy| now < copy.until + self.settings.stale) {
                    Some(copy) => {
                        self.doubts.suspend(now + SUSPENDED);
                        Ok(Some(copy.record))
                    }
                    None => Err(error),
                }
            }
            found => found,
        }
    }

    fn join(self: &Arc<Self>, place: Place) -> Result<Outcome, StoreError> {
        let mut flights = self.loads.lock();
        // It may have ended since it was looked for.
        if let Some(known) = self.copies.find(&place, Instant::now(), &self.doubts) {
            return Ok(watch::channel(Some(Ok(known.record))).1);
        }
        self.start(place, &mut flights)
    }

    /// Asks for a record that is known, ahead of time.
    pub(super) fn refresh(self: &Arc<Self>, place: Place) {
        if self.doubts.is_resting(Instant::now()) {
            return;
        }
        // What cannot be found out now is found out when it has to be.
        let _under_way = self.start(place, &mut self.loads.lock());
    }

    /// Joins the look-up of a key, or starts it.
    fn start(self: &Arc<Self>, place: Place, flights: &mut Flights) -> Result<Outcome, StoreError> {
        if let Some(flight) = flights.by_place.get(&place) {
            return Ok(flight.outcome.clone());
        }
        if flights.by_place.len() >= AT_ONCE {
            return Err(StoreError::unavailable("too many look-ups of keys are under way"));
        }
        let runtime = Handle::try_current()
            .map_err(|_| StoreError::misconfigured("it takes a runtime of tokio to look keys up"))?;
        let number = flights.next;
        flights.next += 1;
        let (sender, outcome) = watch::channel(None);
        flights.by_place.insert(place, Flight { number, outcome: outcome.clone() });
        runtime.spawn(Pilot { shared: Arc::clone(self), place, number, epoch: self.doubts.epoch() }.fly(sender));
        Ok(outcome)
    }
}

/// Flies a look-up, and leaves nothing behind if it crashes.
struct Pilot<S: KeyStore> {
    shared: Arc<Shared<S>>,
    place: Place,
    number: u64,
    epoch: u64,
}

impl<S: KeyStore> Pilot<S> {
    async fn fly(self, outcome: watch::Sender<Option<Found>>) {
        let shared = &self.shared;
        let mut found = self.ask().await;
        if !shared.loads.if_current(&self.place, self.number, || self.keep(&found)) {
            // Those who wait may have come after the change by which it was overtaken. What is found now is as new as that.
            found = self.ask().await;
        }
        if let Err(error) = &found {
            shared.doubts.rest(Instant::now() + SUSPENDED);
            events::key_store_failed(&shared.log, error);
        }
        outcome.send_replace(Some(found));
    }

    async fn ask(&self) -> Found {
        let asked = timeout(self.shared.settings.timeout, self.shared.store.find(&self.place.lookup())).await;
        asked.unwrap_or_else(|_| Err(StoreError::unavailable("the key store did not answer in time")))
    }

    fn keep(&self, found: &Found) {
        let Shared { copies, settings, doubts, .. } = &*self.shared;
        let now = Instant::now();
        match found {
            Ok(Some(record)) => {
                let until = now + settings.ttl;
                let refresh_at = until - settings.ttl / 5;
                let copy = Copy { record: Arc::clone(record), until, refresh_at, epoch: self.epoch };
                copies.records.insert(*record.id(), copy, until + settings.stale);
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
                copies.unknown.insert(self.place, (), now + settings.negative_ttl);
            }
            Err(_) => return,
        }
        doubts.resume();
    }
}

impl<S: KeyStore> Drop for Pilot<S> {
    fn drop(&mut self) {
        self.shared.loads.if_current(&self.place, self.number, || {});
    }
}
