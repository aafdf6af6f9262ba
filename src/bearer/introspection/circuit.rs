//! When to ask no more: a server that does not answer is left alone for a while.
//!
//! A server that cannot be reached, or does not answer in time, is left alone at once. One that answers with an error may do
//! so for the sake of one token, which whoever sent it would like to be everybody's outage: it takes three errors in a row,
//! with no good answer between. After the wait one question goes out, and its outcome decides.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::server::Failure;
use crate::Rejection;
use crate::fetch::back_off::{FIRST, back_off, random};
use crate::fetch::{FetchError, Outage, PATIENCE};

/// How many errors in a row count as an outage.
const IN_A_ROW: u32 = 3;

/// Keeps questions back while there is no use in asking.
#[derive(Debug, Default)]
pub(super) struct Circuit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    errors: u32,
    waits: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    failure: Failure,
}

/// Lets one question out.
#[derive(Debug)]
#[must_use]
pub(super) struct Pass {
    is_trial: bool,
}

impl Circuit {
    /// Lets a question out, or refuses as the last one was refused.
    pub(super) fn enter(&self) -> Result<Pass, Rejection> {
        let mut state = self.lock();
        let now = Instant::now();
        match &mut state.open {
            None => Ok(Pass { is_trial: false }),
            Some(open) if now < open.until => Err(open.failure.rejection(open.until - now)),
            Some(open) => {
                // Should nothing come of it, such as when its runtime ends, the next one goes out after that.
                open.until = now + PATIENCE + Duration::from_secs(1);
                Ok(Pass { is_trial: true })
            }
        }
    }

    /// Notes that there was an answer.
    pub(super) fn answered(&self) {
        *self.lock() = State::default();
    }

    /// Notes that there was none, and returns how the question is refused.
    pub(super) fn failed(&self, pass: &Pass, failure: Failure) -> Rejection {
        let mut state = self.lock();
        let now = Instant::now();
        state.errors = state.errors.saturating_add(1);
        let is_silent = !matches!(*failure.error, FetchError::Status(_) | FetchError::Document(_));
        let opens = match &state.open {
            // Others that were under way say nothing new.
            Some(_) => pass.is_trial,
            None => is_silent || state.errors >= IN_A_ROW,
        };
        if opens {
            // Between half of the time and all of it, so that not all servers come back at once.
            let wait = back_off(state.waits).mul_f64(0.5 + 0.5 * random());
            state.waits = state.waits.saturating_add(1);
            state.open = Some(Open { until: now + wait, failure: failure.clone() });
        }
        let wait = state.open.as_ref().map_or(FIRST, |open| open.until.saturating_duration_since(now));
        failure.rejection(wait)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failure {
    fn rejection(&self, wait: Duration) -> Rejection {
        let error = Arc::clone(&self.error);
        match self.is_ours {
            true => Rejection::misconfigured("introspection_unauthorized", error),
            false => Outage::new(wait, error).into_rejection(super::UNAVAILABLE),
        }
    }
}
