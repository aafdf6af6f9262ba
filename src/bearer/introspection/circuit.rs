//! When to ask no more: a server that does not answer is left alone for a while.
//!
//! A server that is not there, or whose metadata cannot be had, is left alone at once. Any other failure may come of one token, which whoever sent it would
//! like to be everybody's outage. So an answer that makes no sense, is too long, or blames the question is held against the
//! token alone; silence, connections that break and errors of the server's own count if three different tokens meet them, with no good answer between.
//! After the wait one question goes out, and its outcome decides. For a second it is not one about a token that has failed,
//! if anybody else has one.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::server::{Failure, Stage};
use crate::Rejection;
use crate::fetch::back_off::{FIRST, back_off, random};
use crate::fetch::{FetchError, Outage, PATIENCE};

/// How many different tokens have to meet a failure for it to be an outage.
const TOKENS: usize = 3;
/// For how long after the wait a token that has failed makes way for others.
const COURTESY: Duration = Duration::from_secs(1);
/// How many tokens that have failed are remembered.
const BLAMED_MAX: usize = 16;

/// Keeps questions back while there is no use in asking.
#[derive(Debug, Default)]
pub(super) struct Circuit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The digests of tokens that have failed since the last good answer.
    blamed: Vec<[u8; 32]>,
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

/// What a failure says of the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    /// It is out of reach.
    Gone,
    /// It may be, or it may be for the sake of the token.
    Ailing,
    /// It is well, and has nothing to say of the token.
    Well,
}

impl Circuit {
    /// Lets a question out, or refuses as the last one was refused.
    pub(super) fn enter(&self, digest: &[u8; 32]) -> Result<Pass, Rejection> {
        let mut state = self.lock();
        let State { blamed, open, .. } = &mut *state;
        let now = Instant::now();
        match open {
            None => Ok(Pass { is_trial: false }),
            Some(open) if now < open.until => Err(open.failure.rejection(open.until - now)),
            Some(open) if now < open.until + COURTESY && blamed.contains(digest) => {
                Err(open.failure.rejection(open.until + COURTESY - now))
            }
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
    pub(super) fn failed(&self, pass: &Pass, digest: &[u8; 32], failure: Failure) -> Rejection {
        let mut state = self.lock();
        let now = Instant::now();
        let verdict = failure.verdict();
        if verdict != Verdict::Well && !state.blamed.contains(digest) {
            if state.blamed.len() == BLAMED_MAX {
                state.blamed.remove(0);
            }
            state.blamed.push(*digest);
        }
        if pass.is_trial && verdict == Verdict::Well {
            // It is back. Whoever has odd tokens is not to keep it from everybody else.
            *state = State::default();
        }
        let opens = match (&state.open, verdict) {
            // Others that were under way say nothing new.
            (Some(_), _) => pass.is_trial,
            (None, Verdict::Gone) => true,
            (None, Verdict::Ailing) => state.blamed.len() >= TOKENS,
            (None, Verdict::Well) => false,
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
    fn verdict(&self) -> Verdict {
        match &*self.error {
            _ if self.at == Stage::Metadata => Verdict::Gone,
            FetchError::Local(_) => Verdict::Gone,
            FetchError::Transport(error) if is_unreachable(&**error) => Verdict::Gone,
            // Somebody between may break off, or answer 403 or 400, to a token that looks odd.
            FetchError::Transport(_) | FetchError::TimedOut | FetchError::Contradiction(_) => Verdict::Ailing,
            FetchError::Status(status) if self.at == Stage::ClientAuth && *status != StatusCode::FORBIDDEN => {
                Verdict::Ailing
            }
            FetchError::Status(status) if status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS => {
                Verdict::Ailing
            }
            FetchError::Status(_) | FetchError::Document(_) | FetchError::Nowhere(_) | FetchError::TooLong => {
                Verdict::Well
            }
        }
    }

    fn rejection(&self, wait: Duration) -> Rejection {
        let error = Arc::clone(&self.error);
        match self.at {
            Stage::ClientAuth => Rejection::misconfigured("introspection_unauthorized", error),
            Stage::Metadata | Stage::Answer => Outage::new(wait, error).into_rejection(super::UNAVAILABLE),
        }
    }
}

/// Returns whether nothing was sent, since nobody is there.
fn is_unreachable(error: &(dyn Error + 'static)) -> bool {
    const KINDS: [ErrorKind; 3] =
        [ErrorKind::ConnectionRefused, ErrorKind::HostUnreachable, ErrorKind::NetworkUnreachable];
    let is_so = error.downcast_ref::<io::Error>().is_some_and(|error| KINDS.contains(&error.kind()));
    is_so || error.source().is_some_and(is_unreachable)
}
