//! What a protected resource says of itself (RFC 9728), so that clients find out where its tokens come from.
//!
//! A client that has no token, or a bad one, is refused with a challenge that names the address of the metadata; the
//! metadata names the issuer and the scopes. MCP clients work so, and nothing else has to be configured in them. The layer
//! and the metadata come from one call, so that the metadata says what the layer does:
//!
//! ```
//! use tower_keep::{BearerLayer, Jwt, KeySet, ProtectedResource, RequireScopes, ScopeCatalogue};
//! # use std::error::Error;
//! # #[cfg(feature = "axum")]
//! # fn app<S>(keys: KeySet, mcp: S) -> Result<axum::Router, Box<dyn Error>>
//! # where
//! #     S: tower::Service<axum::extract::Request, Error = std::convert::Infallible> + Clone + Send + Sync + 'static,
//! #     S::Response: axum::response::IntoResponse,
//! #     S::Future: Send,
//! # {
//!
//! const MCP: &str = "https://api.example.com/mcp";
//!
//! let catalogue = ScopeCatalogue::new(["tools:read", "tools:call"])?.implies("tools:call", ["tools:read"])?;
//! let tokens = Jwt::with_keys(keys).issuer("https://login.example.com").audience(MCP).build()?;
//! let resource = ProtectedResource::new(MCP)?.scopes(&catalogue).asks_for(["tools:call"])?;
//!
//! let (guard, metadata) = BearerLayer::new(tokens).protect(&resource)?;
//! let app = axum::Router::new()
//!     .route_service("/mcp", mcp)
//!     .route_layer(RequireScopes::all(["tools:call"]).in_catalogue(&catalogue)?)
//!     // Around the routes alone: clients try other well-known paths, too, and have to see that they are not there.
//!     .route_layer(guard)
//!     // Outside of the guard: who has no token yet has to read it.
//!     .route_service(metadata.path(), metadata.clone());
//! # Ok(app)
//! # }
//! ```
//!
//! The identifier of the resource is configured, and never read out of the `Host` of a request, which the caller chooses.
//! Clients ask for tokens by it (RFC 8707), so it has to be an audience of the verifier. Clients in browsers read the
//! challenge if a `CorsLayer` outside exposes `WWW-Authenticate`.

mod service;

use serde::Serialize;

pub use service::ResourceMetadata;

use super::{Bearer, TokenVerifier};
use crate::catalogue::listed;
use crate::origin::host_name;
use crate::{AuthLayer, Challenge, ConfigError, ScopeCatalogue, Scopes};

/// Where metadata stands, before the path of the resource (RFC 9728, section 3).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// An API as its clients know it, for [`AuthLayer::protect`]; see the [module](self).
#[derive(Clone, Debug)]
pub struct ProtectedResource {
    url: Url,
    on_loopback: bool,
    catalogue: Option<ScopeCatalogue>,
    asks_for: Scopes,
    name: Option<String>,
    documentation: Option<String>,
    authorization_servers: Vec<String>,
    audience_may_differ: bool,
}

impl ProtectedResource {
    /// Names the resource by its identifier: the `https` URL at which clients reach it, to the letter. Clients compare it
    /// with the URL that they know (RFC 9728, section 3.3).
    ///
    /// # Errors
    ///
    /// [`ConfigError::ResourceUrl`].
    pub fn new(identifier: &str) -> Result<Self, ConfigError> {
        Self::at(identifier, false)
    }

    /// Names a resource on this machine, which may be `http` to a loopback address or `localhost`; so may the issuer of its
    /// tokens. For tests and for development.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ResourceUrl`].
    pub fn insecure_on_loopback(identifier: &str) -> Result<Self, ConfigError> {
        Self::at(identifier, true)
    }

    fn at(identifier: &str, on_loopback: bool) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::ResourceUrl { given: identifier.to_owned() };
        Ok(Self {
            url: Url::of_resource(identifier, on_loopback).ok_or_else(wrong)?,
            on_loopback,
            catalogue: None,
            asks_for: Scopes::none(),
            name: None,
            documentation: None,
            authorization_servers: Vec::new(),
            audience_may_differ: false,
        })
    }

    /// Lists the scopes of the resource in its metadata (`scopes_supported`). `RequireScopes` holds to the same catalogue by
    /// [`in_catalogue`](crate::RequireScopes::in_catalogue).
    #[must_use]
    pub fn scopes(mut self, catalogue: &ScopeCatalogue) -> Self {
        self.catalogue = Some(catalogue.clone());
        self
    }

    /// Names in every challenge the scopes that a client had best ask for at once, before it has a token (RFC 6750,
    /// section 3). A refusal for a lack of scopes names those that the request needs in their place.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Scope`], [`ConfigError::ScopesEmpty`], [`ConfigError::ScopeReserved`].
    pub fn asks_for<T: AsRef<str>>(mut self, scopes: impl IntoIterator<Item = T>) -> Result<Self, ConfigError> {
        self.asks_for = listed(scopes)?;
        Ok(self)
    }

    /// Sets the name that users are shown (`resource_name`).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets where developers read about the resource (`resource_documentation`).
    ///
    /// # Errors
    ///
    /// [`ConfigError::EndpointUrl`].
    pub fn documentation(mut self, url: &str) -> Result<Self, ConfigError> {
        match url.parse::<http::Uri>() {
            Ok(uri) if uri.scheme().is_some() && uri.host().is_some() && is_printable(url) => {
                self.documentation = Some(url.to_owned());
                Ok(self)
            }
            _ => Err(ConfigError::EndpointUrl { given: url.to_owned() }),
        }
    }

    /// Names the issuers of the tokens (`authorization_servers`), where the verifier does not know them, or calls them
    /// otherwise than their metadata does.
    ///
    /// # Errors
    ///
    /// [`ConfigError::EndpointUrl`] for one that is not an `https` URL without query and fragment (RFC 8414, section 2).
    pub fn authorization_servers<T: AsRef<str>>(
        mut self,
        issuers: impl IntoIterator<Item = T>,
    ) -> Result<Self, ConfigError> {
        self.authorization_servers = issuers.into_iter().map(|issuer| issuer.as_ref().to_owned()).collect();
        self.check_issuers(&self.authorization_servers)?;
        Ok(self)
    }

    /// Does without the identifier among the audiences of the verifier: for issuers that know the resource by another name,
    /// and heed no `resource` parameter (RFC 8707).
    #[must_use]
    pub fn audience_may_differ(mut self) -> Self {
        self.audience_may_differ = true;
        self
    }

    /// Returns the identifier, which is the audience of tokens for the resource.
    pub fn identifier(&self) -> &str {
        &self.url.text
    }

    fn check_issuers(&self, issuers: &[String]) -> Result<(), ConfigError> {
        let is_wrong = |issuer: &&String| Url::parse(issuer, self.on_loopback).is_none();
        match issuers.iter().find(is_wrong) {
            Some(given) if given.starts_with("http://") => Err(ConfigError::EndpointNotHttps { given: given.clone() }),
            Some(given) => Err(ConfigError::EndpointUrl { given: given.clone() }),
            None => Ok(()),
        }
    }

    /// Makes the metadata of a resource whose tokens a verifier judges, and what challenges say.
    fn describe(&self, verifier: &dyn TokenVerifier) -> Result<(Asks, ResourceMetadata), ConfigError> {
        let audiences = verifier.audiences().filter(|_| !self.audience_may_differ);
        if audiences.is_some_and(|audiences| !audiences.iter().any(|audience| audience == self.identifier())) {
            return Err(ConfigError::ResourceAudience { resource: self.identifier().to_owned() });
        }
        if let Some(catalogue) = &self.catalogue {
            catalogue.check(self.asks_for.iter())?;
        }
        let issuers = match self.authorization_servers.is_empty() {
            true => verifier.issuers(),
            false => self.authorization_servers.clone(),
        };
        if issuers.is_empty() {
            return Err(ConfigError::AuthorizationServersMissing);
        }
        self.check_issuers(&issuers)?;
        let scopes = self.catalogue.as_ref().map(ScopeCatalogue::scopes).unwrap_or_default();
        let document = Document {
            resource: self.identifier(),
            resource_name: self.name.as_deref(),
            authorization_servers: &issuers,
            scopes_supported: scopes.iter().collect(),
            bearer_methods_supported: ["header"],
            resource_documentation: self.documentation.as_deref(),
        };
        // RFC 9728, section 3.1: a slash behind the host is no path.
        let path = format!("{WELL_KNOWN}{}", if self.url.path() == "/" { "" } else { self.url.path() });
        let url = format!("{}{path}", self.url.origin());
        let asks = Asks { metadata: url.clone(), scopes: self.asks_for.clone() };
        // Texts and lists of texts are always JSON.
        let document = serde_json::to_vec(&document).unwrap_or_default();
        Ok((asks, ResourceMetadata::new(url, path, document)))
    }
}

/// The metadata (RFC 9728, section 2). It has no member for the algorithms of tokens, which are between issuer and resource:
/// those that it has are of signed answers and of proofs. What is not there is left out, empty lists included.
#[derive(Serialize)]
struct Document<'a> {
    resource: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_name: Option<&'a str>,
    authorization_servers: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes_supported: Vec<&'a str>,
    bearer_methods_supported: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_documentation: Option<&'a str>,
}

/// What the challenges of a protected resource say.
#[derive(Clone, Debug)]
pub(super) struct Asks {
    metadata: String,
    scopes: Scopes,
}

impl Asks {
    /// Adds `resource_metadata` (RFC 9728, section 5.1) and `scope` to a challenge.
    pub(super) fn add_to(&self, challenge: Challenge) -> Challenge {
        let challenge = challenge.with("resource_metadata", self.metadata.clone());
        match self.scopes.is_empty() {
            true => challenge,
            false => challenge.with("scope", self.scopes.to_string()),
        }
    }
}

impl Bearer {
    /// Guards a resource: see [`AuthLayer::protect`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn protect(mut self, resource: &ProtectedResource) -> Result<(Self, ResourceMetadata), ConfigError> {
        let (asks, metadata) = resource.describe(&*self.verifier)?;
        self.asks = Some(asks);
        Ok((self, metadata))
    }
}

impl<R> AuthLayer<Bearer, R> {
    /// Guards a resource, and makes the metadata that belongs to it: every challenge names the address of the metadata. See
    /// [`metadata`](self).
    ///
    /// # Errors
    ///
    /// [`ConfigError::ResourceAudience`] if the verifier asks for other audiences only,
    /// [`ConfigError::AuthorizationServersMissing`], [`ConfigError::EndpointUrl`] for an issuer that is no URL, and
    /// [`ConfigError::ScopeUnlisted`].
    pub fn protect(self, resource: &ProtectedResource) -> Result<(Self, ResourceMetadata), ConfigError> {
        let (scheme, metadata) = self.scheme().clone().protect(resource)?;
        Ok((self.with_scheme(scheme), metadata))
    }
}

/// A URL of nothing but origin and path.
#[derive(Clone, Debug)]
struct Url {
    text: String,
    /// Where the path starts.
    path: usize,
}

impl Url {
    /// Reads a URL that is `https`, or `http` to this machine if that was said.
    fn parse(text: &str, on_loopback: bool) -> Option<Self> {
        let (rest, is_https) = match text.strip_prefix("https://") {
            Some(rest) => (rest, true),
            None => (text.strip_prefix("http://")?, false),
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let host = host_name(authority)?;
        let is_path = |path: &str| path.bytes().all(|byte| byte.is_ascii_alphanumeric() || PATH.contains(&byte));
        let path = text.len() - rest.len() + authority.len();
        let is_right = (is_https || (on_loopback && is_loopback(host))) && is_path(&text[path..]);
        is_right.then(|| Self { text: text.to_owned(), path })
    }

    /// Reads one that clients write in this way only, since they normalize what they are given before they compare.
    fn of_resource(text: &str, on_loopback: bool) -> Option<Self> {
        let url = Self::parse(text, on_loopback)?;
        let default_port = if text.starts_with("https:") { ":443" } else { ":80" };
        let is_dots = |segment: &str| matches!(segment, "." | "..");
        let is_plain = !url.origin().bytes().any(|byte| byte.is_ascii_uppercase())
            && !url.origin().ends_with(default_port)
            && !url.path().split('/').any(is_dots)
            && !url.path().contains("//");
        is_plain.then_some(url)
    }

    fn origin(&self) -> &str {
        &self.text[..self.path]
    }

    fn path(&self) -> &str {
        &self.text[self.path..]
    }
}

/// What may stand in a path beside letters and digits (RFC 3986, section 3.3).
const PATH: &[u8] = b"/-._~%!$&'()*+,;=:@";

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}
