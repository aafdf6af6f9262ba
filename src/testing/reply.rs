//! What an issuer answers.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

/// How long a piece of a body that is far too long is.
static PIECE: [u8; 16 * 1024] = [b' '; 16 * 1024];

/// What an issuer answers where a key set or metadata is asked for. See [`TestIssuer::keys_reply`](super::TestIssuer::keys_reply).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Reply {
    /// What belongs there.
    #[default]
    Document,
    /// Nothing: the connection fails.
    Nothing,
    /// A status without a body.
    Status(StatusCode),
    /// The status 200 and this body, whatever it is.
    Body(Bytes),
    /// The status 200 and blanks, so many bytes of them.
    Blanks(u64),
    /// The status 302 to somewhere else.
    Redirect(String),
}

/// A body that was not all made before it is sent.
pub(super) type ReplyBody = UnsyncBoxBody<Bytes, Infallible>;

impl Reply {
    /// Makes the response, or the error of a connection that fails.
    pub(super) fn into_response(self, document: impl FnOnce() -> Bytes) -> io::Result<Response<ReplyBody>> {
        let mut response = Response::new(empty());
        match self {
            Self::Document => {
                *response.body_mut() = Full::new(document()).boxed_unsync();
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
            Self::Nothing => return Err(io::ErrorKind::ConnectionRefused.into()),
            Self::Status(status) => *response.status_mut() = status,
            Self::Body(body) => *response.body_mut() = Full::new(body).boxed_unsync(),
            Self::Blanks(bytes) => *response.body_mut() = Blanks(bytes).boxed_unsync(),
            Self::Redirect(to) => {
                *response.status_mut() = StatusCode::FOUND;
                let to = HeaderValue::from_maybe_shared(Bytes::from(to)).map_err(io::Error::other)?;
                response.headers_mut().insert(LOCATION, to);
            }
        }
        Ok(response)
    }
}

pub(super) fn empty() -> ReplyBody {
    Full::default().boxed_unsync()
}

/// So many blanks.
struct Blanks(u64);

impl Body for Blanks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.0.min(PIECE.len() as u64);
        self.0 -= piece;
        let data = Bytes::from_static(&PIECE[..piece as usize]);
        Poll::Ready((piece > 0).then(|| Ok(Frame::data(data))))
    }
}
