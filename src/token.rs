//! Reading `Authorization: <scheme> <token68>` (RFC 9110, section 11.4).

use http::HeaderValue;

/// Splits a field value into its authentication scheme and its token; nothing if it is not of that form.
pub(crate) fn credentials(value: &HeaderValue) -> Option<(&str, &str)> {
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    let token = rest.trim_start_matches(' ');
    is_token68(token).then_some((scheme, token))
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
