//! What holds for any input.

use http::{HeaderName, HeaderValue, Request, StatusCode};
use proptest::prelude::*;
use tower::{Layer, Service};
use tower_keep::{ApiKey, ApiKeyLayer, Challenge, KeyFormat, Scopes};

use crate::support::{Inner, store};

fn now<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("the future is not ready"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_generated_key_is_read_back(prefix in "[a-z0-9]{1,8}(_[a-z0-9]{1,8}){0,2}") {
        let format = KeyFormat::new(&prefix).unwrap();
        let key = format.generate().unwrap();
        prop_assert!(format.parse(key.expose()).is_ok());
        prop_assert!(key.expose().starts_with(&format.public_part(&format.parse(key.expose()).unwrap())));
    }

    #[test]
    fn a_key_with_one_other_character_is_refused_without_asking_the_store(at in 0_usize..70, other in "[ -~]") {
        let format = KeyFormat::new("acme").unwrap();
        let key = format.generate().unwrap().expose().to_owned();
        let at = at % key.len();
        prop_assume!(key[at..=at] != other);
        let mut changed = key.clone();
        changed.replace_range(at..=at, &other);
        prop_assert!(format.parse(&changed).is_err());
    }

    #[test]
    fn no_text_makes_parsing_panic(text in any::<String>(), tail in any::<String>()) {
        let format = KeyFormat::new("acme").unwrap();
        let _ = format.parse(&text);
        let _ = format.parse(&format!("acme_{text}_{tail}"));
    }

    #[test]
    fn no_request_gets_in_without_a_key_and_none_is_the_servers_fault(
        fields in prop::collection::vec((0_usize..5, prop::collection::vec(any::<u8>(), 0..80)), 0..4),
        query in "[ -~]{0,40}",
    ) {
        let scheme = ApiKey::new(store().0.clone()).bearer().insecure_allow_cookie("key").unwrap();
        let scheme = scheme.insecure_allow_query("key").unwrap();
        let inner = Inner::new();
        let mut service = ApiKeyLayer::over(scheme).layer(inner.clone());
        let names = ["x-api-key", "authorization", "cookie", "content-type", "origin"];
        let mut request = Request::new(String::new());
        if let Ok(uri) = format!("/path?key={query}").parse() {
            *request.uri_mut() = uri;
        }
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                request.headers_mut().append(HeaderName::from_static(names[name]), value);
            }
        }
        let response = now(service.call(request)).unwrap();
        prop_assert!(inner.heads().is_empty());
        let grpc = response.headers().contains_key("grpc-status");
        prop_assert!(response.status().is_client_error() || (grpc && response.status() == StatusCode::OK));
    }

    #[test]
    fn a_cookie_field_loses_the_key_and_nothing_else(
        before in prop::collection::vec("[a-z]{1,5}=[a-zA-Z0-9]{0,8}", 0..4),
        after in prop::collection::vec("[a-z]{1,5}=[a-zA-Z0-9]{0,8}", 0..4),
    ) {
        prop_assume!(before.iter().chain(&after).all(|pair| !pair.starts_with("key=")));
        let (keys, issued) = store();
        let inner = Inner::new();
        let scheme = ApiKey::new(keys).insecure_allow_cookie("key").unwrap();
        let key = format!("key={}", issued.key().expose());
        let all: Vec<_> = before.iter().chain([&key]).chain(&after).cloned().collect();
        let request = Request::builder().header("cookie", all.join("; ")).body(String::new()).unwrap();
        let response = now(ApiKeyLayer::over(scheme).layer(inner.clone()).call(request)).unwrap();
        prop_assert_eq!(response.status(), StatusCode::OK);
        let left = inner.only_head().headers.get("cookie").map(|value| value.to_str().unwrap().to_owned());
        let others: Vec<_> = before.iter().chain(&after).cloned().collect();
        prop_assert_eq!(left.unwrap_or_default(), others.join("; "));
    }

    #[test]
    fn a_challenge_is_one_field_whose_parameters_can_be_read_back(values in prop::collection::vec(any::<String>(), 0..4)) {
        let names = ["realm", "scope", "error", "hint"];
        let challenge = names.iter().zip(&values).fold(Challenge::new("Bearer"), |challenge, (name, value)| {
            challenge.with(name, value.clone())
        });
        let header = challenge.to_header();
        let text = header.to_str().unwrap();
        let read = read_back(text.strip_prefix("Bearer").unwrap());
        let expected: Vec<_> = names.iter().zip(&values).map(|(name, value)| {
            let value: String = value.chars().map(|char| if (' '..='~').contains(&char) { char } else { '?' }).collect();
            ((*name).to_owned(), value)
        }).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn scopes_are_a_set(list in prop::collection::vec("[!#-\\[\\]-~]{1,6}", 0..8)) {
        let scopes = Scopes::new(&list).unwrap();
        prop_assert!(list.iter().all(|scope| scopes.contains(scope)));
        prop_assert_eq!(&Scopes::try_from(scopes.as_str()).unwrap(), &scopes);
        prop_assert!(scopes.iter().is_sorted_by(|left, right| left < right));
    }
}

/// Reads `a="b", c="d"` by the grammar of RFC 9110, section 11.6.1, one character at a time.
fn read_back(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"").unwrap();
        let mut text = String::new();
        let mut chars = value.char_indices();
        let end = loop {
            match chars.next().unwrap() {
                (_, '\\') => text.push(chars.next().unwrap().1),
                (end, '"') => break end,
                (_, char) => text.push(char),
            }
        };
        pairs.push((name.to_owned(), text));
        rest = value[end + 1..].trim_start_matches(", ");
    }
    pairs
}
