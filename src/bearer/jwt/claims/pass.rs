//! One pass over the claims, on which the user's type reads what it wants, and everything is looked at.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, Error, IgnoredAny, IntoDeserializer, MapAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::value::RawValue;

use super::{Claim, Expected, Interest, MISFIT, Registered, WRONG_TYPE};
use crate::bearer::jwt::jws::Text;
use crate::bearer::jwt::known::{Known, Number, TextOrList};

/// One pass over the claims.
pub(super) struct Pass<'p, 'a, T> {
    pub(super) registered: &'p mut Registered<'a>,
    pub(super) expected: &'p Expected,
    pub(super) details: PhantomData<T>,
}

impl<'a, T: DeserializeOwned> Visitor<'a> for Pass<'_, 'a, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a claims set")
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<T, A::Error> {
        let Self { registered, expected, .. } = self;
        let mut claims = Claims { map, registered, expected, chooses: expected.chooses(), current: None };
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
    /// Whether any claim was chosen for something: most verifiers have chosen none, and look no further.
    chooses: bool,
    current: Option<Interest>,
}

impl<'a, M: MapAccess<'a>> MapAccess<'a> for Claims<'_, 'a, M> {
    type Error = M::Error;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, M::Error> {
        let Some(Text(name)) = self.map.next_key()? else { return Ok(None) };
        self.current = self.expected.interest(&name, self.chooses);
        let key = match name {
            Cow::Borrowed(name) => seed.deserialize(BorrowedStrDeserializer::new(name)),
            Cow::Owned(name) => seed.deserialize(name.into_deserializer()),
        };
        key.map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, M::Error> {
        let Some(interest) = self.current.take() else { return self.map.next_value_seed(seed) };
        self.registered.meet(interest).map_err(|fault| self.fail(fault))?;
        match interest.claim {
            None => {
                let value: &'a RawValue = self.map.next_value()?;
                if let (Some(place), "null") = (interest.required, value.get()) {
                    self.registered.null |= 1 << place;
                }
                self.hand_on(seed, value)
            }
            Some(
                claim @ (Claim::Iss
                | Claim::Sub
                | Claim::Jti
                | Claim::Sid
                | Claim::Acr
                | Claim::Tenant
                | Claim::OtherSub),
            ) => {
                let Text(text) = self.typed()?;
                self.registered.note_text(claim, text.clone());
                seed.deserialize(Known::Text(text).into_deserializer())
            }
            Some(claim @ (Claim::Exp | Claim::Nbf | Claim::Iat | Claim::AuthTime)) => {
                let number: Number = self.typed()?;
                self.registered.note_date(claim, number.date());
                seed.deserialize(Known::Number(number).into_deserializer())
            }
            Some(
                claim
                @ (Claim::Aud | Claim::Audience | Claim::Scope | Claim::Scp | Claim::OtherScope | Claim::OtherScp),
            ) => {
                let TextOrList(list) = self.typed()?;
                let noted = self.registered.note_list(claim, &list, self.expected);
                noted.map_err(|fault| self.fail(fault))?;
                seed.deserialize(list.into_deserializer())
            }
            Some(claim) => {
                let value: &'a RawValue = self.map.next_value()?;
                match claim {
                    Claim::Cnf => self.registered.bound = true,
                    _ => self.registered.of_id_token = true,
                }
                self.hand_on(seed, value)
            }
        }
    }
}

impl<'a, M: MapAccess<'a>> Claims<'_, 'a, M> {
    fn fail(&mut self, fault: &'static str) -> M::Error {
        self.registered.fault = Some(fault);
        M::Error::custom(fault)
    }

    /// Reads a value that is of one JSON type.
    fn typed<V: Deserialize<'a>>(&mut self) -> Result<V, M::Error> {
        // A fault that was found before stays one, whatever the user's type made of it.
        let before = self.registered.fault.replace(WRONG_TYPE);
        let value = self.map.next_value()?;
        self.registered.fault = before;
        Ok(value)
    }

    /// Hands a value on that was looked at.
    fn hand_on<V: DeserializeSeed<'a>>(&self, seed: V, value: &'a RawValue) -> Result<V::Value, M::Error> {
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
