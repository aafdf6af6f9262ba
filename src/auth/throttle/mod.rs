//! Clients that present bad credentials too often.
//!
//! ```
//! use std::time::Duration;
//! use tower_keep::{ApiKeyLayer, FailedAttempts, MemoryStore, RequireHttps};
//!
//! let layer = ApiKeyLayer::new(MemoryStore::new()).throttle(FailedAttempts::per_peer(10, Duration::from_secs(60)));
//! // The address of the client comes from the layer outside:
//! let https = RequireHttps::new().peer(|extensions| extensions.get().copied());
//! ```
//!
//! # What becomes of a client over its limit
//!
//! A whole office shares one address, so not every credential from there is refused. What **memory alone** can prove to be
//! good passes as always: an API key in a store that answers at once, a token that was verified before and is remembered.
//! For any other nobody is asked: no store, no network, no code for signatures. The answer is 429 with `Retry-After`,
//! whatever the credential is worth, and the log says `throttled`. Requests without a credential are none of this limit's
//! business.
//!
//! | verdict | counts as a failed attempt |
//! |---|---|
//! | [`Invalid`](crate::Cause::Invalid): unknown, forged, revoked, denied | yes |
//! | [`Invalid`](crate::Cause::Invalid), and [genuine](crate::Rejection::genuine): expired, superseded, not good yet | no: nobody guessed it |
//! | [`Malformed`](crate::Cause::Malformed) | no: it cannot be right, and costs no work |
//! | 429 of this limit | no: whoever waits comes back in |
//! | any other | no |
//!
//! An attempt counts when its verdict is there: those that are judged at the same moment are not held back for each other, but
//! no more of them are answered with what is wrong than the limit allows. So what is under way at a moment, and a request that its
//! client gives up before there is a verdict, costs work that this limit does not see: how many of them there may be is what
//! bounds of the stores are for, such as those of `Cached`, and limits of concurrency outside.
//!
//! A good key whose copy in memory has run out, since nobody used it for ten seconds, or is in doubt, waits as anybody else of its
//! network.
//!
//! # Whom it counts
//!
//! The address is [`Origin::peer`](crate::Origin::peer), so [`RequireHttps`](crate::RequireHttps) stands outside and knows it.
//! An IPv4 address counts by itself, also where it is written as IPv6; of an IPv6 address the first 64 bits do, which are one
//! network. While the address is unknown the throttle is **off**, and the log says `throttle_off`, once for a layer.
//!
//! What is counted stands in the memory of one process, in a table of a fixed size. There are eight places that a
//! client may take; where none is free, it takes that of whoever has the least left to wait. On N servers a client has N
//! times the attempts.

mod peers;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::Extensions;
use tokio::time::Instant;

use crate::{Cause, Origin, Rejection, events};
use peers::{Bucket, Network, Peers};

/// Why a client over its limit is refused. It is no name of a caller, so the log counts it among bad credentials.
pub(crate) const THROTTLED: &str = "throttled";

const ATTEMPTS: u32 = 20;
const PER: Duration = Duration::from_secs(120);
const PER_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const CAPACITY: usize = 65_536;
const CAPACITY_MAX: usize = 1 << 22;

/// How many bad credentials a client may present, for [`AuthLayer::throttle`](crate::AuthLayer::throttle). See the
/// [module](self).
///
/// The default is 20 in two minutes: all of them may come at once, and one comes back every 6 seconds. 65,536 clients are
/// counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FailedAttempts {
    attempts: u32,
    per: Duration,
    capacity: usize,
}

impl FailedAttempts {
    /// Allows a number of failed attempts in a time. All of them may come at once; each then comes back after its share of
    /// the time. None at all is taken for one, and the time is 30 days at most.
    pub fn per_peer(attempts: u32, per: Duration) -> Self {
        Self { attempts: attempts.max(1), per: per.min(PER_MAX), capacity: CAPACITY }
    }

    /// Sets how many clients are counted at most, rounded up to a multiple of eight, and 4 million at most. The table takes
    /// about 30 bytes for each where it is full: 2 MB by default.
    #[must_use]
    pub fn capacity(mut self, peers: usize) -> Self {
        self.capacity = peers.min(CAPACITY_MAX);
        self
    }
}

impl Default for FailedAttempts {
    fn default() -> Self {
        Self::per_peer(ATTEMPTS, PER)
    }
}

/// Counts failed attempts, for all services of a layer.
pub(crate) struct Throttle {
    limit: FailedAttempts,
    bucket: Bucket,
    start: Instant,
    /// When the last client that is over its limit is no longer, in nanoseconds; nothing is looked up where there is none.
    held_until: AtomicU64,
    peers: Peers,
    off_told: AtomicBool,
}

impl Throttle {
    pub(crate) fn new(limit: FailedAttempts) -> Self {
        Self {
            limit,
            bucket: Bucket::new(limit.attempts, limit.per),
            start: Instant::now(),
            held_until: AtomicU64::new(0),
            peers: Peers::new(limit.capacity),
            off_told: AtomicBool::new(false),
        }
    }

    /// Returns the refusal of a request with a credential, if its client is over the limit.
    pub(crate) fn refusal(&self, extensions: &Extensions) -> Option<Rejection> {
        let Some(network) = network(extensions) else {
            if !self.off_told.swap(true, Ordering::Relaxed) {
                events::throttle_off();
            }
            return None;
        };
        // It is only a hint: the table has the last word.
        let held_until = self.held_until.load(Ordering::Relaxed);
        if held_until == 0 {
            return None;
        }
        let now = self.now();
        if held_until <= now {
            // Somebody may have been held meanwhile.
            let _ = self.held_until.compare_exchange(held_until, 0, Ordering::Relaxed, Ordering::Relaxed);
            return None;
        }
        let wait = self.bucket.free_at(self.peers.find(network)?).checked_sub(now).filter(|wait| *wait > 0)?;
        Some(Rejection::new(Cause::Limited, THROTTLED).with_retry_after(Duration::from_nanos(wait)))
    }

    /// Counts a refusal, if it is of a failed attempt. Of a client that is over its limit by then it becomes 429.
    #[cold]
    pub(crate) fn weigh(&self, rejection: &mut Rejection, extensions: &Extensions) {
        if !rejection.is_failed_attempt() {
            return;
        }
        if let Some(throttled) = self.refusal(extensions) {
            *rejection = throttled;
            return;
        }
        let Some(network) = network(extensions) else { return };
        let now = self.now();
        let full_at = self.peers.change(network, now, |full_at| self.bucket.fill(full_at, now));
        let free_at = self.bucket.free_at(full_at);
        if free_at > now {
            self.held_until.fetch_max(free_at, Ordering::Relaxed);
        }
    }

    fn now(&self) -> u64 {
        // 584 years fit.
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

fn network(extensions: &Extensions) -> Option<Network> {
    Some(Network::of(extensions.get::<Origin>()?.peer()?))
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle").field("limit", &self.limit).field("peers", &self.peers.len()).finish_non_exhaustive()
    }
}
