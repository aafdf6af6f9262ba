//! Keys in SQLite: one file, which several processes of one machine may share.
//!
//! ```
//! use tower_keep::{ApiKeyLayer, KeyAdmin, NewKey, SqliteStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("keys.db");
//! # let path = path.to_str().unwrap();
//! let keys = SqliteStore::open(path).await?; // such as "keys.db"
//! let layer = ApiKeyLayer::new(keys.clone());
//!
//! let issued = keys.acting_as("alice").issue(NewKey::for_owner("billing").scopes(["read"])).await?;
//! keys.acting_as("bob").revoke(issued.id()).await?;
//!
//! let entries = keys.audit(Some(issued.id()), None, 10).await?;
//! assert_eq!(entries[0].actor.as_deref(), Some("bob"));
//! keys.close().await?;
//! # Ok(())
//! # }
//! ```

mod builder;
mod file;
mod keys;
mod schema;
mod watch;
mod work;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::runtime::Handle;

pub use builder::SqliteStoreBuilder;

use super::sql::{Settings, Told, admin_error};
use super::upkeep::{Kept, Upkeep};
use super::{
    AdminError, AuditAction, AuditEntry, Found, KeyAdmin, KeyChange, KeyFilter, KeyStore, Lookup, Notice, Notices, Page,
};
use crate::api_key::{KeyId, KeyRecord, KeyRules};
use crate::sql::within;
use crate::{Answer, BoxFuture, Durability, StoreError};

/// Keeps keys in SQLite, in a file or in memory. Cloning shares it.
///
/// A confirmed change survives the end of the process and of the machine. Several processes of one machine may open the same
/// file; it must not lie on a network file system. Changes of other processes are told within a quarter of a second.
#[derive(Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
    actor: Option<Arc<str>>,
}

struct Shared {
    settings: Settings,
    /// One connection: SQLite has one writer at a time.
    writer: SqlitePool,
    readers: SqlitePool,
    /// Where others may write; nowhere, if it is in memory.
    watched: Option<SqliteConnectOptions>,
    runtime: Handle,
    told: Told,
    upkeep: Upkeep,
}

impl SqliteStore {
    /// Opens a file, such as `keys.db`, with the defaults of the [builder](Self::builder).
    ///
    /// # Errors
    ///
    /// As [`SqliteStoreBuilder::open`].
    pub async fn open(place: &str) -> Result<Self, StoreError> {
        Self::builder().open(place).await
    }

    /// Makes a store that lives in memory and ends with it.
    ///
    /// # Errors
    ///
    /// As [`SqliteStoreBuilder::in_memory`].
    pub async fn in_memory() -> Result<Self, StoreError> {
        Self::builder().in_memory().await
    }

    /// Starts with the settings.
    pub fn builder() -> SqliteStoreBuilder {
        SqliteStoreBuilder::default()
    }

    /// Returns the same store for somebody whose name stands in the audit beside each change that is made through it.
    #[must_use]
    pub fn acting_as(&self, actor: impl Into<String>) -> Self {
        Self { shared: Arc::clone(&self.shared), actor: Some(actor.into().into()) }
    }

    /// Writes when keys were used, and closes the database, also for all clones.
    ///
    /// # Errors
    ///
    /// Those of writing.
    pub async fn close(&self) -> Result<(), AdminError> {
        let written = Upkeep::flush(Arc::clone(&self.shared)).await;
        self.shared.told.end();
        within::<_, AdminError>(self.shared.settings.change_timeout, async {
            self.shared.readers.close().await;
            self.shared.writer.close().await;
            Ok(())
        })
        .await?;
        written
    }

    fn of(shared: Arc<Shared>) -> Self {
        Self { shared, actor: None }
    }

    #[cfg(test)]
    fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Kept for Shared {
    fn upkeep(&self) -> &Upkeep {
        &self.upkeep
    }

    fn touch(self: Arc<Self>, used: Vec<(KeyId, SystemTime)>) -> BoxFuture<Result<(), AdminError>> {
        Box::pin(async move { within(self.settings.long_timeout(used.len()), self.touch_all(&used)).await })
    }

    fn sweep(self: Arc<Self>, ended_before: SystemTime) -> BoxFuture<Result<u64, AdminError>> {
        Box::pin(async move { self.sweep_all(ended_before, &self.entry(None, AuditAction::Swept)).await })
    }

    fn now(&self) -> SystemTime {
        self.settings.rules.now()
    }
}

impl KeyStore for SqliteStore {
    fn find(&self, by: &Lookup) -> Answer<Found> {
        let (shared, by) = (Arc::clone(&self.shared), *by);
        Answer::later(async move { within(shared.settings.find_timeout, shared.find(by)).await })
    }

    fn seen(&self, id: &KeyId, when: SystemTime) {
        Upkeep::seen(&self.shared, id, when);
    }

    fn rules(&self) -> KeyRules {
        self.shared.settings.rules.clone()
    }

    fn notices(&self) -> Option<Notices> {
        let (listener, notices) = Notices::channel();
        let shared = &self.shared;
        match &shared.watched {
            Some(options) => {
                let task = watch::watch(options.clone(), listener.clone(), Arc::downgrade(shared));
                shared.told.run(&shared.runtime, listener, task);
            }
            None => {
                listener.send(Notice::Connected);
                shared.told.add(listener);
            }
        }
        Some(notices)
    }
}

impl KeyAdmin for SqliteStore {
    fn insert(&self, record: KeyRecord) -> Answer<Result<(), AdminError>> {
        let Self { shared, actor } = self.clone();
        Answer::later(async move {
            let entry = shared.entry(actor.as_deref(), AuditAction::Issued);
            within(shared.settings.change_timeout, shared.insert(&record, &entry)).await
        })
    }

    fn insert_all(&self, records: Vec<KeyRecord>) -> Answer<Result<Vec<KeyId>, AdminError>> {
        let Self { shared, actor } = self.clone();
        Answer::later(async move {
            let entry = shared.entry(actor.as_deref(), AuditAction::Issued);
            within(shared.settings.long_timeout(records.len()), shared.insert_all(&records, &entry)).await
        })
    }

    fn change(&self, id: &KeyId, change: KeyChange) -> Answer<Result<Arc<KeyRecord>, AdminError>> {
        let (Self { shared, actor }, id) = (self.clone(), *id);
        Answer::later(async move {
            let entry = shared.entry(actor.as_deref(), change.action());
            within(shared.settings.change_timeout, shared.change(&id, change, &entry)).await
        })
    }

    fn list(&self, filter: &KeyFilter, after: Option<&KeyId>, limit: usize) -> Answer<Result<Page, AdminError>> {
        let (shared, filter, after) = (Arc::clone(&self.shared), filter.clone(), after.copied());
        Answer::later(
            async move { within(shared.settings.long_timeout(limit), shared.list(&filter, after, limit)).await },
        )
    }

    fn flush(&self) -> Answer<Result<(), AdminError>> {
        Answer::Later(Upkeep::flush(Arc::clone(&self.shared)))
    }

    fn sweep(&self, ended_before: SystemTime) -> Answer<Result<u64, AdminError>> {
        let Self { shared, actor } = self.clone();
        Answer::later(async move {
            let entry = shared.entry(actor.as_deref(), AuditAction::Swept);
            shared.sweep_all(ended_before, &entry).await
        })
    }

    fn audit(
        &self,
        key: Option<&KeyId>,
        before: Option<u64>,
        limit: usize,
    ) -> Answer<Result<Vec<AuditEntry>, AdminError>> {
        let (shared, key) = (Arc::clone(&self.shared), key.copied());
        Answer::later(async move { within(shared.settings.change_timeout, shared.audit(key, before, limit)).await })
    }

    fn durability(&self) -> Durability {
        match self.shared.watched {
            Some(_) => Durability::Durable,
            None => Durability::Volatile,
        }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("settings", &self.shared.settings)
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}

fn failed(error: sqlx::Error) -> AdminError {
    admin_error(error, outage)
}

/// Returns whether what a code of SQLite says passes by itself: somebody else writes, there is no memory, the disk is full or
/// does not answer.
fn outage(code: &str) -> bool {
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    const NO_MEMORY: i32 = 7;
    const INPUT_OUTPUT: i32 = 10;
    const FULL: i32 = 13;
    // The lower eight bits are the code; the others say more.
    let code = code.parse::<i32>().map(|code| code & 0xff);
    code.is_ok_and(|code| [BUSY, LOCKED, NO_MEMORY, INPUT_OUTPUT, FULL].contains(&code))
}
