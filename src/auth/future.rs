//! The future that all guarded services share.

use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::request::Parts;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::kept::Kept;
use super::layer::Gate;
use super::service::Pass;
use super::trail::Trail;
use super::{Admission, Responder, Scheme};
use crate::Rejection;
use crate::answer::BoxFuture;

pin_project! {
    /// The response of an [`Auth`](crate::Auth) service. Dropping it drops the request, the verification and the inner
    /// call, wherever they are.
    pub struct ResponseFuture<S, C, R, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, C, R, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, C, R, B>
    where
        S: Service<Request<B>>,
    {
        Refused { response: Option<S::Response> },
        Waiting { waiting: Option<Box<Waiting<S, C, R, B>>> },
        Calling { waited: Option<Box<Waiting<S, C, R, B>>>, trail: Option<Trail<C, R>> },
        Forwarding { #[pin] response: S::Future, trail: Trail<C, R> },
    }
}

/// A request whose verdict has to be waited for, beside the clone of the inner service that will get it. It stays in its
/// box until the service is ready, so that the future is small for those who wait for nothing.
pub(crate) struct Waiting<S, C, R, B> {
    pub(crate) gate: Arc<Gate<C, R>>,
    pub(crate) verdict: BoxFuture<Result<Admission, Rejection>>,
    pub(crate) service: S,
    pub(crate) head: Parts,
    pub(crate) body: B,
    pub(crate) kept: Option<Kept>,
}

impl<S, C, R, B> ResponseFuture<S, C, R, B>
where
    S: Service<Request<B>>,
{
    pub(crate) const fn refused(response: S::Response) -> Self {
        Self { state: State::Refused { response: Some(response) } }
    }

    pub(crate) fn wait(waiting: Waiting<S, C, R, B>) -> Self {
        Self { state: State::Waiting { waiting: Some(Box::new(waiting)) } }
    }

    pub(crate) const fn forward(response: S::Future, trail: Trail<C, R>) -> Self {
        Self { state: State::Forwarding { response, trail } }
    }
}

impl<S, C, R, ReqB, ResB> Future for ResponseFuture<S, C, R, ReqB>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
    C: Scheme,
    R: Responder<ResB>,
{
    type Output = Result<Response<ResB>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                // A future that is polled after it was ready has nothing left to give.
                StateProj::Refused { response } => {
                    return response.take().map_or(Poll::Pending, |it| Poll::Ready(Ok(it)));
                }
                StateProj::Waiting { waiting } => {
                    let Some(verdict) = waiting else { return Poll::Pending };
                    let verdict = ready!(verdict.verdict.as_mut().poll(cx));
                    let Some(mut waited) = waiting.take() else { return Poll::Pending };
                    // What verified gives back what it holds before the service is waited for.
                    waited.verdict = Box::pin(pending());
                    let Waiting { gate, head, kept, .. } = &mut *waited;
                    match Trail::lay(gate, verdict.map(Pass::Admitted), head, kept.take()) {
                        Ok(trail) => State::Calling { waited: Some(waited), trail: Some(trail) },
                        Err(response) => State::Refused { response: Some(response) },
                    }
                }
                StateProj::Calling { waited, trail } => {
                    let Some(waiting) = waited else { return Poll::Pending };
                    ready!(waiting.service.poll_ready(cx))?;
                    let (Some(waited), Some(trail)) = (waited.take(), trail.take()) else { return Poll::Pending };
                    let Waiting { mut service, head, body, .. } = *waited;
                    State::Forwarding { response: service.call(Request::from_parts(head, body)), trail }
                }
                StateProj::Forwarding { response, trail } => {
                    let response = ready!(response.poll(cx))?;
                    return Poll::Ready(Ok(trail.finish(response)));
                }
            };
            this.state.set(next);
        }
    }
}

impl<S, C, R, B> fmt::Debug for ResponseFuture<S, C, R, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture(..)")
    }
}
