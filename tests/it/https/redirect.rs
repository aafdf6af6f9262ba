//! Redirects: by choice, and to known hosts alone.

use http::{Method, Request, Response, StatusCode, Uri};
use proptest::prelude::*;
use tower_keep::{RequireHttps, TrustedProxies};
use url::Url;

use super::Listener::{self, Plain, Unmarked};
use super::{at_once, behind, from, layer, proxied, send_over};
use crate::support::{values, with};

fn redirecting() -> RequireHttps {
    layer().redirect_to(["app.example.com", "dev.example.com:8443", "[2001:db8::1]"]).unwrap()
}

fn to(method: Method, target: &str, hosts: &[&str]) -> Request<String> {
    let request = Request::builder().method(method).uri(target).body(String::new()).unwrap();
    hosts.iter().fold(from(request, "192.0.2.1"), |request, host| with(request, "host", host))
}

/// Returns where an answer leads, and asserts that it is a refusal if it leads nowhere.
fn location(response: &Response<String>) -> Option<String> {
    let locations = values(response.headers(), "location");
    match response.status() {
        StatusCode::PERMANENT_REDIRECT => {
            assert_eq!(locations.len(), 1);
            assert_eq!(values(response.headers(), "cache-control"), ["no-store"]);
            assert!(response.body().is_empty());
            locations.into_iter().next()
        }
        status => {
            assert_eq!((status, locations.len()), (StatusCode::FORBIDDEN, 0));
            None
        }
    }
}

async fn leads(listener: Listener, request: Request<String>) -> Option<String> {
    let (response, inside) = send_over(&redirecting(), listener, request).await;
    assert!(inside.is_none());
    location(&response)
}

#[tokio::test]
async fn a_browser_is_sent_to_the_same_path_over_https() {
    let cases = [
        ("/", "app.example.com", "https://app.example.com/"),
        ("/a/b?c=d&e", "app.example.com", "https://app.example.com/a/b?c=d&e"),
        ("/a", "APP.example.com", "https://app.example.com/a"),
        ("/a", "app.example.com:80", "https://app.example.com/a"),
        ("/a", "app.example.com:8080", "https://app.example.com/a"),
        ("/a", "dev.example.com:8080", "https://dev.example.com:8443/a"),
        ("/a", "[2001:db8::1]:80", "https://[2001:db8::1]/a"),
        ("/a%2Fb%20c?%3F", "app.example.com", "https://app.example.com/a%2Fb%20c?%3F"),
        ("//evil.example/a", "app.example.com", "https://app.example.com//evil.example/a"),
        ("/\\evil.example", "app.example.com", "https://app.example.com/%5Cevil.example"),
        ("/a?next=//evil.example", "app.example.com", "https://app.example.com/a?next=//evil.example"),
        ("/@evil.example", "app.example.com", "https://app.example.com/@evil.example"),
        ("/%0d%0aset-cookie:x", "app.example.com", "https://app.example.com/%0d%0aset-cookie:x"),
        ("/a|b^c", "app.example.com", "https://app.example.com/a%7Cb%5Ec"),
    ];
    for (target, host, expected) in cases {
        for method in [Method::GET, Method::HEAD] {
            assert_eq!(leads(Plain, to(method, target, &[host])).await.as_deref(), Some(expected), "{target} {host}");
        }
    }
}

#[tokio::test]
async fn everything_else_is_refused() {
    let app = &["app.example.com"][..];
    let cases: [(Method, &str, &[&str]); 22] = [
        (Method::POST, "/a", app),
        (Method::PUT, "/a", app),
        (Method::DELETE, "/a", app),
        (Method::PATCH, "/a", app),
        (Method::OPTIONS, "/a", app),
        (Method::OPTIONS, "*", app),
        (Method::GET, "*", app),
        (Method::TRACE, "/a", app),
        (Method::CONNECT, "app.example.com:443", &[]),
        (Method::GET, "/a", &[]),
        (Method::GET, "/a", &[""]),
        (Method::GET, "/a", &["evil.example"]),
        (Method::GET, "/a", &["app.example.com.evil.example"]),
        (Method::GET, "/a", &["evil.example/app.example.com"]),
        (Method::GET, "/a", &["app.example.com@evil.example"]),
        (Method::GET, "/a", &["evil.example@app.example.com"]),
        (Method::GET, "/a", &["app.example.com:443@evil.example"]),
        (Method::GET, "/a", &["app.example.com", "app.example.com"]),
        (Method::GET, "/a", &["app.example.com", "evil.example"]),
        (Method::GET, "http://evil.example/a", app),
        (Method::GET, "http://app.example.com/a", &["evil.example"]),
        (Method::GET, "http://app.example.com@evil.example/a", &[]),
    ];
    for (method, target, hosts) in cases {
        assert_eq!(leads(Plain, to(method.clone(), target, hosts)).await, None, "{method} {target} {hosts:?}");
    }
}

#[tokio::test]
async fn the_target_names_the_host_where_it_has_one() {
    let absolute = to(Method::GET, "http://app.example.com:8080/a", &["app.example.com:8080"]);
    let http2 = to(Method::GET, "http://app.example.com/a", &[]);

    assert_eq!(leads(Plain, absolute).await.as_deref(), Some("https://app.example.com/a"));
    assert_eq!(leads(Plain, http2).await.as_deref(), Some("https://app.example.com/a"));
}

#[tokio::test]
async fn fields_of_clients_lead_nowhere() {
    for name in ["x-forwarded-host", "forwarded", "x-host", "x-original-host", "x-forwarded-server"] {
        let value = if name == "forwarded" { "host=app.example.com" } else { "app.example.com" };
        let request = with(to(Method::GET, "/a", &["evil.example"]), name, value);
        assert_eq!(leads(Plain, request).await, None, "{name}");
    }
}

#[tokio::test]
async fn a_transport_that_is_not_known_may_be_https_already_and_is_not_redirected_in_circles() {
    assert_eq!(leads(Unmarked, to(Method::GET, "/a", &["app.example.com"])).await, None);
    let untrusted = with(to(Method::GET, "/a", &["app.example.com"]), "x-forwarded-proto", "http");
    assert_eq!(leads(Plain, untrusted).await, None);
    let contradicted = proxied(&[("host", "app.example.com"), ("x-forwarded-proto", "https,http")]);
    assert_eq!(leads(Unmarked, contradicted).await, None);
}

#[tokio::test]
async fn behind_a_proxy_the_host_is_the_one_that_the_client_asked_for() {
    let by_proxy = |host: &str, proto: &str| {
        proxied(&[("host", "inner.example"), ("x-forwarded-host", host), ("x-forwarded-proto", proto)])
    };

    let proxies = TrustedProxies::new(["10.0.0.0/8"]).unwrap().forwards_host();
    let layer = redirecting().behind(proxies);
    let leads = async |request| location(&send_over(&layer, Unmarked, request).await.0);

    assert_eq!(leads(by_proxy("app.example.com", "http")).await.as_deref(), Some("https://app.example.com/"));
    assert_eq!(leads(by_proxy("evil.example", "http")).await, None);
    assert!(send_over(&layer, Unmarked, by_proxy("app.example.com", "https")).await.1.is_some());
}

#[tokio::test]
async fn without_the_setting_nothing_is_redirected() {
    let (response, _) = send_over(&layer(), Plain, to(Method::GET, "/a", &["app.example.com"])).await;

    assert_eq!(location(&response), None);
}

/// Pieces that have led others astray.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => proptest::sample::select(vec![
            "/", "//", "\\", "@", ":", "evil.example", "app.example.com", "dev.example.com:8443", "%2f", "%5c", "%0d%0a",
            "?", "#", "..", ".", "a", "http:", "https:", "[", "]", "[2001:db8::1]", "%", "\t", " ", "&", "=", ";", ",", "*",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ]
}

fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(piece(), 0..7).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn wherever_a_redirect_leads_is_an_allowed_host_over_https(
        target in text(),
        slashed in any::<bool>(),
        hosts in proptest::collection::vec(prop_oneof![3 => Just("app.example.com".to_owned()), 2 => text()], 0..3),
        forwarded_host in proptest::option::of(text()),
        trusted in any::<bool>(),
        forwards in any::<bool>(),
        method in proptest::sample::select(vec![Method::GET, Method::HEAD]),
    ) {
        let target = if slashed { format!("/{target}") } else { target };
        let Ok(uri) = target.parse::<Uri>() else { return Ok(()) };
        let mut request = Request::builder().method(method).uri(uri).body(String::new()).unwrap();
        let mut append = |name: &'static str, value: &str| {
            if let Ok(value) = value.parse() {
                request.headers_mut().append(name, value);
            }
        };
        hosts.iter().for_each(|host| append("host", host));
        forwarded_host.iter().for_each(|host| append("x-forwarded-host", host));
        if trusted {
            append("x-forwarded-proto", "http");
        }
        let request = from(request, if trusted { "10.0.0.1" } else { "192.0.2.1" });
        let proxies = TrustedProxies::new(["10.0.0.0/8"]).unwrap();
        let layer = behind(if forwards { proxies.forwards_host() } else { proxies });
        let layer = layer.redirect_to(["app.example.com", "dev.example.com:8443", "[2001:db8::1]"]).unwrap();
        let path_and_query = request.uri().path_and_query().cloned();

        let (response, inside) = at_once(send_over(&layer, Plain, request));

        prop_assert!(inside.is_none());
        if let Some(location) = location(&response) {
            let url = Url::parse(&location).unwrap();
            let allowed = [("app.example.com", None), ("dev.example.com", Some(8443)), ("[2001:db8::1]", None)];
            prop_assert_eq!(url.scheme(), "https");
            prop_assert!(allowed.contains(&(url.host_str().unwrap(), url.port())), "{}", location);
            prop_assert_eq!((url.username(), url.password()), ("", None));
            // What stands in the target as a URI may have it is kept to the letter.
            let target = path_and_query.unwrap();
            let kept = target.as_str().bytes().all(|byte| byte.is_ascii() && !b"\\\"<>[]^`{|}".contains(&byte));
            prop_assert!(!kept || location.ends_with(target.as_str()), "{} {}", location, target);
        }
    }
}
