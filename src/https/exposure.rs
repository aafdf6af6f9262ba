//! Credentials that came over plain HTTP.
//!
//! A layer that is [watched](crate::RequireHttps::watch) is asked what the credential of such a request is worth, after the
//! request was refused and apart from its answer, so that neither the answer nor its time tells anything. Nothing is asked
//! unless the transport is *proven* to be plain ([`Transport::Plain`](crate::Transport::Plain)): a list of proxies that has
//! a mistake in it makes all requests [`Unknown`](crate::Transport::Unknown), and none of their credentials exposed.
//!
//! What is found out is an event (`exposed`, see [`events`]), and is told to
//! [`on_exposed`](crate::RequireHttps::on_exposed). Revoking is a setting of the scheme:
//!
//! ```
//! # #[cfg(feature = "api-key")] {
//! use tower_keep::{ApiKey, ApiKeyLayer, MemoryStore, RequireHttps};
//!
//! let keys = MemoryStore::new();
//! let guard = ApiKeyLayer::over(ApiKey::new(keys.clone()).revoke_exposed(keys));
//! let https = RequireHttps::new().watch(&guard);
//! # }
//! ```
//!
//! It takes a whole key or a token that is good: who knows no more than the id of a key revokes nothing. It is held to a
//! number of credentials a minute (10 by default). More of them at once are not so many careless clients, but one mistake
//! in front of the server, such as a proxy that says `http` of everything; so revoking stops then, until the process is
//! started again, and each further credential is reported.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::request::Parts;
use tokio::runtime::Handle;

use crate::events::{self, REFUSALS_PER_SECOND, RefusalLog};
use crate::{Answer, Principal, Rejection, Scheme};

/// How many credentials are looked at in one moment. Those of a flood beyond that are not.
const AT_ONCE_MAX: usize = 128;
/// How many credentials are revoked in a minute unless something else is said.
pub(super) const REVOCATIONS_PER_MINUTE: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// What a [`Scheme`] knows of a credential that came over plain HTTP.
#[must_use = "what is exposed has to be told to somebody"]
pub struct Exposure(Known);

enum Known {
    /// It is good for nothing.
    Worthless,
    /// Nobody knows.
    Unknown(Rejection),
    /// It is good for this, and may be revoked so.
    Good(Principal, Option<Revoke>),
}

type Revoke = Box<dyn FnOnce() -> Answer<Result<(), Box<dyn Error + Send + Sync>>> + Send>;

impl Exposure {
    /// The credential is good for nothing: unknown, forged, expired, revoked already.
    pub const fn worthless() -> Self {
        Self(Known::Worthless)
    }

    /// It is not known what the credential is good for, since something is out of reach, say.
    pub const fn unknown(rejection: Rejection) -> Self {
        Self(Known::Unknown(rejection))
    }

    /// The credential is good, and speaks for somebody.
    pub const fn of(principal: Principal) -> Self {
        Self(Known::Good(principal, None))
    }

    /// Says how to revoke the credential, if it is a good one. Whether that is done is up to the layer.
    pub fn with_revocation<E>(self, revoke: impl FnOnce() -> Answer<Result<(), E>> + Send + 'static) -> Self
    where
        E: Error + Send + Sync + 'static,
    {
        match self.0 {
            Known::Good(principal, _) => {
                let revoke = || revoke().map(|done| done.map_err(|error| Box::from(error) as _));
                Self(Known::Good(principal, Some(Box::new(revoke))))
            }
            known => Self(known),
        }
    }
}

impl fmt::Debug for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Known::Worthless => f.write_str("Worthless"),
            Known::Unknown(rejection) => f.debug_tuple("Unknown").field(rejection).finish(),
            Known::Good(principal, _) => f.debug_tuple("Good").field(principal).finish(),
        }
    }
}

/// What was done about a good credential that came over plain HTTP.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Exposed {
    /// It was reported and is as good as before: the scheme revokes none, or not this one.
    Reported,
    /// It was revoked.
    Revoked,
    /// It was to be revoked, and that failed. The next request with it tries again.
    RevocationFailed,
    /// It was reported only: there were too many of them at once, and somebody has to look.
    RevocationStopped,
}

impl Exposed {
    /// Returns the stable name used in events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Revoked => "revoked",
            Self::RevocationFailed => "revocation_failed",
            Self::RevocationStopped => "revocation_stopped",
        }
    }
}

/// A scheme as the watch sees it.
pub(super) trait Watched: Send + Sync {
    /// Takes the credential out of a request, and returns what finds out about it.
    fn take(&self, head: &mut Parts) -> Option<FindOut>;
}

pub(super) type FindOut = Box<dyn FnOnce() -> Answer<Exposure> + Send>;

/// A scheme that is watched.
pub(super) struct Watch<C>(pub(super) Arc<C>);

impl<C: Scheme> Watched for Watch<C> {
    fn take(&self, head: &mut Parts) -> Option<FindOut> {
        // Two credentials, or one that cannot be read, are none that could be told.
        let credential = self.0.take(head).ok().flatten()?;
        let scheme = Arc::clone(&self.0);
        Some(Box::new(move || scheme.exposed(credential)))
    }
}

pub(super) type Tell = dyn Fn(&Principal, Exposed) + Send + Sync;

/// What all services of a layer share of the watch.
pub(super) struct Alarm {
    log: RefusalLog,
    at_once: AtomicUsize,
    revocations: Mutex<Revocations>,
}

impl Alarm {
    pub(super) fn new() -> Self {
        Self { log: RefusalLog::new(REFUSALS_PER_SECOND), at_once: AtomicUsize::new(0), revocations: Mutex::default() }
    }

    /// Finds out about credentials, apart from whoever asks for it.
    pub(super) fn ring(
        self: &Arc<Self>,
        find_out: impl FnOnce() -> Vec<FindOut> + Send + 'static,
        tell: Option<Arc<Tell>>,
        per_minute: u32,
    ) {
        let Ok(runtime) = Handle::try_current() else {
            return events::exposure_unknown(
                &self.log,
                &Rejection::misconfigured("runtime_missing", "exposed credentials are looked at on a runtime of tokio"),
            );
        };
        if self.at_once.fetch_add(1, Ordering::Relaxed) >= AT_ONCE_MAX {
            self.at_once.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let place = Place(Arc::clone(self));
        runtime.spawn(async move {
            let Place(alarm) = &place;
            for find_out in find_out() {
                alarm.act(find_out().await, tell.as_deref(), per_minute).await;
            }
        });
    }

    async fn act(&self, Exposure(known): Exposure, tell: Option<&Tell>, per_minute: u32) {
        let (principal, revoke) = match known {
            Known::Worthless => return,
            Known::Unknown(rejection) => return events::exposure_unknown(&self.log, &rejection),
            Known::Good(principal, revoke) => (principal, revoke),
        };
        let mut failure = None;
        let done = match revoke {
            None => Exposed::Reported,
            Some(_) if !self.may_revoke(&principal, per_minute) => Exposed::RevocationStopped,
            Some(revoke) => match revoke().await {
                Ok(()) => Exposed::Revoked,
                Err(error) => {
                    failure = Some(error);
                    Exposed::RevocationFailed
                }
            },
        };
        events::exposed(&self.log, &principal, done, failure.as_deref());
        if let Some(tell) = tell {
            tell(&principal, done);
        }
    }

    fn may_revoke(&self, principal: &Principal, per_minute: u32) -> bool {
        let mut revocations = self.revocations.lock().unwrap_or_else(PoisonError::into_inner);
        revocations.admit(principal, per_minute, Instant::now())
    }
}

/// One of the places for those that are looked at, until it is dropped.
struct Place(Arc<Alarm>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.at_once.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Which credentials were revoked in the last minute.
#[derive(Default)]
struct Revocations {
    recent: VecDeque<(Instant, [Option<String>; 3])>,
    stopped: bool,
}

impl Revocations {
    /// Returns whether one more credential may be revoked. One that comes again counts once.
    fn admit(&mut self, principal: &Principal, per_minute: u32, now: Instant) -> bool {
        let credential = [Some(principal.scheme()), principal.issuer(), principal.credential_id()];
        let credential = credential.map(|text| text.map(str::to_owned));
        self.recent.retain(|(when, _)| now.saturating_duration_since(*when) < MINUTE);
        if self.stopped {
            return false;
        }
        if self.recent.iter().any(|(_, known)| *known == credential) {
            return true;
        }
        if self.recent.len() >= per_minute as usize {
            self.stopped = true;
            return false;
        }
        self.recent.push_back((now, credential));
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
}
