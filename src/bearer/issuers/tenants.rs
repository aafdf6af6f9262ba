//! Issuers that are looked up when a token of theirs comes: the tenants of a login service, say, which come and go.
//!
//! ```
//! use std::sync::Arc;
//! use tower_keep::{Answer, BearerLayer, Issuers, Jwt, Tenants, TokenVerifier};
//!
//! # fn layer() -> Result<BearerLayer, Box<dyn std::error::Error>> {
//! let tenants = Tenants::below("https://login.example.com/realms/", |issuer| {
//!     let issuer = issuer.to_owned();
//!     Answer::later(async move {
//!         let Some(audience) = audience_of(&issuer).await? else { return Ok(None) };
//!         let tokens = Jwt::discover(issuer).audience(audience).build()?;
//!         Ok(Some(Arc::new(tokens) as Arc<dyn TokenVerifier>))
//!     })
//! });
//! let layer = BearerLayer::new(Issuers::resolve(tenants)?);
//! # Ok(layer)
//! # }
//! # async fn audience_of(_: &str) -> Result<Option<String>, std::io::Error> { Ok(None) }
//! ```
//!
//! # What happens when
//!
//! The issuer that is looked up stands in a token that nobody has verified: anybody can write it. So
//!
//! | event | what is done |
//! |---|---|
//! | a token of any issuer | what is allowed is asked first; of another issuer the token is 401, and nobody else is asked |
//! | the first token of an issuer | it is looked up, once for all who wait, apart from any caller: one that goes away ends nothing |
//! | the issuer is found | its verifier is kept, until 100 others have been asked for more recently |
//! | it is none | 401, for 30 seconds without another look; the last 1,000 such are remembered |
//! | looking it up fails, or takes longer than 5 seconds | 503 and `Retry-After`, for a second without another look |
//! | 64 look-ups are under way | 503 and `Retry-After` for one more |
//!
//! A verifier that is no longer kept is dropped, and with it what fetches its keys. Let there be room for as many issuers
//! as there are ([`remember`](Tenants::remember)): where there is less, junk that names one after the other has them looked
//! up again. A verifier that is kept is not looked up again: [`forget`](Tenants::forget) a tenant that leaves.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::{Found, Issuers, IssuersBuilder, LookUp, TokenVerifier};
use crate::fetch::PATIENCE;
use crate::{Answer, ConfigError, ConfigErrors, Rejection};

/// How many verifiers are kept unless another number is set.
const KEPT: usize = 100;
/// How long an issuer that is none is remembered unless another time is set, and how many of them.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);
const UNKNOWN_MAX: usize = 1_000;
/// How long a failure is remembered.
const FAILED_FOR: Duration = Duration::from_secs(1);
/// How many look-ups may be under way.
const UNDER_WAY_MAX: usize = 64;
/// The longest `iss` that is looked up, in bytes: what is remembered is bounded in its size, too.
const LENGTH_MAX: usize = 512;
/// What the log is told where it is not known whether an issuer is one.
const UNAVAILABLE: &str = "issuer_unavailable";

type BoxError = Box<dyn Error + Send + Sync>;
type Allow = dyn Fn(&str) -> bool + Send + Sync;
type Find = dyn Fn(&str) -> Answer<Result<Option<Arc<dyn TokenVerifier>>, BoxError>> + Send + Sync;

/// Looks issuers up. Cloning shares it. See the [module](self).
#[derive(Clone)]
pub struct Tenants {
    shared: Arc<Shared>,
    fault: Option<ConfigError>,
    kept: usize,
    unknown_for: Duration,
}

struct Shared {
    allow: Box<Allow>,
    find: Box<Find>,
    /// The verifiers that are kept. Readers hold the lock for as long as it takes to count a reference.
    kept: RwLock<HashMap<Arc<str>, Kept>>,
    /// Counts the times that one was asked for.
    uses: AtomicU64,
    rest: Mutex<Rest>,
}

struct Kept {
    verifier: Arc<dyn TokenVerifier>,
    used: AtomicU64,
}

/// The issuers without a verifier.
#[derive(Default)]
struct Rest {
    under_way: HashMap<Arc<str>, watch::Receiver<Option<Found>>>,
    /// What was found instead, and until when that counts.
    nothing: HashMap<Arc<str>, (Instant, Found)>,
}

impl Tenants {
    /// Looks up issuers below a URL, such as `https://login.example.com/realms/`: letters, digits and `-._~`, in one segment
    /// of a path or in several. What it is looked up by says which verifier judges its tokens, or that it is no issuer.
    pub fn below(
        prefix: impl Into<String>,
        find: impl Fn(&str) -> Answer<Result<Option<Arc<dyn TokenVerifier>>, BoxError>> + Send + Sync + 'static,
    ) -> Self {
        let prefix = prefix.into();
        let is_prefix =
            prefix.strip_prefix("https://").is_some_and(|rest| rest.contains('/') && !rest.starts_with('/'));
        let fault =
            (!(is_prefix && prefix.ends_with('/'))).then(|| ConfigError::IssuerPrefix { given: prefix.clone() });
        Self { fault, ..Self::allowed(move |issuer| issuer.strip_prefix(&prefix).is_some_and(is_path), find) }
    }

    /// Looks up issuers for which a condition holds. It is asked about whatever stands in a token, and must not wait: let it
    /// be as narrow as it can.
    pub fn allowed(
        allow: impl Fn(&str) -> bool + Send + Sync + 'static,
        find: impl Fn(&str) -> Answer<Result<Option<Arc<dyn TokenVerifier>>, BoxError>> + Send + Sync + 'static,
    ) -> Self {
        let shared = Shared {
            allow: Box::new(allow),
            find: Box::new(find),
            kept: RwLock::default(),
            uses: AtomicU64::new(0),
            rest: Mutex::default(),
        };
        Self { shared: Arc::new(shared), fault: None, kept: KEPT, unknown_for: UNKNOWN_FOR }
    }

    /// Sets how many verifiers are kept; 100 by default, one at least.
    #[must_use]
    pub fn remember(mut self, issuers: usize) -> Self {
        self.kept = issuers.max(1);
        self
    }

    /// Sets for how long an issuer that is none is not looked up again; 30 seconds by default.
    #[must_use]
    pub fn unknown_for(mut self, time: Duration) -> Self {
        self.unknown_for = time;
        self
    }

    /// Forgets what is known of an issuer, so that it is looked up again: a tenant that leaves, comes, or has other rules.
    /// What is under way is judged as before; a stream that waits for [`Principal::ended`](crate::Principal::ended) learns of it.
    pub fn forget(&self, issuer: &str) {
        let mut rest = self.shared.rest();
        rest.under_way.remove(issuer);
        rest.nothing.remove(issuer);
        let before = self.shared.kept.write().unwrap_or_else(PoisonError::into_inner).remove(issuer);
        drop(rest);
        drop(before);
    }
}

impl Issuers {
    /// Looks every issuer up. See [`tenants`](self).
    ///
    /// # Errors
    ///
    /// [`ConfigError::IssuerPrefix`].
    pub fn resolve(tenants: Tenants) -> Result<Self, ConfigErrors> {
        Self::builder().resolve(tenants).build()
    }
}

impl IssuersBuilder {
    /// Looks issuers up that are not in the list. There is one such setting; the last call counts.
    #[must_use]
    pub fn resolve(mut self, tenants: Tenants) -> Self {
        self.errors.retain(|error| !matches!(error, ConfigError::IssuerPrefix { .. }));
        self.errors.extend(tenants.fault.clone());
        self.others = Some(Arc::new(tenants));
        self
    }
}

/// Returns whether a text is a path that means one thing only.
fn is_path(rest: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let mut segments = rest.strip_suffix('/').unwrap_or(rest).split('/');
    rest.bytes().all(is_letter) && segments.all(|segment| !matches!(segment, "" | "." | ".."))
}

impl LookUp for Tenants {
    fn kept(&self, issuer: &str) -> Option<Arc<dyn TokenVerifier>> {
        (issuer.len() <= LENGTH_MAX && (self.shared.allow)(issuer)).then(|| self.shared.kept(issuer))?
    }

    fn find(&self, issuer: &str) -> Answer<Found> {
        if issuer.len() > LENGTH_MAX || !(self.shared.allow)(issuer) {
            return Answer::Now(Ok(None));
        }
        if let Some(verifier) = self.shared.kept(issuer) {
            return Answer::Now(Ok(Some(verifier)));
        }
        let mut rest = self.shared.rest();
        // It may have come while nobody looked.
        if let Some(verifier) = self.shared.kept(issuer) {
            return Answer::Now(Ok(Some(verifier)));
        }
        if let Some((_, found)) = rest.nothing.get(issuer).filter(|(until, _)| Instant::now() < *until) {
            return Answer::Now(found.clone());
        }
        // What looked it up may have panicked, and says nothing any more.
        rest.under_way.retain(|_, waiting| waiting.has_changed().is_ok());
        if let Some(waiting) = rest.under_way.get(issuer) {
            return wait(waiting.clone());
        }
        if rest.under_way.len() >= UNDER_WAY_MAX {
            return Answer::Now(Err(Rejection::unavailable(UNAVAILABLE, "too many issuers are being looked up")));
        }
        let (done, waiting) = watch::channel(None);
        let issuer: Arc<str> = Arc::from(issuer);
        rest.under_way.insert(Arc::clone(&issuer), waiting.clone());
        drop(rest);
        match (self.shared.find)(&issuer) {
            Answer::Now(found) => Answer::Now(self.finish(&issuer, &done, found)),
            Answer::Later(found) => {
                let Ok(runtime) = Handle::try_current() else {
                    let error = "it takes a runtime of tokio to look an issuer up".into();
                    return Answer::Now(self.finish(&issuer, &done, Err(error)));
                };
                let this = self.clone();
                runtime.spawn(async move {
                    let found = timeout(PATIENCE, found).await;
                    let late = || Err("an issuer was not found within 5 seconds".into());
                    // Those who wait are told what comes of it.
                    let _ = this.finish(&issuer, &done, found.unwrap_or_else(|_| late()));
                });
                wait(waiting)
            }
        }
    }
}

impl Tenants {
    /// Notes what was found, and tells those who wait.
    fn finish(
        &self,
        issuer: &Arc<str>,
        done: &watch::Sender<Option<Found>>,
        found: Result<Option<Arc<dyn TokenVerifier>>, BoxError>,
    ) -> Found {
        let found = found.map_err(|error| Rejection::unavailable(UNAVAILABLE, error).with_retry_after(FAILED_FOR));
        let mut rest = self.shared.rest();
        // Somebody may have had it forgotten meanwhile.
        let is_wanted = rest.under_way.get(issuer).is_some_and(|it| it.same_channel(&done.subscribe()));
        let mut dropped = None;
        if is_wanted {
            rest.under_way.remove(issuer);
            match &found {
                Ok(Some(verifier)) => dropped = self.shared.keep(issuer, verifier, self.kept),
                Ok(None) => rest.note(issuer, self.unknown_for, &found),
                Err(_) => rest.note(issuer, FAILED_FOR, &found),
            }
        }
        drop(rest);
        drop(dropped);
        done.send_replace(Some(found.clone()));
        found
    }
}

impl Shared {
    fn rest(&self) -> MutexGuard<'_, Rest> {
        // Nothing panics between two changes that belong together.
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self, issuer: &str) -> Option<Arc<dyn TokenVerifier>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let found = kept.get(issuer)?;
        found.used.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(Arc::clone(&found.verifier))
    }

    /// Keeps a verifier, and returns the one that had to make way: the one that was not asked for the longest.
    fn keep(&self, issuer: &Arc<str>, verifier: &Arc<dyn TokenVerifier>, most: usize) -> Option<Kept> {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let oldest =
            kept.iter().min_by_key(|(_, it)| it.used.load(Ordering::Relaxed)).map(|(name, _)| Arc::clone(name));
        let dropped = oldest.filter(|_| kept.len() >= most).and_then(|oldest| kept.remove(&oldest));
        let used = AtomicU64::new(self.uses.fetch_add(1, Ordering::Relaxed));
        kept.insert(Arc::clone(issuer), Kept { verifier: Arc::clone(verifier), used });
        dropped
    }
}

impl Rest {
    /// Remembers that there is no verifier. What ends first makes way.
    fn note(&mut self, issuer: &Arc<str>, time: Duration, found: &Found) {
        let now = Instant::now();
        if self.nothing.len() >= UNKNOWN_MAX {
            self.nothing.retain(|_, (until, _)| now < *until);
        }
        if self.nothing.len() >= UNKNOWN_MAX {
            let first = self.nothing.iter().min_by_key(|(_, (until, _))| *until).map(|(name, _)| Arc::clone(name));
            first.and_then(|first| self.nothing.remove(&first));
        }
        self.nothing.insert(Arc::clone(issuer), (now + time, found.clone()));
    }
}

/// Waits for what others look up.
fn wait(mut waiting: watch::Receiver<Option<Found>>) -> Answer<Found> {
    Answer::later(async move {
        // A little longer than the look-up itself may take, which ends in time and says so.
        let waited = timeout(PATIENCE + Duration::from_secs(1), waiting.wait_for(Option::is_some)).await;
        let found = waited.ok().and_then(Result::ok).and_then(|found| found.clone());
        found.unwrap_or_else(|| Err(Rejection::unavailable(UNAVAILABLE, "nobody says what was found of the issuer")))
    })
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.shared.kept.read().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_struct("Tenants").field("kept", &kept).field("most", &self.kept).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_a_url_there_is_a_path_that_means_one_thing() {
        let cases = [
            ("one", true),
            ("one/", true),
            ("one/v2.0", true),
            ("a.b-c_d~e", true),
            ("", false),
            ("/", false),
            ("one//", false),
            ("/one", false),
            ("a//b", false),
            (".", false),
            ("../one", false),
            ("one/..", false),
            ("one/./two", false),
            ("one?x", false),
            ("one#x", false),
            ("one%2e", false),
            ("one@evil.example", false),
            ("one:8443", false),
            ("one\\two", false),
            ("öne", false),
            ("one two", false),
        ];
        for (rest, expected) in cases {
            assert_eq!(is_path(rest), expected, "{rest:?}");
        }
    }
}
