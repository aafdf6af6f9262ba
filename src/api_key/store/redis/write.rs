//! What changes keys in Redis, and what reads many of them.

use std::sync::Arc;
use std::time::SystemTime;

use redis::Cmd;

use super::Inner;
use crate::StoreError;
use crate::api_key::store::{AdminError, KeyChange, KeyFilter, Page};
use crate::api_key::{KeyId, KeyRecord};

/// How many records are stored in one step. Nobody else is served meanwhile.
const STEP: usize = 10_000;
/// How many records are read with one question.
const READ: usize = 500;
const READ_MIN: usize = 50;
/// How often a change is tried while others change the same key.
const TRIES: usize = 100;

impl Inner {
    pub(super) async fn insert_all(&self, records: Vec<KeyRecord>) -> Result<Vec<KeyId>, AdminError> {
        let mut known = Vec::new();
        let mut last = None;
        for step in records.chunks(STEP) {
            let mut keys = vec![self.ids_key()];
            let mut arguments = Vec::with_capacity(4 * step.len());
            for record in step {
                keys.push(self.record_key(record.id()));
                keys.extend(record.indexed_digests().map(|digest| self.digest_key(digest)));
                arguments.push(record.id().to_string().into_bytes());
                arguments.push(text(record)?.into_bytes());
                arguments.push(self.goes_at(record).into_bytes());
                arguments.push(record.indexed_digests().count().to_string().into_bytes());
            }
            let inserting = self.redis.change::<Vec<String>>(&self.scripts.insert, &keys, &arguments);
            let (taken, change) = inserting.await?;
            for id in taken {
                known.push(KeyId::new(&id).map_err(StoreError::misconfigured)?);
            }
            last = Some(change);
        }
        // Those before it are on the disk when the last one is.
        if let Some(change) = last {
            change.settle().await?;
        }
        Ok(known)
    }

    pub(super) async fn change(&self, id: &KeyId, change: KeyChange) -> Result<Arc<KeyRecord>, AdminError> {
        for _ in 0..TRIES {
            let (old, before) = self.record(id).await?.ok_or(AdminError::NotFound)?;
            let Some(new) = change.apply(&old)? else {
                // Somebody may have made the change a moment ago, and not know yet whether it lasts.
                self.settle_all().await?;
                return Ok(Arc::new(old));
            };
            let mut keys = vec![self.record_key(id), self.used_key(id)];
            keys.extend(new.indexed_digests().map(|digest| self.digest_key(digest)));
            let count = keys.len() - 2;
            let gone = old.indexed_digests().filter(|old| !new.indexed_digests().any(|kept| kept.matches(old)));
            keys.extend(gone.map(|digest| self.digest_key(digest)));
            let after = text(&new)?;
            let arguments = [id.to_string(), before, after, self.goes_at(&new), count.to_string()];
            let arguments = arguments.map(String::into_bytes);
            match self.redis.change::<u8>(&self.scripts.replace, &keys, &arguments).await? {
                (0, _) => {}
                (1, change) => {
                    change.settle().await?;
                    return Ok(Arc::new(new));
                }
                _ => return Err(AdminError::AlreadyExists),
            }
        }
        Err(StoreError::unavailable(format!("{id} is changed by others all the time")).into())
    }

    pub(super) async fn list(
        &self,
        filter: &KeyFilter,
        after: Option<KeyId>,
        limit: usize,
    ) -> Result<Page, AdminError> {
        let mut records: Vec<Arc<KeyRecord>> = Vec::new();
        let mut from = after;
        loop {
            let (found, next) = self.some_after(from, limit.saturating_add(1).clamp(READ_MIN, READ)).await?;
            for record in found.into_iter().map(|(record, _)| record).filter(|record| filter.matches(record)) {
                if records.len() == limit {
                    let next = records.last().map(|record| *record.id());
                    return Ok(Page { records, next });
                }
                records.push(Arc::new(record));
            }
            if next.is_none() {
                return Ok(Page { records, next: None });
            }
            from = next;
        }
    }

    pub(super) async fn drop_ended(&self, before: SystemTime) -> Result<u64, StoreError> {
        let mut dropped = 0;
        let mut from = None;
        loop {
            let (found, next) = self.some_after(from, READ).await?;
            for (record, text) in found.iter().filter(|(record, _)| record.ended_at().is_some_and(|end| end < before)) {
                let mut keys = vec![self.ids_key(), self.record_key(record.id()), self.used_key(record.id())];
                keys.extend(record.indexed_digests().map(|digest| self.digest_key(digest)));
                let arguments = [record.id().to_string().into_bytes(), text.clone().into_bytes()];
                dropped += self.redis.run::<u64>(&self.scripts.drop, &keys, &arguments).await?;
            }
            match next {
                Some(_) => from = next,
                None => return Ok(dropped),
            }
        }
    }

    pub(super) async fn write_used(&self, used: &[(KeyId, SystemTime)]) -> Result<(), StoreError> {
        for some in used.chunks(READ) {
            let keys: Vec<_> = some.iter().flat_map(|(id, _)| [self.record_key(id), self.used_key(id)]).collect();
            let seconds = |when: SystemTime| when.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
            let arguments: Vec<_> = some.iter().map(|(_, when)| seconds(*when).to_string().into_bytes()).collect();
            self.redis.run::<()>(&self.scripts.touch, &keys, &arguments).await?;
        }
        Ok(())
    }

    /// Reads records from behind an id on, and says behind which id there may be more. Ids without a record are forgotten.
    async fn some_after(
        &self,
        after: Option<KeyId>,
        limit: usize,
    ) -> Result<(Vec<(KeyRecord, String)>, Option<KeyId>), StoreError> {
        let mut range = Cmd::new();
        let start = after.map_or_else(|| "-".to_owned(), |id| format!("({id}"));
        range.arg("ZRANGEBYLEX").arg(self.ids_key()).arg(start).arg("+").arg("LIMIT").arg(0).arg(limit);
        let ids: Vec<String> = self.redis.query(&range).await?;
        let ids: Result<Vec<_>, _> = ids.iter().map(|id| KeyId::new(id)).collect();
        let ids = ids.map_err(StoreError::misconfigured)?;
        if ids.is_empty() {
            return Ok((Vec::new(), None));
        }
        let records = self.records(&ids).await?;
        let gone: Vec<_> = ids.iter().zip(&records).filter(|(_, found)| found.is_none()).map(|(id, _)| *id).collect();
        if !gone.is_empty() {
            let keys: Vec<_> = [self.ids_key()].into_iter().chain(gone.iter().map(|id| self.record_key(id))).collect();
            let arguments: Vec<_> = gone.iter().map(|id| id.to_string().into_bytes()).collect();
            self.redis.run::<()>(&self.scripts.forget, &keys, &arguments).await?;
        }
        let next = ids.last().copied().filter(|_| ids.len() == limit);
        Ok((records.into_iter().flatten().collect(), next))
    }

    /// Waits until all that was done before is on the disk.
    async fn settle_all(&self) -> Result<(), StoreError> {
        let (_, nothing) = self.redis.change::<()>(&self.scripts.forget, &[self.ids_key()], &[]).await?;
        nothing.settle().await
    }

    /// Returns when a record goes away, in milliseconds since 1970, or nothing.
    fn goes_at(&self, record: &KeyRecord) -> String {
        let end = record.ended_at().zip(self.keep_ended).and_then(|(end, keep)| end.checked_add(keep));
        let since = end.and_then(|end| end.duration_since(SystemTime::UNIX_EPOCH).ok());
        let millis = since.and_then(|since| i64::try_from(since.as_millis()).ok());
        // What lies beyond all that Redis can tell does not come.
        millis.filter(|millis| *millis < i64::MAX / 2).map_or_else(String::new, |millis| millis.to_string())
    }
}

fn text(record: &KeyRecord) -> Result<String, StoreError> {
    serde_json::to_string(record).map_err(StoreError::misconfigured)
}
