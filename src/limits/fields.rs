//! What a caller is told of its limit.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::auth::whole_seconds;
use crate::{RateLimit, Rejection};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// What a request left of a limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    pub(super) rate: RateLimit,
    pub(super) left: u32,
    /// When all requests are back, or the next one where none is left.
    pub(super) back_in: Duration,
    /// How long to wait, if it was one too many.
    pub(super) wait: Option<Duration>,
}

/// The fields of draft-ietf-httpapi-ratelimit-headers: items of lists with a name, in the form of RFC 9651.
#[derive(Debug)]
pub(super) struct Fields {
    policy: HeaderValue,
    limit: HeaderValue,
}

impl Fields {
    pub(super) fn new(name: &str, usage: &Usage) -> Self {
        let Usage { rate, left, back_in, .. } = usage;
        // Names are letters, and numbers are digits.
        let value = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
        Self {
            policy: value(format!("\"{name}\";q={};w={}", rate.requests(), rate.per().as_secs())),
            limit: value(format!("\"{name}\";r={left};t={}", whole_seconds(*back_in))),
        }
    }

    /// Adds the fields to those of a limit further in.
    pub(super) fn append_to(self, headers: &mut HeaderMap) {
        headers.append(POLICY, self.policy);
        headers.append(LIMIT, self.limit);
    }

    pub(super) fn refuse(self, wait: Duration) -> Rejection {
        Rejection::limited(wait).with_header(POLICY, self.policy).with_header(LIMIT, self.limit)
    }
}
