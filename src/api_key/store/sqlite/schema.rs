//! The tables in SQLite, and how they came to be.

use sqlx::{Sqlite, SqlitePool, Transaction};

use super::outage;
use crate::StoreError;
use crate::api_key::store::sql::{newer, store_error};

/// Each makes the next version of the tables. What stands here is never changed, only added to.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE tower_keep_keys (
        id TEXT NOT NULL PRIMARY KEY,
        owner TEXT NOT NULL,
        scopes TEXT NOT NULL,
        digest_tag TEXT,
        digest BLOB,
        imported INTEGER NOT NULL,
        created_at INTEGER,
        not_before INTEGER,
        expires_at INTEGER,
        revoked_at INTEGER,
        last_used_at INTEGER,
        more TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tower_keep_keys_owner ON tower_keep_keys (owner, id);
    CREATE INDEX tower_keep_keys_expires ON tower_keep_keys (expires_at) WHERE expires_at IS NOT NULL;
    CREATE INDEX tower_keep_keys_revoked ON tower_keep_keys (revoked_at) WHERE revoked_at IS NOT NULL;
    CREATE TABLE tower_keep_digests (
        tag TEXT NOT NULL,
        digest BLOB NOT NULL,
        id TEXT NOT NULL REFERENCES tower_keep_keys (id) ON DELETE CASCADE,
        PRIMARY KEY (tag, digest)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tower_keep_digests_id ON tower_keep_digests (id);
    CREATE TABLE tower_keep_audit (
        number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        actor TEXT,
        action TEXT NOT NULL,
        key_id TEXT NOT NULL
    ) STRICT;
    CREATE INDEX tower_keep_audit_key ON tower_keep_audit (key_id, number);
    CREATE TABLE tower_keep_touched (times INTEGER NOT NULL) STRICT;
    INSERT INTO tower_keep_touched VALUES (0);
"];

/// Brings the tables up to date. Of many processes that do so at once, one does, and the others wait.
pub(super) async fn migrate(writer: &SqlitePool) -> Result<(), StoreError> {
    let failed = |error| store_error(error, outage);
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    let found = version(&mut transaction).await.map_err(failed)?;
    let known = MIGRATIONS.len();
    let missing = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found..));
    let missing = missing.ok_or_else(|| newer(found, known))?;
    for migration in missing {
        sqlx::raw_sql(*migration).execute(&mut *transaction).await.map_err(failed)?;
    }
    if !missing.is_empty() {
        let replace = "DELETE FROM tower_keep_version";
        sqlx::query(replace).execute(&mut *transaction).await.map_err(failed)?;
        let known = i64::try_from(known).unwrap_or(i64::MAX);
        let insert = sqlx::query("INSERT INTO tower_keep_version VALUES (?)").bind(known);
        insert.execute(&mut *transaction).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}

async fn version(transaction: &mut Transaction<'_, Sqlite>) -> Result<i64, sqlx::Error> {
    let create = "CREATE TABLE IF NOT EXISTS tower_keep_version (version INTEGER NOT NULL) STRICT";
    sqlx::query(create).execute(&mut **transaction).await?;
    let found = sqlx::query_scalar("SELECT version FROM tower_keep_version").fetch_optional(&mut **transaction);
    Ok(found.await?.unwrap_or(0))
}
