//! A deny list in memory.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use papaya::{Compute, HashMap, Operation};

use super::{Denial, DenyAdmin, DenyList, Rule, TokenFacts};
use crate::{Answer, Clock, StoreError, SystemClock};

/// A deny list in memory. Clones share it; a denial works at once.
#[derive(Clone)]
pub struct MemoryDenyList {
    shared: Arc<Shared>,
}

struct Shared {
    /// The rules for each name, apart by what tokens are told by.
    rules: [HashMap<String, Arc<[Rule]>>; 5],
    clock: Box<dyn Clock>,
    /// Whether there ever was a denial: nothing is looked up until then.
    used: AtomicBool,
    /// At how many names those that are over are looked for and dropped.
    sweep_at: AtomicUsize,
}

/// The least number of names at which the list is swept.
const SWEEP_MIN: usize = 1024;

impl MemoryDenyList {
    /// Makes an empty list.
    pub fn new() -> Self {
        Self::with_clock(SystemClock)
    }

    /// Makes an empty list that asks another clock.
    pub fn with_clock(clock: impl Clock) -> Self {
        Self {
            shared: Arc::new(Shared {
                rules: Default::default(),
                clock: Box::new(clock),
                used: AtomicBool::new(false),
                sweep_at: AtomicUsize::new(SWEEP_MIN),
            }),
        }
    }

    /// Refuses tokens from now on. Where the same was denied before with earlier times, this stands in for it, so that a name
    /// that is denied again and again takes no more room.
    pub fn deny(&self, denial: Denial) {
        let Denial { told_by, name, rule } = denial;
        let now = self.shared.clock.now();
        // Before the rule is there, so that no reader takes the list for empty.
        self.shared.used.store(true, Ordering::Release);
        self.shared.rules[told_by as usize].pin().compute(name, |known| {
            let known = known.map_or(&[][..], |(_, rules)| rules);
            Operation::Insert::<_, ()>(rule.added_to::<Arc<[Rule]>>(known, now))
        });
        // What is over is dropped as often as the list doubles, so that it costs a constant share of each denial.
        if self.len() >= self.shared.sweep_at.load(Ordering::Relaxed) {
            for rules in &self.shared.rules {
                rules.pin().retain(|_, rules| rules.iter().any(|rule| rule.is_alive(now)));
            }
            self.shared.sweep_at.store(SWEEP_MIN.max(2 * self.len()), Ordering::Relaxed);
        }
    }

    /// Takes a denial back, with all its conditions as they were given, and those of earlier times that it stood in for.
    /// Returns whether it was there.
    pub fn allow(&self, denial: &Denial) -> bool {
        let rules = self.shared.rules[denial.told_by as usize].pin();
        let outcome = rules.compute(denial.name.clone(), |known| match known {
            Some((_, rules)) => match denial.rule.taken_from::<Arc<[Rule]>>(rules) {
                Some(kept) if kept.is_empty() => Operation::Remove,
                Some(kept) => Operation::Insert(kept),
                None => Operation::Abort(()),
            },
            None => Operation::Abort(()),
        });
        !matches!(outcome, Compute::Aborted(()))
    }

    /// Returns how many names are on the list: of tokens, subjects, sessions, keys. Some may be over already.
    pub fn len(&self) -> usize {
        self.shared.rules.iter().map(|rules| rules.pin().len()).sum()
    }

    /// Returns whether nothing is refused.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl DenyList for MemoryDenyList {
    fn denies(&self, token: &TokenFacts<'_>) -> Answer<Result<bool, StoreError>> {
        if !self.shared.used.load(Ordering::Acquire) {
            return Answer::Now(Ok(false));
        }
        let now = self.shared.clock.now();
        let names = [token.jti, Some(token.subject), token.sid, token.kid, Some("")];
        let denied = self.shared.rules.iter().zip(names).any(|(rules, name)| {
            let rules = rules.pin();
            let rules = name.and_then(|name| rules.get(name));
            rules.is_some_and(|rules| rules.iter().any(|rule| rule.holds_for(token, now)))
        });
        Answer::Now(Ok(denied))
    }
}

impl DenyAdmin for MemoryDenyList {
    fn deny(&self, denial: Denial) -> Answer<Result<(), StoreError>> {
        self.deny(denial);
        Answer::Now(Ok(()))
    }
}

impl Default for MemoryDenyList {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryDenyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDenyList").field("len", &self.len()).finish_non_exhaustive()
    }
}
