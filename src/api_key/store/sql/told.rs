//! Those who are told of changes.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::api_key::store::{Notice, NoticeSender};

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Those who are told of changes that this process makes, and the tasks that find out about those of others.
#[derive(Default)]
pub(crate) struct Told {
    listeners: Mutex<Vec<NoticeSender>>,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Told {
    /// Tells from now on.
    pub(crate) fn add(&self, listener: NoticeSender) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    pub(crate) fn tell(&self, notice: &Notice) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).retain(|listener| listener.send(notice.clone()));
    }

    /// Runs a task until nobody listens to it any more, or the store is gone.
    pub(crate) fn run(
        &self,
        runtime: &Handle,
        listener: NoticeSender,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = runtime.spawn(async move {
            until(listener.closed(), task).await;
        });
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        tasks.push(task.abort_handle());
    }

    /// Tells nobody any more.
    pub(crate) fn end(&self) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..).for_each(|task| task.abort());
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Told")
    }
}

/// Works until something happens.
async fn until<T>(end: impl Future<Output = ()>, work: impl Future<Output = T>) -> Option<T> {
    let (mut end, mut work) = (pin!(end), pin!(work));
    poll_fn(|cx| match end.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => work.as_mut().poll(cx).map(Some),
    })
    .await
}

/// Returns how long to wait after one more failure than these in a row.
pub(crate) fn back_off(failures: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << failures.min(6)).min(LONGEST_WAIT)
}
