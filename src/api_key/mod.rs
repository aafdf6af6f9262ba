//! API keys: the scheme, the form of a key, its digest, its record, and the stores.

pub mod format;
pub mod hasher;
pub mod issue;
mod judge;
mod locations;
pub mod pepper;
pub mod record;
mod rehash;
pub mod slow;
mod standing;
pub mod store;

use std::fmt;
use std::sync::Arc;

use http::header::{CACHE_CONTROL, COOKIE, REFERRER_POLICY};
use http::request::Parts;
use http::{HeaderName, HeaderValue};

pub use format::{FormatError, KeyFormat};
pub use hasher::{DigestTag, KeyDigest, KeyHasher};
pub use issue::{IssueError, IssuedKey, KeyRules, NewKey};
pub use locations::PresentedKey;
pub use record::{KeyId, KeyRecord, RateLimit, Superseded};
pub use slow::SlowHashes;
pub use store::{
    AdminError, AuditAction, AuditEntry, Cached, Found, KeyAdmin, KeyChange, KeyFilter, KeyStore, Lookup, MemoryStore,
    Notice, NoticeSender, Notices, Page, StoreFn, store_fn,
};
#[cfg(feature = "file")]
pub use store::{FileStatus, FileStore, FileStoreBuilder, KeyFileError};
#[cfg(feature = "postgres")]
pub use store::{PostgresStore, PostgresStoreBuilder};
#[cfg(feature = "redis")]
pub use store::{RedisStore, RedisStoreBuilder};
#[cfg(feature = "sqlite")]
pub use store::{SqliteStore, SqliteStoreBuilder};

use judge::Core;
use locations::{Locations, Place};
use rehash::Rehasher;
use slow::or_slowly;

use crate::auth::{Ownership, Problem};
use crate::{Admission, Answer, AuthLayer, Challenge, ConfigError, Exposure, Principal, Rejection, Scheme, Standing};

/// What [`Principal::scheme`] says.
const SCHEME: &str = "api-key";
/// The authentication scheme of the challenge and of `Authorization`. No scheme is registered for API keys.
const SCHEME_NAME: &str = "ApiKey";
const BEARER: &str = "Bearer";

/// Guards a service by API keys.
///
/// ```
/// use tower::{ServiceBuilder, service_fn};
/// use tower_keep::{ApiKeyLayer, MemoryStore};
/// # use http::{Request, Response};
/// # async fn handle(_: Request<String>) -> Result<Response<String>, std::convert::Infallible> {
/// #     Ok(Response::default())
/// # }
///
/// let keys = MemoryStore::new();
/// let service = ServiceBuilder::new().layer(ApiKeyLayer::new(keys)).service(service_fn(handle));
/// ```
pub type ApiKeyLayer<R = Problem> = AuthLayer<ApiKey, R>;

impl ApiKeyLayer {
    /// Guards by the keys of a store, with the defaults of [`ApiKey`].
    pub fn new(store: impl KeyStore) -> Self {
        Self::over(ApiKey::new(store))
    }
}

/// The API key scheme.
///
/// A key may stand in the header field `x-api-key` or in `Authorization: ApiKey`, and in other places where a setting
/// says so. One request has one key.
///
/// ```
/// use tower_keep::{ApiKey, ApiKeyLayer, MemoryStore};
///
/// let scheme = ApiKey::new(MemoryStore::new()).header("apikey")?.bearer().realm("orders")?;
/// let layer = ApiKeyLayer::over(scheme);
/// # Ok::<(), tower_keep::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct ApiKey {
    core: Arc<Core>,
    locations: Locations,
    realm: String,
    revoker: Option<Arc<dyn KeyAdmin>>,
    slow: Option<SlowHashes>,
}

impl ApiKey {
    /// Accepts the keys of a store, written and hashed as its rules say.
    pub fn new(store: impl KeyStore) -> Self {
        let rules = store.rules();
        let core = Core::new(Arc::new(store), rules, None);
        Self { core, locations: Locations::default(), realm: "api".to_owned(), revoker: None, slow: None }
    }

    /// Reads keys from another header field than `x-api-key`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::HeaderName`], and [`ConfigError::HeaderReserved`] for fields with a meaning of their own.
    pub fn header(mut self, name: &str) -> Result<Self, ConfigError> {
        self.locations.set_header(name)?;
        Ok(self)
    }

    /// Reads keys from one more header field.
    ///
    /// # Errors
    ///
    /// As [`header`](Self::header).
    pub fn also_header(mut self, name: &str) -> Result<Self, ConfigError> {
        self.locations.add_header(name)?;
        Ok(self)
    }

    /// Reads keys from `Authorization: Bearer`, too. Beside tokens in the same field, a value that starts with the
    /// prefix of the key format is a key and nothing else; where the rules accept imported keys, so is every value that
    /// is not three segments with dots between them.
    #[must_use]
    pub const fn bearer(mut self) -> Self {
        self.locations.bearer = true;
        self
    }

    /// Sets the realm of the challenge (RFC 9110, section 11.5). The default is `api`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Realm`] for characters outside printable ASCII.
    pub fn realm(mut self, realm: &str) -> Result<Self, ConfigError> {
        crate::challenge::realm(realm)?.clone_into(&mut self.realm);
        Ok(self)
    }

    /// Reads keys from a cookie, too.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ParameterName`].
    ///
    /// # Security
    ///
    /// Browsers send cookies by themselves, also for requests that a page of another site makes. Requests other than
    /// GET, HEAD, OPTIONS and TRACE, and those that ask for an upgrade, as a WebSocket does, are refused unless the
    /// browser says `Sec-Fetch-Site: same-origin` or `none`, or `Origin` is one that
    /// [`allow_origin`](Self::allow_origin) names.
    pub fn insecure_allow_cookie(mut self, name: &str) -> Result<Self, ConfigError> {
        self.locations.set_cookie(name)?;
        Ok(self)
    }

    /// Names an origin, such as `https://app.example.com`, whose pages may send requests with a key in a cookie.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Origin`].
    pub fn allow_origin(mut self, origin: &str) -> Result<Self, ConfigError> {
        self.locations.add_origin(origin)?;
        Ok(self)
    }

    /// Reads keys from a query parameter, too.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ParameterName`].
    ///
    /// # Security
    ///
    /// Targets stand in logs, histories and `Referer`. The key is taken out of the request's target, and the response
    /// says `no-store` and `no-referrer`; but what saw the request before this layer has seen the key, and axum keeps
    /// an `OriginalUri` that this layer cannot change.
    pub fn insecure_allow_query(mut self, name: &str) -> Result<Self, ConfigError> {
        self.locations.set_query(name)?;
        Ok(self)
    }

    /// Reads keys by other rules than those of the store.
    #[must_use]
    pub fn rules(mut self, rules: KeyRules) -> Self {
        self.core = Core::new(Arc::clone(&self.core.store), rules, self.core.rehasher.clone());
        self
    }

    /// Puts a digest of the present kind in the place of any other that a key was let in by: of an older pepper, of another
    /// system, or a slow hash. It is written apart from the answer, and tried again after a minute if that fails. A key that
    /// is too short for a fast hash without a pepper keeps what it has.
    ///
    /// ```
    /// use tower_keep::{ApiKey, KeyHasher, KeyRules, MemoryStore};
    ///
    /// # let [new, old] = [[7_u8; 32], [1_u8; 32]];
    /// let hasher = KeyHasher::peppered("2026", new)?.also_accepting(&KeyHasher::peppered("2025", old)?)?;
    /// let keys = MemoryStore::with(KeyRules::default().with_hasher(hasher));
    /// let scheme = ApiKey::new(keys.clone()).rehash(keys);
    /// # Ok::<(), tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn rehash(mut self, admin: impl KeyAdmin) -> Self {
        let Core { store, rules, .. } = &*self.core;
        self.core = Core::new(Arc::clone(store), rules.clone(), Some(Rehasher::new(admin)));
        self
    }

    /// Accepts keys of which another system kept a slow hash, such as one of argon2 or bcrypt, where the rules
    /// [accept imported keys](KeyRules::accepting_imported).
    #[must_use]
    pub fn slow_hashes(mut self, hashes: SlowHashes) -> Self {
        self.slow = Some(hashes);
        self
    }

    /// Revokes keys that came over plain HTTP, where [`RequireHttps::watch`](crate::RequireHttps::watch) finds them: the
    /// whole key has to be right, and the key is revoked with all its secrets. Without this setting they are reported.
    ///
    /// ```
    /// use tower_keep::{ApiKey, ApiKeyLayer, MemoryStore, RequireHttps};
    ///
    /// let keys = MemoryStore::new();
    /// let guard = ApiKeyLayer::over(ApiKey::new(keys.clone()).revoke_exposed(keys));
    /// let https = RequireHttps::new().watch(&guard).revocations_per_minute(5);
    /// ```
    #[must_use]
    pub fn revoke_exposed(mut self, admin: impl KeyAdmin) -> Self {
        self.revoker = Some(Arc::new(admin));
        self
    }

    /// Looks for the record of a key, and returns the id that the key names, if it names one. Nothing is hashed and
    /// nothing is looked up for a key whose checksum is wrong.
    fn find(&self, text: &str) -> Result<(Option<KeyId>, Answer<Found>), Rejection> {
        let Core { store, rules, .. } = &*self.core;
        match rules.format().parse(text) {
            Ok(id) => Ok((Some(id), store.find(&Lookup::Id(id)))),
            Err(FormatError::Foreign) if rules.accepts_imported() => {
                let hasher = rules.hasher();
                let present = store.find(&Lookup::Digest(hasher.digest(text)));
                if hasher.tags().nth(1).is_none() {
                    return Ok((None, present));
                }
                // What is known at once is right. An answer that would come later is not asked for.
                if let Some(found @ Ok(Some(_))) = present.now() {
                    return Ok((None, Answer::Now(found)));
                }
                let digests = hasher.tags().filter_map(|tag| hasher.digest_as(tag, text)).collect();
                Ok((None, find_by_digest(store, digests)))
            }
            Err(FormatError::Foreign) => Err(Rejection::invalid("key_foreign")),
            Err(FormatError::Shape) => Err(Rejection::invalid("key_malformed")),
            Err(FormatError::Checksum) => Err(Rejection::invalid("key_checksum")),
        }
    }
}

/// Looks for one digest after the other, the last one first. A digest of an older kind makes way for one of the present kind
/// and for no other, so that a key that is rehashed meanwhile is found by what is looked for later.
fn find_by_digest(store: &Arc<dyn KeyStore>, mut digests: Vec<KeyDigest>) -> Answer<Found> {
    let Some(digest) = digests.pop() else { return Answer::Now(Ok(None)) };
    let answer = store.find(&Lookup::Digest(digest));
    if digests.is_empty() {
        return answer;
    }
    let store = Arc::clone(store);
    answer.then(move |found| match found {
        Ok(None) => find_by_digest(&store, digests),
        found => Answer::Now(found),
    })
}

/// Adds what the place of a key asks of the response.
fn from_place(verdict: Result<Admission, Rejection>, key: &PresentedKey) -> Result<Admission, Rejection> {
    let scheme = Some(key.presented_as());
    let no_store = (CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let no_referrer = (REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    match verdict {
        Ok(admission) => {
            let admission = admission.presented_as(scheme);
            Ok(match key.place() {
                Place::Authorization(_) => admission,
                Place::Header(name) => admission.in_field(name.clone()),
                Place::Cookie => admission.in_field(COOKIE),
                Place::Query => [no_store, no_referrer]
                    .into_iter()
                    .fold(admission, |admission, (name, value)| admission.with_header(name, value)),
            })
        }
        Err(rejection) => {
            let rejection = rejection.presented_as(scheme);
            Err(match key.place() {
                Place::Query => rejection.with_header(no_referrer.0, no_referrer.1),
                _ => rejection,
            })
        }
    }
}

impl Scheme for ApiKey {
    type Credential = PresentedKey;

    fn take(&self, head: &mut Parts) -> Result<Option<PresentedKey>, Rejection> {
        self.locations.take(head, &self.core.rules)
    }

    fn owns(&self, authorization: &HeaderValue) -> Ownership {
        self.locations.owns(authorization, &self.core.rules)
    }

    fn bearer_kinds(&self) -> Vec<Ownership> {
        let catches_all = self.locations.bearer && self.core.rules.accepts_imported();
        catches_all.then_some(Ownership::CatchAll).into_iter().collect()
    }

    fn verify(&self, key: PresentedKey) -> Answer<Result<Admission, Rejection>> {
        let (id, found) = match self.find(key.as_str()) {
            Ok(found) => found,
            Err(rejection) => return Answer::Now(from_place(Err(rejection), &key)),
        };
        let core = Arc::clone(&self.core);
        match self.slow.clone().filter(|_| id.is_none()) {
            None => found.map(move |found| from_place(core.judge(&key, id, found), &key)),
            slow => found
                .then(|found| or_slowly(slow, core, key, found))
                .map(move |(core, key, found, checked)| from_place(core.judge_checked(&key, id, found, checked), &key)),
        }
    }

    /// Asks the store, and takes no answer that would come later: it is dropped before it does anything.
    fn recall(&self, key: PresentedKey) -> Option<Admission> {
        self.verify(key).now()?.ok()
    }

    fn exposed(&self, key: PresentedKey) -> Answer<Exposure> {
        // What cannot be a key is none.
        let Ok((id, found)) = self.find(key.as_str()) else { return Answer::Now(Exposure::worthless()) };
        let (core, revoker) = (Arc::clone(&self.core), self.revoker.clone());
        let slow = self.slow.clone().filter(|_| id.is_none());
        found.then(|found| or_slowly(slow, core, key, found)).map(move |(core, key, found, checked)| {
            let of = |found: &Found| found.as_ref().ok().and_then(|record| Some(*record.as_ref()?.id()));
            let checked_id = checked.as_ref().ok().and_then(|checked| Some(*checked.as_ref()?.0.id()));
            let id = of(&found).or(checked_id);
            let exposure = core.judge_exposed_checked(&key, found, checked);
            match revoker.zip(id) {
                Some((revoker, id)) => exposure.with_revocation(move || revoker.revoke(&id).map(|done| done.map(drop))),
                None => exposure,
            }
        })
    }

    fn standing(&self, principal: &Principal) -> Option<Answer<Standing>> {
        self.core.standing(principal)
    }

    fn challenges(&self) -> Vec<Challenge> {
        let schemes = [Some(SCHEME_NAME), self.locations.bearer.then_some(BEARER)];
        schemes.into_iter().flatten().map(|scheme| Challenge::new(scheme).with("realm", self.realm.clone())).collect()
    }

    fn fields(&self) -> Vec<HeaderName> {
        self.locations.fields()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("locations", &self.locations)
            .field("rules", &self.core.rules)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}
