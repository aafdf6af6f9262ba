//! Where to ask.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::Uri;

use crate::ConfigError;

/// A URL that may be asked: `https`, or `http` to this very machine if that was said.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint(Uri);

impl Endpoint {
    pub(crate) fn new(url: &str, allow_loopback: bool) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::EndpointUrl { given: without_credentials(url) };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        // A password in a URL stands in logs; a fragment is never sent.
        if url.contains(['@', '#']) {
            return Err(wrong());
        }
        match uri.scheme_str() {
            Some("https") => Ok(Self(uri)),
            Some("http") if allow_loopback && is_loopback(host) => Ok(Self(uri)),
            _ => Err(ConfigError::EndpointNotHttps { given: url.to_owned() }),
        }
    }

    pub(crate) const fn uri(&self) -> &Uri {
        &self.0
    }

    /// Returns whether another one has the same scheme, host and port.
    pub(crate) fn is_origin_of(&self, other: &Self) -> bool {
        let origin = |uri: &Uri| {
            let is_https = uri.scheme_str() == Some("https");
            let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
            (is_https, uri.host().unwrap_or_default().to_ascii_lowercase(), port)
        };
        origin(&self.0) == origin(&other.0)
    }
}

fn without_credentials(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, rest)) => format!("..@{rest}"),
        None => url.to_owned(),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
        || bare.parse().is_ok_and(|address: Ipv6Addr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_may_be_asked_and_this_machine_without_it_if_that_was_said() {
        let cases = [
            ("https://login.example.com", true, true),
            ("https://login.example.com:8443/a?b=c", true, true),
            ("HTTPS://login.example.com", true, true),
            ("http://127.0.0.1:8080/jwks", false, true),
            ("http://localhost/jwks", false, true),
            ("http://[::1]:80/jwks", false, true),
            ("http://login.example.com", false, false),
            ("http://127.0.0.1.example.com", false, false),
            ("http://localhost.example.com", false, false),
            ("ftp://login.example.com", false, false),
            ("https://user:secret@login.example.com", false, false),
            ("https://login.example.com/#a", false, false),
            ("https://", false, false),
            ("https:/login", false, false),
            ("/jwks", false, false),
            ("login.example.com", false, false),
            ("", false, false),
        ];
        for (url, strict, lenient) in cases {
            assert_eq!(Endpoint::new(url, false).is_ok(), strict, "{url}");
            assert_eq!(Endpoint::new(url, true).is_ok(), lenient, "{url}");
        }
        let fault = Endpoint::new("https://user:secret@login.example.com", true).unwrap_err();
        assert!(!format!("{fault:?} {fault}").contains("secret"));
    }
}
