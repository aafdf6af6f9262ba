//! Finding out about credentials that came over plain HTTP, apart from the answer.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::request::Parts;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::exposure::{Exposed, Exposure, Known, Revoke};
use crate::events::{self, REFUSALS_PER_SECOND, RefusalLog};
use crate::{Answer, Principal, Rejection, Scheme};

/// How many requests are looked at in one moment. Those of a flood beyond that are not.
const AT_ONCE_MAX: usize = 128;
/// How long finding out, or revoking, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many credentials are revoked in a minute unless something else is said.
pub(super) const REVOCATIONS_PER_MINUTE: u32 = 10;
/// How many credentials of the last minute are remembered, at most.
const REMEMBERED_MAX: usize = 1_024;
const MINUTE: Duration = Duration::from_secs(60);

/// A scheme as the watch sees it.
pub(super) trait Watched: Send + Sync {
    /// Takes the credential out of a request, and returns what finds out about it.
    fn take(&self, head: &mut Parts) -> Option<FindOut>;
}

/// What finds out about a credential, and how many of its kind were revoked of late.
pub(super) struct FindOut {
    ask: Box<dyn FnOnce() -> Answer<Exposure> + Send>,
    revocations: Arc<Mutex<Revocations>>,
}

/// A scheme that is watched.
pub(super) struct Watch<C> {
    scheme: Arc<C>,
    revocations: Arc<Mutex<Revocations>>,
}

impl<C> Watch<C> {
    pub(super) fn new(scheme: Arc<C>) -> Self {
        Self { scheme, revocations: Arc::default() }
    }
}

impl<C: Scheme> Watched for Watch<C> {
    fn take(&self, head: &mut Parts) -> Option<FindOut> {
        let credential = self.scheme.take(head).transpose()?;
        let scheme = Arc::clone(&self.scheme);
        Some(FindOut {
            ask: Box::new(move || match credential {
                Ok(credential) => scheme.exposed(credential),
                // There was something, and nobody can say what.
                Err(rejection) => Answer::Now(Exposure::unknown(rejection)),
            }),
            revocations: Arc::clone(&self.revocations),
        })
    }
}

pub(super) type Tell = dyn Fn(&Principal, Exposed) + Send + Sync;

/// What all services of a layer share of the watch.
pub(super) struct Alarm {
    log: RefusalLog,
    at_once: AtomicUsize,
    told: Mutex<Recent<Exposed>>,
}

impl Alarm {
    pub(super) fn new() -> Self {
        Self { log: RefusalLog::new(REFUSALS_PER_SECOND), at_once: AtomicUsize::new(0), told: Mutex::default() }
    }

    /// Finds out about credentials, apart from whoever asks for it.
    pub(super) fn ring(
        self: &Arc<Self>,
        find_out: impl FnOnce() -> Vec<FindOut> + Send + 'static,
        tell: Option<Arc<Tell>>,
        per_minute: u32,
    ) {
        let Ok(runtime) = Handle::try_current() else {
            let text = "exposed credentials are looked at on a runtime of tokio";
            return events::exposure_unknown(&self.log, &Rejection::misconfigured("runtime_missing", text));
        };
        if self.at_once.fetch_add(1, Ordering::Relaxed) >= AT_ONCE_MAX {
            self.at_once.fetch_sub(1, Ordering::Relaxed);
            return events::exposure_skipped(&self.log);
        }
        let place = Place(Arc::clone(self));
        runtime.spawn(async move {
            let Place(alarm) = &place;
            for FindOut { ask, revocations } in find_out() {
                let exposure = timeout(PATIENCE, async { ask().await }).await;
                let exposure = exposure.unwrap_or_else(|_| Exposure::unknown(slow("finding out")));
                alarm.act(exposure, &revocations, tell.as_deref(), per_minute).await;
            }
        });
    }

    async fn act(
        &self,
        Exposure(known): Exposure,
        revocations: &Mutex<Revocations>,
        tell: Option<&Tell>,
        per_minute: u32,
    ) {
        let (principal, revoke) = match known {
            Known::Worthless => return,
            Known::Unknown(rejection) => return events::exposure_unknown(&self.log, &rejection),
            Known::Good(principal, revoke) => (principal, revoke),
        };
        let may_revoke = |now| lock(revocations).admit(&principal, per_minute, now);
        let (done, failure) = match revoke {
            None => (Exposed::Reported, None),
            Some(_) if !may_revoke(Instant::now()) => (Exposed::RevocationStopped, None),
            Some(revoke) => match carry_out(revoke).await {
                Ok(()) => (Exposed::Revoked, None),
                Err(error) => (Exposed::RevocationFailed, Some(error)),
            },
        };
        // One credential that comes all the time would keep the log from telling of others.
        if lock(&self.told).note(&principal, done, Instant::now()) {
            events::exposed(&self.log, &principal, done, failure.as_deref());
            if let Some(tell) = tell {
                tell(&principal, done);
            }
        }
    }
}

async fn carry_out(revoke: Revoke) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    timeout(PATIENCE, async { revoke().await }).await.unwrap_or_else(|_| Err(slow("revoking").into()))
}

fn slow(what: &str) -> Rejection {
    Rejection::unavailable("exposure_slow", format!("{what} took more than {} seconds", PATIENCE.as_secs()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics between two changes that belong together.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One of the places for those that are looked at, until it is dropped.
struct Place(Arc<Alarm>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.at_once.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Scheme, issuer, id and subject: what tells a credential from others.
type Credential = [Option<String>; 4];

/// The credentials of the last minute, and something about each.
struct Recent<T>(VecDeque<(Instant, Credential, T)>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Recent<T> {
    fn forget(&mut self, now: Instant) {
        self.0.retain(|(when, ..)| now.saturating_duration_since(*when) < MINUTE);
    }

    fn find(&mut self, credential: &Credential) -> Option<&mut T> {
        self.0.iter_mut().find(|(_, known, _)| known == credential).map(|(.., about)| about)
    }

    fn push(&mut self, credential: Credential, about: T, now: Instant) {
        if self.0.len() == REMEMBERED_MAX {
            self.0.pop_front();
        }
        self.0.push_back((now, credential, about));
    }
}

impl Recent<Exposed> {
    /// Returns whether it is news what was done about a credential.
    fn note(&mut self, principal: &Principal, done: Exposed, now: Instant) -> bool {
        let credential = credential(principal);
        self.forget(now);
        match self.find(&credential) {
            Some(before) => std::mem::replace(before, done) != done,
            None => {
                self.push(credential, done, now);
                true
            }
        }
    }
}

fn credential(principal: &Principal) -> Credential {
    let texts = [Some(principal.scheme()), principal.issuer(), principal.credential_id(), Some(principal.subject())];
    texts.map(|text| text.map(str::to_owned))
}

/// Which credentials of a layer were revoked in the last minute.
#[derive(Default)]
struct Revocations {
    recent: Recent<()>,
    stopped: bool,
}

impl Revocations {
    /// Returns whether one more credential may be revoked. One that comes again counts once.
    fn admit(&mut self, principal: &Principal, per_minute: u32, now: Instant) -> bool {
        let credential = credential(principal);
        self.recent.forget(now);
        if self.stopped {
            return false;
        }
        if self.recent.find(&credential).is_some() {
            return true;
        }
        if self.recent.0.len() >= (per_minute as usize).min(REMEMBERED_MAX) {
            self.stopped = true;
            return false;
        }
        self.recent.push(credential, (), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> Principal {
        Principal::builder("billing").scheme("api-key").credential_id(id).build()
    }

    #[test]
    fn more_than_a_few_revocations_a_minute_end_them_for_good() {
        let start = Instant::now();
        let mut revocations = Revocations::default();
        let mut admit = |id: &str, seconds| revocations.admit(&key(id), 3, start + Duration::from_secs(seconds));

        assert!(admit("a", 0) && admit("b", 1) && admit("c", 2));
        assert!(admit("a", 3), "a key that comes again counts once");
        assert!(admit("d", 61), "c is the only one of the last minute");
        assert!(admit("e", 61));
        assert!(!admit("f", 61), "c, d and e are there");
        assert!(!admit("g", 3_600), "somebody has to look");
    }

    #[test]
    fn none_a_minute_is_none() {
        assert!(!Revocations::default().admit(&key("a"), 0, Instant::now()));
    }

    #[test]
    fn a_credential_is_told_of_once_a_minute_and_when_something_else_was_done_about_it() {
        let start = Instant::now();
        let mut told = Recent::default();
        let mut note = |id: &str, done, seconds| told.note(&key(id), done, start + Duration::from_secs(seconds));

        assert!(note("a", Exposed::Reported, 0) && !note("a", Exposed::Reported, 59));
        assert!(note("b", Exposed::Reported, 59));
        assert!(note("a", Exposed::Reported, 60));
        assert!(note("a", Exposed::Revoked, 61) && !note("a", Exposed::Revoked, 62));
    }
}
