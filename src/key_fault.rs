//! What can be wrong with a key that is to verify signatures.

use std::error::Error;
use std::fmt;

/// A key cannot be used to verify signatures.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum KeyFault {
    /// It is not a JWK, or a member of it has the wrong type (RFC 7517, section 4).
    Malformed,
    /// It holds a private part, which has no business where signatures are verified.
    Private,
    /// Its `use` is not `sig` (RFC 7517, section 4.2).
    NotForSignatures,
    /// Its `key_ops` lack `verify` (RFC 7517, section 4.3).
    NotForVerification,
    /// Its `kty` is not one of `RSA`, `EC`, `OKP` and `oct`.
    TypeUnknown,
    /// Its `alg` is not a signature algorithm that is supported here.
    AlgorithmUnknown,
    /// Its `alg` does not fit its type or its curve.
    AlgorithmMismatch,
    /// It has no `alg`, and no algorithm is configured that would tell which one is meant.
    AlgorithmMissing,
    /// Its algorithm is not one of those that are configured.
    AlgorithmNotAllowed,
    /// Its `crv` is not one of `P-256`, `P-384`, `P-521` and `Ed25519`.
    CurveUnknown,
    /// Its coordinates are no point on the curve, or have the wrong length, or nothing is secret about the point.
    PointInvalid,
    /// Its RSA modulus has less than 2048 bits or more than 8192.
    ModulusSize {
        /// How many bits it has.
        bits: usize,
    },
    /// Its RSA exponent is even, smaller than 3, or longer than 32 bits.
    ExponentInvalid,
    /// Its RSA modulus was made by a flawed generator, so that it can be factored (ROCA, CVE-2017-15361).
    ModulusWeak,
    /// The secret is shorter than the hash is long (RFC 7518, section 3.2).
    SecretTooShort {
        /// How many bytes it has.
        bytes: usize,
        /// How many are needed.
        needed: usize,
    },
    /// The secret stands in documentation or repeats itself, so everybody can guess it, or it is a public key in PEM.
    SecretWeak,
    /// It is a secret, and came from where everybody can read it.
    SecretPublished,
    /// There are 100 keys before it.
    TooMany,
    /// Another key has the same `kid` and the same algorithm, or is broken, so it is not clear which one is meant.
    KidRepeated,
    /// The text is no PEM, or does not have exactly one section `PUBLIC KEY` or `RSA PUBLIC KEY`.
    Pem,
    /// The bytes are no public key of the algorithm in DER.
    Der,
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("it is not a JWK"),
            Self::Private => f.write_str("it holds a private part"),
            Self::NotForSignatures => f.write_str("its use is not \"sig\""),
            Self::NotForVerification => f.write_str("its key_ops lack \"verify\""),
            Self::TypeUnknown => f.write_str("its type is not supported"),
            Self::AlgorithmUnknown => f.write_str("its algorithm is not supported"),
            Self::AlgorithmMismatch => f.write_str("its algorithm does not fit its type or curve"),
            Self::AlgorithmMissing => f.write_str("it names no algorithm, and none is configured"),
            Self::AlgorithmNotAllowed => f.write_str("its algorithm is not one of those configured"),
            Self::CurveUnknown => f.write_str("its curve is not supported"),
            Self::PointInvalid => f.write_str("its coordinates are no point on the curve"),
            Self::ModulusSize { bits } => write!(f, "its modulus has {bits} bits, not 2048 to 8192"),
            Self::ExponentInvalid => f.write_str("its exponent is even, too small or too large"),
            Self::ModulusWeak => f.write_str("its modulus comes from a flawed generator (ROCA)"),
            Self::SecretTooShort { bytes, needed } => {
                write!(f, "a secret of {bytes} bytes is too short, {needed} are needed")
            }
            Self::SecretWeak => f.write_str("the secret can be guessed"),
            Self::SecretPublished => f.write_str("it is a secret that everybody can read"),
            Self::TooMany => f.write_str("there are 100 keys before it"),
            Self::KidRepeated => f.write_str("another key has the same kid"),
            Self::Pem => f.write_str("the text is no PEM with one section \"PUBLIC KEY\""),
            Self::Der => f.write_str("the bytes are no public key of the algorithm"),
        }
    }
}

impl KeyFault {
    /// Returns whether the key is broken or weak, and not just made for something else.
    #[cfg_attr(not(feature = "bearer"), allow(dead_code, reason = "key sets are read where bearer tokens are"))]
    pub(crate) const fn is_of_the_key(&self) -> bool {
        !matches!(
            self,
            Self::NotForSignatures
                | Self::NotForVerification
                | Self::TypeUnknown
                | Self::AlgorithmUnknown
                | Self::AlgorithmMissing
                | Self::AlgorithmNotAllowed
                | Self::CurveUnknown
                | Self::SecretPublished
                | Self::TooMany
                // Said of a good key already.
                | Self::KidRepeated
        )
    }
}

impl Error for KeyFault {}

/// A key of a set that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SkippedKey {
    index: usize,
    kid: Option<String>,
    fault: KeyFault,
}

impl SkippedKey {
    #[cfg_attr(not(feature = "bearer"), allow(dead_code, reason = "key sets are read where bearer tokens are"))]
    pub(crate) const fn new(index: usize, kid: Option<String>, fault: KeyFault) -> Self {
        Self { index, kid, fault }
    }

    /// Returns where the key stands in the set, counted from zero.
    pub const fn index(&self) -> usize {
        self.index
    }

    /// Returns the key id, if it could be read.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Returns what is wrong with the key.
    pub const fn fault(&self) -> &KeyFault {
        &self.fault
    }
}

impl fmt::Display for SkippedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}: {}", self.index, self.fault)
    }
}
