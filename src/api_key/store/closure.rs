//! A store out of a closure.

use std::fmt;
use std::future::Future;

use super::{Found, KeyStore, Lookup};
use crate::Answer;
use crate::api_key::KeyRules;

/// Makes a store out of a closure that finds records, for people who have a table of keys already.
///
/// [`StoreFn::rules`] says how the keys in that table are written and hashed. Unless these rules
/// [accept imported keys](KeyRules::accepting_imported), the closure is asked for keys of this crate's form alone.
pub fn store_fn<F, Fut>(find: F) -> StoreFn<F>
where
    F: Fn(Lookup) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Found> + Send + 'static,
{
    StoreFn { find, rules: KeyRules::default() }
}

/// A store out of a closure; [`store_fn`] makes it.
#[derive(Clone)]
pub struct StoreFn<F> {
    find: F,
    rules: KeyRules,
}

impl<F> StoreFn<F> {
    /// Sets how the keys are written and hashed.
    #[must_use]
    pub fn rules(mut self, rules: KeyRules) -> Self {
        self.rules = rules;
        self
    }
}

impl<F, Fut> KeyStore for StoreFn<F>
where
    F: Fn(Lookup) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Found> + Send + 'static,
{
    fn find(&self, by: &Lookup) -> Answer<Found> {
        Answer::later((self.find)(*by))
    }

    fn rules(&self) -> KeyRules {
        self.rules.clone()
    }
}

impl<F> fmt::Debug for StoreFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreFn").field("rules", &self.rules).finish_non_exhaustive()
    }
}
