//! Asking other servers: key sets, metadata, introspection.
//!
//! An [`HttpClient`] is any tower service over the types of the crate `http`. With the feature `reqwest` there is one that is
//! set up as it should be: HTTPS only, certificates are verified, redirects are refused, no proxy of the environment is
//! used. A client of one's own is wrapped in a line:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower_keep::HttpClient;
//!
//! // Any `Service<Request<Full<Bytes>>>` that can be cloned: a client of hyper-util, a test double.
//! let client = HttpClient::new(tower::service_fn(async |request: Request<Full<Bytes>>| {
//!     assert_eq!(request.uri(), "https://login.example.com/jwks");
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from_static(br#"{"keys":[]}"#))))
//! }));
//! ```
//!
//! Whatever the client, an answer is cut off at 256 KiB while it is read, and given up after 5 seconds in all. A redirect is
//! an error: where to ask is configured, and no answer changes that.

#[cfg(not(feature = "reqwest"))]
mod absent;
pub(crate) mod back_off;
mod endpoint;
mod error;
mod outage;
#[cfg(feature = "reqwest")]
mod reqwest;
#[cfg(feature = "jwks")]
mod schedule;

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use tokio::time::timeout;
use tower_service::Service;

#[cfg(not(feature = "reqwest"))]
pub(crate) use absent::default_client;
pub(crate) use endpoint::Endpoint;
pub(crate) use error::FetchError;
pub use outage::Outage;
#[cfg(feature = "reqwest")]
pub use reqwest::HttpClientBuilder;
#[cfg(feature = "reqwest")]
pub(crate) use reqwest::default_client;
#[cfg(feature = "jwks")]
pub(crate) use schedule::{Demand, Fetched, Schedule, Timing};

use crate::BoxFuture;

type BoxError = Box<dyn Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, BoxError>;
type SendFn = dyn Fn(Request<Full<Bytes>>) -> BoxFuture<Result<Response<Body>, BoxError>> + Send + Sync;

/// The longest answer, in bytes.
const BODY_MAX: usize = 256 * 1024;
/// How long an answer may take in all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Sends requests to other servers. Cloning shares it. See the [module](self).
#[derive(Clone)]
pub struct HttpClient(Arc<SendFn>);

impl HttpClient {
    /// Sends requests by a tower service. It has to verify certificates, and must not follow redirects.
    pub fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Arc::new(move |request| {
            let mut service = service.clone();
            Box::pin(async move {
                poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
                let response = service.call(request).await.map_err(Into::into)?;
                Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
            })
        }))
    }

    /// Sends a request, and reads the whole answer if it is not too long.
    pub(crate) fn fetch(&self, request: Request<Full<Bytes>>) -> BoxFuture<Result<Response<Bytes>, FetchError>> {
        let send = Arc::clone(&self.0);
        Box::pin(async move {
            let fetched = timeout(PATIENCE, async {
                let (head, body) = send(request).await.map_err(FetchError::Transport)?.into_parts();
                Ok(Response::from_parts(head, read(body).await?))
            });
            fetched.await.unwrap_or(Err(FetchError::TimedOut))
        })
    }
}

/// Reads a body as far as it may go.
async fn read(mut body: Body) -> Result<Bytes, FetchError> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        // A frame of trailers is none of what is read.
        let Ok(data) = frame.map_err(FetchError::Transport)?.into_data() else { continue };
        if read.len() + data.len() > BODY_MAX {
            return Err(FetchError::TooLong);
        }
        read.extend_from_slice(&data);
    }
    Ok(read.into())
}

/// Writes an error and all that is behind it.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.extend([": ", &error.to_string()]);
        cause = error.source();
    }
    text
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpClient")
    }
}
