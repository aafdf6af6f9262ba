//! What a token says of its issuer, before anything about it is known to be true.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};

use crate::Rejection;
use crate::bearer::jwt::jws::Text;

/// Reads the one `iss` of a payload, in one pass that keeps nothing else. One that stands twice, or is no string, is none:
/// whoever reads the token again must not find another one.
pub(super) fn issuer(payload: &[u8]) -> Result<Cow<'_, str>, Rejection> {
    let wrong = || Rejection::invalid("token_claims");
    let json = std::str::from_utf8(payload).map_err(|_| wrong())?;
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let read = deserializer.deserialize_map(Members).and_then(|issuer| deserializer.end().map(|()| issuer));
    match read.map_err(|_| wrong())? {
        Read::Once(issuer) => Ok(issuer),
        Read::Never => Err(Rejection::invalid("token_issuer")),
        Read::Again => Err(Rejection::invalid("token_claim_repeated")),
        Read::NoText => Err(Rejection::invalid("token_claim_type")),
    }
}

/// What there is of `iss`.
enum Read<'a> {
    Never,
    Once(Cow<'a, str>),
    Again,
    NoText,
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Read<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a claims set")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Read<'de>, A::Error> {
        let mut read = Read::Never;
        while let Some(Text(name)) = map.next_key()? {
            if name != "iss" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value: &'de serde_json::value::RawValue = map.next_value()?;
            read = match (read, serde_json::from_str(value.get())) {
                (Read::Never, Ok(Text(issuer))) => Read::Once(issuer),
                (Read::Never, Err(_)) => Read::NoText,
                _ => Read::Again,
            };
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuer_is_the_one_string_of_that_name_in_the_outermost_object() {
        // What is passed over is passed over in a loop, however deep it is.
        let deep = format!(r#"{{"a":{}{},"iss":"x"}}"#, "[".repeat(4_000), "]".repeat(4_000));
        let cases: [(&[u8], Result<&str, &str>); 23] = [
            (br#"{"iss":"x"}"#, Ok("x")),
            (br#" {"a":{"iss":"y"},"iss":"x","b":[{"iss":"z"}]} "#, Ok("x")),
            (br#"{"iss":"\u0078"}"#, Ok("x")),
            (br#"{"\u0069ss":"x"}"#, Ok("x")),
            (br#"{"iss":""}"#, Ok("")),
            (br#"{"ISS":"x"}"#, Err("token_issuer")),
            (br#"{}"#, Err("token_issuer")),
            (br#"{"a":{"iss":"x"}}"#, Err("token_issuer")),
            (br#"{"iss":"x","iss":"x"}"#, Err("token_claim_repeated")),
            (br#"{"iss":"x","\u0069ss":"y"}"#, Err("token_claim_repeated")),
            (br#"{"iss":1,"iss":"x"}"#, Err("token_claim_repeated")),
            (br#"{"iss":["x"]}"#, Err("token_claim_type")),
            (br#"{"iss":{"iss":"x"}}"#, Err("token_claim_type")),
            (br#"{"iss":null}"#, Err("token_claim_type")),
            (br#"{"iss":1}"#, Err("token_claim_type")),
            (br#"{"iss":"x\ud800"}"#, Err("token_claim_type")),
            (br#"["iss","x"]"#, Err("token_claims")),
            (br#""x""#, Err("token_claims")),
            (b"", Err("token_claims")),
            (br#"{"iss":"x"}{}"#, Err("token_claims")),
            (br#"{"iss":"x""#, Err("token_claims")),
            (b"{\"iss\":\"x\",\"a\":\"\xff\"}", Err("token_claims")),
            (deep.as_bytes(), Ok("x")),
        ];
        for (payload, expected) in cases {
            let read = issuer(payload);
            let read = read.as_ref().map(|issuer| &**issuer).map_err(|rejection| rejection.reason());
            assert_eq!(read, expected, "{}", String::from_utf8_lossy(payload));
        }
    }
}
