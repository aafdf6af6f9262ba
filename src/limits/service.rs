//! The service: who is counted, and what is too much.

use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::fields::Fields;
use super::{KeyLimits, LimitedFuture};
use crate::auth::{JudgedFuture, judged};
use crate::{Anonymous, Principal};

/// A service whose callers have limits; [`KeyLimits`] makes it.
#[derive(Clone, Debug)]
pub struct KeyLimitsService<S> {
    inner: S,
    limits: KeyLimits,
}

impl<S> KeyLimitsService<S> {
    pub(super) const fn new(inner: S, limits: KeyLimits) -> Self {
        Self { inner, limits }
    }

    /// Returns the inner service.
    pub const fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S, ReqB, ResB> Service<Request<ReqB>> for KeyLimitsService<S>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
    ResB: Default + 'static,
{
    type Response = Response<ResB>;
    type Error = S::Error;
    type Future = LimitedFuture<S::Future, Response<ResB>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let extensions = request.extensions();
        let is_nobody = extensions.get::<Principal>().is_none() && extensions.get::<Anonymous>().is_some();
        let mut fields = None;
        let verdict = match is_nobody {
            true => Ok(()),
            false => judged(&request, |principal| {
                let Some(usage) = self.limits.count(principal) else { return Ok(()) };
                let told = Fields::new(self.limits.policy(), &usage);
                match usage.wait {
                    Some(wait) => Err(told.refuse(wait)),
                    None => {
                        fields = Some(told);
                        Ok(())
                    }
                }
            }),
        };
        let inner = match verdict {
            Ok(()) => JudgedFuture::Forwarding { response: self.inner.call(request) },
            Err(response) => JudgedFuture::Refused { response: Some(response) },
        };
        LimitedFuture::new(inner, fields)
    }
}
