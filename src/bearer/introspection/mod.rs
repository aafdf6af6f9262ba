//! Tokens that the authorization server is asked about (RFC 7662): opaque ones, and any that have to be revocable at once.
//!
//! ```
//! use tower_keep::{BearerLayer, ClientAuth, Introspection};
//!
//! # fn layer(secret: String) -> Result<BearerLayer, Box<dyn std::error::Error>> {
//! let tokens = Introspection::at("https://login.example.com/introspect")
//!     .client_auth(ClientAuth::basic("orders", secret))
//!     .audience("https://api.example.com")
//!     .build()?;
//! let layer = BearerLayer::new(tokens);
//! # Ok(layer)
//! # }
//! ```
//!
//! The server is trusted to say whether a token is active, and for nothing beyond that: who made it (where an
//! [`issuer`](IntrospectionBuilder::issuer) is named), for whom, and until when is checked here as well, as for a JWT. What is
//! asked for has to be there.
//!
//! # What happens when
//!
//! | the server says | the caller is answered |
//! |---|---|
//! | `"active": true`, and all the rest fits | let in |
//! | `"active"` is anything else, or missing | 401 |
//! | another issuer or audience, over, not yet valid, bound to a key (`cnf`), not an access token | 401 |
//! | 400 with `unsupported_token_type`: it tells nothing of such tokens | 401 |
//! | 401, 403, or 400 with `invalid_client`: this service may not ask | 500, and an error in the log |
//! | another status, no answer within 5 seconds, nothing at all | 503 and `Retry-After` |
//! | what is no JSON object, or one with a member of the wrong type or one that stands twice | 503 and `Retry-After` |
//!
//! A server that is not there, or of which three different tokens in a row meet silence or an error, is left alone for a second, then two, up to a minute; one question goes out after each wait. Meanwhile everybody is answered as the last one was,
//! except for tokens that are remembered. An answer that makes no sense, is too long, or blames the question counts against its
//! token alone, so that nobody makes an outage by sending odd ones. A token of which nothing came is not asked about again for a
//! second. Nobody is let in because the server is out of reach.
//!
//! # Answers that are signed
//!
//! A server that supports it (RFC 9701) signs its answers, as evidence beyond the connection that they come over.
//! [`signed_by`](IntrospectionBuilder::signed_by) asks for such answers and takes no others: one that is not signed with a key
//! of the issuer, in the last minute, for this service, is no answer. Those that are encrypted on top are not supported.
//!
//! # What is remembered
//!
//! A token that is good is remembered for a minute at most, and never beyond its `exp`: so long may a token be used that was
//! revoked. Times, conditions and the deny list are asked about on every request all the same. A token that is not good is
//! remembered for 5 seconds, and takes no place from one that is. Both are found by the SHA-256 of the whole token; tokens are
//! not kept. However many requests come with a token at once, the server is asked once.
//!
//! # What the log says
//!
//! The reasons are those of [`jwt`](crate::bearer::jwt), and these:
//!
//! | reason | what is wrong | what may help |
//! |---|---|---|
//! | `token_inactive` | the server says `false`: expired, revoked, unknown, or not for this client to know of; or that it tells nothing of such tokens | |
//! | `introspection_active` | it says neither `true` nor `false` | ask for the endpoint of RFC 7662 |
//! | `token_issuer` | `iss` is missing or another | [`accept_no_issuer`](IntrospectionBuilder::accept_no_issuer) |
//! | `token_audience` | `aud` is missing or another | a server that says whom a token is for |
//! | `token_claim_missing` | the subject, or what is asked for | [`subject_claim`](IntrospectionBuilder::subject_claim) |
//! | `token_use` | it is a refresh token or an ID token | |
//! | `introspection_unauthorized` | this service may not ask | [`client_auth`](IntrospectionBuilder::client_auth) |
//! | `introspection_unavailable` | the server does not answer, or its answer cannot be read | |
//! | `introspection_busy` | 256 questions are under way | |

mod builder;
mod circuit;
mod client_auth;
mod flight;
mod form;
mod memory;
mod response;
mod server;
mod signed;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::timeout;

pub use builder::IntrospectionBuilder;
pub use client_auth::ClientAuth;

use super::jwt::signature::sha256;
use super::jwt::token::Conditions;
use super::jwt::token::Token;
use super::{Issuer, PresentedToken, TokenForm, TokenVerifier};
use crate::events::RefusalLog;
use crate::fetch::{Outage, PATIENCE};
use crate::token::is_token68;
use crate::{Answer, Clock, Principal, Rejection, Standing};
use circuit::Circuit;
use flight::Flights;
use memory::{Finding, Memory};
use response::Rules;
use server::Server;

/// What the log is told where there is no answer.
const UNAVAILABLE: &str = "introspection_unavailable";

/// A verifier that asks an authorization server about tokens. Cloning shares it. See the [module](self).
#[derive(Clone)]
pub struct Introspection(Arc<dyn Verify>);

impl Introspection {
    /// Starts a verifier that asks at a URL, which has to be `https`.
    pub fn at(url: impl Into<String>) -> IntrospectionBuilder {
        IntrospectionBuilder::at(url.into())
    }

    /// Starts a verifier that asks where the metadata of an issuer says (`introspection_endpoint`; RFC 8414, section 2). It is
    /// the [`issuer`](IntrospectionBuilder::issuer) that tokens have to be from.
    ///
    /// ```
    /// use tower_keep::{ClientAuth, Introspection};
    ///
    /// # fn tokens(secret: String) -> Result<Introspection, Box<dyn std::error::Error>> {
    /// let tokens = Introspection::discover("https://login.example.com")
    ///     .client_auth(ClientAuth::basic("orders", secret))
    ///     .audience("https://api.example.com")
    ///     .build()?;
    /// # Ok(tokens)
    /// # }
    /// ```
    pub fn discover(issuer: impl Into<Issuer>) -> IntrospectionBuilder {
        IntrospectionBuilder::of(issuer.into())
    }
}

impl TokenVerifier for Introspection {
    fn verify(&self, token: &PresentedToken) -> Answer<Result<Principal, Rejection>> {
        Arc::clone(&self.0).verify(token)
    }

    fn form(&self) -> TokenForm {
        TokenForm::Any
    }

    fn issuers(&self) -> Vec<String> {
        self.0.issuer().into_iter().map(str::to_owned).collect()
    }

    fn audiences(&self) -> Option<Vec<String>> {
        self.0.audiences().map(<[_]>::to_vec)
    }

    fn remembered(&self, token: &PresentedToken) -> Option<Principal> {
        self.0.remembered(token)
    }

    /// Tells of the time and the deny list; the server is not asked again.
    fn standing(&self, principal: &Principal) -> Option<Answer<Standing>> {
        self.0.standing(principal)
    }
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Introspection")
    }
}

/// A verifier whose type of claims is not told.
trait Verify: Send + Sync {
    fn verify(self: Arc<Self>, token: &PresentedToken) -> Answer<Result<Principal, Rejection>>;
    fn remembered(&self, token: &PresentedToken) -> Option<Principal>;
    fn issuer(&self) -> Option<&str>;
    fn audiences(&self) -> Option<&[String]>;
    fn standing(&self, principal: &Principal) -> Option<Answer<Standing>>;
}

struct Core<T> {
    server: Server,
    rules: Rules,
    conditions: Conditions<T>,
    memory: Memory<T>,
    flights: Flights<T>,
    circuit: Circuit,
    log: RefusalLog,
    clock: Box<dyn Clock>,
    token_limit: usize,
}

impl<T: DeserializeOwned + Any + Send + Sync> Verify for Core<T> {
    fn issuer(&self) -> Option<&str> {
        self.rules.issuer.as_deref()
    }

    fn audiences(&self) -> Option<&[String]> {
        (!self.rules.any_audience).then_some(&self.rules.expected.audiences)
    }

    fn standing(&self, principal: &Principal) -> Option<Answer<Standing>> {
        let token = principal.identity_as::<Token<T>>().filter(|token| token.introspected)?;
        Some(self.conditions.standing(token, self.clock.now()))
    }

    fn remembered(&self, token: &PresentedToken) -> Option<Principal> {
        let bytes = token.as_bytes();
        if bytes.len() > self.token_limit {
            return None;
        }
        self.judge(self.memory.find(&sha256(bytes), self.clock.now())?).now()?.ok()
    }

    fn verify(self: Arc<Self>, token: &PresentedToken) -> Answer<Result<Principal, Rejection>> {
        let bytes = token.as_bytes();
        if bytes.len() > self.token_limit {
            return Answer::Now(Err(Rejection::invalid("token_too_long")));
        }
        // The scheme has looked already where the verifier is not behind something that takes JWTs alone.
        if !is_token68(bytes) {
            return Answer::Now(Err(Rejection::malformed("authorization_malformed")));
        }
        let digest = sha256(bytes);
        if let Some(finding) = self.memory.find(&digest, self.clock.now()) {
            return self.judge(finding);
        }
        match Arc::clone(&self).ask(digest, token) {
            Err(rejection) => Answer::Now(Err(rejection)),
            Ok(mut outcome) => Answer::later(async move {
                // A little longer than the question itself may take, which ends in time and says so.
                let waited = timeout(PATIENCE + Duration::from_secs(1), outcome.wait_for(Option::is_some)).await;
                let finding = waited.ok().and_then(|outcome| outcome.ok()?.clone());
                match finding {
                    Some(finding) => self.judge(finding).await,
                    None => Err(Outage::unknown().into_rejection(UNAVAILABLE)),
                }
            }),
        }
    }
}

impl<T: Any + Send + Sync> Core<T> {
    /// Asks what is asked each time.
    fn judge(&self, finding: Finding<T>) -> Answer<Result<Principal, Rejection>> {
        match finding {
            Ok(token) => self.conditions.judge(&token, self.clock.now()),
            Err(rejection) => Answer::Now(Err(rejection)),
        }
    }
}
