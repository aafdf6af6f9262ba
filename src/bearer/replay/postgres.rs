//! What was used, in PostgreSQL: the table `tower_keep_used`, of SHA-256s of ids, until their time is over.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use sqlx::PgPool;

use super::{ReplayStore, short};
use crate::bearer::postgres::{ask, failed, kept_until, milliseconds, open, open_pool};
use crate::{Answer, Clock, StoreError, SystemClock};

/// Takes the place of an id whose time is over. Nothing comes back where it is not.
const USE: &str = "
    INSERT INTO tower_keep_used (id, kept_until) VALUES ($1, $2)
    ON CONFLICT (id) DO UPDATE SET kept_until = excluded.kept_until WHERE tower_keep_used.kept_until < $3
    RETURNING true";
const SWEEP: &str = "
    DELETE FROM tower_keep_used WHERE id IN (
        SELECT id FROM tower_keep_used WHERE kept_until < $1 LIMIT 1000 FOR UPDATE SKIP LOCKED
    )";
/// One use of so many drops ids whose time is over: more than come in between.
const SWEEP_EVERY: u32 = 256;

/// Remembers in PostgreSQL what was used, for many processes. Clones share the connections, too. A use about which nothing can be
/// found out, within 2 seconds, is none.
///
/// ```no_run
/// use std::time::{Duration, SystemTime};
/// use tower_keep::{PostgresReplayStore, ReplayStore};
///
/// # async fn run() -> Result<(), tower_keep::StoreError> {
/// let used = PostgresReplayStore::open("postgres://tokens@db.example.com/tokens?sslmode=verify-full").await?;
/// let is_first = used.first_use("dpop:a7f3", SystemTime::now() + Duration::from_secs(60)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresReplayStore {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    uses: Arc<AtomicU32>,
}

impl PostgresReplayStore {
    /// Connects to a server, and makes the table if it is not there. The URL is that of
    /// [`PostgresStore`](crate::PostgresStoreBuilder::open).
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if the server is out of reach, [`StoreError::Misconfigured`] if the URL is wrong, the server
    /// lets nobody in by it, or the tables are of a later version.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Ok(Self::of(open(url).await?))
    }

    /// Uses connections that are there, and makes the table if it is not.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_pool(pool: PgPool) -> Result<Self, StoreError> {
        Ok(Self::of(open_pool(pool).await?))
    }

    /// Asks another clock how long an id has to be remembered. The default is that of the machine.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    fn of(pool: PgPool) -> Self {
        Self { pool, clock: Arc::new(SystemClock), uses: Arc::default() }
    }
}

impl ReplayStore for PostgresReplayStore {
    fn first_use(&self, id: &str, until: SystemTime) -> Answer<Result<bool, StoreError>> {
        let now = self.clock.now();
        if until <= now {
            return Answer::Now(Ok(false));
        }
        let (id, until, now) = (short(id).to_vec(), kept_until(until), milliseconds(now));
        let sweeps = self.uses.fetch_add(1, Ordering::Relaxed).is_multiple_of(SWEEP_EVERY);
        let pool = self.pool.clone();
        ask(async move {
            let used = sqlx::query_scalar::<_, bool>(USE).bind(id).bind(until).bind(now);
            let is_first = used.fetch_optional(&pool).await.map_err(failed)?.is_some();
            if sweeps {
                // Nobody waits for that, and what is not dropped now is dropped later.
                tokio::spawn(async move { sqlx::query(SWEEP).bind(now).execute(&pool).await });
            }
            Ok(is_first)
        })
    }
}

impl fmt::Debug for PostgresReplayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresReplayStore")
    }
}
