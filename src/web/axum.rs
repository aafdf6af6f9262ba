//! Extractors for axum, on axum-core alone.

use std::any::Any;
use std::sync::Arc;

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;

use crate::auth::Guard;
use crate::{Anonymous, Principal, Rejection};

/// Extracts who sent the request. Nobody, behind an optional layer, is refused with 401.
///
/// On a route without a layer the answer is 500, and the log says so: a missing layer never reads as an anonymous
/// caller.
impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = Refusal;

    async fn from_request_parts(head: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        match caller(head)? {
            Ok(principal) => Ok(principal),
            Err(anonymous) => Err(Refusal::new(Rejection::missing(), Some(anonymous.guard()))),
        }
    }
}

/// Extracts who sent the request, or `None` for nobody, behind an optional layer.
///
/// On a route without a layer the answer is 500, and the log says so.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Principal {
    type Rejection = Refusal;

    async fn from_request_parts(head: &mut Parts, _state: &S) -> Result<Option<Self>, Refusal> {
        Ok(caller(head)?.ok())
    }
}

fn caller(head: &Parts) -> Result<Result<Principal, Anonymous>, Refusal> {
    if let Some(principal) = head.extensions.get::<Principal>() {
        return Ok(Ok(principal.clone()));
    }
    match head.extensions.get::<Anonymous>() {
        Some(anonymous) => Ok(Err(anonymous.clone())),
        None => Err(Refusal::no_layer()),
    }
}

/// A refusal by an extractor of this crate. The layer outside renders it in its own way.
#[derive(Debug)]
pub struct Refusal {
    rejection: Rejection,
    guard: Option<Arc<Guard>>,
}

impl Refusal {
    fn new(rejection: Rejection, guard: Option<&Arc<Guard>>) -> Self {
        Self { rejection, guard: guard.cloned() }
    }

    fn no_layer() -> Self {
        let rejection = crate::auth::no_layer();
        Self::new(rejection, None)
    }

    /// Returns what is refused and why.
    pub const fn rejection(&self) -> &Rejection {
        &self.rejection
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.rejection.into_response_under(self.guard.as_deref())
    }
}

/// A handler may refuse by returning a rejection.
impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        self.into_response_under(None)
    }
}

pub(crate) fn carry(slot: &mut dyn Any, bytes: &Bytes) -> bool {
    crate::auth::fill(slot, || Body::from(bytes.clone()))
}
