//! What a request leaves behind for its response.

use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, TRANSFER_ENCODING, VARY};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response};

use super::kept::Kept;
use super::layer::{Gate, Settings};
use super::responder::{Responder, is_grpc, render};
use super::service::{Pass, Verdict};
use crate::{Admission, Anonymous, Principal, Rejection, events};

/// Remembers, while the inner service works, how to finish or replace its response.
pub(crate) struct Trail<C, R> {
    gate: Arc<Gate<C, R>>,
    grpc: bool,
    cacheable: bool,
    anonymous: bool,
    field: Option<HeaderName>,
    headers: Vec<(HeaderName, HeaderValue)>,
    head: Option<Box<Parts>>,
}

impl<C, R> Trail<C, R> {
    /// Carries a verdict out on the head of the request: marks it and lets it pass, or answers in its place.
    pub(crate) fn lay<B>(
        gate: &Arc<Gate<C, R>>,
        verdict: Verdict,
        head: &mut Parts,
        kept: Option<Kept>,
    ) -> Result<Self, Response<B>>
    where
        R: Responder<B>,
    {
        let guard = &gate.guard;
        let pass = match verdict {
            Ok(pass) => pass,
            Err(mut rejection) => {
                if let Some(throttle) = &gate.throttle {
                    throttle.weigh(&mut rejection, &head.extensions);
                }
                if !guard.is_report_only() {
                    return Err(gate.refuse(&rejection, head, is_grpc(&head.method, &head.headers)));
                }
                events::refused(guard.log(), &rejection, true);
                Pass::Anonymous
            }
        };
        let mut trail = Self {
            gate: Arc::clone(gate),
            grpc: is_grpc(&head.method, &head.headers),
            cacheable: matches!(head.method, Method::GET | Method::HEAD),
            anonymous: false,
            field: None,
            headers: Vec::new(),
            head: None,
        };
        match pass {
            Pass::Admitted(Admission { principal, presented_as, field, headers }) => {
                let before = head.extensions.remove::<Principal>();
                head.extensions.remove::<Anonymous>();
                let principal = principal.admitted(Arc::clone(guard), presented_as, before);
                events::admitted(&principal);
                head.extensions.insert(principal);
                trail.field = field;
                trail.headers = headers;
            }
            Pass::Anonymous | Pass::Preflight => {
                let preflight = matches!(pass, Pass::Preflight);
                trail.anonymous = true;
                events::anonymous(preflight);
                head.extensions.insert(Anonymous::new(Arc::clone(guard), preflight));
            }
        }
        // A custom responder may want to see the request when a service further in refuses it. It never sees the
        // credential, so this comes before the credential is put back.
        if gate.responder.reads_head() {
            let (mut copy, ()) = Request::new(()).into_parts();
            copy.method = head.method.clone();
            copy.uri = head.uri.clone();
            copy.version = head.version;
            copy.headers = head.headers.clone();
            trail.head = Some(Box::new(copy));
        }
        if let Some(kept) = kept {
            kept.restore(head);
        }
        Ok(trail)
    }

    /// Finishes the response of the inner service, or renders the refusal that came out with it.
    pub(crate) fn finish<B>(&mut self, mut response: Response<B>) -> Response<B>
    where
        R: Responder<B>,
    {
        if let Some(rejection) = response.extensions_mut().remove::<Rejection>() {
            let head = self.head.take().map_or_else(|| Request::new(()).into_parts().0, |head| *head);
            response = replace(response, self.gate.refuse(&rejection, &head, self.grpc));
        }
        let headers = response.headers_mut();
        for (name, value) in self.headers.drain(..) {
            headers.insert(name, value);
        }
        if self.cacheable
            && let Some(field) = self.field.take()
        {
            // RFC 9111, section 3.5, protects `Authorization` alone: a shared cache would store this response.
            headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("private"));
            headers.append(VARY, HeaderValue::from(field));
        }
        if self.cacheable
            && self.anonymous
            && let Some(vary) = self.gate.guard.vary()
        {
            headers.append(VARY, vary.clone());
        }
        response
    }
}

impl<C, R> Gate<C, R> {
    /// Logs and answers a refusal.
    fn refuse<B>(&self, rejection: &Rejection, head: &Parts, grpc: bool) -> Response<B>
    where
        R: Responder<B>,
    {
        events::refused(self.guard.log(), rejection, false);
        render(&self.responder, rejection, head, grpc, Some(&self.guard))
    }
}

/// Puts a rendered refusal in the place of the response that carried it. What services in between added stays: CORS
/// fields, request ids, extensions.
fn replace<B>(carrier: Response<B>, mut refusal: Response<B>) -> Response<B> {
    let (carrier, _) = carrier.into_parts();
    let headers = refusal.headers_mut();
    for name in carrier.headers.keys() {
        if SPEAKS_OF_BODY.contains(name) || headers.contains_key(name) {
            continue;
        }
        for value in carrier.headers.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    *refusal.extensions_mut() = carrier.extensions;
    refusal
}

/// The fields that speak of a body that is replaced.
const SPEAKS_OF_BODY: [HeaderName; 5] = [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING, TRANSFER_ENCODING, ETAG];

impl Settings {
    /// Returns whether the head has to be remembered as it came.
    pub(crate) const fn keeps(self) -> bool {
        self.keep_credential || self.report_only
    }
}
