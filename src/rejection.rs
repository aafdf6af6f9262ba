//! Why a request was not let through.
//!
//! A [`Rejection`] says *that* to the caller, by its [`Cause`]: a status, a challenge, a fixed text. It says *why* to
//! the log only, by its reason code and its source. It is never an error of the tower service: it travels as a value
//! until the one place that turns it into a response, the [`Responder`](crate::Responder).
//!
//! A service behind the layer may refuse, too. It answers with a response that carries the rejection in its
//! extensions, which [`Rejection::into_response`] makes, and the layer renders it on the way out:
//!
//! ```
//! use http::Response;
//! use tower_keep::Rejection;
//!
//! let response: Response<String> = Rejection::forbidden("outside_office_hours").into_response();
//! assert_eq!(response.status(), 403);
//! assert!(response.extensions().get::<Rejection>().is_some());
//! ```

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};

use crate::Scopes;
use crate::scope::OFFLINE_ACCESS;

/// How long a caller is asked to wait when nobody knows better.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What went wrong, as far as the caller may know.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Cause {
    /// No credential came with the request: 401 without an error code (RFC 6750, section 3.1).
    Missing,
    /// The credential cannot be read, or there are two: 400 `invalid_request`.
    Malformed,
    /// The credential is unknown, expired, revoked or forged, and nobody is told which: 401 `invalid_token`.
    Invalid,
    /// The credential is good, and this request is not for it: 403.
    Forbidden,
    /// The credential is good, and lacks a scope: 403 `insufficient_scope`.
    InsufficientScope,
    /// The credential is good, and the login behind it too weak or too old: 401 (RFC 9470, section 3).
    StepUp,
    /// A proof needs a nonce of this server: 401 `use_dpop_nonce` (RFC 9449, section 9).
    NonceRequired,
    /// The request came over an insecure channel: 403, whatever it carried.
    Insecure,
    /// The request is for a host that this server does not answer for: 421 (RFC 9110, section 15.5.20).
    Misdirected,
    /// Too many requests: 429 and `Retry-After`.
    Limited,
    /// What is needed to decide cannot be reached: 503 and `Retry-After`. Never the caller's fault.
    Unavailable,
    /// The server is set up wrongly: 500. Never the caller's fault.
    Misconfigured,
}

impl Cause {
    /// All causes, in the order of their numbers.
    pub(crate) const ALL: [Self; 12] = [
        Self::Missing,
        Self::Malformed,
        Self::Invalid,
        Self::Forbidden,
        Self::InsufficientScope,
        Self::StepUp,
        Self::NonceRequired,
        Self::Insecure,
        Self::Misdirected,
        Self::Limited,
        Self::Unavailable,
        Self::Misconfigured,
    ];

    /// Returns the HTTP status.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Missing | Self::Invalid | Self::StepUp | Self::NonceRequired => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::InsufficientScope | Self::Insecure => StatusCode::FORBIDDEN,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Limited => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Misconfigured => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the gRPC status code: 16 for every bad credential, whatever is wrong with it.
    pub const fn grpc_code(self) -> u8 {
        match self {
            Self::Missing | Self::Malformed | Self::Invalid | Self::StepUp | Self::NonceRequired => 16,
            Self::Forbidden | Self::InsufficientScope | Self::Insecure | Self::Misdirected => 7,
            Self::Limited => 8,
            Self::Unavailable => 14,
            Self::Misconfigured => 13,
        }
    }

    /// Returns the OAuth 2.0 error code that goes into the challenge and the body, if the cause has one.
    pub const fn error_code(self) -> Option<&'static str> {
        match self {
            Self::Malformed => Some("invalid_request"),
            Self::Invalid => Some("invalid_token"),
            Self::InsufficientScope => Some("insufficient_scope"),
            Self::StepUp => Some("insufficient_user_authentication"),
            Self::NonceRequired => Some("use_dpop_nonce"),
            _ => None,
        }
    }

    /// Returns the fixed text that the caller reads. It holds nothing of the request.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Missing => "a credential is required",
            Self::Malformed => "the credential cannot be read, or there is more than one",
            Self::Invalid => "the credential is not valid",
            Self::Forbidden => "the credential does not allow this request",
            Self::InsufficientScope => "the credential lacks a scope that this request needs",
            Self::StepUp => "a stronger or more recent authentication is required",
            Self::NonceRequired => "a nonce of this server is required",
            Self::Insecure => "requests over an insecure channel are refused",
            Self::Misdirected => "the request is for a host that is not served here",
            Self::Limited => "too many requests",
            Self::Unavailable => "the credential cannot be checked at the moment",
            Self::Misconfigured => "the server is set up wrongly",
        }
    }

    /// Returns the stable name used in events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Invalid => "invalid",
            Self::Forbidden => "forbidden",
            Self::InsufficientScope => "insufficient_scope",
            Self::StepUp => "step_up",
            Self::NonceRequired => "nonce_required",
            Self::Insecure => "insecure",
            Self::Misdirected => "misdirected",
            Self::Limited => "limited",
            Self::Unavailable => "unavailable",
            Self::Misconfigured => "misconfigured",
        }
    }

    /// Returns whether the caller is asked for a credential, so that a `WWW-Authenticate` field is due.
    pub(crate) const fn is_challenged(self) -> bool {
        matches!(
            self,
            Self::Missing
                | Self::Malformed
                | Self::Invalid
                | Self::InsufficientScope
                | Self::StepUp
                | Self::NonceRequired
        )
    }
}

/// A refusal on its way to becoming a response.
#[derive(Clone)]
pub struct Rejection {
    cause: Cause,
    reason: &'static str,
    presented_as: Option<&'static str>,
    more: Option<Box<More>>,
}

/// What few rejections have.
#[derive(Clone, Default)]
struct More {
    genuine: bool,
    credential_id: Option<Box<str>>,
    scopes: Scopes,
    params: Vec<(&'static str, String)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    retry_after: Option<Duration>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Rejection {
    /// Refuses for a cause. The reason is a stable code for logs, such as `key_expired`; callers never see it.
    pub const fn new(cause: Cause, reason: &'static str) -> Self {
        Self { cause, reason, presented_as: None, more: None }
    }

    /// Refuses because no credential came with the request.
    pub const fn missing() -> Self {
        Self::new(Cause::Missing, "credential_missing")
    }

    /// Refuses because the credential cannot be read, or because there are two.
    pub const fn malformed(reason: &'static str) -> Self {
        Self::new(Cause::Malformed, reason)
    }

    /// Refuses because the credential is not valid.
    pub const fn invalid(reason: &'static str) -> Self {
        Self::new(Cause::Invalid, reason)
    }

    /// Refuses a good credential.
    pub const fn forbidden(reason: &'static str) -> Self {
        Self::new(Cause::Forbidden, reason)
    }

    /// Refuses a good credential that lacks a scope. The caller is told all the scopes that the request needs, but for
    /// `offline_access`, which no resource may ask for.
    pub fn insufficient_scope(needed: Scopes) -> Self {
        let needed = match needed.contains(OFFLINE_ACCESS) {
            true => Scopes::of_those_that_are(needed.iter().filter(|scope| *scope != OFFLINE_ACCESS)),
            false => needed,
        };
        Self::new(Cause::InsufficientScope, "scope_missing").edit(|more| more.scopes = needed)
    }

    /// Refuses a login that is too weak or too old, and says what would do (RFC 9470, section 3): authentication
    /// context classes in order of preference, separated by spaces, and the greatest age of the login.
    pub fn step_up(acr_values: Option<&str>, max_age: Option<Duration>) -> Self {
        let mut rejection = Self::new(Cause::StepUp, "step_up");
        if let Some(acr_values) = acr_values {
            rejection = rejection.with_param("acr_values", acr_values);
        }
        if let Some(max_age) = max_age {
            rejection = rejection.with_param("max_age", max_age.as_secs().to_string());
        }
        rejection
    }

    /// Asks for a proof that holds a nonce, and hands the nonce out (RFC 9449, section 9).
    pub fn nonce_required(nonce: HeaderValue) -> Self {
        Self::new(Cause::NonceRequired, "nonce_required").with_header(HeaderName::from_static("dpop-nonce"), nonce)
    }

    /// Refuses a request over an insecure channel.
    pub const fn insecure() -> Self {
        Self::new(Cause::Insecure, "insecure_transport")
    }

    /// Refuses one request too many. Part seconds are rounded up in the answer.
    pub fn limited(retry_after: Duration) -> Self {
        Self::new(Cause::Limited, "limited").with_retry_after(retry_after)
    }

    /// Refuses because something is out of reach; the source is for the log. `Retry-After` is one second unless
    /// [`with_retry_after`](Self::with_retry_after) says otherwise.
    pub fn unavailable(reason: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Cause::Unavailable, reason).with_source(source)
    }

    /// Refuses because the server is set up wrongly; the source says how, for the log.
    pub fn misconfigured(reason: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Cause::Misconfigured, reason).with_source(source)
    }

    /// Names the authentication scheme under which the credential came, so that only that challenge carries the error
    /// code. Without a name, every challenge does.
    #[must_use]
    pub const fn presented_as(mut self, scheme: Option<&'static str>) -> Self {
        self.presented_as = scheme;
        self
    }

    /// Says that the credential was proven to be genuine, though it is not good now: it has expired, say. It does not count as a
    /// failed attempt then; see [`throttle`](crate::auth::throttle).
    #[must_use]
    pub fn genuine(self) -> Self {
        self.edit(|more| more.genuine = true)
    }

    /// Adds the public id of the key or token, for the log.
    #[must_use]
    pub fn about(self, credential_id: impl Into<Box<str>>) -> Self {
        self.edit(|more| more.credential_id = Some(credential_id.into()))
    }

    /// Adds a parameter to the challenge.
    #[must_use]
    pub fn with_param(self, name: &'static str, value: impl Into<String>) -> Self {
        self.edit(|more| more.params.push((name, value.into())))
    }

    /// Adds a header field to the response.
    #[must_use]
    pub fn with_header(self, name: HeaderName, value: HeaderValue) -> Self {
        self.edit(|more| more.headers.push((name, value)))
    }

    /// Sets how long the caller is asked to wait.
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        self.edit(|more| more.retry_after = Some(wait))
    }

    /// Adds what is behind the refusal, for the log.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let source = Arc::from(source.into());
        self.edit(|more| more.source = Some(source))
    }

    /// Returns the cause.
    pub const fn cause(&self) -> Cause {
        self.cause
    }

    /// Returns the stable code for logs.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// Returns the public id of the key or token, if it is known.
    pub fn credential_id(&self) -> Option<&str> {
        self.more()?.credential_id.as_deref()
    }

    /// Returns the scopes that the request needs; there are none unless the cause is
    /// [`InsufficientScope`](Cause::InsufficientScope).
    pub fn needed_scopes(&self) -> &Scopes {
        const NONE: &Scopes = &Scopes::none();
        self.more().map_or(NONE, |more| &more.scopes)
    }

    /// Returns how long the caller is asked to wait, if at all.
    pub fn retry_after(&self) -> Option<Duration> {
        let given = self.more().and_then(|more| more.retry_after);
        match self.cause {
            Cause::Limited | Cause::Unavailable => Some(given.unwrap_or(RETRY_AFTER)),
            _ => given,
        }
    }

    /// Returns the header fields to add to the response.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        self.more().map_or(&[], |more| &more.headers)
    }

    /// Returns whether the answer depends on nothing but the cause and the authentication scheme of the credential.
    pub(crate) fn is_plain(&self) -> bool {
        self.more().is_none_or(|More { scopes, params, headers, retry_after, .. }| {
            scopes.is_empty() && params.is_empty() && headers.is_empty() && retry_after.is_none()
        })
    }

    /// Returns whether somebody presented a credential that never was good, or is so no more since somebody said so.
    pub(crate) fn is_failed_attempt(&self) -> bool {
        self.cause == Cause::Invalid && !self.more().is_some_and(|more| more.genuine)
    }

    pub(crate) const fn challenge_scheme(&self) -> Option<&'static str> {
        self.presented_as
    }

    pub(crate) fn params(&self) -> &[(&'static str, String)] {
        self.more().map_or(&[], |more| &more.params)
    }

    fn more(&self) -> Option<&More> {
        self.more.as_deref()
    }

    fn edit(mut self, change: impl FnOnce(&mut More)) -> Self {
        change(self.more.get_or_insert_default());
        self
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.cause.text(), self.reason)
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection")
            .field("cause", &self.cause)
            .field("reason", &self.reason)
            .field("credential_id", &self.credential_id())
            .finish_non_exhaustive()
    }
}

impl Error for Rejection {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.more()?.source.as_deref()?)
    }
}
