//! The settings of a verifier that asks.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::circuit::Circuit;
use super::client_auth::ClientAuth;
use super::flight::Flights;
use super::memory::Memory;
use super::response::Rules;
use super::server::{Place, Server};
use super::signed::Signed;
use super::{Core, Introspection};
use crate::bearer::KeySet;
use crate::bearer::access::Access;
use crate::bearer::denial::{DenyList, DenyLists};
use crate::bearer::discovery::{Issuer, Member};
use crate::bearer::jwt::claims::Expected;
use crate::bearer::jwt::keyring::Keyring;
use crate::bearer::jwt::token::{Conditions, Predicate};
use crate::bearer::jwt::{LEEWAY, LEEWAY_MAX, REMEMBERED, REMEMBERED_MAX, Source, TOKEN_LIMIT};
use crate::events::{REFUSALS_PER_SECOND, RefusalLog};
use crate::fetch::{Endpoint, HttpClient};
use crate::{Clock, ConfigError, ConfigErrors, SystemClock};

/// For how long a token that is good is remembered, at most.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// For how long one that is not is, unless another time is set.
const BAD_FOR: Duration = Duration::from_secs(5);

/// Builds an [`Introspection`]. Nothing is checked before [`build`](Self::build), which tells all that is wrong at once.
///
/// | setting | default |
/// |---|---|
/// | [`client_auth`](Self::client_auth), [`audience`](Self::audience) | none: they have to be named |
/// | [`issuer`](Self::issuer) | the one of [`discover`](Introspection::discover); any for [`at`](Introspection::at) |
/// | [`subject_claim`](Self::subject_claim) | `sub`, which has to be there |
/// | [`scope_claim`](Self::scope_claim) | `scope`, or else `scp` |
/// | [`leeway`](Self::leeway) | 30 seconds |
/// | [`token_limit`](Self::token_limit) | 8 KiB |
/// | [`remember`](Self::remember) | 10,000 good tokens |
/// | [`positive_ttl`](Self::positive_ttl), [`negative_ttl`](Self::negative_ttl) | 60 seconds, 5 seconds |
pub struct IntrospectionBuilder<T = ()> {
    settings: Settings,
    predicates: Vec<Predicate<T>>,
}

/// The settings that do not depend on the type of the claims.
struct Settings {
    place: Where,
    access: Access,
    auth: Option<ClientAuth>,
    issuer: Option<String>,
    accept_no_issuer: bool,
    any_audience: bool,
    expected: Expected,
    leeway: Duration,
    deny_lists: Vec<Arc<dyn DenyList>>,
    clock: Box<dyn Clock>,
    token_limit: usize,
    remembered: usize,
    good_for: Duration,
    bad_for: Duration,
    signed_by: Option<Source>,
}

/// Where to ask, as it was given.
enum Where {
    Url(String),
    Issuer(Issuer),
}

impl Where {
    /// Returns the URL of the issuer, or of where it is asked, without a query: that may be for nobody's log.
    fn name(&self) -> String {
        let url = match self {
            Self::Url(url) => url,
            Self::Issuer(issuer) => issuer.url(),
        };
        url.split('?').next().unwrap_or_default().to_owned()
    }
}

impl IntrospectionBuilder {
    pub(super) fn at(url: String) -> Self {
        Self::new(Where::Url(url), Access::default(), None)
    }

    pub(super) fn of(issuer: Issuer) -> Self {
        let (access, url) = (issuer.access.clone(), issuer.url().to_owned());
        Self::new(Where::Issuer(issuer), access, Some(url))
    }

    fn new(place: Where, access: Access, issuer: Option<String>) -> Self {
        let settings = Settings {
            place,
            access,
            auth: None,
            issuer,
            accept_no_issuer: false,
            any_audience: false,
            expected: Expected::default(),
            leeway: LEEWAY,
            deny_lists: Vec::new(),
            clock: Box::new(SystemClock),
            token_limit: TOKEN_LIMIT,
            remembered: REMEMBERED,
            good_for: GOOD_FOR,
            bad_for: BAD_FOR,
            signed_by: None,
        };
        Self { settings, predicates: Vec::new() }
    }

    /// Reads the answer as a type, too, for [`Claims`](crate::Claims), [`Principal::details`](crate::Principal::details) and
    /// [`predicate`](Self::predicate). A token whose answer does not fit the type is refused with 401, as any other bad token:
    /// make optional what not every good token has.
    #[must_use]
    pub fn claims<T: DeserializeOwned + Any + Send + Sync>(self) -> IntrospectionBuilder<T> {
        let predicates =
            self.predicates.into_iter().map(|predicate| -> Predicate<T> { Box::new(move |_| predicate(&())) });
        IntrospectionBuilder { settings: self.settings, predicates: predicates.collect() }
    }
}

impl<T: DeserializeOwned + Any + Send + Sync> IntrospectionBuilder<T> {
    /// Says who asks. Servers let nobody ask whom they do not know (RFC 7662, section 2.1).
    #[must_use]
    pub fn client_auth(mut self, auth: ClientAuth) -> Self {
        self.settings.auth = Some(auth);
        self
    }

    /// Asks by another client than the default one of the feature `reqwest`.
    #[must_use]
    pub fn client(mut self, client: HttpClient) -> Self {
        self.settings.access.client = Some(client);
        self
    }

    /// Allows `http` to this very machine, for tests and sidecars.
    #[must_use]
    pub fn insecure_allow_loopback(mut self) -> Self {
        self.settings.access.allow_loopback = true;
        self
    }

    /// Names the issuer: the exact value of `iss`, which has to be there; see [`accept_no_issuer`](Self::accept_no_issuer).
    /// Without this setting the answer is taken to be that of whoever runs the server, whatever `iss` says.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.settings.issuer = Some(issuer.into());
        self
    }

    /// Accepts answers that name no issuer, as those of many servers: `iss` is optional in them (RFC 7662, section 2.2). One
    /// that names another issuer is refused all the same. Where a server speaks for one issuer alone this weakens nothing.
    #[must_use]
    pub fn accept_no_issuer(mut self) -> Self {
        self.settings.accept_no_issuer = true;
        self
    }

    /// Names this service: a value that `aud` is or holds (RFC 7662, section 4). Several calls name several, any one of which
    /// will do.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.settings.expected.audiences.push(audience.into());
        self
    }

    /// Accepts tokens for any audience, and those that name none, whatever [`audience`](Self::audience) says.
    ///
    /// # Security
    ///
    /// A token that was made for another service is then good here, too. Where the server names no audience, see that it finds
    /// a token active for those alone who may use it, or ask for a scope that belongs to this service.
    #[must_use]
    pub fn dangerous_any_audience(mut self) -> Self {
        self.settings.any_audience = true;
        self
    }

    /// Sets how far the clocks of server and service may be apart, 300 seconds at most. The default is 30 seconds.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.settings.leeway = leeway;
        self
    }

    /// Refuses tokens of which one of these members is missing or null. 32 can be named.
    #[must_use]
    pub fn required_claims<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.settings.expected.require(names.into_iter().map(Into::into));
        self
    }

    /// Reads the scopes out of another member, such as `permissions`: a string with spaces between them, or an array. It has
    /// to be there.
    #[must_use]
    pub fn scope_claim(mut self, name: impl Into<String>) -> Self {
        self.settings.expected.scope_claim = Some(name.into());
        self
    }

    /// Takes the subject out of another member than `sub`, such as `client_id` or `username`: `sub` is optional (RFC 7662,
    /// section 2.2). It has to be there, and a string.
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

    /// Sets the length in bytes up to which tokens are asked about. The default is 8 KiB.
    #[must_use]
    pub fn token_limit(mut self, bytes: usize) -> Self {
        self.settings.token_limit = bytes;
        self
    }

    /// Sets how many good tokens are remembered, in groups of eight places, rounded up to a power of two.
    #[must_use]
    pub fn remember(mut self, tokens: usize) -> Self {
        self.settings.remembered = tokens;
        self
    }

    /// Asks about a good token each time it comes, so that one that is revoked is refused at once.
    #[must_use]
    pub fn remember_none(self) -> Self {
        self.remember(0)
    }

    /// Sets for how long a good token is remembered, 60 seconds at most, which is the default: so long may it be used after it
    /// was revoked.
    #[must_use]
    pub fn positive_ttl(mut self, time: Duration) -> Self {
        self.settings.good_for = time;
        self
    }

    /// Sets for how long a token that is not good is remembered, 60 seconds at most. The default is 5 seconds.
    #[must_use]
    pub fn negative_ttl(mut self, time: Duration) -> Self {
        self.settings.bad_for = time;
        self
    }

    /// Asks for answers that the issuer signed with one of these keys, and takes no others (RFC 9701). An
    /// [`issuer`](Self::issuer) has to be named.
    #[must_use]
    pub fn signed_by(mut self, keys: impl Into<KeySet>) -> Self {
        self.settings.signed_by = Some(Source::Set(keys.into()));
        self
    }

    /// Asks another clock for the time of day.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Box::new(clock);
        self
    }

    /// Makes the verifier.
    ///
    /// # Errors
    ///
    /// All that is wrong, at once: [`ConfigError::ClientAuthMissing`], [`ConfigError::AudienceMissing`],
    /// [`ConfigError::IssuerMissing`] for an issuer that is empty, or none where answers are signed,
    /// [`ConfigError::KeysMissing`], [`ConfigError::EndpointUrl`],
    /// [`ConfigError::EndpointNotHttps`], [`ConfigError::HttpClientMissing`], [`ConfigError::HttpClient`],
    /// [`ConfigError::LeewayTooLong`], [`ConfigError::TokenLimitZero`], [`ConfigError::RememberedTooLong`],
    /// [`ConfigError::ClaimNameEmpty`], [`ConfigError::ClaimReserved`], [`ConfigError::ClaimsTooMany`].
    pub fn build(self) -> Result<Introspection, ConfigErrors> {
        let Self { settings, predicates } = self;
        let mut errors = settings.errors();
        let mut keep = |error| errors.push(error);
        let Settings { place, access, auth, issuer, expected, leeway, deny_lists, clock, token_limit, .. } = settings;
        let name = place.name();
        let place = match place {
            Where::Url(url) => Endpoint::new(&url, access.allow_loopback).map(Place::Url),
            Where::Issuer(issuer) => {
                issuer.open(access.allow_loopback, Member::IntrospectionEndpoint).map(Box::new).map(Place::Issuer)
            }
        };
        let place = place.map_err(&mut keep).ok();
        let documents = access.open(None).map_err(&mut keep).ok();
        let keys = settings.signed_by.map(Keyring::open).transpose().unwrap_or_else(|faults| {
            errors.extend(faults);
            None
        });
        ConfigErrors::check(errors)?;
        // There is an error whenever one of them is missing.
        let (Some(place), Some(documents), Some(auth)) = (place, documents, auth) else {
            return Err(ConfigError::ClientAuthMissing.into());
        };
        let signed = keys.zip(issuer.clone()).map(|(keys, issuer)| {
            let audiences = [&[auth.id().to_owned()], &*expected.audiences].concat();
            Signed { keys, issuer, audiences, leeway }
        });
        let issuer: Option<Arc<str>> = issuer.map(Arc::from);
        let (accept_no_issuer, any_audience) = (settings.accept_no_issuer, settings.any_audience);
        let remembered = settings.remembered.min(REMEMBERED_MAX);
        Ok(Introspection(Arc::new(Core {
            server: Server { documents, name, place, auth, issuer: issuer.clone(), signed },
            rules: Rules { expected, issuer, accept_no_issuer, any_audience },
            conditions: Conditions { leeway, max_age: None, predicates, deny_list: DenyLists::of(deny_lists) },
            memory: Memory::new(remembered, settings.good_for, settings.bad_for),
            flights: Flights::default(),
            circuit: Circuit::default(),
            log: RefusalLog::new(REFUSALS_PER_SECOND),
            clock,
            token_limit,
        })))
    }
}

#[cfg(feature = "jwks")]
impl<T> IntrospectionBuilder<T> {
    /// As [`signed_by`](Self::signed_by), with keys that are fetched and kept up to date.
    ///
    /// ```
    /// use tower_keep::{ClientAuth, Introspection, Issuer};
    ///
    /// # fn tokens(secret: String) -> Result<Introspection, Box<dyn std::error::Error>> {
    /// let issuer = Issuer::discover("https://login.example.com");
    /// let tokens = Introspection::discover(issuer.clone())
    ///     .signed_by_remote(issuer.keys())
    ///     .client_auth(ClientAuth::basic("orders", secret))
    ///     .audience("https://api.example.com")
    ///     .build()?;
    /// # Ok(tokens)
    /// # }
    /// ```
    #[must_use]
    pub fn signed_by_remote(mut self, keys: crate::RemoteKeys) -> Self {
        self.settings.signed_by = Some(Source::Live(Box::new(keys)));
        self
    }
}

impl Settings {
    fn errors(&self) -> Vec<ConfigError> {
        let mut errors = self.expected.reserved(None);
        let has_auth = self.auth.as_ref().is_some_and(|auth| !auth.id().is_empty());
        errors.extend((!has_auth).then_some(ConfigError::ClientAuthMissing));
        let has_issuer = self.issuer.as_ref().map_or(self.signed_by.is_none(), |issuer| !issuer.is_empty());
        errors.extend((!has_issuer).then_some(ConfigError::IssuerMissing));
        errors.extend(self.expected.no_audience(self.any_audience));
        let wrong = [
            (self.leeway > LEEWAY_MAX, ConfigError::LeewayTooLong { given: self.leeway }),
            (self.token_limit == 0, ConfigError::TokenLimitZero),
            (self.good_for > GOOD_FOR, ConfigError::RememberedTooLong { given: self.good_for }),
            (self.bad_for > GOOD_FOR, ConfigError::RememberedTooLong { given: self.bad_for }),
        ];
        errors.extend(wrong.into_iter().filter_map(|(is_wrong, error)| is_wrong.then_some(error)));
        errors.extend(self.expected.misnamed());
        errors
    }
}

impl<T> fmt::Debug for IntrospectionBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntrospectionBuilder")
            .field("issuer", &self.settings.issuer)
            .field("expected", &self.settings.expected)
            .field("auth", &self.settings.auth)
            .finish_non_exhaustive()
    }
}
