//! Signatures: the only file that talks to the cryptographic library.
//!
//! A key is parsed and checked once, when it is loaded, and is bound to one algorithm for good: what a token says about
//! its algorithm never decides how a key is used.

use std::fmt;
use std::hint::black_box;

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{self, EcdsaVerificationAlgorithm, ParsedPublicKey, RsaParameters};
use aws_lc_rs::{digest, hmac};

use super::algorithm::{Algorithm, Family};
use crate::KeyFault;

/// How many bits an RSA modulus may have.
const MODULUS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The part of a key that verifies.
pub(crate) enum Verifier {
    // Boxed: it is twenty times as large as a public key.
    Secret(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

impl Verifier {
    /// Returns whether the signature is one of the message.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            Self::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }

    /// Returns whether another key verifies the same. Secrets are never the same: they are not compared.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Public(this), Self::Public(other)) => this.as_ref() == other.as_ref(),
            _ => false,
        }
    }

    /// Takes a secret, which has to be as long as the hash and not a known one.
    pub(crate) fn secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyFault> {
        let (algorithm, needed) = match algorithm {
            Algorithm::HS256 => (hmac::HMAC_SHA256, 32),
            Algorithm::HS384 => (hmac::HMAC_SHA384, 48),
            Algorithm::HS512 => (hmac::HMAC_SHA512, 64),
            _ => return Err(KeyFault::AlgorithmMismatch),
        };
        if secret.len() < needed {
            return Err(KeyFault::SecretTooShort { bytes: secret.len(), needed });
        }
        if super::weak::is_known(secret) {
            return Err(KeyFault::SecretWeak);
        }
        Ok(Self::Secret(Box::new(hmac::Key::new(algorithm, secret))))
    }

    /// Takes the modulus and the exponent of an RSA key, both big-endian.
    pub(crate) fn rsa(algorithm: Algorithm, n: &[u8], e: &[u8]) -> Result<Self, KeyFault> {
        let parameters = rsa_parameters(algorithm).ok_or(KeyFault::AlgorithmMismatch)?;
        let (n, e) = (without_zeros(n), without_zeros(e));
        let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
        if !MODULUS.contains(&bits) {
            return Err(KeyFault::ModulusSize { bits });
        }
        // The library takes it, and then finds no signature of it good.
        if n.last().is_none_or(|last| last % 2 == 0) {
            return Err(KeyFault::Malformed);
        }
        if e.len() > 4 || matches!(e, [] | [0..=2]) || e.last().is_none_or(|last| last % 2 == 0) {
            return Err(KeyFault::ExponentInvalid);
        }
        if super::weak::is_roca(n) {
            return Err(KeyFault::ModulusWeak);
        }
        let key = PublicKeyComponents { n, e }.to_parsed_public_key(parameters);
        key.map(Self::Public).map_err(|_| KeyFault::Malformed)
    }

    /// Takes the coordinates of a point, each as long as the curve asks for (RFC 7518, section 6.2.1.2).
    pub(crate) fn elliptic_curve(algorithm: Algorithm, x: &[u8], y: &[u8]) -> Result<Self, KeyFault> {
        let (parameters, length) = curve(algorithm).ok_or(KeyFault::AlgorithmMismatch)?;
        if x.len() != length || y.len() != length {
            return Err(KeyFault::PointInvalid);
        }
        let uncompressed = [&[0x04], x, y].concat();
        ParsedPublicKey::new(parameters, uncompressed).map(Self::Public).map_err(|_| KeyFault::PointInvalid)
    }

    /// Takes the 32 bytes of an Ed25519 key.
    pub(crate) fn edwards(algorithm: Algorithm, x: &[u8]) -> Result<Self, KeyFault> {
        if algorithm.family() != Family::Edwards {
            return Err(KeyFault::AlgorithmMismatch);
        }
        let x: &[u8; 32] = x.try_into().map_err(|_| KeyFault::PointInvalid)?;
        if !super::edwards::is_point(x) || super::weak::is_of_small_order(x) {
            return Err(KeyFault::PointInvalid);
        }
        ParsedPublicKey::new(&signature::ED25519, x).map(Self::Public).map_err(|_| KeyFault::PointInvalid)
    }

    /// Takes a public key in DER: `SubjectPublicKeyInfo` (RFC 5280), for RSA `RSAPublicKey` (RFC 8017) as well, for the
    /// curves the bare point, too.
    pub(crate) fn der(algorithm: Algorithm, der: &[u8]) -> Result<Self, KeyFault> {
        match algorithm.family() {
            Family::Secret => Err(KeyFault::AlgorithmMismatch),
            Family::Rsa => {
                let (n, e) = super::der::rsa_public_key(der).ok_or(KeyFault::Der)?;
                Self::rsa(algorithm, n, e)
            }
            Family::EllipticCurve => {
                let (parameters, _) = curve(algorithm).ok_or(KeyFault::AlgorithmMismatch)?;
                // The library reads over what stands behind the key.
                if !super::der::is_point_or_whole(der) {
                    return Err(KeyFault::Der);
                }
                ParsedPublicKey::new(parameters, der).map(Self::Public).map_err(|_| KeyFault::Der)
            }
            Family::Edwards => Self::edwards(algorithm, super::der::ed25519_public_key(der).ok_or(KeyFault::Der)?),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret(_) => "Secret([redacted])",
            Self::Public(_) => "Public(..)",
        })
    }
}

/// Compares in a time that depends on the lengths alone: word by word, with no look at the outcome before the end.
pub(crate) fn is_same(a: &[u8], b: &[u8]) -> bool {
    let ((words, rest), (other_words, other_rest)) = (a.as_chunks(), b.as_chunks());
    let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
    let differ = words.iter().zip(other_words).fold(0, |sum, (one, other)| sum | (word(one) ^ word(other)));
    let rest_differs = rest.iter().zip(other_rest).fold(0, |sum, (one, other)| sum | (one ^ other));
    a.len() == b.len() && black_box(differ | u64::from(rest_differs)) == 0
}

/// Returns the SHA-256 of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    let digest = digest::digest(&digest::SHA256, bytes);
    // SHA-256 is 32 bytes long.
    sum.copy_from_slice(digest.as_ref());
    sum
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

/// Returns how signatures over a curve are verified, and how long a coordinate is.
fn curve(algorithm: Algorithm) -> Option<(&'static EcdsaVerificationAlgorithm, usize)> {
    Some(match algorithm {
        Algorithm::ES256 => (&signature::ECDSA_P256_SHA256_FIXED, 32),
        Algorithm::ES384 => (&signature::ECDSA_P384_SHA384_FIXED, 48),
        Algorithm::ES512 => (&signature::ECDSA_P521_SHA512_FIXED, 66),
        _ => return None,
    })
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}
