//! What others do to the file. SQLite tells nobody; it has a number that changes with every commit of somebody else, which is
//! cheap to look at.

use std::sync::Weak;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use tokio::time::sleep;

use super::{Shared, outage};
use crate::api_key::KeyId;
use crate::api_key::store::sql::{back_off, store_error};
use crate::api_key::store::{Notice, NoticeSender};

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(250);
/// More changes at once are told as one that speaks of all keys.
const CHANGES_MAX: i64 = 500;

/// Where a listener stands.
struct Seen {
    commits: i64,
    audit: i64,
    touched: i64,
}

/// Tells of changes, until the store is gone.
pub(super) async fn watch(options: SqliteConnectOptions, listener: NoticeSender, store: Weak<Shared>) {
    let mut failures = 0;
    let mut is_told = false;
    loop {
        let error = match start(&options).await {
            Ok((mut db, mut seen)) => {
                failures = 0;
                listener.send(Notice::Connected);
                let Some(store) = store.upgrade() else { return };
                if !is_told {
                    store.told.add(listener.clone());
                    is_told = true;
                }
                drop(store);
                loop {
                    sleep(EVERY).await;
                    if let Err(error) = look(&mut db, &mut seen, &listener).await {
                        break error;
                    }
                }
            }
            Err(error) => error,
        };
        if failures == 0 {
            listener.send(Notice::Disconnected(store_error(error, outage)));
        }
        sleep(back_off(failures)).await;
        failures += 1;
    }
}

async fn start(options: &SqliteConnectOptions) -> Result<(SqliteConnection, Seen), sqlx::Error> {
    let mut db = SqliteConnection::connect_with(options).await?;
    // The commits first: what comes after them is told twice, rather than not at all.
    let commits = commits(&mut db).await?;
    let audit = sqlx::query_scalar("SELECT ifnull(max(number), 0) FROM tower_keep_audit").fetch_one(&mut db).await?;
    let touched = touched(&mut db).await?;
    Ok((db, Seen { commits, audit, touched }))
}

async fn look(db: &mut SqliteConnection, seen: &mut Seen, listener: &NoticeSender) -> Result<(), sqlx::Error> {
    let commits = commits(db).await?;
    if commits == seen.commits {
        return Ok(());
    }
    let new = "SELECT number, key_id FROM tower_keep_audit WHERE number > ?1 ORDER BY number LIMIT ?2";
    let new: Vec<(i64, String)> = sqlx::query_as(new).bind(seen.audit).bind(CHANGES_MAX).fetch_all(&mut *db).await?;
    let touched = touched(db).await?;
    if new.len() as i64 == CHANGES_MAX {
        let last = "SELECT ifnull(max(number), 0) FROM tower_keep_audit";
        seen.audit = sqlx::query_scalar(last).fetch_one(&mut *db).await?;
        listener.send(Notice::AllChanged);
    } else if let Some((last, _)) = new.last() {
        seen.audit = *last;
        for id in new.iter().filter_map(|(_, id)| KeyId::new(id).ok()) {
            listener.send(Notice::Changed(id));
        }
    } else if touched == seen.touched {
        // Somebody wrote by hand.
        listener.send(Notice::AllChanged);
    }
    (seen.commits, seen.touched) = (commits, touched);
    Ok(())
}

async fn commits(db: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA data_version").fetch_one(db).await
}

async fn touched(db: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT ifnull(max(times), 0) FROM tower_keep_touched").fetch_one(db).await
}
