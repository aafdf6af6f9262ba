//! Keys in PostgreSQL, for services of many nodes.
//!
//! ```no_run
//! use tower_keep::{ApiKeyLayer, KeyAdmin, NewKey, PostgresStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = PostgresStore::open("postgres://keys@db.example.com/keys?sslmode=verify-full").await?;
//! let layer = ApiKeyLayer::new(keys.clone());
//!
//! let issued = keys.acting_as("alice").issue(NewKey::for_owner("billing").scopes(["read"])).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The tables are made when a store is opened, by one of all that start at once. Their names start with `tower_keep_`; another
//! schema than that of the user is chosen by the URL: `?options=-csearch_path%3Dkeys`.
//!
//! Changes are told by `NOTIFY` in the transaction that makes them; what is written by hand is not told. **PgBouncer** in its
//! transaction mode passes no notices, so that a copy of a record is good for its time there; prepared statements need its
//! version 1.21 and `max_prepared_statements`.

mod builder;
mod keys;
mod listen;
mod schema;
mod work;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use sqlx::PgPool;
use tokio::runtime::Handle;

pub use builder::PostgresStoreBuilder;

use super::sql::{Settings, Told, admin_error};
use super::upkeep::{Kept, Upkeep};
use super::{
    AdminError, AuditAction, AuditEntry, Found, KeyAdmin, KeyChange, KeyFilter, KeyStore, Lookup, Notices, Page,
};
use crate::api_key::{KeyId, KeyRecord, KeyRules};
use crate::sql::{outage, within};
use crate::{Answer, BoxFuture, Durability, StoreError};

/// Keeps keys in PostgreSQL. Cloning shares it.
///
/// A confirmed change survives the end of the server and of its machine, also where `synchronous_commit` is off: a change sets
/// it on for itself. While the server is away, look-ups are answered by [`StoreError::Unavailable`] in time, and connections
/// come back by themselves.
#[derive(Clone)]
pub struct PostgresStore {
    shared: Arc<Shared>,
    actor: Option<Arc<str>>,
}

struct Shared {
    settings: Settings,
    pool: PgPool,
    runtime: Handle,
    told: Told,
    upkeep: Upkeep,
}

impl PostgresStore {
    /// Connects to a server, such as `postgres://user:password@host/database`, with the defaults of the
    /// [builder](Self::builder).
    ///
    /// # Errors
    ///
    /// As [`PostgresStoreBuilder::open`].
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Self::builder().open(url).await
    }

    /// Starts with the settings.
    pub fn builder() -> PostgresStoreBuilder {
        PostgresStoreBuilder::default()
    }

    /// Returns the same store for somebody whose name stands in the audit beside each change that is made through it.
    #[must_use]
    pub fn acting_as(&self, actor: impl Into<String>) -> Self {
        Self { shared: Arc::clone(&self.shared), actor: Some(actor.into().into()) }
    }

    /// Writes when keys were used, and closes the connections, also those of all clones.
    ///
    /// # Errors
    ///
    /// Those of writing.
    pub async fn close(&self) -> Result<(), AdminError> {
        let written = Upkeep::flush(Arc::clone(&self.shared)).await;
        self.shared.told.end();
        within::<_, AdminError>(self.shared.settings.change_timeout, async {
            self.shared.pool.close().await;
            Ok(())
        })
        .await?;
        written
    }

    fn of(shared: Arc<Shared>) -> Self {
        Self { shared, actor: None }
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

impl KeyStore for PostgresStore {
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
        let task = listen::listen(shared.pool.clone(), listener.clone(), Arc::downgrade(shared));
        shared.told.run(&shared.runtime, listener, task);
        Some(notices)
    }
}

impl KeyAdmin for PostgresStore {
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
        Durability::Durable
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("settings", &self.shared.settings)
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}

fn failed(error: sqlx::Error) -> AdminError {
    admin_error(error, outage)
}
