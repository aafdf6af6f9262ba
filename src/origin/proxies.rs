//! Which machines may speak for the client.

use std::net::IpAddr;

use http::{HeaderMap, Uri};
use ipnet::IpNet;

use super::forwarded::{Element, Fault, Named, Said, forwarded, x_forwarded_for, x_forwarded_host, x_forwarded_proto};
use super::rules::{Head, authority};
use super::{Authority, Origin, Transport};
use crate::ConfigError;

/// More proxies in a row are a mistake, and elements of `Forwarded` are kept in place.
pub(super) const HOPS_MAX: usize = 8;

/// The proxies whose word counts. The list is empty unless something is said, and then nobody's does.
///
/// ```
/// use tower_keep::TrustedProxies;
///
/// let one_in_front = TrustedProxies::new(["10.0.0.0/8", "2001:db8::/32"])?;
/// let a_cdn_and_ours = TrustedProxies::new(["203.0.113.0/24", "10.0.0.7"])?.hops(2)?;
/// # Ok::<(), tower_keep::ConfigError>(())
/// ```
///
/// A proxy has to **set** `X-Forwarded-Proto` or `Forwarded` itself, whatever the client sent, and to say in
/// `X-Forwarded-For` or `Forwarded` from whom it has the request. nginx does with `proxy_set_header X-Forwarded-Proto
/// $scheme` and `proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for`, and had better have `proxy_set_header
/// Forwarded ""` beside them. If both fields are there, they have to agree, so that one which is only passed on cannot speak
/// for the other. A host is believed in [`forwards_host`](Self::forwards_host) alone.
///
/// Entries are counted from the right over all lines of a field, since whatever stands further left may be the client's
/// own invention. An entry counts if the machine that added it is on the list, up to [`hops`](Self::hops) entries.
#[derive(Clone, Debug)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    any_peer: bool,
    hops: usize,
    forwards_host: bool,
}

impl Default for TrustedProxies {
    fn default() -> Self {
        Self { networks: Vec::new(), any_peer: false, hops: 1, forwards_host: false }
    }
}

impl TrustedProxies {
    /// Trusts the machines of some networks, such as `10.0.0.0/8`, or at some addresses, such as `::1`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ProxyNetwork`] for a text that is neither, [`ConfigError::ProxyNetworkOpen`] for one that has the
    /// whole Internet in it.
    pub fn new<T: AsRef<str>>(networks: impl IntoIterator<Item = T>) -> Result<Self, ConfigError> {
        let networks = networks.into_iter().map(|given| proxy_network(given.as_ref()));
        Ok(Self { networks: networks.collect::<Result<_, _>>()?, ..Self::default() })
    }

    /// Trusts whoever connects, also without an address: for a server that listens on a Unix socket, or on a port that
    /// nobody but the proxy can reach.
    ///
    /// # Security
    ///
    /// Whoever else can connect is believed whatever they say.
    pub fn dangerous_any_peer() -> Self {
        Self { any_peer: true, ..Self::default() }
    }

    /// Sets how many proxies stand one behind the other at most; 1 by default, 8 at most.
    ///
    /// With more than one, an entry counts only if the one to its right names a machine of the list. A request that came
    /// through fewer of them is read as far as that is so. Where [any peer](Self::dangerous_any_peer) is trusted there is no
    /// list to go by, so the number has to be the real one: with a larger one the client writes its own address.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ProxyHops`].
    pub fn hops(mut self, hops: usize) -> Result<Self, ConfigError> {
        if !(1..=HOPS_MAX).contains(&hops) {
            return Err(ConfigError::ProxyHops { given: hops });
        }
        self.hops = hops;
        Ok(self)
    }

    /// Believes the host that the proxies name in `X-Forwarded-Host` or `Forwarded`, where it is another one than that of
    /// the request: for proxies that change `Host`. They have to set the field themselves, whatever the client sent.
    ///
    /// Without this setting, a request that names two hosts has no [authority](Origin::authority).
    #[must_use]
    pub const fn forwards_host(mut self) -> Self {
        self.forwards_host = true;
        self
    }

    /// Returns whether a machine is trusted.
    pub(super) fn trust(&self, peer: Option<IpAddr>) -> bool {
        self.any_peer || peer.is_some_and(|peer| self.networks.iter().any(|network| network.contains(&peer)))
    }

    /// Returns whether it depends on the address of the peer who is trusted.
    pub(super) fn needs_peer(&self) -> bool {
        !self.any_peer && !self.networks.is_empty()
    }

    /// Reads what a trusted peer says of a request.
    pub(super) fn origin(&self, peer: Option<IpAddr>, head: &Head<'_>, uri: Uri) -> Origin {
        let (client, is_https, host) = match self.read(peer, head.headers) {
            Ok(Told { client, is_https, host }) => (client, Ok(is_https), host),
            Err(fault) => (None, Err(fault), Said::Contradicted),
        };
        let (transport, reason) = match is_https {
            Ok(Said::Once(true)) => (Transport::Secure, "transport_secure"),
            Ok(Said::Once(false)) => (Transport::Plain, "transport_plain"),
            Ok(Said::Never) => (Transport::Unknown, "forwarding_absent"),
            Ok(Said::Contradicted) | Err(Fault::Contradicted) => (Transport::Unknown, "forwarding_contradicted"),
            Err(Fault::Malformed) => (Transport::Unknown, "forwarding_malformed"),
        };
        let asked = authority(head, &uri);
        let authority = match host {
            Said::Once(host) if self.forwards_host || host.is(asked.as_str(&uri)) => host.to_authority(),
            Said::Never => asked,
            Said::Once(_) | Said::Contradicted => Authority::Unknown,
        };
        Origin { peer: client, transport, reason, authority, uri }
    }

    fn read<'a>(&self, peer: Option<IpAddr>, headers: &'a HeaderMap) -> Result<Told<'a>, Fault> {
        let (elements, count) = forwarded(headers)?;
        let by_forwarded = self.walk(peer, elements.into_iter().take(count))?;
        let by_x_forwarded_for = self.walk(peer, x_forwarded_for(headers))?;
        let client = match (by_forwarded.client, by_x_forwarded_for.client) {
            (Some(one), Some(other)) if one != other => return Err(Fault::Contradicted),
            (one, other) => one.or(other),
        };
        Ok(Told {
            client,
            is_https: x_forwarded_proto(headers)?.and(by_forwarded.is_https),
            host: x_forwarded_host(headers).and(by_forwarded.host),
        })
    }

    /// Takes entries, the newest first, for as long as the machines that added them are trusted.
    fn walk<'a>(&self, peer: Option<IpAddr>, entries: impl Iterator<Item = Element<'a>>) -> Result<Told<'a>, Fault> {
        let mut told = Told { client: None, is_https: Said::Never, host: Said::Never };
        let (mut by, mut silent) = (peer, false);
        for entry in entries.take(self.hops) {
            if !self.trust(by) {
                break;
            }
            by = entry.address();
            told.client = by;
            match entry.is_https()? {
                Some(is_https) => told.is_https = told.is_https.and(Said::Once(is_https)),
                None => silent = true,
            }
            // The one that stands furthest out has it from the client.
            match entry.host() {
                Said::Never => {}
                said => told.host = said,
            }
        }
        // Of two proxies in a row both have to tell, or none.
        if silent && told.is_https != Said::Never {
            told.is_https = Said::Contradicted;
        }
        Ok(told)
    }
}

/// What trusted proxies say of a request.
struct Told<'a> {
    client: Option<IpAddr>,
    is_https: Said<bool>,
    host: Said<Named<'a>>,
}

/// Parses the network of a proxy.
fn proxy_network(given: &str) -> Result<IpNet, ConfigError> {
    let network = network(given).ok_or_else(|| ConfigError::ProxyNetwork { given: given.trim().to_owned() })?;
    if network.prefix_len() == 0 {
        return Err(ConfigError::ProxyNetworkOpen { given: given.trim().to_owned() });
    }
    Ok(network)
}

/// Parses a network or an address.
pub(crate) fn network(given: &str) -> Option<IpNet> {
    let given = given.trim();
    let parsed = given.parse().or_else(|_| given.parse::<IpAddr>().map(IpNet::from));
    parsed.ok().map(canonical)
}

/// Turns a network of IPv4 addresses as sockets for both versions write them into one of IPv4 addresses.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    match (mapped.addr().to_ipv4_mapped(), mapped.prefix_len().checked_sub(96)) {
        (Some(address), Some(prefix)) => ipnet::Ipv4Net::new(address, prefix).map_or(network, IpNet::V4),
        _ => network,
    }
}
