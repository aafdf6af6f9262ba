//! Tokens that were verified before.
//!
//! A signature costs tens of microseconds, and a caller sends one token many times. What is kept is what the token says;
//! what a request has to prove, and what changes with time, is asked again on every hit. An entry ends when another one
//! takes its place, and never counts once its keys are not the current ones.
//!
//! The table is a fixed number of slots, in groups of eight. A token belongs to one group, by a hash of its last bytes
//! with a secret seed: the end of the signature, which nobody can choose without the key. It is then compared as a whole,
//! in a time that does not depend on where the first difference is. Nobody waits for a lock: a slot that is being written
//! is passed over, and the token verified once more. Only tokens that were verified are put in, so that nobody else can
//! fill the table.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};

use zeroize::Zeroizing;

use super::jwt::signature::{is_same, sha256};

/// How many slots a token may stand in.
const GROUP: usize = 8;
/// How many bytes of a token are hashed.
const TAIL: usize = 32;

/// Tokens that were verified before, and what they say.
pub(crate) struct VerifiedTokens<V> {
    slots: Box<[Slot<V>]>,
    seed: [u64; 6],
    digests: bool,
}

type Slot<V> = RwLock<Option<Box<Entry<V>>>>;

struct Entry<V> {
    hash: u64,
    key: Key,
    epoch: u64,
    value: V,
    /// Whether it was found since the last time that it might have had to make way.
    used: AtomicBool,
}

/// What a token is found by.
enum Key {
    Token(Zeroizing<Box<[u8]>>),
    Digest([u8; 32]),
}

impl<V: Clone> VerifiedTokens<V> {
    /// Makes a table of at least this many slots. With `digests`, it keeps SHA-256 digests and no tokens.
    pub(crate) fn new(capacity: usize, digests: bool) -> Self {
        let groups = capacity.div_ceil(GROUP).next_power_of_two();
        let slots = (0..groups * GROUP).map(|_| RwLock::new(None)).collect();
        Self { slots, seed: seed(), digests }
    }

    /// Finds a token that was verified with the current keys.
    pub(crate) fn find(&self, token: &[u8], epoch: u64) -> Option<V> {
        let hash = self.hash(token)?;
        let mut digest = None;
        for slot in self.group(hash) {
            let Ok(entry) = slot.try_read() else { continue };
            let Some(entry) = entry.as_ref().filter(|entry| entry.hash == hash && entry.epoch == epoch) else {
                continue;
            };
            let found = match &entry.key {
                Key::Token(known) => is_same(known, token),
                Key::Digest(known) => is_same(known, digest.get_or_insert_with(|| sha256(token))),
            };
            if found {
                if !entry.used.load(Ordering::Relaxed) {
                    entry.used.store(true, Ordering::Relaxed);
                }
                return Some(entry.value.clone());
            }
        }
        None
    }

    /// Remembers a token.
    pub(crate) fn insert(&self, token: &[u8], epoch: u64, value: V) {
        let Some(hash) = self.hash(token) else { return };
        let key = match self.digests {
            true => Key::Digest(sha256(token)),
            false => Key::Token(Zeroizing::new(token.into())),
        };
        let entry = Box::new(Entry { hash, key, epoch, value, used: AtomicBool::new(false) });
        // Dropped only when the slot is free again for readers: wiping a token takes its time.
        let _before = self.slot_for(hash, epoch).and_then(|slot| slot.try_write().ok()?.replace(entry));
    }

    /// Chooses the slot of a new entry: an empty one, one whose keys are gone, the token's own, or the first that was not
    /// found since the last choice (the clock, or second chance).
    fn slot_for(&self, hash: u64, epoch: u64) -> Option<&Slot<V>> {
        let group = self.group(hash);
        let asked = |slot: &Slot<V>, is: &dyn Fn(&Entry<V>) -> bool| {
            slot.try_read().is_ok_and(|entry| entry.as_deref().is_none_or(is))
        };
        let is_free = |slot: &&Slot<V>| asked(slot, &|entry| entry.epoch != epoch || entry.hash == hash);
        let start = (hash >> 32) as usize % GROUP;
        let mut turn = (start..GROUP).chain(0..start).map(|place| &group[place]);
        let is_unused = |slot: &&Slot<V>| asked(slot, &|entry| !entry.used.swap(false, Ordering::Relaxed));
        group.iter().find(is_free).or_else(|| turn.find(is_unused)).or(group.get(start))
    }

    fn group(&self, hash: u64) -> &[Slot<V>] {
        let start = hash as usize % (self.slots.len() / GROUP) * GROUP;
        &self.slots[start..start + GROUP]
    }

    /// Hashes the end of a token: products of pairs of its words, each under a secret word of its own (the hash NH), folded.
    /// It spreads tokens over the slots, and lets nobody choose tokens that share one; whether a token is the one, the
    /// comparison says. A text that is too short for a signature has none.
    fn hash(&self, token: &[u8]) -> Option<u64> {
        let tail = token.last_chunk::<TAIL>()?;
        let mut sum = u128::from(self.seed[4]) * (token.len() as u128 | 1);
        for (pair, secrets) in tail.chunks_exact(16).zip(self.seed.chunks_exact(2)) {
            let [a, b] = [&pair[..8], &pair[8..]].map(|word| u64::from_ne_bytes(word.try_into().unwrap_or_default()));
            sum = sum.wrapping_add(u128::from(a.wrapping_add(secrets[0])) * u128::from(b.wrapping_add(secrets[1])));
        }
        Some((sum as u64 ^ (sum >> 64) as u64).wrapping_mul(self.seed[5] | 1))
    }
}

/// Draws secret words. The standard library seeds its hash maps with such randomness and asks for no error to be handled.
fn seed() -> [u64; 6] {
    let random = RandomState::new();
    std::array::from_fn(|place| random.hash_one(place))
}

impl<V> fmt::Debug for VerifiedTokens<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedTokens").field("slots", &self.slots.len()).field("digests", &self.digests).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u32) -> Vec<u8> {
        format!("header.payload.{number:040}").into_bytes()
    }

    #[test]
    fn a_token_is_found_as_itself_and_for_its_keys_alone() {
        for digests in [false, true] {
            let verified = VerifiedTokens::new(64, digests);
            verified.insert(&token(1), 7, "one");

            assert_eq!(verified.find(&token(1), 7), Some("one"));
            assert_eq!(verified.find(&token(2), 7), None);
            assert_eq!(verified.find(&token(1), 8), None);
            // The tail is the same, the token is not.
            assert_eq!(verified.find(&[b"x", &token(1)[1..]].concat(), 7), None);
            assert_eq!(verified.find(b"", 7), None);
        }
    }

    #[test]
    fn the_table_is_bounded_and_keeps_what_is_used() {
        let verified = VerifiedTokens::new(8, false);
        verified.insert(&token(0), 0, 0);
        for number in 1..1_000 {
            assert_eq!(verified.find(&token(0), 0), Some(0), "after {number}");
            verified.insert(&token(number), 0, number);
        }
        assert_eq!(verified.slots.len(), 8);
        assert_eq!((0..1_000).filter(|number| verified.find(&token(*number), 0).is_some()).count(), 8);
    }
}
