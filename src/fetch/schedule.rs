//! When to fetch something that is kept: one fetch at a time, ahead of time, again after a failure, and on demand.
//!
//! A task of its own does all fetching. Whoever wants something wakes it and waits for the next outcome, so a caller that
//! goes away ends nothing, and a thousand callers cause one fetch. Readers ask [`is_usable`](Schedule::is_usable), which takes
//! no lock.
//!
//! | event | next fetch |
//! |---|---|
//! | success | after 80 % of the time that the answer is fresh, give or take a tenth |
//! | failure | after a random part of 1 s, 2 s, 4 s, .. 60 s |
//! | something unknown was asked for | at once, if the last such fetch is a cool-down ago and none has just failed |

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::back_off::{FIRST, back_off, random};
use super::{FetchError, Outage, PATIENCE};
use crate::{Answer, BoxFuture};

/// How long something may be fresh, whatever its server says.
const FRESH: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(24 * 60 * 60)];
/// How long a fetch may take that asks several servers, each of which has 5 seconds. Nobody waits for so long.
const ATTEMPT: Duration = Duration::from_secs(21);
/// For ever. What is longer cannot be added to every time.
const EVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// What a fetch is about: it puts what it brings where it belongs, and says how long that is fresh.
type Fetch = dyn Fn() -> BoxFuture<Result<Fetched, FetchError>> + Send + Sync;

/// What a fetch brought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fetched {
    /// How long it is fresh, if its server says so.
    pub(crate) fresh_for: Option<Duration>,
}

/// The times that are settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// How long something is fresh if its server says nothing.
    pub(crate) fresh: Duration,
    /// How long something may be used beyond that, while fetches fail.
    pub(crate) max_stale: Duration,
    /// How long after a fetch for something unknown the next one has to wait.
    pub(crate) cool_down: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(10 * 60),
            max_stale: Duration::from_secs(60 * 60),
            cool_down: Duration::from_secs(30),
        }
    }
}

/// What came of asking for something unknown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Demand {
    /// There was a fetch: it may be known now.
    Fetched,
    /// There was one not long ago, and there is none now.
    Declined,
}

/// Keeps something up to date.
pub(crate) struct Schedule {
    shared: Arc<Inner>,
    /// Is there for as long as anybody keeps what is fetched; those who only wait for it do not.
    kept: Option<Arc<()>>,
}

struct Inner {
    fetch: Box<Fetch>,
    timing: Timing,
    start: Instant,
    /// Until when what is there may be used, in milliseconds since the start; 0 if there is nothing.
    usable_until: AtomicU64,
    state: Mutex<State>,
    /// Whether there is a task that fetches.
    started: Arc<AtomicBool>,
    wake: Arc<Notify>,
    outcomes: watch::Sender<u64>,
    kept: Weak<()>,
}

#[derive(Default)]
struct State {
    fetched_at: Option<Instant>,
    /// Why the last fetch failed, if it did.
    failure: Option<Arc<FetchError>>,
    failures: u32,
    fetches: u64,
    next: Option<Instant>,
    cool_until: Option<Instant>,
    demanded: bool,
    in_flight: bool,
    driver: Option<JoinHandle<()>>,
}

/// How things stand.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) age: Option<Duration>,
    pub(crate) usable: bool,
    pub(crate) failure: Option<Arc<FetchError>>,
    pub(crate) fetches: u64,
    pub(crate) next: Option<Duration>,
}

impl Schedule {
    pub(crate) fn new(
        mut timing: Timing,
        fetch: impl Fn() -> BoxFuture<Result<Fetched, FetchError>> + Send + Sync + 'static,
    ) -> Self {
        timing.max_stale = timing.max_stale.min(EVER);
        timing.cool_down = timing.cool_down.min(EVER);
        let kept = Arc::new(());
        let shared = Inner {
            fetch: Box::new(fetch),
            timing,
            start: Instant::now(),
            usable_until: AtomicU64::new(0),
            state: Mutex::default(),
            started: Arc::default(),
            wake: Arc::default(),
            outcomes: watch::Sender::new(0),
            kept: Arc::downgrade(&kept),
        };
        Self { shared: Arc::new(shared), kept: Some(kept) }
    }

    /// Says that something is there already, of unknown age: it may be used until there is news, and no longer than what is
    /// stale.
    pub(crate) fn seed(&self) {
        let Inner { timing, .. } = &*self.shared;
        self.shared.set_usable_until(Instant::now() + timing.max_stale);
    }

    /// Returns whether what is there may be used. It takes a look at the clock and no lock.
    pub(crate) fn is_usable(&self) -> bool {
        if !self.shared.started.load(Ordering::Relaxed) {
            self.start();
        }
        self.shared.is_usable()
    }

    /// Starts to fetch, if there is a runtime. Without one, whoever comes first does.
    pub(crate) fn start(&self) {
        // Who has to wait for something is told why there is nothing.
        let _ = Inner::ensure_driver(&self.shared, &mut self.shared.lock());
    }

    /// Waits until there is something to use. After a failure nobody waits before it is time to try again.
    pub(crate) fn require(&self) -> Answer<Result<(), Outage>> {
        if self.shared.is_usable() {
            return Answer::Now(Ok(()));
        }
        let mut state = self.shared.lock();
        if !state.is_coming()
            && let Some(outage) = state.outage()
        {
            return Answer::Now(Err(outage));
        }
        self.wait(&mut state)
    }

    /// Asks for something that is not there, which a fetch may bring.
    pub(crate) fn demand(&self) -> Answer<Result<Demand, Outage>> {
        let now = Instant::now();
        let mut state = self.shared.lock();
        if !state.is_coming() {
            if let Some(outage) = state.outage() {
                return Answer::Now(Err(outage));
            }
            if state.cool_until.is_some_and(|until| now < until) {
                let failed = state.failed();
                return Answer::Now(failed.map_or(Ok(Demand::Declined), Err));
            }
            state.cool_until = Some(now + vary(self.shared.timing.cool_down));
        }
        let shared = Arc::clone(&self.shared);
        self.wait(&mut state).map(move |waited| match waited {
            // What is there may be good enough for others, but whether it has this is not known.
            Ok(()) => shared.lock().failed().map_or(Ok(Demand::Fetched), Err),
            Err(outage) => Err(outage),
        })
    }

    /// Fetches now, whatever the time.
    pub(crate) fn reload(&self) -> Answer<Result<(), Outage>> {
        let mut state = self.shared.lock();
        let shared = Arc::clone(&self.shared);
        self.wait(&mut state).map(move |waited| match waited {
            Ok(()) => shared.lock().failed().map_or(Ok(()), Err),
            Err(outage) => Err(outage),
        })
    }

    pub(crate) fn standing(&self) -> Standing {
        let now = Instant::now();
        let state = self.shared.lock();
        Standing {
            age: state.fetched_at.map(|at| now.saturating_duration_since(at)),
            usable: self.shared.is_usable(),
            failure: state.failure.clone(),
            fetches: state.fetches,
            next: state.next.map(|next| next.saturating_duration_since(now)),
        }
    }

    /// Joins the fetch that is under way, or has one started, and waits for its outcome.
    fn wait(&self, state: &mut State) -> Answer<Result<(), Outage>> {
        let shared = Arc::clone(&self.shared);
        let mut outcomes = shared.outcomes.subscribe();
        outcomes.mark_unchanged();
        if let Err(outage) = Inner::ensure_driver(&shared, state) {
            return Answer::Now(Err(outage));
        }
        if !state.in_flight {
            state.demanded = true;
            shared.wake.notify_one();
        }
        Answer::later(async move {
            // A little longer than the fetch itself may take, which ends in time and says so.
            let waited = timeout(PATIENCE + Duration::from_secs(1), outcomes.changed()).await;
            match waited {
                Ok(Ok(())) if shared.is_usable() => Ok(()),
                Ok(Ok(())) => Err(shared.lock().failed().unwrap_or_else(Outage::unknown)),
                _ => Err(Outage::unknown()),
            }
        })
    }
}

impl State {
    /// Returns whether a fetch is under way, or is about to be.
    fn is_coming(&self) -> bool {
        self.in_flight || self.demanded
    }

    /// Returns the failure that has to be waited out, if there is one.
    fn outage(&self) -> Option<Outage> {
        let next = self.next.filter(|next| Instant::now() < *next)?;
        Some(Outage { retry_after: next.saturating_duration_since(Instant::now()), ..self.failed()? })
    }

    /// Returns the failure of the last fetch, if it failed.
    fn failed(&self) -> Option<Outage> {
        let source = Arc::clone(self.failure.as_ref()?);
        let wait = self.next.map(|next| next.saturating_duration_since(Instant::now()));
        Some(Outage::new(wait.unwrap_or(FIRST), source))
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_usable(&self) -> bool {
        let until = self.usable_until.load(Ordering::Acquire);
        until != 0 && self.milliseconds(Instant::now()) < until
    }

    fn set_usable_until(&self, until: Instant) {
        self.usable_until.store(self.milliseconds(until).max(1), Ordering::Release);
    }

    fn milliseconds(&self, at: Instant) -> u64 {
        // 500 million years fit.
        at.saturating_duration_since(self.start).as_millis() as u64
    }

    /// Starts the task that fetches, unless it runs: it ends with the runtime that it was started on.
    fn ensure_driver(this: &Arc<Self>, state: &mut State) -> Result<(), Outage> {
        if state.driver.as_ref().is_some_and(|driver| !driver.is_finished()) {
            return Ok(());
        }
        let Ok(runtime) = Handle::try_current() else {
            let source = Arc::new(FetchError::local("it takes a runtime of tokio to fetch"));
            return Err(Outage::new(FIRST, source));
        };
        state.in_flight = false;
        this.started.store(true, Ordering::Relaxed);
        let running = Running(Arc::clone(&this.started));
        state.driver = Some(runtime.spawn(drive(Arc::downgrade(this), Arc::clone(&this.wake), running)));
        Ok(())
    }

    /// Returns when to fetch next, if nobody asks for it before.
    fn due(&self) -> Instant {
        let state = self.lock();
        if state.demanded { Instant::now() } else { state.next.unwrap_or_else(Instant::now) }
    }

    /// Notes that a fetch starts, if it is time for one.
    fn begin(&self) -> bool {
        let mut state = self.lock();
        if !state.demanded && state.next.is_some_and(|next| Instant::now() < next) {
            return false;
        }
        state.demanded = false;
        state.in_flight = true;
        state.fetches += 1;
        true
    }

    /// Fetches once. A client that panics has failed, and takes nothing along.
    async fn attempt(&self) -> Result<Fetched, FetchError> {
        let mut fetching = pin!(timeout(ATTEMPT, async { (self.fetch)().await }));
        // It is not polled again after a panic, so nobody sees what that left behind.
        let polled = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| fetching.as_mut().poll(cx))) {
            Ok(poll) => poll.map(|fetched| fetched.unwrap_or(Err(FetchError::TimedOut))),
            Err(_) => Poll::Ready(Err(FetchError::local("the client panicked"))),
        });
        polled.await
    }

    /// Notes what came of a fetch.
    fn finish(&self, outcome: Result<Fetched, FetchError>) {
        let now = Instant::now();
        let mut state = self.lock();
        state.in_flight = false;
        match outcome {
            Ok(Fetched { fresh_for }) => {
                let [least, most] = FRESH;
                let fresh = fresh_for.unwrap_or(self.timing.fresh).clamp(least, most);
                state.fetched_at = Some(now);
                state.failure = None;
                state.failures = 0;
                state.next = Some(now + vary(fresh.mul_f64(0.8)));
                self.set_usable_until(now + fresh + self.timing.max_stale);
            }
            Err(error) => {
                state.next = Some(now + back_off(state.failures).mul_f64(random()));
                state.failure = Some(Arc::new(error));
                state.failures = state.failures.saturating_add(1);
            }
        }
        // Under the lock, so that nobody who asks later takes this outcome for his own.
        self.outcomes.send_modify(|outcomes| *outcomes += 1);
    }
}

/// Notes that the task has ended, which it does with its runtime, so that another one is started.
struct Running(Arc<AtomicBool>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Fetches, time and again, until nobody keeps what is fetched.
async fn drive(inner: Weak<Inner>, wake: Arc<Notify>, _running: Running) {
    loop {
        let Some(due) = inner.upgrade().map(|inner| inner.due()) else { return };
        // Whichever comes first: the time, or somebody who asks.
        let _ = timeout_at(due, wake.notified()).await;
        let Some(this) = inner.upgrade().filter(|inner| inner.kept.strong_count() > 0) else { return };
        if this.begin() {
            let outcome = this.attempt().await;
            this.finish(outcome);
        }
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        // The task finds that nobody is left.
        self.kept = None;
        self.shared.wake.notify_one();
    }
}

/// Returns a time that is up to a tenth shorter or longer, so that many machines do not ask all at once.
fn vary(time: Duration) -> Duration {
    time.mul_f64(0.9 + 0.2 * random())
}
