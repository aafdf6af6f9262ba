//! The settings that the stores have in common.

use std::time::Duration;

use crate::api_key::KeyRules;
use crate::api_key::store::upkeep::KEEP_ENDED;

const FIND: Duration = Duration::from_secs(2);
const CHANGE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) rules: KeyRules,
    pub(crate) keep_ended: Option<Duration>,
    /// How long a look-up may take.
    pub(crate) find_timeout: Duration,
    /// How long a change may take.
    pub(crate) change_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let rules = KeyRules::default();
        Self { rules, keep_ended: Some(KEEP_ENDED), find_timeout: FIND, change_timeout: CHANGE }
    }
}

impl Settings {
    /// How long changes to many keys may take, or opening the store.
    pub(crate) fn long_timeout(&self, keys: usize) -> Duration {
        self.change_timeout * 3 + Duration::from_millis(keys.try_into().unwrap_or(u64::MAX))
    }
}
