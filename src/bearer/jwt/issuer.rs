//! Who may have made a token.

use std::sync::Arc;

use super::claims::Registered;
use crate::bearer::jwks::VerificationKey;

/// Who may have made a token.
pub(crate) enum ExpectedIssuer {
    One(Arc<str>),
    Tenants(Template),
    Anybody,
}

impl ExpectedIssuer {
    pub(super) fn new(issuer: Option<String>, template: Option<Template>, anybody: bool) -> Self {
        match (issuer, template) {
            _ if anybody => Self::Anybody,
            (_, Some(template)) => Self::Tenants(template),
            // There is one whenever there is no template. Nobody is called nothing.
            (issuer, None) => Self::One(Arc::from(issuer.unwrap_or_default())),
        }
    }

    /// Returns whether a token is by one of them, and its key one that may speak for it.
    pub(super) fn is(&self, claims: &Registered<'_>, key: &VerificationKey) -> bool {
        match self {
            Self::One(issuer) => claims.iss.as_deref() == Some(&**issuer),
            Self::Tenants(template) => match (claims.iss.as_deref(), claims.tenant.as_deref()) {
                (Some(issuer), Some(tenant)) => template.is(issuer, tenant, key.issuer()),
                _ => false,
            },
            Self::Anybody => true,
        }
    }

    /// Returns the issuer, if there is but one.
    pub(super) fn only(&self) -> Option<&str> {
        match self {
            Self::One(issuer) => Some(issuer),
            Self::Tenants(_) | Self::Anybody => None,
        }
    }

    /// Returns the same, to keep.
    pub(super) fn shared(&self) -> Option<Arc<str>> {
        match self {
            Self::One(issuer) => Some(Arc::clone(issuer)),
            Self::Tenants(_) | Self::Anybody => None,
        }
    }
}

/// The issuers of the tenants of one service, whose names differ in one place.
#[derive(Debug)]
pub(crate) struct Template {
    before: String,
    /// The claim that says what stands in the place.
    pub(super) claim: String,
    after: String,
    allowed: Option<Vec<String>>,
}

impl Template {
    /// Reads a template: an `https` URL with one name in braces, behind the host.
    pub(super) fn parse(text: &str, allowed: Option<Vec<String>>) -> Option<Self> {
        let (before, rest) = text.split_once('{')?;
        let (claim, after) = rest.split_once('}')?;
        let (host, _) = before.strip_prefix("https://")?.split_once('/')?;
        let is_name = !claim.is_empty() && claim.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let is_open = host.is_empty() || after.contains(['{', '}']);
        (is_name && !is_open).then(|| Self {
            before: before.to_owned(),
            claim: claim.to_owned(),
            after: after.to_owned(),
            allowed,
        })
    }

    /// Returns whether an issuer is that of a tenant, and a key that names an issuer names this one, or all of them.
    fn is(&self, issuer: &str, tenant: &str, key_issuer: Option<&str>) -> bool {
        is_tenant(tenant)
            && self.allowed.as_ref().is_none_or(|allowed| allowed.iter().any(|it| it == tenant))
            && self.place(issuer) == Some(tenant)
            && key_issuer.is_none_or(|of_key| self.place(of_key).is_some_and(|it| it == tenant || is_placeholder(it)))
    }

    /// Returns what stands in the place.
    fn place<'a>(&self, issuer: &'a str) -> Option<&'a str> {
        issuer.strip_prefix(self.before.as_str())?.strip_suffix(self.after.as_str())
    }
}

/// Returns whether a text is what a tenant may be called: a GUID, or a name of as few kinds of characters.
pub(super) fn is_tenant(text: &str) -> bool {
    matches!(text.len(), 1..=64) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Returns whether a text stands for any tenant: Microsoft Entra writes `{tenantid}` into its keys.
fn is_placeholder(text: &str) -> bool {
    text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).is_some_and(is_tenant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_an_https_url_with_one_name_behind_the_host() {
        let cases = [
            ("https://login.example.com/{tid}/v2.0", Some("tid")),
            ("https://login.example.com/{tenant_id}", Some("tenant_id")),
            ("https://login.example.com/a-{org}-b/", Some("org")),
            ("https://{tid}.example.com/", None),
            ("https://login.example.com{tid}", None),
            ("https:///{tid}", None),
            ("https://{tid}", None),
            ("http://login.example.com/{tid}", None),
            ("https://login.example.com/{tid}/{tid}", None),
            ("https://login.example.com/{}", None),
            ("https://login.example.com/{a b}", None),
            ("https://login.example.com/{tid", None),
            ("https://login.example.com/tid}", None),
            ("https://login.example.com/}{tid}", Some("tid")),
            ("https://login.example.com/", None),
            ("", None),
        ];
        for (text, claim) in cases {
            let template = Template::parse(text, None);
            assert_eq!(template.as_ref().map(|it| it.claim.as_str()), claim, "{text}");
        }
    }
}
