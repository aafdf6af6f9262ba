//! Keys in Redis or Valkey.
//!
//! Below the [prefix](RedisServer::prefix) there are
//!
//! | key | what |
//! |---|---|
//! | `key:<id>` | a record, as JSON |
//! | `digest:<tag>:<hexadecimal digits>` | the id of the record of an imported secret |
//! | `used:<id>` | when a key was last used, in seconds since 1970 |
//! | `ids` | a sorted set of all ids |
//! | `written` | a number that is written to see that all before it is on the disk |
//!
//! Records of keys that have ended go away by themselves, after [`RedisStoreBuilder::keep_ended`]. Who did what is not kept.

mod builder;
mod listen;
mod scripts;
mod write;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use redis::Cmd;
use tokio::sync::watch;

pub use builder::RedisStoreBuilder;
use scripts::Scripts;

use super::upkeep::{Kept, Upkeep};
use super::{AdminError, Found, KeyAdmin, KeyChange, KeyFilter, KeyStore, Lookup, Notices, Page};
use crate::api_key::{KeyDigest, KeyId, KeyRecord, KeyRules};
use crate::redis_server::Connected;
use crate::{Answer, BoxFuture, Durability, RedisServer, StoreError};

/// Keeps keys in Redis or Valkey, for any number of processes. Cloning shares it.
///
/// A change works at once in all processes that use the store directly, and a moment later in those that keep copies: they are
/// told. It is confirmed when it is on the server's disk, where the server is set up so; see
/// [`redis_server`](crate::redis_server).
///
/// ```no_run
/// use tower_keep::{ApiKeyLayer, KeyAdmin, KeyFormat, KeyHasher, KeyRules, NewKey, RedisStore};
///
/// # async fn run(pepper: [u8; 32]) -> Result<(), Box<dyn std::error::Error>> {
/// let rules = KeyRules::new(KeyFormat::new("acme_live")?, KeyHasher::peppered("2026", pepper)?);
/// let keys = RedisStore::builder().rules(rules).open("redis://redis.internal").await?;
/// let layer = ApiKeyLayer::new(keys.clone());
///
/// let issued = keys.issue(NewKey::for_owner("billing").scopes(["read"])).await?;
/// keys.revoke(issued.id()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

pub(super) struct Inner {
    rules: KeyRules,
    redis: Arc<Connected>,
    scripts: Scripts,
    upkeep: Upkeep,
    keep_ended: Option<Duration>,
    /// Those who listen end when it is gone, or says so.
    open: watch::Sender<bool>,
}

impl RedisStore {
    /// Connects with the default settings: [`KeyRules::default`], and those of [`RedisServer`].
    ///
    /// # Errors
    ///
    /// As [`RedisStoreBuilder::open`].
    pub async fn open(server: impl Into<RedisServer>) -> Result<Self, StoreError> {
        Self::builder().open(server).await
    }

    /// Starts with settings of one's own.
    pub fn builder() -> RedisStoreBuilder {
        RedisStoreBuilder::new()
    }

    /// Writes down what is not written yet, and lets go of all connections. Whatever is asked later is answered with an error.
    ///
    /// # Errors
    ///
    /// [`AdminError::Store`] if something could not be written. The connections are gone all the same.
    pub async fn close(&self) -> Result<(), AdminError> {
        let written = Upkeep::flush(Arc::clone(&self.0)).await;
        self.0.open.send_replace(false);
        self.0.redis.close();
        written
    }
}

impl KeyStore for RedisStore {
    fn find(&self, by: &Lookup) -> Answer<Found> {
        let (store, by) = (Arc::clone(&self.0), *by);
        Answer::later(async move {
            match by {
                Lookup::Id(id) => Ok(store.record(&id).await?.map(|(record, _)| Arc::new(record))),
                Lookup::Digest(digest) => store.by_digest(&digest).await,
            }
        })
    }

    fn seen(&self, id: &KeyId, when: SystemTime) {
        Upkeep::seen(&self.0, id, when);
    }

    fn rules(&self) -> KeyRules {
        self.0.rules.clone()
    }

    fn notices(&self) -> Option<Notices> {
        listen::start(self.0.redis.server(), self.0.open.subscribe())
    }
}

impl KeyAdmin for RedisStore {
    fn insert(&self, record: KeyRecord) -> Answer<Result<(), AdminError>> {
        let store = Arc::clone(&self.0);
        Answer::later(async move {
            match store.insert_all(vec![record]).await?.is_empty() {
                true => Ok(()),
                false => Err(AdminError::AlreadyExists),
            }
        })
    }

    fn change(&self, id: &KeyId, change: KeyChange) -> Answer<Result<Arc<KeyRecord>, AdminError>> {
        let (store, id) = (Arc::clone(&self.0), *id);
        Answer::later(async move { store.change(&id, change).await })
    }

    fn list(&self, filter: &KeyFilter, after: Option<&KeyId>, limit: usize) -> Answer<Result<Page, AdminError>> {
        let (store, filter, after) = (Arc::clone(&self.0), filter.clone(), after.copied());
        Answer::later(async move { store.list(&filter, after, limit).await })
    }

    /// Stores up to 10,000 records in one step, all or none. More take several steps, and what one of them stored stays if
    /// another one fails: the same call can be made again then.
    fn insert_all(&self, records: Vec<KeyRecord>) -> Answer<Result<Vec<KeyId>, AdminError>> {
        let store = Arc::clone(&self.0);
        Answer::later(async move { store.insert_all(records).await })
    }

    fn flush(&self) -> Answer<Result<(), AdminError>> {
        Answer::Later(Upkeep::flush(Arc::clone(&self.0)))
    }

    fn sweep(&self, ended_before: SystemTime) -> Answer<Result<u64, AdminError>> {
        Answer::Later(Kept::sweep(Arc::clone(&self.0), ended_before))
    }

    fn durability(&self) -> Durability {
        self.0.redis.durability()
    }
}

impl Kept for Inner {
    fn upkeep(&self) -> &Upkeep {
        &self.upkeep
    }

    fn touch(self: Arc<Self>, used: Vec<(KeyId, SystemTime)>) -> BoxFuture<Result<(), AdminError>> {
        Box::pin(async move { Ok(self.write_used(&used).await?) })
    }

    fn sweep(self: Arc<Self>, ended_before: SystemTime) -> BoxFuture<Result<u64, AdminError>> {
        Box::pin(async move { Ok(self.drop_ended(ended_before).await?) })
    }

    fn now(&self) -> SystemTime {
        self.rules.now()
    }
}

impl Inner {
    /// Finds a record, and the text that it was read from.
    async fn record(&self, id: &KeyId) -> Result<Option<(KeyRecord, String)>, StoreError> {
        Ok(self.records(&[*id]).await?.pop().flatten())
    }

    async fn by_digest(&self, digest: &KeyDigest) -> Found {
        let mut get = Cmd::new();
        get.arg("GET").arg(self.digest_key(digest));
        let Some(id) = self.redis.query::<Option<String>>(&get).await? else { return Ok(None) };
        let id = KeyId::new(&id).map_err(StoreError::misconfigured)?;
        // Between the two questions the digest may have gone.
        let record = self.record(&id).await?.map(|(record, _)| record);
        Ok(record.filter(|record| record.indexed_digests().any(|known| known.matches(digest))).map(Arc::new))
    }

    /// Reads the records of some ids, with one question.
    async fn records(&self, ids: &[KeyId]) -> Result<Vec<Option<(KeyRecord, String)>>, StoreError> {
        let mut get = Cmd::new();
        get.arg("MGET");
        for id in ids {
            get.arg(self.record_key(id)).arg(self.used_key(id));
        }
        let texts: Vec<Option<String>> = self.redis.query(&get).await?;
        let pairs = ids.iter().zip(texts.chunks_exact(2));
        pairs.map(|(id, pair)| read(id, pair[0].as_deref(), pair[1].as_deref())).collect()
    }

    fn record_key(&self, id: &KeyId) -> String {
        self.redis.key(format_args!("key:{id}"))
    }

    fn used_key(&self, id: &KeyId) -> String {
        self.redis.key(format_args!("used:{id}"))
    }

    fn digest_key(&self, digest: &KeyDigest) -> String {
        self.redis.key(format_args!("digest:{}:{}", digest.tag(), digest.to_hex()))
    }

    fn ids_key(&self) -> String {
        self.redis.key(format_args!("ids"))
    }
}

fn read(id: &KeyId, text: Option<&str>, used: Option<&str>) -> Result<Option<(KeyRecord, String)>, StoreError> {
    let Some(text) = text else { return Ok(None) };
    let record: KeyRecord = serde_json::from_str(text)
        .map_err(|error| StoreError::misconfigured(format!("the record of {id} cannot be read: {error}")))?;
    if record.id() != id {
        return Err(StoreError::misconfigured(format!("the record of {id} is that of {}", record.id())));
    }
    let used = used.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    let used = used.and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(seconds));
    let used = used.filter(|used| record.last_used_at().is_none_or(|known| known < *used));
    Ok(Some((used.into_iter().fold(record, KeyRecord::with_last_used_at), text.to_owned())))
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("server", self.0.redis.server())
            .field("rules", &self.0.rules)
            .field("upkeep", &self.0.upkeep)
            .finish_non_exhaustive()
    }
}
