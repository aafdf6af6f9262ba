//! Tokens that are refused before they expire: the deny list.
//!
//! A JWT is good until it expires, unless somebody says otherwise. A deny list is where that is said, and it is asked
//! each time a token comes, the ones that are remembered as verified included.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use tower_keep::{Denial, MemoryDenyList};
//!
//! let denied = MemoryDenyList::new();
//! let in_an_hour = SystemTime::now() + Duration::from_secs(60 * 60); // no token lives longer
//! denied.deny(Denial::token("a7f3").until(in_an_hour)); // one token
//! denied.deny(Denial::subject("alice").issued_before(SystemTime::now()).until(in_an_hour)); // log out everywhere
//! denied.deny(Denial::key("2025")); // everything signed with the key of that id, which leaked
//! // Jwt::with_keys(..).deny_list(denied.clone())
//! ```

mod memory;
#[cfg(feature = "redis")]
mod redis;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

pub use self::memory::MemoryDenyList;
#[cfg(feature = "redis")]
pub use self::redis::RedisDenyList;

use crate::{Answer, StoreError};

/// Says which tokens are refused although nothing is wrong with them.
pub trait DenyList: Send + Sync + 'static {
    /// Returns whether a token is refused.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it cannot be known: the caller is answered 503, never 401, and never let in.
    fn denies(&self, token: &TokenFacts<'_>) -> Answer<Result<bool, StoreError>>;
}

impl<D: DenyList + ?Sized> DenyList for Arc<D> {
    fn denies(&self, token: &TokenFacts<'_>) -> Answer<Result<bool, StoreError>> {
        (**self).denies(token)
    }
}

/// Puts tokens on a deny list.
pub trait DenyAdmin: DenyList {
    /// Refuses tokens from now on. When the answer is there, no request that starts is admitted with one of them.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the list cannot be changed.
    fn deny(&self, denial: Denial) -> Answer<Result<(), StoreError>>;
}

impl<D: DenyAdmin + ?Sized> DenyAdmin for Arc<D> {
    fn deny(&self, denial: Denial) -> Answer<Result<(), StoreError>> {
        (**self).deny(denial)
    }
}

/// What a deny list may know a token by. Its signature is good.
///
/// ```
/// use tower_keep::{DenyList, MemoryDenyList, TokenFacts};
///
/// let mut facts = TokenFacts::new("alice");
/// facts.jti = Some("a7f3");
/// assert!(matches!(MemoryDenyList::new().denies(&facts).now(), Some(Ok(false))));
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TokenFacts<'a> {
    /// Who made it: `iss`.
    pub issuer: Option<&'a str>,
    /// Of whom it speaks: `sub`.
    pub subject: &'a str,
    /// Its own id: `jti`.
    pub jti: Option<&'a str>,
    /// The session at the issuer: `sid`.
    pub sid: Option<&'a str>,
    /// The id that the key which signed it was configured with.
    pub kid: Option<&'a str>,
    /// When it was made: `iat`.
    pub issued_at: Option<SystemTime>,
}

impl<'a> TokenFacts<'a> {
    /// Starts with a subject, for a test of a list of one's own.
    pub const fn new(subject: &'a str) -> Self {
        Self { issuer: None, subject, jti: None, sid: None, kid: None, issued_at: None }
    }

    /// Returns all by which a denial may tell it, for a list that looks them up at once. The last one is what denies all tokens.
    pub fn names(&self) -> impl Iterator<Item = (ToldBy, &'a str)> + use<'a> {
        let names = [self.jti, Some(self.subject), self.sid, self.kid, Some("")];
        ToldBy::ALL.into_iter().zip(names).filter_map(|(told_by, name)| Some((told_by, name?)))
    }
}

/// Which tokens are refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Denial {
    told_by: ToldBy,
    name: String,
    rule: Rule,
}

/// What a denial tells tokens by.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ToldBy {
    /// Their own id.
    Jti,
    /// Of whom they speak.
    Sub,
    /// The session at the issuer.
    Sid,
    /// The key that signed them.
    Kid,
    /// All of them; the name is empty.
    Nothing,
}

impl ToldBy {
    const ALL: [Self; 5] = [Self::Jti, Self::Sub, Self::Sid, Self::Kid, Self::Nothing];

    /// Returns the stable name: `jti`, `sub`, `sid`, `kid` or `all`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jti => "jti",
            Self::Sub => "sub",
            Self::Sid => "sid",
            Self::Kid => "kid",
            Self::Nothing => "all",
        }
    }
}

impl fmt::Display for ToldBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// When a denial holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Rule {
    issuer: Option<String>,
    issued_before: Option<SystemTime>,
    until: Option<SystemTime>,
}

impl Denial {
    /// Refuses the token of a `jti`.
    pub fn token(jti: impl Into<String>) -> Self {
        Self::of(ToldBy::Jti, jti.into())
    }

    /// Refuses the tokens of a `sub`.
    pub fn subject(sub: impl Into<String>) -> Self {
        Self::of(ToldBy::Sub, sub.into())
    }

    /// Refuses the tokens of a session, told by its `sid`.
    pub fn session(sid: impl Into<String>) -> Self {
        Self::of(ToldBy::Sid, sid.into())
    }

    /// Refuses the tokens that the key of a `kid` signed: the id that the key was configured with, by its JWK or by
    /// [`with_kid`](crate::VerificationKey::with_kid). What a token calls its key does not count, since whoever has the key
    /// can call it anything. A key that stands in the set more than once, under other ids or without one, is denied under
    /// this one only: [replace the keys](crate::Jwt::replace_keys), too.
    pub fn key(kid: impl Into<String>) -> Self {
        Self::of(ToldBy::Kid, kid.into())
    }

    /// Refuses all tokens; with [`issued_before`](Self::issued_before), all that were made before a time.
    pub fn all() -> Self {
        Self::of(ToldBy::Nothing, String::new())
    }

    /// Refuses only tokens of an issuer.
    #[must_use]
    pub fn by_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.rule.issuer = Some(issuer.into());
        self
    }

    /// Refuses only tokens that were made before a time, and those that do not say when. `iat` is mostly in whole seconds,
    /// rounded down, so a token of the very second of a time with a fraction counts as made before it. Where the clock of
    /// the issuer may be ahead, by the leeway at most, add that to the time.
    #[must_use]
    pub fn issued_before(mut self, when: SystemTime) -> Self {
        self.rule.issued_before = Some(when);
        self
    }

    /// Forgets the denial at a time, by which all tokens in question have expired, the leeway included. Without one, it is
    /// kept for good.
    #[must_use]
    pub fn until(mut self, when: SystemTime) -> Self {
        self.rule.until = Some(when);
        self
    }

    /// Returns what it tells tokens by.
    pub const fn told_by(&self) -> ToldBy {
        self.told_by
    }

    /// Returns the `jti`, `sub`, `sid` or `kid`; nothing, if it is about all tokens.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the only issuer whose tokens it refuses, if there is one.
    pub fn issuer(&self) -> Option<&str> {
        self.rule.issuer.as_deref()
    }

    /// Returns before when the tokens were made that it refuses.
    pub const fn made_before(&self) -> Option<SystemTime> {
        self.rule.issued_before
    }

    /// Returns when it is forgotten.
    pub const fn ends_at(&self) -> Option<SystemTime> {
        self.rule.until
    }

    /// Returns whether it refuses a token at a time.
    pub fn holds_for(&self, token: &TokenFacts<'_>, now: SystemTime) -> bool {
        token.names().any(|name| name == (self.told_by, self.name.as_str())) && self.rule.holds_for(token, now)
    }

    fn of(told_by: ToldBy, name: String) -> Self {
        Self { told_by, name, rule: Rule::default() }
    }
}

impl Rule {
    fn holds_for(&self, token: &TokenFacts<'_>, now: SystemTime) -> bool {
        self.is_alive(now)
            && self.issuer.as_deref().is_none_or(|issuer| token.issuer == Some(issuer))
            && self.issued_before.is_none_or(|end| token.issued_at.is_none_or(|issued| issued < end))
    }

    /// Returns whether the rule is one of the same kind as another and reaches as far or farther, in time alone. A rule of
    /// another kind is never stood in for: when one of the two is taken back, the other one has to be there.
    fn covers(&self, other: &Self) -> bool {
        let reaches = |this: Option<SystemTime>, other: Option<SystemTime>| match (this, other) {
            (Some(this), Some(other)) => this >= other,
            (this, other) => this == other,
        };
        self.issuer == other.issuer
            && reaches(self.issued_before, other.issued_before)
            && reaches(self.until, other.until)
    }

    fn is_alive(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Returns the rules of a name together with one more, without those that are over or that it stands in for.
    fn added_to<C: FromIterator<Self>>(&self, known: &[Self], now: SystemTime) -> C {
        known.iter().filter(move |known| known.is_alive(now) && !self.covers(known)).chain([self]).cloned().collect()
    }

    /// Returns the rules of a name without one, if it is there.
    fn taken_from<C: FromIterator<Self>>(&self, known: &[Self]) -> Option<C> {
        known.contains(self).then(|| known.iter().filter(|known| *known != self).cloned().collect())
    }
}

/// Several lists, each of which may refuse.
pub(crate) struct DenyLists(Vec<Arc<dyn DenyList>>);

impl DenyLists {
    /// Makes one list of several; nothing if there is none.
    pub(crate) fn of(mut lists: Vec<Arc<dyn DenyList>>) -> Option<Arc<dyn DenyList>> {
        match lists.len() {
            0 | 1 => lists.pop(),
            _ => Some(Arc::new(Self(lists))),
        }
    }
}

impl DenyList for DenyLists {
    fn denies(&self, token: &TokenFacts<'_>) -> Answer<Result<bool, StoreError>> {
        let answers: Vec<_> = self.0.iter().map(|list| list.denies(token)).collect();
        // One that knows at once leaves nothing to wait for.
        if answers.iter().any(|answer| matches!(answer, Answer::Now(Ok(true)))) {
            return Answer::Now(Ok(true));
        }
        answers.into_iter().fold(Answer::Now(Ok(false)), |before, answer| {
            before.then(|before| match before {
                Ok(true) => Answer::Now(Ok(true)),
                Ok(false) => answer,
                // What one does not know, another one may.
                Err(error) => answer.map(|answer| if matches!(answer, Ok(true)) { answer } else { Err(error) }),
            })
        })
    }
}
