//! Tokens of several issuers, each under rules of its own.
//!
//! ```
//! use tower_keep::{BearerLayer, Issuers, Jwt, KeySet};
//!
//! # fn layer() -> Result<BearerLayer, Box<dyn std::error::Error>> {
//! let staff = Jwt::with_keys(KeySet::from_file("staff.json")?)
//!     .issuer("https://staff.example.com")
//!     .audience("https://api.example.com")
//!     .build()?;
//! let partners = Jwt::with_keys(KeySet::from_file("partners.json")?)
//!     .issuer("https://login.partner.example")
//!     .audience("orders")
//!     .accept_typ_jwt()
//!     .build()?;
//! let issuers = Issuers::new([("https://staff.example.com", staff), ("https://login.partner.example", partners)])?;
//! let layer = BearerLayer::new(issuers);
//! # Ok(layer)
//! # }
//! ```
//!
//! # How a token finds its verifier
//!
//! | token | goes to | asks somebody else |
//! |---|---|---|
//! | longer than 8 KiB | nobody: 401 | no |
//! | a JWT whose `iss` is in the list, letter by letter | the verifier of that issuer | as that one does |
//! | a JWT whose `iss` is allowed to be looked up | the verifier that is [looked up](tenants) | once for each issuer |
//! | any other JWT, and one that does not name exactly one issuer | nobody: 401 | no |
//! | no JWT, by its three segments | the verifier of [opaque](IssuersBuilder::opaque) tokens, if there is one | as that one does |
//!
//! The `iss` by which a verifier is chosen is not verified: whoever sends a token writes it. It decides nothing but by which
//! rules the token is judged, all of them: a [`Jwt`](crate::Jwt) verifies the signature by the keys of its own issuer, and
//! looks at `iss` itself. A principal that comes from another issuer than the one that was chosen is refused, whatever the
//! verifier.
//!
//! A token that comes again is not read again: whoever let it in before is asked whether it remembers the whole of it
//! ([`TokenVerifier::remembered`]), as a [`Jwt`](crate::Jwt) does whose deny list answers at once, and asks all that changes with
//! time.
//!
//! With a verifier of opaque tokens the layer catches all that no other scheme owns, [`TokenForm::Any`]. A layer beside it by
//! [`or`](crate::AuthLayer::or) that takes JWTs then gets all of them; put its issuer into the list instead.

mod hints;
#[cfg(feature = "jwks")]
pub mod tenants;
mod unverified;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

use super::jwt::{TOKEN_LIMIT, TOO_LONG, jws, unreadable};
use super::{PresentedToken, TokenForm, TokenVerifier};
use crate::standing::standing_alone;
use crate::{Answer, ConfigError, ConfigErrors, Ending, Principal, Rejection, Standing, token};
use hints::Hints;

/// What the log is told of a token whose issuer is not known.
const UNKNOWN: &str = "token_issuer_unknown";

/// Verifies tokens of several issuers. Cloning shares it. See the [module](self).
#[derive(Clone)]
pub struct Issuers(Arc<Set>);

struct Set {
    known: HashMap<Arc<str>, Arc<dyn TokenVerifier>>,
    hints: Hints,
    others: Option<Arc<dyn LookUp>>,
    opaque: Option<Arc<dyn TokenVerifier>>,
    token_limit: usize,
}

/// What is found of an issuer: its verifier, if it is known.
type Found = Result<Option<Arc<dyn TokenVerifier>>, Rejection>;

/// Looks the verifier of an issuer up that is not in the list.
trait LookUp: Send + Sync {
    fn find(&self, issuer: &str) -> Answer<Found>;

    /// Finds it among those that were looked up before.
    fn kept(&self, issuer: &str) -> Option<Arc<dyn TokenVerifier>>;
}

impl Issuers {
    /// Takes issuers, by the exact value of `iss`, and the verifier of each. Verifiers of several types go into the
    /// [builder](Self::builder).
    ///
    /// # Errors
    ///
    /// As [`IssuersBuilder::build`].
    pub fn new<N: Into<String>, V: TokenVerifier>(
        issuers: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, ConfigErrors> {
        let builder = issuers.into_iter().fold(Self::builder(), |builder, (issuer, it)| builder.issuer(issuer, it));
        builder.build()
    }

    /// Starts a list of issuers.
    pub fn builder() -> IssuersBuilder {
        IssuersBuilder { known: Vec::new(), others: None, opaque: None, token_limit: TOKEN_LIMIT, errors: Vec::new() }
    }
}

impl Set {
    /// Chooses who judges a token.
    fn choose(&self, token: &[u8]) -> Result<Choice<'_>, Rejection> {
        if token.len() > self.token_limit {
            return Err(Rejection::invalid(TOO_LONG));
        }
        if let Some(opaque) = self.opaque.as_ref().filter(|_| !token::is_jws(token)) {
            return Ok(Choice::Opaque(opaque));
        }
        let parts = jws::Parts::split(token).map_err(|rejection| unreadable(rejection, token))?;
        let mut payload = Vec::new();
        parts.decode_payload(&mut payload).map_err(|rejection| unreadable(rejection, token))?;
        let issuer = unverified::issuer(&payload)?;
        match (self.known.get_key_value(&*issuer), &self.others) {
            (Some((issuer, verifier)), _) => Ok(Choice::Known(issuer, verifier)),
            (None, Some(others)) => Ok(Choice::LookUp(Arc::from(issuer), others)),
            (None, None) => Err(Rejection::invalid(UNKNOWN)),
        }
    }
}

/// Who judges a token.
enum Choice<'a> {
    Known(&'a Arc<str>, &'a Arc<dyn TokenVerifier>),
    LookUp(Arc<str>, &'a Arc<dyn LookUp>),
    Opaque(&'a Arc<dyn TokenVerifier>),
}

impl TokenVerifier for Issuers {
    fn verify(&self, token: &PresentedToken) -> Answer<Result<Principal, Rejection>> {
        if token.as_bytes().len() <= self.0.token_limit
            && let Some(principal) = self.0.hints.find(token)
        {
            return Answer::Now(Ok(principal));
        }
        match self.0.choose(token.as_bytes()) {
            Ok(Choice::Known(issuer, verifier)) => {
                let verdict = held_to(issuer, verifier.verify(token));
                if matches!(verdict, Answer::Now(Ok(_))) {
                    self.0.hints.note(token, issuer);
                }
                verdict
            }
            Ok(Choice::Opaque(verifier)) => verifier.verify(token),
            Ok(Choice::LookUp(issuer, others)) => match others.find(&issuer) {
                Answer::Now(found) => judge(&issuer, token, found),
                Answer::Later(found) => {
                    let token = token.clone();
                    Answer::later(async move { judge(&issuer, &token, found.await).await })
                }
            },
            Err(rejection) => Answer::Now(Err(rejection)),
        }
    }

    fn remembered(&self, token: &PresentedToken) -> Option<Principal> {
        if token.as_bytes().len() <= self.0.token_limit
            && let Some(principal) = self.0.hints.find(token)
        {
            return Some(principal);
        }
        let (issuer, principal) = match self.0.choose(token.as_bytes()).ok()? {
            Choice::Known(issuer, verifier) => (Arc::clone(issuer), verifier.remembered(token)?),
            Choice::LookUp(issuer, others) => {
                let verifier = others.kept(&issuer)?;
                (issuer, verifier.remembered(token)?)
            }
            Choice::Opaque(verifier) => return verifier.remembered(token),
        };
        held_to(&issuer, Answer::Now(Ok(principal))).now()?.ok()
    }

    fn form(&self) -> TokenForm {
        if self.0.opaque.is_some() { TokenForm::Any } else { TokenForm::Jwt }
    }

    fn issuers(&self) -> Vec<String> {
        let known = self.0.known.keys().map(|issuer| issuer.to_string());
        let mut issuers: Vec<_> = known.chain(self.0.opaque.iter().flat_map(|verifier| verifier.issuers())).collect();
        issuers.sort_unstable();
        issuers.dedup();
        issuers
    }

    /// Tells what all of them ask for, if all of them are known and tell.
    fn audiences(&self) -> Option<Vec<String>> {
        if self.0.others.is_some() {
            return None;
        }
        let mut all = self.0.verifiers().map(|verifier| verifier.audiences());
        let first = all.next()??;
        all.try_fold(first, |common, audiences| {
            let audiences = audiences?;
            Some(common.into_iter().filter(|audience| audiences.contains(audience)).collect())
        })
    }

    fn standing(&self, principal: &Principal) -> Option<Answer<Standing>> {
        let Set { known, others, opaque, .. } = &*self.0;
        // The one for opaque tokens knows its own.
        if let Some(standing) = opaque.as_ref().and_then(|verifier| verifier.standing(principal)) {
            return Some(standing);
        }
        let issuer = principal.issuer()?;
        if let Some(verifier) = known.get(issuer) {
            return verifier.standing(principal);
        }
        let found = others.as_ref()?.find(issuer);
        let principal = principal.clone();
        Some(match found {
            Answer::Now(found) => standing_by(found, &principal),
            Answer::Later(found) => Answer::later(async move { standing_by(found.await, &principal).await }),
        })
    }
}

/// Asks how a principal stands by whoever was found of its issuer, which may be none any more.
fn standing_by(found: Found, principal: &Principal) -> Answer<Standing> {
    let standing = match found {
        Ok(Some(verifier)) => verifier.standing(principal),
        Ok(None) => Some(Answer::Now(Standing::Ended(Ending::Denied))),
        Err(_) => None,
    };
    standing.unwrap_or_else(|| Answer::Now(standing_alone(principal)))
}

impl Set {
    fn verifiers(&self) -> impl Iterator<Item = &Arc<dyn TokenVerifier>> {
        self.known.values().chain(&self.opaque)
    }
}

fn judge(issuer: &Arc<str>, token: &PresentedToken, found: Found) -> Answer<Result<Principal, Rejection>> {
    match found {
        Ok(Some(verifier)) => held_to(issuer, verifier.verify(token)),
        Ok(None) => Answer::Now(Err(Rejection::invalid(UNKNOWN))),
        Err(rejection) => Answer::Now(Err(rejection)),
    }
}

/// Lets nobody in for whom another issuer vouches than the one whose rules were asked.
fn held_to(issuer: &Arc<str>, verdict: Answer<Result<Principal, Rejection>>) -> Answer<Result<Principal, Rejection>> {
    let hold = |issuer: &str, verdict: Result<Principal, Rejection>| {
        let principal = verdict?;
        match principal.issuer().is_none_or(|vouching| vouching == issuer) {
            true => Ok(principal),
            false => Err(Rejection::invalid("token_issuer")),
        }
    };
    match verdict {
        Answer::Now(verdict) => Answer::Now(hold(issuer, verdict)),
        Answer::Later(verdict) => {
            let issuer = Arc::clone(issuer);
            Answer::later(async move { hold(&issuer, verdict.await) })
        }
    }
}

/// Builds [`Issuers`]; [`Issuers::builder`] starts it.
pub struct IssuersBuilder {
    known: Vec<(String, Arc<dyn TokenVerifier>)>,
    others: Option<Arc<dyn LookUp>>,
    opaque: Option<Arc<dyn TokenVerifier>>,
    token_limit: usize,
    #[cfg_attr(not(feature = "jwks"), allow(dead_code, reason = "what looks issuers up can be set up wrongly"))]
    errors: Vec<ConfigError>,
}

impl IssuersBuilder {
    /// Adds an issuer, by the exact value of `iss`, and its verifier: a [`Jwt`](crate::Jwt) mostly, which has to name the
    /// same issuer.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>, verifier: impl TokenVerifier) -> Self {
        self.known.push((issuer.into(), Arc::new(verifier)));
        self
    }

    /// Names who judges what is no JWT by its three segments: opaque tokens. There is one; the last call counts.
    #[must_use]
    pub fn opaque(mut self, verifier: impl TokenVerifier) -> Self {
        self.opaque = Some(Arc::new(verifier));
        self
    }

    /// Sets the length in bytes up to which tokens are looked at, by whomever. The default is 8 KiB; a verifier may have a
    /// limit of its own.
    #[must_use]
    pub fn token_limit(mut self, bytes: usize) -> Self {
        self.token_limit = bytes;
        self
    }

    /// Makes the verifier.
    ///
    /// # Errors
    ///
    /// All that is wrong, at once: [`ConfigError::IssuerMissing`] for a list without issuers, or one that is empty;
    /// [`ConfigError::IssuerRepeated`]; [`ConfigError::IssuerDiffers`]; [`ConfigError::IssuerPrefix`]; [`ConfigError::TokenLimitZero`].
    pub fn build(self) -> Result<Issuers, ConfigErrors> {
        let Self { known: given, others, opaque, token_limit, mut errors } = self;
        let mut known = HashMap::new();
        if given.iter().any(|(issuer, _)| issuer.is_empty()) || (given.is_empty() && others.is_none()) {
            errors.push(ConfigError::IssuerMissing);
        }
        for (issuer, verifier) in given {
            let own = verifier.issuers();
            if !own.is_empty() && !own.contains(&issuer) && !issuer.is_empty() {
                errors.push(ConfigError::IssuerDiffers { given: issuer.clone(), own: own.join(", ") });
            }
            match known.entry(Arc::from(issuer.as_str())) {
                Entry::Vacant(place) => drop(place.insert(verifier)),
                Entry::Occupied(_) => errors.push(ConfigError::IssuerRepeated { given: issuer }),
            }
        }
        if token_limit == 0 {
            errors.push(ConfigError::TokenLimitZero);
        }
        ConfigErrors::check(errors)?;
        Ok(Issuers(Arc::new(Set { hints: Hints::new(&known), known, others, opaque, token_limit })))
    }
}

impl fmt::Debug for Issuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Set { known, others, opaque, .. } = &*self.0;
        let mut names: Vec<_> = known.keys().collect();
        names.sort();
        f.debug_struct("Issuers")
            .field("known", &names)
            .field("looks_up", &others.is_some())
            .field("opaque", &opaque.is_some())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for IssuersBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.known.iter().map(|(issuer, _)| issuer).collect();
        f.debug_struct("IssuersBuilder").field("known", &names).finish_non_exhaustive()
    }
}
