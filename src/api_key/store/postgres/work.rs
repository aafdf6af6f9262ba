//! What the store does, step by step.

use std::sync::Arc;
use std::time::SystemTime;

use super::keys::{self, Entry};
use super::{Shared, failed, listen, outage};
use crate::api_key::store::sql::{BATCH, Row, audit_entry, next_page, seconds, seconds_up, store_error, within};
use crate::api_key::store::{AdminError, AuditAction, AuditEntry, Found, KeyChange, KeyFilter, Lookup, Notice, Page};
use crate::api_key::{KeyId, KeyRecord};

/// How often many records are tried to be stored, when others get in between.
const TRIES: usize = 5;

impl Shared {
    pub(super) async fn find(&self, by: Lookup) -> Found {
        let row = match self.row(&by).await {
            // The connection was lost while it lay in the pool.
            Err(sqlx::Error::Io(_)) => self.row(&by).await,
            row => row,
        };
        row.map_err(|error| store_error(error, outage))?.map(Row::record).transpose()
    }

    async fn row(&self, by: &Lookup) -> Result<Option<Row>, sqlx::Error> {
        match by {
            Lookup::Id(id) => sqlx::query_as(keys::BY_ID).bind(id.as_str()).fetch_optional(&self.pool).await,
            Lookup::Digest(digest) => {
                let query = sqlx::query_as(keys::BY_DIGEST).bind(digest.tag().to_string());
                query.bind(digest.as_bytes().as_slice()).fetch_optional(&self.pool).await
            }
        }
    }

    pub(super) async fn insert(&self, record: &KeyRecord, entry: &Entry<'_>) -> Result<(), AdminError> {
        keys::insert(&self.pool, &[record], entry, record.id().as_str()).await?;
        self.told.tell(&Notice::Changed(*record.id()));
        Ok(())
    }

    pub(super) async fn insert_all(&self, records: &[KeyRecord], entry: &Entry<'_>) -> Result<Vec<KeyId>, AdminError> {
        for _ in 1..TRIES {
            match self.try_insert_all(records, entry).await {
                // Somebody else stored one of them after it was looked for.
                Err(AdminError::AlreadyExists) => {}
                done => return done,
            }
        }
        self.try_insert_all(records, entry).await
    }

    async fn try_insert_all(&self, records: &[KeyRecord], entry: &Entry<'_>) -> Result<Vec<KeyId>, AdminError> {
        let mut known = Vec::new();
        let mut transaction = self.pool.begin().await.map_err(failed)?;
        for records in records.chunks(BATCH) {
            let admitted = keys::admit(&mut transaction, records, &mut known).await?;
            if !admitted.is_empty() {
                keys::insert(&mut *transaction, &admitted, entry, listen::ALL).await?;
            }
        }
        transaction.commit().await.map_err(failed)?;
        self.told.tell(&Notice::AllChanged);
        Ok(known)
    }

    pub(super) async fn change(
        &self,
        id: &KeyId,
        change: KeyChange,
        entry: &Entry<'_>,
    ) -> Result<Arc<KeyRecord>, AdminError> {
        let mut transaction = self.pool.begin().await.map_err(failed)?;
        let row: Option<Row> = sqlx::query_as(keys::TO_CHANGE)
            .bind(id.as_str())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(failed)?;
        let record = row.ok_or(AdminError::NotFound)?.record()?;
        let Some(changed) = change.apply(&record)? else { return Ok(record) };
        keys::replace(&mut transaction, &record, &changed, entry).await?;
        transaction.commit().await.map_err(failed)?;
        self.told.tell(&Notice::Changed(*id));
        Ok(Arc::new(changed))
    }

    pub(super) async fn list(
        &self,
        filter: &KeyFilter,
        after: Option<KeyId>,
        limit: usize,
    ) -> Result<Page, AdminError> {
        let mut page = Page::default();
        let mut after = after;
        let rows = match filter.label {
            Some(_) => BATCH.max(limit.saturating_add(1)),
            None => limit.saturating_add(1),
        };
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        loop {
            let from = after.map_or_else(String::new, |id| id.to_string());
            let statement = if filter.owner.is_some() { keys::LIST_OF_OWNER } else { keys::LIST };
            let query = sqlx::query_as(statement).bind(from).bind(filter.good_at.map(seconds));
            let query = query.bind(filter.label.is_some()).bind(rows);
            let query = match &filter.owner {
                Some(owner) => query.bind(owner),
                None => query,
            };
            let found: Vec<Row> = query.fetch_all(&self.pool).await.map_err(failed)?;
            let is_last = found.len() as i64 != rows;
            after = next_page(&mut page, found, filter, limit)?;
            if is_last || after.is_none() {
                return Ok(page);
            }
        }
    }

    pub(super) async fn audit(
        &self,
        key: Option<KeyId>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, AdminError> {
        let before = before.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX);
        let statement = if key.is_some() { keys::AUDIT_OF_KEY } else { keys::AUDIT };
        let query = sqlx::query_as(statement).bind(before).bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let query = match key {
            Some(key) => query.bind(key.to_string()),
            None => query,
        };
        query.fetch_all(&self.pool).await.map_err(failed)?.into_iter().map(audit_entry).collect()
    }

    pub(super) async fn touch_all(&self, used: &[(KeyId, SystemTime)]) -> Result<(), AdminError> {
        for used in used.chunks(BATCH) {
            let (ids, times): (Vec<_>, Vec<_>) = used.iter().map(|(id, when)| (id.to_string(), seconds(*when))).unzip();
            sqlx::query(keys::TOUCH).bind(ids).bind(times).execute(&self.pool).await.map_err(failed)?;
        }
        Ok(())
    }

    pub(super) async fn sweep_all(&self, ended_before: SystemTime, entry: &Entry<'_>) -> Result<u64, AdminError> {
        let mut swept = 0;
        loop {
            let sweep = sqlx::query_scalar(keys::SWEEP).bind(seconds_up(ended_before)).bind(BATCH as i64);
            let sweep = sweep.bind(seconds(entry.at)).bind(entry.actor).bind(entry.action.name());
            let gone: Vec<String> =
                within(self.settings.change_timeout, async { sweep.fetch_all(&self.pool).await.map_err(failed) })
                    .await?;
            if gone.is_empty() {
                return Ok(swept);
            }
            swept += gone.len() as u64;
            gone.iter().filter_map(|id| KeyId::new(id).ok()).for_each(|id| self.told.tell(&Notice::Changed(id)));
        }
    }

    pub(super) fn entry<'a>(&self, actor: Option<&'a str>, action: AuditAction) -> Entry<'a> {
        Entry { at: self.settings.rules.now(), actor, action }
    }
}
