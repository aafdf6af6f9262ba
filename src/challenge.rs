//! What a refusal asks for: one `WWW-Authenticate` field (RFC 9110, section 11.6.1).

use std::borrow::Cow;

use http::HeaderValue;

use crate::ConfigError;

/// A challenge: an authentication scheme and its parameters.
///
/// ```
/// use tower_keep::Challenge;
///
/// let challenge = Challenge::new("Bearer").with("realm", "api").with("scope", "read write");
/// assert_eq!(challenge.to_header(), r#"Bearer realm="api", scope="read write""#);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Challenge {
    scheme: &'static str,
    params: Vec<(&'static str, Cow<'static, str>)>,
}

impl Challenge {
    /// Starts a challenge for an authentication scheme, such as `Bearer`.
    pub const fn new(scheme: &'static str) -> Self {
        Self { scheme, params: Vec::new() }
    }

    /// Sets a parameter. A second value for one name replaces the first: RFC 6750, section 3, allows each once.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.params.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.params.push((name, value.into()));
        self
    }

    /// Takes over the parameters of another challenge that this one has none for.
    pub(crate) fn add_missing(&mut self, other: Self) {
        for (name, value) in other.params {
            if !self.params.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                self.params.push((name, value));
            }
        }
    }

    /// Returns the authentication scheme.
    pub const fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Writes the field's value. Every parameter is a quoted string; what could not stand in one becomes `?`.
    pub fn to_header(&self) -> HeaderValue {
        let mut text = String::with_capacity(64);
        text.extend(self.scheme.chars().filter(char::is_ascii_graphic));
        for (index, (name, value)) in self.params.iter().enumerate() {
            text.push_str(if index == 0 { " " } else { ", " });
            text.extend(name.chars().filter(char::is_ascii_graphic));
            text.push_str("=\"");
            for char in value.chars() {
                match char {
                    '"' | '\\' => text.extend(['\\', char]),
                    ' '..='~' => text.push(char),
                    _ => text.push('?'),
                }
            }
            text.push('"');
        }
        // Only printable ASCII was written, which every field value may hold.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }
}

/// Checks a realm, which stands in a quoted string of every challenge.
#[cfg_attr(not(any(feature = "api-key", feature = "bearer")), allow(dead_code, reason = "schemes have realms"))]
pub(crate) fn realm(realm: &str) -> Result<&str, ConfigError> {
    match realm.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        true => Ok(realm),
        false => Err(ConfigError::Realm { given: realm.to_owned() }),
    }
}
