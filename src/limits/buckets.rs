//! What each caller has left.

use std::fmt;
use std::hash::RandomState;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use papaya::HashMap;
use tokio::time::Instant;

use super::fields::Usage;
use crate::{KeyId, RateLimit};

/// On whose account a request goes.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Payer {
    Key(KeyId),
    Subject { issuer: Option<Box<str>>, subject: Box<str> },
    Shared(Box<str>),
}

impl Payer {
    pub(super) fn subject(issuer: Option<&str>, subject: &str) -> Self {
        Self::Subject { issuer: issuer.map(Box::from), subject: subject.into() }
    }
}

/// The buckets of all callers, for each rate apart. governor's keyed limiters have one rate for all keys, so each bucket is a
/// limiter of its own.
pub(super) struct Buckets {
    map: HashMap<(Payer, RateLimit), Arc<Bucket>, RandomState>,
    /// Held by whoever adds one: the others need not wait for it.
    growing: Mutex<()>,
    capacity: usize,
    start: Instant,
}

impl Buckets {
    pub(super) fn new(capacity: usize) -> Self {
        Self { map: HashMap::default(), growing: Mutex::new(()), capacity: capacity.max(1), start: Instant::now() }
    }

    /// Counts a request.
    pub(super) fn count(&self, payer: Payer, rate: RateLimit) -> Usage {
        let key = (payer, rate);
        let known = self.map.pin().get(&key).map(Arc::clone);
        known.unwrap_or_else(|| self.add(key)).count(self.now())
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    fn add(&self, key: (Payer, RateLimit)) -> Arc<Bucket> {
        let _growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let map = self.map.pin();
        // It may have come while nobody looked.
        if let Some(bucket) = map.get(&key) {
            return Arc::clone(bucket);
        }
        if map.len() >= self.capacity {
            self.make_room();
        }
        let bucket = Arc::new(Bucket::new(key.1));
        map.insert(key, Arc::clone(&bucket));
        bucket
    }

    /// Forgets those who have all their requests again, and enough of those who soon will, so that the next time is far away.
    fn make_room(&self) {
        let (map, now) = (self.map.pin(), self.now());
        let most = self.capacity - self.capacity.div_ceil(8);
        map.retain(|_, bucket| bucket.full_at() > now);
        let Some(mut excess) = map.len().checked_sub(most) else { return };
        let mut times: Vec<_> = map.values().map(|bucket| bucket.full_at()).collect();
        let Some(last) = excess.checked_sub(1).filter(|last| *last < times.len()) else { return };
        let (_, limit, _) = times.select_nth_unstable(last);
        map.retain(|_, bucket| {
            let leaves = excess > 0 && bucket.full_at() <= *limit;
            excess -= usize::from(leaves);
            !leaves
        });
    }

    fn now(&self) -> u64 {
        nanos(self.start.elapsed())
    }
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets").field("callers", &self.len()).finish_non_exhaustive()
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, TokioClock, StateInformationMiddleware>;

/// What one caller has left at a rate.
struct Bucket {
    limiter: Limiter,
    rate: RateLimit,
    interval: Duration,
    /// When all requests are back, in nanoseconds of the table.
    full_at: AtomicU64,
}

impl Bucket {
    fn new(rate: RateLimit) -> Self {
        // A share of a second among billions of requests may be none.
        let interval = (rate.per() / rate.requests().get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(interval).unwrap_or_else(|| Quota::per_second(rate.requests()));
        let quota = quota.allow_burst(rate.requests());
        let limiter = RateLimiter::direct_with_clock(quota, TokioClock).with_middleware();
        Self { limiter, rate, interval, full_at: AtomicU64::new(0) }
    }

    fn count(&self, now: u64) -> Usage {
        let Self { limiter, rate, interval, .. } = self;
        match limiter.check() {
            Ok(state) => {
                let left = state.remaining_burst_capacity();
                let until_full = interval.saturating_mul(rate.requests().get().saturating_sub(left));
                self.full_at.fetch_max(now.saturating_add(nanos(until_full)), Ordering::Relaxed);
                Usage { rate: *rate, left, back_in: if left > 0 { until_full } else { *interval }, wait: None }
            }
            Err(not_until) => {
                // Whoever is refused is never told to come back at once.
                let wait = not_until.wait_time_from(TokioClock.now()).max(Duration::from_nanos(1));
                Usage { rate: *rate, left: 0, back_in: wait, wait: Some(wait) }
            }
        }
    }

    fn full_at(&self) -> u64 {
        self.full_at.load(Ordering::Relaxed)
    }
}

/// The clock of tokio, which stands still where a test says so.
#[derive(Clone, Copy, Debug)]
struct TokioClock;

impl Clock for TokioClock {
    type Instant = std::time::Instant;

    fn now(&self) -> Self::Instant {
        Instant::now().into_std()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
