//! Who sent a request.
//!
//! A [`Principal`] stands in the extensions of a request that an [`Auth`](crate::Auth) let through, whatever the
//! scheme was. [`Anonymous`] stands there instead where the layer is optional and no credential came: "no layer" and
//! "nobody" are two different things.
//!
//! ```
//! use std::time::SystemTime;
//! use tower_keep::Principal;
//!
//! // In a test of a handler, or in a scheme of one's own:
//! let who = Principal::builder("billing").scheme("basic").scopes("read write".try_into()?).build();
//!
//! assert_eq!(who.subject(), "billing");
//! assert!(who.scopes().contains("read"));
//! assert!(who.expires_at().is_none());
//! # Ok::<(), tower_keep::ConfigError>(())
//! ```

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use http::Extensions;

use crate::auth::{Guard, no_layer};
use crate::{Rejection, Scopes};

/// Where a principal's facts come from. A key record is one, so that a hit in memory costs a reference count.
pub(crate) trait Identity: Any + Send + Sync {
    fn subject(&self) -> &str;
    fn scheme(&self) -> &str;
    fn issuer(&self) -> Option<&str>;
    fn scopes(&self) -> &Scopes;
    fn expires_at(&self) -> Option<SystemTime>;
    fn credential_id(&self) -> Option<&str>;
    fn details(&self) -> Option<&(dyn Any + Send + Sync)>;

    fn acr(&self) -> Option<&str> {
        None
    }

    fn auth_time(&self) -> Option<SystemTime> {
        None
    }
}

/// Who sent a request, and what they may do. Cloning shares it.
#[derive(Clone)]
pub struct Principal {
    identity: Arc<dyn Identity>,
    superseded: Option<SystemTime>,
    presented_as: Option<&'static str>,
    guard: Option<Arc<Guard>>,
    before: Option<Arc<Self>>,
}

impl Principal {
    /// Starts a principal for a subject; its scheme is `custom` until it is named.
    pub fn builder(subject: impl Into<String>) -> PrincipalBuilder {
        PrincipalBuilder {
            facts: Facts {
                subject: subject.into(),
                scheme: "custom".to_owned(),
                issuer: None,
                scopes: Scopes::none(),
                expires_at: None,
                credential_id: None,
                acr: None,
                auth_time: None,
                details: None,
            },
            superseded: None,
        }
    }

    /// Finds who sent a request, in its extensions: for handlers of tonic and of any other framework. Handlers of axum
    /// have an extractor.
    ///
    /// # Errors
    ///
    /// [`Cause::Missing`](crate::Cause::Missing) for nobody, behind an optional layer;
    /// [`Cause::Misconfigured`](crate::Cause::Misconfigured) where there is no layer at all, which the log is told.
    ///
    /// ```
    /// # #[cfg(feature = "tonic")] {
    /// use tonic::{Request, Response, Status};
    /// use tower_keep::Principal;
    ///
    /// async fn say_hello(request: Request<()>) -> Result<Response<String>, Status> {
    ///     let who = Principal::of(request.extensions())?;
    ///     Ok(Response::new(format!("hello {}", who.subject())))
    /// }
    /// # }
    /// ```
    pub fn of(extensions: &Extensions) -> Result<&Self, Rejection> {
        match (extensions.get::<Self>(), extensions.get::<Anonymous>()) {
            (Some(principal), _) => Ok(principal),
            (None, Some(_)) => Err(Rejection::missing()),
            (None, None) => Err(no_layer()),
        }
    }

    pub(crate) fn from_identity(identity: Arc<dyn Identity>, superseded: Option<SystemTime>) -> Self {
        Self { identity, superseded, presented_as: None, guard: None, before: None }
    }

    /// Returns who it is: the owner of a key, the `sub` of a token.
    pub fn subject(&self) -> &str {
        self.identity.subject()
    }

    /// Returns the scheme that proved it, such as `api-key`.
    pub fn scheme(&self) -> &str {
        self.identity.scheme()
    }

    /// Returns who vouches for it: the `iss` of a token.
    pub fn issuer(&self) -> Option<&str> {
        self.identity.issuer()
    }

    /// Returns what it may do.
    pub fn scopes(&self) -> &Scopes {
        self.identity.scopes()
    }

    /// Returns when the credential ends.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.identity.expires_at()
    }

    /// Returns the public id of the credential: the id of a key, the `jti` of a token. It is safe to log.
    pub fn credential_id(&self) -> Option<&str> {
        self.identity.credential_id()
    }

    /// Returns how the subject logged in: the `acr` of a token, an authentication context class (OpenID Connect Core,
    /// section 2; RFC 9068, section 2.2.1).
    pub fn acr(&self) -> Option<&str> {
        self.identity.acr()
    }

    /// Returns when the subject logged in: the `auth_time` of a token.
    pub fn auth_time(&self) -> Option<SystemTime> {
        self.identity.auth_time()
    }

    /// Returns when the presented secret stops working, if a newer one has taken its place.
    pub const fn superseded(&self) -> Option<SystemTime> {
        self.superseded
    }

    /// Returns what the scheme knows beyond the common facts: a `KeyRecord` for an API key, the claims of a token.
    pub fn details<T: Any>(&self) -> Option<&T> {
        self.identity.details()?.downcast_ref()
    }

    /// Returns the principal of the layer outside this one, where two are stacked and both have to be satisfied.
    pub fn before(&self) -> Option<&Self> {
        self.before.as_deref()
    }

    /// Returns where its facts come from, if that is of a type.
    #[cfg_attr(not(feature = "bearer"), allow(dead_code, reason = "tokens are asked about again"))]
    pub(crate) fn identity_as<T: Any>(&self) -> Option<&T> {
        let identity: &dyn Any = &*self.identity;
        identity.downcast_ref()
    }

    pub(crate) fn guard(&self) -> Option<&Arc<Guard>> {
        self.guard.as_ref()
    }

    pub(crate) const fn auth_scheme(&self) -> Option<&'static str> {
        self.presented_as
    }

    /// Puts the principal under the guard of the layer that lets it in.
    pub(crate) fn admitted(
        mut self,
        guard: Arc<Guard>,
        presented_as: Option<&'static str>,
        before: Option<Self>,
    ) -> Self {
        self.guard = Some(guard);
        self.presented_as = presented_as;
        self.before = before.map(Arc::new);
        self
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("subject", &self.subject())
            .field("scheme", &self.scheme())
            .field("issuer", &self.issuer())
            .field("scopes", self.scopes())
            .field("credential_id", &self.credential_id())
            .finish_non_exhaustive()
    }
}

/// Builds a [`Principal`]: for schemes of one's own and for tests of handlers.
pub struct PrincipalBuilder {
    facts: Facts,
    superseded: Option<SystemTime>,
}

impl PrincipalBuilder {
    /// Names the scheme.
    #[must_use]
    pub fn scheme(mut self, scheme: impl Into<String>) -> Self {
        self.facts.scheme = scheme.into();
        self
    }

    /// Names who vouches for the subject.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.facts.issuer = Some(issuer.into());
        self
    }

    /// Sets what the subject may do.
    #[must_use]
    pub fn scopes(mut self, scopes: Scopes) -> Self {
        self.facts.scopes = scopes;
        self
    }

    /// Sets when the credential ends.
    #[must_use]
    pub fn expires_at(mut self, when: SystemTime) -> Self {
        self.facts.expires_at = Some(when);
        self
    }

    /// Sets the public id of the credential.
    #[must_use]
    pub fn credential_id(mut self, id: impl Into<String>) -> Self {
        self.facts.credential_id = Some(id.into());
        self
    }

    /// Sets how the subject logged in.
    #[must_use]
    pub fn acr(mut self, class: impl Into<String>) -> Self {
        self.facts.acr = Some(class.into());
        self
    }

    /// Sets when the subject logged in.
    #[must_use]
    pub fn auth_time(mut self, when: SystemTime) -> Self {
        self.facts.auth_time = Some(when);
        self
    }

    /// Marks the presented secret as superseded, until when it still works.
    #[must_use]
    pub fn superseded(mut self, until: SystemTime) -> Self {
        self.superseded = Some(until);
        self
    }

    /// Keeps what the scheme knows beyond the common facts, for [`Principal::details`].
    #[must_use]
    pub fn details<T: Any + Send + Sync>(mut self, details: T) -> Self {
        self.facts.details = Some(Box::new(details));
        self
    }

    /// Makes the principal.
    pub fn build(self) -> Principal {
        Principal::from_identity(Arc::new(self.facts), self.superseded)
    }
}

impl fmt::Debug for PrincipalBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrincipalBuilder").field("subject", &self.facts.subject).finish_non_exhaustive()
    }
}

/// Nobody: an optional layer let a request without a credential through.
#[derive(Clone)]
pub struct Anonymous {
    guard: Arc<Guard>,
    preflight: bool,
}

impl Anonymous {
    pub(crate) const fn new(guard: Arc<Guard>, preflight: bool) -> Self {
        Self { guard, preflight }
    }

    /// Returns whether this is a CORS preflight, which
    /// [`allow_preflight`](crate::AuthLayer::allow_preflight) let through.
    pub const fn is_preflight(&self) -> bool {
        self.preflight
    }

    pub(crate) const fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }
}

impl fmt::Debug for Anonymous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anonymous").field("preflight", &self.preflight).finish_non_exhaustive()
    }
}

/// The facts of a built principal.
struct Facts {
    subject: String,
    scheme: String,
    issuer: Option<String>,
    scopes: Scopes,
    expires_at: Option<SystemTime>,
    credential_id: Option<String>,
    acr: Option<String>,
    auth_time: Option<SystemTime>,
    details: Option<Box<dyn Any + Send + Sync>>,
}

impl Identity for Facts {
    fn subject(&self) -> &str {
        &self.subject
    }

    fn scheme(&self) -> &str {
        &self.scheme
    }

    fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    fn credential_id(&self) -> Option<&str> {
        self.credential_id.as_deref()
    }

    fn details(&self) -> Option<&(dyn Any + Send + Sync)> {
        self.details.as_deref()
    }

    fn acr(&self) -> Option<&str> {
        self.acr.as_deref()
    }

    fn auth_time(&self) -> Option<SystemTime> {
        self.auth_time
    }
}
