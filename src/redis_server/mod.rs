//! A Redis server, and what the stores on it have in common: the connection, what a confirmed change survives, errors.
//!
//! Redis 6.2 and later and Valkey serve. The server must not evict keys (`maxmemory-policy noeviction`): an entry that is gone
//! would un-deny a token. A change is confirmed when it is on the disk, which needs `appendonly yes` and one of
//!
//! - `appendfsync always`,
//! - Redis 7.2 or Valkey, which can be asked to wait for it (`WAITAOF`). With `appendfsync everysec` that takes a second.
//!
//! Any other server is used all the same, says `store_volatile` in the log once, and is
//! [`Volatile`](crate::Durability::Volatile). A failover to a replica may lose what was confirmed, in any case.
//!
//! A user of access control lists needs the commands `INFO`, `CONFIG|GET` (may be left out), `GET`, `MGET`, `SET`, `DEL`, `EXISTS`,
//! `PTTL`, `PEXPIRE`, `PEXPIREAT`, `ZADD`, `ZREM`, `ZRANGEBYLEX`, `EVALSHA`, `SCRIPT|LOAD`, `WAITAOF`, `PING` and
//! `CLIENT|TRACKING`, on the keys below the prefix.

mod barrier;
mod connected;
mod errors;
mod health;
mod link;
#[cfg(not(feature = "redis-tls"))]
mod no_tls;
#[cfg(feature = "redis-tls")]
mod tls;

use std::fmt;
use std::time::Duration;

use redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

#[cfg(not(feature = "redis-tls"))]
use no_tls as tls;

use crate::StoreError;
pub(crate) use connected::Connected;
pub(crate) use errors::store_error;

/// What names of keys begin with. What stands in braces decides on the slot in a cluster, so all keys are in one.
const PREFIX: &str = "{tower-keep}:";
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const CHECK_EVERY: Duration = Duration::from_secs(60);

/// Where a Redis server is, and how to talk to it. Nothing is connected until a store is.
///
/// ```
/// use std::time::Duration;
/// use tower_keep::RedisServer;
///
/// let server = RedisServer::new("redis://:password@redis.internal:6379/0")
///     .prefix("{billing}:")
///     .response_timeout(Duration::from_millis(500));
/// assert!(!format!("{server:?}").contains("password"));
/// ```
#[derive(Clone)]
pub struct RedisServer {
    url: String,
    prefix: String,
    response_timeout: Duration,
    connect_timeout: Duration,
    check_every: Duration,
}

impl RedisServer {
    /// Names a server by its URL: `redis://[user][:password@]host[:port][/database]`, `rediss://` for TLS (feature `redis-tls`;
    /// the certificate has to be one that the machine trusts), or `unix:///path`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: PREFIX.to_owned(),
            response_timeout: RESPONSE_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            check_every: CHECK_EVERY,
        }
    }

    /// Sets what the names of all keys begin with. The default is `{tower-keep}:`. In a cluster the part in braces decides where
    /// keys are, and they have to be in one place: a prefix without braces works on a single server only.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets how long a question may take, the connection included. The default is 2 seconds. A change that has to be on the
    /// disk first may take 5 seconds more.
    #[must_use]
    pub const fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// Sets how long it may take to connect and log in. The default is 1 second.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how often it is looked at what a change on the server survives, and that it evicts nothing: somebody may have changed
    /// its settings. The default is once a minute, by a new connection.
    #[must_use]
    pub const fn check_every(mut self, time: Duration) -> Self {
        self.check_every = time;
        self
    }

    /// Returns the name of a key below the prefix.
    pub(crate) fn key(&self, name: fmt::Arguments<'_>) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(crate) const fn timeouts(&self) -> (Duration, Duration) {
        (self.connect_timeout, self.response_timeout)
    }

    /// Makes a client, which is not connected yet. It is told of what happens to its connections, which needs RESP3.
    pub(crate) fn client(&self) -> Result<Client, StoreError> {
        if ["rediss:", "valkeys:"].iter().any(|scheme| self.url.starts_with(scheme)) {
            tls::prepare()?;
        }
        if self.url.contains('#') {
            return Err(StoreError::misconfigured("the URL of the Redis server has a part behind `#`"));
        }
        let info = self.info().map_err(store_error)?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        Client::open(info.set_redis_settings(settings)).map_err(store_error)
    }

    fn info(&self) -> Result<ConnectionInfo, redis::RedisError> {
        self.url.as_str().into_connection_info()
    }
}

impl From<&str> for RedisServer {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

impl From<&String> for RedisServer {
    fn from(url: &String) -> Self {
        Self::new(url)
    }
}

impl From<String> for RedisServer {
    fn from(url: String) -> Self {
        Self::new(url)
    }
}

impl fmt::Debug for RedisServer {
    // The URL may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.info().map(|info| info.addr().to_string());
        f.debug_struct("RedisServer")
            .field("address", &address.as_deref().unwrap_or("not a URL"))
            .field("prefix", &self.prefix)
            .field("response_timeout", &self.response_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .finish()
    }
}
