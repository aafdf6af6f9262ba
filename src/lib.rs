#![doc = include_str!("guide.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod answer;
#[cfg(feature = "api-key")]
pub mod api_key;
pub mod auth;
pub mod challenge;
pub mod clock;
pub mod config;
pub mod events;
pub mod principal;
pub mod rejection;
pub mod scope;
pub mod secret;
mod token;
pub mod web;

pub use answer::{Answer, BoxFuture};
#[cfg(feature = "api-key")]
pub use api_key::{
    AdminError, ApiKey, ApiKeyLayer, DigestTag, FormatError, Found, IssueError, IssuedKey, KeyAdmin, KeyDigest,
    KeyFilter, KeyFormat, KeyHasher, KeyId, KeyRecord, KeyRules, KeyStore, Lookup, MemoryStore, NewKey, Page,
    StoreError, store_fn,
};
pub use auth::{Admission, Auth, AuthLayer, Need, Problem, RequireScopes, Responder, Scheme};
pub use challenge::Challenge;
pub use clock::{Clock, SystemClock};
pub use config::ConfigError;
pub use principal::{Anonymous, Principal};
pub use rejection::{Cause, Rejection};
pub use scope::Scopes;
pub use secret::Secret;

// The snippets of the README compile, or the tests fail.
#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../README.md")]
struct Readme;
