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
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let bytes = value.as_bytes();
    &bytes[..bytes.iter().position(|byte| !is_tchar(byte)).unwrap_or(bytes.len())]
}

fn is_token68(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

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
