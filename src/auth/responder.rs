//! The one place where a rejection becomes a response.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use super::Guard;
use crate::Rejection;

/// No cache may keep a refusal.
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Turns a [`Rejection`] into a response with a body of type `B`.
///
/// [`Problem`](crate::Problem) is the default. A closure is a responder, too:
///
/// ```
/// # #[cfg(feature = "api-key")] {
/// use http::{Response, request::Parts};
/// use tower_keep::{ApiKeyLayer, MemoryStore, Rejection};
///
/// let layer = ApiKeyLayer::new(MemoryStore::new())
///     .responder(|rejection: &Rejection, _head: &Parts| Response::new(rejection.cause().name().to_owned()));
/// # }
/// ```
///
/// Status, `WWW-Authenticate`, `Retry-After` and `Cache-Control: no-store` are set after the responder, whatever it
/// returned. A gRPC caller gets a trailers-only reply with [`empty`](Self::empty) as its body and is never shown the
/// responder's.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot answer a refusal with a response body of type `{B}`",
    label = "a refusal needs a body of type `{B}`",
    note = "the default responder needs a body type that is `Default + 'static`; for others implement `Responder<{B}>` \
            and hand it to `.responder(..)`, or map the body of the inner service first"
)]
pub trait Responder<B>: Send + Sync + 'static {
    /// Makes the response. The head holds no credential: it was taken out. Where the refusal came from a service
    /// further in, the head has method, target, version and header fields as that service saw them, without extensions.
    fn respond(&self, rejection: &Rejection, head: &Parts) -> Response<B>;

    /// Makes an empty body.
    fn empty(&self) -> B;

    /// Returns whether [`respond`](Self::respond) reads the head. If it does not, no copy of the head is kept for the
    /// refusals of services further in.
    fn reads_head(&self) -> bool {
        true
    }

    /// Puts the text of a problem into a body, if this is [`Problem`](crate::Problem) and the body can carry it. What that
    /// answers is written ahead where it can be.
    #[doc(hidden)]
    fn problem(&self, _text: &Bytes) -> Option<B> {
        None
    }
}

impl<B, F> Responder<B> for F
where
    B: Default,
    F: Fn(&Rejection, &Parts) -> Response<B> + Send + Sync + 'static,
{
    fn respond(&self, rejection: &Rejection, head: &Parts) -> Response<B> {
        self(rejection, head)
    }

    fn empty(&self) -> B {
        B::default()
    }
}

/// Returns whether the caller speaks gRPC: a POST of `application/grpc`, alone or followed by `+` or `;`. Not gRPC-Web,
/// whose clients read HTTP statuses.
pub(crate) fn is_grpc(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::POST && is_grpc_type(headers)
}

fn is_grpc_type(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return false };
    let Some((kind, rest)) = kind.as_bytes().split_at_checked(b"application/grpc".len()) else { return false };
    kind.eq_ignore_ascii_case(b"application/grpc") && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// Makes a response by the caller's protocol, with all the fields that the cause asks for.
pub(crate) fn render<B, R: Responder<B>>(
    responder: &R,
    rejection: &Rejection,
    head: &Parts,
    grpc: bool,
    guard: Option<&Guard>,
) -> Response<B> {
    let cause = rejection.cause();
    if !grpc
        && let Some(answer) = guard.and_then(|guard| guard.written_ahead(rejection))
        && let Some(body) = responder.problem(&answer.text)
    {
        return Response::from_parts(answer.head.clone(), body);
    }
    let mut response = match grpc {
        true => Response::new(responder.empty()),
        false => responder.respond(rejection, head),
    };
    let headers = response.headers_mut();
    if grpc {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from(u16::from(cause.grpc_code())));
        // The texts are fixed and printable, and hold no `%`, so they need no percent-encoding.
        headers.insert(HeaderName::from_static("grpc-message"), HeaderValue::from_static(cause.text()));
        headers.remove(CONTENT_LENGTH);
    }
    if let Some(guard) = guard
        && cause.is_challenged()
    {
        headers.remove(http::header::WWW_AUTHENTICATE);
        guard.challenge(rejection, headers);
    }
    if let Some(wait) = rejection.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
    }
    headers.insert(CACHE_CONTROL, NO_STORE);
    for (name, value) in rejection.headers() {
        headers.append(name, value.clone());
    }
    *response.status_mut() = if grpc { StatusCode::OK } else { cause.status() };
    response
}

/// Rounds up: a caller that comes back too early is refused again.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Admission;
    use crate::{Answer, Cause, Challenge, Problem, Scheme};

    /// Asks for two authentication schemes.
    struct Two;

    impl Scheme for Two {
        type Credential = ();

        fn take(&self, _: &mut Parts) -> Result<Option<()>, Rejection> {
            Ok(None)
        }

        fn verify(&self, (): ()) -> Answer<Result<Admission, Rejection>> {
            Answer::Now(Err(Rejection::missing()))
        }

        fn challenges(&self) -> Vec<Challenge> {
            ["Bearer", "ApiKey"].map(|scheme| Challenge::new(scheme).with("realm", "api")).to_vec()
        }
    }

    #[test]
    fn what_is_written_ahead_is_what_would_be_written() {
        let guard = Guard::new(&Two, false, 0);
        let (head, ()) = http::Request::new(()).into_parts();
        // A closure has nothing written ahead.
        let by_hand = |rejection: &Rejection, head: &Parts| -> Response<String> { Problem.respond(rejection, head) };
        let sorted = |response: Response<String>| {
            let (parts, body) = response.into_parts();
            let mut fields: Vec<_> = parts.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
            fields.sort();
            (parts.status, fields, body)
        };

        for cause in Cause::ALL {
            for scheme in [None, Some("Bearer"), Some("apikey"), Some("Basic")] {
                let plain = Rejection::new(cause, "for_a_test").presented_as(scheme);
                let with_param = plain.clone().with_param("hint", "look");
                let waiting = plain.clone().with_retry_after(Duration::from_secs(7));
                for rejection in [plain, with_param, waiting] {
                    let ahead = render(&Problem, &rejection, &head, false, Some(&guard));
                    let written = render(&by_hand, &rejection, &head, false, Some(&guard));

                    assert_eq!(sorted(ahead), sorted(written), "{rejection:?} {scheme:?}");
                }
            }
        }
    }

    #[test]
    fn only_native_grpc_counts_as_grpc() {
        let cases = [
            ("application/grpc", true),
            ("Application/GRPC", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc ; x=y", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/grpcx", false),
            ("application/json", false),
            ("", false),
        ];
        for (kind, expected) in cases {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
            assert_eq!(is_grpc(&Method::POST, &headers), expected, "{kind:?}");
            assert!(!is_grpc(&Method::GET, &headers), "{kind:?}");
        }
        assert!(!is_grpc(&Method::POST, &HeaderMap::new()));
    }
}
