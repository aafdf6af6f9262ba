//! Hears of changes to keys from Redis, which tells of them to a connection that asks for it (RESP3, client tracking).

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, PushInfo, PushKind, Value};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::api_key::KeyId;
use crate::api_key::store::{Notice, NoticeSender, Notices};
use crate::redis_server::store_error;
use crate::{RedisServer, StoreError};

/// How often it is asked whether the other side is there, since one that is cut off says nothing.
const PING: Duration = Duration::from_secs(5);
const BACK_OFF_MIN: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// Starts to listen, if there is a runtime to do it on. It ends with the store, and when nobody reads what is told.
pub(super) fn start(server: &RedisServer, mut open: watch::Receiver<bool>) -> Option<Notices> {
    let runtime = Handle::try_current().ok()?;
    let (sender, notices) = Notices::channel();
    let server = server.clone();
    runtime.spawn(async move {
        let closed = async { drop(open.wait_for(|open| !open).await) };
        let ended = first(sender.closed(), closed);
        first(ended, listen(&server, &sender)).await;
    });
    Some(notices)
}

async fn listen(server: &RedisServer, sender: &NoticeSender) {
    let mut wait = BACK_OFF_MIN;
    let mut told = false;
    loop {
        let lost = Arc::new(Notify::new());
        let error = match connect(server, sender, &lost).await {
            Ok(connection) => {
                sender.send(Notice::Connected);
                (wait, told) = (BACK_OFF_MIN, false);
                until_lost(server, connection, &lost).await
            }
            Err(error) => error,
        };
        if !told {
            told = sender.send(Notice::Disconnected(error));
        }
        sleep(wait).await;
        wait = BACK_OFF_MAX.min(wait * 2);
    }
}

async fn connect(
    server: &RedisServer,
    sender: &NoticeSender,
    lost: &Arc<Notify>,
) -> Result<MultiplexedConnection, StoreError> {
    let client = server.client()?;
    let prefix = server.key(format_args!("key:"));
    let (sender, lost, begins) = (sender.clone(), Arc::clone(lost), prefix.clone());
    let tell = move |push: PushInfo| {
        match push.kind {
            PushKind::Invalidate => notices(&push.data, &begins, &sender),
            PushKind::Disconnection => lost.notify_one(),
            _ => {}
        }
        Ok::<_, std::convert::Infallible>(())
    };
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let config = config.set_push_sender(tell);
    let connecting = async {
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut tracking = redis::cmd("CLIENT");
        tracking.arg("TRACKING").arg("ON").arg("BCAST").arg("PREFIX").arg(prefix);
        tracking.query_async::<()>(&mut connection).await?;
        Ok(connection)
    };
    let (limit, _) = server.timeouts();
    match timeout(limit, connecting).await {
        Ok(connected) => connected.map_err(store_error),
        Err(_) => Err(StoreError::unavailable(format!("there is no connection to the Redis server after {limit:?}"))),
    }
}

/// Waits until the connection is lost, and returns why.
async fn until_lost(server: &RedisServer, mut connection: MultiplexedConnection, lost: &Notify) -> StoreError {
    let (_, limit) = server.timeouts();
    loop {
        if timeout(PING, lost.notified()).await.is_ok() {
            return StoreError::unavailable("the connection to the Redis server is lost");
        }
        match timeout(limit, redis::cmd("PING").query_async::<()>(&mut connection)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return store_error(error),
            Err(_) => return StoreError::unavailable(format!("the Redis server did not answer within {limit:?}")),
        }
    }
}

/// Waits for one of two.
async fn first(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => other.as_mut().poll(cx),
    })
    .await;
}

/// Tells what a message says: names of keys, or nothing where all are gone.
fn notices(data: &[Value], prefix: &str, sender: &NoticeSender) {
    let [Value::Array(keys)] = data else {
        sender.send(Notice::AllChanged);
        return;
    };
    for key in keys {
        let name = match key {
            Value::BulkString(name) => std::str::from_utf8(name).ok(),
            Value::SimpleString(name) => Some(name.as_str()),
            _ => None,
        };
        let id = name.and_then(|name| name.strip_prefix(prefix)).and_then(|id| KeyId::new(id).ok());
        id.map(|id| sender.send(Notice::Changed(id)));
    }
}
