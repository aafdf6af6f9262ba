//! The response of a service that is reached over TLS alone.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::header::STRICT_TRANSPORT_SECURITY;
use http::{HeaderMap, HeaderValue, Response};
use pin_project_lite::pin_project;

pin_project! {
    /// The response of a [`RequireHttpsService`](crate::https::RequireHttpsService).
    #[derive(Debug)]
    pub struct RequireHttpsFuture<F, R> {
        #[pin]
        state: State<F, R>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F, R> {
        Forwarding { #[pin] response: F, security: Security },
        Refused { response: Option<R> },
    }
}

/// Over what the request came, as far as its answer speaks of it.
#[derive(Debug)]
pub(super) enum Security {
    /// TLS: this is what browsers are told, if anything.
    Secure(Option<HeaderValue>),
    /// Anything else: browsers are told nothing, since they must not listen (RFC 6797, section 7.2).
    Insecure,
}

impl Security {
    /// Makes the answer say it, whatever the inner service said.
    fn tell(&mut self, headers: &mut HeaderMap) {
        match self {
            Self::Secure(None) => {}
            Self::Secure(hsts) => {
                if let Some(hsts) = hsts.take() {
                    headers.insert(STRICT_TRANSPORT_SECURITY, hsts);
                }
            }
            Self::Insecure => {
                headers.remove(STRICT_TRANSPORT_SECURITY);
            }
        }
    }
}

impl<F, B> RequireHttpsFuture<F, Response<B>> {
    pub(super) const fn forward(response: F, security: Security) -> Self {
        Self { state: State::Forwarding { response, security } }
    }

    /// Answers at once.
    pub(super) fn refused(mut response: Response<B>, mut security: Security) -> Self {
        security.tell(response.headers_mut());
        Self { state: State::Refused { response: Some(response) } }
    }
}

impl<F, E, B> Future for RequireHttpsFuture<F, Response<B>>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project().state.project() {
            StateProj::Forwarding { response, security } => {
                let mut response = ready!(response.poll(cx))?;
                security.tell(response.headers_mut());
                Poll::Ready(Ok(response))
            }
            // A future that is polled after it was ready has nothing left to give.
            StateProj::Refused { response } => response.take().map_or(Poll::Pending, |it| Poll::Ready(Ok(it))),
        }
    }
}
