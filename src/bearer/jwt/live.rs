//! Verifying with keys that are fetched.

use std::sync::Arc;

use super::builder::Source;
use super::{Jwt, JwtBuilder, Keys, jws};
use crate::bearer::jwks::remote::Fetcher;
use crate::bearer::{Algorithm, Issuer, KeysStatus, PresentedToken, RemoteKeys, TokenVerifier};
use crate::events::KeysFetched;
use crate::fetch::{Demand, FetchError, Fetched, Schedule};
use crate::{Answer, ConfigError, Outage, Principal, Rejection, events};

/// What the log is told where there are no keys to verify with.
const UNAVAILABLE: &str = "keys_unavailable";
/// How often a token is looked at again. A fetch that was under way when it came may have started before its key was
/// published, so there may have to be another one.
const TRIES: usize = 2;

impl Jwt {
    /// Starts a verifier with the keys of an issuer, which are found by its metadata and kept up to date. An audience has to
    /// be named before it can be built. See [`remote`](crate::bearer::jwks::remote) for what happens when.
    ///
    /// ```
    /// use serde::Deserialize;
    /// use tower_keep::Jwt;
    ///
    /// #[derive(Clone, Deserialize)]
    /// struct Me {
    ///     email: String,
    /// }
    ///
    /// # fn tokens() -> Result<Jwt, Box<dyn std::error::Error>> {
    /// let tokens = Jwt::discover("https://login.example.com")
    ///     .audience("https://api.example.com")
    ///     .claims::<Me>()
    ///     .build()?;
    /// # Ok(tokens)
    /// # }
    /// ```
    pub fn discover(issuer: impl Into<Issuer>) -> JwtBuilder {
        let issuer = issuer.into();
        let url = issuer.url().to_owned();
        Self::with_remote_keys(issuer.keys()).issuer(url)
    }

    /// Starts a verifier with keys that are fetched and kept up to date. Issuer and audience have to be named before it can
    /// be built.
    pub fn with_remote_keys(keys: RemoteKeys) -> JwtBuilder {
        JwtBuilder::new(Source::Live(Box::new(keys)))
    }

    /// Waits until there are keys to verify with, and fetches them if need be. Without this call the first token does.
    ///
    /// # Errors
    ///
    /// [`Outage`], if they cannot be had. It is tried again all the same, time after time.
    pub fn ready(&self) -> Answer<Result<(), Outage>> {
        self.live.as_ref().map_or(Answer::Now(Ok(())), |live| live.schedule.require())
    }

    /// Fetches the keys now, whatever the time.
    ///
    /// # Errors
    ///
    /// [`Outage`]; the keys that are there stay in use.
    pub fn reload(&self) -> Answer<Result<(), Outage>> {
        self.live.as_ref().map_or(Answer::Now(Ok(())), |live| live.schedule.reload())
    }

    /// Returns how the keys stand, for health checks and operators.
    pub fn status(&self) -> KeysStatus {
        let set = self.keys();
        let standing = self.live.as_ref().map(|live| live.schedule.standing());
        let standing = standing.as_ref();
        KeysStatus {
            usable: standing.is_none_or(|standing| standing.usable),
            keys: set.len(),
            skipped: set.skipped().len(),
            age: standing.and_then(|standing| standing.age),
            fetches: standing.map_or(0, |standing| standing.fetches),
            last_error: standing.and_then(|standing| Some(crate::fetch::with_causes(standing.failure.as_deref()?))),
            next_fetch: standing.and_then(|standing| standing.next),
        }
    }

    /// Returns the key set as it was last fetched, for [`RemoteKeys::seed`] at the next start; none if there is none, or the
    /// keys are at hand.
    pub fn export_keys(&self) -> Option<bytes::Bytes> {
        self.live.as_ref()?.fetcher.document()
    }
}

/// Fetches the keys, and tells the log.
async fn fetch(fetcher: &Fetcher, keys: &Keys) -> Result<Fetched, FetchError> {
    let mut changed = false;
    let fetched = fetcher
        .fetch(|set| {
            changed = true;
            keys.replace(set)
        })
        .await;
    let set = keys.current().map(|current| Arc::clone(&current.set)).unwrap_or_default();
    let (from, keys) = (fetcher.name(), set.len());
    match &fetched {
        Ok(_) => events::keys_fetched(&KeysFetched { from, keys, skipped: set.skipped().len(), changed }),
        Err(error) => events::keys_not_fetched(from, keys, error),
    }
    fetched
}

/// What a verifier is opened with.
pub(crate) type Opening = RemoteKeys;

/// Keeps the keys of a verifier up to date.
pub(crate) struct Live {
    schedule: Schedule,
    fetcher: Arc<Fetcher>,
}

impl Live {
    pub(super) fn open(
        opening: Opening,
        algorithms: Option<Vec<Algorithm>>,
    ) -> Result<(Arc<Keys>, Arc<Self>), Vec<ConfigError>> {
        let (fetcher, timing, seed) = opening.open()?;
        let keys = Arc::new(Keys::none_yet(algorithms));
        let schedule = {
            let (keys, fetcher) = (Arc::clone(&keys), Arc::clone(&fetcher));
            Schedule::new(timing, move || {
                let (keys, fetcher) = (Arc::clone(&keys), Arc::clone(&fetcher));
                Box::pin(async move { fetch(&fetcher, &keys).await })
            })
        };
        if let Some(seed) = seed {
            keys.replace(seed).map_err(|error| vec![error])?;
            schedule.seed();
        }
        // So that the keys are there when the first token comes, if this is done inside a runtime.
        schedule.start();
        Ok((keys, Arc::new(Self { schedule, fetcher })))
    }

    /// Waits until there are keys.
    #[cfg_attr(not(feature = "introspection"), allow(dead_code, reason = "tokens are all that is verified"))]
    pub(super) fn required(&self) -> Answer<Result<(), Rejection>> {
        self.schedule.require().map(|required| required.map_err(|outage| outage.into_rejection(UNAVAILABLE)))
    }

    /// Waits until keys were fetched for something unknown, unless they were not long ago.
    #[cfg_attr(not(feature = "introspection"), allow(dead_code, reason = "tokens are all that is verified"))]
    pub(super) fn demanded(&self) -> Answer<Result<(), Rejection>> {
        self.schedule.demand().map(|demanded| demanded.map(drop).map_err(|outage| outage.into_rejection(UNAVAILABLE)))
    }

    /// Returns whether the keys that are there may be used.
    pub(super) fn is_usable(&self) -> bool {
        self.schedule.is_usable()
    }

    pub(super) fn verify(&self, jwt: &Jwt, token: &PresentedToken) -> Answer<Result<Principal, Rejection>> {
        if self.schedule.is_usable() {
            return match jwt.core.verify(token.as_bytes(), &jwt.keys) {
                Answer::Now(Err(rejection)) if rejection.reason() == jws::KID_UNKNOWN => {
                    self.ask_again(jwt, token, rejection, TRIES)
                }
                answer => answer,
            };
        }
        // What is no token is refused at once: nobody waits, and no fetch is caused, for its sake.
        if let Err(rejection) = jwt.core.inspect(token.as_bytes()) {
            return Answer::Now(Err(rejection));
        }
        let (jwt, token) = (jwt.clone(), token.clone());
        self.schedule.require().then(move |required| match required {
            Ok(()) => jwt.verify(&token),
            Err(outage) => Answer::Now(Err(outage.into_rejection(UNAVAILABLE))),
        })
    }

    /// Looks for a key that is not there, and looks at the token again if there may be others now.
    fn ask_again(
        &self,
        jwt: &Jwt,
        token: &PresentedToken,
        rejection: Rejection,
        tries: usize,
    ) -> Answer<Result<Principal, Rejection>> {
        if tries == 0 {
            return Answer::Now(Err(rejection));
        }
        let (jwt, token) = (jwt.clone(), token.clone());
        self.schedule.demand().then(move |demanded| match demanded {
            Ok(Demand::Declined) => Answer::Now(Err(rejection)),
            Err(outage) => Answer::Now(Err(outage.into_rejection(UNAVAILABLE))),
            Ok(Demand::Fetched) => match jwt.core.verify(token.as_bytes(), &jwt.keys) {
                Answer::Now(Err(rejection)) if rejection.reason() == jws::KID_UNKNOWN => {
                    let live = jwt.live.clone();
                    match live {
                        Some(live) => live.ask_again(&jwt, &token, rejection, tries - 1),
                        None => Answer::Now(Err(rejection)),
                    }
                }
                answer => answer,
            },
        })
    }
}
