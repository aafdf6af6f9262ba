//! What other nodes tell of changes, by `NOTIFY`.

use std::sync::Weak;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::time::{sleep, timeout};

use super::{Shared, outage};
use crate::StoreError;
use crate::api_key::KeyId;
use crate::api_key::store::sql::{back_off, store_error, within};
use crate::api_key::store::{Notice, NoticeSender};

pub(super) const CHANNEL: &str = "tower_keep";
/// No key has this id.
pub(super) const ALL: &str = "*";
/// After so long a silence the server is asked whether it is still there.
const SILENCE: Duration = Duration::from_secs(10);
/// How long that, or to connect, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells of changes, until the store is gone.
pub(super) async fn listen(pool: PgPool, listener: NoticeSender, store: Weak<Shared>) {
    let mut failures = 0;
    let mut is_told = false;
    loop {
        let error = match within(PATIENCE, start(&pool)).await {
            Ok(mut connection) => {
                failures = 0;
                listener.send(Notice::Connected);
                let Some(store) = store.upgrade() else { return };
                if !is_told {
                    store.told.add(listener.clone());
                    is_told = true;
                }
                drop(store);
                pass_on(&mut connection, &listener).await
            }
            Err(error) => error,
        };
        if failures == 0 {
            listener.send(Notice::Disconnected(error));
        }
        sleep(back_off(failures)).await;
        failures += 1;
    }
}

/// A connection of its own, so that those of the pool are left to requests.
async fn start(pool: &PgPool) -> Result<PgListener, StoreError> {
    let failed = |error| store_error(error, outage);
    let options = (*pool.connect_options()).clone();
    let own = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None).acquire_timeout(PATIENCE);
    let mut connection = PgListener::connect_with(&own.connect_lazy_with(options)).await.map_err(failed)?;
    connection.eager_reconnect(false);
    connection.listen(CHANNEL).await.map_err(failed)?;
    Ok(connection)
}

/// Passes on what is told, until the connection is lost.
async fn pass_on(connection: &mut PgListener, listener: &NoticeSender) -> StoreError {
    loop {
        match timeout(SILENCE, connection.try_recv()).await {
            Ok(Ok(Some(told))) => {
                let notice = KeyId::new(told.payload()).map_or(Notice::AllChanged, Notice::Changed);
                listener.send(notice);
            }
            Ok(Ok(None)) => return StoreError::unavailable("the connection that listens was lost"),
            Ok(Err(error)) => return store_error(error, outage),
            Err(_) => match timeout(PATIENCE, sqlx::query("SELECT 1").execute(&mut *connection)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return store_error(error, outage),
                Err(_) => return StoreError::unavailable("the server does not answer"),
            },
        }
    }
}
