//! The service: which requests pass.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
use crate::origin::Head;
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
        let Settings { hosts, .. } = &*self.settings;
        let exempt = self.settings.exempts(origin.uri().path());
        match origin.transport() {
            Transport::Secure if exempt => Passage::Secure,
            Transport::Secure if hosts.as_ref().is_some_and(|hosts| hosts.find(origin.host()).is_none()) => {
                Passage::Refused(Cause::Misdirected)
            }
            Transport::Secure => Passage::Secure,
            transport if exempt => Passage::Disarmed(transport),
            _ => Passage::Refused(Cause::Insecure),
        }
    }

    /// Answers a request that does not pass, and finds out about its credentials when that is done.
    fn refuse<F, ReqB, ResB>(&self, cause: Cause, request: Request<ReqB>) -> RequireHttpsFuture<F, Response<ResB>>
    where
        R: Responder<ResB>,
    {
        let (mut head, _) = request.into_parts();
        let Some(origin) = head.extensions.remove::<Origin>() else {
            return RequireHttpsFuture::refused(self.answer(&Rejection::insecure(), &head), Security::Insecure);
        };
        if cause == Cause::Misdirected {
            let response = self.answer(&Rejection::new(cause, "host_unknown"), &head);
            return RequireHttpsFuture::refused(response, Security::Secure(self.settings.hsts.clone()));
        }
        self.explain(&origin);
        let response = match self.redirection(&origin, &head.method) {
            Some(location) => self.redirect(location),
            None => self.answer(&Rejection::new(cause, origin.reason()), &head),
        };
        if origin.transport() == Transport::Plain {
            self.settings.report(&self.shared, move |settings| settings.take(&mut head));
        }
        RequireHttpsFuture::refused(response, Security::Insecure)
    }

    /// Tells the log once what is missing in the settings, where that may be so.
    fn explain(&self, origin: &Origin) {
        let once = |explained: &AtomicBool| !explained.swap(true, Ordering::Relaxed);
        match origin.reason() {
            "peer_unknown" if once(&self.shared.peer_explained) => events::peer_unknown(),
            "proxy_untrusted" if once(&self.shared.proxy_explained) => events::proxy_untrusted(origin.peer()),
            _ => {}
        }
    }

    /// Writes a refusal. Nothing of the request but its protocol is looked at.
    fn answer<B>(&self, rejection: &Rejection, head: &Parts) -> Response<B>
    where
        R: Responder<B>,
    {
        events::refused(&self.shared.log, rejection, false);
        let (empty, ()) = Request::new(()).into_parts();
        render(&self.responder, rejection, &empty, is_grpc(&head.method, &head.headers), None)
    }

    /// Returns where to redirect a request, if it is one of those that are.
    fn redirection(&self, origin: &Origin, method: &Method) -> Option<HeaderValue> {
        let redirects = origin.transport() == Transport::Plain && matches!(*method, Method::GET | Method::HEAD);
        let hosts = self.settings.redirect.as_ref().filter(|_| redirects)?;
        location(hosts.find(origin.host())?, origin.uri().path_and_query())
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
    fn disarm<B>(&self, transport: Transport, request: Request<B>) -> Request<B> {
        let (mut head, body) = request.into_parts();
        let credentials = self.settings.take(&mut head);
        head.headers.remove(AUTHORIZATION);
        if transport == Transport::Plain && !credentials.is_empty() {
            self.settings.report(&self.shared, move |_| credentials);
        }
        Request::from_parts(head, body)
    }
}

/// How a request passes, or why not.
enum Passage {
    Secure,
    /// On a path that is exempt, without its credentials.
    Disarmed(Transport),
    Refused(Cause),
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

    fn call(&mut self, mut request: Request<ReqB>) -> Self::Future {
        // What a layer further out has found out holds.
        let passage = match request.extensions().get::<Origin>() {
            Some(origin) => self.judge(origin),
            None => {
                let origin = self.settings.origin.find(&Head::of(&request));
                let passage = self.judge(&origin);
                request.extensions_mut().insert(origin);
                passage
            }
        };
        let security = match passage {
            Passage::Secure => Security::Secure(self.settings.hsts.clone()),
            Passage::Disarmed(transport) => {
                request = self.disarm(transport, request);
                Security::Insecure
            }
            Passage::Refused(cause) => return self.refuse(cause, request),
        };
        RequireHttpsFuture::forward(self.inner.call(request), security)
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
