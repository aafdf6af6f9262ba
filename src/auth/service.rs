//! The service that every scheme shares.
//!
//! Where the verdict is known at once, the very service that was polled ready is called, and nothing is cloned or
//! boxed. Where it is not, a clone of the inner service is taken and made ready *after* the verdict, and the service
//! that was polled ready makes way for another clone, so that it gives back what it has reserved. A hanging
//! verification of junk then holds no permit of a `ConcurrencyLimit` or `Buffer` further in, and a caller that keeps
//! its service, over a limit of one, does not wait for the permit that it holds itself.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::request::Parts;
use http::{Method, Request, Response};
use tower_service::Service;

use super::future::{ResponseFuture, Waiting};
use super::kept::Kept;
use super::layer::Gate;
use super::trail::Trail;
use super::{Admission, Problem, Responder, Scheme};
use crate::answer::BoxFuture;
use crate::{Answer, Cause, Origin, Rejection, Transport};

/// A guarded service; [`AuthLayer`](crate::AuthLayer) makes it.
pub struct Auth<S, C, R = Problem> {
    inner: S,
    gate: Arc<Gate<C, R>>,
}

impl<S, C, R> Auth<S, C, R> {
    pub(crate) fn new(inner: S, gate: Gate<C, R>) -> Self {
        Self { inner, gate: Arc::new(gate) }
    }

    /// Returns the inner service.
    pub const fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S, C, R, ReqB, ResB> Service<Request<ReqB>> for Auth<S, C, R>
where
    S: Service<Request<ReqB>, Response = Response<ResB>> + Clone,
    C: Scheme,
    R: Responder<ResB>,
{
    type Response = Response<ResB>;
    type Error = S::Error;
    type Future = ResponseFuture<S, C, R, ReqB>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let kept = self.gate.settings.keeps().then(|| Kept::of(&head));
        let verdict = match self.gate.examine(&mut head) {
            Examined::Now(verdict) => verdict,
            Examined::Later(verdict) => {
                let service = self.inner.clone();
                self.inner = service.clone();
                let gate = Arc::clone(&self.gate);
                return ResponseFuture::wait(Waiting { gate, verdict, service, head, body, kept });
            }
        };
        match Trail::lay(&self.gate, verdict, &mut head, kept) {
            Ok(trail) => ResponseFuture::forward(self.inner.call(Request::from_parts(head, body)), trail),
            Err(response) => ResponseFuture::refused(response),
        }
    }
}

/// A verdict on a request: a principal, nobody, or a refusal.
pub(crate) type Verdict = Result<Pass, Rejection>;

/// How a request passes.
pub(crate) enum Pass {
    /// With a good credential.
    Admitted(Admission),
    /// Without a credential, as an optional layer allows.
    Anonymous,
    /// Without a credential, as a CORS preflight.
    Preflight,
}

/// A verdict that is known now, or one on a credential that comes later.
enum Examined {
    Now(Verdict),
    Later(BoxFuture<Result<Admission, Rejection>>),
}

impl<C: Scheme, R> Gate<C, R> {
    fn examine(&self, head: &mut Parts) -> Examined {
        let taken = self.scheme.take(head);
        let leftover = match self.scheme.leaves_none() {
            true => Ok(()),
            false => self.guard.leftover(head, matches!(taken, Ok(Some(_)))),
        };
        match (taken, leftover) {
            (Err(rejection), _) | (Ok(_), Err(rejection)) => Examined::Now(Err(rejection)),
            (Ok(None), Ok(())) => Examined::Now(self.without_credential(head)),
            (Ok(Some(credential)), Ok(())) => {
                if let Some(throttle) = &self.throttle
                    && let Some(rejection) = throttle.refusal(&head.extensions)
                {
                    return Examined::Now(self.recall(credential, head, rejection));
                }
                match secure(head).map(|()| self.scheme.verify(credential)) {
                    Ok(Answer::Now(verdict)) => Examined::Now(verdict.map(Pass::Admitted)),
                    Ok(Answer::Later(verdict)) => Examined::Later(verdict),
                    Err(rejection) => Examined::Now(Err(rejection)),
                }
            }
        }
    }

    /// Lets a client in that has failed too often, if memory proves its credential good.
    #[cold]
    fn recall(&self, credential: C::Credential, head: &Parts, rejection: Rejection) -> Verdict {
        secure(head)?;
        self.scheme.recall(credential).map(Pass::Admitted).ok_or(rejection)
    }

    fn without_credential(&self, head: &Parts) -> Verdict {
        if self.settings.allow_preflight && is_preflight(head) {
            Ok(Pass::Preflight)
        } else if self.settings.optional {
            Ok(Pass::Anonymous)
        } else {
            Err(Rejection::missing())
        }
    }
}

/// Refuses a credential that came with a request of which a layer further out knows that it did not come over TLS, and let it
/// through all the same: on a path that is exempt.
fn secure(head: &Parts) -> Result<(), Rejection> {
    match head.extensions.get::<Origin>() {
        Some(origin) if origin.transport() != Transport::Secure => {
            Err(Rejection::new(Cause::Insecure, origin.reason()))
        }
        _ => Ok(()),
    }
}

fn is_preflight(head: &Parts) -> bool {
    head.method == Method::OPTIONS
        && head.headers.contains_key(ORIGIN)
        && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

// By hand: what is shared need not be `Clone`.
impl<S: Clone, C, R> Clone for Auth<S, C, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), gate: Arc::clone(&self.gate) }
    }
}

impl<S: fmt::Debug, C, R> fmt::Debug for Auth<S, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("inner", &self.inner).field("guard", &self.gate.guard).finish_non_exhaustive()
    }
}
