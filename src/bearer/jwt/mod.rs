//! JWTs (RFC 7519) as access tokens: which ones are good, by keys that are at hand.
//!
//! A token is good if a known key signed it with the one algorithm that is the key's own, the expected issuer made it for
//! the expected audience, it is an access token by its `typ` (RFC 9068), and it is not over. All of that is asked for
//! unless a setting says otherwise, and what weakens it says so by its name. Nothing in a token decides how it is
//! verified.
//!
//! ```
//! use serde::Deserialize;
//! use tower_keep::{Algorithm, Jwt, VerificationKey};
//!
//! #[derive(Clone, Deserialize)]
//! struct Me {
//!     email: String,
//!     #[serde(default)]
//!     verified: bool,
//! }
//!
//! # fn tokens(pem: &str) -> Result<Jwt, Box<dyn std::error::Error>> {
//! let tokens = Jwt::with_keys(VerificationKey::pem(Algorithm::ES256, pem)?)
//!     .issuer("https://login.example.com")
//!     .audience("https://api.example.com")
//!     .claims::<Me>()
//!     .predicate(|me: &Me| me.verified)
//!     .build()?;
//! # Ok(tokens)
//! # }
//! ```
//!
//! # What the log says
//!
//! A caller is told `invalid_token` and nothing else. The `reason` in the log (see [`events`](crate::events)) says why:
//!
//! | reason | what is wrong | what may help |
//! |---|---|---|
//! | `token_too_long` | it is longer than 8 KiB | [`token_limit`](JwtBuilder::token_limit) |
//! | `token_segments`, `token_encoding`, `token_header` | it is no signed JWT: opaque, encrypted, cut off | ask the issuer for JWTs |
//! | `token_extension` | its header has `crit`, `b64`, `zip` or `enc` | |
//! | `token_alg` | its `alg` is none that is known, or `none` | |
//! | `token_alg_mismatch` | its `alg` is not that of the key it names | [`algorithms`](JwtBuilder::algorithms), for keys that name none |
//! | `token_kid_unknown` | no key has its `kid`, fetched ones included | for keys at hand, [`replace_keys`](Jwt::replace_keys): the issuer has new ones |
//! | `token_signature` | no key made its signature | |
//! | `token_typ` | its `typ` is not `at+jwt` | [`accept_typ_jwt`](JwtBuilder::accept_typ_jwt), [`accept_typ`](JwtBuilder::accept_typ), [`accept_no_typ`](JwtBuilder::accept_no_typ) |
//! | `token_is_id_token` | it has `at_hash` or `c_hash` | [`accept_id_tokens`](JwtBuilder::accept_id_tokens), better an access token |
//! | `token_issuer`, `token_audience` | `iss` or `aud` is missing or another | [`issuer`](JwtBuilder::issuer), [`issuer_template`](JwtBuilder::issuer_template), [`audience`](JwtBuilder::audience): to the letter; [`audience_claim`](JwtBuilder::audience_claim) |
//! | `token_expired`, `token_not_yet_valid`, `token_from_future`, `token_too_old` | its time is over or has not come | the clocks; [`leeway`](JwtBuilder::leeway) |
//! | `token_claim_missing` | `exp`, the subject or a claim that is asked for | [`subject_claim`](JwtBuilder::subject_claim), [`required_claims`](JwtBuilder::required_claims), [`scope_claim`](JwtBuilder::scope_claim) |
//! | `token_claim_type`, `token_claim_repeated`, `token_scope` | a claim has the wrong JSON type, stands twice, or is no list of scopes | |
//! | `token_claims` | the claims are no JSON object | |
//! | `token_claims_misfit` | they do not fit the type of [`claims`](JwtBuilder::claims) | make optional what not every token has |
//! | `token_bound` | it is bound to a key (`cnf`), which this layer does not ask for | |
//! | `token_predicate`, `token_denied` | a condition does not hold, the deny list has it | |
//! | `token_issuer_unknown`, `token_malformed` | no verifier of several is that of its `iss`; it has the form of none of them | [`Issuers`](crate::Issuers) |
//! | `keys_unavailable` | 503: there are no keys, or too old ones, and they cannot be fetched | [`status`](Jwt::status) has the cause |
//! | `issuer_unavailable` | 503: a look-up of the issuer failed | what [`Tenants`](crate::Tenants) ask |

pub(crate) mod algorithm;
mod base64url;
mod builder;
pub(crate) mod claims;
pub(crate) mod der;
mod edwards;
mod issuer;
pub(crate) mod jws;
#[cfg(feature = "introspection")]
pub(crate) mod keyring;
mod keys;
mod known;
#[cfg(feature = "jwks")]
mod live;
#[cfg(not(feature = "jwks"))]
#[path = "still.rs"]
mod live;
pub(crate) mod pem;
mod providers;
mod settings;
pub(crate) mod signature;
#[cfg(feature = "introspection")]
pub(crate) mod signing;
pub(crate) mod token;
mod weak;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::de::DeserializeOwned;

pub use algorithm::Algorithm;
pub use builder::JwtBuilder;
#[cfg(feature = "introspection")]
pub(crate) use builder::REMEMBERED_MAX;
pub(crate) use builder::Source;
#[cfg(feature = "introspection")]
pub(crate) use settings::{LEEWAY, REMEMBERED};
pub(crate) use settings::{LEEWAY_MAX, TOKEN_LIMIT};
#[cfg(feature = "introspection")]
pub use signing::SigningKey;

use super::verified::VerifiedTokens;
use super::{KeySet, PresentedToken, TokenForm, TokenVerifier, VerificationKey};
use crate::token::is_token68;
use crate::{Answer, Clock, ConfigError, Principal, Rejection, Standing};
use claims::{Expected, Registered};
use issuer::ExpectedIssuer;
use keys::Keys;
use live::Live;
use token::{Conditions, Token};

/// A verifier of JWTs. Cloning shares it.
///
/// [`with_keys`](Self::with_keys) starts one; see the [module](self) for what it asks of a token.
#[derive(Clone)]
pub struct Jwt {
    core: Arc<dyn Verify>,
    keys: Arc<Keys>,
    /// What keeps the keys up to date, if they come from elsewhere.
    live: Option<Arc<Live>>,
}

impl Jwt {
    /// Starts a verifier with keys that are at hand. Issuer and audience have to be named before it can be built.
    pub fn with_keys(keys: impl Into<KeySet>) -> JwtBuilder {
        JwtBuilder::new(Source::Set(keys.into()))
    }

    /// Takes other keys from now on, under the same settings. Tokens that were verified with the keys before are verified
    /// again.
    ///
    /// # Errors
    ///
    /// [`ConfigError::KeysMissing`] if no key is of an allowed algorithm, [`ConfigError::KeySetMixed`],
    /// [`ConfigError::KeysAreFetched`] if they come from an issuer; the keys stay as they were then.
    pub fn replace_keys(&self, keys: impl Into<KeySet>) -> Result<(), ConfigError> {
        if self.live.is_some() {
            return Err(ConfigError::KeysAreFetched);
        }
        self.keys.replace(keys.into())
    }

    /// Returns the keys; none if they are fetched and were not yet.
    pub fn keys(&self) -> Arc<KeySet> {
        self.keys.current().map(|current| Arc::clone(&current.set)).unwrap_or_default()
    }
}

impl TokenVerifier for Jwt {
    fn verify(&self, token: &PresentedToken) -> Answer<Result<Principal, Rejection>> {
        match &self.live {
            None => self.core.verify(token.as_bytes(), &self.keys),
            Some(live) => live.verify(self, token),
        }
    }

    fn form(&self) -> TokenForm {
        TokenForm::Jwt
    }

    fn issuers(&self) -> Vec<String> {
        self.core.issuer().into_iter().map(str::to_owned).collect()
    }

    fn audiences(&self) -> Option<Vec<String>> {
        self.core.audiences().map(<[String]>::to_vec)
    }

    fn remembered(&self, token: &PresentedToken) -> Option<Principal> {
        let is_usable = self.live.as_ref().is_none_or(|live| live.is_usable());
        self.core.remembered(token.as_bytes(), &self.keys).filter(|_| is_usable)
    }

    fn standing(&self, principal: &Principal) -> Option<Answer<Standing>> {
        self.core.standing(principal)
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt").field("keys", &self.keys()).finish_non_exhaustive()
    }
}

/// A verifier whose type of claims is not told.
trait Verify: Send + Sync {
    /// Returns the issuer that is expected, unless any will do.
    fn issuer(&self) -> Option<&str>;

    /// Returns the audiences that are expected, unless any will do.
    fn audiences(&self) -> Option<&[String]>;

    /// Asks how the token of a principal stands, if it has one of this kind.
    fn standing(&self, principal: &Principal) -> Option<Answer<Standing>>;

    fn verify(&self, token: &[u8], keys: &Keys) -> Answer<Result<Principal, Rejection>>;

    /// Judges a token that was verified with the current keys, if that takes no waiting.
    fn remembered(&self, token: &[u8], keys: &Keys) -> Option<Principal>;

    /// Looks at what can be known of a token without keys, so that nobody waits for the sake of what is none.
    #[cfg_attr(not(feature = "jwks"), allow(dead_code, reason = "keys at hand are always there"))]
    fn inspect(&self, token: &[u8]) -> Result<(), Rejection>;
}

/// The settings of a verifier.
struct Core<T> {
    token_limit: usize,
    issuer: ExpectedIssuer,
    any_audience: bool,
    typ: Typ,
    expected: Expected,
    conditions: Conditions<T>,
    verified: Option<VerifiedTokens<Arc<Token<T>>>>,
    clock: Box<dyn Clock>,
}

/// Which `typ` a token may have, beside that of RFC 9068.
#[derive(Clone, Debug, Default)]
struct Typ {
    jwt: bool,
    none: bool,
    id_tokens: bool,
    others: Vec<String>,
}

impl Typ {
    /// RFC 9068, section 4.
    fn accepts(&self, typ: Option<&str>) -> bool {
        let Some(typ) = typ else { return self.none || self.id_tokens };
        let is = |name: &str| media_type(typ).eq_ignore_ascii_case(media_type(name));
        is("at+jwt") || ((self.jwt || self.id_tokens) && is("JWT")) || self.others.iter().any(|other| is(other))
    }
}

/// Returns a media type without `application/`, which may be left out where no other `/` is in it (RFC 7515, section 4.1.9).
fn media_type(typ: &str) -> &str {
    const PREFIX: &str = "application/";
    match typ.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) && !rest.contains('/') => rest,
        _ => typ,
    }
}

pub(crate) const TOO_LONG: &str = "token_too_long";

/// RFC 6750, section 3.1: what has characters that no token has is a malformed request.
pub(crate) fn unreadable(rejection: Rejection, token: &[u8]) -> Rejection {
    match matches!(rejection.reason(), jws::SEGMENTS | jws::ENCODING | jws::SIGNATURE) && !is_token68(token) {
        true => Rejection::malformed("authorization_malformed"),
        false => rejection,
    }
}

impl<T: DeserializeOwned + Any + Send + Sync> Verify for Core<T> {
    fn issuer(&self) -> Option<&str> {
        self.issuer.only()
    }

    fn audiences(&self) -> Option<&[String]> {
        (!self.any_audience).then_some(&self.expected.audiences)
    }

    fn standing(&self, principal: &Principal) -> Option<Answer<Standing>> {
        let token = principal.identity_as::<Token<T>>().filter(|token| !token.introspected)?;
        Some(self.conditions.standing(token, self.clock.now()))
    }

    fn inspect(&self, token: &[u8]) -> Result<(), Rejection> {
        if token.len() > self.token_limit {
            return Err(Rejection::invalid(TOO_LONG));
        }
        let header = jws::Parts::split(token).map_err(|rejection| unreadable(rejection, token))?.header;
        self.header(header, &mut Vec::new()).map(drop).map_err(|rejection| unreadable(rejection, token))
    }

    fn remembered(&self, token: &[u8], keys: &Keys) -> Option<Principal> {
        let known = self.verified.as_ref()?.find(token, keys.epoch.load(Ordering::Acquire))?;
        match self.conditions.judge(&known, self.clock.now()) {
            Answer::Now(verdict) => verdict.ok(),
            Answer::Later(_) => None,
        }
    }

    fn verify(&self, token: &[u8], keys: &Keys) -> Answer<Result<Principal, Rejection>> {
        if token.len() > self.token_limit {
            return Answer::Now(Err(Rejection::invalid(TOO_LONG)));
        }
        let Self { conditions, verified, clock, .. } = self;
        let epoch = keys.epoch.load(Ordering::Acquire);
        if let Some(known) = verified.as_ref().and_then(|verified| verified.find(token, epoch)) {
            return conditions.judge(&known, clock.now());
        }
        let (read, epoch) = match self.read(token, keys) {
            Ok(read) => read,
            Err(rejection) => return Answer::Now(Err(unreadable(rejection, token))),
        };
        match conditions.judge(&read, clock.now()) {
            Answer::Now(verdict) => {
                if let (Ok(_), Some(verified)) = (&verdict, verified) {
                    verified.insert(token, epoch, read);
                }
                Answer::Now(verdict)
            }
            // The deny list is somewhere else. It is asked each time, so the token may be remembered already.
            later => {
                if let Some(verified) = verified {
                    verified.insert(token, epoch, read);
                }
                later
            }
        }
    }
}

impl<T: DeserializeOwned + Any + Send + Sync> Core<T> {
    /// Reads a token: its form, its signature, then what it says.
    fn read(&self, token: &[u8], keys: &Keys) -> Result<(Arc<Token<T>>, u64), Rejection> {
        let parts = jws::Parts::split(token)?;
        // None are there only until they are fetched, which is waited for further out.
        let current = keys.current().ok_or(Rejection::invalid(jws::KID_UNKNOWN))?;
        // One buffer for all that is decoded.
        let mut buffer = Vec::with_capacity(token.len() - token.len() / 4);
        let key = match current.headers.find(parts.header) {
            Some(key) => parts.verify_with([key].into_iter())?,
            None => {
                let header = self.header(parts.header, &mut buffer)?;
                let key = parts.verify(&current.set, &header)?;
                // Where several keys come into question, the next token of the same header may be signed with another.
                if current.set.candidates(header.kid(), header.algorithm).nth(1).is_none() {
                    current.headers.note(parts.header, key);
                }
                key
            }
        };
        parts.decode_payload(&mut buffer)?;
        let mut claims = Registered::default();
        let details = claims.read::<T>(&buffer, &self.expected)?;
        let exp = self.check(&claims, key)?;
        let kid = key.shared_kid();
        Ok((Arc::new(Token::new(&mut claims, Some(exp), self.issuer.shared(), kid, details)), current.epoch))
    }

    /// Reads the header.
    fn header<'a>(&self, segment: &[u8], buffer: &'a mut Vec<u8>) -> Result<jws::Header<'a>, Rejection> {
        let header = jws::Header::decode(segment, buffer)?;
        match self.typ.accepts(header.typ()) {
            true => Ok(header),
            false => Err(Rejection::invalid("token_typ")),
        }
    }

    /// Checks what does not change with time, and returns when the token ends.
    fn check(&self, claims: &Registered<'_>, key: &VerificationKey) -> Result<Duration, Rejection> {
        let fault = Rejection::invalid;
        if !self.issuer.is(claims, key) {
            return Err(fault("token_issuer"));
        }
        if !self.any_audience && !claims.is_for_us(&self.expected) {
            return Err(fault("token_audience"));
        }
        // RFC 9449, section 7.2: a token bound to a key is not good by itself.
        if claims.bound {
            return Err(fault("token_bound"));
        }
        // An ID token speaks to the client about a login, and is no key to an API (RFC 9068, section 5).
        if claims.of_id_token && !self.typ.id_tokens {
            return Err(fault("token_is_id_token"));
        }
        if !claims.is_complete(&self.expected) {
            return Err(fault("token_claim_missing"));
        }
        claims.exp.ok_or(fault("token_claim_missing"))
    }
}
