//! Where a key may stand in a request, and taking it out from there.

use std::fmt;
use std::net::IpAddr;

use http::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue, ORIGIN, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Uri};

use super::{BEARER, KeyRules, SCHEME_NAME};
use crate::{ConfigError, Origin, Ownership, Rejection, Secret, token};

/// The header field that a key stands in unless another is named.
const DEFAULT_HEADER: HeaderName = HeaderName::from_static("x-api-key");
/// Longer texts are no keys.
const KEY_MAX: usize = 512;

/// Fields that have a meaning of their own, which a key would disturb or which would disturb the key.
const RESERVED: [HeaderName; 10] = [
    AUTHORIZATION,
    COOKIE,
    ORIGIN,
    http::header::HOST,
    http::header::CONTENT_TYPE,
    http::header::CONTENT_LENGTH,
    http::header::TRANSFER_ENCODING,
    http::header::CONNECTION,
    http::header::PROXY_AUTHORIZATION,
    http::header::TE,
];

/// The places that a scheme reads.
#[derive(Clone, Debug)]
pub(super) struct Locations {
    headers: Vec<HeaderName>,
    pub(super) bearer: bool,
    cookie: Option<String>,
    query: Option<String>,
    origins: Vec<String>,
}

impl Default for Locations {
    fn default() -> Self {
        Self { headers: vec![DEFAULT_HEADER], bearer: false, cookie: None, query: None, origins: Vec::new() }
    }
}

impl Locations {
    pub(super) fn set_header(&mut self, name: &str) -> Result<(), ConfigError> {
        self.headers = vec![header_name(name)?];
        Ok(())
    }

    pub(super) fn add_header(&mut self, name: &str) -> Result<(), ConfigError> {
        let name = header_name(name)?;
        if !self.headers.contains(&name) {
            self.headers.push(name);
        }
        Ok(())
    }

    pub(super) fn set_cookie(&mut self, name: &str) -> Result<(), ConfigError> {
        self.cookie = Some(parameter_name(name)?);
        Ok(())
    }

    pub(super) fn set_query(&mut self, name: &str) -> Result<(), ConfigError> {
        self.query = Some(parameter_name(name)?);
        Ok(())
    }

    pub(super) fn add_origin(&mut self, origin: &str) -> Result<(), ConfigError> {
        let wrong = || ConfigError::Origin { given: origin.to_owned() };
        let uri: Uri = origin.parse().map_err(|_| wrong())?;
        match (uri.scheme_str(), uri.authority()) {
            (Some(scheme), Some(authority)) if format!("{scheme}://{authority}") == origin => {
                self.origins.push(origin.to_owned());
                Ok(())
            }
            _ => Err(wrong()),
        }
    }

    /// Returns the header fields that are read, without `Authorization`.
    pub(super) fn fields(&self) -> Vec<HeaderName> {
        self.headers.iter().cloned().chain(self.cookie.is_some().then_some(COOKIE)).collect()
    }

    /// Takes the key out of the head, all values of every place that may hold one.
    pub(super) fn take(&self, head: &mut Parts, rules: &KeyRules) -> Result<Option<PresentedKey>, Rejection> {
        let mut taken = Taken::default();
        for name in &self.headers {
            taken.put(take_header(head, name));
        }
        taken.put(self.take_authorization(head, rules));
        if let Some(name) = &self.cookie {
            taken.put(self.take_cookie(head, name));
        }
        if let Some(name) = &self.query {
            taken.put(take_query(head, name));
        }
        let mut key = taken.into_one()?;
        if let Some(key) = &mut key {
            key.peer = head.extensions.get().and_then(Origin::peer);
        }
        Ok(key)
    }

    fn take_authorization(&self, head: &mut Parts, rules: &KeyRules) -> Result<Option<PresentedKey>, Rejection> {
        let values = head.headers.get_all(AUTHORIZATION);
        let claim = values.iter().find_map(|value| self.claim(value, rules));
        let Some((scheme, _)) = claim else { return Ok(None) };
        // A second field is malformed, whatever it holds (RFC 9110, section 11.6.2).
        let repeated = values.iter().nth(1).is_some();
        let value = head.headers.remove(AUTHORIZATION);
        if repeated {
            return Err(Rejection::malformed("credential_repeated").presented_as(Some(scheme)));
        }
        let Some(value) = value else { return Ok(None) };
        let start = match token::credentials(&value) {
            Some((named, token)) if named.eq_ignore_ascii_case(scheme) => value.len() - token.len(),
            _ => return Err(Rejection::malformed("authorization_malformed").presented_as(Some(scheme))),
        };
        PresentedKey::new(Text::Field { value, start }, Place::Authorization(scheme)).map(Some)
    }

    /// Returns under which authentication scheme a value is a key, and how surely, if it is one: everything under `ApiKey`,
    /// and under `Bearer` what the format owns, or what is left once tokens of three segments are. A key without a scheme
    /// in front of it is malformed, and is taken out all the same.
    fn claim(&self, value: &HeaderValue, rules: &KeyRules) -> Option<(&'static str, Ownership)> {
        let (scheme, bytes) = (token::scheme(value), value.as_bytes());
        if scheme.eq_ignore_ascii_case(SCHEME_NAME.as_bytes()) || rules.format().owns_bytes(bytes) {
            return Some((SCHEME_NAME, Ownership::Prefix));
        }
        if !self.bearer || !scheme.eq_ignore_ascii_case(BEARER.as_bytes()) {
            return None;
        }
        if rules.format().owns_bytes(bytes[scheme.len()..].trim_ascii_start()) {
            return Some((BEARER, Ownership::Prefix));
        }
        let is_foreign = |(_, token): (&str, &str)| !token::is_jws(token.as_bytes());
        (rules.accepts_imported() && token::credentials(value).is_some_and(is_foreign))
            .then_some((BEARER, Ownership::CatchAll))
    }

    /// Returns how surely a value of `Authorization` is a key.
    pub(super) fn owns(&self, value: &HeaderValue, rules: &KeyRules) -> Ownership {
        self.claim(value, rules).map_or(Ownership::None, |(_, ownership)| ownership)
    }

    fn take_cookie(&self, head: &mut Parts, name: &str) -> Result<Option<PresentedKey>, Rejection> {
        let mut found = None;
        let mut repeated = false;
        let mut others = Vec::new();
        for value in head.headers.get_all(COOKIE) {
            // A field with other bytes than ASCII may hold the cookie all the same.
            let mut kept = Vec::with_capacity(value.len());
            for pair in value.as_bytes().split(|byte| *byte == b';') {
                let pair = pair.trim_ascii();
                match pair.split_at_checked(name.len()) {
                    Some((start, [b'=', key @ ..])) if start == name.as_bytes() => {
                        repeated |= found.is_some();
                        found = Some(Secret::new(String::from_utf8_lossy(key).into_owned()));
                    }
                    _ if kept.is_empty() => kept.extend(pair),
                    _ => kept.extend(b"; ".iter().chain(pair)),
                }
            }
            others.push(kept);
        }
        let Some(key) = found else { return Ok(None) };
        head.headers.remove(COOKIE);
        for other in others.into_iter().filter(|other| !other.is_empty()) {
            // Parts of a field value, joined by what may stand in one, are one.
            if let Ok(mut value) = HeaderValue::from_bytes(&other) {
                value.set_sensitive(true);
                head.headers.append(COOKIE, value);
            }
        }
        if repeated {
            return Err(Rejection::malformed("credential_repeated"));
        }
        if !self.is_same_site(head) {
            return Err(Rejection::forbidden("cookie_cross_site"));
        }
        PresentedKey::new(Text::Copied(key), Place::Cookie).map(Some)
    }

    /// Returns whether a cookie may speak for this request: a page of another site can make a browser send it.
    fn is_same_site(&self, head: &Parts) -> bool {
        // A GET that asks for an upgrade opens a WebSocket, which CORS does not hold back.
        let is_safe = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
        if is_safe && !head.headers.contains_key(UPGRADE) {
            return true;
        }
        let is = |name: &str, allowed: &dyn Fn(&[u8]) -> bool| {
            let mut values = head.headers.get_all(name).iter();
            values.next().is_some_and(|value| allowed(value.as_bytes())) && values.next().is_none()
        };
        is("sec-fetch-site", &|site| matches!(site, b"same-origin" | b"none"))
            || is("origin", &|origin| self.origins.iter().any(|allowed| allowed.as_bytes() == origin))
    }
}

/// Collects what was taken: one key, or a rejection if there are two.
#[derive(Default)]
struct Taken {
    key: Option<PresentedKey>,
    rejection: Option<Rejection>,
}

impl Taken {
    fn put(&mut self, taken: Result<Option<PresentedKey>, Rejection>) {
        match taken {
            Ok(None) => {}
            Ok(Some(key)) if self.key.is_none() => self.key = Some(key),
            Ok(Some(_)) => self.rejection = Some(Rejection::malformed("credential_repeated")),
            Err(rejection) => self.rejection = Some(rejection),
        }
    }

    fn into_one(self) -> Result<Option<PresentedKey>, Rejection> {
        match self.rejection {
            None => Ok(self.key),
            // What went wrong in no field of its own is told under the scheme that stands for all places.
            Some(rejection) => {
                let scheme = rejection.challenge_scheme().unwrap_or(SCHEME_NAME);
                Err(rejection.presented_as(Some(scheme)))
            }
        }
    }
}

fn take_header(head: &mut Parts, name: &HeaderName) -> Result<Option<PresentedKey>, Rejection> {
    let repeated = head.headers.get_all(name).iter().nth(1).is_some();
    let Some(value) = head.headers.remove(name) else { return Ok(None) };
    if repeated {
        return Err(Rejection::malformed("credential_repeated"));
    }
    PresentedKey::new(Text::Field { value, start: 0 }, Place::Header(name.clone())).map(Some)
}

fn take_query(head: &mut Parts, name: &str) -> Result<Option<PresentedKey>, Rejection> {
    let Some(query) = head.uri.query() else { return Ok(None) };
    let mut found = None;
    let mut repeated = false;
    let mut others = Vec::new();
    for pair in query.split('&') {
        // Names are compared as the handler would read them: `%61pi_key` is `api_key`.
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match form_decoded(key).expose() == name {
            true => {
                repeated |= found.is_some();
                found = Some(form_decoded(value));
            }
            false => others.push(pair),
        }
    }
    let Some(key) = found else { return Ok(None) };
    let target = match others.is_empty() {
        true => head.uri.path().to_owned(),
        false => format!("{}?{}", head.uri.path(), others.join("&")),
    };
    let mut parts = std::mem::take(&mut head.uri).into_parts();
    // A part of a target that was valid, without some of its query, is valid.
    parts.path_and_query = PathAndQuery::try_from(target).ok();
    match Uri::from_parts(parts) {
        Ok(uri) => head.uri = uri,
        Err(_) => return Err(Rejection::malformed("target_malformed")),
    }
    if repeated {
        return Err(Rejection::malformed("credential_repeated"));
    }
    PresentedKey::new(Text::Copied(key), Place::Query).map(Some)
}

/// Decodes a part of a query as forms write it: a plus is a space, `%` starts two hexadecimal digits. No key has bytes
/// that are no text.
fn form_decoded(text: &str) -> Secret {
    // The whole length at once: a text that grows leaves copies of itself behind.
    let mut bytes = Vec::with_capacity(text.len());
    for (index, piece) in text.split('+').enumerate() {
        bytes.extend((index > 0).then_some(b' '));
        bytes.extend(percent_encoding::percent_decode_str(piece));
    }
    Secret::new(String::from_utf8(bytes).unwrap_or_else(|_| "\u{fffd}".to_owned()))
}

fn header_name(given: &str) -> Result<HeaderName, ConfigError> {
    let name: HeaderName = given.parse().map_err(|_| ConfigError::HeaderName { given: given.to_owned() })?;
    if RESERVED.contains(&name) {
        return Err(ConfigError::HeaderReserved { given: given.to_owned() });
    }
    Ok(name)
}

fn parameter_name(given: &str) -> Result<String, ConfigError> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if given.is_empty() || !given.bytes().all(is_letter) {
        return Err(ConfigError::ParameterName { given: given.to_owned() });
    }
    Ok(given.to_owned())
}

/// A key as it came with a request. It is never printed.
pub struct PresentedKey {
    text: Text,
    place: Place,
    peer: Option<IpAddr>,
}

enum Text {
    /// The bytes that the server received, which are shared with it; the key starts behind the authentication scheme.
    Field { value: HeaderValue, start: usize },
    /// A copy of our own.
    Copied(Secret),
}

/// Where a key stood.
pub(super) enum Place {
    Header(HeaderName),
    Authorization(&'static str),
    Cookie,
    Query,
}

impl PresentedKey {
    fn new(text: Text, place: Place) -> Result<Self, Rejection> {
        let key = Self { text, place, peer: None };
        let bytes = key.as_bytes();
        let fault = if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_graphic) {
            "key_unreadable"
        } else if bytes.len() > KEY_MAX {
            "key_too_long"
        } else {
            return Ok(key);
        };
        Err(Rejection::malformed(fault).presented_as(Some(key.presented_as())))
    }

    fn as_bytes(&self) -> &[u8] {
        match &self.text {
            Text::Field { value, start } => value.as_bytes().get(*start..).unwrap_or_default(),
            Text::Copied(key) => key.expose().as_bytes(),
        }
    }

    /// Returns the key.
    pub(super) fn as_str(&self) -> &str {
        // It was seen to be printable ASCII when it was taken.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Returns a copy, for a thread of its own.
    pub(super) fn copied(&self) -> Secret {
        Secret::new(self.as_str().to_owned())
    }

    /// Returns the address that it came from, if a layer further out knows it.
    pub(super) const fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    /// Returns the authentication scheme whose challenge speaks of this key.
    pub(super) const fn presented_as(&self) -> &'static str {
        match self.place {
            Place::Authorization(scheme) => scheme,
            Place::Header(_) | Place::Cookie | Place::Query => SCHEME_NAME,
        }
    }
}

impl fmt::Debug for PresentedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresentedKey([redacted])")
    }
}
