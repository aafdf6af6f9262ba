//! What errors of a database mean.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;

use crate::StoreError;

/// Sorts an error: what passes by itself, as `passes` says of the database's codes, and what somebody has to mend.
pub(crate) fn store_error(error: sqlx::Error, passes: fn(&str) -> bool) -> StoreError {
    let is_outage = match &error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| passes(&code)),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        _ => false,
    };
    if is_outage { StoreError::unavailable(error) } else { StoreError::misconfigured(error) }
}

/// The tables are of a later version of this crate.
pub(crate) fn newer(found: i64, known: usize) -> StoreError {
    StoreError::misconfigured(format!("the tables have version {found}, and this one knows {known} at most"))
}

/// Gives work some time.
pub(crate) async fn within<T, E: From<StoreError>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let late = |_| Err(StoreError::unavailable(format!("no answer within {limit:?}")).into());
    timeout(limit, work).await.unwrap_or_else(late)
}
