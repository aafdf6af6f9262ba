//! A JWK as it is written (RFC 7517, section 4; RFC 7518, section 6; RFC 8037, section 2).

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::key::Bound;
use crate::KeyFault;
use crate::bearer::jwt::algorithm::{Algorithm, Family};
use crate::bearer::jwt::signature::Verifier;

/// The members that say something here. One that stands twice, or has the wrong type, makes the key unusable.
#[derive(Deserialize)]
pub(super) struct Jwk {
    kty: Option<String>,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    /// No standard has it. Where tenants share a set of keys, it says whose tokens a key may sign.
    pub(super) issuer: Option<serde_json::Value>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    k: Option<Wiped>,
    // The private parts.
    d: Option<IgnoredAny>,
    p: Option<IgnoredAny>,
    q: Option<IgnoredAny>,
    dp: Option<IgnoredAny>,
    dq: Option<IgnoredAny>,
    qi: Option<IgnoredAny>,
    oth: Option<IgnoredAny>,
}

/// A text that is wiped when it is dropped, also where the key turns out to be of no use.
struct Wiped(Zeroizing<String>);

impl<'de> Deserialize<'de> for Wiped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// What a key is made of, before it is known for which algorithm.
#[derive(Clone)]
pub(super) enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    EllipticCurve { x: Vec<u8>, y: Vec<u8> },
    Edwards { x: Vec<u8> },
    Secret { k: Zeroizing<Vec<u8>> },
}

impl Jwk {
    pub(super) fn parse(json: &[u8]) -> Result<Self, KeyFault> {
        super::object(json).map_err(|_| KeyFault::Malformed)
    }

    /// Takes the key apart: its id, the algorithm that it names or that its curve leaves alone, what it is made of.
    pub(super) fn into_material(self) -> Result<(Option<String>, Option<Algorithm>, Material), KeyFault> {
        if [&self.d, &self.p, &self.q, &self.dp, &self.dq, &self.qi, &self.oth].into_iter().any(Option::is_some) {
            return Err(KeyFault::Private);
        }
        if self.usage.is_some_and(|usage| usage != "sig") {
            return Err(KeyFault::NotForSignatures);
        }
        if self.key_ops.is_some_and(|operations| !operations.iter().any(|operation| operation == "verify")) {
            return Err(KeyFault::NotForVerification);
        }
        let (material, of_curve) = match self.kty.as_deref().ok_or(KeyFault::Malformed)? {
            "RSA" => (Material::Rsa { n: decoded(self.n.as_deref())?, e: decoded(self.e.as_deref())? }, None),
            "EC" => {
                let curve = match self.crv.as_deref().ok_or(KeyFault::Malformed)? {
                    "P-256" => Algorithm::ES256,
                    "P-384" => Algorithm::ES384,
                    "P-521" => Algorithm::ES512,
                    _ => return Err(KeyFault::CurveUnknown),
                };
                let (x, y) = (decoded(self.x.as_deref())?, decoded(self.y.as_deref())?);
                (Material::EllipticCurve { x, y }, Some(curve))
            }
            "OKP" => match self.crv.as_deref().ok_or(KeyFault::Malformed)? {
                "Ed25519" => (Material::Edwards { x: decoded(self.x.as_deref())? }, Some(Algorithm::EdDSA)),
                _ => return Err(KeyFault::CurveUnknown),
            },
            "oct" => {
                let k = Zeroizing::new(decoded(self.k.as_ref().map(|Wiped(text)| text.as_str()))?);
                (Material::Secret { k }, None)
            }
            _ => return Err(KeyFault::TypeUnknown),
        };
        let named = match self.alg.as_deref() {
            None => None,
            // No registry has this name, but keys in the field do, and the curve leaves one algorithm to mean by it.
            Some("ES521") if of_curve == Some(Algorithm::ES512) => Some(Algorithm::ES512),
            Some(name) => Some(Algorithm::from_name(name).ok_or(KeyFault::AlgorithmUnknown)?),
        };
        let fits = |named: Algorithm| match of_curve {
            Some(algorithm) => named == algorithm,
            None => named.family() == material.family(),
        };
        if !named.is_none_or(fits) {
            return Err(KeyFault::AlgorithmMismatch);
        }
        Ok((self.kid, named.or(of_curve), material))
    }
}

impl Material {
    pub(super) const fn family(&self) -> Family {
        match self {
            Self::Rsa { .. } => Family::Rsa,
            Self::EllipticCurve { .. } => Family::EllipticCurve,
            Self::Edwards { .. } => Family::Edwards,
            Self::Secret { .. } => Family::Secret,
        }
    }

    pub(super) fn bind(&self, algorithm: Algorithm) -> Result<Bound, KeyFault> {
        let verifier = match self {
            Self::Rsa { n, e } => Verifier::rsa(algorithm, n, e),
            Self::EllipticCurve { x, y } => Verifier::elliptic_curve(algorithm, x, y),
            Self::Edwards { x } => Verifier::edwards(algorithm, x),
            Self::Secret { k } => Verifier::secret(algorithm, k),
        };
        Ok(Bound { algorithm, verifier: Arc::new(verifier?) })
    }
}

fn decoded(member: Option<&str>) -> Result<Vec<u8>, KeyFault> {
    let member = member.ok_or(KeyFault::Malformed)?;
    BASE64_URL_SAFE_NO_PAD.decode(member).map_err(|_| KeyFault::Malformed)
}
