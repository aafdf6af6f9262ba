//! The settings of a verifier.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::algorithm::Algorithm;
use super::issuer::ExpectedIssuer;
use super::live::{Live, Opening};
use super::settings::Settings;
use super::token::{Conditions, Predicate};
use super::{Core, Jwt, Keys};
use crate::bearer::denial::{DenyList, DenyLists};
use crate::bearer::jwks::KeySet;
use crate::bearer::verified::VerifiedTokens;
use crate::{Clock, ConfigError, ConfigErrors};

/// How many places there can be for verified tokens.
pub(crate) const REMEMBERED_MAX: usize = 1 << 24;

/// Builds a [`Jwt`]. Nothing is checked before [`build`](Self::build), which tells all that is wrong at once.
///
/// | setting | default |
/// |---|---|
/// | [`issuer`](Self::issuer) or [`issuer_template`](Self::issuer_template), [`audience`](Self::audience) | none: they have to be named |
/// | [`audience_claim`](Self::audience_claim) | `aud` |
/// | [`algorithms`](Self::algorithms) | what each key names; RS256 for an RSA key that names none |
/// | `exp` | has to be there |
/// | [`subject_claim`](Self::subject_claim) | `sub`, which has to be there |
/// | [`leeway`](Self::leeway) | 30 seconds |
/// | [`max_age`](Self::max_age) | none |
/// | `typ` | `at+jwt` (RFC 9068); see [`accept_typ_jwt`](Self::accept_typ_jwt), [`accept_typ`](Self::accept_typ), [`accept_no_typ`](Self::accept_no_typ), [`accept_id_tokens`](Self::accept_id_tokens) |
/// | [`scope_claim`](Self::scope_claim) | `scope`, or else `scp` |
/// | [`token_limit`](Self::token_limit) | 8 KiB |
/// | [`remember`](Self::remember) | 10,000 verified tokens |
pub struct JwtBuilder<T = ()> {
    keys: Source,
    pub(super) settings: Settings,
    predicates: Vec<Predicate<T>>,
}

/// Where the keys come from.
#[derive(Debug)]
pub(crate) enum Source {
    Set(KeySet),
    #[cfg_attr(not(feature = "jwks"), allow(dead_code, reason = "nothing is fetched"))]
    Live(Box<Opening>),
}

impl Source {
    /// Takes the keys that are allowed, and starts what keeps them up to date.
    pub(super) fn open(self, algorithms: Option<Vec<Algorithm>>) -> Result<Opened, Vec<ConfigError>> {
        match self {
            Self::Set(set) => Keys::new(set, algorithms).map(|keys| (Arc::new(keys), None)).map_err(|it| vec![it]),
            Self::Live(opening) => Live::open(*opening, algorithms).map(|(keys, live)| (keys, Some(live))),
        }
    }
}

/// Keys, and what keeps them up to date if they come from elsewhere.
type Opened = (Arc<Keys>, Option<Arc<Live>>);

impl JwtBuilder {
    pub(super) fn new(keys: Source) -> Self {
        let settings = Settings::default();
        Self { keys, settings, predicates: Vec::new() }
    }

    /// Reads the claims as a type, too, for [`Claims`](crate::Claims), [`Principal::details`](crate::Principal::details)
    /// and [`predicate`](Self::predicate). It is read in the same pass as the registered claims, which it may hold as
    /// well. A token whose claims do not fit the type is refused with 401, as any other bad token: make optional what not
    /// every good token has.
    #[must_use]
    pub fn claims<T: DeserializeOwned + Any + Send + Sync>(self) -> JwtBuilder<T> {
        let predicates =
            self.predicates.into_iter().map(|predicate| -> Predicate<T> { Box::new(move |_| predicate(&())) });
        JwtBuilder { keys: self.keys, settings: self.settings, predicates: predicates.collect() }
    }
}

impl<T: DeserializeOwned + Any + Send + Sync> JwtBuilder<T> {
    /// Names the issuer: the exact value of `iss` (RFC 9068, section 4). There is one; the last call counts.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.settings.issuer = Some(issuer.into());
        self.settings.template = None;
        self
    }

    /// Names this service: a value that `aud` is or holds (RFC 9068, section 4). Several calls name several, any one of
    /// which will do.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.settings.expected.audiences.push(audience.into());
        self
    }

    /// Names the algorithms that are allowed. Keys of other algorithms are skipped; a key that names none is bound to the
    /// first one of the list that fits. A secret in a JWK Set that names none needs this setting.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.settings.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// Sets how far the clocks of issuer and service may be apart, 300 seconds at most. The default is 30 seconds.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.settings.leeway = leeway;
        self
    }

    /// Refuses tokens that were made longer ago than this, whatever their `exp`. `iat` has to be there then.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.settings.max_age = Some(age);
        self
    }

    /// Accepts the `typ` `JWT` beside `at+jwt`: for issuers that do not follow RFC 9068, such as Auth0 by default,
    /// Keycloak and Microsoft Entra.
    ///
    /// # Security
    ///
    /// Other kinds of tokens of the same issuer then differ by their audience alone. Tokens with `at_hash` or `c_hash`, which
    /// only ID tokens have, are refused all the same.
    #[must_use]
    pub fn accept_typ_jwt(mut self) -> Self {
        self.settings.typ.jwt = true;
        self
    }

    /// Accepts another `typ` beside `at+jwt`: one of the issuer's own. It is compared without regard to case; `application/` may be left out (RFC 7515, section 4.1.9).
    ///
    /// # Security
    ///
    /// Name one that this issuer gives to access tokens and to nothing else. Those of proofs, logout tokens and security
    /// events are refused by [`build`](Self::build).
    #[must_use]
    pub fn accept_typ(mut self, typ: impl Into<String>) -> Self {
        self.settings.typ.others.push(typ.into());
        self
    }

    /// Accepts tokens without a `typ`, such as those of Amazon Cognito and Kubernetes.
    ///
    /// # Security
    ///
    /// As [`accept_typ_jwt`](Self::accept_typ_jwt).
    #[must_use]
    pub fn accept_no_typ(mut self) -> Self {
        self.settings.typ.none = true;
        self
    }

    /// Accepts ID tokens (OpenID Connect Core, section 2), with the `typ` `JWT` or none.
    ///
    /// # Security
    ///
    /// An ID token tells a client who logged in. It is meant for the client, so the audience to name is the client's id, and
    /// whoever the client hands it to can use it here (RFC 9068, section 5). Take access tokens wherever the issuer has
    /// them.
    #[must_use]
    pub fn accept_id_tokens(mut self) -> Self {
        self.settings.typ.id_tokens = true;
        self
    }

    /// Refuses tokens in which one of these claims is missing or null. 32 can be named.
    #[must_use]
    pub fn required_claims<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.settings.expected.require(names.into_iter().map(Into::into));
        self
    }

    /// Reads the scopes out of another claim, such as `permissions` or `roles`: a string with spaces between them, or an
    /// array. It has to be there. What is not a scope token in an array, such as a role of two words, grants nothing.
    #[must_use]
    pub fn scope_claim(mut self, name: impl Into<String>) -> Self {
        self.settings.expected.scope_claim = Some(name.into());
        self
    }

    /// Takes the subject out of another claim than `sub`, such as `client_id` or `oid`: for issuers that leave `sub` out, or
    /// write one that says nothing. It has to be there, and a string.
    #[must_use]
    pub fn subject_claim(mut self, name: impl Into<String>) -> Self {
        self.settings.expected.subject_claim = Some(name.into());
        self
    }

    /// Refuses tokens for whose claims a condition does not hold. It is asked each time a token comes, so it may depend on
    /// more than the claims. Several calls set several conditions, all of which have to hold.
    #[must_use]
    pub fn predicate(mut self, holds: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        self.predicates.push(Box::new(holds));
        self
    }

    /// Asks a deny list, each time a token comes. Several calls set several lists, each of which may refuse.
    #[must_use]
    pub fn deny_list(mut self, list: impl DenyList) -> Self {
        self.settings.deny_lists.push(Arc::new(list));
        self
    }

    /// Sets the length in bytes up to which tokens are looked at. The default is 8 KiB.
    #[must_use]
    pub fn token_limit(mut self, bytes: usize) -> Self {
        self.settings.token_limit = bytes;
        self
    }

    /// Sets how many verified tokens are remembered, so that their signature is not verified each time they come. There are
    /// groups of eight places for them, rounded up to a power of two, and 2^24 places at most; each takes its own length and
    /// what its claims take, until another token needs the place. Times, conditions and the deny
    /// list are asked about on every request all the same.
    #[must_use]
    pub fn remember(mut self, tokens: usize) -> Self {
        self.settings.remembered = tokens;
        self
    }

    /// Verifies the signature of a token each time it comes.
    #[must_use]
    pub fn remember_none(self) -> Self {
        self.remember(0)
    }

    /// Remembers verified tokens by their SHA-256 and not as they are, for those who do not want tokens in memory. It costs a
    /// hash for each request.
    #[must_use]
    pub fn digest_cache_keys(mut self) -> Self {
        self.settings.digests = true;
        self
    }

    /// Asks another clock for the time.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Box::new(clock);
        self
    }

    /// Accepts tokens of any issuer, and those that name none, whatever [`issuer`](Self::issuer) says.
    ///
    /// # Security
    ///
    /// Whoever holds one of the keys then speaks for every issuer.
    #[must_use]
    pub fn dangerous_any_issuer(mut self) -> Self {
        self.settings.any_issuer = true;
        self
    }

    /// Accepts tokens for any audience, and those that name none, whatever [`audience`](Self::audience) says.
    ///
    /// # Security
    ///
    /// A token that was made for another service of the same issuer is then good here, too.
    #[must_use]
    pub fn dangerous_any_audience(mut self) -> Self {
        self.settings.any_audience = true;
        self
    }

    /// Makes the verifier.
    ///
    /// # Errors
    ///
    /// All that is wrong, at once: [`ConfigError::IssuerMissing`], [`ConfigError::AudienceMissing`],
    /// [`ConfigError::IssuerTemplate`], [`ConfigError::Tenants`],
    /// [`ConfigError::AlgorithmsMissing`], [`ConfigError::KeysMissing`], [`ConfigError::KeySetMixed`],
    /// [`ConfigError::LeewayTooLong`], [`ConfigError::TokenLimitZero`], [`ConfigError::ClaimNameEmpty`],
    /// [`ConfigError::ClaimReserved`], [`ConfigError::ClaimsTooMany`], [`ConfigError::Typ`].
    pub fn build(self) -> Result<Jwt, ConfigErrors> {
        let Self { keys, settings, predicates } = self;
        let mut errors = settings.errors();
        let template = settings.template();
        let Settings { mut expected, leeway, max_age, typ, deny_lists, clock, token_limit, algorithms, .. } = settings;
        expected.tenant_claim = template.as_ref().map(|template| template.claim.clone());
        let no_algorithms = algorithms.as_ref().is_some_and(Vec::is_empty);
        let keys = match keys.open(algorithms) {
            Ok(keys) => Some(keys),
            // An empty list leaves no key, which is said already.
            Err(_) if no_algorithms => None,
            Err(faults) => {
                errors.extend(faults);
                None
            }
        };
        ConfigErrors::check(errors)?;
        // There is an error whenever there are no keys.
        let (keys, live) = keys.ok_or(ConfigError::AlgorithmsMissing)?;
        let remembered = settings.remembered.min(REMEMBERED_MAX);
        let verified = (remembered > 0).then(|| VerifiedTokens::new(remembered, settings.digests));
        let conditions = Conditions { leeway, max_age, predicates, deny_list: DenyLists::of(deny_lists) };
        let core = Core {
            token_limit,
            issuer: ExpectedIssuer::new(settings.issuer, template, settings.any_issuer),
            any_audience: settings.any_audience,
            typ,
            expected,
            conditions,
            verified,
            clock,
        };
        Ok(Jwt { core: Arc::new(core), keys, live })
    }
}

impl<T> fmt::Debug for JwtBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtBuilder")
            .field("keys", &self.keys)
            .field("issuer", &self.settings.issuer)
            .field("expected", &self.settings.expected)
            .finish_non_exhaustive()
    }
}
