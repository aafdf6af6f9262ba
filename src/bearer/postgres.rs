//! What is kept of tokens in PostgreSQL: which are denied, and which proofs were used. Names and ids are found by their SHA-256,
//! so that they may be of any length and hold any byte.

use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::PgPool;

use crate::sql::{connect, migrate, outage, store_error, within};
use crate::{Answer, StoreError};

/// How long a question or a change may take, connecting included.
const TIMEOUT: Duration = Duration::from_secs(2);
const MIGRATING: Duration = Duration::from_secs(30);
const CONNECTIONS: u32 = 10;
/// For how much longer anything is kept, so that clocks need not agree.
const LONGER: Duration = Duration::from_secs(60);

/// Each makes the next version of the tables. What stands here is never changed, only added to.
const MIGRATIONS: &[&str] = &[r#"
    CREATE TABLE tower_keep_denied (
        told_by text NOT NULL,
        name bytea NOT NULL,
        rules text NOT NULL,
        kept_until bigint,
        PRIMARY KEY (told_by, name)
    );
    CREATE INDEX tower_keep_denied_until ON tower_keep_denied (kept_until) WHERE kept_until IS NOT NULL;
    CREATE TABLE tower_keep_used (
        id bytea NOT NULL PRIMARY KEY,
        kept_until bigint NOT NULL
    );
    CREATE INDEX tower_keep_used_until ON tower_keep_used (kept_until);
"#];

/// Connects to a server, and brings the tables up to date.
pub(super) async fn open(url: &str) -> Result<PgPool, StoreError> {
    open_pool(connect(url, CONNECTIONS, TIMEOUT).await?).await
}

/// Brings the tables up to date.
pub(super) async fn open_pool(pool: PgPool) -> Result<PgPool, StoreError> {
    within(MIGRATING, migrate(&pool, "tower_keep_tokens_version", MIGRATIONS)).await?;
    Ok(pool)
}

/// Asks something, and does not wait for ever.
pub(super) fn ask<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Answer<Result<T, StoreError>> {
    Answer::later(within(TIMEOUT, work))
}

pub(super) fn failed(error: sqlx::Error) -> StoreError {
    store_error(error, outage)
}

/// Returns until when something is kept that is over at a time, in milliseconds since 1970.
pub(super) fn kept_until(over: SystemTime) -> i64 {
    milliseconds(over.checked_add(LONGER).unwrap_or(over))
}

pub(super) fn milliseconds(when: SystemTime) -> i64 {
    let since = when.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    i64::try_from(since).unwrap_or(i64::MAX)
}
