//! What is set of a verifier, whatever the type of its claims, and what can be wrong with it.

use std::sync::Arc;
use std::time::Duration;

use super::algorithm::Algorithm;
use super::claims::Expected;
use super::issuer::{Template, is_tenant};
use super::{Typ, media_type};
use crate::bearer::denial::DenyList;
use crate::{Clock, ConfigError, SystemClock};

/// How far clocks may be apart unless another leeway is set.
pub(crate) const LEEWAY: Duration = Duration::from_secs(30);
/// The longest leeway: "no more than a few minutes" (RFC 7519, section 4.1.4).
pub(crate) const LEEWAY_MAX: Duration = Duration::from_secs(300);
/// The longest token, in bytes, unless another limit is set.
pub(crate) const TOKEN_LIMIT: usize = 8 * 1024;
/// How many verified tokens are remembered unless another number is set.
pub(crate) const REMEMBERED: usize = 10_000;

/// The settings that do not depend on the type of the claims.
pub(super) struct Settings {
    pub(super) issuer: Option<String>,
    pub(super) template: Option<String>,
    pub(super) tenants: Option<Vec<String>>,
    pub(super) any_issuer: bool,
    pub(super) any_audience: bool,
    pub(super) expected: Expected,
    pub(super) algorithms: Option<Vec<Algorithm>>,
    pub(super) leeway: Duration,
    pub(super) max_age: Option<Duration>,
    pub(super) typ: Typ,
    pub(super) deny_lists: Vec<Arc<dyn DenyList>>,
    pub(super) clock: Box<dyn Clock>,
    pub(super) token_limit: usize,
    pub(super) remembered: usize,
    pub(super) digests: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            issuer: None,
            template: None,
            tenants: None,
            any_issuer: false,
            any_audience: false,
            expected: Expected::default(),
            algorithms: None,
            leeway: LEEWAY,
            max_age: None,
            typ: Typ::default(),
            deny_lists: Vec::new(),
            clock: Box::new(SystemClock),
            token_limit: TOKEN_LIMIT,
            remembered: REMEMBERED,
            digests: false,
        }
    }
}

impl Settings {
    pub(super) fn errors(&self) -> Vec<ConfigError> {
        let template = self.template();
        let mut errors = self.expected.reserved(template.as_ref().map(|template| &template.claim));
        let strangers = self.typ.others.iter().filter(|typ| !is_of_access_tokens(typ));
        errors.extend(strangers.map(|typ| ConfigError::Typ { given: typ.clone() }));
        if let (Some(given), None) = (&self.template, template) {
            errors.push(ConfigError::IssuerTemplate { given: given.clone() });
        }
        let names_issuer = self.template.is_some() || self.issuer.as_ref().is_some_and(|issuer| !issuer.is_empty());
        let wrong_tenants = |tenants: &[String]| self.template.is_none() || !are_tenants(tenants);
        let wrong = [
            (!self.any_issuer && !names_issuer, ConfigError::IssuerMissing),
            (self.tenants.as_deref().is_some_and(wrong_tenants), ConfigError::Tenants),
        ];
        errors.extend(wrong.into_iter().filter_map(|(is_wrong, error)| is_wrong.then_some(error)));
        errors.extend(self.expected.no_audience(self.any_audience));
        let wrong = [
            (self.algorithms.as_ref().is_some_and(Vec::is_empty), ConfigError::AlgorithmsMissing),
            (self.leeway > LEEWAY_MAX, ConfigError::LeewayTooLong { given: self.leeway }),
            (self.token_limit == 0, ConfigError::TokenLimitZero),
        ];
        errors.extend(wrong.into_iter().filter_map(|(is_wrong, error)| is_wrong.then_some(error)));
        errors.extend(self.expected.misnamed());
        errors
    }

    /// Returns the template of issuers, if there is one and it is one.
    pub(super) fn template(&self) -> Option<Template> {
        Template::parse(self.template.as_deref()?, self.tenants.clone())
    }
}

fn are_tenants(tenants: &[String]) -> bool {
    !tenants.is_empty() && tenants.iter().all(|tenant| is_tenant(tenant))
}

/// Returns whether a `typ` may be one of access tokens: it is a name, and not that of a token which proves or tells something
/// else (RFC 8725, section 3.11).
fn is_of_access_tokens(typ: &str) -> bool {
    const OTHERS: [&str; 5] =
        ["dpop+jwt", "logout+jwt", "secevent+jwt", "token-introspection+jwt", "oauth-authz-req+jwt"];
    let name = media_type(typ);
    !name.is_empty()
        && typ.bytes().all(|byte| byte.is_ascii_graphic())
        && !OTHERS.iter().any(|it| it.eq_ignore_ascii_case(name))
}
