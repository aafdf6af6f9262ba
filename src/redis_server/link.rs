//! A connection that many share, and that is made anew when it breaks.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, PushInfo, PushKind, RedisError, Script,
    ServerErrorKind,
};
use tokio::time::{Instant, timeout};

use super::health::Health;
use super::{RedisServer, store_error};
use crate::StoreError;

/// For how long a failure to connect is told to others who ask, so that a crowd does not try one after the other.
const COOL_DOWN: Duration = Duration::from_millis(100);

pub(super) struct Link {
    client: Client,
    connect_timeout: Duration,
    response_timeout: Duration,
    check_every: Duration,
    current: Mutex<State>,
    /// Who connects.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    live: Option<Live>,
    failed: Option<(Instant, StoreError)>,
    made: u64,
    closed: bool,
}

/// A connection, and what was found on it.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) connection: MultiplexedConnection,
    pub(super) health: Arc<Health>,
    number: u64,
    checked_at: Instant,
}

/// What is asked of a server.
pub(super) enum Question<'a> {
    Command(&'a Cmd),
    Script(&'a Script, &'a [String], &'a [Vec<u8>]),
}

impl Link {
    pub(super) fn new(client: Client, server: &RedisServer) -> Arc<Self> {
        let (connect_timeout, response_timeout) = server.timeouts();
        Arc::new(Self {
            client,
            connect_timeout,
            response_timeout,
            check_every: server.check_every,
            current: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
        })
    }

    /// Asks, and returns the answer with the process that gave it.
    pub(super) async fn ask<T: FromRedisValue>(
        self: &Arc<Self>,
        question: Question<'_>,
        more_time: Duration,
    ) -> Result<(T, Arc<Health>), StoreError> {
        let mut used = None;
        let asking = async {
            let Live { mut connection, health, number, .. } = self.live().await?;
            used = Some(number);
            let answer = question.put(&mut connection).await;
            if answer.as_ref().is_err_and(RedisError::is_unrecoverable_error) {
                self.drop_if(number);
            }
            answer.map(|answer| (answer, health)).map_err(store_error)
        };
        let limit = self.response_timeout.saturating_add(more_time);
        let outcome = timeout(limit, asking).await;
        outcome.unwrap_or_else(|_| {
            // The other side may be gone without a word.
            used.into_iter().for_each(|number| self.drop_if(number));
            Err(StoreError::unavailable(format!("the Redis server did not answer within {limit:?}")))
        })
    }

    /// Returns the connection, or makes one. It is made to the end even if the caller does not wait for it.
    pub(super) async fn live(self: &Arc<Self>) -> Result<Live, StoreError> {
        if let Some(known) = self.known() {
            return known;
        }
        match tokio::spawn(Arc::clone(self).connect()).await {
            Ok(outcome) => outcome,
            Err(error) => Err(StoreError::unavailable(error)),
        }
    }

    /// Lets go of the connection, and makes no other one.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.live = None;
    }

    async fn connect(self: Arc<Self>) -> Result<Live, StoreError> {
        let _turn = self.turn.lock().await;
        if let Some(known) = self.known() {
            return known;
        }
        let number = {
            let mut state = self.lock();
            state.made += 1;
            state.made
        };
        // A connection that breaks while nobody uses it is not given to the next one who asks.
        let link = Arc::downgrade(&self);
        let dropped = move |push: PushInfo| {
            if matches!(push.kind, PushKind::Disconnection) {
                link.upgrade().inspect(|link| link.drop_if(number));
            }
            Ok::<_, Infallible>(())
        };
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let config = config.set_push_sender(dropped);
        let connecting = async {
            let connection = self.client.get_multiplexed_async_connection_with_config(&config).await;
            let mut connection = connection.map_err(store_error)?;
            let health = Health::of(&mut connection).await?;
            Ok((connection, Arc::new(health)))
        };
        let outcome = timeout(self.connect_timeout, connecting).await.unwrap_or_else(|_| {
            let text = format!("there is no connection to the Redis server after {:?}", self.connect_timeout);
            Err(StoreError::unavailable(text))
        });
        let mut state = self.lock();
        match outcome {
            Ok((connection, health)) => {
                let live = Live { connection, health, number, checked_at: Instant::now() };
                state.failed = None;
                state.live = (!state.closed).then(|| live.clone());
                Ok(live)
            }
            // A connection that is there goes on, if it is only that there is no other one at the moment.
            Err(StoreError::Unavailable { .. }) if state.live.is_some() => match &mut state.live {
                Some(live) => {
                    live.checked_at = Instant::now();
                    Ok(live.clone())
                }
                None => Err(StoreError::unavailable("the connection is gone")),
            },
            Err(error) => {
                state.live = None;
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    fn known(&self) -> Option<Result<Live, StoreError>> {
        let state = self.lock();
        if state.closed {
            return Some(Err(StoreError::unavailable("the store is closed")));
        }
        let failed = state.failed.as_ref().filter(|(when, _)| when.elapsed() < COOL_DOWN);
        // The server may have been set up in another way since: a new connection finds out.
        let live = state.live.clone().filter(|live| live.checked_at.elapsed() < self.check_every);
        live.map(Ok).or_else(|| failed.map(|(_, error)| Err(error.clone())))
    }

    /// Drops a connection that is broken, unless there is another one already.
    pub(super) fn drop_if(&self, number: u64) {
        let mut state = self.lock();
        if state.live.as_ref().is_some_and(|live| live.number == number) {
            state.live = None;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Question<'_> {
    async fn put<T: FromRedisValue>(&self, connection: &mut MultiplexedConnection) -> Result<T, RedisError> {
        match self {
            Self::Command(command) => command.query_async(connection).await,
            Self::Script(script, keys, arguments) => {
                let mut command = Cmd::new();
                command.arg("EVALSHA").arg(script.get_hash()).arg(keys.len()).arg(*keys).arg(*arguments);
                let answer = command.query_async(connection).await;
                match answer {
                    Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                        script.load_async(connection).await?;
                        command.query_async(connection).await
                    }
                    answer => answer,
                }
            }
        }
    }
}
