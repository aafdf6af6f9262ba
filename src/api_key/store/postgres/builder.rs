//! How a store in PostgreSQL is opened.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgPool};
use tokio::runtime::Handle;

use super::{PostgresStore, Shared, outage, schema};
use crate::StoreError;
use crate::api_key::KeyRules;
use crate::api_key::store::sql::{Settings, Told, store_error, within};
use crate::api_key::store::upkeep::Upkeep;

const CONNECTIONS: u32 = 10;
/// A connection that was not used for so long is looked at before it is.
const IDLE: Duration = Duration::from_secs(1);

/// The settings of a [`PostgresStore`]; [`PostgresStore::builder`] starts it.
#[derive(Clone, Debug)]
pub struct PostgresStoreBuilder {
    settings: Settings,
    connections: u32,
}

impl Default for PostgresStoreBuilder {
    fn default() -> Self {
        Self { settings: Settings::default(), connections: CONNECTIONS }
    }
}

impl PostgresStoreBuilder {
    /// Sets how keys are written and hashed. The default is that of [`KeyRules`].
    #[must_use]
    pub fn rules(mut self, rules: KeyRules) -> Self {
        self.settings.rules = rules;
        self
    }

    /// Sets how long the records of keys are kept that were revoked or have expired. The default is 30 days.
    #[must_use]
    pub const fn keep_ended(mut self, time: Duration) -> Self {
        self.settings.keep_ended = Some(time);
        self
    }

    /// Keeps the records of keys that have ended until [`sweep`](crate::KeyAdmin::sweep) is called.
    #[must_use]
    pub const fn keep_ended_for_ever(mut self) -> Self {
        self.settings.keep_ended = None;
        self
    }

    /// Sets how many connections there may be, beside one for each that listens for notices. The default is 10.
    #[must_use]
    pub const fn max_connections(mut self, connections: u32) -> Self {
        self.connections = connections;
        self
    }

    /// Sets how long a look-up may take, connecting included, before the answer is [`StoreError::Unavailable`]. The default is
    /// 2 s.
    #[must_use]
    pub const fn find_timeout(mut self, time: Duration) -> Self {
        self.settings.find_timeout = time;
        self
    }

    /// Sets how long a change may take. The default is 10 s; changes to many keys have three times that, and a second for each
    /// thousand keys.
    #[must_use]
    pub const fn change_timeout(mut self, time: Duration) -> Self {
        self.settings.change_timeout = time;
        self
    }

    /// Connects to a server, such as `postgres://user:password@host/database`, and brings the tables up to date. What the URL
    /// leaves out is taken from the variables that libpq reads, such as `PGPASSWORD`. `sslmode` is as in libpq, and needs the
    /// feature `postgres-tls`; without it `require` and stricter modes are an error.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if the server is out of reach; [`StoreError::Misconfigured`] if the URL is wrong, the server
    /// lets nobody in by it, or the tables are of a later version.
    pub async fn open(self, url: &str) -> Result<PostgresStore, StoreError> {
        let failed = |error| store_error(error, outage);
        let options = PgConnectOptions::from_str(url).map_err(failed)?.disable_statement_logging();
        let options = match options.get_application_name() {
            None => options.application_name("tower-keep"),
            Some(_) => options,
        };
        let pool = PgPoolOptions::new().max_connections(self.connections).acquire_timeout(self.settings.find_timeout);
        // To ask before each use would double the time of a look-up.
        let pool = pool.test_before_acquire(false).before_acquire(|connection, known| {
            Box::pin(async move {
                if known.idle_for >= IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        });
        let pool = pool.connect_with(options).await.map_err(failed)?;
        self.open_pool(pool).await
    }

    /// Uses connections that are there, and brings the tables up to date. Closing the store closes them.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_pool(self, pool: PgPool) -> Result<PostgresStore, StoreError> {
        within(self.settings.long_timeout(0), schema::migrate(&pool)).await?;
        let upkeep = Upkeep::new(self.settings.keep_ended);
        let (settings, runtime, told) = (self.settings, Handle::current(), Told::default());
        Ok(PostgresStore::of(Arc::new(Shared { settings, pool, runtime, told, upkeep })))
    }
}
