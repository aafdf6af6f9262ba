//! What a 401 asks for.

use http::StatusCode;
use tower_keep::{ApiKey, ApiKeyLayer, AuthLayer, Challenge};

use crate::support::{Ticket, get, send, store, values, with};

#[tokio::test]
async fn a_missing_credential_is_asked_for_without_an_error_code() {
    let (keys, _) = store();
    let layer = ApiKeyLayer::over(ApiKey::new(keys).bearer().realm("orders").unwrap());

    let (response, _) = send(layer, get("/")).await;

    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let expected = [r#"ApiKey realm="orders""#, r#"Bearer realm="orders""#];
    assert_eq!(values(response.headers(), "www-authenticate"), expected);
    assert!(!response.body().contains("error"));
}

#[tokio::test]
async fn only_the_challenge_of_the_presented_scheme_carries_the_error() {
    let (keys, _) = store();
    let scheme = ApiKey::new(keys).bearer().insecure_allow_cookie("key").unwrap();
    let layer = ApiKeyLayer::over(scheme).or(AuthLayer::over(Ticket));
    let (api_key, bearer, ticket) = (r#"ApiKey realm="api""#, r#"Bearer realm="api""#, r#"Ticket realm="cinema""#);
    let invalid = |challenge: &str| format!(r#"{challenge}, error="invalid_token""#);
    let malformed = |challenge: &str| format!(r#"{challenge}, error="invalid_request""#);
    let cases = [
        (("x-api-key", "junk"), [invalid(api_key), bearer.to_owned(), ticket.to_owned()]),
        (("authorization", "ApiKey junk"), [invalid(api_key), bearer.to_owned(), ticket.to_owned()]),
        (("authorization", "Bearer test_junk"), [api_key.to_owned(), invalid(bearer), ticket.to_owned()]),
        (("authorization", "Bearer nobodys"), [api_key.to_owned(), invalid(bearer), ticket.to_owned()]),
        (("authorization", "Bearer two words"), [api_key.to_owned(), malformed(bearer), ticket.to_owned()]),
        (("cookie", "key=a; key=b"), [malformed(api_key), bearer.to_owned(), ticket.to_owned()]),
        (("cookie", "key=junk"), [invalid(api_key), bearer.to_owned(), ticket.to_owned()]),
        (("ticket", "bad"), [api_key.to_owned(), bearer.to_owned(), invalid(ticket)]),
        (("accept", "*/*"), [api_key.to_owned(), bearer.to_owned(), ticket.to_owned()]),
    ];
    for ((name, value), expected) in cases {
        let (response, _) = send(layer.clone(), with(get("/"), name, value)).await;
        assert_eq!(values(response.headers(), "www-authenticate"), expected, "{name}: {value}");
    }
}

#[tokio::test]
async fn schemes_that_two_layers_share_are_asked_for_once() {
    let scheme = |realm: &str| ApiKeyLayer::over(ApiKey::new(store().0).bearer().realm(realm).unwrap());

    let (response, _) = send(scheme("first").or(scheme("second")), get("/")).await;

    let expected = [r#"ApiKey realm="first""#, r#"Bearer realm="first""#];
    assert_eq!(values(response.headers(), "www-authenticate"), expected);
}

#[test]
fn parameters_are_quoted_strings_that_cannot_break_out() {
    let cases = [
        ("plain", r#"X a="plain""#),
        (r#"say "hi""#, r#"X a="say \"hi\"""#),
        (r"back\slash", r#"X a="back\\slash""#),
        ("line\r\nbreak", r#"X a="line??break""#),
        ("caf\u{e9}", r#"X a="caf?""#),
        ("", r#"X a="""#),
    ];
    for (value, expected) in cases {
        assert_eq!(Challenge::new("X").with("a", value.to_owned()).to_header(), expected);
    }
    let once = Challenge::new("X").with("a", "1").with("b", "2").with("A", "3");
    assert_eq!(once.to_header(), r#"X b="2", A="3""#);
    assert_eq!(Challenge::new("X").to_header(), "X");
}
