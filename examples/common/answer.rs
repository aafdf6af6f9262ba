//! A client that asks an example over HTTPS, and what came back, as text for a row of the table.

use std::path::Path;
use std::time::Duration;

use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderMap, HeaderName, StatusCode, Version};
use reqwest::{Certificate, Client, ClientBuilder, RequestBuilder};

use super::common::{Result, failure};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn client() -> ClientBuilder {
    // The server is on this machine, whatever proxy the environment names.
    Client::builder().timeout(PATIENCE).no_proxy()
}

pub(crate) fn trusting(ca_file: &Path) -> Result<ClientBuilder> {
    let ca = Certificate::from_pem(&std::fs::read(ca_file)?)?;
    Ok(client().tls_certs_only([ca]))
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

pub(crate) type Asked = Result<Answer>;

pub(crate) async fn answer(request: RequestBuilder) -> Asked {
    let response = request.send().await?;
    let (status, version, headers) = (response.status(), response.version(), response.headers().clone());
    Ok(Answer { status, version, headers, body: response.text().await? })
}

impl Answer {
    /// Returns whether nobody could tell this answer from another one.
    pub(crate) fn reads_like(&self, other: &Self) -> bool {
        let but_for_date = |answer: &Self| {
            let mut headers = answer.headers.clone();
            headers.remove("date");
            headers
        };
        self.status == other.status && self.body == other.body && but_for_date(self) == but_for_date(other)
    }

    /// Returns the values of a header field.
    pub(crate) fn field(&self, name: &HeaderName) -> String {
        let values: Vec<_> =
            self.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        if values.is_empty() { "-".to_owned() } else { values.join(" | ") }
    }

    /// Returns a parameter of the challenges.
    pub(crate) fn param(&self, name: &str) -> Option<String> {
        let challenges = self.field(&WWW_AUTHENTICATE);
        let (_, rest) = challenges.split_once(&format!("{name}=\""))?;
        rest.split('"').next().map(str::to_owned)
    }
}

/// Writes the status and some header fields.
pub(crate) fn seen(asked: &Asked, fields: &[HeaderName]) -> String {
    match asked {
        Ok(answer) => {
            let fields: Vec<_> = fields.iter().map(|name| answer.field(name)).collect();
            format!("{} {}", answer.status.as_u16(), fields.join(" | ")).trim_end().to_owned()
        }
        Err(error) => failure(&**error),
    }
}

/// Writes the status and the body.
pub(crate) fn with_body(asked: &Asked) -> String {
    match asked {
        Ok(answer) => format!("{} {}", answer.status.as_u16(), answer.body.trim()),
        Err(error) => failure(&**error),
    }
}

/// Writes what a body of `application/problem+json` says.
pub(crate) fn as_problem(asked: &Asked) -> String {
    let problem = asked.as_ref().ok().and_then(|answer| serde_json::from_str::<serde_json::Value>(&answer.body).ok());
    let Some(problem) = problem else { return with_body(asked) };
    let text = |member: &str| problem[member].as_str().unwrap_or("-");
    format!("{} {}: {} ({})", problem["status"], text("title"), text("detail"), text("error"))
}

/// Writes the status, and the error code and the scopes of the challenge.
pub(crate) fn with_error(asked: &Asked) -> String {
    match asked {
        Ok(answer) => {
            let error = answer.param("error").unwrap_or("no error code".to_owned());
            format!("{} {error} {}", answer.status.as_u16(), answer.param("scope").unwrap_or_default())
                .trim_end()
                .to_owned()
        }
        Err(error) => failure(&**error),
    }
}
