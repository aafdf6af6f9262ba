//! Whether a credential that was let in is still good, for requests that last longer than it does.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{sleep, timeout};

use crate::{Answer, BoxFuture, Clock, Principal, Scheme, SystemClock};

/// How often it is asked again whether a credential is good, unless another time is set.
const EVERY: Duration = Duration::from_secs(10);
/// The shortest wait, so that an end that is a moment away is not asked about without pause.
const LEAST: Duration = Duration::from_millis(1);

/// How a credential stands that was good when its request came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Standing {
    /// It is good.
    Good {
        /// How long it is, unless it is taken back; nothing if it has no end.
        left: Option<Duration>,
    },
    /// It is not good any more.
    Ended(Ending),
    /// It cannot be known at the moment.
    Unknown,
}

/// Why a credential is not good any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Ending {
    /// Its time is over.
    Expired,
    /// It was taken back: a key that was revoked, a token on a deny list.
    Denied,
}

impl Principal {
    /// Waits until the credential is not good any more, and says why: for handlers of streams, whose requests outlive
    /// credentials. The end of a credential by its time is known to the moment, as the layer counts it, leeway
    /// included (within 10 seconds for [`max_age`](crate::JwtBuilder::max_age), and while a list does not answer); whether it was taken back is asked every 10 seconds. Where layers are stacked, the first credential that
    /// ends counts. It never ends for a principal without an end that nobody can take back.
    ///
    /// The layer never cuts a body: a stream goes on until its handler ends it. While a deny list or a store is out of
    /// reach, a stream goes on, too, until the credential expires. What is not asked is whether the key is still there that
    /// signed a token: [`Denial::key`](crate::Denial::key) is what takes such tokens back. Neither is the server of an opaque
    /// token asked again: if it revokes one, the next request learns of it, and a stream does not.
    ///
    /// ```
    /// # async fn next_event() -> Option<String> { None }
    /// # async fn send(event: String) {}
    /// use tower_keep::Principal;
    ///
    /// async fn stream(who: Principal) {
    ///     let mut ended = who.ended();
    ///     loop {
    ///         tokio::select! {
    ///             _ending = &mut ended => break,
    ///             event = next_event() => match event {
    ///                 Some(event) => send(event).await,
    ///                 None => break,
    ///             },
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// The future asks for the timer of a tokio runtime, and panics without one.
    pub fn ended(&self) -> BoxFuture<Ending> {
        self.ended_asking_every(EVERY)
    }

    /// Waits as [`ended`](Self::ended) does, and asks at other intervals whether the credential was taken back.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn ended_asking_every(&self, interval: Duration) -> BoxFuture<Ending> {
        let (principal, interval) = (self.clone(), interval.max(LEAST));
        Box::pin(async move {
            loop {
                let mut wait = None;
                for principal in std::iter::successors(Some(&principal), |principal| principal.before()) {
                    let Some(answer) = principal.standing() else { continue };
                    // A list that does not answer keeps nobody from looking at the time.
                    let next = match timeout(interval.min(EVERY), answer.into_future()).await {
                        Ok(Standing::Ended(ending)) => return ending,
                        Ok(Standing::Good { left: Some(left) }) => left.min(interval),
                        Ok(Standing::Good { left: None } | Standing::Unknown) => interval,
                        Err(_) => LEAST,
                    };
                    wait = Some(wait.map_or(next, |wait: Duration| wait.min(next)));
                }
                match wait {
                    Some(wait) => sleep(wait.max(LEAST)).await,
                    None => std::future::pending().await,
                }
            }
        })
    }

    /// Asks how the credential stands; nothing if it is good for ever. A principal that no layer let in stands by its end
    /// alone.
    fn standing(&self) -> Option<Answer<Standing>> {
        let asked = self.guard().and_then(|guard| guard.keeper()?.ask(self));
        asked.or_else(|| Some(Answer::Now(standing_until(self.expires_at()?, SystemClock.now()))))
    }
}

/// Returns how a credential stands that has nothing but an end.
pub(crate) fn standing_until(end: SystemTime, now: SystemTime) -> Standing {
    match end.duration_since(now) {
        Ok(left) if !left.is_zero() => Standing::Good { left: Some(left) },
        _ => Standing::Ended(Ending::Expired),
    }
}

/// Returns how a principal stands by its end alone.
#[cfg_attr(not(feature = "bearer"), allow(dead_code, reason = "every scheme knows its own"))]
pub(crate) fn standing_alone(principal: &Principal) -> Standing {
    principal.expires_at().map_or(Standing::Good { left: None }, |end| standing_until(end, SystemClock.now()))
}

/// Asks the scheme of a layer how its principals stand, without the type of the scheme.
pub(crate) struct Keeper(Box<Ask>);

type Ask = dyn Fn(&Principal) -> Option<Answer<Standing>> + Send + Sync;

impl Keeper {
    pub(crate) fn of<C: Scheme>(scheme: Arc<C>) -> Self {
        Self(Box::new(move |principal| scheme.standing(principal)))
    }

    fn ask(&self, principal: &Principal) -> Option<Answer<Standing>> {
        (self.0)(principal)
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeper")
    }
}
