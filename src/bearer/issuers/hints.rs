//! Which issuer a token was of when it came before, so that it need not be read each time.
//!
//! What is kept is a guess and no more: the place in the list, by a hash of the end of the token. Whoever is guessed answers
//! out of its own memory of whole tokens, or not at all; then the token is read as if it had never come.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::{PresentedToken, TokenVerifier};
use crate::Principal;

/// How many guesses are kept.
const PLACES: usize = 16 * 1024;
/// How many bytes of a token are hashed: the end of its signature.
const TAIL: usize = 32;

/// Guesses whose a token is.
pub(super) struct Hints {
    listed: Vec<(Arc<str>, Arc<dyn TokenVerifier>)>,
    guesses: Box<[AtomicU16]>,
    random: RandomState,
}

impl Hints {
    pub(super) fn new(known: &HashMap<Arc<str>, Arc<dyn TokenVerifier>>) -> Self {
        let listed = known.iter().map(|(issuer, verifier)| (Arc::clone(issuer), Arc::clone(verifier)));
        let guesses = (0..PLACES).map(|_| AtomicU16::new(0));
        Self { listed: listed.collect(), guesses: guesses.collect(), random: RandomState::new() }
    }

    /// Returns who sent a token, if its issuer is guessed, and remembers it.
    pub(super) fn find(&self, token: &PresentedToken) -> Option<Principal> {
        let guess = self.guess(token)?.load(Ordering::Relaxed);
        let (issuer, verifier) = self.listed.get(usize::from(guess))?;
        verifier.remembered(token).filter(|principal| principal.issuer() == Some(&**issuer))
    }

    /// Notes whose a token is that was let in.
    pub(super) fn note(&self, token: &PresentedToken, issuer: &Arc<str>) {
        let place = self.listed.iter().position(|(listed, _)| Arc::ptr_eq(listed, issuer));
        if let Some(guess) = self.guess(token)
            && let Some(place) = place.and_then(|place| u16::try_from(place).ok())
            && guess.load(Ordering::Relaxed) != place
        {
            guess.store(place, Ordering::Relaxed);
        }
    }

    fn guess(&self, token: &PresentedToken) -> Option<&AtomicU16> {
        let tail: &[u8; TAIL] = token.as_bytes().last_chunk()?;
        self.guesses.get(self.random.hash_one(tail) as usize % PLACES)
    }
}

impl fmt::Debug for Hints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hints")
    }
}
