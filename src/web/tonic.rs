//! What tonic asks of a service and of an error.

use std::any::Any;

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::Full;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tonic::{Code, Status};

use crate::Rejection;
use crate::auth::{Auth, RequireLoginService, RequireScopesService};
use crate::https::RequireHttpsService;

/// A guarded service keeps its name, so one service of a server can be guarded and the next one open.
impl<S: NamedService, C, R> NamedService for Auth<S, C, R> {
    const NAME: &'static str = S::NAME;
}

impl<S: NamedService> NamedService for RequireScopesService<S> {
    const NAME: &'static str = S::NAME;
}

impl<S: NamedService> NamedService for RequireLoginService<S> {
    const NAME: &'static str = S::NAME;
}

impl<S: NamedService, R> NamedService for RequireHttpsService<S, R> {
    const NAME: &'static str = S::NAME;
}

/// A handler may refuse with a rejection. Its code and text are those that the layer itself would send; `Retry-After`
/// and extra header fields become metadata.
impl From<Rejection> for Status {
    fn from(rejection: Rejection) -> Self {
        let cause = rejection.cause();
        let mut headers = http::HeaderMap::new();
        for (name, value) in rejection.headers() {
            headers.append(name, value.clone());
        }
        if let Some(wait) = rejection.retry_after() {
            headers.insert(http::header::RETRY_AFTER, HeaderValue::from(crate::auth::whole_seconds(wait)));
        }
        let code = Code::from(i32::from(cause.grpc_code()));
        let mut status = Self::with_metadata(code, cause.text(), MetadataMap::from_headers(headers));
        status.set_source(std::sync::Arc::new(rejection));
        status
    }
}

#[inline]
pub(crate) fn carry(slot: &mut dyn Any, bytes: &Bytes) -> bool {
    crate::auth::fill(slot, || Body::new(Full::new(bytes.clone())))
}
