//! What a store does beside requests: it writes down when keys were last used, and drops those that ended long ago.
//!
//! An admission puts the id of a key into a map in memory, and nothing else. Every minute the map is written at once, and
//! whatever cannot be written, or has no room, is lost: no request waits for it.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use papaya::HashMap;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::AdminError;
use crate::BoxFuture;
use crate::api_key::KeyId;

/// How often it is written when keys were used.
pub(super) const FLUSH_EVERY: Duration = Duration::from_secs(60);
/// How often keys that ended long ago are looked for.
pub(super) const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);
/// How long keys are kept that have ended, unless something else is set.
pub(super) const KEEP_ENDED: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How many keys may be used between two writes and be remembered.
const USED_MAX: usize = 100_000;

/// When keys were used, since it was last written.
#[derive(Default)]
pub(super) struct LastUsed(HashMap<KeyId, AtomicU64>);

impl LastUsed {
    /// Remembers that a key was used. It waits for nobody.
    pub(super) fn note(&self, id: &KeyId, when: SystemTime) {
        let seconds = when.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let used = self.0.pin();
        match used.get(id) {
            Some(known) if known.load(Ordering::Relaxed) >= seconds => {}
            Some(known) => {
                known.fetch_max(seconds, Ordering::Relaxed);
            }
            None if used.len() < USED_MAX => {
                used.get_or_insert_with(*id, AtomicU64::default).fetch_max(seconds, Ordering::Relaxed);
            }
            None => {}
        }
    }

    /// Takes what there is to write, in the order of the ids, so that two writers never wait for each other.
    pub(super) fn take(&self) -> Vec<(KeyId, SystemTime)> {
        let used = self.0.pin();
        let ids: Vec<_> = used.keys().copied().collect();
        let mut taken: Vec<_> = ids
            .into_iter()
            .filter_map(|id| {
                let seconds = used.remove(&id)?.load(Ordering::Relaxed);
                Some((id, UNIX_EPOCH + Duration::from_secs(seconds)))
            })
            .collect();
        taken.sort_unstable();
        taken
    }
}

/// A store that has something to do beside requests.
pub(super) trait Kept: Send + Sync + 'static {
    fn upkeep(&self) -> &Upkeep;

    /// Writes when keys were used; a later time that is there already stays.
    fn touch(self: Arc<Self>, used: Vec<(KeyId, SystemTime)>) -> BoxFuture<Result<(), AdminError>>;

    /// Drops keys that ended before a time, and returns how many there were.
    fn sweep(self: Arc<Self>, ended_before: SystemTime) -> BoxFuture<Result<u64, AdminError>>;

    fn now(&self) -> SystemTime;
}

/// The state of that, in a store.
pub(super) struct Upkeep {
    used: LastUsed,
    /// How long keys are kept that have ended; for ever, if there is no time.
    keep_ended: Option<Duration>,
    started: AtomicBool,
    task: Mutex<Option<AbortHandle>>,
}

impl Upkeep {
    pub(super) fn new(keep_ended: Option<Duration>) -> Self {
        Self { used: LastUsed::default(), keep_ended, started: AtomicBool::new(false), task: Mutex::new(None) }
    }

    /// Starts the task, once, as soon as there is a runtime. It ends with the store.
    pub(super) fn start<S: Kept>(store: &Arc<S>) {
        let upkeep = store.upkeep();
        if upkeep.started.load(Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        if upkeep.started.swap(true, Ordering::AcqRel) {
            return;
        }
        let weak = Arc::downgrade(store);
        let task = runtime.spawn(async move {
            let mut sweep_at = Instant::now() + FLUSH_EVERY;
            loop {
                sleep_until(Instant::now() + FLUSH_EVERY).await;
                let Some(store) = weak.upgrade() else { return };
                // What cannot be written is written with what comes next, or never.
                let _lost = Self::flush(Arc::clone(&store)).await;
                let keep = store.upkeep().keep_ended;
                if let Some(before) = keep.and_then(|keep| store.now().checked_sub(keep))
                    && sweep_at <= Instant::now()
                {
                    sweep_at = Instant::now() + SWEEP_EVERY;
                    let _later = store.sweep(before).await;
                }
            }
        });
        *upkeep.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
    }

    /// Notes that a key was used.
    pub(super) fn seen<S: Kept>(store: &Arc<S>, id: &KeyId, when: SystemTime) {
        store.upkeep().used.note(id, when);
        Self::start(store);
    }

    /// Writes now when keys were used.
    pub(super) fn flush<S: Kept>(store: Arc<S>) -> BoxFuture<Result<(), AdminError>> {
        Box::pin(async move {
            let used = store.upkeep().used.take();
            if used.is_empty() {
                return Ok(());
            }
            let written = Arc::clone(&store).touch(used.clone()).await;
            if written.is_err() {
                used.iter().for_each(|(id, when)| store.upkeep().used.note(id, *when));
            }
            written
        })
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        let task = mem::take(&mut *self.task.lock().unwrap_or_else(PoisonError::into_inner));
        task.inspect(AbortHandle::abort);
    }
}

impl fmt::Debug for Upkeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upkeep").field("keep_ended", &self.keep_ended).finish_non_exhaustive()
    }
}
