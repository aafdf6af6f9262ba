//! Paths that are let through, and nothing that only looks like them.

use http::{Request, StatusCode};
use tower::Layer;
use tower_keep::{ApiKeyLayer, ConfigError, MemoryStore, NewKey, RequireHttps, Transport, mark_plain};

use super::Listener::{Plain, Unmarked};
use super::{call, from, layer, send_over};
use crate::support::{Inner, as_grpc, get, with};

async fn passes(layer: &RequireHttps, target: &str) -> bool {
    let Ok(request) = Request::get(target).body(String::new()) else { return false };
    let (response, inside) = send_over(layer, Plain, from(request, "192.0.2.1")).await;
    assert_eq!(inside.is_some(), response.status() == StatusCode::OK, "{target}");
    inside.is_some()
}

#[tokio::test]
async fn a_path_is_exempt_if_it_is_the_same_to_the_letter() {
    let layer = layer().exempt("/healthz").unwrap().exempt("/a/b.c").unwrap();
    for target in ["/healthz", "/healthz?verbose", "/healthz?x=/../y", "/a/b.c", "http://any.example/healthz"] {
        assert!(passes(&layer, target).await, "{target}");
    }
    let others = [
        "/",
        "/healthz/",
        "//healthz",
        "/healthz//",
        "/./healthz",
        "/a/../healthz",
        "/healthz/..",
        "/healthz/../orders",
        "/healthz/%2e%2e/orders",
        "/healthz%2f..%2forders",
        "/%68ealthz",
        "/health%7A",
        "/healthz%00",
        "/healthz%3f",
        "/healthz%23",
        "/healthz;x=y",
        "/healthz.json",
        "/healthzz",
        "/health",
        "/Healthz",
        "/HEALTHZ",
        "/orders?/healthz",
        "/orders?path=/healthz",
        "/orders;/healthz",
        "/api/healthz",
        "\\healthz",
        "/\\healthz",
        "/healthz\\",
        "/a%2fb.c",
        "/a//b.c",
        "/a/b%2ec",
        "http://any.example//healthz",
        "*",
    ];
    for target in others {
        assert!(!passes(&layer, target).await, "{target}");
    }
}

#[tokio::test]
async fn no_other_field_makes_a_path_exempt() {
    let layer = layer().exempt_health().exempt_acme_challenge();
    let fields = [
        ("x-original-url", "/healthz"),
        ("x-rewrite-url", "/healthz"),
        ("x-forwarded-uri", "/healthz"),
        ("x-forwarded-path", "/healthz"),
        ("x-forwarded-prefix", "/healthz"),
        ("x-http-method-override", "OPTIONS"),
        ("user-agent", "kube-probe/1.34"),
        ("user-agent", "GoogleHC/1.0"),
        ("user-agent", "ELB-HealthChecker/2.0"),
        ("x-middleware-subrequest", "middleware:middleware:middleware"),
        ("x-envoy-internal", "true"),
        ("host", "localhost"),
        ("referer", "/healthz"),
    ];
    for (name, value) in fields {
        let (response, inside) = send_over(&layer, Plain, from(with(get("/orders"), name, value), "192.0.2.1")).await;

        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{name}: {value}");
        assert!(inside.is_none(), "{name}: {value}");
    }
}

#[tokio::test]
async fn the_usual_paths_are_at_hand() {
    let health = layer().exempt_health();
    let acme = layer().exempt_acme_challenge();

    for path in ["/healthz", "/livez", "/readyz", "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"] {
        assert!(passes(&health, path).await && !passes(&acme, path).await, "{path}");
    }
    for (path, expected) in [
        ("/.well-known/acme-challenge/LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0", true),
        ("/.well-known/acme-challenge/a-b_c", true),
        ("/.well-known/acme-challenge/", false),
        ("/.well-known/acme-challenge", false),
        ("/.well-known/acme-challenge/a/b", false),
        ("/.well-known/acme-challenge/..", false),
        ("/.well-known/acme-challenge/%2e%2e", false),
        ("/.well-known/acme-challenge/a;b", false),
        ("/.well-known/acme-challenge/../../orders", false),
        ("/.well-known/other/a", false),
    ] {
        assert_eq!(passes(&acme, path).await, expected, "{path}");
    }
}

#[tokio::test]
async fn the_health_service_of_grpc_is_reached() {
    let request = as_grpc(get("/grpc.health.v1.Health/Check"));

    assert!(send_over(&layer().exempt_health(), Unmarked, request).await.1.is_some());
}

#[tokio::test]
async fn no_credential_is_accepted_on_the_way_around() {
    let keys = MemoryStore::new();
    let issued = keys.issue(NewKey::for_owner("billing")).unwrap();
    let guard = ApiKeyLayer::new(keys);
    let inner = Inner::new();
    let https = layer().exempt("/healthz").unwrap().watch(&guard);
    let service = mark_plain(https.layer(guard.layer(inner.clone())));
    let key = issued.key().expose();

    let unwatched = mark_plain(layer().exempt("/healthz").unwrap().layer(guard.layer(inner.clone())));
    let unwatched = call(unwatched, with(get("/healthz"), "x-api-key", key)).await;
    assert_eq!(unwatched.status(), StatusCode::FORBIDDEN);

    let in_field = call(service.clone(), with(get("/healthz"), "x-api-key", key)).await;
    let in_authorization = call(service, with(get("/healthz"), "authorization", &format!("ApiKey {key}"))).await;

    assert_eq!([in_field.status(), in_authorization.status()], [StatusCode::UNAUTHORIZED; 2]);
    assert!(inner.heads().is_empty());

    let other_scheme = mark_plain(layer().exempt("/healthz").unwrap().layer(inner.clone()));
    call(other_scheme, with(get("/healthz"), "authorization", "Basic YTpi")).await;
    assert!(inner.only_head().headers.is_empty());
}

#[tokio::test]
async fn the_inner_service_is_told_over_what_an_exempt_request_came() {
    let layer = layer().exempt_health();

    let plain = send_over(&layer, Plain, from(get("/livez"), "192.0.2.1")).await.1.unwrap();
    let unknown = send_over(&layer, Unmarked, from(get("/livez"), "192.0.2.1")).await.1.unwrap();

    assert_eq!((plain.transport(), unknown.transport()), (Transport::Plain, Transport::Unknown));
}

#[test]
fn paths_that_could_be_written_in_another_way_are_errors() {
    let faults = [
        "",
        "healthz",
        "//healthz",
        "/a//b",
        "/health%7A",
        "/healthz?x",
        "/healthz#x",
        "/a/../b",
        "/./a",
        "/..",
        "/a b",
        "/a\\b",
        "/ä",
        "*",
        "https://a.example/healthz",
        "/a\"b",
    ];
    for given in faults {
        let expected = ConfigError::ExemptPath { given: given.to_owned() };
        assert_eq!(RequireHttps::new().exempt(given).unwrap_err(), expected, "{given:?}");
    }
    for given in ["/", "/healthz", "/healthz/", "/a.b/..c", "/a/@b:c,d;e=f"] {
        assert!(RequireHttps::new().exempt(given).is_ok(), "{given:?}");
    }
}
