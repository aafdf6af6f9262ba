//! What is asked of PostgreSQL.

use std::collections::BTreeSet;
use std::time::SystemTime;

use sqlx::PgConnection;

use super::failed;
use crate::api_key::store::sql::{Batch, Row, changed_digests, columns, seconds};
use crate::api_key::store::{AdminError, AuditAction};
use crate::api_key::{KeyDigest, KeyId, KeyRecord};

pub(super) const BY_ID: &str = concat!("SELECT ", columns!(), " FROM tower_keep_keys WHERE id = $1");
pub(super) const BY_DIGEST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM tower_keep_keys WHERE id = (SELECT id FROM tower_keep_digests WHERE tag = $1 AND digest = $2)"
);
/// Where a session does not wait for the disk, this transaction does: what is confirmed has to last.
macro_rules! durably {
    () => {
        "(SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off')"
    };
}
pub(super) const TO_CHANGE: &str =
    concat!("SELECT ", columns!(), ", ", durably!(), " FROM tower_keep_keys WHERE id = $1 FOR UPDATE");
pub(super) const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM tower_keep_keys WHERE id > $1
        AND ($2::bigint IS NULL
            OR (revoked_at IS NULL AND coalesce(not_before <= $2, true) AND coalesce(expires_at > $2, true)))
        AND (NOT $3 OR more IS NOT NULL)
      ORDER BY id LIMIT $4"
);
pub(super) const LIST_OF_OWNER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM tower_keep_keys WHERE id > $1
        AND ($2::bigint IS NULL
            OR (revoked_at IS NULL AND coalesce(not_before <= $2, true) AND coalesce(expires_at > $2, true)))
        AND (NOT $3 OR more IS NOT NULL) AND owner = $5
      ORDER BY id LIMIT $4"
);
pub(super) const AUDIT: &str = "SELECT number, at, actor, action, key_id FROM tower_keep_audit
    WHERE number < $1 ORDER BY number DESC LIMIT $2";
pub(super) const AUDIT_OF_KEY: &str = "SELECT number, at, actor, action, key_id FROM tower_keep_audit
    WHERE number < $1 AND key_id = $3 ORDER BY number DESC LIMIT $2";
/// The rows are locked in the order of their ids, so that no two of these wait for each other.
pub(super) const TOUCH: &str = r#"
    UPDATE tower_keep_keys AS stored SET last_used_at = used.at FROM (
        SELECT stored.id, new.at FROM tower_keep_keys AS stored
        JOIN UNNEST($1::text[], $2::bigint[]) AS new (id, at) ON stored.id = new.id COLLATE "C"
        WHERE stored.last_used_at IS NULL OR stored.last_used_at < new.at
        ORDER BY stored.id FOR NO KEY UPDATE OF stored
    ) AS used
    WHERE stored.id = used.id AND coalesce(stored.last_used_at < used.at, true)"#;
/// What somebody else sweeps already is left to them.
pub(super) const SWEEP: &str = "
    WITH gone AS (
        DELETE FROM tower_keep_keys WHERE id IN (
            SELECT id FROM tower_keep_keys WHERE revoked_at < $1 OR expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
        ) RETURNING id
    )
    INSERT INTO tower_keep_audit (at, actor, action, key_id) SELECT $3, $4, $5, id FROM gone RETURNING key_id";

const TAKEN_IDS: &str = "SELECT id FROM tower_keep_keys WHERE id = ANY($1)";
const TAKEN_DIGESTS: &str = r#"SELECT taken.tag, taken.digest FROM tower_keep_digests AS taken
    JOIN UNNEST($1::text[], $2::bytea[]) AS new (tag, digest) ON taken.tag = new.tag COLLATE "C" AND taken.digest = new.digest"#;
const INSERT: &str = concat!(
    "WITH added AS (
        INSERT INTO tower_keep_keys (",
    columns!(),
    ") SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::boolean[], $7::bigint[],
            $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::text[])
    ), indexed AS (
        INSERT INTO tower_keep_digests (tag, digest, id) SELECT * FROM UNNEST($13::text[], $14::bytea[], $15::text[])
    ), logged AS (
        INSERT INTO tower_keep_audit (at, actor, action, key_id) SELECT $16, $17, $18, id FROM UNNEST($1::text[]) AS new (id)
    )
    SELECT pg_notify('tower_keep', $19), ",
    durably!()
);
const REPLACE: &str = "WITH changed AS (
        UPDATE tower_keep_keys SET owner = $2, scopes = $3, digest_tag = $4, digest = $5, imported = $6, created_at = $7,
            not_before = $8, expires_at = $9, revoked_at = $10, more = $11 WHERE id = $1
    ), gone AS (
        DELETE FROM tower_keep_digests AS stored USING UNNEST($12::text[], $13::bytea[]) AS old (tag, digest)
        WHERE stored.tag = old.tag AND stored.digest = old.digest AND stored.id = $1
    ), indexed AS (
        INSERT INTO tower_keep_digests (tag, digest, id)
        SELECT tag, digest, $1 FROM UNNEST($14::text[], $15::bytea[]) AS new (tag, digest)
    ), logged AS (
        INSERT INTO tower_keep_audit (at, actor, action, key_id) VALUES ($16, $17, $18, $1)
    )
    SELECT pg_notify('tower_keep', $1)";

/// Who writes down what, and when.
pub(super) struct Entry<'a> {
    pub(super) at: SystemTime,
    pub(super) actor: Option<&'a str>,
    pub(super) action: AuditAction,
}

/// Leaves out what is there already.
pub(super) async fn admit<'a>(
    db: &mut PgConnection,
    records: &'a [KeyRecord],
    known: &mut Vec<KeyId>,
) -> Result<Vec<&'a KeyRecord>, AdminError> {
    let ids: Vec<_> = records.iter().map(|record| record.id().to_string()).collect();
    let ids = sqlx::query_scalar(TAKEN_IDS).bind(ids).fetch_all(&mut *db).await.map_err(failed)?;
    let (tags, digests) = split(records.iter().flat_map(KeyRecord::indexed_digests));
    let digests = match tags.is_empty() {
        true => Vec::new(),
        false => sqlx::query_as(TAKEN_DIGESTS).bind(tags).bind(digests).fetch_all(&mut *db).await.map_err(failed)?,
    };
    Ok(Batch::knowing(ids, digests).admit(records, known))
}

/// Stores records that are not there, and tells those who listen.
pub(super) async fn insert(
    db: impl sqlx::PgExecutor<'_>,
    records: &[&KeyRecord],
    entry: &Entry<'_>,
    told: &str,
) -> Result<(), AdminError> {
    let rows: Vec<_> = records.iter().map(|record| Row::of(record)).collect::<Result<_, _>>()?;
    let mut indexed = Vec::new();
    for record in records {
        let digests: BTreeSet<_> = record.indexed_digests().map(written).collect();
        indexed.extend(digests.into_iter().map(|(tag, digest)| (tag, (digest, record.id().to_string()))));
    }
    let (tags, (digests, ids)): (Vec<_>, (Vec<_>, Vec<_>)) = indexed.into_iter().unzip();

    fn all<T>(rows: &[Row], of: impl Fn(&Row) -> T) -> Vec<T> {
        rows.iter().map(of).collect()
    }
    let rows = &*rows;
    let insert = sqlx::query(INSERT).bind(all(rows, |row| row.id.clone())).bind(all(rows, |row| row.owner.clone()));
    let insert = insert.bind(all(rows, |row| row.scopes.clone())).bind(all(rows, |row| row.digest_tag.clone()));
    let insert = insert.bind(all(rows, |row| row.digest.clone())).bind(all(rows, |row| row.imported));
    let insert = insert.bind(all(rows, |row| row.created_at)).bind(all(rows, |row| row.not_before));
    let insert = insert.bind(all(rows, |row| row.expires_at)).bind(all(rows, |row| row.revoked_at));
    let insert = insert.bind(all(rows, |row| row.last_used_at)).bind(all(rows, |row| row.more.clone()));
    let insert = insert.bind(tags).bind(digests).bind(ids);
    let insert = insert.bind(seconds(entry.at)).bind(entry.actor).bind(entry.action.name()).bind(told);
    insert.execute(db).await.map_err(failed)?;
    Ok(())
}

/// Puts a record in the place of another one of the same id, and tells those who listen.
pub(super) async fn replace(
    db: &mut PgConnection,
    old: &KeyRecord,
    new: &KeyRecord,
    entry: &Entry<'_>,
) -> Result<(), AdminError> {
    let row = Row::of(new)?;
    let (gone_tags, gone) = split(changed_digests(old, new).iter());
    let (added_tags, added) = split(changed_digests(new, old).iter());
    let update = sqlx::query(REPLACE).bind(row.id).bind(row.owner).bind(row.scopes).bind(row.digest_tag);
    let update = update.bind(row.digest).bind(row.imported).bind(row.created_at).bind(row.not_before);
    let update = update.bind(row.expires_at).bind(row.revoked_at).bind(row.more);
    let update = update.bind(gone_tags).bind(gone).bind(added_tags).bind(added);
    let update = update.bind(seconds(entry.at)).bind(entry.actor).bind(entry.action.name());
    update.execute(db).await.map_err(failed)?;
    Ok(())
}

fn split<'a>(digests: impl Iterator<Item = &'a KeyDigest>) -> (Vec<String>, Vec<Vec<u8>>) {
    digests.map(written).collect::<BTreeSet<_>>().into_iter().unzip()
}

fn written(digest: &KeyDigest) -> (String, Vec<u8>) {
    (digest.tag().to_string(), digest.as_bytes().to_vec())
}
