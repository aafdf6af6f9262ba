//! What says whether a token is good.

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;

use crate::{Answer, Principal, Rejection, Standing};

/// Says whether a bearer token is good, and of whom it speaks. [`Jwt`](crate::Jwt) is one; a verifier of one's own is one
/// method:
///
/// ```
/// use tower_keep::{Answer, BearerLayer, PresentedToken, Principal, Rejection, TokenForm, TokenVerifier};
///
/// struct Sessions;
///
/// impl TokenVerifier for Sessions {
///     fn verify(&self, token: &PresentedToken) -> Answer<Result<Principal, Rejection>> {
///         let token = token.expose().to_owned();
///         Answer::later(async move {
///             match look_up(&token).await {
///                 Some(user) => Ok(Principal::builder(user).scheme("session").build()),
///                 None => Err(Rejection::invalid("session_unknown")),
///             }
///         })
///     }
///
///     fn form(&self) -> TokenForm {
///         TokenForm::Any
///     }
/// }
/// # async fn look_up(_: &str) -> Option<String> { None }
///
/// let layer = BearerLayer::new(Sessions);
/// ```
pub trait TokenVerifier: Send + Sync + 'static {
    /// Verifies a token.
    ///
    /// # Errors
    ///
    /// The rejection in the answer says whose fault it is: [`Cause::Invalid`](crate::Cause::Invalid) for a bad token,
    /// whatever is wrong with it; [`Cause::Unavailable`](crate::Cause::Unavailable) where it cannot be known.
    fn verify(&self, token: &PresentedToken) -> Answer<Result<Principal, Rejection>>;

    /// Returns which tokens the verifier takes where it shares `Authorization: Bearer` with another scheme.
    fn form(&self) -> TokenForm;

    /// Returns who issues the tokens, for the metadata of a [`ProtectedResource`](crate::ProtectedResource): the exact
    /// values of `iss`. The default names nobody.
    fn issuers(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns whom the tokens have to be for, if the verifier asks and tells; a
    /// [`ProtectedResource`](crate::ProtectedResource) is one of them. The default does not tell.
    fn audiences(&self) -> Option<Vec<String>> {
        None
    }

    /// Returns who sent a token, if that can be said without a look at it, out of a memory of whole tokens that were verified
    /// before: [`Issuers`](crate::Issuers) asks whoever it guesses. What has to be asked each time is asked all the same.
    /// Nothing says nothing of the token; that is the default. For a client that has failed
    /// [too often](crate::auth::throttle) it is all that is asked.
    fn remembered(&self, token: &PresentedToken) -> Option<Principal> {
        let _ = token;
        None
    }

    /// Asks how a principal stands that the verifier let in before; see [`Scheme::standing`](crate::Scheme::standing).
    fn standing(&self, principal: &Principal) -> Option<Answer<Standing>> {
        let _ = principal;
        None
    }
}

impl<V: TokenVerifier + ?Sized> TokenVerifier for Arc<V> {
    fn verify(&self, token: &PresentedToken) -> Answer<Result<Principal, Rejection>> {
        (**self).verify(token)
    }

    fn form(&self) -> TokenForm {
        (**self).form()
    }

    fn issuers(&self) -> Vec<String> {
        (**self).issuers()
    }

    fn audiences(&self) -> Option<Vec<String>> {
        (**self).audiences()
    }

    fn remembered(&self, token: &PresentedToken) -> Option<Principal> {
        (**self).remembered(token)
    }

    fn standing(&self, principal: &Principal) -> Option<Answer<Standing>> {
        (**self).standing(principal)
    }
}

/// Which tokens a verifier takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TokenForm {
    /// Three segments of base64url with dots between them: a signed JWT (RFC 7515, section 7.1).
    Jwt,
    /// Whatever no other scheme owns. A layer has one such verifier at most.
    Any,
}

/// A token as it came with a request. It is never printed. Cloning shares it.
#[derive(Clone)]
pub struct PresentedToken {
    // The bytes that the server received, which are shared with it; the token starts behind the authentication scheme.
    value: HeaderValue,
    start: usize,
}

impl PresentedToken {
    pub(super) const fn new(value: HeaderValue, start: usize) -> Self {
        Self { value, start }
    }

    /// Takes a token that came in another way than a header field: in the first message of a WebSocket, in a queue.
    ///
    /// # Errors
    ///
    /// [`Cause::Malformed`](crate::Cause::Malformed) for a text with other characters than those of a token (RFC 6750,
    /// section 2.1).
    pub fn from_text(token: &str) -> Result<Self, Rejection> {
        match HeaderValue::from_str(token) {
            Ok(value) if crate::token::is_token68(token.as_bytes()) => Ok(Self { value, start: 0 }),
            _ => Err(Rejection::malformed("token_malformed")),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.value.as_bytes().get(self.start..).unwrap_or_default()
    }

    /// Returns the token. The name is there to be searched for. A text with other characters than those of a token
    /// (RFC 6750, section 2.1) is empty, and good for nothing.
    pub fn expose(&self) -> &str {
        match std::str::from_utf8(self.as_bytes()) {
            Ok(text) if crate::token::is_token68(self.as_bytes()) => text,
            _ => "",
        }
    }
}

impl fmt::Debug for PresentedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresentedToken([redacted])")
    }
}
