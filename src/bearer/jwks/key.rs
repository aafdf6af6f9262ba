//! One key that verifies signatures.

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::{DecodingKey, DecodingKeyKind, jwk};
use zeroize::Zeroizing;

use super::jwk::{Jwk, Material};
use crate::bearer::jwt::algorithm::{Algorithm, Family};
use crate::bearer::jwt::pem;
use crate::bearer::jwt::signature::Verifier;
use crate::{ConfigError, KeyFault};

/// A key that verifies the signatures of tokens, with one algorithm and no other (RFC 8725, section 3.1).
///
/// ```
/// use tower_keep::{Algorithm, VerificationKey};
///
/// let secret = [0x5a, 0x13].map(|byte: u8| [byte; 17]).concat(); // 32 random bytes or more
/// let key = VerificationKey::secret(Algorithm::HS256, &secret)?.with_kid("2026-11");
/// # Ok::<(), tower_keep::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct VerificationKey {
    kid: Option<Arc<str>>,
    bound: Option<Bound>,
    /// Whose tokens it may sign, if its JWK says so.
    issuer: Option<Arc<str>>,
    /// What a JWK without `alg` is made of, where its type leaves several algorithms.
    unnamed: Option<Material>,
}

/// An algorithm, and what verifies with it.
#[derive(Clone)]
pub(crate) struct Bound {
    pub(crate) algorithm: Algorithm,
    pub(crate) verifier: Arc<Verifier>,
}

impl VerificationKey {
    /// Takes a secret that the issuer shares with this service.
    ///
    /// # Errors
    ///
    /// [`KeyFault::SecretTooShort`] for less than 32, 48 or 64 bytes (RFC 7518, section 3.2),
    /// [`KeyFault::SecretWeak`] for one that everybody can guess, [`KeyFault::AlgorithmMismatch`] for an algorithm that
    /// takes a public key.
    ///
    /// # Security
    ///
    /// Whoever verifies with a secret can sign with it, too. A public key is the better choice wherever there is one.
    pub fn secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, ConfigError> {
        let verifier = Verifier::secret(algorithm, secret)?;
        // Memory that nobody filled. In a JWK, somebody wrote so many zeros.
        if secret.iter().all(|byte| *byte == 0) {
            return Err(KeyFault::SecretWeak.into());
        }
        Ok(Self::new(algorithm, verifier))
    }

    /// Takes a public key in PEM: the one section `PUBLIC KEY` (or `RSA PUBLIC KEY`) of a text.
    ///
    /// # Errors
    ///
    /// [`KeyFault::Pem`], [`KeyFault::Private`] for a private key, and those of [`der`](Self::der).
    pub fn pem(algorithm: Algorithm, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        Self::der(algorithm, pem::public_key(pem.as_ref())?)
    }

    /// Takes a public key in DER: a `SubjectPublicKeyInfo` (RFC 5280, section 4.1), for RSA also an `RSAPublicKey`
    /// (RFC 8017, appendix A.1.1), for the curves also the point alone.
    ///
    /// # Errors
    ///
    /// [`KeyFault::Der`], [`KeyFault::AlgorithmMismatch`] for an algorithm that takes a secret, and for RSA
    /// [`KeyFault::ModulusSize`], [`KeyFault::ExponentInvalid`] and [`KeyFault::ModulusWeak`].
    pub fn der(algorithm: Algorithm, der: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        Ok(Self::new(algorithm, Verifier::der(algorithm, der.as_ref())?))
    }

    /// Takes a key of the crate jsonwebtoken. Nothing else of that crate is used, neither its backends nor its
    /// process-wide choice among them.
    ///
    /// # Errors
    ///
    /// [`KeyFault::AlgorithmMismatch`] if the key is of another family than the algorithm, and those of
    /// [`secret`](Self::secret) and [`der`](Self::der).
    pub fn decoding_key(algorithm: Algorithm, key: &DecodingKey) -> Result<Self, ConfigError> {
        use jsonwebtoken::AlgorithmFamily as Theirs;
        let family = match key.family() {
            Theirs::Hmac => Family::Secret,
            Theirs::Rsa => Family::Rsa,
            Theirs::Ec => Family::EllipticCurve,
            Theirs::Ed => Family::Edwards,
        };
        if family != algorithm.family() {
            return Err(KeyFault::AlgorithmMismatch.into());
        }
        match key.kind() {
            DecodingKeyKind::SecretOrDer(secret) if family == Family::Secret => Self::secret(algorithm, secret),
            DecodingKeyKind::SecretOrDer(der) => Self::der(algorithm, der),
            DecodingKeyKind::RsaModulusExponent { n, e } => Ok(Self::new(algorithm, Verifier::rsa(algorithm, n, e)?)),
        }
    }

    /// Takes a JWK (RFC 7517) as JSON.
    ///
    /// # Errors
    ///
    /// Every [`KeyFault`] but those of PEM and DER.
    pub fn jwk(json: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        Ok(Self::from_jwk(Jwk::parse(json.as_ref())?)?)
    }

    /// Sets the key id, by which tokens name the key (RFC 7515, section 4.1.4). A key without one verifies tokens with
    /// any `kid` and with none.
    #[must_use]
    pub fn with_kid(mut self, kid: &str) -> Self {
        self.kid = Some(Arc::from(kid));
        self
    }

    /// Returns the key id.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(crate) fn shared_kid(&self) -> Option<Arc<str>> {
        self.kid.clone()
    }

    pub(crate) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Returns the algorithm; none for a secret that names none, which is of no use until one is configured.
    pub fn algorithm(&self) -> Option<Algorithm> {
        Some(self.bound.as_ref()?.algorithm)
    }

    pub(crate) const fn bound(&self) -> Option<&Bound> {
        self.bound.as_ref()
    }

    /// Returns whether the key is a secret.
    pub(super) fn is_secret(&self) -> bool {
        self.unnamed.as_ref().map(Material::family).or_else(|| Some(self.algorithm()?.family())) == Some(Family::Secret)
    }

    /// Returns whether the keys are the same in all but their ids.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (&self.bound, &other.bound) {
            (Some(this), Some(that)) => {
                self.issuer == other.issuer && this.algorithm == that.algorithm && this.verifier.is_same(&that.verifier)
            }
            _ => false,
        }
    }

    /// Reads a JWK: what it says of itself decides whether it is used, and for what.
    pub(super) fn from_jwk(mut jwk: Jwk) -> Result<Self, KeyFault> {
        // What is no text is nobody's name.
        let issuer = jwk.issuer.take().map(|issuer| Arc::from(issuer.as_str().unwrap_or_default()));
        let (kid, named, material) = jwk.into_material()?;
        let algorithm = named.or_else(|| Algorithm::ASYMMETRIC.into_iter().find(|it| it.family() == material.family()));
        let bound = algorithm.map(|algorithm| material.bind(algorithm)).transpose()?;
        Ok(Self { kid: kid.map(Arc::from), bound, issuer, unnamed: named.is_none().then_some(material) })
    }

    /// Binds the key to one of the algorithms that are allowed: the one it names, or the first that fits.
    pub(super) fn restricted(&self, allowed: &[Algorithm]) -> Result<Self, KeyFault> {
        let mut key = self.clone();
        if let Some(material) = key.unnamed.take() {
            let fits = |algorithm: &&Algorithm| algorithm.family() == material.family();
            let algorithm = allowed.iter().find(fits).ok_or(KeyFault::AlgorithmNotAllowed)?;
            key.bound = Some(material.bind(*algorithm)?);
        }
        match key.algorithm() {
            Some(algorithm) if allowed.contains(&algorithm) => Ok(key),
            _ => Err(KeyFault::AlgorithmNotAllowed),
        }
    }

    fn new(algorithm: Algorithm, verifier: Verifier) -> Self {
        let bound = Some(Bound { algorithm, verifier: Arc::new(verifier) });
        Self { kid: None, bound, issuer: None, unnamed: None }
    }
}

/// Takes a JWK of the crate jsonwebtoken.
impl TryFrom<&jwk::Jwk> for VerificationKey {
    type Error = ConfigError;

    fn try_from(jwk: &jwk::Jwk) -> Result<Self, ConfigError> {
        Self::jwk(Zeroizing::new(serde_json::to_vec(jwk).map_err(|_| KeyFault::Malformed)?))
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}
