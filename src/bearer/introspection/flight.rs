//! Questions that are under way: one for each token, however many ask.
//!
//! A task of its own asks the server, so that a caller that goes away ends nothing. What is found is remembered before the
//! question ends, so that there is no moment at which a second one would be asked.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;

use super::circuit::Pass;
use super::memory::Finding;
use super::server::Failure;
use super::{Core, UNAVAILABLE, response};
use crate::bearer::PresentedToken;
use crate::fetch::FetchError;
use crate::{Rejection, events};

/// How many questions may be under way at once, so that a flood of tokens is none of questions.
const AT_ONCE: usize = 256;

/// How long a question may take, looking for where to ask included. Nobody waits for so long.
const ATTEMPT: Duration = Duration::from_secs(21);

type Outcome<T> = watch::Receiver<Option<Finding<T>>>;

/// The questions that are under way, by the digest of the token.
pub(super) struct Flights<T>(Mutex<HashMap<[u8; 32], Outcome<T>>>);

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Flights<T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Outcome<T>>> {
        // Nothing panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question that is under way, until it is dropped.
struct Flight<T> {
    core: Arc<Core<T>>,
    digest: [u8; 32],
    outcome: watch::Sender<Option<Finding<T>>>,
}

impl<T> Drop for Flight<T> {
    fn drop(&mut self) {
        self.core.flights.lock().remove(&self.digest);
    }
}

impl<T: DeserializeOwned + Any + Send + Sync> Core<T> {
    /// Joins the question about a token that is under way, or asks it.
    pub(super) fn ask(self: Arc<Self>, digest: [u8; 32], token: &PresentedToken) -> Result<Outcome<T>, Rejection> {
        let mut flights = self.flights.lock();
        if let Some(outcome) = flights.get(&digest) {
            return Ok(outcome.clone());
        }
        // It may have ended since it was looked for.
        if let Some(finding) = self.memory.find(&digest, self.clock.now()) {
            return Ok(watch::channel(Some(finding)).1);
        }
        if flights.len() >= AT_ONCE {
            let error = FetchError::local(format!("{AT_ONCE} questions are under way"));
            return Err(Rejection::unavailable("introspection_busy", error));
        }
        let runtime = Handle::try_current().map_err(|_| {
            Rejection::unavailable(UNAVAILABLE, FetchError::local("it takes a runtime of tokio to ask"))
        })?;
        let pass = self.circuit.enter(&digest)?;
        let (sender, outcome) = watch::channel(None);
        flights.insert(digest, outcome.clone());
        drop(flights);
        let flight = Flight { core: self, digest, outcome: sender };
        runtime.spawn(flight.fly(pass, token.clone()));
        Ok(outcome)
    }
}

impl<T: DeserializeOwned + Any + Send + Sync> Flight<T> {
    async fn fly(self, pass: Pass, token: PresentedToken) {
        let core = &self.core;
        let asked = timeout(ATTEMPT, core.server.ask(token.expose(), core.clock.now())).await;
        let answer = asked.unwrap_or_else(|_| Err(Failure::from(FetchError::TimedOut)));
        let read = answer.and_then(|answer| core.rules.read(&answer).map_err(Failure::from));
        let finding = match read {
            Ok(finding) => {
                events::introspected(&core.server.name, response::is_active(&finding));
                core.circuit.answered();
                finding
            }
            Err(failure) => {
                events::not_introspected(&core.log, &core.server.name, &*failure.error);
                Err(core.circuit.failed(&pass, &self.digest, failure))
            }
        };
        core.memory.keep(&self.digest, &finding);
        self.outcome.send_replace(Some(finding));
    }
}
