//! Requests for other hosts (DNS rebinding).

use http::{Request, StatusCode};
use tower_keep::{ConfigError, RequireHttps, TrustedProxies};

use super::Listener::{Plain, Secure};
use super::{layer, proxied, send_over};
use crate::support::{as_grpc, get, values, with};

fn guarded() -> RequireHttps {
    layer().only_hosts(["api.example.com", "[::1]:8443"]).unwrap()
}

#[tokio::test]
async fn a_request_for_another_host_is_refused() {
    let cases: [(&[&str], bool); 14] = [
        (&["api.example.com"], true),
        (&["API.example.com:9999"], true),
        (&["[::1]"], true),
        (&["[::1]:1"], true),
        (&["evil.example"], false),
        (&["api.example.com.evil.example"], false),
        (&["evil-api.example.com"], false),
        (&["api.example.com."], false),
        (&["api.example.com@evil.example"], false),
        (&["localhost"], false),
        (&["127.0.0.1"], false),
        (&[], false),
        (&["api.example.com", "api.example.com"], false),
        (&["api.example.com", "evil.example"], false),
    ];
    for (hosts, passes) in cases {
        let request = hosts.iter().fold(get("/"), |request, host| with(request, "host", host));

        let (response, inside) = send_over(&guarded(), Secure, request).await;

        let expected = if passes { StatusCode::OK } else { StatusCode::MISDIRECTED_REQUEST };
        assert_eq!(response.status(), expected, "{hosts:?}");
        assert_eq!(inside.is_some(), passes, "{hosts:?}");
    }
}

#[tokio::test]
async fn the_target_and_what_a_proxy_says_count_as_much_as_the_field() {
    let foreign = Request::get("https://evil.example/").body(String::new()).unwrap();
    let contradicting =
        with(Request::get("https://api.example.com/").body(String::new()).unwrap(), "host", "evil.example");
    let by_proxy = |host| proxied(&[("host", "inner"), ("x-forwarded-host", host), ("x-forwarded-proto", "https")]);

    // What the client writes into a field that the proxy passes on is no way around.
    for field in ["x-forwarded-host", "forwarded"] {
        let value = if field == "forwarded" { "host=api.example.com" } else { "api.example.com" };
        let request = proxied(&[("host", "evil.example"), (field, value), ("x-forwarded-proto", "https")]);
        assert_eq!(send_over(&guarded(), Secure, request).await.0.status(), StatusCode::MISDIRECTED_REQUEST);
    }
    for (request, passes) in [
        (foreign, false),
        (contradicting, false),
        (by_proxy("api.example.com"), true),
        (by_proxy("evil.example"), false),
    ] {
        let proxies = TrustedProxies::new(["10.0.0.0/8"]).unwrap().forwards_host();
        assert_eq!(send_over(&guarded().behind(proxies), Secure, request).await.1.is_some(), passes);
    }
}

#[tokio::test]
async fn a_grpc_caller_gets_a_grpc_status() {
    let (response, _) = send_over(&guarded(), Secure, as_grpc(get("/a.B/C"))).await;

    assert_eq!(values(response.headers(), "grpc-status"), ["7"]);
}

#[tokio::test]
async fn over_plain_http_the_host_makes_no_difference() {
    for host in ["api.example.com", "evil.example"] {
        let (response, _) = send_over(&guarded(), Plain, with(get("/"), "host", host)).await;

        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{host}");
    }
}

#[tokio::test]
async fn health_checks_name_whatever_host_they_like() {
    let layer = guarded().exempt_health();

    for listener in [Plain, Secure] {
        assert!(send_over(&layer, listener, with(get("/healthz"), "host", "10.1.2.3")).await.1.is_some());
    }
}

#[test]
fn hosts_that_are_none_are_errors() {
    for given in ["", "https://a.example", "a.example/", "user@a.example", "::1", "a.example:x", "*.example.com", "a b"]
    {
        let expected = ConfigError::Host { given: given.to_owned() };
        assert_eq!(RequireHttps::new().only_hosts(["a.example", given]).unwrap_err(), expected, "{given:?}");
        assert_eq!(RequireHttps::new().redirect_to([given]).unwrap_err(), expected, "{given:?}");
    }
    assert_eq!(RequireHttps::new().only_hosts([""; 0]).unwrap_err(), ConfigError::HostsEmpty);
    assert_eq!(RequireHttps::new().redirect_to([""; 0]).unwrap_err(), ConfigError::HostsEmpty);
}
