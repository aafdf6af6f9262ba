//! The tables in PostgreSQL, and how they came to be.

use sqlx::PgPool;

use super::outage;
use crate::StoreError;
use crate::api_key::store::sql::{newer, store_error};

/// Each makes the next version of the tables. What stands here is never changed, only added to.
const MIGRATIONS: &[&str] = &[r#"
    CREATE TABLE tower_keep_keys (
        id text COLLATE "C" NOT NULL PRIMARY KEY,
        owner text NOT NULL,
        scopes text NOT NULL,
        digest_tag text,
        digest bytea,
        imported boolean NOT NULL,
        created_at bigint,
        not_before bigint,
        expires_at bigint,
        revoked_at bigint,
        last_used_at bigint,
        more text
    );
    CREATE INDEX tower_keep_keys_owner ON tower_keep_keys (owner, id);
    CREATE INDEX tower_keep_keys_expires ON tower_keep_keys (expires_at) WHERE expires_at IS NOT NULL;
    CREATE INDEX tower_keep_keys_revoked ON tower_keep_keys (revoked_at) WHERE revoked_at IS NOT NULL;
    CREATE TABLE tower_keep_digests (
        tag text COLLATE "C" NOT NULL,
        digest bytea NOT NULL,
        id text COLLATE "C" NOT NULL REFERENCES tower_keep_keys (id) ON DELETE CASCADE,
        PRIMARY KEY (tag, digest)
    );
    CREATE INDEX tower_keep_digests_id ON tower_keep_digests (id);
    CREATE TABLE tower_keep_audit (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at bigint NOT NULL,
        actor text,
        action text NOT NULL,
        key_id text COLLATE "C" NOT NULL
    );
    CREATE INDEX tower_keep_audit_key ON tower_keep_audit (key_id, number);
"#];

/// Whoever changes the tables holds this lock.
const LOCK: i64 = 0x746f_7765_726b_6570;

/// Brings the tables up to date. Of many that do so at once, one does, and the others wait. Where they are up to date, nothing
/// but reading is needed.
pub(super) async fn migrate(pool: &PgPool) -> Result<(), StoreError> {
    let failed = |error| store_error(error, outage);
    let is_there = "SELECT to_regclass('tower_keep_version') IS NOT NULL";
    let version = "SELECT version FROM tower_keep_version";
    if sqlx::query_scalar(is_there).fetch_one(pool).await.map_err(failed)? {
        let found: Option<i64> = sqlx::query_scalar(version).fetch_optional(pool).await.map_err(failed)?;
        if found == i64::try_from(MIGRATIONS.len()).ok() {
            return Ok(());
        }
    }
    let mut transaction = pool.begin().await.map_err(failed)?;
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK);
    lock.execute(&mut *transaction).await.map_err(failed)?;
    let create = "CREATE TABLE IF NOT EXISTS tower_keep_version (version bigint NOT NULL)";
    sqlx::raw_sql(create).execute(&mut *transaction).await.map_err(failed)?;
    let found: Option<i64> = sqlx::query_scalar(version).fetch_optional(&mut *transaction).await.map_err(failed)?;
    let found = found.unwrap_or(0);
    let missing = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found..));
    for migration in missing.ok_or_else(|| newer(found, MIGRATIONS.len()))? {
        sqlx::raw_sql(*migration).execute(&mut *transaction).await.map_err(failed)?;
    }
    sqlx::query("DELETE FROM tower_keep_version").execute(&mut *transaction).await.map_err(failed)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let insert = sqlx::query("INSERT INTO tower_keep_version VALUES ($1)").bind(known);
    insert.execute(&mut *transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}
