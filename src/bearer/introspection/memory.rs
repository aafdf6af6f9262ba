//! What the server said of tokens before.
//!
//! Tokens are told apart by the SHA-256 of the whole, and are not kept. Good ones and others have tables of their own, so that
//! nobody who guesses tokens takes the place of one that is good. Both tables are of a fixed size.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::bearer::jwt::token::Token;
use crate::bearer::verified::VerifiedTokens;
use crate::{Cause, Rejection};

/// How many tokens that are not good are remembered.
const BAD: usize = 1024;

/// How long it is remembered that nothing could be found out about a token.
const FAILED_FOR: Duration = Duration::from_secs(1);

/// What the server says of a token: what it is good for, or that it is not.
pub(super) type Finding<T> = Result<Arc<Token<T>>, Rejection>;

/// Remembers findings, each for a short time.
pub(super) struct Memory<T> {
    good: Option<VerifiedTokens<Entry<Arc<Token<T>>>>>,
    bad: VerifiedTokens<Entry<Rejection>>,
    good_for: Duration,
    bad_for: Duration,
}

#[derive(Clone)]
struct Entry<V> {
    until: Instant,
    value: V,
}

impl<T> Memory<T> {
    pub(super) fn new(tokens: usize, good_for: Duration, bad_for: Duration) -> Self {
        // The digests are what is kept.
        let good = (tokens > 0 && !good_for.is_zero()).then(|| VerifiedTokens::new(tokens, false));
        Self { good, bad: VerifiedTokens::new(BAD, false), good_for, bad_for }
    }

    pub(super) fn find(&self, digest: &[u8; 32], now: SystemTime) -> Option<Finding<T>> {
        let is_fresh = |until: Instant| Instant::now() < until;
        if let Some(entry) = self.good.as_ref().and_then(|good| good.find(digest, 0))
            && is_fresh(entry.until)
            // RFC 7662, section 4: never beyond its end, of which the server is asked again.
            && entry.value.exp().is_none_or(|exp| now < UNIX_EPOCH + exp)
        {
            return Some(Ok(entry.value));
        }
        let entry = self.bad.find(digest, 0).filter(|entry| is_fresh(entry.until))?;
        Some(Err(entry.value))
    }

    /// Remembers a finding. That there was none, for whatever fault, is held against the token for a second.
    pub(super) fn keep(&self, digest: &[u8; 32], finding: &Finding<T>) {
        let until = |time: Duration| Instant::now() + time;
        match (finding, &self.good) {
            (Ok(token), Some(good)) => {
                good.insert(digest, 0, Entry { until: until(self.good_for), value: Arc::clone(token) });
            }
            (Ok(_), None) => {}
            (Err(rejection), _) => {
                let time = if rejection.cause() == Cause::Invalid { self.bad_for } else { FAILED_FOR };
                if !time.is_zero() {
                    self.bad.insert(digest, 0, Entry { until: until(time), value: rejection.clone() });
                }
            }
        }
    }
}

impl<T> fmt::Debug for Memory<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("good_for", &self.good_for)
            .field("bad_for", &self.bad_for)
            .finish_non_exhaustive()
    }
}
