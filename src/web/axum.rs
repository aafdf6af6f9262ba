//! Extractors for axum, on axum-core alone.

use std::any::Any;
use std::sync::Arc;

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;

use crate::auth::Guard;
use crate::{Anonymous, Cause, Principal, Rejection};

/// Extracts who sent the request. Nobody, behind an optional layer, is refused with 401.
///
/// On a route without a layer the answer is 500, and the log says so: a missing layer never reads as an anonymous
/// caller.
impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = Refusal;

    async fn from_request_parts(head: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        Self::of(&head.extensions).cloned().map_err(|rejection| Refusal::new(rejection, head))
    }
}

/// Extracts who sent the request, or `None` for nobody, behind an optional layer.
///
/// On a route without a layer the answer is 500, and the log says so.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Principal {
    type Rejection = Refusal;

    async fn from_request_parts(head: &mut Parts, _state: &S) -> Result<Option<Self>, Refusal> {
        match Self::of(&head.extensions) {
            Ok(principal) => Ok(Some(principal.clone())),
            Err(rejection) if rejection.cause() == Cause::Missing => Ok(None),
            Err(rejection) => Err(Refusal::new(rejection, head)),
        }
    }
}

/// Extracts the claims of the token. A principal that came without one, by an API key say, is refused with 403; claims
/// that were read as another type are 500.
#[cfg(feature = "bearer")]
impl<T, S> FromRequestParts<S> for crate::Claims<T>
where
    T: Any + Clone + Send + Sync,
    S: Send + Sync,
{
    type Rejection = Refusal;

    async fn from_request_parts(head: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        match Self::of(&head.extensions) {
            Ok(claims) => Ok(Self(claims.clone())),
            Err(rejection) => Err(Refusal::new(rejection, head)),
        }
    }
}

/// Extracts the claims of the token, or `None` for nobody and for a principal that came without a token.
#[cfg(feature = "bearer")]
impl<T, S> OptionalFromRequestParts<S> for crate::Claims<T>
where
    T: Any + Clone + Send + Sync,
    S: Send + Sync,
{
    type Rejection = Refusal;

    async fn from_request_parts(head: &mut Parts, _state: &S) -> Result<Option<Self>, Refusal> {
        match Self::of(&head.extensions) {
            Ok(claims) => Ok(Some(Self(claims.clone()))),
            Err(rejection) if matches!(rejection.cause(), Cause::Missing | Cause::Forbidden) => Ok(None),
            Err(rejection) => Err(Refusal::new(rejection, head)),
        }
    }
}

/// A refusal by an extractor of this crate. The layer outside renders it in its own way.
#[derive(Debug)]
pub struct Refusal {
    rejection: Rejection,
    guard: Option<Arc<Guard>>,
}

impl Refusal {
    fn new(rejection: Rejection, head: &Parts) -> Self {
        let guard = head.extensions.get::<Anonymous>().map(Anonymous::guard);
        Self { rejection, guard: guard.cloned() }
    }

    /// Returns what is refused and why.
    pub const fn rejection(&self) -> &Rejection {
        &self.rejection
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.rejection.into_response_under(self.guard.as_deref(), false)
    }
}

/// A handler may refuse by returning a rejection.
impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        self.into_response_under(None, false)
    }
}

#[inline]
pub(crate) fn carry(slot: &mut dyn Any, bytes: &Bytes) -> bool {
    crate::auth::fill(slot, || Body::from(bytes.clone()))
}
