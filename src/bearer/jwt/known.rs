//! Values of claims that were read once, and are read again by the user's type.
//!
//! The deserializers that serde has for plain values know nothing of options and newtypes, which types of claims are full
//! of.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::value::SeqDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IntoDeserializer, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::jws::Text;

/// A `NumericDate` (RFC 7519, section 2): seconds, perhaps with a fraction.
#[derive(Clone, Copy)]
pub(crate) enum Number {
    Positive(u64),
    Negative(i64),
    Fraction(f64),
}

impl Number {
    /// Returns the time since 1970. What lies before is 1970, and what lies after the year 9999 is its end.
    pub(crate) fn date(self) -> Duration {
        const END: u64 = 253_402_300_799;
        match self {
            Self::Positive(seconds) => Duration::from_secs(seconds.min(END)),
            Self::Negative(_) => Duration::ZERO,
            Self::Fraction(seconds) => Duration::from_secs_f64(seconds.clamp(0.0, END as f64)),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_f64(NumberVisitor)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Number, E> {
        Ok(Number::Positive(seconds))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Number, E> {
        Ok(Number::Negative(seconds))
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Number, E> {
        Ok(Number::Fraction(seconds))
    }
}

/// The value of a claim that was read already, for the user's type to read again.
pub(crate) enum Known<'a> {
    Text(Cow<'a, str>),
    Number(Number),
    List(Vec<Cow<'a, str>>),
}

impl<'a> Known<'a> {
    /// Returns the text, or all of them.
    pub(crate) fn texts(&self) -> &[Cow<'a, str>] {
        match self {
            Self::Text(text) => std::slice::from_ref(text),
            Self::List(texts) => texts,
            Self::Number(_) => &[],
        }
    }
}

/// A string, or an array of strings.
pub(crate) struct TextOrList<'a>(pub(crate) Known<'a>);

impl<'de> Deserialize<'de> for TextOrList<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrListVisitor).map(Self)
    }
}

struct TextOrListVisitor;

impl<'de> Visitor<'de> for TextOrListVisitor {
    type Value = Known<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an array of strings")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Known<'de>, E> {
        Ok(Known::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Known<'de>, E> {
        Ok(Known::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Known<'de>, A::Error> {
        let mut texts = Vec::new();
        while let Some(Text(text)) = seq.next_element()? {
            texts.push(text);
        }
        Ok(Known::List(texts))
    }
}

impl<'a, E: Error> IntoDeserializer<'a, E> for Known<'a> {
    type Deserializer = Again<'a, E>;

    fn into_deserializer(self) -> Again<'a, E> {
        Again { known: self, error: PhantomData }
    }
}

/// Reads such a value again.
pub(crate) struct Again<'a, E> {
    known: Known<'a>,
    error: PhantomData<E>,
}

impl<'a, E: Error> Deserializer<'a> for Again<'a, E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, E> {
        match self.known {
            Known::Text(Cow::Borrowed(text)) => visitor.visit_borrowed_str(text),
            Known::Text(Cow::Owned(text)) => visitor.visit_string(text),
            Known::Number(Number::Positive(number)) => visitor.visit_u64(number),
            Known::Number(Number::Negative(number)) => visitor.visit_i64(number),
            Known::Number(Number::Fraction(number)) => visitor.visit_f64(number),
            Known::List(texts) => visitor.visit_seq(SeqDeserializer::new(texts.into_iter().map(Known::Text))),
        }
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, E> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, E> {
        match self.known {
            Known::Text(text) => visitor.visit_enum(text.into_deserializer()),
            Known::Number(_) | Known::List(_) => Err(E::custom("no name of a variant")),
        }
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}
