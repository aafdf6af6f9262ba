//! Sets of keys that verify signatures (RFC 7517, section 5).

mod jwk;
mod key;
#[cfg(feature = "jwks")]
mod published;
#[cfg(feature = "jwks")]
pub mod remote;

use std::path::Path;

use jsonwebtoken::jwk::JwkSet;
use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

pub use key::VerificationKey;
#[cfg(feature = "jwks")]
pub use remote::{KeysStatus, RemoteKeys};

use super::jwt::algorithm::Algorithm;
use super::jwt::jws;
use crate::{ConfigError, KeyFault, Rejection, SkippedKey};
use jwk::Jwk;

/// Keys that verify the signatures of one issuer.
///
/// A JWK that cannot be used is skipped, with its reason, and takes no other one along: sets in the field hold keys for
/// encryption, of other curves, of algorithms to come. Only two that share a `kid` do, where each could be the one that is
/// meant.
///
/// ```
/// use tower_keep::{KeyFault, KeySet};
///
/// let keys = KeySet::from_json(
///     r#"{"keys":[
///         {"kty":"OKP","crv":"Ed25519","kid":"2026","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
///         {"kty":"RSA","use":"enc","kid":"other","n":"AQAB","e":"AQAB"}
///     ]}"#,
/// )?;
/// assert_eq!(keys.len(), 1);
/// assert_eq!(keys.skipped()[0].fault(), &KeyFault::NotForSignatures);
/// # Ok::<(), tower_keep::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<VerificationKey>,
    /// Where each of them stood, counted with those that were skipped.
    places: Vec<usize>,
    skipped: Vec<SkippedKey>,
}

impl KeySet {
    /// Collects keys.
    ///
    /// # Errors
    ///
    /// [`ConfigError::KeySetMixed`] for secrets beside public keys, and [`ConfigError::KeysMissing`] if there is no key,
    /// or none that is told apart from another one of the same `kid` and algorithm.
    pub fn new(keys: impl IntoIterator<Item = VerificationKey>) -> Result<Self, ConfigError> {
        Self::collect(keys.into_iter().map(|key| (key.kid().map(str::to_owned), Ok(key))).enumerate(), Vec::new())
    }

    /// Reads a JWK Set, or a single JWK, in JSON.
    ///
    /// # Errors
    ///
    /// [`ConfigError::KeySetUnreadable`] if the text is neither, and those of [`new`](Self::new).
    pub fn from_json(json: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        #[derive(Deserialize)]
        struct Document<'a> {
            #[serde(borrow)]
            keys: Option<Vec<&'a RawValue>>,
        }
        let json = json.as_ref();
        let document: Document<'_> =
            object(json).map_err(|error| ConfigError::KeySetUnreadable { reason: without_text(&error) })?;
        match document.keys {
            Some(keys) => Self::collect(keys.into_iter().map(|key| read(key.get().as_bytes())).enumerate(), Vec::new()),
            None => VerificationKey::jwk(json).map(Self::from),
        }
    }

    /// Reads a JWK Set, or a single JWK, out of a file.
    ///
    /// # Errors
    ///
    /// As [`from_json`](Self::from_json); [`ConfigError::KeySetUnreadable`] also if the file cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let json = std::fs::read(path)
            .map_err(|error| ConfigError::KeySetUnreadable { reason: format!("{}: {error}", path.display()) })?;
        // It may hold secrets.
        Self::from_json(Zeroizing::new(json))
    }

    /// Keeps the keys of some algorithms. A key that names none, an RSA key or a secret, is bound to the first one that
    /// fits.
    ///
    /// # Errors
    ///
    /// [`ConfigError::KeysMissing`] if none is left.
    pub fn restricted_to(&self, algorithms: &[Algorithm]) -> Result<Self, ConfigError> {
        self.narrowed(|key| key.restricted(algorithms))
    }

    /// Keeps the keys that have an algorithm.
    pub(super) fn without_unbound(&self) -> Result<Self, ConfigError> {
        self.narrowed(|key| match key.bound() {
            Some(_) => Ok(key.clone()),
            None => Err(KeyFault::AlgorithmMissing),
        })
    }

    /// Keeps the keys that pass, as they pass. What is skipped keeps its place in the whole set.
    fn narrowed(
        &self,
        pass: impl Fn(&VerificationKey) -> Result<VerificationKey, KeyFault>,
    ) -> Result<Self, ConfigError> {
        let keys = self.keys.iter().map(|key| (key.kid().map(str::to_owned), pass(key)));
        Self::collect(self.places.iter().copied().zip(keys), self.skipped.clone())
    }

    /// Returns how many keys can be used.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns whether no key can be used.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the keys.
    pub fn iter(&self) -> impl Iterator<Item = &VerificationKey> {
        self.keys.iter()
    }

    /// Returns the keys that were skipped.
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    /// Verifies the signature of a JWS in its compact form and returns its payload, whatever that is. The rules for
    /// headers and keys are those for tokens; nothing in the payload is looked at, and nothing limits the length: bound it
    /// where the text comes in. For tokens use [`Jwt`](crate::Jwt).
    ///
    /// # Errors
    ///
    /// A [`Rejection`] whose reason says what is wrong.
    ///
    /// ```
    /// use tower_keep::KeySet;
    ///
    /// let keys = KeySet::from_json(r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#)?;
    /// // RFC 8037, appendix A.4
    /// let jws = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
    ///            hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    /// assert_eq!(keys.verify(jws).ok().as_deref(), Some(&b"Example of Ed25519 signing"[..]));
    /// # Ok::<(), tower_keep::ConfigError>(())
    /// ```
    pub fn verify(&self, jws: &str) -> Result<Vec<u8>, Rejection> {
        let parts = jws::Parts::split(jws.as_bytes())?;
        let mut buffer = Vec::new();
        let header = jws::Header::decode(parts.header, &mut buffer)?;
        parts.verify(self, &header)?;
        parts.decode_payload(&mut buffer)?;
        Ok(buffer)
    }

    /// Finds the keys that a token may be signed with: those of its algorithm that have its `kid` or have none, and all of
    /// its algorithm if it names no `kid`.
    pub(super) fn candidates(&self, kid: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &VerificationKey> {
        self.named(kid).filter(move |key| key.algorithm() == Some(algorithm))
    }

    /// Returns whether a token may name a key so, whatever its algorithm.
    pub(super) fn knows(&self, kid: Option<&str>) -> bool {
        self.named(kid).next().is_some()
    }

    fn named(&self, kid: Option<&str>) -> impl Iterator<Item = &VerificationKey> {
        self.keys.iter().filter(move |key| match (kid, key.kid()) {
            (Some(wanted), Some(kid)) => wanted == kid,
            _ => true,
        })
    }

    fn collect<I>(keys: I, skipped: Vec<SkippedKey>) -> Result<Self, ConfigError>
    where
        I: Iterator<Item = (usize, (Option<String>, Result<VerificationKey, KeyFault>))>,
    {
        let mut set = Self { skipped, ..Self::default() };
        let mut repeated = Vec::new();
        for (index, (kid, key)) in keys {
            match key {
                Ok(key) if set.keys.iter().any(|known| known.kid() == key.kid() && known.is_same(&key)) => {}
                Ok(key) => {
                    let rival = |known: &VerificationKey| {
                        key.kid().is_some() && known.kid() == key.kid() && known.algorithm() == key.algorithm()
                    };
                    if let Some(first) = set.keys.iter().position(rival) {
                        repeated.extend([set.places[first], index]);
                    }
                    set.keys.push(key);
                    set.places.push(index);
                }
                Err(fault) => set.skipped.push(SkippedKey::new(index, kid, fault)),
            }
        }
        // One that is broken may be the one that is meant, too.
        let broken: Vec<_> =
            set.skipped.iter().filter(|key| key.fault().is_of_the_key()).map(SkippedKey::kid).collect();
        for (key, index) in set.keys.iter().zip(&set.places) {
            if key.kid().is_some() && broken.contains(&key.kid()) {
                repeated.push(*index);
            }
        }
        if set.keys.iter().any(VerificationKey::is_secret) && !set.keys.iter().all(VerificationKey::is_secret) {
            return Err(ConfigError::KeySetMixed);
        }
        // Two keys under one name for one algorithm: neither is the one that is meant (RFC 7517, section 4.5).
        let mut places = set.places.iter();
        set.keys.retain(|key| match places.next() {
            Some(index) if repeated.contains(index) => {
                let kid = key.kid().map(str::to_owned);
                set.skipped.push(SkippedKey::new(*index, kid, KeyFault::KidRepeated));
                false
            }
            _ => true,
        });
        set.places.retain(|place| !repeated.contains(place));
        set.skipped.sort_by_key(SkippedKey::index);
        match set.keys.is_empty() {
            true => Err(ConfigError::KeysMissing { skipped: set.skipped }),
            false => Ok(set),
        }
    }
}

fn read(json: &[u8]) -> (Option<String>, Result<VerificationKey, KeyFault>) {
    #[derive(Deserialize)]
    struct Named {
        kid: Option<String>,
    }
    let kid = || object::<Named>(json).ok()?.kid;
    (kid(), Jwk::parse(json).and_then(VerificationKey::from_jwk))
}

/// Reads a JSON object. What serde derives takes an array as well, as if its elements were the members in their order.
pub(super) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, serde_json::Error> {
    match json.trim_ascii_start() {
        [b'[', ..] => Err(serde::de::Error::custom("an array")),
        _ => serde_json::from_slice(json),
    }
}

/// Says where a text stops being JSON, and nothing of the text: it may hold a secret.
fn without_text(error: &serde_json::Error) -> String {
    format!("it is not a JWK Set, from line {} column {} on", error.line(), error.column())
}

/// A set of one key.
impl From<VerificationKey> for KeySet {
    fn from(key: VerificationKey) -> Self {
        Self { keys: vec![key], places: vec![0], skipped: Vec::new() }
    }
}

/// Takes a JWK Set of the crate jsonwebtoken.
impl TryFrom<&JwkSet> for KeySet {
    type Error = ConfigError;

    fn try_from(set: &JwkSet) -> Result<Self, ConfigError> {
        let unreadable = |_| ConfigError::KeySetUnreadable { reason: "it cannot be written as JSON".to_owned() };
        Self::from_json(Zeroizing::new(serde_json::to_vec(set).map_err(unreadable)?))
    }
}

/// Takes a JWK Set, or a single JWK, as a JSON value.
impl TryFrom<&serde_json::Value> for KeySet {
    type Error = ConfigError;

    fn try_from(value: &serde_json::Value) -> Result<Self, ConfigError> {
        Self::from_json(Zeroizing::new(value.to_string()).as_bytes())
    }
}
