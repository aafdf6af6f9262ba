//! Finding out where an issuer has what others need: its keys, its introspection endpoint (RFC 8414; OpenID Connect
//! Discovery 1.0).

use std::time::Duration;

use http::{StatusCode, Uri};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::access::{Access, Documents};
use super::jwks::object;
use crate::ConfigError;
use crate::fetch::{Endpoint, FetchError, HttpClient};

/// An issuer, from whose metadata it is found out where its keys are, or where it is asked about tokens.
///
/// ```
/// use tower_keep::{Issuer, Jwt};
///
/// # fn tokens() -> Result<Jwt, Box<dyn std::error::Error>> {
/// let tokens = Jwt::discover("https://login.example.com").audience("https://api.example.com").build()?;
/// let of_a_tenant = Issuer::discover("https://login.example.com/tenants/7").same_origin();
/// let tokens = Jwt::discover(of_a_tenant).audience("https://api.example.com").build()?;
/// # Ok(tokens)
/// # }
/// ```
///
/// Of an issuer `https://host/path`, the metadata is looked for at `/.well-known/oauth-authorization-server/path` (RFC 8414,
/// section 3.1), `/.well-known/openid-configuration/path`, and `/path/.well-known/openid-configuration` (OpenID Connect
/// Discovery, section 4), in this order. The `issuer` in it has to be the same, letter by letter (RFC 8414, section 3.3).
/// Where the keys are is remembered for half a day, or until they are not there.
#[derive(Clone, Debug)]
pub struct Issuer {
    url: String,
    same_origin: bool,
    pub(super) access: Access,
}

impl Issuer {
    /// Names an issuer: the exact value of `iss`, an `https` URL.
    pub fn discover(url: impl Into<String>) -> Self {
        Self { url: url.into(), same_origin: false, access: Access::default() }
    }

    /// Asks by another client than the default one of the feature `reqwest`.
    #[must_use]
    pub fn client(mut self, client: HttpClient) -> Self {
        self.access.client = Some(client);
        self
    }

    /// Takes keys from, and asks about tokens at, the host of the issuer alone, whatever its metadata says.
    #[must_use]
    pub fn same_origin(mut self) -> Self {
        self.same_origin = true;
        self
    }

    /// Allows `http` to this very machine, for tests and sidecars.
    #[must_use]
    pub fn insecure_allow_loopback(mut self) -> Self {
        self.access.allow_loopback = true;
        self
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn open(self, allow_loopback: bool, member: Member) -> Result<Discovery, ConfigError> {
        let Self { url, same_origin, .. } = self;
        let endpoint = Endpoint::new(&url, allow_loopback)?;
        if url.contains('?') {
            // RFC 8414, section 2: no query, no fragment.
            return Err(ConfigError::EndpointUrl { given: url });
        }
        let places = places(endpoint.uri());
        let places: Vec<_> =
            places.iter().map(|place| Endpoint::new(place, allow_loopback)).collect::<Result<_, _>>()?;
        Ok(Discovery { issuer: url, endpoint, places, same_origin, allow_loopback, member, known: Mutex::default() })
    }
}

impl From<&str> for Issuer {
    fn from(url: &str) -> Self {
        Self::discover(url)
    }
}

impl From<String> for Issuer {
    fn from(url: String) -> Self {
        Self::discover(url)
    }
}

/// Returns where the metadata of an issuer may be.
fn places(issuer: &Uri) -> Vec<String> {
    const OAUTH: &str = "/.well-known/oauth-authorization-server";
    const OPENID: &str = "/.well-known/openid-configuration";
    let base = format!(
        "{}://{}",
        issuer.scheme_str().unwrap_or_default(),
        issuer.authority().map_or("", http::uri::Authority::as_str)
    );
    // RFC 8414, section 3.1: a slash at the end is taken away first.
    match issuer.path().trim_end_matches('/') {
        "" => vec![format!("{base}{OAUTH}"), format!("{base}{OPENID}")],
        path => vec![format!("{base}{OAUTH}{path}"), format!("{base}{OPENID}{path}"), format!("{base}{path}{OPENID}")],
    }
}

/// For how long it is remembered where something is.
const REMEMBERED: Duration = Duration::from_secs(12 * 60 * 60);

/// How long looking again may take, while there is a place to go by.
const BRIEF: Duration = Duration::from_millis(1_500);
/// How long after the last time it is looked again, if that was in vain or for a doubt.
const AGAIN: Duration = Duration::from_secs(30);

/// What is looked for in the metadata (RFC 8414, section 2).
#[derive(Clone, Copy, Debug)]
pub(super) enum Member {
    #[cfg_attr(not(feature = "jwks"), allow(dead_code, reason = "no keys are fetched"))]
    JwksUri,
    #[cfg_attr(not(feature = "introspection"), allow(dead_code, reason = "nobody is asked about tokens"))]
    IntrospectionEndpoint,
}

/// Finds out where something is, and remembers it for half a day, or until it is not there.
pub(super) struct Discovery {
    issuer: String,
    endpoint: Endpoint,
    places: Vec<Endpoint>,
    same_origin: bool,
    allow_loopback: bool,
    member: Member,
    // Held while metadata is fetched, so that many who need it at once cause one fetch. They are tasks of their own, whose
    // time is bounded.
    known: Mutex<Option<Known>>,
}

/// Where something was found.
struct Known {
    endpoint: Endpoint,
    /// The place of the metadata that told of it.
    at: usize,
    until: Instant,
    /// Until when nobody's doubt has it looked for again.
    certain: Instant,
}

impl Discovery {
    pub(super) async fn find(&self, documents: &Documents) -> Result<Endpoint, FetchError> {
        let mut known = self.known.lock().await;
        if let Some(Known { endpoint, until, .. }) = &*known
            && Instant::now() < *until
        {
            return Ok(endpoint.clone());
        }
        let found = match &*known {
            // There is something to go by, and whoever needs it does not wait for long.
            Some(Known { at, .. }) => {
                timeout(BRIEF, self.look(documents, *at)).await.unwrap_or(Err(FetchError::TimedOut))
            }
            None => self.look(documents, 0).await,
        };
        let now = Instant::now();
        match (found, &mut *known) {
            (Ok((endpoint, at)), known) => {
                let certain = known.as_ref().map_or(now, |known| known.certain);
                *known = Some(Known { endpoint: endpoint.clone(), at, until: now + REMEMBERED, certain });
                Ok(endpoint)
            }
            // Metadata that says something else is to be heeded.
            (Err(error @ FetchError::Contradiction(_)), _) => Err(error),
            // If it is out of reach, what it told of may be all the same where it was.
            (Err(_), Some(known)) => {
                known.until = now + AGAIN;
                Ok(known.endpoint.clone())
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Returns the URL of the issuer.
    #[cfg_attr(not(feature = "jwks"), allow(dead_code, reason = "no credential is sent there"))]
    pub(super) const fn issuer(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Has the metadata asked for again, since nothing was to be had where it led: every 30 seconds at most.
    pub(super) async fn doubt(&self) {
        let now = Instant::now();
        if let Some(known) = self.known.lock().await.as_mut().filter(|known| known.certain <= now) {
            known.until = now;
            known.certain = now + AGAIN;
        }
    }

    /// Looks at one place of the metadata first, and then at the others in their order.
    async fn look(&self, documents: &Documents, first: usize) -> Result<(Endpoint, usize), FetchError> {
        let mut failure = None;
        let others = (0..self.places.len()).filter(|at| *at != first);
        for at in std::iter::once(first).chain(others) {
            match (self.ask(documents, &self.places[at]).await, &failure) {
                (Ok(found), _) => return Ok((found, at)),
                // One that is not there says less than one that fails in another way, and that less than what was said.
                (Err(FetchError::Status(StatusCode::NOT_FOUND)), _) | (_, Some(FetchError::Contradiction(_))) => {}
                (Err(error), _) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| {
            let places: Vec<_> = self.places.iter().map(|place| place.uri().to_string()).collect();
            FetchError::nowhere(format!("of {:?}, neither at {}", self.issuer, places.join(" nor at ")))
        }))
    }

    async fn ask(&self, documents: &Documents, place: &Endpoint) -> Result<Endpoint, FetchError> {
        #[derive(Deserialize)]
        struct Metadata {
            issuer: String,
            jwks_uri: Option<String>,
            introspection_endpoint: Option<String>,
        }
        let response = documents.get(place, None).await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let metadata: Metadata = object(response.body()).map_err(FetchError::document)?;
        if metadata.issuer != self.issuer {
            let text = format!("the metadata is that of {:?}, not of {:?}", metadata.issuer, self.issuer);
            return Err(FetchError::contradiction(text));
        }
        let (name, url) = match self.member {
            Member::JwksUri => ("jwks_uri", metadata.jwks_uri),
            Member::IntrospectionEndpoint => ("introspection_endpoint", metadata.introspection_endpoint),
        };
        let url = url.ok_or_else(|| FetchError::contradiction(format!("the metadata has no {name}")))?;
        let found = Endpoint::new(&url, self.allow_loopback).map_err(FetchError::contradiction)?;
        if self.same_origin && !self.endpoint.is_origin_of(&found) {
            return Err(FetchError::contradiction(format!("{name} leads elsewhere, to {url:?}")));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_looked_for_where_the_standards_put_it() {
        let cases: [(&str, &[&str]); 4] = [
            (
                "https://login.example.com",
                &[
                    "https://login.example.com/.well-known/oauth-authorization-server",
                    "https://login.example.com/.well-known/openid-configuration",
                ],
            ),
            (
                "https://tenant.eu.auth0.com/",
                &[
                    "https://tenant.eu.auth0.com/.well-known/oauth-authorization-server",
                    "https://tenant.eu.auth0.com/.well-known/openid-configuration",
                ],
            ),
            (
                "https://id.example.com:8443/realms/one",
                &[
                    "https://id.example.com:8443/.well-known/oauth-authorization-server/realms/one",
                    "https://id.example.com:8443/.well-known/openid-configuration/realms/one",
                    "https://id.example.com:8443/realms/one/.well-known/openid-configuration",
                ],
            ),
            (
                "https://id.example.com/one/",
                &[
                    "https://id.example.com/.well-known/oauth-authorization-server/one",
                    "https://id.example.com/.well-known/openid-configuration/one",
                    "https://id.example.com/one/.well-known/openid-configuration",
                ],
            ),
        ];
        for (issuer, expected) in cases {
            assert_eq!(places(&issuer.parse().unwrap()), expected, "{issuer}");
        }
    }
}
