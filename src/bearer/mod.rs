//! Bearer tokens (RFC 6750): the scheme, the verifier of JWTs, the keys behind it, and the deny list.

pub mod denial;
pub mod jwks;
pub mod jwt;
mod verified;
mod verifier;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use http::header::AUTHORIZATION;
use http::request::Parts;

pub use denial::{Denial, DenyList, MemoryDenyList, TokenFacts};
pub use jwks::{KeySet, VerificationKey};
pub use jwt::{Algorithm, Jwt, JwtBuilder};
pub use verifier::{PresentedToken, TokenForm, TokenVerifier};

use crate::auth::{Ownership, Problem};
use crate::{Admission, Answer, AuthLayer, Cause, Challenge, ConfigError, Principal, Rejection, Scheme, token};

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
}

impl Bearer {
    /// Accepts the tokens that a verifier says are good.
    pub fn new(verifier: impl TokenVerifier) -> Self {
        Self { verifier: Arc::new(verifier), realm: "api".to_owned() }
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
    // What may stand in the name of a scheme would make it another one: `BearerX`.
    let ends = rest.first().is_none_or(|byte| !token::is_tchar(byte));
    (ends && scheme.eq_ignore_ascii_case(SCHEME_NAME.as_bytes())).then_some(rest)
}

impl Scheme for Bearer {
    type Credential = PresentedToken;

    fn take(&self, head: &mut Parts) -> Result<Option<PresentedToken>, Rejection> {
        let mut values = head.headers.get_all(AUTHORIZATION).iter();
        let (Some(first), second) = (values.next(), values.next()) else { return Ok(None) };
        let is_bound = |value: &HeaderValue| token::scheme(value).eq_ignore_ascii_case(DPOP.as_bytes());
        let is_ours = |value: &HeaderValue| behind_scheme(value).is_some() || is_bound(value);
        if !is_ours(first) && !second.into_iter().chain(values).any(is_ours) {
            return Ok(None);
        }
        // A second field is malformed, whatever it holds (RFC 9110, section 11.6.2).
        let repeated = second.is_some();
        let value = head.headers.remove(AUTHORIZATION);
        if repeated {
            return Err(Rejection::malformed("credential_repeated").presented_as(Some(SCHEME_NAME)));
        }
        let Some(value) = value else { return Ok(None) };
        // A credential that is not taken is no absent one: an optional layer does not make nobody of its holder.
        if is_bound(&value) {
            return Err(Rejection::invalid("dpop_unsupported").presented_as(Some(DPOP)));
        }
        // RFC 6750, section 2.1: one space, and a token behind it. More spaces hurt nobody.
        let token = match behind_scheme(&value) {
            Some([b' ', rest @ ..]) => rest.trim_ascii_start(),
            _ => &[],
        };
        if token.is_empty() {
            return Err(Rejection::malformed("authorization_malformed").presented_as(Some(SCHEME_NAME)));
        }
        let start = value.len() - token.len();
        Ok(Some(PresentedToken::new(value, start)))
    }

    fn verify(&self, token: PresentedToken) -> Answer<Result<Admission, Rejection>> {
        match self.verifier.verify(&token) {
            Answer::Now(verdict) => Answer::Now(admit(verdict, &token)),
            Answer::Later(verdict) => Answer::later(async move { admit(verdict.await, &token) }),
        }
    }

    fn challenges(&self) -> Vec<Challenge> {
        vec![Challenge::new(SCHEME_NAME).with("realm", self.realm.clone())]
    }

    fn owns(&self, authorization: &HeaderValue) -> Ownership {
        match (token::credentials(authorization), self.verifier.form()) {
            (Some((scheme, _)), _) if !scheme.eq_ignore_ascii_case(SCHEME_NAME) => Ownership::None,
            (Some((_, token)), TokenForm::Jwt) if token::is_jws(token) => Ownership::Form,
            (Some(_), TokenForm::Any) => Ownership::CatchAll,
            _ => Ownership::None,
        }
    }

    fn catches_all(&self) -> bool {
        self.verifier.form() == TokenForm::Any
    }
}

/// Says under which authentication scheme the token came. A text with characters that no token has is malformed, which is
/// only looked for once it is known not to be good.
fn admit(verdict: Result<Principal, Rejection>, token: &PresentedToken) -> Result<Admission, Rejection> {
    match verdict {
        Ok(principal) => Ok(Admission::new(principal).presented_as(Some(SCHEME_NAME))),
        Err(rejection) if rejection.cause() == Cause::Invalid && token.expose().is_empty() => {
            Err(Rejection::malformed("authorization_malformed").presented_as(Some(SCHEME_NAME)))
        }
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
    /// Finds the claims in the extensions of a request: for handlers of tonic and of any other framework.
    ///
    /// # Errors
    ///
    /// [`Cause::Missing`] for nobody, behind an optional layer; [`Cause::Forbidden`] for a principal that came without a
    /// token, by an API key, say; [`Cause::Misconfigured`] if the claims are of another type, or there is no layer.
    pub fn of(extensions: &http::Extensions) -> Result<&T, Rejection> {
        let principal = Principal::of(extensions)?;
        match principal.details::<T>() {
            Some(claims) => Ok(claims),
            None if principal.scheme() == SCHEME => Err(Rejection::misconfigured(
                "claims_type",
                format!("the claims of the token were not read as {}", std::any::type_name::<T>()),
            )),
            None => Err(Rejection::forbidden("claims_absent").presented_as(principal.auth_scheme())),
        }
    }
}
