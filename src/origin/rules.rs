//! Finding out how a request came in.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;

use http::header::{FORWARDED, HOST, VIA};
use http::{Extensions, HeaderMap, Request, Uri};

use super::forwarded::{
    Element, Said, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, forwarded, x_forwarded_proto,
};
use super::{Authority, Mark, Origin, Transport, TrustedProxies, host_name};

type FindPeer = dyn Fn(&Extensions) -> Option<SocketAddr> + Send + Sync;

/// Where to look for what an [`Origin`] says.
#[derive(Clone, Default)]
pub(crate) struct Rules {
    peer: Option<Arc<FindPeer>>,
    tls_markers: Vec<fn(&Extensions) -> bool>,
    uri: Option<fn(&Extensions) -> Option<&Uri>>,
    proxies: TrustedProxies,
}

impl Rules {
    pub(crate) fn set_peer(&mut self, find: impl Fn(&Extensions) -> Option<SocketAddr> + Send + Sync + 'static) {
        self.peer = Some(Arc::new(find));
    }

    pub(crate) fn add_tls_marker<T: Send + Sync + 'static>(&mut self) {
        self.tls_markers.push(|extensions| extensions.get::<T>().is_some());
    }

    pub(crate) fn set_uri<T: Deref<Target = Uri> + Send + Sync + 'static>(&mut self) {
        self.uri = Some(|extensions| extensions.get::<T>().map(Deref::deref));
    }

    pub(crate) fn set_proxies(&mut self, proxies: TrustedProxies) {
        self.proxies = proxies;
    }

    /// Returns whether proxies are trusted by an address that nothing is set to find.
    pub(crate) fn lacks_peer(&self) -> bool {
        self.proxies.needs_peer() && self.peer.is_none()
    }

    pub(crate) fn find(&self, head: &Head<'_>) -> Origin {
        let peer = self.peer.as_ref().and_then(|find| find(head.extensions));
        // A socket for both versions calls IPv4 addresses `::ffff:192.0.2.1`.
        let peer = peer.map(|peer| peer.ip().to_canonical());
        let uri = self.uri.and_then(|find| find(head.extensions)).unwrap_or(head.uri).clone();
        if self.proxies.trust(peer) {
            return self.proxies.origin(peer, head, uri);
        }
        let (transport, reason) = self.connection(peer, head);
        let authority = authority(head, &uri);
        Origin { peer, transport, reason, authority, uri }
    }

    /// Tells the transport of a connection that is not one of a trusted proxy.
    fn connection(&self, peer: Option<IpAddr>, head: &Head<'_>) -> (Transport, &'static str) {
        let mark = head.extensions.get::<Mark>().map(|mark| mark.0);
        let is_tls = self.tls_markers.iter().any(|is_there| is_there(head.extensions));
        let reason = match (mark, is_tls) {
            // It may be a proxy, which has TLS to this server and none to its client.
            _ if self.proxies.needs_peer() && peer.is_none() => "peer_unknown",
            (Some(Transport::Secure), _) | (None, true) if !speaks_of_plain(head.headers) => {
                return (Transport::Secure, "transport_secure");
            }
            (Some(Transport::Plain), true) => "transport_contradicted",
            _ if speaks_of_proxy(head.headers) => "proxy_untrusted",
            (Some(Transport::Plain), false) => return (Transport::Plain, "transport_plain"),
            _ => "transport_untold",
        };
        (Transport::Unknown, reason)
    }
}

/// What there is to see of a request. It need not be taken apart for that.
pub(crate) struct Head<'a> {
    uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
    extensions: &'a Extensions,
}

impl<'a> Head<'a> {
    pub(crate) fn of<B>(request: &'a Request<B>) -> Self {
        Self { uri: request.uri(), headers: request.headers(), extensions: request.extensions() }
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("peer", &self.peer.is_some())
            .field("tls_markers", &self.tls_markers.len())
            .field("proxies", &self.proxies)
            .finish()
    }
}

/// Returns whether a request has a field that proxies add.
fn speaks_of_proxy(headers: &HeaderMap) -> bool {
    [FORWARDED, X_FORWARDED_PROTO, X_FORWARDED_FOR, X_FORWARDED_HOST, VIA].iter().any(|name| headers.contains_key(name))
}

/// Returns whether a request says of itself that it did not come over TLS. Whoever says that is believed: it may be a proxy
/// that is missing in the list, and nobody gains by it.
fn speaks_of_plain(headers: &HeaderMap) -> bool {
    let is_https = |element: &Element<'_>| matches!(element.is_https(), Ok(None | Some(true)));
    let by_forwarded = forwarded(headers).is_ok_and(|(elements, count)| elements.iter().take(count).all(is_https));
    !by_forwarded || !matches!(x_forwarded_proto(headers), Ok(Said::Never | Said::Once(true)))
}

/// Returns where it stands whom a request is for, by its own word: in the authority of its target (RFC 9112, section 3.2.2;
/// RFC 9113, section 8.3.1) or in `Host`, and if there are both they have to be the same.
pub(super) fn authority(head: &Head<'_>, uri: &Uri) -> Authority {
    let mut hosts = head.headers.get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    match (uri.authority(), host) {
        (Some(target), None) if host_name(target.as_str()).is_some() => Authority::Target,
        (Some(target), Some(host))
            if more.is_none()
                && host_name(target.as_str()).is_some()
                && host.as_bytes().eq_ignore_ascii_case(target.as_str().as_bytes()) =>
        {
            Authority::Target
        }
        (None, Some(host)) if more.is_none() && host.to_str().is_ok_and(|host| host_name(host).is_some()) => {
            Authority::Field(host.clone(), 0..host.len())
        }
        _ => Authority::Unknown,
    }
}
