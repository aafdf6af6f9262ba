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
    server: RedisServer,
    rules: KeyRules,
    keep_ended: Option<Duration>,
}

impl RedisStoreBuilder {
    pub(super) fn new(server: RedisServer) -> Self {
        Self { server, rules: KeyRules::default(), keep_ended: Some(KEEP_ENDED) }
    }

    /// Sets how keys are written and hashed. All processes have to agree. The default is [`KeyRules::default`].
    pub fn rules(mut self, rules: KeyRules) -> Self {
        self.rules = rules;
        self
    }

    /// Sets how long the records of keys are kept that are revoked or have expired; `None` for ever. The default is 30 days.
    pub fn keep_ended(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.keep_ended = time.into();
        self
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if the server is out of reach, [`StoreError::Misconfigured`] if the URL or the password is
    /// wrong, or the server throws entries away when its memory is full.
    pub async fn connect(self) -> Result<RedisStore, StoreError> {
        let Self { server, rules, keep_ended } = self;
        let redis = Connected::to(server).await?;
        let (scripts, upkeep) = (Scripts::new(), Upkeep::new(keep_ended));
        let store = Arc::new(Inner { rules, redis, scripts, upkeep, keep_ended, open: watch::Sender::new(true) });
        Upkeep::start(&store);
        Ok(RedisStore(store))
    }
}
