//! The JWS around a token (RFC 7515): three segments, a header, a signature.
//!
//! Until the signature is known to be good, the only thing that is read as JSON is the header, and all that is taken out
//! of it is which of the known keys is meant.

use std::borrow::Cow;
use std::fmt;
use std::hint::black_box;

use memchr::memchr;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::algorithm::Algorithm;
use super::base64url;
use crate::Rejection;
use crate::bearer::jwks::{KeySet, VerificationKey};

/// The longest signature is that of an RSA key of 8192 bits; what is decoded comes in groups of three bytes.
const SIGNATURE_MAX: usize = 1026;
/// Headers of more members are refused, so that looking for repeated names stays cheap.
const MEMBERS_MAX: usize = 32;

pub(crate) const SEGMENTS: &str = "token_segments";
pub(crate) const ENCODING: &str = "token_encoding";
pub(crate) const SIGNATURE: &str = "token_signature";
pub(crate) const KID_UNKNOWN: &str = "token_kid_unknown";

/// The segments of a token.
pub(crate) struct Parts<'a> {
    pub(crate) header: &'a [u8],
    payload: &'a [u8],
    signature: &'a [u8],
    signed: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Splits a token, which has three segments and neither more nor less: four or five are an encrypted one.
    pub(crate) fn split(token: &'a [u8]) -> Result<Self, Rejection> {
        let wrong = || Rejection::invalid(SEGMENTS);
        let first = memchr(b'.', token).ok_or_else(wrong)?;
        let (header, rest) = (&token[..first], &token[first + 1..]);
        let second = memchr(b'.', rest).ok_or_else(wrong)?;
        let (payload, signature) = (&rest[..second], &rest[second + 1..]);
        if memchr(b'.', signature).is_some() {
            return Err(wrong());
        }
        Ok(Self { header, payload, signature, signed: &token[..first + 1 + second] })
    }

    /// Verifies the signature with the keys that the header allows, and returns the one that fits.
    pub(crate) fn verify<'k>(&self, keys: &'k KeySet, header: &Header<'_>) -> Result<&'k VerificationKey, Rejection> {
        let mut candidates = keys.candidates(header.kid(), header.algorithm).peekable();
        if candidates.peek().is_none() {
            let known = keys.knows(header.kid());
            return Err(Rejection::invalid(if known { "token_alg_mismatch" } else { KID_UNKNOWN }));
        }
        self.verify_with(candidates)
    }

    /// Verifies the signature with the first key that fits.
    pub(crate) fn verify_with<'k>(
        &self,
        mut candidates: impl Iterator<Item = &'k VerificationKey>,
    ) -> Result<&'k VerificationKey, Rejection> {
        let mut signature = [0; SIGNATURE_MAX];
        let length = base64url::decode(self.signature, &mut signature).ok_or(Rejection::invalid(ENCODING))?;
        let fits = |key: &&VerificationKey| {
            key.bound().is_some_and(|bound| bound.verifier.verify(self.signed, &signature[..length]))
        };
        let found = candidates.find(fits);
        // A copy of what makes the token one; the server's own is not ours to wipe. Byte by byte it would take longer than
        // all of the header, and what is looked at afterwards is not left out by the compiler.
        signature[..length].fill(0);
        black_box(&mut signature);
        found.ok_or(Rejection::invalid(SIGNATURE))
    }

    /// Decodes the payload into a buffer, in the place of what was there.
    pub(crate) fn decode_payload(&self, buffer: &mut Vec<u8>) -> Result<(), Rejection> {
        decode(self.payload, buffer)
    }
}

/// What a header says that matters here.
pub(crate) struct Header<'a> {
    pub(crate) algorithm: Algorithm,
    kid: Option<Cow<'a, str>>,
    typ: Option<Cow<'a, str>>,
}

impl<'a> Header<'a> {
    /// Reads a header, which is decoded into a buffer. Parameters that hold or name a key (`jwk`, `jku`, `x5c`, `x5u`) are
    /// read over: a token does not say by which key it is to be trusted.
    pub(crate) fn decode(segment: &[u8], buffer: &'a mut Vec<u8>) -> Result<Self, Rejection> {
        decode(segment, buffer)?;
        let wrong = || Rejection::invalid("token_header");
        // Parameters that are read over have to be UTF-8, too (RFC 7515, section 4).
        let json = std::str::from_utf8(buffer).map_err(|_| wrong())?;
        let raw: Raw<'a> = serde_json::from_str(json).map_err(|_| wrong())?;
        // RFC 7515, section 4.1.11, RFC 7797 and RFC 7516: what changes how a token is read is refused, all of it.
        if raw.extended {
            return Err(Rejection::invalid("token_extension"));
        }
        let algorithm = raw.alg.as_deref().and_then(Algorithm::from_name);
        let algorithm = algorithm.ok_or(Rejection::invalid("token_alg"))?;
        Ok(Self { algorithm, kid: raw.kid, typ: raw.typ })
    }

    pub(crate) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(crate) fn typ(&self) -> Option<&str> {
        self.typ.as_deref()
    }
}

/// Decodes a segment into a buffer, in the place of what was there.
fn decode(segment: &[u8], buffer: &mut Vec<u8>) -> Result<(), Rejection> {
    buffer.clear();
    buffer.resize(base64url::decoded(segment.len()), 0);
    base64url::decode(segment, buffer).map(drop).ok_or(Rejection::invalid(ENCODING))
}

/// A header as it is written.
#[derive(Default)]
struct Raw<'a> {
    alg: Option<Cow<'a, str>>,
    kid: Option<Cow<'a, str>>,
    typ: Option<Cow<'a, str>>,
    extended: bool,
}

impl<'de> Deserialize<'de> for Raw<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a header")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<'de>, A::Error> {
        let mut raw = Raw::default();
        let mut others: Vec<Cow<'de, str>> = Vec::new();
        while let Some(Text(name)) = map.next_key()? {
            let slot = match &*name {
                "alg" => &mut raw.alg,
                "kid" => &mut raw.kid,
                "typ" => &mut raw.typ,
                "crit" | "b64" | "zip" | "enc" => {
                    raw.extended = true;
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                _ if others.contains(&name) || others.len() == MEMBERS_MAX => {
                    return Err(A::Error::custom("repeated"));
                }
                _ => {
                    others.push(name);
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            let Text(value) = map.next_value()?;
            if slot.replace(value).is_some() {
                return Err(A::Error::custom("repeated"));
            }
        }
        Ok(raw)
    }
}

/// A JSON string, borrowed where nothing in it is escaped.
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}
