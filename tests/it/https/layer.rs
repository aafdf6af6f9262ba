//! What is refused, in which words, and what the layer leaves to the service inside.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keep::{ApiKeyLayer, Origin, Rejection, RequireHttps, Transport, mark_plain, mark_secure};
use tower_test::mock;

use super::Listener::{Plain, Secure, Unmarked};
use super::{call, from, layer, send_over};
use crate::log::logged;
use crate::support::{Inner, as_grpc, get, store, values, with, with_key};

/// What anybody can see of an answer.
fn seen(response: Response<String>) -> (StatusCode, Version, HeaderMap, String) {
    let (head, body) = response.into_parts();
    (head.status, head.version, head.headers, body)
}

#[tokio::test]
async fn the_refusal_is_the_same_whatever_the_request_carries() {
    let (keys, issued) = store();
    let revoked = keys.issue(tower_keep::NewKey::for_owner("a")).unwrap();
    keys.revoke(revoked.id()).unwrap();
    let guard = ApiKeyLayer::new(keys);
    let layers = [layer(), layer().watch(&guard)];
    let method = |method: Method| {
        let mut request = get("/");
        *request.method_mut() = method;
        request
    };
    let requests = || {
        let target = |target: &str| Request::get(target).body(String::new()).unwrap();
        vec![
            get("/"),
            with_key(&issued),
            with_key(&revoked),
            with(get("/"), "x-api-key", "junk"),
            with(with_key(&issued), "x-api-key", "junk"),
            with(get("/"), "authorization", &format!("Bearer {}", issued.key().expose())),
            with(get("/"), "authorization", "Basic YTpi"),
            with(get("/"), "cookie", "session=1"),
            with(get("/"), "x-forwarded-proto", "https"),
            with(get("/"), "forwarded", "proto=https"),
            with(get("/"), "host", "a.example"),
            with(get("/"), "user-agent", "kube-probe/1.34"),
            with(get("/"), "x-middleware-subrequest", "middleware"),
            with(get("/"), "connection", "x-forwarded-proto"),
            with(get("/"), "origin", "https://a.example"),
            get("/orders?api_key=x"),
            target("https://a.example/"),
            method(Method::HEAD),
            method(Method::POST),
            method(Method::OPTIONS),
            method(Method::DELETE),
            super::from_nowhere(get("/")),
            from(with(get("/"), "x-forwarded-proto", "http"), "10.0.0.1"),
            from(with(get("/"), "x-forwarded-proto", "https,http"), "10.0.0.1"),
        ]
    };
    let expected = seen(send_over(&layers[0], Plain, get("/")).await.0);
    assert_eq!(expected.0, StatusCode::FORBIDDEN);
    assert_eq!(values(&expected.2, "content-type"), ["application/problem+json"]);
    assert_eq!(values(&expected.2, "cache-control"), ["no-store"]);
    assert_eq!(expected.2.len(), 2, "{:?}", expected.2);

    for layer in &layers {
        for listener in [Plain, Unmarked] {
            for request in requests() {
                let described = format!("{listener:?} {request:?}");

                let (response, inside) = send_over(layer, listener, request).await;

                assert!(inside.is_none(), "{described}");
                assert_eq!(seen(response), expected, "{described}");
            }
        }
    }
}

#[tokio::test]
async fn a_grpc_caller_gets_a_grpc_status() {
    for key in [None, Some("junk")] {
        let request = as_grpc(get("/hello.v1.Greeter/SayHello"));
        let request = key.into_iter().fold(request, |request, key| with(request, "x-api-key", key));

        let (response, inside) = send_over(&layer(), Plain, request).await;

        assert!(inside.is_none());
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(values(response.headers(), "grpc-status"), ["7"]);
        assert_eq!(values(response.headers(), "content-type"), ["application/grpc"]);
        assert!(response.body().is_empty());
    }
}

#[tokio::test]
async fn a_responder_of_ones_own_sees_nothing_of_the_request() {
    let layer = layer().responder(|rejection: &Rejection, head: &Parts| {
        Response::new(format!("{:?} {} {:?} {:?}", rejection.cause(), head.method, head.uri, head.headers))
    });
    let service = mark_plain(layer.layer(Inner::new()));

    let response = call(service, with(get("/secret?key=1"), "x-api-key", "secret")).await;

    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(response.body(), "Insecure GET / {}");
    assert_eq!(values(response.headers(), "cache-control"), ["no-store"]);
}

#[tokio::test]
async fn a_secure_request_passes_as_it_came_with_its_origin() {
    let mut request = from(with(get("/a/b?c=d"), "host", "api.example.com:8443"), "::ffff:192.0.2.1");
    request.extensions_mut().insert("from a layer further out");
    let inner = Inner::new();

    call(mark_secure(layer().layer(inner.clone())), request).await;

    let head = inner.only_head();
    assert_eq!(head.uri, "/a/b?c=d");
    assert_eq!(head.extensions.get::<&str>(), Some(&"from a layer further out"));
    let origin = head.extensions.get::<Origin>().unwrap();
    assert_eq!(origin.transport(), Transport::Secure);
    assert_eq!(origin.peer(), Some("192.0.2.1".parse().unwrap()));
    assert_eq!((origin.authority(), origin.host()), (Some("api.example.com:8443"), Some("api.example.com")));
    assert_eq!(origin.uri(), "/a/b?c=d");
}

#[tokio::test]
async fn an_authority_is_told_only_if_it_is_clear() {
    let request = |target: &str, hosts: &[&str]| {
        let request = Request::get(target).version(Version::HTTP_2).body(String::new()).unwrap();
        hosts.iter().fold(request, |request, host| with(request, "host", host))
    };
    let cases: [(&str, &[&str], Option<&str>); 13] = [
        ("/", &["a.example"], Some("a.example")),
        ("/", &["[::1]:8443"], Some("[::1]:8443")),
        ("https://a.example/", &[], Some("a.example")),
        ("http://a.example:80/", &["A.example:80"], Some("a.example:80")),
        ("https://a.example/", &["b.example"], None),
        ("https://a.example/", &["a.example:443"], None),
        ("https://a.example/", &["a.example", "a.example"], None),
        ("https://u@a.example/", &[], None),
        ("/", &[], None),
        ("/", &["a.example", "a.example"], None),
        ("/", &["u@a.example"], None),
        ("/", &["a.example, b.example"], None),
        ("/", &[""], None),
    ];
    for (target, hosts, expected) in cases {
        let (_, origin) = send_over(&layer(), Secure, request(target, hosts)).await;

        assert_eq!(origin.unwrap().authority(), expected, "{target} {hosts:?}");
    }
}

#[tokio::test]
async fn the_layer_is_ready_exactly_when_the_inner_service_is() {
    let (mut service, mut handle) = mock::spawn_layer::<Request<String>, Response<String>, _>(RequireHttps::new());
    handle.allow(0);
    assert!(service.poll_ready().is_pending());

    handle.allow(1);
    assert!(matches!(service.poll_ready(), Poll::Ready(Ok(()))));

    let refused = service.call(get("/")).await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(pin!(handle.next_request()).poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

#[tokio::test]
async fn the_service_that_was_polled_ready_is_the_one_that_is_called() {
    let limited = ConcurrencyLimit::new(Inner::new(), 1);
    let mut service = mark_secure(layer().layer(limited));

    for _ in 0..3 {
        let response = service.ready().await.unwrap().call(from(get("/"), "192.0.2.1")).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
}

#[test]
fn dropping_the_future_drops_the_inner_work() {
    let working = Arc::new(());
    let inside = Arc::clone(&working);
    let inner = service_fn(move |_: Request<String>| {
        let inside = Arc::clone(&inside);
        async move {
            let _inside = inside;
            pending::<Result<Response<String>, std::convert::Infallible>>().await
        }
    });
    let mut response = Box::pin(mark_secure(layer().layer(inner)).call(from(get("/"), "192.0.2.1")));
    assert!(response.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(Arc::strong_count(&working), 2);

    drop(response);

    assert_eq!(Arc::strong_count(&working), 1);
}

#[tokio::test]
async fn an_error_of_the_inner_service_stays_one() {
    let inner = service_fn(async |_: Request<String>| Err::<Response<String>, _>("broken"));

    let request = from(get("/"), "192.0.2.1");
    assert_eq!(mark_secure(layer().layer(inner)).oneshot(request).await.unwrap_err(), "broken");
}

#[tokio::test]
async fn the_log_says_why_and_the_answer_does_not() {
    let log = logged();
    let cases = [
        (Plain, from(get("/"), "192.0.2.1"), "transport_plain"),
        (Unmarked, from(get("/"), "192.0.2.1"), "transport_untold"),
        (Unmarked, from(with(get("/"), "x-forwarded-proto", "https"), "192.0.2.1"), "proxy_untrusted"),
        (Unmarked, from(get("/"), "10.0.0.1"), "forwarding_absent"),
    ];
    for (listener, request, reason) in cases {
        let (response, _) = send_over(&layer(), listener, request).await;

        let mut lines = log.lines();
        lines.retain(|line| line.contains("message=refused"));
        let expected = format!(
            "INFO tower_keep message=refused cause=\"insecure\" reason=\"{reason}\" status=403 report_only=false suppressed=0"
        );
        assert_eq!(lines, [expected]);
        assert!(!response.body().contains(reason));
    }
}

#[tokio::test]
async fn the_first_refusal_for_want_of_an_address_says_how_to_serve_with_one() {
    let log = logged();
    let layer = layer();

    for _ in 0..3 {
        // As axum does for each route: a service of its own.
        send_over(&layer.clone(), Unmarked, super::from_nowhere(with(get("/"), "x-forwarded-proto", "https"))).await;
    }

    let lines = log.lines();
    let help: Vec<_> = lines.iter().filter(|line| line.contains("message=peer_unknown")).collect();
    assert_eq!(help.len(), 1, "{lines:?}");
    assert!(help[0].starts_with("WARN") && help[0].contains("into_make_service_with_connect_info"), "{help:?}");
    assert_eq!(lines.iter().filter(|line| line.contains("reason=\"peer_unknown\"")).count(), 3);
}

#[tokio::test]
async fn the_first_refusal_for_want_of_an_entry_says_which_address_is_not_on_the_list() {
    let log = logged();
    let layer = layer();

    for _ in 0..3 {
        send_over(&layer.clone(), Unmarked, from(with(get("/"), "x-forwarded-proto", "https"), "172.16.0.9")).await;
    }

    let lines = log.lines();
    let help: Vec<_> = lines.iter().filter(|line| line.contains("message=proxy_untrusted")).collect();
    assert_eq!(help.len(), 1, "{lines:?}");
    assert!(help[0].starts_with("WARN") && help[0].contains("peer=172.16.0.9"), "{help:?}");
}

#[tokio::test]
async fn a_guard_further_in_is_not_reached_by_a_bad_request_over_plain_http() {
    let (keys, issued) = store();
    let inner = Inner::new();
    let service = layer().layer(ApiKeyLayer::new(keys).layer(inner.clone()));

    let plain = call(mark_plain(service.clone()), with_key(&issued)).await;
    let secure = call(mark_secure(service.clone()), with_key(&issued)).await;
    let bad = call(mark_secure(service), with(get("/"), "x-api-key", "junk")).await;

    assert_eq!(
        [plain.status(), secure.status(), bad.status()],
        [StatusCode::FORBIDDEN, StatusCode::OK, StatusCode::UNAUTHORIZED]
    );
    assert_eq!(inner.heads().len(), 1);
}
