//! A record as a row.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::{ColumnIndex, Decode, FromRow, Type};

use super::corrupt;
use crate::api_key::store::{AdminError, AuditEntry, KeyFilter, Page};
use crate::api_key::{DigestTag, KeyDigest, KeyId, KeyRecord};
use crate::{Scopes, StoreError};

/// A row of the table of keys. Times are seconds since 1970.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) owner: String,
    pub(crate) scopes: String,
    /// Nothing where there is a slow hash.
    pub(crate) digest_tag: Option<String>,
    pub(crate) digest: Option<Vec<u8>>,
    pub(crate) imported: bool,
    pub(crate) created_at: Option<i64>,
    pub(crate) not_before: Option<i64>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) revoked_at: Option<i64>,
    pub(crate) last_used_at: Option<i64>,
    pub(crate) more: Option<String>,
}

impl Row {
    pub(crate) fn of(record: &KeyRecord) -> Result<Self, AdminError> {
        let digest = Some(record.digest()).filter(|digest| !digest.is_none());
        Ok(Self {
            id: record.id().to_string(),
            owner: record.owner().to_owned(),
            scopes: record.scopes().as_str().to_owned(),
            digest_tag: digest.map(|digest| digest.tag().to_string()),
            digest: digest.map(|digest| digest.as_bytes().to_vec()),
            imported: record.is_imported(),
            created_at: record.created_at().map(seconds),
            not_before: record.not_before().map(seconds),
            expires_at: record.expires_at().map(seconds),
            revoked_at: record.revoked_at().map(seconds),
            last_used_at: record.last_used_at().map(seconds),
            more: record.more_text().map_err(StoreError::misconfigured)?,
        })
    }

    /// Reads a record.
    ///
    /// # Errors
    ///
    /// [`StoreError::Misconfigured`] for a row that somebody else wrote and that makes no sense. It names the id.
    pub(crate) fn record(self) -> Result<Arc<KeyRecord>, StoreError> {
        let id = self.id.clone();
        self.read().map(Arc::new).map_err(|what| corrupt(&format!("the record of key {id}: {what}")))
    }

    fn read(self) -> Result<KeyRecord, String> {
        let id = KeyId::new(&self.id).map_err(|error| error.to_string())?;
        let digest = match (self.digest_tag, self.digest) {
            (None, None) => KeyDigest::none(),
            (Some(tag), Some(bytes)) => read_digest(&tag, &bytes)?,
            _ => return Err("a digest and its tag go together".to_owned()),
        };
        let scopes = Scopes::try_from(self.scopes.as_str()).map_err(|error| error.to_string())?;
        let record = KeyRecord::new(id, self.owner, digest).with_scopes(scopes);
        let record = if self.imported { record.imported() } else { record };
        let set = |record, seconds: Option<i64>, with: fn(KeyRecord, SystemTime) -> KeyRecord| match seconds {
            Some(seconds) => time(seconds).map(|time| with(record, time)),
            None => Ok(record),
        };
        let record = set(record, self.created_at, KeyRecord::with_created_at)?;
        let record = set(record, self.not_before, KeyRecord::with_not_before)?;
        let record = set(record, self.expires_at, KeyRecord::with_expires_at)?;
        let record = set(record, self.revoked_at, KeyRecord::with_revoked_at)?;
        let record = set(record, self.last_used_at, KeyRecord::with_last_used_at)?;
        let record = match self.more {
            Some(more) => record.with_more_text(&more)?,
            None => record,
        };
        match record.digest().is_none() && record.slow_hash().is_none() {
            true => Err("it has neither a digest nor a slow hash".to_owned()),
            false => Ok(record),
        }
    }
}

impl<'r, R: sqlx::Row> FromRow<'r, R> for Row
where
    usize: ColumnIndex<R>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    Vec<u8>: Decode<'r, R::Database> + Type<R::Database>,
    bool: Decode<'r, R::Database> + Type<R::Database>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get(0)?,
            owner: row.try_get(1)?,
            scopes: row.try_get(2)?,
            digest_tag: row.try_get(3)?,
            digest: row.try_get(4)?,
            imported: row.try_get(5)?,
            created_at: row.try_get(6)?,
            not_before: row.try_get(7)?,
            expires_at: row.try_get(8)?,
            revoked_at: row.try_get(9)?,
            last_used_at: row.try_get(10)?,
            more: row.try_get(11)?,
        })
    }
}

/// Makes a page of rows that were asked for in the order of their ids, up to a limit of rows. Returns from where to ask on, if
/// the page is not full.
pub(crate) fn next_page(
    page: &mut Page,
    rows: Vec<Row>,
    filter: &KeyFilter,
    limit: usize,
) -> Result<Option<KeyId>, StoreError> {
    let mut last = None;
    for row in rows {
        let record = row.record()?;
        last = Some(*record.id());
        if filter.matches(&record) {
            if page.records.len() == limit {
                page.next = page.records.last().map(|record| *record.id());
                return Ok(None);
            }
            page.records.push(record);
        }
    }
    Ok(last)
}

/// An entry of the audit out of its columns.
pub(crate) fn audit_entry(
    (number, at, actor, action, key): (i64, i64, Option<String>, String, String),
) -> Result<AuditEntry, AdminError> {
    let wrong = || corrupt(&format!("entry {number} of the audit"));
    Ok(AuditEntry {
        number: u64::try_from(number).map_err(|_| wrong())?,
        at: time(at).map_err(|_| wrong())?,
        actor,
        action: action.parse().map_err(|()| wrong())?,
        key: KeyId::new(&key).map_err(|_| wrong())?,
    })
}

/// The indexed digests that one record has and another one has not.
pub(crate) fn changed_digests(of: &KeyRecord, but_not_of: &KeyRecord) -> Vec<KeyDigest> {
    let is_kept = |digest: &&KeyDigest| but_not_of.indexed_digests().any(|kept| kept.matches(digest));
    of.indexed_digests().filter(|digest| !is_kept(digest)).copied().collect()
}

/// Returns whole seconds since 1970, as records have them.
pub(crate) fn seconds(when: SystemTime) -> i64 {
    let since = when.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Rounds up, for what is to lie before a time.
pub(crate) fn seconds_up(when: SystemTime) -> i64 {
    seconds(when.checked_add(Duration::from_nanos(999_999_999)).unwrap_or(when))
}

fn time(seconds: i64) -> Result<SystemTime, String> {
    let time = u64::try_from(seconds).ok().and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    time.ok_or_else(|| format!("{seconds} is no time"))
}

fn read_digest(tag: &str, bytes: &[u8]) -> Result<KeyDigest, String> {
    let tag: DigestTag = tag.parse().map_err(|_| "its digest has a tag that is not known".to_owned())?;
    let bytes = bytes.try_into().map_err(|_| "its digest has not 32 bytes".to_owned())?;
    Ok(KeyDigest::new(tag, bytes))
}
