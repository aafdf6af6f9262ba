//! What the layers share that stand inside an [`AuthLayer`](crate::AuthLayer) and judge its principal.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use pin_project_lite::pin_project;

use super::responder::is_grpc;
use crate::{Anonymous, Principal, Rejection, events};

/// Judges the principal of a request, and answers the request if it may not pass. Nobody is asked for a credential.
pub(crate) fn judged<ReqB, ResB: Default + 'static>(
    request: &Request<ReqB>,
    rule: impl FnOnce(&Principal) -> Result<(), Rejection>,
) -> Result<(), Response<ResB>> {
    let extensions = request.extensions();
    let anonymous = extensions.get::<Anonymous>();
    let rejection = match Principal::of(extensions) {
        Ok(principal) => match rule(principal) {
            Ok(()) => return Ok(()),
            Err(rejection) => {
                let rejection = rejection.presented_as(principal.auth_scheme());
                match principal.credential_id() {
                    Some(id) => rejection.about(id),
                    None => rejection,
                }
            }
        },
        // The preflight of a request says nothing about who will send it.
        Err(_) if anonymous.is_some_and(Anonymous::is_preflight) => return Ok(()),
        Err(rejection) => rejection,
    };
    let guard = extensions.get::<Principal>().and_then(Principal::guard).or_else(|| anonymous.map(Anonymous::guard));
    if let Some(guard) = guard
        && guard.is_report_only()
    {
        events::refused(guard.log(), &rejection, true);
        return Ok(());
    }
    Err(rejection.into_response_under(guard.map(Arc::as_ref), is_grpc(request.method(), request.headers())))
}

pin_project! {
    /// The response of a service that judges principals, such as a [`RequireScopesService`](crate::auth::RequireScopesService).
    #[project = FutureProj]
    #[derive(Debug)]
    #[allow(missing_docs, reason = "the fields are private in all but name")]
    pub enum JudgedFuture<F, R> {
        #[doc(hidden)]
        Forwarding { #[pin] response: F },
        #[doc(hidden)]
        Refused { response: Option<R> },
    }
}

impl<F, R, E> Future for JudgedFuture<F, R>
where
    F: Future<Output = Result<R, E>>,
{
    type Output = Result<R, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            FutureProj::Forwarding { response } => response.poll(cx),
            // A future that is polled after it was ready has nothing left to give.
            FutureProj::Refused { response } => response.take().map_or(Poll::Pending, |it| Poll::Ready(Ok(it))),
        }
    }
}
