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

pub(crate) fn carry(slot: &mut dyn Any, bytes: &Bytes) -> bool {
    crate::auth::fill(slot, || Body::from(bytes.clone()))
}
