//! The claims of a token: the registered ones (RFC 7519, section 4.1) and the user's own type, read in one pass.
//!
//! The user's type is driven through a map that looks at every member on its way: a registered claim is noted, and its
//! value handed on. So a claim may stand in both, and nothing is read twice but the few short values that do.

use std::any::Any;
use std::borrow::Cow;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::error::Category;
use serde_json::from_str;
use serde_json::value::RawValue;

use super::jws::Text;
use crate::{Rejection, Scopes};

/// What the claims of a token are held against while they are read.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) audiences: Vec<String>,
    pub(crate) scope_claim: Option<String>,
    pub(crate) required: Vec<String>,
}

/// The claims that this crate looks at.
#[derive(Debug, Default)]
pub(crate) struct Registered<'a> {
    pub(crate) iss: Option<Cow<'a, str>>,
    pub(crate) sub: Option<Cow<'a, str>>,
    pub(crate) jti: Option<Cow<'a, str>>,
    pub(crate) sid: Option<Cow<'a, str>>,
    pub(crate) exp: Option<Duration>,
    pub(crate) nbf: Option<Duration>,
    pub(crate) iat: Option<Duration>,
    /// Whether one of the expected audiences is named; nothing if there is no `aud`.
    pub(crate) aud: Option<bool>,
    pub(crate) scopes: Option<Scopes>,
    scp: Option<Scopes>,
    pub(crate) bound: bool,
    pub(crate) of_id_token: bool,
    /// Which of the required claims are there, by their place in the list.
    pub(crate) required: u32,
    seen: u32,
    fault: Option<&'static str>,
}

/// A claim that is looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
enum Claim {
    Iss,
    Sub,
    Jti,
    Sid,
    Exp,
    Nbf,
    Iat,
    Aud,
    Scope,
    Scp,
    Cnf,
    OfIdToken,
}

/// Why a member is looked at: for what it says, because it has to be there, or both.
#[derive(Clone, Copy)]
struct Interest {
    claim: Option<Claim>,
    required: Option<usize>,
}

impl Expected {
    fn interest(&self, name: &str) -> Option<Interest> {
        let claim = match name {
            "iss" => Some(Claim::Iss),
            "sub" => Some(Claim::Sub),
            "jti" => Some(Claim::Jti),
            "sid" => Some(Claim::Sid),
            "exp" => Some(Claim::Exp),
            "nbf" => Some(Claim::Nbf),
            "iat" => Some(Claim::Iat),
            "aud" => Some(Claim::Aud),
            "cnf" => Some(Claim::Cnf),
            "at_hash" | "c_hash" => Some(Claim::OfIdToken),
            _ => match &self.scope_claim {
                Some(chosen) => (name == chosen).then_some(Claim::Scope),
                None if name == "scope" => Some(Claim::Scope),
                None if name == "scp" => Some(Claim::Scp),
                None => None,
            },
        };
        let required = self.required.iter().position(|required| required == name);
        (claim.is_some() || required.is_some()).then_some(Interest { claim, required })
    }
}

impl<'a> Registered<'a> {
    /// Reads the claims of a token whose signature is good.
    pub(crate) fn read<T: DeserializeOwned + Any>(json: &'a [u8], expected: &Expected) -> Result<(Self, T), Rejection> {
        // RFC 8725, section 3.7. The parser itself looks at the strings alone that somebody asks for.
        let json = std::str::from_utf8(json).map_err(|_| Rejection::invalid("token_claims"))?;
        let mut registered = Self::default();
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let pass = Pass { registered: &mut registered, expected, details: PhantomData };
        let read = deserializer.deserialize_map(pass).and_then(|details| deserializer.end().map(|()| details));
        // A type may make the best of an error, which does not make a claim good that is ours to judge.
        if let Some(fault) = registered.fault {
            return Err(Rejection::invalid(fault));
        }
        // What the parser says may quote the token, so only its kind is told.
        let kind = |error: serde_json::Error| match error.classify() {
            Category::Data => MISFIT,
            _ => "token_claims",
        };
        read.map(|details| (registered, details)).map_err(|error| Rejection::invalid(kind(error)))
    }

    /// Returns whether the token says which scopes it has, if only none.
    pub(crate) const fn has_scopes(&self) -> bool {
        self.scopes.is_some() || self.scp.is_some()
    }

    /// Returns the scopes: those of `scope`, or else those of `scp`.
    pub(crate) fn take_scopes(&mut self) -> Option<Scopes> {
        self.scopes.take().or_else(|| self.scp.take())
    }

    fn note(&mut self, interest: Interest, value: &'a str, expected: &Expected) -> Result<(), &'static str> {
        self.try_note(interest, value, expected).inspect_err(|fault| self.fault = Some(fault))
    }

    fn try_note(&mut self, interest: Interest, value: &'a str, expected: &Expected) -> Result<(), &'static str> {
        const REPEATED: &str = "token_claim_repeated";
        if let Some(place) = interest.required {
            if self.required & 1 << place != 0 {
                return Err(REPEATED);
            }
            if value != "null" {
                self.required |= 1 << place;
            }
        }
        let Some(claim) = interest.claim else { return Ok(()) };
        let bit = 1 << claim as u32;
        // Two names stand for an ID token, and one token may have both.
        if self.seen & bit != 0 && claim != Claim::OfIdToken {
            return Err(REPEATED);
        }
        self.seen |= bit;
        match claim {
            Claim::Iss => self.iss = Some(text(value)?),
            Claim::Sub => self.sub = Some(text(value)?),
            Claim::Jti => self.jti = Some(text(value)?),
            Claim::Sid => self.sid = Some(text(value)?),
            Claim::Exp => self.exp = Some(numeric_date(value)?),
            Claim::Nbf => self.nbf = Some(numeric_date(value)?),
            Claim::Iat => self.iat = Some(numeric_date(value)?),
            Claim::Aud => self.aud = Some(names_one_of(value, &expected.audiences)?),
            Claim::Scope => self.scopes = Some(scopes(value)?),
            Claim::Scp => self.scp = Some(scopes(value)?),
            Claim::Cnf => self.bound = true,
            Claim::OfIdToken => self.of_id_token = true,
        }
        Ok(())
    }
}

/// A registered claim of another JSON type than its own counts as a fault, never as missing.
const WRONG_TYPE: &str = "token_claim_type";
/// The claims are a claims set, and not one of the user's type.
const MISFIT: &str = "token_claims_misfit";

fn text(value: &str) -> Result<Cow<'_, str>, &'static str> {
    from_str(value).map(|Text(text)| text).map_err(|_| WRONG_TYPE)
}

/// Reads a `NumericDate` (RFC 7519, section 2): seconds, perhaps with a fraction. What lies before 1970 is 1970, and what
/// lies after the year 30,000 is then.
fn numeric_date(value: &str) -> Result<Duration, &'static str> {
    const END: f64 = 1e12;
    if let Ok(seconds) = from_str::<u64>(value) {
        return Ok(Duration::from_secs(seconds.min(END as u64)));
    }
    let seconds: f64 = from_str(value).map_err(|_| WRONG_TYPE)?;
    Ok(Duration::from_secs_f64(seconds.clamp(0.0, END)))
}

/// Reads `aud`, a string or an array of strings (RFC 7519, section 4.1.3), and returns whether it names one of some.
fn names_one_of(value: &str, audiences: &[String]) -> Result<bool, &'static str> {
    let is_ours = |Text(name): &Text<'_>| audiences.iter().any(|audience| *audience == *name);
    if value.starts_with('"') {
        return from_str(value).map(|name| is_ours(&name)).map_err(|_| WRONG_TYPE);
    }
    let names = Strings { each: |name: &Text<'_>| is_ours(name) };
    let mut array = serde_json::Deserializer::from_str(value);
    array.deserialize_seq(names).map_err(|_| WRONG_TYPE)
}

/// Reads an array of strings, all of them, and returns whether one of them is wanted.
struct Strings<F> {
    each: F,
}

impl<'de, F: FnMut(&Text<'de>) -> bool> Visitor<'de> for Strings<F> {
    type Value = bool;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<bool, A::Error> {
        let mut found = false;
        while let Some(name) = seq.next_element()? {
            found |= (self.each)(&name);
        }
        Ok(found)
    }
}

/// Reads scopes: a list with spaces between (RFC 8693, section 4.2), or an array. An element of an array that is not a
/// scope, such as a role of two words, grants nothing.
fn scopes(value: &str) -> Result<Scopes, &'static str> {
    if value.starts_with('"') {
        return Scopes::try_from(&*text(value)?).map_err(|_| "token_scope");
    }
    let names: Vec<Text<'_>> = from_str(value).map_err(|_| WRONG_TYPE)?;
    Ok(Scopes::of_those_that_are(names.iter().map(|Text(name)| &**name)))
}

/// One pass over the claims.
struct Pass<'p, 'a, T> {
    registered: &'p mut Registered<'a>,
    expected: &'p Expected,
    details: PhantomData<T>,
}

impl<'a, T: DeserializeOwned> Visitor<'a> for Pass<'_, 'a, T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a claims set")
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<T, A::Error> {
        let mut claims = Claims { map, registered: self.registered, expected: self.expected, current: None };
        let details = T::deserialize(Whole(&mut claims))?;
        // A type that reads no further than it has to does not spare the rest from being looked at.
        while claims.next_key::<IgnoredAny>()?.is_some() {
            claims.next_value::<IgnoredAny>()?;
        }
        Ok(details)
    }
}

/// The members of the claims set, each looked at on its way to the user's type.
struct Claims<'p, 'a, M> {
    map: M,
    registered: &'p mut Registered<'a>,
    expected: &'p Expected,
    current: Option<Interest>,
}

impl<'a, M: MapAccess<'a>> MapAccess<'a> for Claims<'_, 'a, M> {
    type Error = M::Error;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, M::Error> {
        let Some(Text(name)) = self.map.next_key()? else { return Ok(None) };
        self.current = self.expected.interest(&name);
        let key = match name {
            Cow::Borrowed(name) => seed.deserialize(BorrowedStrDeserializer::new(name)),
            Cow::Owned(name) => seed.deserialize(name.into_deserializer()),
        };
        key.map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, M::Error> {
        let Some(interest) = self.current.take() else { return self.map.next_value_seed(seed) };
        let value: &'a RawValue = self.map.next_value()?;
        self.registered.note(interest, value.get(), self.expected).map_err(M::Error::custom)?;
        seed.deserialize(&mut serde_json::Deserializer::from_str(value.get())).map_err(|_| M::Error::custom(MISFIT))
    }
}

/// The whole claims set, as what the user's type is read from.
struct Whole<'c, C>(&'c mut C);

impl<'a, C: MapAccess<'a>> Deserializer<'a> for Whole<'_, C> {
    type Error = C::Error;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, C::Error> {
        visitor.visit_map(self.0)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, C::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, C::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, C::Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}
