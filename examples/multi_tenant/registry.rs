//! Who the tenants are. In earnest it is a table of a database.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Clone, Default)]
pub(crate) struct Registry(Arc<Shared>);

#[derive(Default)]
struct Shared {
    audiences: Mutex<HashMap<String, String>>,
    asked: AtomicUsize,
    away: AtomicBool,
}

impl Registry {
    pub(crate) fn add(&self, tenant: &str, audience: &str) {
        self.audiences().insert(tenant.to_owned(), audience.to_owned());
    }

    pub(crate) fn remove(&self, tenant: &str) {
        self.audiences().remove(tenant);
    }

    pub(crate) fn set_away(&self, away: bool) {
        self.0.away.store(away, Ordering::Relaxed);
    }

    /// Returns for whom the tokens of a tenant are, if it is one.
    pub(crate) async fn audience_of(&self, tenant: &str) -> io::Result<Option<String>> {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        // A database takes its time.
        tokio::task::yield_now().await;
        match self.0.away.load(Ordering::Relaxed) {
            true => Err(io::Error::other("the database is away")),
            false => Ok(self.audiences().get(tenant).cloned()),
        }
    }

    /// Returns how often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.0.asked.load(Ordering::Relaxed)
    }

    fn audiences(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.audiences.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
