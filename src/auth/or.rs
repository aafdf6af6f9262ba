//! Two schemes on one route.

use std::fmt;
use std::sync::Arc;

use http::HeaderName;
use http::request::Parts;

use super::{Admission, Scheme};
use crate::{Answer, Challenge, Rejection};

/// One scheme or the other: what [`AuthLayer::or`](crate::AuthLayer::or) makes.
///
/// Both take their credential out of every request. Two are refused as one too many.
pub struct Or<A, B> {
    first: Arc<A>,
    second: Arc<B>,
}

impl<A, B> Or<A, B> {
    pub(crate) const fn new(first: Arc<A>, second: Arc<B>) -> Self {
        Self { first, second }
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
        // Both take before either is judged, so that neither credential is left behind.
        let (first, second) = (self.first.take(head), self.second.take(head));
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

    /// Asks for both; for an authentication scheme that both use, in the words of the first.
    fn challenges(&self) -> Vec<Challenge> {
        let mut challenges = self.first.challenges();
        for challenge in self.second.challenges() {
            if !challenges.iter().any(|known| known.scheme().eq_ignore_ascii_case(challenge.scheme())) {
                challenges.push(challenge);
            }
        }
        challenges
    }

    fn fields(&self) -> Vec<HeaderName> {
        let mut fields = self.first.fields();
        fields.extend(self.second.fields());
        fields
    }
}
