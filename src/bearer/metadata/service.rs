//! The service that hands the metadata out.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL,
    CONTENT_TYPE,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use tower_service::Service;

/// The metadata of a protected resource, and the service that hands it out, to everybody and to pages of every origin.
/// [`AuthLayer::protect`](crate::AuthLayer::protect) makes it.
///
/// It answers GET, HEAD and OPTIONS at [`path`](Self::path), and 404 at any other path, so that it can be the
/// `route_service` or the `fallback_service` of an axum router, or stand in any other tower stack. It has to stand outside
/// the guard, and it is no business of a nested router, which would see a shorter path.
#[derive(Clone)]
pub struct ResourceMetadata {
    shared: Arc<Shared>,
}

struct Shared {
    url: String,
    path: String,
    document: Bytes,
}

/// How long a client may keep the metadata: issuers change seldom, and not by surprise.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=300");
const ANY: HeaderValue = HeaderValue::from_static("*");

impl ResourceMetadata {
    pub(super) fn new(url: String, path: String, document: Vec<u8>) -> Self {
        Self { shared: Arc::new(Shared { url, path, document: document.into() }) }
    }

    /// Returns the address of the metadata, which challenges name.
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// Returns the path at which the metadata has to stand (RFC 9728, section 3.1).
    pub fn path(&self) -> &str {
        &self.shared.path
    }

    /// Returns the metadata, as JSON.
    pub fn document(&self) -> Bytes {
        self.shared.document.clone()
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        if path != self.path() {
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        }
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
        match *method {
            Method::GET | Method::HEAD => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                headers.insert(CACHE_CONTROL, CACHED);
                // To HEAD as well: the length that the server tells is that of the answer to GET, and it sends no body.
                *response.body_mut() = Full::new(self.document());
            }
            Method::OPTIONS => {
                headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ANY);
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
                *response.status_mut() = StatusCode::NO_CONTENT;
            }
            _ => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            }
        }
        response
    }
}

impl<B> Service<Request<B>> for ResourceMetadata {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(request.method(), request.uri().path())))
    }
}

impl fmt::Debug for ResourceMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceMetadata").field("url", &self.shared.url).finish_non_exhaustive()
    }
}
