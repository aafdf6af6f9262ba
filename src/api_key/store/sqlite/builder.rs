//! How a store in SQLite is opened.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqlitePool};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::{Shared, SqliteStore, file, outage, schema};
use crate::StoreError;
use crate::api_key::KeyRules;
use crate::api_key::store::sql::{Settings, Told};
use crate::api_key::store::upkeep::Upkeep;
use crate::sql::{store_error, within};

const BUSY: Duration = Duration::from_secs(5);
/// How many KiB of pages the connection that writes keeps; SQLite wants them as a negative number.
const WRITER_CACHE: &str = "-65536";
const READERS: u32 = 4;
const RETRY: Duration = Duration::from_millis(20);

/// The settings of a [`SqliteStore`]; [`SqliteStore::builder`] starts it.
#[derive(Clone, Debug)]
pub struct SqliteStoreBuilder {
    settings: Settings,
    busy_timeout: Duration,
}

impl Default for SqliteStoreBuilder {
    fn default() -> Self {
        Self { settings: Settings::default(), busy_timeout: BUSY }
    }
}

impl SqliteStoreBuilder {
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

    /// Sets how long a process waits for another one that is writing. The default is 5 s.
    #[must_use]
    pub const fn busy_timeout(mut self, time: Duration) -> Self {
        self.busy_timeout = time;
        self
    }

    /// Sets how long a look-up may take, before the answer is [`StoreError::Unavailable`]. The default is 2 s.
    #[must_use]
    pub const fn find_timeout(mut self, time: Duration) -> Self {
        self.settings.find_timeout = time;
        self
    }

    /// Sets how long a change may take, waiting for others included. The default is 10 s; changes to many keys have three
    /// times that, and a second for each thousand keys.
    #[must_use]
    pub const fn change_timeout(mut self, time: Duration) -> Self {
        self.settings.change_timeout = time;
        self
    }

    /// Opens a file, such as `keys.db` or `sqlite:keys.db`, makes it if it is not there, and brings its tables up to date.
    ///
    /// # Errors
    ///
    /// [`StoreError::Misconfigured`] if the file cannot be opened or made, is no database or a damaged one, or has tables of a
    /// later version; [`StoreError::Unavailable`] if somebody else keeps it locked.
    pub async fn open(self, place: &str) -> Result<SqliteStore, StoreError> {
        if file::is_memory(place) {
            return self.in_memory().await;
        }
        let failed = |error| store_error(error, outage);
        let options = file::options(place).map_err(failed)?.create_if_missing(false).disable_statement_logging();
        let options = options.busy_timeout(self.busy_timeout).foreign_keys(true);
        let path = options.get_filename().to_owned();
        file::create(&path).map_err(|error| {
            let what = io::Error::new(error.kind(), format!("{} cannot be made: {error}", path.display()));
            StoreError::misconfigured(what)
        })?;
        // A page that is written again and again while many keys come in is better off in memory.
        let writes = options
            .clone()
            .pragma("cache_size", WRITER_CACHE)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let reads = options.pragma("query_only", "on");

        within(self.settings.long_timeout(0), async {
            let writer = self.writer(&writes).await?;
            schema::migrate(&writer).await?;
            let pool = SqlitePoolOptions::new().max_connections(READERS).acquire_timeout(self.settings.find_timeout);
            let readers = pool.connect_with(reads.clone()).await.map_err(failed)?;
            Ok(self.store(writer, readers, Some(reads)))
        })
        .await
    }

    /// Makes a database that lives in memory and ends with the store.
    ///
    /// # Errors
    ///
    /// [`StoreError`], if there is no memory for it.
    pub async fn in_memory(self) -> Result<SqliteStore, StoreError> {
        let failed = |error| store_error(error, outage);
        let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(true).disable_statement_logging();
        let options = options.filename(":memory:");
        // With its one connection the database would end.
        let pool = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = pool.test_before_acquire(false).acquire_timeout(self.settings.change_timeout);
        let pool = pool.connect_with(options).await.map_err(failed)?;
        schema::migrate(&pool).await?;
        Ok(self.store(pool.clone(), pool, None))
    }

    /// Opens the connection that writes. While others do the same, SQLite does not wait as it else does.
    async fn writer(&self, options: &SqliteConnectOptions) -> Result<SqlitePool, StoreError> {
        let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(self.settings.change_timeout);
        let give_up_at = Instant::now() + self.busy_timeout;
        loop {
            match pool.clone().connect_with(options.clone()).await.map_err(|error| store_error(error, outage)) {
                Err(StoreError::Unavailable { .. }) if Instant::now() < give_up_at => sleep(RETRY).await,
                done => return done,
            }
        }
    }

    fn store(self, writer: SqlitePool, readers: SqlitePool, watched: Option<SqliteConnectOptions>) -> SqliteStore {
        let upkeep = Upkeep::new(self.settings.keep_ended);
        let (settings, runtime, told) = (self.settings, Handle::current(), Told::default());
        SqliteStore::of(Arc::new(Shared { settings, writer, readers, watched, runtime, told, upkeep }))
    }
}
