//! How many requests a caller may make.
//!
//! [`KeyLimits`] stands inside the layer that authenticates, as [`RequireScopes`](crate::RequireScopes) does, and holds each
//! key to the rate on its record:
//!
//! ```
//! use std::time::Duration;
//! use tower::{Layer, service_fn};
//! use tower_keep::{ApiKeyLayer, KeyLimits, MemoryStore, NewKey, RateLimit};
//! # use http::{Request, Response};
//! # async fn handle(_: Request<String>) -> Result<Response<String>, std::convert::Infallible> { Ok(Response::default()) }
//!
//! // For keys whose record has no rate of its own:
//! let limits = KeyLimits::new().default_rate(RateLimit::new(100, Duration::from_secs(60))?);
//! let app = ApiKeyLayer::new(MemoryStore::new()).layer(limits.layer(service_fn(handle)));
//! # Ok::<(), tower_keep::ConfigError>(())
//! ```
//!
//! A caller over its rate is answered 429, gRPC code 8, with `Retry-After`. Its reason in the log is `limited`. What was let
//! through is answered with the fields of draft-ietf-httpapi-ratelimit-headers, and so is what was not:
//!
//! ```text
//! RateLimit-Policy: "key";q=100;w=60
//! RateLimit: "key";r=99;t=1
//! ```
//!
//! `r` requests are left; after `t` seconds, rounded up, all of them are back, or the next one where none is left.
//!
//! # Who is counted
//!
//! | caller | rate | counted |
//! |---|---|---|
//! | an API key | that of its record, else the [default](KeyLimits::default_rate) | by itself |
//! | anybody else, by a token, say | the default, else none | by issuer and subject |
//! | nobody, behind an optional layer | none | |
//!
//! [`per_owner`](KeyLimits::per_owner) and [`shared_by`](KeyLimits::shared_by) count several keys together. Two of these layers
//! may stand inside each other: one for each key, and one for each owner at a [fixed rate](KeyLimits::fixed_rate).
//!
//! The rate is a part of what is counted: where it changes, the new one counts from the next request on, starting with all
//! its requests; keys that are counted together at different rates are counted for each rate.
//!
//! # What it does not do
//!
//! It counts in the memory of one process, for all services of a layer and its clones: N servers behind a load balancer let N
//! times the rate through, and a restart forgets. A stream is one request, however long it lasts. It is for fairness, and no guard
//! against those who have no good credential: [`AuthLayer::throttle`](crate::AuthLayer::throttle) is.

mod buckets;
mod fields;
mod future;
mod service;

use std::fmt;
use std::iter::successors;
use std::sync::Arc;

use tower_layer::Layer;

pub use future::LimitedFuture;
pub use service::KeyLimitsService;

use crate::{KeyRecord, Principal, RateLimit};
use buckets::{Buckets, Payer};
use fields::Usage;

/// How many callers are counted unless another number is set.
const CAPACITY: usize = 100_000;

/// Holds callers to their request rate; see the [module](self). Without settings it is the rate on the record of a key, and
/// whoever has none is not limited.
#[derive(Clone)]
pub struct KeyLimits {
    default: Option<RateLimit>,
    fixed: Option<RateLimit>,
    counted: Counted,
    buckets: Arc<Buckets>,
}

/// What is counted together.
#[derive(Clone)]
enum Counted {
    Keys,
    Owners,
    By { name: Arc<str>, rule: Arc<Rule> },
}

type Rule = dyn Fn(&Principal) -> Option<String> + Send + Sync;

impl KeyLimits {
    /// Limits keys by the rate on their record, each by itself.
    pub fn new() -> Self {
        Self { default: None, fixed: None, counted: Counted::Keys, buckets: Arc::new(Buckets::new(CAPACITY)) }
    }

    /// Sets the rate of those who have none on a record. There is none by default, so they are not limited.
    #[must_use]
    pub const fn default_rate(mut self, rate: RateLimit) -> Self {
        self.default = Some(rate);
        self
    }

    /// Holds everybody to the same rate, whatever their record says.
    #[must_use]
    pub const fn fixed_rate(mut self, rate: RateLimit) -> Self {
        self.fixed = Some(rate);
        self
    }

    /// Counts all keys of an owner together: by [`Principal::subject`] and [`Principal::issuer`], so that a token never is
    /// counted as somebody's key. The policy is called `owner` in the answers.
    #[must_use]
    pub fn per_owner(mut self) -> Self {
        self.counted = Counted::Owners;
        self
    }

    /// Counts all callers together for whom a rule says the same; one for whom it says nothing is counted by itself. The name
    /// is that of the policy in the answers; other characters than ASCII letters, digits, `-` and `_` are left out.
    ///
    /// ```
    /// use tower_keep::{KeyLimits, KeyRecord};
    ///
    /// // By a label of the key.
    /// let limits = KeyLimits::new().shared_by("team", |principal| {
    ///     let record = principal.details::<KeyRecord>()?;
    ///     record.labels().find(|(name, _)| *name == "team").map(|(_, team)| team.to_owned())
    /// });
    /// ```
    #[must_use]
    pub fn shared_by(
        mut self,
        name: &str,
        rule: impl Fn(&Principal) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
        let name = name.chars().filter(is_plain).collect::<String>().into();
        self.counted = Counted::By { name, rule: Arc::new(rule) };
        self
    }

    /// Sets how many callers are counted at most, one at least. The default is 100,000; each takes about 200 bytes. Those who
    /// have all their requests again are forgotten first. Where that makes too little room, so is an eighth of the others, those
    /// that have the least left to wait: nobody is refused for want of room, and nobody is let through uncounted. Whoever is
    /// forgotten starts anew, so it takes more good credentials than there is room for to gain anything.
    #[must_use]
    pub fn capacity(mut self, callers: usize) -> Self {
        self.buckets = Arc::new(Buckets::new(callers));
        self
    }

    /// Counts a request; nothing for a caller without a limit.
    fn count(&self, principal: &Principal) -> Option<Usage> {
        // Where two layers are stacked, the key may be the outer one's.
        let record =
            successors(Some(principal), |principal| principal.before()).find_map(Principal::details::<KeyRecord>);
        let rate = self.fixed.or_else(|| record?.rate()).or(self.default)?;
        Some(self.buckets.count(self.payer(principal, record), rate))
    }

    fn payer(&self, principal: &Principal, record: Option<&KeyRecord>) -> Payer {
        let shared = match &self.counted {
            Counted::By { rule, .. } => rule(principal),
            Counted::Keys | Counted::Owners => None,
        };
        match (shared, record, &self.counted) {
            (Some(shared), ..) => Payer::Shared(shared.into()),
            (None, Some(record), Counted::Owners) => Payer::subject(None, record.owner()),
            (None, Some(record), _) => Payer::Key(*record.id()),
            (None, None, _) => Payer::subject(principal.issuer(), principal.subject()),
        }
    }

    /// Returns the name of the policy.
    fn policy(&self) -> &str {
        match &self.counted {
            Counted::Keys => "key",
            Counted::Owners => "owner",
            Counted::By { name, .. } => name,
        }
    }
}

impl Default for KeyLimits {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for KeyLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyLimits")
            .field("policy", &self.policy())
            .field("default", &self.default)
            .field("fixed", &self.fixed)
            .field("callers", &self.buckets.len())
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for KeyLimits {
    type Service = KeyLimitsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        KeyLimitsService::new(inner, self.clone())
    }
}
