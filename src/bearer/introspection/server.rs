//! The authorization server, and how it is asked about a token.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use serde::Deserialize;

use super::client_auth::ClientAuth;
use super::form::Form;
use super::signed::{MEDIA_TYPE, Signed};
use crate::bearer::access::{AGENT, Documents};
use crate::bearer::discovery::Discovery;
use crate::bearer::jwks::object;
use crate::fetch::{Endpoint, FetchError};

/// What a server says of a token of which it tells nothing.
const INACTIVE: &[u8] = br#"{"active":false}"#;

/// The server that says which tokens are active.
pub(super) struct Server {
    pub(super) documents: Documents,
    /// What the log and the metrics call it.
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) auth: ClientAuth,
    pub(super) issuer: Option<Arc<str>>,
    /// How answers are verified, if they are signed.
    pub(super) signed: Option<Signed>,
}

/// Where it is asked.
pub(super) enum Place {
    Url(Endpoint),
    Issuer(Box<Discovery>),
}

/// Why there is no answer about a token.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) error: Arc<FetchError>,
    pub(super) at: Stage,
}

/// How far a question got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// It is not known where to ask; no token makes a difference to that.
    Metadata,
    /// This service is not let ask, which nobody else can mend.
    ClientAuth,
    Answer,
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::at(Stage::Answer, error)
    }
}

impl Failure {
    fn at(at: Stage, error: FetchError) -> Self {
        Self { error: Arc::new(error), at }
    }
}

impl Server {
    /// Asks about a token (RFC 7662, section 2.1).
    pub(super) async fn ask(&self, token: &str, now: SystemTime) -> Result<Bytes, Failure> {
        let endpoint = match &self.place {
            Place::Url(endpoint) => endpoint.clone(),
            Place::Issuer(discovery) => {
                discovery.find(&self.documents).await.map_err(|error| Failure::at(Stage::Metadata, error))?
            }
        };
        let answer = self.ask_at(&endpoint, token, now).await;
        if let (Err(_), Place::Issuer(discovery)) = (&answer, &self.place) {
            // It may have moved.
            discovery.doubt().await;
        }
        answer
    }

    async fn ask_at(&self, endpoint: &Endpoint, token: &str, now: SystemTime) -> Result<Bytes, Failure> {
        let response = self.documents.client.fetch(self.question(endpoint, token, now)?).await?;
        match (response.status(), &self.signed) {
            (StatusCode::OK, None) => Ok(response.into_body()),
            (StatusCode::OK, Some(signed)) => Ok(signed.open(response.body(), now).await?),
            (status, _) => match Refusal::of(status, response.body()) {
                // Anybody can send such a token, so it must not look like an outage.
                Refusal::OfToken => Ok(Bytes::from_static(INACTIVE)),
                Refusal::OfClient => Err(Failure::at(Stage::ClientAuth, FetchError::Status(status))),
                Refusal::Other => Err(FetchError::Status(status).into()),
            },
        }
    }

    /// A form in a POST: a URL would stand in logs.
    fn question(&self, endpoint: &Endpoint, token: &str, now: SystemTime) -> Result<Request<Full<Bytes>>, FetchError> {
        let uri = endpoint.uri();
        let mut request = Request::post(uri.clone()).body(Full::default()).map_err(FetchError::local)?;
        let headers = request.headers_mut();
        let accept = if self.signed.is_some() { MEDIA_TYPE } else { "application/json" };
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(USER_AGENT, AGENT);
        let mut form = Form::new();
        form.push("token", token);
        form.push("token_type_hint", "access_token");
        match &self.issuer {
            Some(issuer) => self.auth.prove(&mut form, headers, issuer, now)?,
            None => self.auth.prove(&mut form, headers, &uri.to_string(), now)?,
        }
        *request.body_mut() = Full::new(form.into_body());
        Ok(request)
    }
}

/// What a status other than 200 is about.
enum Refusal {
    /// The server does not let this service ask: 401 (RFC 7662, section 2.3), 403, or 400 with an error code that says so
    /// (RFC 6749, section 5.2).
    OfClient,
    /// It tells nothing of such tokens. The code is that of revocation (RFC 7009, section 2.2.1); some servers, such as
    /// oidc-provider, use it here for all that looks like a JWT.
    OfToken,
    Other,
}

impl Refusal {
    fn of(status: StatusCode, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Document {
            error: String,
        }
        let code = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Self::OfClient,
            StatusCode::BAD_REQUEST => object::<Document>(body).map(|document| document.error).unwrap_or_default(),
            _ => return Self::Other,
        };
        match code.as_str() {
            "invalid_client" | "unauthorized_client" => Self::OfClient,
            "unsupported_token_type" => Self::OfToken,
            _ => Self::Other,
        }
    }
}
