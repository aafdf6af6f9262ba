//! Waits until what was written is on the disk.
//!
//! `WAITAOF` holds up its connection, so it has one of its own. It waits for what was written on that connection; a small entry
//! is written there first, and all that the same process of the server did before is older than that. Those who come while
//! one waits take part in the next round together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::{Cmd, Script};
use tokio::sync::Mutex;

use super::link::{Link, Question};
use crate::StoreError;

/// How long the disk may take.
const DISK: Duration = Duration::from_secs(5);

pub(super) struct Barrier {
    link: Arc<Link>,
    key: String,
    write: Script,
    started: AtomicU64,
    /// The last round that has ended: its number, and the process that has written all.
    last: Mutex<(u64, Result<String, StoreError>)>,
}

impl Barrier {
    pub(super) fn new(link: Arc<Link>, key: String) -> Self {
        Self {
            link,
            key,
            write: Script::new("return redis.call('SET', KEYS[1], ARGV[1])"),
            started: AtomicU64::new(0),
            last: Mutex::new((0, Ok(String::new()))),
        }
    }

    /// Waits until what a process of the server has answered before this call is on its disk.
    pub(super) async fn pass(&self, run_id: &str) -> Result<(), StoreError> {
        let needed = self.started.load(Ordering::SeqCst) + 1;
        let mut last = self.last.lock().await;
        if last.0 < needed {
            let round = self.started.fetch_add(1, Ordering::SeqCst) + 1;
            *last = (round, self.wait(round).await);
        }
        match &last.1 {
            Ok(process) if process == run_id => Ok(()),
            Ok(_) => Err(not_durable("the server was restarted meanwhile")),
            Err(error) => Err(error.clone()),
        }
    }

    pub(super) fn close(&self) {
        self.link.close();
    }

    async fn wait(&self, round: u64) -> Result<String, StoreError> {
        let unsure = |error: StoreError| {
            not_durable(std::error::Error::source(&error).map_or_else(String::new, |why| why.to_string()))
        };
        let arguments = [round.to_string().into_bytes()];
        let write = Question::Script(&self.write, std::slice::from_ref(&self.key), &arguments);
        let (_, before) = self.link.ask::<()>(write, Duration::ZERO).await.map_err(unsure)?;
        let mut wait = Cmd::new();
        wait.arg("WAITAOF").arg(1).arg(0).arg(DISK.as_millis() as u64);
        let waiting = self.link.ask::<(u64, u64)>(Question::Command(&wait), DISK).await;
        let ((local, _), after) = waiting.map_err(unsure)?;
        match local {
            // On a new connection nothing was written that it could have waited for.
            _ if !Arc::ptr_eq(&before, &after) => Err(not_durable("the connection broke meanwhile")),
            0 => Err(not_durable(format!("the log was not on the disk after {DISK:?}"))),
            _ => Ok(before.run_id.clone()),
        }
    }
}

fn not_durable(why: impl std::fmt::Display) -> StoreError {
    StoreError::unavailable(format!("the change was made and is not known to survive a crash: {why}"))
}
