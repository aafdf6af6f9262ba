//! How a request came in: from whom, over what, and for whom it was meant.
//!
//! An [`Origin`] is found out once, by the outermost layer that needs it, and stands in the extensions of the request from
//! then on. [`RequireHttps`](crate::RequireHttps) is that layer, and has the settings.
//!
//! # What counts as secure
//!
//! A server knows whether a connection is TLS; a request does not. The scheme of its target and the `:scheme` of HTTP/2
//! are what the client wrote, and are never looked at. These count, in this order:
//!
//! 1. **What a trusted proxy says.** Where [`TrustedProxies`] has the address of the peer, only the fields that the proxy
//!    set count: `Forwarded` (RFC 7239) and `X-Forwarded-Proto`. All that counts has to say `https`.
//! 2. **What the server knows of the connection**: [`mark_secure`] and [`mark_plain`] around a service say it, and a type
//!    that a TLS server leaves in the extensions, such as `Arc<axum_server::tls::TlsInfo>` or tonic's `TlsConnectInfo`.
//!
//! A field of anybody else makes no request secure. It may make one that is not: over TLS, too, a request whose fields say
//! `http` may come from a proxy that is missing in the list, and of which nobody knows how it was reached. So may one whose
//! peer is not known, where there is a list.
//!
//! Whatever is told in neither way is [`Transport::Unknown`], and is refused as if it were plain. It differs in one thing:
//! a credential that came over a transport that is *proven* to be plain is known to the network, and may be revoked.
//!
//! Where nothing is told, or something contradicts itself, [`Origin::reason`] says what. It stands in the log of a refusal:
//!
//! | reason | what is wrong | what may help |
//! |---|---|---|
//! | `transport_plain` | the connection, or the one to the proxy, is not TLS | |
//! | `transport_untold` | nothing says what the connection is | [`tls_marker`](crate::RequireHttps::tls_marker), [`mark_secure`], [`mark_plain`] |
//! | `transport_contradicted` | marked plain, and TLS by its marker | the marks |
//! | `proxy_untrusted` | a proxy speaks that is not on the list | [`behind`](crate::RequireHttps::behind); the log names its address once |
//! | `peer_unknown` | there is a list of proxies, and the address of the peer is not known | [`peer_from`](crate::RequireHttps::peer_from) |
//! | `forwarding_absent` | a trusted proxy says nothing of the client's connection | `X-Forwarded-Proto`, set by the proxy |
//! | `forwarding_contradicted` | fields or their entries contradict each other | one field, set by the proxy and not passed on |
//! | `forwarding_malformed` | a field cannot be read | |

mod forwarded;
mod host;
mod proxies;
mod rules;

use std::net::IpAddr;
use std::ops::Range;
use std::task::{Context, Poll};

use http::{HeaderValue, Request, Uri};
use tower_service::Service;

pub(crate) use host::host_name;
pub use proxies::TrustedProxies;
#[cfg_attr(not(feature = "api-key"), allow(unused_imports, reason = "keys are bound to networks"))]
pub(crate) use proxies::network;
pub(crate) use rules::{Head, Rules};

/// How a request came in. It stands in the extensions of every request that
/// [`RequireHttps`](crate::RequireHttps) lets through.
///
/// ```
/// use std::net::IpAddr;
/// use http::Request;
/// use tower_keep::Origin;
///
/// /// Whom to write into a log of one's own.
/// fn client<B>(request: &Request<B>) -> Option<IpAddr> {
///     request.extensions().get::<Origin>()?.peer()
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Origin {
    peer: Option<IpAddr>,
    transport: Transport,
    reason: &'static str,
    authority: Authority,
    uri: Uri,
}

/// Where the authority stands, so that it need not be copied.
#[derive(Clone, Debug)]
enum Authority {
    Unknown,
    /// In the target.
    Target,
    /// In a field, as a part of its value.
    Field(HeaderValue, Range<usize>),
}

impl Authority {
    fn as_str<'a>(&'a self, uri: &'a Uri) -> Option<&'a str> {
        match self {
            Self::Unknown => None,
            Self::Target => uri.authority().map(http::uri::Authority::as_str),
            Self::Field(value, part) => value.to_str().ok()?.get(part.clone()),
        }
    }
}

/// Over what a request came.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Transport {
    /// TLS, from the client to the first machine that counts as ours.
    Secure,
    /// Proven not to be TLS.
    Plain,
    /// Nobody knows, so it is not taken for secure.
    Unknown,
}

impl Origin {
    /// Returns the address of the client, if it is known: of the peer of the connection, or what a trusted proxy says of
    /// it. It is an IPv4 address also where the socket calls it `::ffff:192.0.2.1`.
    pub const fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// Returns over what the request came.
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns why the transport is what it is, as a stable code for logs; see the [module](self).
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// Returns the host, and port if there is one, that the client asked for: the target's authority or `Host`, or what a
    /// proxy says of it that [forwards the host](TrustedProxies::forwards_host). There is none if it is missing, repeated,
    /// contradicted or malformed.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_str(&self.uri)
    }

    /// Returns the host that the client asked for, without its port. An IPv6 address stands in brackets.
    pub fn host(&self) -> Option<&str> {
        host_name(self.authority()?)
    }

    /// Returns the target of the request as the outermost layer saw it. Routers further in may see a part of its path.
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }
}

/// Says of every request to a service that it came over TLS: for servers that accept connections by hand, around the
/// service of a connection whose handshake is done.
///
/// ```
/// use http::{Request, Response};
/// use tower::{Layer, service_fn};
/// use tower_keep::{RequireHttps, mark_secure};
///
/// # async fn handle(_: Request<String>) -> Result<Response<String>, std::convert::Infallible> { Ok(Response::default()) }
/// let app = RequireHttps::new().layer(service_fn(handle));
/// let over_tls = mark_secure(app.clone());
/// ```
///
/// # Security
///
/// What the mark says is believed. Of two marks around each other the inner one counts.
pub const fn mark_secure<S>(service: S) -> Marked<S> {
    Marked { inner: service, transport: Transport::Secure }
}

/// Says of every request to a service that it came over a connection without TLS, such as a listener on port 80 that
/// clients reach directly. As a layer: `tower::layer::layer_fn(mark_plain)`.
///
/// A request that speaks of a proxy which is not trusted is taken for [`Transport::Unknown`] all the same: a proxy that is
/// missing in the list would else make every client look like one that sends its credentials in the open. A proxy that adds
/// no field at all is not noticed: where one stands in front, do not mark the listener.
pub const fn mark_plain<S>(service: S) -> Marked<S> {
    Marked { inner: service, transport: Transport::Plain }
}

/// A service whose requests are marked; [`mark_secure`] and [`mark_plain`] make it.
#[derive(Clone, Copy, Debug)]
pub struct Marked<S> {
    inner: S,
    transport: Transport,
}

/// What stands in the extensions of a marked request. Nobody else can put it there.
#[derive(Clone, Copy, Debug)]
struct Mark(Transport);

impl<S, B> Service<Request<B>> for Marked<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        request.extensions_mut().insert(Mark(self.transport));
        self.inner.call(request)
    }
}
