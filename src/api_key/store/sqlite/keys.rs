//! What is asked of SQLite.

use std::collections::BTreeSet;
use std::time::SystemTime;

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::failed;
use crate::StoreError;
use crate::api_key::store::sql::{Batch, Row, changed_digests, columns, seconds};
use crate::api_key::store::{AdminError, AuditAction};
use crate::api_key::{KeyDigest, KeyId, KeyRecord};

pub(super) const BY_ID: &str = concat!("SELECT ", columns!(), " FROM tower_keep_keys WHERE id = ?1");
pub(super) const BY_DIGEST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM tower_keep_keys WHERE id = (SELECT id FROM tower_keep_digests WHERE tag = ?1 AND digest = ?2)"
);
pub(super) const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM tower_keep_keys WHERE id > ?1
        AND (?2 IS NULL OR (revoked_at IS NULL AND ifnull(not_before <= ?2, 1) AND ifnull(expires_at > ?2, 1)))
        AND (NOT ?3 OR more IS NOT NULL)
      ORDER BY id LIMIT ?4"
);
pub(super) const LIST_OF_OWNER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM tower_keep_keys WHERE id > ?1
        AND (?2 IS NULL OR (revoked_at IS NULL AND ifnull(not_before <= ?2, 1) AND ifnull(expires_at > ?2, 1)))
        AND (NOT ?3 OR more IS NOT NULL) AND owner = ?5
      ORDER BY id LIMIT ?4"
);
pub(super) const AUDIT: &str = "SELECT number, at, actor, action, key_id FROM tower_keep_audit
    WHERE number < ?1 ORDER BY number DESC LIMIT ?2";
pub(super) const AUDIT_OF_KEY: &str = "SELECT number, at, actor, action, key_id FROM tower_keep_audit
    WHERE number < ?1 AND key_id = ?3 ORDER BY number DESC LIMIT ?2";
/// Those that were used, as `[[id, seconds], ..]`.
pub(super) const TOUCH: &str = "UPDATE tower_keep_keys SET last_used_at = used.at
    FROM (SELECT value ->> 0 AS id, value ->> 1 AS at FROM json_each(?1)) AS used
    WHERE tower_keep_keys.id = used.id AND ifnull(last_used_at < used.at, 1)";
pub(super) const TOUCHED: &str = "UPDATE tower_keep_touched SET times = times + 1";
pub(super) const SWEEP: &str = "DELETE FROM tower_keep_keys WHERE id IN (
        SELECT id FROM tower_keep_keys WHERE revoked_at < ?1 OR expires_at < ?1 LIMIT ?2
    ) RETURNING id";

const TAKEN_IDS: &str = "SELECT id FROM tower_keep_keys WHERE id IN (SELECT value FROM json_each(?1))";
const TAKEN_DIGESTS: &str = "SELECT taken.tag, taken.digest FROM json_each(?1) AS new
    CROSS JOIN tower_keep_digests AS taken ON taken.tag = new.value ->> 0 AND taken.digest = unhex(new.value ->> 1)";
const INSERT: &str = concat!("INSERT INTO tower_keep_keys (", columns!(), ") ");
const INDEX: &str = "INSERT INTO tower_keep_digests (tag, digest, id)
    SELECT value ->> 0, unhex(value ->> 1), value ->> 2 FROM json_each(?1)";
const UNINDEX: &str = "DELETE FROM tower_keep_digests WHERE tag = ?1 AND digest = ?2 AND id = ?3";
const LOG: &str = "INSERT INTO tower_keep_audit (at, actor, action, key_id)
    SELECT ?1, ?2, ?3, value FROM json_each(?4)";
const UPDATE: &str = "UPDATE tower_keep_keys SET owner = ?2, scopes = ?3, digest_tag = ?4, digest = ?5, imported = ?6,
    created_at = ?7, not_before = ?8, expires_at = ?9, revoked_at = ?10, more = ?11 WHERE id = ?1";

/// Who writes down what, and when.
pub(super) struct Entry<'a> {
    pub(super) at: SystemTime,
    pub(super) actor: Option<&'a str>,
    pub(super) action: AuditAction,
}

/// Leaves out what is there already.
pub(super) async fn admit<'a>(
    db: &mut SqliteConnection,
    records: &'a [KeyRecord],
    known: &mut Vec<KeyId>,
) -> Result<Vec<&'a KeyRecord>, AdminError> {
    let ids = json(&records.iter().map(|record| record.id().to_string()).collect::<Vec<_>>())?;
    let ids = sqlx::query_scalar(TAKEN_IDS).bind(ids).fetch_all(&mut *db).await.map_err(failed)?;
    let all: Vec<&KeyRecord> = records.iter().collect();
    let digests = json(&indexed(&all))?;
    let digests = sqlx::query_as(TAKEN_DIGESTS).bind(digests).fetch_all(&mut *db).await.map_err(failed)?;
    Ok(Batch::knowing(ids, digests).admit(records, known))
}

/// Stores records that are not there.
pub(super) async fn insert(
    db: &mut SqliteConnection,
    records: &[&KeyRecord],
    entry: &Entry<'_>,
) -> Result<(), AdminError> {
    let rows: Vec<_> = records.iter().map(|record| Row::of(record)).collect::<Result<_, _>>()?;
    if rows.is_empty() {
        return Ok(());
    }
    let mut statement = QueryBuilder::<Sqlite>::new(INSERT);
    statement.push_values(rows, |mut values, row| {
        values.push_bind(row.id).push_bind(row.owner).push_bind(row.scopes).push_bind(row.digest_tag);
        values.push_bind(row.digest).push_bind(row.imported).push_bind(row.created_at).push_bind(row.not_before);
        values.push_bind(row.expires_at).push_bind(row.revoked_at).push_bind(row.last_used_at).push_bind(row.more);
    });
    statement.build().execute(&mut *db).await.map_err(failed)?;
    let digests = indexed(records);
    if !digests.is_empty() {
        sqlx::query(INDEX).bind(json(&digests)?).execute(&mut *db).await.map_err(failed)?;
    }
    let ids: Vec<_> = records.iter().map(|record| record.id().as_str()).collect();
    log(db, &ids, entry).await
}

/// Puts a record in the place of another one of the same id.
pub(super) async fn replace(
    db: &mut SqliteConnection,
    old: &KeyRecord,
    new: &KeyRecord,
    entry: &Entry<'_>,
) -> Result<(), AdminError> {
    let row = Row::of(new)?;
    let update = sqlx::query(UPDATE).bind(&row.id).bind(row.owner).bind(row.scopes).bind(row.digest_tag);
    let update = update.bind(row.digest).bind(row.imported).bind(row.created_at).bind(row.not_before);
    let update = update.bind(row.expires_at).bind(row.revoked_at).bind(row.more);
    update.execute(&mut *db).await.map_err(failed)?;
    for gone in changed_digests(old, new) {
        let delete = sqlx::query(UNINDEX).bind(gone.tag().to_string()).bind(gone.as_bytes().to_vec()).bind(&row.id);
        delete.execute(&mut *db).await.map_err(failed)?;
    }
    let added: BTreeSet<_> = changed_digests(new, old).iter().map(|digest| written(digest, new)).collect();
    if !added.is_empty() {
        sqlx::query(INDEX).bind(json(&added)?).execute(&mut *db).await.map_err(failed)?;
    }
    log(db, &[&row.id], entry).await
}

/// Adds to the audit.
pub(super) async fn log(db: &mut SqliteConnection, ids: &[&str], entry: &Entry<'_>) -> Result<(), AdminError> {
    let insert = sqlx::query(LOG).bind(seconds(entry.at)).bind(entry.actor).bind(entry.action.name()).bind(json(&ids)?);
    insert.execute(db).await.map_err(failed)?;
    Ok(())
}

/// `[tag, hexadecimal digits, id]` of all indexed digests.
fn indexed(records: &[&KeyRecord]) -> BTreeSet<[String; 3]> {
    records.iter().flat_map(|record| record.indexed_digests().map(|digest| written(digest, record))).collect()
}

fn written(digest: &KeyDigest, record: &KeyRecord) -> [String; 3] {
    [digest.tag().to_string(), digest.to_hex(), record.id().to_string()]
}

pub(super) fn json(value: &impl serde::Serialize) -> Result<String, AdminError> {
    Ok(serde_json::to_string(value).map_err(StoreError::misconfigured)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::SqliteStore;

    #[tokio::test]
    async fn a_look_up_is_one_search_by_the_primary_key() {
        let store = SqliteStore::in_memory().await.unwrap();
        let plan = async |sql: &str| {
            let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            let rows: Vec<(i64, i64, i64, String)> =
                sqlx::query_as(explain).fetch_all(&store.shared().readers).await.unwrap();
            rows.into_iter().map(|row| row.3).collect::<Vec<_>>()
        };

        let [by_id, by_digest] = [plan(BY_ID).await, plan(BY_DIGEST).await];

        assert_eq!(by_id, ["SEARCH tower_keep_keys USING PRIMARY KEY (id=?)"]);
        assert_eq!(
            by_digest,
            [
                "SEARCH tower_keep_keys USING PRIMARY KEY (id=?)",
                "SCALAR SUBQUERY 1",
                "SEARCH tower_keep_digests USING PRIMARY KEY (tag=? AND digest=?)",
            ]
        );
        assert!(plan(LIST_OF_OWNER).await[0].starts_with("SEARCH tower_keep_keys USING INDEX tower_keep_keys_owner"));
        assert!(plan(TOUCH).await.iter().any(|step| step == "SEARCH tower_keep_keys USING PRIMARY KEY (id=?)"));
        assert!(!plan(SWEEP).await.iter().any(|step| step.starts_with("SCAN tower_keep_keys")));
    }
}
