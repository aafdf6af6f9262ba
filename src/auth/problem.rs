//! The default answer: problem details (RFC 9457) where the body can carry them.

use std::any::Any;
use std::sync::LazyLock;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Request, Response};
use http_body_util::combinators::{BoxBody, UnsyncBoxBody};
use http_body_util::{BodyExt, Full};

use super::responder::{Responder, render};
use crate::{Cause, Rejection, Scopes, web};

pub(crate) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Answers with `application/problem+json`.
///
/// ```json
/// {"type":"about:blank","title":"Unauthorized","status":401,"detail":"the credential is not valid","error":"invalid_token"}
/// ```
///
/// The text goes into the body types of axum (feature `axum`) and tonic (feature `tonic`), `Full<Bytes>`, `String`,
/// `Vec<u8>`, `Bytes`, and the boxed bodies of `http-body-util` over [`Bytes`]. Any other body type that is `Default`
/// stays empty, and the status and header fields say it all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Problem;

impl<B: Default + 'static> Responder<B> for Problem {
    fn respond(&self, rejection: &Rejection, _head: &Parts) -> Response<B> {
        match carry(&text(rejection.cause(), rejection.needed_scopes())) {
            Some(body) => {
                let mut response = Response::new(body);
                response.headers_mut().insert(CONTENT_TYPE, PROBLEM_JSON);
                response
            }
            None => Response::new(B::default()),
        }
    }

    fn empty(&self) -> B {
        B::default()
    }

    fn reads_head(&self) -> bool {
        false
    }

    fn problem(&self, text: &Bytes) -> Option<B> {
        carry(text)
    }
}

impl Rejection {
    /// Makes a response of the rejection, as [`Problem`] answers, and leaves the rejection in its extensions, for the
    /// layer outside to render in its own way and in the caller's protocol.
    pub fn into_response<B: Default + 'static>(self) -> Response<B> {
        self.into_response_under(None, false)
    }

    pub(crate) fn into_response_under<B>(self, guard: Option<&super::Guard>, grpc: bool) -> Response<B>
    where
        B: Default + 'static,
    {
        let (head, ()) = Request::new(()).into_parts();
        let mut response = render(&Problem, &self, &head, grpc, guard);
        response.extensions_mut().insert(self);
        response
    }
}

/// Returns the problem as text. Nothing in it needs escaping: the texts are fixed, and scope tokens have neither `"` nor
/// `\`. What depends on the cause alone is written once.
pub(crate) fn text(cause: Cause, scopes: &Scopes) -> Bytes {
    static FIXED: LazyLock<[Bytes; Cause::ALL.len()]> =
        LazyLock::new(|| Cause::ALL.map(|cause| Bytes::from(write(cause, &Scopes::none()))));
    match scopes.is_empty() {
        true => FIXED[cause as usize].clone(),
        false => Bytes::from(write(cause, scopes)),
    }
}

fn write(cause: Cause, scopes: &Scopes) -> String {
    let status = cause.status();
    let mut text = format!(
        r#"{{"type":"about:blank","title":"{}","status":{},"detail":"{}""#,
        status.canonical_reason().unwrap_or_default(),
        status.as_u16(),
        cause.text(),
    );
    if let Some(code) = cause.error_code() {
        text.extend([r#","error":""#, code, "\""]);
    }
    if !scopes.is_empty() {
        text.extend([r#","scope":""#, scopes.as_str(), "\""]);
    }
    text.push('}');
    text
}

/// Puts a text into a body, if it is of a type that can carry one. It is inlined, as what it calls, so that a type that
/// is known costs no questions.
#[inline]
fn carry<B: 'static>(bytes: &Bytes) -> Option<B> {
    let mut body: Option<B> = None;
    let slot: &mut dyn Any = &mut body;
    let _ = web::axum::carry(slot, bytes)
        || web::tonic::carry(slot, bytes)
        || fill(slot, || Full::new(bytes.clone()))
        || fill(slot, || bytes.clone())
        || fill(slot, || bytes.to_vec())
        || fill(slot, || String::from_utf8_lossy(bytes).into_owned())
        || boxed::<std::convert::Infallible>(slot, bytes)
        || boxed::<Box<dyn std::error::Error + Send + Sync>>(slot, bytes);
    body
}

/// Fills the slot of an `Option<T>`, if it is one.
#[inline]
pub(crate) fn fill<T: 'static>(slot: &mut dyn Any, make: impl FnOnce() -> T) -> bool {
    let Some(slot) = slot.downcast_mut::<Option<T>>() else { return false };
    *slot = Some(make());
    true
}

#[inline]
fn boxed<E: 'static>(slot: &mut dyn Any, bytes: &Bytes) -> bool {
    let body = || Full::new(bytes.clone()).map_err(|never| match never {});
    fill::<BoxBody<Bytes, E>>(slot, || body().boxed())
        || fill::<UnsyncBoxBody<Bytes, E>>(slot, || body().boxed_unsync())
}
