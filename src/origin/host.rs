//! Hosts with and without a port.

use std::net::Ipv6Addr;

/// Returns the host of `host [":" port]`, where the host is a name, an IPv4 address, or an IPv6 address in brackets
/// (RFC 3986, section 3.2.2), and nothing stands before it (RFC 9110, section 4.2.4).
pub(crate) fn host_name(authority: &str) -> Option<&str> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let (host, rest) = match authority.strip_prefix('[') {
        Some(inner) => {
            let (address, _) = inner.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            authority.split_at(address.len() + 2)
        }
        None => {
            let (host, rest) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            if host.is_empty() || !host.bytes().all(is_letter) {
                return None;
            }
            (host, rest)
        }
    };
    (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port)).then_some(host)
}

/// Returns whether a text is the number of a port.
pub(super) fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        let cases = [
            ("api.example.com", Some("api.example.com")),
            ("api.example.com:8443", Some("api.example.com")),
            ("API_1.example.com.", Some("API_1.example.com.")),
            ("192.0.2.1:80", Some("192.0.2.1")),
            ("[::1]", Some("[::1]")),
            ("[2001:db8::1]:443", Some("[2001:db8::1]")),
            ("", None),
            (":443", None),
            ("::1", None),
            ("[::1", None),
            ("[::1]443", None),
            ("[evil.example]", None),
            ("a.example:", None),
            ("a.example:https", None),
            ("a.example:+1", None),
            ("a.example:65536", None),
            ("a.example:1:2", None),
            ("user@a.example", None),
            ("user:1@a.example", None),
            ("a.example/", None),
            ("a.example\\", None),
            ("a.example#b", None),
            ("a.example?b", None),
            ("a.example b", None),
            ("a%2eexample", None),
            ("\u{e4}.example", None),
        ];
        for (authority, expected) in cases {
            assert_eq!(host_name(authority), expected, "{authority:?}");
        }
    }
}
