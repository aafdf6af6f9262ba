//! The layer: how it knows, what it refuses, and what it lets through all the same.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use http::request::Parts;
use http::{Extensions, HeaderValue, Uri};
use tower_layer::Layer;

use super::alarm::{Alarm, FindOut, REVOCATIONS_PER_MINUTE, Tell, Watch, Watched};
use super::hosts::Hosts;
use super::{Exposed, Hsts, RequireHttpsService};
use crate::events::{REFUSALS_PER_SECOND, RefusalLog};
use crate::origin::Rules;
use crate::{AuthLayer, ConfigError, Principal, Problem, Scheme, TrustedProxies};

/// The ready-made paths of health checks: those of Kubernetes, and the methods of the gRPC health service.
const HEALTH: [&str; 5] =
    ["/healthz", "/livez", "/readyz", "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"];
/// Below which the tokens of an ACME server stand (RFC 8555, section 8.3).
const ACME_CHALLENGE: &str = "/.well-known/acme-challenge/";

/// Refuses every request that did not come over TLS, with 403, whatever it carries. It stands outside all other layers.
///
/// As it is made, it knows of no way to tell that a request came over TLS, so it refuses all of them until a setting says
/// how: [`behind`](Self::behind) proxies, by a [`tls_marker`](Self::tls_marker), or [`mark_secure`](crate::mark_secure)
/// around the service. The [module](super) has examples, and the log says which setting is missing.
///
/// Answers to secure requests carry `Strict-Transport-Security` ([`Hsts`]), unless [`no_hsts`](Self::no_hsts) says
/// otherwise.
pub struct RequireHttps<R = Problem> {
    settings: Arc<Settings>,
    responder: R,
    // One for all services that the layer makes, clones of the layer included.
    shared: Arc<Shared>,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) origin: Rules,
    pub(super) hsts: Option<HeaderValue>,
    pub(super) redirect: Option<Hosts>,
    pub(super) hosts: Option<Hosts>,
    exempt: Vec<Exempt>,
    watched: Vec<Arc<dyn Watched>>,
    on_exposed: Option<Arc<Tell>>,
    revocations_per_minute: u32,
}

/// Paths that are let through.
#[derive(Clone, Debug)]
enum Exempt {
    Path(String),
    AcmeChallenge,
}

pub(super) struct Shared {
    pub(super) log: RefusalLog,
    /// Whether it was said how the address of a peer gets known, and which one is not on the list.
    pub(super) peer_explained: AtomicBool,
    pub(super) proxy_explained: AtomicBool,
    alarm: Arc<Alarm>,
}

impl RequireHttps {
    /// Refuses whatever is not known to be secure.
    pub fn new() -> Self {
        let settings = Settings {
            origin: Rules::default(),
            hsts: Hsts::default().to_header().ok(),
            redirect: None,
            hosts: None,
            exempt: Vec::new(),
            watched: Vec::new(),
            on_exposed: None,
            revocations_per_minute: REVOCATIONS_PER_MINUTE,
        };
        let shared = Shared {
            log: RefusalLog::new(REFUSALS_PER_SECOND),
            peer_explained: AtomicBool::new(false),
            proxy_explained: AtomicBool::new(false),
            alarm: Arc::new(Alarm::new()),
        };
        Self { settings: Arc::new(settings), responder: Problem, shared: Arc::new(shared) }
    }
}

impl<R> RequireHttps<R> {
    /// Believes what some proxies say of the client's connection, in the place of any that were named before. Nobody is
    /// believed by default.
    ///
    /// The address of the peer has to be known, by [`peer_from`](Self::peer_from) or [`peer`](Self::peer).
    #[must_use]
    pub fn behind(self, proxies: TrustedProxies) -> Self {
        self.with(|settings| settings.origin.set_proxies(proxies))
    }

    /// Finds the address of the peer in the extensions of a request, as a type that a server puts there, such as axum's
    /// `ConnectInfo<SocketAddr>`: serve `app.into_make_service_with_connect_info::<SocketAddr>()`.
    #[must_use]
    pub fn peer_from<T: Deref<Target = SocketAddr> + Send + Sync + 'static>(self) -> Self {
        self.peer(|extensions| extensions.get::<T>().map(|peer| **peer))
    }

    /// Finds the address of the peer in the extensions of a request in a way of one's own. With tonic:
    /// `|extensions| extensions.get::<TcpConnectInfo>()?.remote_addr()`.
    #[must_use]
    pub fn peer(self, find: impl Fn(&Extensions) -> Option<SocketAddr> + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.origin.set_peer(find))
    }

    /// Takes a request for secure if its extensions have a value of a type that a server puts there after the handshake:
    /// `Arc<axum_server::tls::TlsInfo>`, or tonic's `TlsConnectInfo<TcpConnectInfo>`. Several types may be named.
    ///
    /// A request without one is [`Unknown`](crate::Transport::Unknown), since the type may be the wrong one:
    /// [`mark_plain`](crate::mark_plain) is what says that a connection is plain.
    ///
    /// # Security
    ///
    /// A type that connections without TLS leave behind as well makes all of them secure: axum's `ConnectInfo` and tonic's
    /// `TcpConnectInfo` are such types.
    #[must_use]
    pub fn tls_marker<T: Send + Sync + 'static>(self) -> Self {
        self.with(|settings| settings.origin.add_tls_marker::<T>())
    }

    /// Lets a path through, over whatever it comes: for health checks. A request for any other path is refused as before.
    ///
    /// The path has to be the same, letter by letter: `/healthz/`, `//healthz` and `/healthz;x` are other paths, and so is
    /// `/health%7A`, which routers tell from `/healthz`, too. It is the one that the outermost layer of this kind sees. In a
    /// router that is nested in another one that is the rest of the path, unless
    /// [`original_uri_from`](Self::original_uri_from) says where the whole of it is.
    ///
    /// No credential is accepted on the way around: a layer of this crate further in refuses one that comes with such a
    /// request. `Authorization` is taken out of it besides, and so is what a [watched](Self::watch) layer reads.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ExemptPath`] for a text that does not start with `/`, or has something in it that would have to be
    /// encoded or means the same as another path: `%`, `?`, `#`, `//`, `/../`.
    pub fn exempt(self, path: &str) -> Result<Self, ConfigError> {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte);
        let is_segment = |segment: &str| !matches!(segment, "." | "..");
        let inner = path.strip_prefix('/').filter(|inner| !inner.starts_with('/') && !inner.contains("//"));
        if !inner.is_some_and(|inner| inner.bytes().all(is_letter) && inner.split('/').all(is_segment)) {
            return Err(ConfigError::ExemptPath { given: path.to_owned() });
        }
        Ok(self.with(|settings| settings.exempt.push(Exempt::Path(path.to_owned()))))
    }

    /// Finds the target of a request in its extensions, as a type that a router puts there which changes the target, such as
    /// axum's `OriginalUri`.
    #[must_use]
    pub fn original_uri_from<T: Deref<Target = Uri> + Send + Sync + 'static>(self) -> Self {
        self.with(|settings| settings.origin.set_uri::<T>())
    }

    /// Lets the usual health checks through, as [`exempt`](Self::exempt) does: `/healthz`, `/livez`, `/readyz`, and the gRPC health service.
    #[must_use]
    pub fn exempt_health(self) -> Self {
        self.with(|settings| settings.exempt.extend(HEALTH.map(|path| Exempt::Path(path.to_owned()))))
    }

    /// Lets the challenges of an ACME server through, which come over port 80: `/.well-known/acme-challenge/<token>`, where
    /// a token is letters and digits of base64url (RFC 8555, section 8.3).
    #[must_use]
    pub fn exempt_acme_challenge(self) -> Self {
        self.with(|settings| settings.exempt.push(Exempt::AcmeChallenge))
    }

    /// Redirects browsers instead of refusing them: a GET or HEAD over a transport that is *proven* to be plain, for one of
    /// some hosts, is answered 308 with the same path and query over `https`. Everything else is refused as before.
    ///
    /// A host is given with the port of its HTTPS server if that is not 443: `app.example.com:8443`. The request may name
    /// any port.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Host`], and [`ConfigError::HostsEmpty`].
    ///
    /// # Security
    ///
    /// An API does better without it. A client that sends its credential to `http` gets its answer all the same, and nobody
    /// notices.
    pub fn redirect_to<T: AsRef<str>>(self, hosts: impl IntoIterator<Item = T>) -> Result<Self, ConfigError> {
        let hosts = Hosts::new(hosts)?;
        Ok(self.with(|settings| settings.redirect = Some(hosts)))
    }

    /// Refuses requests for other hosts than some, with 421 (RFC 9110, section 15.5.20): for servers inside a network that
    /// a page in a browser may be made to call by a name of its own (DNS rebinding). Ports make no difference. A path that is
    /// [exempt](Self::exempt) is let through for any host.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Host`], and [`ConfigError::HostsEmpty`].
    pub fn only_hosts<T: AsRef<str>>(self, hosts: impl IntoIterator<Item = T>) -> Result<Self, ConfigError> {
        let hosts = Hosts::new(hosts)?;
        Ok(self.with(|settings| settings.hosts = Some(hosts)))
    }

    /// Sets what `Strict-Transport-Security` says. Answers to secure requests have it once, whatever the inner service put
    /// there, and answers to others never (RFC 6797, section 7.2).
    ///
    /// # Errors
    ///
    /// [`ConfigError::HstsPreload`].
    pub fn hsts(self, hsts: Hsts) -> Result<Self, ConfigError> {
        let value = hsts.to_header()?;
        Ok(self.with(|settings| settings.hsts = Some(value)))
    }

    /// Leaves `Strict-Transport-Security` to the inner service, or to a proxy.
    #[must_use]
    pub fn no_hsts(self) -> Self {
        self.with(|settings| settings.hsts = None)
    }

    /// Looks for the credential of a layer further in, in every request that is proven to have come over plain HTTP, and
    /// reports a good one. Several layers may be watched. See [`exposure`](super::exposure) for what that takes and means.
    #[must_use]
    pub fn watch<C: Scheme, Q>(self, guard: &AuthLayer<C, Q>) -> Self {
        let watched = Arc::new(Watch::new(guard.shared_scheme()));
        self.with(|settings| settings.watched.push(watched))
    }

    /// Is told of each good credential that came over plain HTTP, and of what was done about it: to tell its owner, say. It is
    /// called on a task of its own, and must not block.
    #[must_use]
    pub fn on_exposed(self, tell: impl Fn(&Principal, Exposed) + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.on_exposed = Some(Arc::new(tell)))
    }

    /// Sets how many exposed credentials are revoked in a minute, 10 by default. One more, and revoking stops until the
    /// process is started again.
    #[must_use]
    pub fn revocations_per_minute(self, revocations: u32) -> Self {
        self.with(|settings| settings.revocations_per_minute = revocations)
    }

    /// Answers refusals in another way; see [`Responder`](crate::Responder). It is shown a head without anything in it, so
    /// that the answer is the same for all requests.
    pub fn responder<Q>(self, responder: Q) -> RequireHttps<Q> {
        RequireHttps { settings: self.settings, responder, shared: self.shared }
    }

    /// Checks the settings together, when the server starts. Without this call, the log says it with the first refusal.
    ///
    /// # Errors
    ///
    /// [`ConfigError::PeerMissing`] if proxies are trusted by their address, and nothing says where it stands.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.settings.origin.lacks_peer() { Err(ConfigError::PeerMissing) } else { Ok(()) }
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl Settings {
    /// Returns whether a path is let through.
    pub(super) fn exempts(&self, path: &str) -> bool {
        let is_token = |token: &str| {
            !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        self.exempt.iter().any(|exempt| match exempt {
            Exempt::Path(known) => known == path,
            Exempt::AcmeChallenge => path.strip_prefix(ACME_CHALLENGE).is_some_and(is_token),
        })
    }

    /// Takes the credentials of watched layers out of a request, and returns what finds out about them.
    pub(super) fn take(&self, head: &mut Parts) -> Vec<FindOut> {
        self.watched.iter().filter_map(|watched| watched.take(head)).collect()
    }

    /// Finds out about the credentials of a request, once it is answered.
    pub(super) fn report(
        self: &Arc<Self>,
        shared: &Shared,
        find_out: impl FnOnce(&Self) -> Vec<FindOut> + Send + 'static,
    ) {
        if !self.watched.is_empty() {
            let settings = Arc::clone(self);
            let find_out = move || find_out(&settings);
            shared.alarm.ring(find_out, self.on_exposed.clone(), self.revocations_per_minute);
        }
    }
}

impl Default for RequireHttps {
    fn default() -> Self {
        Self::new()
    }
}

impl<S, R: Clone> Layer<S> for RequireHttps<R> {
    type Service = RequireHttpsService<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { settings, responder, shared } = self;
        RequireHttpsService::new(inner, Arc::clone(settings), responder.clone(), Arc::clone(shared))
    }
}

// By hand: what is shared need not be `Clone`.
impl<R: Clone> Clone for RequireHttps<R> {
    fn clone(&self) -> Self {
        let Self { settings, responder, shared } = self;
        Self { settings: Arc::clone(settings), responder: responder.clone(), shared: Arc::clone(shared) }
    }
}

impl<R> fmt::Debug for RequireHttps<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireHttps").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("origin", &self.origin)
            .field("hsts", &self.hsts)
            .field("redirect", &self.redirect)
            .field("hosts", &self.hosts)
            .field("exempt", &self.exempt)
            .field("watched", &self.watched.len())
            .finish_non_exhaustive()
    }
}
