//! How documents of other servers are asked for.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, IF_NONE_MATCH, USER_AGENT};
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use zeroize::Zeroizing;

use crate::ConfigError;
use crate::fetch::{Endpoint, FetchError, HttpClient, default_client};

/// What we call ourselves.
pub(super) const AGENT: HeaderValue = HeaderValue::from_static(concat!("tower-keep/", env!("CARGO_PKG_VERSION")));

/// How other servers are asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Access {
    pub(super) client: Option<HttpClient>,
    pub(super) allow_loopback: bool,
    pub(super) bearer_file: Option<PathBuf>,
}

impl Access {
    /// Makes what asks. A credential is for the server of one place alone.
    pub(super) fn open(self, home: Option<Endpoint>) -> Result<Documents, ConfigError> {
        let client = self.client.map_or_else(default_client, Ok)?;
        Ok(Documents { client, credential: self.bearer_file.zip(home) })
    }
}

/// Asks other servers for documents.
pub(super) struct Documents {
    pub(super) client: HttpClient,
    /// A file with a credential, and whose it is.
    credential: Option<(PathBuf, Endpoint)>,
}

impl Documents {
    /// Asks for a document.
    pub(super) async fn get(
        &self,
        endpoint: &Endpoint,
        etag: Option<HeaderValue>,
    ) -> Result<Response<Bytes>, FetchError> {
        let mut request = Request::get(endpoint.uri().clone()).body(Full::default()).map_err(FetchError::local)?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, application/jwk-set+json"));
        headers.insert(USER_AGENT, AGENT);
        if let Some(etag) = etag {
            headers.insert(IF_NONE_MATCH, etag);
        }
        if let Some((file, home)) = &self.credential
            && home.is_origin_of(endpoint)
        {
            headers.insert(AUTHORIZATION, bearer(file)?);
        }
        self.client.fetch(request).await
    }
}

/// Reads a credential out of a file.
fn bearer(file: &Path) -> Result<HeaderValue, FetchError> {
    let unreadable = |error: std::io::Error| FetchError::local(format!("{}: {error}", file.display()));
    let text = Zeroizing::new(std::fs::read_to_string(file).map_err(unreadable)?);
    let value = Zeroizing::new(format!("Bearer {}", text.trim()));
    let mut value = HeaderValue::from_str(&value)
        .map_err(|_| FetchError::local(format!("{} holds no credential", file.display())))?;
    value.set_sensitive(true);
    Ok(value)
}
