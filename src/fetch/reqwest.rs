//! The client of the feature `reqwest`.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, redirect};

use super::{Body, BoxError, HttpClient, with_causes};
use crate::ConfigError;

/// How long it may take until a server is connected to.
const CONNECT: Duration = Duration::from_secs(2);

type Allow = dyn Fn(IpAddr) -> bool + Send + Sync;

/// Returns the client that is used where none is named. There is one for the process.
pub(crate) fn default_client() -> Result<HttpClient, ConfigError> {
    static CLIENT: OnceLock<Result<HttpClient, ConfigError>> = OnceLock::new();
    CLIENT.get_or_init(|| HttpClient::builder().build()).clone()
}

impl HttpClient {
    /// Starts a client of the crate reqwest. It verifies certificates by what the operating system trusts, follows no
    /// redirects, asks no proxy of the environment, and has 2 seconds to connect.
    ///
    /// ```
    /// use tower_keep::HttpClient;
    ///
    /// // The addresses that a URL from elsewhere may lead to.
    /// let client = HttpClient::builder().allow_addresses(|address| match address {
    ///     std::net::IpAddr::V4(address) => !address.is_private() && !address.is_loopback() && !address.is_link_local(),
    ///     std::net::IpAddr::V6(_) => false,
    /// });
    /// let client = client.build()?;
    /// # Ok::<(), tower_keep::ConfigError>(())
    /// ```
    pub fn builder() -> HttpClientBuilder {
        HttpClientBuilder { roots: Vec::new(), allow: None }
    }
}

/// Builds an [`HttpClient`]; [`HttpClient::builder`] starts it.
#[derive(Clone)]
pub struct HttpClientBuilder {
    roots: Vec<Vec<u8>>,
    allow: Option<Arc<Allow>>,
}

impl HttpClientBuilder {
    /// Trusts the certificates of an authority of one's own, in PEM, and no others than those that are named so.
    #[must_use]
    pub fn root_certificates(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.roots.push(pem.as_ref().to_vec());
        self
    }

    /// As [`root_certificates`](Self::root_certificates), out of a file.
    ///
    /// # Errors
    ///
    /// [`ConfigError::HttpClient`] if the file cannot be read.
    pub fn root_certificates_file(self, file: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let file = file.as_ref();
        let pem = std::fs::read(file)
            .map_err(|error| ConfigError::HttpClient { reason: format!("{}: {error}", file.display()) })?;
        Ok(self.root_certificates(pem))
    }

    /// Connects to some addresses alone, whatever name led there: against URLs that were made to lead into a network that
    /// nobody outside should reach (RFC 8725, section 3.10).
    #[must_use]
    pub fn allow_addresses(mut self, allow: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        self.allow = Some(Arc::new(allow));
        self
    }

    /// Makes the client.
    ///
    /// # Errors
    ///
    /// [`ConfigError::HttpClient`] if the certificates are none, or the operating system has none to trust.
    pub fn build(self) -> Result<HttpClient, ConfigError> {
        let Self { roots, allow } = self;
        let wrong = |error: reqwest::Error| ConfigError::HttpClient { reason: with_causes(&error) };
        let mut client = Client::builder().redirect(redirect::Policy::none()).no_proxy().connect_timeout(CONNECT);
        if !roots.is_empty() {
            let mut certificates = Vec::new();
            for pem in &roots {
                certificates.extend(Certificate::from_pem_bundle(pem).map_err(wrong)?);
            }
            if certificates.is_empty() {
                return Err(ConfigError::HttpClient { reason: "there is no certificate in the PEM".to_owned() });
            }
            client = client.tls_certs_only(certificates);
        }
        if let Some(allow) = &allow {
            client = client.dns_resolver(Arc::new(Filtering(Arc::clone(allow))));
        }
        let client = client.build().map_err(wrong)?;
        Ok(HttpClient(Arc::new(move |request| {
            let (client, allow) = (client.clone(), allow.clone());
            Box::pin(async move { send(&client, allow.as_deref(), request).await })
        })))
    }
}

async fn send(
    client: &Client,
    allow: Option<&Allow>,
    request: Request<Full<Bytes>>,
) -> Result<Response<Body>, BoxError> {
    let request: reqwest::Request = request.map(reqwest::Body::wrap).try_into()?;
    // An address in the place of a name is not looked up. It is the client's own reading that counts: to it, `127.1` and
    // `0x7f000001` are addresses as well.
    let host = request.url().host_str().unwrap_or_default().trim_matches(['[', ']']);
    if let (Some(allow), Ok(address)) = (allow, host.parse::<IpAddr>())
        && !allow(address.to_canonical())
    {
        return Err(refused(host));
    }
    let response: Response<reqwest::Body> = client.execute(request).await?.into();
    Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
}

fn refused(host: &str) -> BoxError {
    io::Error::new(io::ErrorKind::PermissionDenied, format!("{host} is at no address that may be connected to")).into()
}

/// Looks names up as the operating system does, and leaves out what may not be connected to.
struct Filtering(Arc<Allow>);

impl Resolve for Filtering {
    fn resolve(&self, name: Name) -> Resolving {
        let allow = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|address| allow(address.ip().to_canonical())).collect();
            if allowed.is_empty() {
                return Err(refused(name.as_str()));
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

impl fmt::Debug for HttpClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClientBuilder")
            .field("roots", &self.roots.len())
            .field("filtered", &self.allow.is_some())
            .finish()
    }
}
