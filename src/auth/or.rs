//! Two schemes on one route.

use std::fmt;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderName, HeaderValue};

use super::{Admission, Ownership, Scheme};
use crate::{Answer, Challenge, ConfigError, Exposure, Principal, Rejection, Standing};

/// One scheme or the other: what [`AuthLayer::or`](crate::AuthLayer::or) makes.
///
/// Both take their credential out of every request. Two are refused as one too many. A value in `Authorization` is the
/// surer one's, as [`Scheme::owns`] says: a key by its prefix, a JWT by its form, then whatever catches all the rest.
pub struct Or<A, B> {
    first: Arc<A>,
    second: Arc<B>,
    checked: Result<(), ConfigError>,
}

impl<A: Scheme, B: Scheme> Or<A, B> {
    pub(crate) fn new(first: Arc<A>, second: Arc<B>) -> Self {
        let taken = first.bearer_kinds();
        let contested = second.bearer_kinds().into_iter().find(|kind| taken.contains(kind));
        let contested = contested.map_or(Ok(()), |kind| Err(ConfigError::BearerContested { kind }));
        let checked = first.check().and_then(|()| second.check()).and(contested);
        Self { first, second, checked }
    }
}

impl<A, B> fmt::Debug for Or<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Or")
    }
}

/// A credential of one scheme or of the other.
#[derive(Debug)]
pub enum Either<A, B> {
    /// The first scheme's.
    First(A),
    /// The second scheme's.
    Second(B),
}

impl<A: Scheme, B: Scheme> Scheme for Or<A, B> {
    type Credential = Either<A::Credential, B::Credential>;

    fn take(&self, head: &mut Parts) -> Result<Option<Self::Credential>, Rejection> {
        if let Err(error) = &self.checked {
            return Err(Rejection::misconfigured("schemes_misconfigured", error.clone()));
        }
        let values = || head.headers.get_all(AUTHORIZATION).iter();
        let first_owns = values().map(|value| self.first.owns(value)).max();
        // Both take before either is judged, so that neither credential is left behind.
        let (first, second) = if first_owns < values().map(|value| self.second.owns(value)).max() {
            let second = self.second.take(head);
            (self.first.take(head), second)
        } else {
            (self.first.take(head), self.second.take(head))
        };
        match (first?, second?) {
            (Some(_), Some(_)) => Err(Rejection::malformed("credential_repeated")),
            (Some(first), None) => Ok(Some(Either::First(first))),
            (None, second) => Ok(second.map(Either::Second)),
        }
    }

    fn verify(&self, credential: Self::Credential) -> Answer<Result<Admission, Rejection>> {
        match credential {
            Either::First(first) => self.first.verify(first),
            Either::Second(second) => self.second.verify(second),
        }
    }

    fn recall(&self, credential: Self::Credential) -> Option<Admission> {
        match credential {
            Either::First(first) => self.first.recall(first),
            Either::Second(second) => self.second.recall(second),
        }
    }

    fn exposed(&self, credential: Self::Credential) -> Answer<Exposure> {
        match credential {
            Either::First(first) => self.first.exposed(first),
            Either::Second(second) => self.second.exposed(second),
        }
    }

    /// Asks for both; for an authentication scheme that both use, in the words of the first, and in those of the second
    /// where the first has none.
    fn challenges(&self) -> Vec<Challenge> {
        let mut challenges = self.first.challenges();
        for challenge in self.second.challenges() {
            match challenges.iter_mut().find(|known| known.scheme().eq_ignore_ascii_case(challenge.scheme())) {
                Some(known) => known.add_missing(challenge),
                None => challenges.push(challenge),
            }
        }
        challenges
    }

    fn standing(&self, principal: &Principal) -> Option<Answer<Standing>> {
        self.first.standing(principal).or_else(|| self.second.standing(principal))
    }

    fn owns(&self, authorization: &HeaderValue) -> Ownership {
        self.first.owns(authorization).max(self.second.owns(authorization))
    }

    fn leaves_none(&self) -> bool {
        self.first.leaves_none() && self.second.leaves_none()
    }

    fn bearer_kinds(&self) -> Vec<Ownership> {
        let mut kinds = self.first.bearer_kinds();
        kinds.extend(self.second.bearer_kinds());
        kinds
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.checked.clone()
    }

    fn fields(&self) -> Vec<HeaderName> {
        let mut fields = self.first.fields();
        fields.extend(self.second.fields());
        fields
    }
}
