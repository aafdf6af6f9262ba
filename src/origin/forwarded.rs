//! What proxies write into a request: `Forwarded` (RFC 7239), and the `X-Forwarded-*` fields that came before it.
//!
//! Nothing here allocates, and nothing decides: what an entry is worth depends on who added it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Authority;
use super::host::{host_name, is_port};
use super::proxies::HOPS_MAX;
use crate::token::is_tchar;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Why the fields say nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    Malformed,
    Contradicted,
}

/// What was said once, or again in the same way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Said<T> {
    Never,
    Once(T),
    Contradicted,
}

impl<T: PartialEq> Said<T> {
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, said) | (said, Self::Never) => said,
            (Self::Once(one), Self::Once(other)) if one == other => Self::Once(one),
            _ => Self::Contradicted,
        }
    }
}

/// What one proxy says of the request that it got.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Element<'a> {
    node: Option<&'a str>,
    proto: Option<&'a str>,
    host: Option<Named<'a>>,
}

/// A host and perhaps a port, and the field that it is a part of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a> {
    line: &'a HeaderValue,
    part: &'a str,
}

impl PartialEq for Named<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.part.eq_ignore_ascii_case(other.part)
    }
}

impl<'a> Named<'a> {
    /// Reads a part of a field.
    fn read(line: &'a HeaderValue, part: &'a str) -> Said<Self> {
        if host_name(part).is_some() { Said::Once(Self { line, part }) } else { Said::Contradicted }
    }

    /// Returns whether it is the same as another one.
    pub(super) fn is(&self, other: Option<&str>) -> bool {
        other.is_some_and(|other| other.eq_ignore_ascii_case(self.part))
    }

    /// Keeps it, as a part of the field, which is shared and not copied.
    pub(super) fn to_authority(self) -> Authority {
        let start = self.part.as_ptr() as usize - self.line.as_bytes().as_ptr() as usize;
        Authority::Field(self.line.clone(), start..start + self.part.len())
    }
}

impl<'a> Element<'a> {
    /// Returns from where it got the request, if it tells: it may say `unknown` or call the machine by a name of its own
    /// (RFC 7239, section 6).
    pub(super) fn address(&self) -> Option<IpAddr> {
        address(self.node?)
    }

    /// Returns whether it got the request over TLS, if it tells.
    pub(super) fn is_https(&self) -> Result<Option<bool>, Fault> {
        self.proto.map(is_https).transpose()
    }

    /// Returns for which host it got the request, if it tells.
    pub(super) fn host(&self) -> Said<Named<'a>> {
        self.host.map_or(Said::Never, |Named { line, part }| Named::read(line, part))
    }
}

/// Reads the elements of `Forwarded`, the newest first, and no more of them than may count.
pub(super) fn forwarded(headers: &HeaderMap) -> Result<([Element<'_>; HOPS_MAX], usize), Fault> {
    let mut elements = [Element::default(); HOPS_MAX];
    let mut count = 0;
    // A line ends a list, also an element that was left open in it.
    for line in headers.get_all(FORWARDED) {
        read_line(line, |element| {
            elements.rotate_right(1);
            elements[0] = element;
            count = HOPS_MAX.min(count + 1);
        })?;
    }
    Ok((elements, count))
}

/// Reads `[pair] *( ";" [pair] )`, with commas between such elements (RFC 7239, section 4).
fn read_line<'a>(line: &'a HeaderValue, mut push: impl FnMut(Element<'a>)) -> Result<(), Fault> {
    let mut rest = line.to_str().map_err(|_| Fault::Malformed)?;
    let mut element = None::<Element<'a>>;
    let mut may_start = true;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        match rest.as_bytes().first() {
            None | Some(b',') => {
                element.take().into_iter().for_each(&mut push);
                if rest.is_empty() {
                    return Ok(());
                }
                (rest, may_start) = (&rest[1..], true);
            }
            Some(b';') => (rest, may_start) = (&rest[1..], true),
            Some(_) if may_start => {
                let (name, value, behind) = pair(rest)?;
                put(element.get_or_insert_default(), line, name, value)?;
                (rest, may_start) = (behind, false);
            }
            Some(_) => return Err(Fault::Malformed),
        }
    }
}

/// Splits `token "=" ( token / quoted-string )` from what stands behind it. A quoted string is returned as it is written.
fn pair(text: &str) -> Result<(&str, &str, &str), Fault> {
    let token = |text: &str| text.bytes().position(|byte| !is_tchar(&byte)).unwrap_or(text.len());
    let (name, rest) = text.split_at(token(text));
    let rest = rest.strip_prefix('=').ok_or(Fault::Malformed)?;
    let (value, behind) = match rest.strip_prefix('"') {
        Some(quoted) => {
            let mut escaped = false;
            let end = quoted.bytes().position(|byte| {
                let ends = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                ends
            });
            let end = end.ok_or(Fault::Malformed)?;
            (&quoted[..end], &quoted[end + 1..])
        }
        None => rest.split_at(token(rest)),
    };
    if name.is_empty() || (value.is_empty() && !rest.starts_with('"')) {
        return Err(Fault::Malformed);
    }
    Ok((name, value, behind))
}

/// Notes a parameter, which stands once in an element. Nothing that counts needs an escape.
fn put<'a>(element: &mut Element<'a>, line: &'a HeaderValue, name: &str, value: &'a str) -> Result<(), Fault> {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    let repeated = if is("for") {
        element.node.replace(value).is_some()
    } else if is("proto") {
        element.proto.replace(value).is_some()
    } else if is("host") {
        element.host.replace(Named { line, part: value }).is_some()
    } else {
        return Ok(());
    };
    if repeated || value.contains('\\') { Err(Fault::Malformed) } else { Ok(()) }
}

/// Reads the entries of `X-Forwarded-For`, the newest first.
pub(super) fn x_forwarded_for(headers: &HeaderMap) -> impl Iterator<Item = Element<'_>> {
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let entries = lines.flat_map(|line| line.to_str().unwrap_or("unknown").rsplit(','));
    entries.map(|entry| Element { node: Some(entry.trim_matches([' ', '\t'])), ..Element::default() })
}

/// Reads `X-Forwarded-Proto`. There is nothing to tell which proxy an entry is of, so all have to be the same.
pub(super) fn x_forwarded_proto(headers: &HeaderMap) -> Result<Said<bool>, Fault> {
    let lines = headers.get_all(X_FORWARDED_PROTO).iter();
    lines.map(|line| line.to_str().map_err(|_| Fault::Malformed)).try_fold(Said::Never, |said, line| {
        line?
            .split(',')
            .try_fold(said, |said, entry| Ok(said.and(Said::Once(is_https(entry.trim_matches([' ', '\t']))?))))
    })
}

/// Reads `X-Forwarded-Host`, of which the same holds.
pub(super) fn x_forwarded_host(headers: &HeaderMap) -> Said<Named<'_>> {
    headers.get_all(X_FORWARDED_HOST).iter().fold(Said::Never, |said, line| {
        let entries = line.to_str().unwrap_or_default().split(',');
        entries.fold(said, |said, entry| said.and(Named::read(line, entry.trim_matches([' ', '\t']))))
    })
}

/// Reads a scheme. Some proxies say `wss` of a WebSocket.
fn is_https(proto: &str) -> Result<bool, Fault> {
    let is = |names: [&str; 2]| names.iter().any(|name| proto.eq_ignore_ascii_case(name));
    match (is(["https", "wss"]), is(["http", "ws"])) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(Fault::Malformed),
    }
}

/// Reads an address with or without a port: `192.0.2.1`, `192.0.2.1:4711`, `[2001:db8::1]`, `[2001:db8::1]:_port`,
/// `2001:db8::1`.
fn address(node: &str) -> Option<IpAddr> {
    let is_node_port = |port: &str| match port.strip_prefix('_') {
        Some(name) => {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        }
        None => is_port(port),
    };
    let address: IpAddr = if let Some(rest) = node.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_node_port) {
            return None;
        }
        address.parse::<Ipv6Addr>().ok()?.into()
    } else if let Ok(address) = node.parse() {
        address
    } else {
        let (address, port) = node.split_once(':')?;
        address.parse::<Ipv4Addr>().ok().filter(|_| is_node_port(port))?.into()
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_an_address_with_or_without_a_port_or_tells_none() {
        let cases = [
            ("192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1:4711", Some("192.0.2.1")),
            ("192.0.2.1:_p", Some("192.0.2.1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("[2001:db8::1]:_x.y-z", Some("2001:db8::1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("[::ffff:192.0.2.1]:1", Some("192.0.2.1")),
            ("unknown", None),
            ("_hidden", None),
            ("_hidden:80", None),
            ("", None),
            ("192.0.2.1:", None),
            ("192.0.2.1:99999", None),
            ("192.0.2.1:_", None),
            ("192.0.2.256", None),
            ("192.0.2.01", None),
            ("[192.0.2.1]", None),
            ("[2001:db8::1", None),
            ("[2001:db8::1]443", None),
            ("[fe80::1%eth0]", None),
            ("localhost", None),
        ];
        for (node, expected) in cases {
            assert_eq!(address(node), expected.map(|text| text.parse().unwrap()), "{node:?}");
        }
    }

    #[test]
    fn forwarded_is_read_by_its_grammar_and_by_nothing_else() {
        // Node, proto and host of each element, the newest first; nothing for a field that cannot be read.
        type Expected<'a> = Option<&'a [(&'a str, &'a str, &'a str)]>;
        let cases: [(&[&str], Expected<'_>); 26] = [
            (&[], Some(&[])),
            (&[""], Some(&[])),
            (&[" , ,"], Some(&[])),
            (&["for=192.0.2.1"], Some(&[("192.0.2.1", "", "")])),
            (&["For=\"[2001:db8::1]:80\";PROTO=https"], Some(&[("[2001:db8::1]:80", "https", "")])),
            (&["for=a;proto=https;host=x.test;by=b"], Some(&[("a", "https", "x.test")])),
            (&["for=a; proto=http , for=b"], Some(&[("b", "", ""), ("a", "http", "")])),
            (&["for=a", "for=b, for=c"], Some(&[("c", "", ""), ("b", "", ""), ("a", "", "")])),
            (&[";;for=a;;"], Some(&[("a", "", "")])),
            (&["for=\"a,b;c\";proto=http"], Some(&[("a,b;c", "http", "")])),
            (&["secret=\"a\\\"b,for=x\";for=a"], Some(&[("a", "", "")])),
            (&["host=\"x.test:8443\""], Some(&[("", "", "x.test:8443")])),
            (&["for=\"\""], Some(&[("", "", "")])),
            (&["for=\"a"], None),
            (&["for=a\""], None),
            (&["for=\"a\\\"\""], None),
            (&["for=\"a\"b"], None),
            (&["for=a b"], None),
            (&["for = a"], None),
            (&["for="], None),
            (&["=a"], None),
            (&["for"], None),
            (&["for=a;for=b"], None),
            (&["proto=https;Proto=https"], None),
            (&["for=2001:db8::1"], None),
            (&["for=a", "for=\""], None),
        ];
        for (lines, expected) in cases {
            let headers = HeaderMap::from_iter(lines.iter().map(|line| (FORWARDED, line.parse().unwrap())));
            let read = forwarded(&headers).ok().map(|(elements, count)| {
                let text = |element: &Element<'_>| {
                    let host = element.host.map_or("", |host| host.part).to_owned();
                    (element.node.unwrap_or("").to_owned(), element.proto.unwrap_or("").to_owned(), host)
                };
                elements.iter().take(count).map(text).collect::<Vec<_>>()
            });
            let owned = |all: &[(&str, &str, &str)]| {
                all.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect::<Vec<_>>()
            };
            assert_eq!(read, expected.map(owned), "{lines:?}");
        }
    }

    #[test]
    fn of_a_long_list_the_newest_elements_are_kept() {
        let line = (0..100).map(|number| format!("for=_{number}")).collect::<Vec<_>>().join(",");
        let headers = HeaderMap::from_iter([(FORWARDED, line.parse().unwrap())]);

        let (elements, count) = forwarded(&headers).unwrap();

        assert_eq!(count, HOPS_MAX);
        assert_eq!(elements[0].node, Some("_99"));
        assert_eq!(elements[HOPS_MAX - 1].node, Some("_92"));
    }
}
