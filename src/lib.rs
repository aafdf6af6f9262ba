#![doc = include_str!("guide.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod answer;
#[cfg(feature = "api-key")]
pub mod api_key;
pub mod auth;
#[cfg(feature = "bearer")]
pub mod bearer;
mod catalogue;
pub mod challenge;
pub mod clock;
pub mod config;
mod durability;
pub mod events;
#[cfg(any(feature = "introspection", feature = "jwks"))]
pub mod fetch;
pub mod https;
mod key_fault;
#[cfg(feature = "limits")]
pub mod limits;
pub mod origin;
pub mod principal;
#[cfg(feature = "redis")]
pub mod redis_server;
pub mod rejection;
pub mod scope;
pub mod secret;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
mod standing;
mod store_error;
#[cfg(feature = "testing")]
pub mod testing;
mod token;
pub mod web;

pub use answer::{Answer, BoxFuture};
#[cfg(feature = "api-key")]
pub use api_key::{
    AdminError, ApiKey, ApiKeyLayer, AuditAction, AuditEntry, Cached, DigestTag, FormatError, Found, IssueError,
    IssuedKey, KeyAdmin, KeyChange, KeyDigest, KeyFilter, KeyFormat, KeyHasher, KeyId, KeyRecord, KeyRules, KeyStore,
    Lookup, MemoryStore, NewKey, Notice, NoticeSender, Notices, Page, RateLimit, SlowHashes, store_fn,
};
#[cfg(feature = "file")]
pub use api_key::{FileStatus, FileStore, FileStoreBuilder, KeyFileError};
#[cfg(feature = "postgres")]
pub use api_key::{PostgresStore, PostgresStoreBuilder};
#[cfg(feature = "redis")]
pub use api_key::{RedisStore, RedisStoreBuilder};
#[cfg(feature = "sqlite")]
pub use api_key::{SqliteStore, SqliteStoreBuilder};
pub use auth::{
    Admission, Auth, AuthLayer, FailedAttempts, Need, Ownership, Problem, RequireLogin, RequireScopes, Responder,
    Scheme,
};
#[cfg(any(feature = "introspection", feature = "jwks"))]
pub use bearer::Issuer;
#[cfg(feature = "bearer")]
pub use bearer::{
    Algorithm, Bearer, BearerLayer, Claims, Denial, DenyAdmin, DenyList, Issuers, IssuersBuilder, Jwt, JwtBuilder,
    KeySet, MemoryDenyList, MemoryReplayStore, PresentedToken, ReplayStore, TokenFacts, TokenForm, TokenVerifier,
    ToldBy, VerificationKey,
};
#[cfg(feature = "introspection")]
pub use bearer::{ClientAuth, Introspection, IntrospectionBuilder, SigningKey};
#[cfg(feature = "jwks")]
pub use bearer::{KeysStatus, RemoteKeys, Tenants};
#[cfg(all(feature = "bearer", feature = "postgres"))]
pub use bearer::{PostgresDenyList, PostgresReplayStore};
#[cfg(feature = "bearer")]
pub use bearer::{ProtectedResource, ResourceMetadata};
#[cfg(all(feature = "bearer", feature = "redis"))]
pub use bearer::{RedisDenyList, RedisReplayStore};
pub use catalogue::ScopeCatalogue;
pub use challenge::Challenge;
pub use clock::{Clock, SystemClock};
pub use config::{ConfigError, ConfigErrors};
pub use durability::Durability;
#[cfg(all(feature = "reqwest", any(feature = "introspection", feature = "jwks")))]
pub use fetch::HttpClientBuilder;
#[cfg(any(feature = "introspection", feature = "jwks"))]
pub use fetch::{HttpClient, Outage};
pub use https::{Exposed, Exposure, Hsts, RequireHttps};
pub use key_fault::{KeyFault, SkippedKey};
#[cfg(feature = "limits")]
pub use limits::KeyLimits;
pub use origin::{Origin, Transport, TrustedProxies, mark_plain, mark_secure};
pub use principal::{Anonymous, Principal};
#[cfg(feature = "redis")]
pub use redis_server::RedisServer;
pub use rejection::{Cause, Rejection};
pub use scope::Scopes;
pub use secret::Secret;
pub use standing::{Ending, Standing};
pub use store_error::StoreError;

// The snippets of the README compile, or the tests fail.
#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../README.md")]
struct Readme;

// And those of the guide to issuers.
#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../docs/providers.md")]
struct Providers;

// And those of the guides to keys that are there already, and to where they are kept.
#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../docs/moving-in.md")]
struct MovingIn;

#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../docs/stores.md")]
struct Stores;
