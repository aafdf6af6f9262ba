//! Settings of a store in Redis.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::scripts::Scripts;
use super::{Inner, RedisStore};
use crate::api_key::KeyRules;
use crate::api_key::store::upkeep::{KEEP_ENDED, Upkeep};
use crate::redis_server::Connected;
use crate::{RedisServer, StoreError};

/// Sets up a [`RedisStore`]; [`RedisStore::builder`] starts it.
#[derive(Clone, Debug)]
#[must_use = "it connects to nothing until it is told to"]
pub struct RedisStoreBuilder {
    rules: KeyRules,
    keep_ended: Option<Duration>,
}

impl RedisStoreBuilder {
    pub(super) fn new() -> Self {
        Self { rules: KeyRules::default(), keep_ended: Some(KEEP_ENDED) }
    }

    /// Sets how keys are written and hashed. All processes have to agree. The default is [`KeyRules::default`].
    pub fn rules(mut self, rules: KeyRules) -> Self {
        self.rules = rules;
        self
    }

    /// Sets how long the records of keys are kept that are revoked or have expired. The default is 30 days.
    pub const fn keep_ended(mut self, time: Duration) -> Self {
        self.keep_ended = Some(time);
        self
    }

    /// Keeps the records of keys that are revoked or have expired.
    pub const fn keep_ended_for_ever(mut self) -> Self {
        self.keep_ended = None;
        self
    }

    /// Connects to a server, which may be a URL.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if the server is out of reach, [`StoreError::Misconfigured`] if the URL or the password is
    /// wrong, or the server throws entries away when its memory is full.
    pub async fn open(self, server: impl Into<RedisServer>) -> Result<RedisStore, StoreError> {
        let Self { rules, keep_ended } = self;
        let redis = Connected::to(server.into()).await?;
        let (scripts, upkeep) = (Scripts::new(), Upkeep::new(keep_ended));
        let store = Arc::new(Inner { rules, redis, scripts, upkeep, keep_ended, open: watch::Sender::new(true) });
        Upkeep::start(&store);
        Ok(RedisStore(store))
    }
}
