//! Reading `Authorization: <scheme> <token68>` (RFC 9110, section 11.4).

use http::HeaderValue;

/// Splits a field value into its authentication scheme and its token; nothing if it is not of that form.
pub(crate) fn credentials(value: &HeaderValue) -> Option<(&str, &str)> {
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    let token = rest.trim_start_matches(' ');
    is_token68(token).then_some((scheme, token))
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
pub(crate) fn is_jws(token: &str) -> bool {
    let is_segment =
        |segment: &str| segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    token.split('.').count() == 3 && token.split('.').all(is_segment)
}

pub(crate) fn is_token68(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ];
        for (token, expected) in cases {
            assert_eq!(is_jws(token), expected, "{token:?}");
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
