//! The response of a service with limits.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;

use super::fields::Fields;
use crate::auth::JudgedFuture;

pin_project! {
    /// The response of a [`KeyLimitsService`](super::KeyLimitsService), which says what is left of the limit.
    #[derive(Debug)]
    pub struct LimitedFuture<F, R> {
        #[pin]
        inner: JudgedFuture<F, R>,
        fields: Option<Fields>,
    }
}

impl<F, R> LimitedFuture<F, R> {
    pub(super) const fn new(inner: JudgedFuture<F, R>, fields: Option<Fields>) -> Self {
        Self { inner, fields }
    }
}

impl<F, B, E> Future for LimitedFuture<F, Response<B>>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        if let Some(fields) = this.fields.take() {
            fields.append_to(response.headers_mut());
        }
        Poll::Ready(Ok(response))
    }
}
