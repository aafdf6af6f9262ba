//! Bearer tokens (RFC 6750): the scheme, the verifier of JWTs, the keys behind it, and the deny list.

#[cfg(any(feature = "introspection", feature = "jwks"))]
mod access;
pub mod denial;
#[cfg(any(feature = "introspection", feature = "jwks"))]
mod discovery;
#[cfg(feature = "introspection")]
pub mod introspection;
pub mod issuers;
pub mod jwks;
pub mod jwt;
pub mod metadata;
pub mod replay;
mod verified;
mod verifier;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use http::header::AUTHORIZATION;
use http::request::Parts;

#[cfg(feature = "redis")]
pub use denial::RedisDenyList;
pub use denial::{Denial, DenyAdmin, DenyList, MemoryDenyList, TokenFacts, ToldBy};
#[cfg(any(feature = "introspection", feature = "jwks"))]
pub use discovery::Issuer;
#[cfg(feature = "introspection")]
pub use introspection::{ClientAuth, Introspection, IntrospectionBuilder};
#[cfg(feature = "jwks")]
pub use issuers::tenants::Tenants;
pub use issuers::{Issuers, IssuersBuilder};
pub use jwks::{KeySet, VerificationKey};
#[cfg(feature = "jwks")]
pub use jwks::{KeysStatus, RemoteKeys};
#[cfg(feature = "introspection")]
pub use jwt::SigningKey;
pub use jwt::{Algorithm, Jwt, JwtBuilder};
pub use metadata::{ProtectedResource, ResourceMetadata};
#[cfg(feature = "redis")]
pub use replay::RedisReplayStore;
pub use replay::{MemoryReplayStore, ReplayStore};
pub use verifier::{PresentedToken, TokenForm, TokenVerifier};

use jwt::LEEWAY_MAX;

use crate::auth::{Ownership, Problem};
use crate::{
    Admission, Answer, AuthLayer, Cause, Challenge, ConfigError, Exposure, Principal, Rejection, Scheme, Standing,
    token,
};

/// What [`Principal::scheme`] says.
const SCHEME: &str = "bearer";
/// The authentication scheme of the challenge and of `Authorization`.
const SCHEME_NAME: &str = "Bearer";
/// The authentication scheme of tokens that come with a proof (RFC 9449, section 7.1).
const DPOP: &str = "DPoP";

/// Guards a service by bearer tokens.
///
/// ```
/// use tower_keep::{BearerLayer, Jwt, KeySet};
///
/// # fn layer() -> Result<BearerLayer, Box<dyn std::error::Error>> {
/// let tokens = Jwt::with_keys(KeySet::from_file("jwks.json")?)
///     .issuer("https://login.example.com")
///     .audience("https://api.example.com")
///     .build()?;
/// let layer = BearerLayer::new(tokens);
/// # Ok(layer)
/// # }
/// ```
pub type BearerLayer<R = Problem> = AuthLayer<Bearer, R>;

impl BearerLayer {
    /// Guards by a verifier, with the defaults of [`Bearer`].
    pub fn new(verifier: impl TokenVerifier) -> Self {
        Self::over(Bearer::new(verifier))
    }
}

/// The bearer token scheme: a token in `Authorization: Bearer`, and nowhere else. Tokens in a query are ignored, and
/// those in a form are never looked for (RFC 6750, section 2; OAuth 2.1, section 5.1). A token under `DPoP` is refused, since
/// its proof is not looked at.
#[derive(Clone)]
pub struct Bearer {
    verifier: Arc<dyn TokenVerifier>,
    realm: String,
    asks: Option<metadata::Asks>,
    denier: Option<Arc<dyn DenyAdmin>>,
}

impl Bearer {
    /// Accepts the tokens that a verifier says are good.
    pub fn new(verifier: impl TokenVerifier) -> Self {
        Self { verifier: Arc::new(verifier), realm: "api".to_owned(), asks: None, denier: None }
    }

    /// Denies tokens that came over plain HTTP, where [`RequireHttps::watch`](crate::RequireHttps::watch) finds them, on a
    /// list that the verifier asks. It takes a good token that has a `jti`; one without can be reported only. Without this
    /// setting all are.
    ///
    /// ```
    /// use tower_keep::{Bearer, BearerLayer, Jwt, KeySet, MemoryDenyList, RequireHttps};
    ///
    /// # fn layer() -> Result<(), Box<dyn std::error::Error>> {
    /// let denied = MemoryDenyList::new();
    /// let tokens = Jwt::with_keys(KeySet::from_file("jwks.json")?)
    ///     .issuer("https://login.example.com")
    ///     .audience("https://api.example.com")
    ///     .deny_list(denied.clone())
    ///     .build()?;
    /// let guard = BearerLayer::over(Bearer::new(tokens).revoke_exposed(denied));
    /// let https = RequireHttps::new().watch(&guard);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn revoke_exposed(mut self, list: impl DenyAdmin) -> Self {
        self.denier = Some(Arc::new(list));
        self
    }

    /// Sets the realm of the challenge (RFC 9110, section 11.5). The default is `api`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Realm`] for characters outside printable ASCII.
    pub fn realm(mut self, realm: &str) -> Result<Self, ConfigError> {
        crate::challenge::realm(realm)?.clone_into(&mut self.realm);
        Ok(self)
    }
}

/// Returns what follows the authentication scheme, if it is `Bearer`.
fn behind_scheme(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, rest) = value.as_bytes().split_at_checked(SCHEME_NAME.len())?;
    // Most callers write it so; the others are right, too (RFC 9110, section 11.1).
    let is_bearer = scheme == SCHEME_NAME.as_bytes() || scheme.eq_ignore_ascii_case(SCHEME_NAME.as_bytes());
    // What may stand in the name of a scheme would make it another one: `BearerX`.
    let ends = rest.first().is_none_or(|byte| *byte == b' ' || !token::is_tchar(byte));
    (is_bearer && ends).then_some(rest)
}

/// Returns the token behind the authentication scheme and one space (RFC 6750, section 2.1). More spaces hurt nobody.
fn token_in(rest: &[u8]) -> Option<&[u8]> {
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    (spaces > 0).then(|| &rest[spaces..])
}

impl Scheme for Bearer {
    type Credential = PresentedToken;

    fn take(&self, head: &mut Parts) -> Result<Option<PresentedToken>, Rejection> {
        let values = head.headers.get_all(AUTHORIZATION);
        let is_bound = |value: &HeaderValue| token::scheme(value).eq_ignore_ascii_case(DPOP.as_bytes());
        if !values.iter().any(|value| behind_scheme(value).is_some() || is_bound(value)) {
            return Ok(None);
        }
        // A second field is malformed, whatever it holds (RFC 9110, section 11.6.2).
        let repeated = values.iter().nth(1).is_some();
        let value = head.headers.remove(AUTHORIZATION);
        if repeated {
            return Err(Rejection::malformed("credential_repeated").presented_as(Some(SCHEME_NAME)));
        }
        let Some(value) = value else { return Ok(None) };
        // A credential that is not taken is no absent one: an optional layer does not make nobody of its holder.
        let Some(rest) = behind_scheme(&value) else {
            return Err(Rejection::invalid("dpop_unsupported").presented_as(Some(DPOP)));
        };
        let token = token_in(rest).unwrap_or_default();
        // A JWT of other characters is found out where it is decoded.
        let is_readable = match self.verifier.form() {
            TokenForm::Jwt => !token.is_empty(),
            TokenForm::Any => token::is_token68(token),
        };
        if !is_readable {
            return Err(Rejection::malformed("authorization_malformed").presented_as(Some(SCHEME_NAME)));
        }
        let start = value.len() - token.len();
        Ok(Some(PresentedToken::new(value, start)))
    }

    fn verify(&self, token: PresentedToken) -> Answer<Result<Admission, Rejection>> {
        match self.verifier.verify(&token) {
            Answer::Now(verdict) => Answer::Now(admit(verdict)),
            Answer::Later(verdict) => Answer::later(async move { admit(verdict.await) }),
        }
    }

    fn recall(&self, token: PresentedToken) -> Option<Admission> {
        admit(Ok(self.verifier.remembered(&token)?)).ok()
    }

    fn exposed(&self, token: PresentedToken) -> Answer<Exposure> {
        let denier = self.denier.clone();
        self.verifier.verify(&token).map(move |verdict| match verdict {
            Ok(principal) => {
                let denial = denier.zip(denial_of(&principal));
                let exposure = Exposure::of(principal);
                match denial {
                    Some((denier, denial)) => exposure.with_revocation(move || denier.deny(denial)),
                    None => exposure,
                }
            }
            Err(rejection) if matches!(rejection.cause(), Cause::Unavailable | Cause::Misconfigured) => {
                Exposure::unknown(rejection)
            }
            Err(_) => Exposure::worthless(),
        })
    }

    fn standing(&self, principal: &Principal) -> Option<Answer<Standing>> {
        self.verifier.standing(principal)
    }

    fn challenges(&self) -> Vec<Challenge> {
        let challenge = Challenge::new(SCHEME_NAME).with("realm", self.realm.clone());
        vec![self.asks.iter().fold(challenge, |challenge, asks| asks.add_to(challenge))]
    }

    fn owns(&self, authorization: &HeaderValue) -> Ownership {
        let Some(token) = behind_scheme(authorization).and_then(token_in) else { return Ownership::None };
        match self.verifier.form() {
            TokenForm::Jwt if token::is_jws(token) => Ownership::Form,
            TokenForm::Any if token::is_token68(token) => Ownership::CatchAll,
            _ => Ownership::None,
        }
    }

    fn leaves_none(&self) -> bool {
        true
    }

    fn bearer_kinds(&self) -> Vec<Ownership> {
        vec![match self.verifier.form() {
            TokenForm::Jwt => Ownership::Form,
            TokenForm::Any => Ownership::CatchAll,
        }]
    }
}

/// Returns what denies a token and no other one, if it can be told from others.
fn denial_of(principal: &Principal) -> Option<Denial> {
    let denial = Denial::token(principal.credential_id()?);
    let denial = principal.issuer().into_iter().fold(denial, Denial::by_issuer);
    // It may be let in for the leeway after its end.
    let end = principal.expires_at().and_then(|end| end.checked_add(LEEWAY_MAX));
    Some(end.into_iter().fold(denial, Denial::until))
}

/// Says under which authentication scheme the token came.
fn admit(verdict: Result<Principal, Rejection>) -> Result<Admission, Rejection> {
    match verdict {
        Ok(principal) => Ok(Admission::new(principal).presented_as(Some(SCHEME_NAME))),
        Err(rejection) => Err(rejection.presented_as(Some(SCHEME_NAME))),
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer")
            .field("form", &self.verifier.form())
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

/// The claims of the token that a request came with, as the type that [`JwtBuilder::claims`] names.
///
/// With the feature `axum` it is an extractor:
///
/// ```
/// use serde::Deserialize;
/// use tower_keep::Claims;
///
/// #[derive(Clone, Deserialize)]
/// struct Me {
///     email: String,
/// }
///
/// async fn me(Claims(me): Claims<Me>) -> String {
///     me.email
/// }
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Claims<T>(pub T);

impl<T: Any> Claims<T> {
    /// Finds the claims in the extensions of a request: for handlers of tonic and of any other framework. Where layers are
    /// stacked, they are those of the innermost token that was read as this type.
    ///
    /// # Errors
    ///
    /// [`Cause::Missing`] for nobody, behind an optional layer;
    /// [`Cause::Forbidden`] for a principal that came without a token, by an API key, say;
    /// [`Cause::Misconfigured`] if the claims are of another type, or there is no layer.
    pub fn of(extensions: &http::Extensions) -> Result<&T, Rejection> {
        let principal = Principal::of(extensions)?;
        // Where two layers are stacked, the token may be the outer one's.
        let mut principals = std::iter::successors(Some(principal), |principal| principal.before());
        if let Some(claims) = principals.find_map(Principal::details::<T>) {
            return Ok(claims);
        }
        if principal.scheme() == SCHEME {
            let wanted = std::any::type_name::<T>();
            let text =
                format!("the claims of the token were not read as {wanted}: `JwtBuilder::claims` names the type");
            return Err(Rejection::misconfigured("claims_type", text));
        }
        let rejection = Rejection::forbidden("claims_absent").presented_as(principal.auth_scheme());
        Err(match principal.credential_id() {
            Some(id) => rejection.about(id),
            None => rejection,
        })
    }
}
