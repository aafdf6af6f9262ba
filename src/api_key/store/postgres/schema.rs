//! The tables in PostgreSQL, and how they came to be.

use sqlx::PgPool;

use crate::{StoreError, sql};

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

/// Brings the tables up to date.
pub(super) async fn migrate(pool: &PgPool) -> Result<(), StoreError> {
    sql::migrate(pool, "tower_keep_version", MIGRATIONS).await
}
