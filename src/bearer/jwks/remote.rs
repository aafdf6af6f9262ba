//! Keys that an issuer publishes, kept up to date.
//!
//! ```
//! use std::time::Duration;
//! use tower_keep::{Jwt, RemoteKeys};
//!
//! # fn tokens() -> Result<Jwt, Box<dyn std::error::Error>> {
//! let keys = RemoteKeys::new("https://login.example.com/jwks").max_stale(Duration::from_secs(30 * 60));
//! let tokens = Jwt::with_remote_keys(keys)
//!     .issuer("https://login.example.com")
//!     .audience("https://api.example.com")
//!     .build()?;
//! # Ok(tokens)
//! # }
//! ```
//!
//! [`Jwt::discover`](crate::Jwt::discover) finds out where the keys are from the metadata of the issuer (RFC 8414, OpenID
//! Connect Discovery), so that it has to be told nothing but the issuer.
//!
//! # What happens when
//!
//! | event | what is done |
//! |---|---|
//! | the first token | the keys are fetched, once for all who wait; [`Jwt::ready`](crate::Jwt::ready) does it before there is one |
//! | time passes | they are fetched anew when 80 % of their time is over, give or take a tenth; nobody waits for that |
//! | a token names a key that is not there | they are fetched, and the token is looked at once more; then not again for 30 seconds, whatever such tokens come |
//! | a fetch fails, or brings no usable key | the keys that are there stay in use, for an hour beyond their time; it is tried again after a second, then two, up to a minute |
//! | there are no keys, or their time is over | 503 and `Retry-After`; never 401, since nobody knows |
//! | a token names no known key, and the last fetch failed | 503 as well |
//!
//! Keys are fresh for as long as `Cache-Control: max-age` says, a minute at least and a day at most, or else for 10 minutes.
//! An answer is 256 KiB at most, and has 5 seconds in all. A key that cannot be used is skipped, a secret among them; of the
//! usable ones the first 100 count. A redirect is a failure, and so is a document without a usable key.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, ETAG};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};

use super::KeySet;
use crate::ConfigError;
use crate::bearer::access::{Access, Documents};
use crate::bearer::discovery::{Discovery, Issuer, Member};
use crate::fetch::{Endpoint, FetchError, Fetched, HttpClient, Timing};

/// Where an issuer publishes its keys, and how they are kept up to date. See the [module](self).
#[derive(Clone, Debug)]
pub struct RemoteKeys {
    place: Place,
    access: Access,
    timing: Timing,
    seed: Option<Bytes>,
}

#[derive(Clone, Debug)]
enum Place {
    Url(String),
    Issuer(Issuer),
}

impl RemoteKeys {
    /// Takes keys from a URL, which has to be `https`.
    pub fn new(url: impl Into<String>) -> Self {
        Self::at(Place::Url(url.into()), Access::default())
    }

    fn at(place: Place, access: Access) -> Self {
        Self { place, access, timing: Timing::default(), seed: None }
    }

    /// Asks by another client than the default one of the feature `reqwest`.
    #[must_use]
    pub fn client(mut self, client: HttpClient) -> Self {
        self.access.client = Some(client);
        self
    }

    /// Sends the content of a file as `Authorization: Bearer` with each request to the server of the URL, or of the issuer; to
    /// another server, to which the metadata may lead, it is not sent. The file is read each time, since others may write a new
    /// credential into it: for key sets that are not open to everybody, such as that of Kubernetes.
    #[must_use]
    pub fn bearer_file(mut self, file: impl AsRef<Path>) -> Self {
        self.access.bearer_file = Some(file.as_ref().to_owned());
        self
    }

    /// Allows `http` to this very machine, for tests and sidecars.
    #[must_use]
    pub fn insecure_allow_loopback(mut self) -> Self {
        self.access.allow_loopback = true;
        self
    }

    /// Sets how long keys are fresh if their server does not say; 10 minutes by default, a minute at least and a day
    /// at most.
    #[must_use]
    pub fn fresh_for(mut self, time: Duration) -> Self {
        self.timing.fresh = time;
        self
    }

    /// Sets for how long keys are used beyond their time while they cannot be fetched; an hour by default. A key that the
    /// issuer has withdrawn may be trusted for so long.
    #[must_use]
    pub fn max_stale(mut self, time: Duration) -> Self {
        self.timing.max_stale = time;
        self
    }

    /// Sets how long a fetch that an unknown key caused keeps others from causing one; 30 seconds by default, a
    /// second at least.
    #[must_use]
    pub fn cool_down(mut self, time: Duration) -> Self {
        self.timing.cool_down = time.max(Duration::from_secs(1));
        self
    }

    /// Starts with a key set that was [exported](crate::Jwt::export_keys) before, so that a start while the issuer is out of
    /// reach is none without keys. It is used until there is news, and no longer than keys that are stale.
    #[must_use]
    pub fn seed(mut self, exported: impl Into<Bytes>) -> Self {
        self.seed = Some(exported.into());
        self
    }

    /// Makes what fetches, and says what it starts with.
    pub(in crate::bearer) fn open(self) -> Result<(Arc<Fetcher>, Timing, Option<KeySet>), Vec<ConfigError>> {
        let Self { place, access, timing, seed } = self;
        let mut errors = Vec::new();
        let mut keep = |error| errors.push(error);
        let name = match &place {
            Place::Url(url) => url.clone(),
            Place::Issuer(issuer) => issuer.url().to_owned(),
        };
        let place = match place {
            Place::Url(url) => Endpoint::new(&url, access.allow_loopback).map(Source::Url),
            Place::Issuer(issuer) => {
                issuer.open(access.allow_loopback, Member::JwksUri).map(Box::new).map(Source::Discovery)
            }
        };
        let place = place.map_err(&mut keep).ok();
        let home = place.as_ref().map(|place| match place {
            Source::Url(endpoint) => endpoint.clone(),
            Source::Discovery(discovery) => discovery.issuer().clone(),
        });
        let documents = access.open(home).map_err(&mut keep).ok();
        let set = seed.as_ref().map(|seed| KeySet::published(seed)).transpose().map_err(&mut keep).ok().flatten();
        let (Some(documents), Some(place), true) = (documents, place, errors.is_empty()) else { return Err(errors) };
        let last = Mutex::new(seed.map(|document| Last { document, etag: None, from: None }));
        let fetcher = Fetcher { name, documents, place, last };
        Ok((Arc::new(fetcher), timing, set))
    }
}

impl Issuer {
    /// Returns the keys of the issuer, for settings of their own.
    pub fn keys(self) -> RemoteKeys {
        let access = self.access.clone();
        RemoteKeys::at(Place::Issuer(self), access)
    }
}

/// How the keys of an issuer stand.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeysStatus {
    /// Whether there are keys that may be used.
    pub usable: bool,
    /// How many there are.
    pub keys: usize,
    /// How many were skipped, since they cannot be used.
    pub skipped: usize,
    /// How long ago they were fetched, if they were.
    pub age: Option<Duration>,
    /// How often it was tried to fetch them.
    pub fetches: u64,
    /// Why the last fetch failed, if it did. It may name machines, and is for operators alone.
    pub last_error: Option<String>,
    /// When they are fetched next.
    pub next_fetch: Option<Duration>,
}

/// Fetches the keys.
pub(in crate::bearer) struct Fetcher {
    name: String,
    documents: Documents,
    place: Source,
    last: Mutex<Option<Last>>,
}

enum Source {
    Url(Endpoint),
    Discovery(Box<Discovery>),
}

/// The last document that was of use.
#[derive(Clone)]
struct Last {
    document: Bytes,
    etag: Option<HeaderValue>,
    /// Where it was fetched; nowhere if it was handed in.
    from: Option<Uri>,
}

impl Fetcher {
    /// Fetches the keys, and hands them on if they are others than before.
    pub(in crate::bearer) async fn fetch(
        &self,
        install: impl FnOnce(KeySet) -> Result<(), ConfigError>,
    ) -> Result<Fetched, FetchError> {
        let endpoint = match &self.place {
            Source::Url(endpoint) => endpoint.clone(),
            Source::Discovery(discovery) => discovery.find(&self.documents).await?,
        };
        let fetched = self.fetch_from(&endpoint, install).await;
        if let (Err(_), Source::Discovery(discovery)) = (&fetched, &self.place) {
            // They may have moved.
            discovery.doubt().await;
        }
        fetched
    }

    async fn fetch_from(
        &self,
        endpoint: &Endpoint,
        install: impl FnOnce(KeySet) -> Result<(), ConfigError>,
    ) -> Result<Fetched, FetchError> {
        // What one place says of its document is nothing to another one.
        let last = self.last().filter(|last| last.from.as_ref() == Some(endpoint.uri()));
        let response = self.documents.get(endpoint, last.as_ref().and_then(|last| last.etag.clone())).await?;
        let fresh_for = fresh_for(response.headers());
        let etag = response.headers().get(ETAG).cloned();
        match (response.status(), last) {
            // Nobody else was asked whether it is still the same.
            (StatusCode::NOT_MODIFIED, Some(Last { etag: Some(_), .. })) => return Ok(Fetched { fresh_for }),
            (StatusCode::OK, _) => {}
            (status, _) => return Err(FetchError::Status(status)),
        }
        let document = response.into_body();
        // The same document is no news: tokens that were verified by its keys stay so.
        let is_known = self.last().is_some_and(|last| last.document == document);
        if !is_known {
            install(KeySet::published(&document).map_err(FetchError::document)?).map_err(FetchError::document)?;
        }
        let last = Last { document, etag, from: Some(endpoint.uri().clone()) };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
        Ok(Fetched { fresh_for })
    }

    /// Returns the URL of the issuer or of its keys.
    pub(in crate::bearer) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the last document that was of use.
    pub(in crate::bearer) fn document(&self) -> Option<Bytes> {
        self.last().map(|last| last.document)
    }

    fn last(&self) -> Option<Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Returns how long an answer is fresh, if it says so (RFC 9111, section 5.2.2). What forbids to keep it, or cannot be read,
/// is no time at all, which is taken for the shortest.
fn fresh_for(headers: &HeaderMap) -> Option<Duration> {
    let mut directives = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or("no-store").split(','))
        .map(|directive| directive.trim().to_ascii_lowercase())
        .filter(|directive| !directive.is_empty())
        .peekable();
    directives.peek()?;
    let mut seconds = None;
    for directive in directives {
        match directive.split_once('=') {
            None if matches!(directive.as_str(), "no-store" | "no-cache") => return Some(Duration::ZERO),
            Some(("max-age", value)) => seconds = Some(value.trim_matches('"').parse().unwrap_or(0)),
            _ => {}
        }
    }
    seconds.map(Duration::from_secs)
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fetcher")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_fresh_for_as_long_as_it_says() {
        let cases: [(&[&str], Option<u64>); 14] = [
            (&[], None),
            (&[""], None),
            (&["public"], None),
            (&["max-age=300"], Some(300)),
            (&["public, Max-Age=300, must-revalidate"], Some(300)),
            (&["public", "max-age=300"], Some(300)),
            (&["max-age=\"300\""], Some(300)),
            (&["max-age=0"], Some(0)),
            (&["max-age=-1"], Some(0)),
            (&["max-age=soon"], Some(0)),
            (&["max-age=99999999999999999999"], Some(0)),
            (&["no-store"], Some(0)),
            (&["max-age=300, no-cache"], Some(0)),
            (&["s-maxage=5"], None),
        ];
        for (lines, expected) in cases {
            let headers = HeaderMap::from_iter(lines.iter().map(|line| (CACHE_CONTROL, line.parse().unwrap())));
            assert_eq!(fresh_for(&headers), expected.map(Duration::from_secs), "{lines:?}");
        }
    }
}
