//! A table of fixed size whose entries end by themselves.
//!
//! Readers take no lock. Writers take turns, and each that makes the table too long drops the first entry that nobody has
//! found since it was last looked at (the clock, or second chance).

use std::collections::VecDeque;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use papaya::HashMap;
use tokio::time::Instant;

pub(super) struct Table<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// The keys in the order in which they are looked at, each with the number of the entry that it stood for.
    turn: Mutex<Turn<K>>,
    capacity: usize,
}

struct Turn<K> {
    keys: VecDeque<(K, u64)>,
    next: u64,
}

struct Entry<V> {
    value: V,
    number: u64,
    until: Instant,
    used: AtomicBool,
}

impl<K: Copy + Eq + Hash, V: Clone> Table<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        let turn = Mutex::new(Turn { keys: VecDeque::new(), next: 0 });
        Self { entries: HashMap::new(), turn, capacity: capacity.max(1) }
    }

    /// Finds what is good at a time.
    pub(super) fn find(&self, key: &K, now: Instant) -> Option<V> {
        let entries = self.entries.pin();
        let entry = entries.get(key).filter(|entry| now < entry.until)?;
        if !entry.used.load(Ordering::Relaxed) {
            entry.used.store(true, Ordering::Relaxed);
        }
        Some(entry.value.clone())
    }

    /// Returns whether there is something, also if its time is over.
    pub(super) fn has(&self, key: &K) -> bool {
        self.entries.pin().contains_key(key)
    }

    pub(super) fn insert(&self, key: K, value: V, until: Instant) {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = self.entries.pin();
        let number = turn.next;
        turn.next += 1;
        entries.insert(key, Entry { value, number, until, used: AtomicBool::new(false) });
        turn.keys.push_back((key, number));
        while entries.len() > self.capacity || turn.keys.len() > 2 * self.capacity {
            let Some((first, number)) = turn.keys.pop_front() else { return };
            // Nothing stands there, or something newer, which has a turn of its own.
            let Some(entry) = entries.get(&first).filter(|entry| entry.number == number) else { continue };
            match entry.used.swap(false, Ordering::Relaxed) && entries.len() <= self.capacity + 1 {
                true => turn.keys.push_back((first, number)),
                false => {
                    entries.remove(&first);
                }
            }
        }
    }

    pub(super) fn remove(&self, key: &K) {
        self.entries.pin().remove(key);
    }

    pub(super) fn clear(&self) {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        turn.keys.clear();
        self.entries.pin().clear();
    }

    pub(super) fn len(&self) -> usize {
        self.entries.pin().len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_table_is_bounded_and_keeps_what_is_used() {
        let (table, now) = (Table::new(8), Instant::now());
        let until = now + Duration::from_secs(1);
        table.insert(0, "kept", until);
        for number in 1..1_000 {
            assert_eq!(table.find(&0, now), Some("kept"), "after {number}");
            table.insert(number, "another", until);
            assert!(table.len() <= 8);
        }
        assert_eq!(table.find(&999, now), Some("another"));
    }

    #[test]
    fn a_table_in_which_all_is_used_makes_room_all_the_same() {
        let (table, now) = (Table::new(8), Instant::now());
        for number in 0..1_000 {
            table.insert(number, (), now + Duration::from_secs(1));
            (0..=number).for_each(|number| {
                table.find(&number, now);
            });
            assert!(table.len() <= 8);
        }
    }

    #[test]
    fn an_entry_that_is_written_again_and_again_takes_no_more_room() {
        let (table, now) = (Table::new(8), Instant::now());
        for number in 0..10_000 {
            table.insert(number % 3, number, now + Duration::from_secs(1));
            if number % 5 == 0 {
                table.remove(&(number % 3));
            }
        }
        assert!(table.turn.lock().unwrap().keys.len() <= 16);
        assert_eq!(table.find(&(9_999 % 3), now), Some(9_999));
    }

    #[test]
    fn an_entry_ends_at_its_time() {
        let (table, now) = (Table::new(8), Instant::now());
        table.insert(1, "one", now + Duration::from_secs(1));

        assert_eq!(table.find(&1, now + Duration::from_millis(999)), Some("one"));
        assert_eq!(table.find(&1, now + Duration::from_secs(1)), None);
    }
}
