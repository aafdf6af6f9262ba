//! Scopes, route by route and method by method.

use http::{Response, StatusCode};
use tower::{Layer, ServiceExt};
use tower_keep::{ApiKeyLayer, ConfigError, MemoryStore, Need, NewKey, RequireScopes, Scopes};

use crate::support::{Inner, TestClock, as_grpc, get, rules, status, store, values, with, with_key};

async fn outcome(layer: RequireScopes, held: &str, path: &str) -> Response<String> {
    let keys = MemoryStore::with(rules(&TestClock::new()));
    let issued = keys.issue(NewKey::for_owner("a").scopes(held)).unwrap();
    let service = ApiKeyLayer::new(keys).layer(layer.layer(Inner::new()));
    service.oneshot(with(get(path), "x-api-key", issued.key().expose())).await.unwrap()
}

#[tokio::test]
async fn all_needs_every_scope_and_any_needs_one() {
    let (all, any) = (|| RequireScopes::all(["a", "b"]), || RequireScopes::any(["a", "b"]));
    let cases = [
        ("a b", 200, 200),
        ("a b c", 200, 200),
        ("a", 403, 200),
        ("b c", 403, 200),
        ("", 403, 403),
        ("ab", 403, 403),
        ("A B", 403, 403),
    ];
    for (held, with_all, with_any) in cases {
        assert_eq!(outcome(all(), held, "/").await.status(), with_all, "all of a b, held {held:?}");
        assert_eq!(outcome(any(), held, "/").await.status(), with_any, "any of a b, held {held:?}");
    }
}

#[tokio::test]
async fn a_refusal_names_all_the_scopes_that_are_needed() {
    let response = outcome(RequireScopes::all(["write", "read"]), "read", "/").await;

    let expected = [r#"ApiKey realm="api", error="insufficient_scope", scope="read write""#];
    assert_eq!(values(response.headers(), "www-authenticate"), expected);
    assert!(response.body().contains(r#""error":"insufficient_scope","scope":"read write""#));
}

#[tokio::test]
async fn a_hierarchy_is_the_users_rule() {
    let layer = || {
        RequireScopes::all(["orders:read"])
            .hierarchy(|held, needed| needed.strip_prefix(held).is_some_and(|rest| rest.starts_with(':')))
    };
    for (held, expected) in [("orders", 200), ("orders:read", 200), ("order", 403), ("orders:write", 403)] {
        assert_eq!(outcome(layer(), held, "/").await.status(), expected, "{held}");
    }
}

#[tokio::test]
async fn a_method_that_is_not_listed_is_refused() {
    let layer = || {
        RequireScopes::by_method([
            ("/shop.Orders/List", Need::all(["read"])),
            ("/shop.Orders/Cancel", Need::any(["write", "admin"])),
            ("/shop.Orders/Ping", Need::principal()),
        ])
    };
    let cases = [
        ("/shop.Orders/List", "read", 200),
        ("/shop.Orders/List", "write", 403),
        ("/shop.Orders/Cancel", "admin", 200),
        ("/shop.Orders/Cancel", "read", 403),
        ("/shop.Orders/Ping", "", 200),
        ("/shop.Orders/Delete", "read write admin", 403),
        ("/shop.Orders/list", "read", 403),
        ("/shop.Orders/List/", "read", 403),
        ("//shop.Orders/List", "read", 403),
        ("/shop.Orders/%4Cist", "read", 403),
        ("/", "read", 403),
    ];
    for (path, held, expected) in cases {
        assert_eq!(outcome(layer(), held, path).await.status(), expected, "{path} with {held:?}");
    }
    assert_eq!(outcome(layer(), "read", "/shop.Orders/List?x=1").await.status(), 200);
}

#[tokio::test]
async fn a_list_that_makes_no_sense_lets_nobody_through_and_check_says_why() {
    let none: [&str; 0] = [];
    let scope = |given: &str| ConfigError::Scope { given: given.to_owned() };
    let path = |given: &str| ConfigError::MethodPath { given: given.to_owned() };
    let cases = [
        (RequireScopes::all(none), ConfigError::ScopesEmpty),
        (RequireScopes::any(none), ConfigError::ScopesEmpty),
        (RequireScopes::all(["two words"]), scope("two words")),
        (RequireScopes::any([""]), scope("")),
        (RequireScopes::all(["quo\"te"]), scope("quo\"te")),
        (RequireScopes::by_method([("List", Need::all(["a"]))]), path("List")),
        (RequireScopes::by_method([("/a/b/c", Need::principal())]), path("/a/b/c")),
        (RequireScopes::by_method([("/a.B/C", Need::all(none))]), ConfigError::ScopesEmpty),
    ];
    for (layer, expected) in cases {
        assert_eq!(layer.check().unwrap_err(), expected);
        assert_eq!(outcome(layer, "a", "/a.B/C").await.status(), StatusCode::INTERNAL_SERVER_ERROR, "{expected}");
    }
    assert_eq!(RequireScopes::all(["a"]).check(), Ok(()));
}

#[tokio::test]
async fn without_a_layer_outside_the_answer_is_500() {
    let layer = RequireScopes::all(["read"]);
    assert_eq!(status(layer.clone(), get("/")).await, StatusCode::INTERNAL_SERVER_ERROR);
    let response = layer.layer(Inner::new()).oneshot(as_grpc(get("/"))).await.unwrap();
    assert_eq!(values(response.headers(), "grpc-status"), ["13"]);
}

#[tokio::test]
async fn nobody_is_asked_for_a_credential() {
    let (keys, issued) = store();
    let service = ApiKeyLayer::new(keys).optional().layer(RequireScopes::all(["read"]).layer(Inner::new()));

    let response = service.clone().oneshot(get("/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(values(response.headers(), "www-authenticate"), [r#"ApiKey realm="api""#]);
    assert_eq!(service.oneshot(with_key(&issued)).await.unwrap().status(), StatusCode::OK);
}

#[test]
fn scopes_are_tokens_in_order_and_once() {
    let scopes = Scopes::new(["b", "a", "b"]).unwrap();
    assert_eq!(scopes.to_string(), "a b");
    assert_eq!(scopes.iter().collect::<Vec<_>>(), ["a", "b"]);
    assert!(scopes.contains("a") && !scopes.contains("a b") && !scopes.contains(""));
    for bad in ["", " ", "a b", "\"", "\\", "é", "a\n", "\u{7f}"] {
        assert_eq!(Scopes::new([bad]).unwrap_err(), ConfigError::Scope { given: bad.to_owned() });
    }
    assert!(Scopes::new(["!#$%&'()*+,-./:;<=>?@[]^_`{|}~"]).is_ok());
}
