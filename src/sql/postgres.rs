//! Connections to PostgreSQL, its tables and its errors.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgPool};
use tokio::time;

use super::{newer, store_error};
use crate::StoreError;

/// A connection that was not used for so long is looked at before it is.
const IDLE: Duration = Duration::from_secs(1);
/// How long a connection may take to answer when it is given back.
const RETURN: Duration = Duration::from_secs(1);

/// Connects to a server by its URL; see [`PostgresStoreBuilder::open`](crate::PostgresStoreBuilder::open).
pub(crate) async fn connect(url: &str, connections: u32, timeout: Duration) -> Result<PgPool, StoreError> {
    let failed = |error| store_error(error, outage);
    let options = PgConnectOptions::from_str(url).map_err(failed)?.disable_statement_logging();
    let options = match options.get_application_name() {
        None => options.application_name("tower-keep"),
        Some(_) => options,
    };
    let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(timeout);
    // To ask before each use would double the time of a look-up.
    let pool = pool.test_before_acquire(false).before_acquire(|connection, known| {
        Box::pin(async move {
            if known.idle_for >= IDLE {
                connection.ping().await?;
            }
            Ok(true)
        })
    });
    // What was given up in the middle of a question may never be answered: such a connection is closed, and takes nobody's place.
    let pool = pool.after_release(|connection, _| {
        Box::pin(async move {
            match time::timeout(RETURN, connection.ping()).await {
                Ok(answered) => answered.map(|()| true),
                Err(_) => Err(sqlx::Error::PoolTimedOut),
            }
        })
    });
    pool.connect_with(options).await.map_err(failed)
}

/// Whoever changes the tables holds this lock.
const LOCK: i64 = 0x746f_7765_726b_6570;

/// Brings tables up to date, by what makes each next version of them; a table says which it is. Of many that do so at once, one
/// does, and the others wait. Where they are up to date, nothing but reading is needed.
pub(crate) async fn migrate(pool: &PgPool, table: &'static str, migrations: &[&'static str]) -> Result<(), StoreError> {
    let failed = |error| store_error(error, outage);
    let is_there = "SELECT to_regclass($1) IS NOT NULL";
    // The name of the table is one of ours.
    let about = |text: String| AssertSqlSafe(text);
    let version = || about(format!("SELECT version FROM {table}"));
    if sqlx::query_scalar(is_there).bind(table).fetch_one(pool).await.map_err(failed)? {
        let found: Option<i64> = sqlx::query_scalar(version()).fetch_optional(pool).await.map_err(failed)?;
        if found == i64::try_from(migrations.len()).ok() {
            return Ok(());
        }
    }
    let mut transaction = pool.begin().await.map_err(failed)?;
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK);
    lock.execute(&mut *transaction).await.map_err(failed)?;
    let create = about(format!("CREATE TABLE IF NOT EXISTS {table} (version bigint NOT NULL)"));
    sqlx::raw_sql(create).execute(&mut *transaction).await.map_err(failed)?;
    let found: Option<i64> = sqlx::query_scalar(version()).fetch_optional(&mut *transaction).await.map_err(failed)?;
    let found = found.unwrap_or(0);
    let missing = usize::try_from(found).ok().and_then(|found| migrations.get(found..));
    for migration in missing.ok_or_else(|| newer(found, migrations.len()))? {
        sqlx::raw_sql(*migration).execute(&mut *transaction).await.map_err(failed)?;
    }
    sqlx::query(about(format!("DELETE FROM {table}"))).execute(&mut *transaction).await.map_err(failed)?;
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let insert = sqlx::query(about(format!("INSERT INTO {table} VALUES ($1)"))).bind(known);
    insert.execute(&mut *transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

/// Returns whether what a code of PostgreSQL says passes by itself.
pub(crate) fn outage(code: &str) -> bool {
    // Connections, transactions that were in each other's way, and too little of something.
    let is_class = ["08", "40", "53", "58"].iter().any(|class| code.starts_with(class));
    // A server that starts, stops or is a copy for now; a lock or a statement that took too long.
    is_class || ["57P01", "57P02", "57P03", "57P05", "57014", "25006", "55P03"].contains(&code)
}
