//! What was used, in Redis or Valkey: `once:<SHA-256 of the id>` below the [prefix](RedisServer::prefix), until its time is over.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::Cmd;

use super::{ReplayStore, short};
use crate::redis_server::Connected;
use crate::{Answer, Clock, RedisServer, StoreError, SystemClock};

/// For how much longer ids are remembered, so that clocks of processes need not agree.
const LONGER: Duration = Duration::from_secs(60);

/// Remembers in Redis what was used, for many processes. Clones share the connection, too.
///
/// A use is answered without waiting for the disk: with `appendfsync everysec`, a crash of the server forgets what was used in
/// the second before. With `appendfsync always` it forgets nothing.
///
/// ```no_run
/// use std::time::{Duration, SystemTime};
/// use tower_keep::{RedisReplayStore, ReplayStore};
///
/// # async fn run() -> Result<(), tower_keep::StoreError> {
/// let used = RedisReplayStore::connect("redis://redis.internal").await?;
/// let is_first = used.first_use("dpop:a7f3", SystemTime::now() + Duration::from_secs(60)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisReplayStore {
    redis: Arc<Connected>,
    clock: Arc<dyn Clock>,
}

impl RedisReplayStore {
    /// Connects.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if the server is out of reach, [`StoreError::Misconfigured`] if the URL or the password is
    /// wrong, or the server throws entries away when its memory is full.
    pub async fn connect(server: impl Into<RedisServer>) -> Result<Self, StoreError> {
        Ok(Self { redis: Connected::to(server.into()).await?, clock: Arc::new(SystemClock) })
    }

    /// Asks another clock how long an id has to be remembered. The default is that of the machine.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}

impl ReplayStore for RedisReplayStore {
    fn first_use(&self, id: &str, until: SystemTime) -> Answer<Result<bool, StoreError>> {
        let now = self.clock.now();
        let Some(left) = until.duration_since(now).ok().filter(|left| !left.is_zero()) else {
            return Answer::Now(Ok(false));
        };
        let millis = left.saturating_add(LONGER).as_millis().min(i64::MAX as u128 / 2) as u64;
        let mut set = Cmd::new();
        set.arg("SET").arg(self.redis.key(format_args!("once:{}", URL_SAFE_NO_PAD.encode(short(id)))));
        set.arg(1).arg("NX").arg("PX").arg(millis);
        let redis = Arc::clone(&self.redis);
        // `OK`, or nothing where it is there.
        Answer::later(async move { Ok(redis.query::<Option<String>>(&set).await?.is_some()) })
    }
}

impl fmt::Debug for RedisReplayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisReplayStore").field("server", self.redis.server()).finish_non_exhaustive()
    }
}
