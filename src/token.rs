//! Reading `Authorization: <scheme> <token68>` (RFC 9110, section 11.4).

use http::HeaderValue;

/// Splits a field value into its authentication scheme and its token; nothing if it is not of that form.
pub(crate) fn credentials(value: &HeaderValue) -> Option<(&str, &str)> {
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    let token = rest.trim_start_matches(' ');
    is_token68(token.as_bytes()).then_some((scheme, token))
}

/// Returns the token that a field value starts with (RFC 9110, section 5.6.2), which names the authentication scheme
/// even where what follows is wrong.
pub(crate) fn scheme(value: &HeaderValue) -> &[u8] {
    let bytes = value.as_bytes();
    &bytes[..bytes.iter().position(|byte| !is_tchar(byte)).unwrap_or(bytes.len())]
}

/// Returns whether a byte may stand in a token (RFC 9110, section 5.6.2), such as the name of an authentication scheme.
pub(crate) fn is_tchar(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

/// Returns whether a token is built as a JWS in its compact form is: three segments of base64url, with dots between them
/// (RFC 7515, section 7.1).
#[cfg(any(feature = "api-key", feature = "bearer"))]
pub(crate) fn is_jws(token: &[u8]) -> bool {
    all(token, |byte| is_letter(byte) | matches!(byte, b'-' | b'_' | b'.')) && dots(token) == 2
}

/// RFC 9110, section 11.2.
pub(crate) fn is_token68(token: &[u8]) -> bool {
    let padding = token.iter().rev().take_while(|byte| **byte == b'=').count();
    let body = &token[..token.len() - padding];
    !body.is_empty() && all(body, |byte| is_letter(byte) | matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/'))
}

/// Tells whether something is true of all bytes, without stopping at the first of which it is not: so the compiler looks
/// at many at once, and a good token is the case that counts.
fn all(bytes: &[u8], is: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(true, |all, byte| all & is(*byte))
}

fn is_letter(byte: u8) -> bool {
    ((byte | 0x20).wrapping_sub(b'a') < 26) | (byte.wrapping_sub(b'0') < 10)
}

/// Counts dots, in parts that one byte can count.
#[cfg(any(feature = "api-key", feature = "bearer"))]
fn dots(bytes: &[u8]) -> usize {
    let count = |part: &[u8]| usize::from(part.iter().fold(0, |count: u8, byte| count + u8::from(*byte == b'.')));
    bytes.chunks(255).map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(any(feature = "api-key", feature = "bearer"))]
    #[test]
    fn a_jws_is_three_segments_of_base64url() {
        let cases = [
            ("eyJh.e30.c2ln", true),
            ("a.b.", true),
            ("..", true),
            ("a.b", false),
            ("a.b.c.d", false),
            ("a.b.c.d.e", false),
            ("a.b+.c", false),
            ("a.b.c=", false),
            ("opaque", false),
            ("@.b.c", false),
            ("[.b.c", false),
            ("`.b.c", false),
            ("{.b.c", false),
            ("/.b.c", false),
            (":.b.c", false),
        ];
        for (token, expected) in cases {
            assert_eq!(is_jws(token.as_bytes()), expected, "{token:?}");
        }
    }

    #[test]
    fn credentials_are_one_scheme_and_one_token68() {
        let cases = [
            ("Bearer abc", Some(("Bearer", "abc"))),
            ("bEARER   abc==", Some(("bEARER", "abc=="))),
            ("ApiKey a-b.c_d~e+f/g", Some(("ApiKey", "a-b.c_d~e+f/g"))),
            ("Bearer", None),
            ("Bearer ", None),
            ("Bearer =", None),
            ("Bearer a b", None),
            ("Bearer a,b", None),
            ("Bearer a=b", None),
            ("Bearer\tabc", None),
        ];
        for (value, expected) in cases {
            assert_eq!(credentials(&HeaderValue::from_static(value)), expected, "{value:?}");
        }
        assert_eq!(credentials(&HeaderValue::from_bytes(b"Bearer \xff").unwrap()), None);
    }
}
