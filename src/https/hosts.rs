//! The hosts that a service answers for.

use http::HeaderValue;
use http::uri::PathAndQuery;

use crate::ConfigError;
use crate::origin::host_name;

/// Hosts, each with the port of its HTTPS server if that is not 443.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    pub(super) fn new<T: AsRef<str>>(hosts: impl IntoIterator<Item = T>) -> Result<Self, ConfigError> {
        let hosts: Vec<_> = hosts.into_iter().map(|host| parse(host.as_ref())).collect::<Result<_, _>>()?;
        if hosts.is_empty() { Err(ConfigError::HostsEmpty) } else { Ok(Self(hosts)) }
    }

    /// Finds the host that a request is for, whatever port it names.
    pub(super) fn find(&self, asked: Option<&str>) -> Option<&str> {
        let asked = asked?;
        let is_asked = |host: &&str| host_name(host).is_some_and(|host| host.eq_ignore_ascii_case(asked));
        self.0.iter().map(String::as_str).find(is_asked)
    }
}

fn parse(given: &str) -> Result<String, ConfigError> {
    match host_name(given) {
        Some(_) => Ok(given.to_owned()),
        None => Err(ConfigError::Host { given: given.to_owned() }),
    }
}

/// Writes where a request should have gone: to a host that is known, with the path and query as they came. A byte that has
/// no place in a URI (RFC 3986, section 2) is percent-encoded; `None` for a target that is no path, such as `*`.
pub(super) fn location(host: &str, target: Option<&PathAndQuery>) -> Option<HeaderValue> {
    let target = target?.as_str();
    if !target.starts_with('/') {
        return None;
    }
    let mut location = Vec::with_capacity("https://".len() + host.len() + target.len());
    location.extend(b"https://");
    location.extend(host.bytes());
    for byte in target.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte) {
            true => location.push(byte),
            false => location.extend(format!("%{byte:02X}").bytes()),
        }
    }
    HeaderValue::try_from(location).ok()
}
