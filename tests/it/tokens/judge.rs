//! Hands tokens to a guarded service and tells what became of them.

use std::task::{Context, Poll, Waker};

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use tower::{Layer, Service};
use tower_keep::{BearerLayer, Cause, Jwt, Rejection};

use crate::support::{Inner, get};

/// What [`reason`] says of a token that was let in.
pub const ADMITTED: &str = "admitted";

/// Sends a token and returns why it was refused.
pub fn reason(jwt: &Jwt, token: impl AsRef<[u8]>) -> String {
    reason_of_fields(jwt, &[[b"Bearer ", token.as_ref()].concat()])
}

/// Sends values of `Authorization`, and returns why they were refused. What holds for every refusal is looked at here: the
/// service saw nothing of the request, and status and challenge are those that belong together.
pub fn reason_of_fields(jwt: &Jwt, fields: &[Vec<u8>]) -> String {
    let tell = |rejection: &Rejection, _: &Parts| {
        let cause = rejection.cause();
        assert!(matches!(cause, Cause::Invalid | Cause::Malformed), "{cause:?}");
        Response::new(rejection.reason().to_owned())
    };
    let inner = Inner::new();
    let mut service = BearerLayer::new(jwt.clone()).responder(tell).layer(inner.clone());
    let mut request = get("/");
    for field in fields {
        request.headers_mut().append(AUTHORIZATION, HeaderValue::from_bytes(field).unwrap());
    }

    let answer = std::pin::pin!(service.call(request)).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Ok(response)) = answer else { panic!("a verdict that needs nobody else is there at once") };

    if response.status() == StatusCode::OK {
        assert_eq!(inner.heads().len(), 1);
        return ADMITTED.to_owned();
    }
    assert!(inner.heads().is_empty(), "a refused request went through");
    let expected = match response.status() {
        StatusCode::UNAUTHORIZED => r#"Bearer realm="api", error="invalid_token""#,
        StatusCode::BAD_REQUEST => r#"Bearer realm="api", error="invalid_request""#,
        other => panic!("{other}"),
    };
    assert_eq!(response.headers()[WWW_AUTHENTICATE], expected);
    response.into_body()
}
