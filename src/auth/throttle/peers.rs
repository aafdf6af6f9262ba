//! How much of its attempts each client has used up: a table of a fixed size.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many places there are for clients whose hashes meet. So many are looked at for each, and no more.
const WAYS: usize = 8;

/// What counts as one client.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Network {
    V4(u32),
    /// The first 64 bits.
    V6(u64),
}

impl Network {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// A leaky bucket (the generic cell rate algorithm). Its state is one number: when it will have all its attempts again, in
/// nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// After what time an attempt comes back.
    interval: u64,
    /// After what time all of them are back.
    whole: u64,
}

impl Bucket {
    pub(super) fn new(attempts: u32, per: Duration) -> Self {
        let share = per.as_nanos() / u128::from(attempts.max(1));
        let interval = u64::try_from(share).unwrap_or(u64::MAX).max(1);
        Self { interval, whole: interval.saturating_mul(attempts.max(1).into()) }
    }

    /// Takes an attempt. There are never fewer than none, so that whoever fails often waits no longer than for one.
    pub(super) fn fill(self, full_at: u64, now: u64) -> u64 {
        full_at.max(now).saturating_add(self.interval).min(now.saturating_add(self.whole))
    }

    /// Returns from when on there is an attempt left.
    pub(super) const fn free_at(self, full_at: u64) -> u64 {
        full_at.saturating_add(self.interval).saturating_sub(self.whole)
    }
}

/// The state of the bucket of each client.
pub(super) struct Peers {
    sets: Box<[Mutex<Vec<Peer>>]>,
    // Nobody can tell which clients meet.
    random: RandomState,
}

struct Peer {
    network: Network,
    full_at: u64,
}

impl Peers {
    pub(super) fn new(capacity: usize) -> Self {
        let sets = capacity.div_ceil(WAYS).max(1);
        Self { sets: (0..sets).map(|_| Mutex::default()).collect(), random: RandomState::new() }
    }

    pub(super) fn find(&self, network: Network) -> Option<u64> {
        self.set(network).iter().find(|peer| peer.network == network).map(|peer| peer.full_at)
    }

    /// Changes the state of a client, which is now for one that is not there, and returns it.
    pub(super) fn change(&self, network: Network, now: u64, change: impl FnOnce(u64) -> u64) -> u64 {
        let mut set = self.set(network);
        if let Some(peer) = set.iter_mut().find(|peer| peer.network == network) {
            peer.full_at = change(peer.full_at);
            return peer.full_at;
        }
        let peer = Peer { network, full_at: change(now) };
        let full_at = peer.full_at;
        let is_full = set.len() >= WAYS;
        match set.iter_mut().min_by_key(|peer| peer.full_at) {
            // Of those that are there, the one that loses the least makes way.
            Some(least) if least.full_at <= now || is_full => *least = peer,
            _ => set.push(peer),
        }
        full_at
    }

    pub(super) fn len(&self) -> usize {
        self.sets.iter().map(|set| lock(set).len()).sum()
    }

    fn set(&self, network: Network) -> MutexGuard<'_, Vec<Peer>> {
        lock(&self.sets[self.random.hash_one(network) as usize % self.sets.len()])
    }
}

fn lock(set: &Mutex<Vec<Peer>>) -> MutexGuard<'_, Vec<Peer>> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Attempts that come back one by one, as one would count them with time on one's hands: nanoseconds of credit.
    struct Model {
        interval: u64,
        whole: u64,
        credit: u64,
        last: u64,
    }

    impl Model {
        fn at(&mut self, now: u64) -> u64 {
            self.credit = (self.credit + (now - self.last)).min(self.whole);
            self.last = now;
            self.credit
        }
    }

    proptest! {
        #[test]
        fn a_bucket_holds_what_one_counts_by_hand(
            attempts in 1_u32..30,
            per in 1_u64..1_000_000,
            steps in prop::collection::vec((0_u64..100_000, any::<bool>()), 1..200),
        ) {
            let bucket = Bucket::new(attempts, Duration::from_nanos(per));
            let Bucket { interval, whole } = bucket;
            let mut model = Model { interval, whole, credit: whole, last: 0 };
            let (mut full_at, mut now) = (0, 0);
            for (pause, fails) in steps {
                now += pause;
                let credit = model.at(now);
                prop_assert_eq!(bucket.free_at(full_at) <= now, credit >= model.interval);
                prop_assert!(bucket.free_at(full_at) <= now + interval);
                if fails {
                    full_at = bucket.fill(full_at, now);
                    model.credit = credit.saturating_sub(model.interval);
                }
            }
        }
    }

    #[test]
    fn a_million_clients_take_no_more_room_than_there_is() {
        let peers = Peers::new(1000);
        for client in 0..1_000_000 {
            peers.change(Network::V4(client), 0, |_| 1);
        }
        assert_eq!(peers.len(), 1000);
    }

    #[test]
    fn whoever_has_failed_often_is_not_pushed_out_by_those_who_failed_once() {
        let peers = Peers::new(8);
        peers.change(Network::V6(7), 0, |_| 1000);
        for client in 0..10_000 {
            peers.change(Network::V4(client), 0, |_| 50);
        }
        assert_eq!(peers.find(Network::V6(7)), Some(1000));
    }
}
