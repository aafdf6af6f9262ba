//! The service: which requests pass.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use http::header::{AUTHORIZATION, CACHE_CONTROL, LOCATION};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tower_service::Service;

use super::RequireHttpsFuture;
use super::future::Security;
use super::hosts::location;
use super::layer::{Settings, Shared};
use crate::auth::{NO_STORE, is_grpc, render};
use crate::{Cause, Origin, Problem, Rejection, Responder, Transport, events};

/// A service that is reached over TLS alone; [`RequireHttps`](crate::RequireHttps) makes it.
pub struct RequireHttpsService<S, R = Problem> {
    inner: S,
    settings: Arc<Settings>,
    responder: R,
    shared: Arc<Shared>,
}

impl<S, R> RequireHttpsService<S, R> {
    pub(super) const fn new(inner: S, settings: Arc<Settings>, responder: R, shared: Arc<Shared>) -> Self {
        Self { inner, settings, responder, shared }
    }

    /// Returns the inner service.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// Judges a request by how it came in.
    fn judge(&self, origin: &Origin) -> Passage {
        match origin.transport() {
            _ if self.settings.exempts(origin.uri().path()) => Passage::Exempt,
            Transport::Secure => match &self.settings.hosts {
                Some(hosts) if hosts.find(origin.host()).is_none() => Passage::OtherHost,
                _ => Passage::Secure,
            },
            Transport::Plain | Transport::Unknown => Passage::Insecure,
        }
    }

    /// Returns where to redirect a request, if it is one of those that are.
    fn redirection(&self, origin: &Origin, method: &Method) -> Option<HeaderValue> {
        let redirects = origin.transport() == Transport::Plain && matches!(*method, Method::GET | Method::HEAD);
        let hosts = self.settings.redirect.as_ref().filter(|_| redirects)?;
        location(hosts.find(origin.host())?, origin.uri().path_and_query())
    }

    /// Answers a request that does not pass. Nothing of it but its protocol is looked at.
    fn refuse<B>(&self, rejection: &Rejection, grpc: bool) -> Response<B>
    where
        R: Responder<B>,
    {
        events::refused(&self.shared.log, rejection, false);
        if rejection.reason() == "peer_unknown" && !self.shared.peer_explained.swap(true, Ordering::Relaxed) {
            events::peer_unknown();
        }
        let (empty, ()) = Request::new(()).into_parts();
        render(&self.responder, rejection, &empty, grpc, None)
    }

    fn redirect<B>(&self, location: HeaderValue) -> Response<B>
    where
        R: Responder<B>,
    {
        let mut response = Response::new(self.responder.empty());
        *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
        response.headers_mut().insert(LOCATION, location);
        response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
        response
    }

    /// Takes credentials out of a request that passes without being secure, and reports those that are exposed.
    fn disarm(&self, origin: &Origin, head: &mut Parts) {
        let credentials = self.settings.take(head);
        head.headers.remove(AUTHORIZATION);
        if origin.transport() == Transport::Plain && !credentials.is_empty() {
            self.settings.report(&self.shared, move |_| credentials);
        }
    }
}

/// How a request passes, or why not.
enum Passage {
    Secure,
    Exempt,
    OtherHost,
    Insecure,
}

impl<S, R, ReqB, ResB> Service<Request<ReqB>> for RequireHttpsService<S, R>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
    R: Responder<ResB>,
{
    type Response = Response<ResB>;
    type Error = S::Error;
    type Future = RequireHttpsFuture<S::Future, Response<ResB>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        // What a layer further out has found out holds.
        let known = head.extensions.remove::<Origin>();
        let origin = known.unwrap_or_else(|| self.settings.origin.find(&head));
        let grpc = is_grpc(&head.method, &head.headers);
        let security = match self.judge(&origin) {
            Passage::Secure => Security::Secure(self.settings.hsts.clone()),
            Passage::Exempt if origin.transport() == Transport::Secure => Security::Secure(self.settings.hsts.clone()),
            Passage::Exempt => {
                self.disarm(&origin, &mut head);
                Security::Insecure
            }
            Passage::OtherHost => {
                let rejection = Rejection::new(Cause::Misdirected, "host_unknown");
                let security = Security::Secure(self.settings.hsts.clone());
                return RequireHttpsFuture::refused(self.refuse(&rejection, grpc), security);
            }
            Passage::Insecure => {
                let response = match self.redirection(&origin, &head.method) {
                    Some(location) => self.redirect(location),
                    None => self.refuse(&Rejection::new(Cause::Insecure, origin.reason()), grpc),
                };
                if origin.transport() == Transport::Plain {
                    self.settings.report(&self.shared, move |settings| settings.take(&mut head));
                }
                return RequireHttpsFuture::refused(response, Security::Insecure);
            }
        };
        head.extensions.insert(origin);
        RequireHttpsFuture::forward(self.inner.call(Request::from_parts(head, body)), security)
    }
}

// By hand: what is shared need not be `Clone`.
impl<S: Clone, R: Clone> Clone for RequireHttpsService<S, R> {
    fn clone(&self) -> Self {
        let Self { inner, settings, responder, shared } = self;
        Self::new(inner.clone(), Arc::clone(settings), responder.clone(), Arc::clone(shared))
    }
}

impl<S: fmt::Debug, R> fmt::Debug for RequireHttpsService<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inner, settings, .. } = self;
        f.debug_struct("RequireHttpsService").field("inner", inner).field("settings", settings).finish_non_exhaustive()
    }
}
