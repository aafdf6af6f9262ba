//! What a server says of itself: which process it is, and what a change on it survives.

use std::collections::HashMap;

use redis::RedisError;
use redis::aio::MultiplexedConnection;

use super::store_error;
use crate::StoreError;

/// How a change becomes durable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Assurance {
    /// It is on the disk when the server answers.
    Always,
    /// The server has to be asked to wait for it.
    Wait,
    /// Not at all, or at some time.
    None(&'static str),
}

/// What was found when a connection was made.
#[derive(Clone, Debug)]
pub(super) struct Health {
    /// The process: another one may not know what this one did.
    pub(super) run_id: String,
    pub(super) assurance: Assurance,
}

impl Health {
    /// Asks a server.
    ///
    /// # Errors
    ///
    /// [`StoreError::Misconfigured`] if it throws away entries when its memory is full.
    pub(super) async fn of(connection: &mut MultiplexedConnection) -> Result<Self, StoreError> {
        let info: String = redis::cmd("INFO").query_async(connection).await.map_err(store_error)?;
        match field(&info, "maxmemory_policy") {
            Some("noeviction") => {}
            Some(policy) => {
                return Err(StoreError::misconfigured(format!(
                    "the Redis server throws entries away when its memory is full (maxmemory-policy {policy}): set it to \
                     noeviction"
                )));
            }
            None => return Err(StoreError::misconfigured("the Redis server does not say its maxmemory-policy")),
        }
        let run_id = field(&info, "run_id").unwrap_or_default().to_owned();
        if field(&info, "aof_enabled") != Some("1") {
            let assurance = Assurance::None("the server keeps no log on disk: set `appendonly yes`");
            return Ok(Self { run_id, assurance });
        }
        // Managed servers do not show their settings.
        let config: Result<HashMap<String, String>, RedisError> =
            redis::cmd("CONFIG").arg("GET").arg("appendfsync").query_async(connection).await;
        let fsync = config.ok().and_then(|mut config| config.remove("appendfsync"));
        let assurance = match fsync.as_deref() {
            Some("always") => Assurance::Always,
            Some("no") => {
                Assurance::None("the server leaves it to the system when its log is on disk: `appendfsync no`")
            }
            _ if can_wait(&info) => Assurance::Wait,
            _ => Assurance::None(
                "the server writes its log to disk each second and cannot be waited for: set `appendfsync always`, or use \
                 Redis 7.2 or Valkey",
            ),
        };
        Ok(Self { run_id, assurance })
    }
}

/// Tells whether a server knows `WAITAOF`: Redis 7.2, and all that began as a copy of it.
fn can_wait(info: &str) -> bool {
    let version = field(info, "redis_version").unwrap_or_default();
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()) >= (7, 2)
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}
