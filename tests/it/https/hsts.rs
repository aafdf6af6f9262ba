//! `Strict-Transport-Security`: once, and over HTTPS alone.

use std::time::Duration;

use http::{HeaderMap, Response, StatusCode};
use tower::Layer;
use tower_keep::{ApiKeyLayer, ConfigError, Hsts, RequireHttps, mark_plain, mark_secure};

use super::Listener::{Plain, Secure, Unmarked};
use super::{call, layer, send_over};
use crate::support::{Inner, get, store, values};

const FIELD: &str = "strict-transport-security";

fn hsts(headers: &HeaderMap) -> Vec<String> {
    values(headers, FIELD)
}

#[tokio::test]
async fn an_answer_over_https_says_it_once_and_any_other_never() {
    let layer = layer().exempt("/healthz").unwrap().redirect_to(["a.example"]).unwrap();

    let secure = send_over(&layer, Secure, get("/")).await.0;
    let exempt_secure = send_over(&layer, Secure, get("/healthz")).await.0;
    assert_eq!(hsts(secure.headers()), ["max-age=31536000"]);
    assert_eq!(hsts(exempt_secure.headers()), ["max-age=31536000"]);

    for listener in [Plain, Unmarked] {
        for path in ["/", "/healthz", "/nowhere"] {
            let response = send_over(&layer, listener, get(path)).await.0;
            assert!(hsts(response.headers()).is_empty(), "{listener:?} {path}");
        }
    }
    let redirected = crate::support::with(super::from(get("/"), "192.0.2.1"), "host", "a.example");
    let redirected = send_over(&layer, Plain, redirected).await.0;
    assert_eq!(redirected.status(), StatusCode::PERMANENT_REDIRECT);
    assert!(hsts(redirected.headers()).is_empty());
}

#[tokio::test]
async fn what_the_inner_service_says_makes_it_neither_two_nor_plain() {
    let talkative = Inner::answering(|_| {
        let mut response = Response::new(String::new());
        for value in ["max-age=1", "max-age=2; includeSubDomains"] {
            response.headers_mut().append(FIELD, value.parse().unwrap());
        }
        response
    });
    let with_own = layer().exempt("/healthz").unwrap().hsts(Hsts::days(1)).unwrap();
    let without = layer().exempt("/healthz").unwrap().no_hsts();

    let secure = call(mark_secure(with_own.layer(talkative.clone())), get("/")).await;
    let left_alone = call(mark_secure(without.layer(talkative.clone())), get("/")).await;
    let plain = call(mark_plain(with_own.layer(talkative.clone())), get("/healthz")).await;
    let plain_left_alone = call(mark_plain(without.layer(talkative)), get("/healthz")).await;

    assert_eq!(hsts(secure.headers()), ["max-age=86400"]);
    assert_eq!(hsts(left_alone.headers()), ["max-age=1", "max-age=2; includeSubDomains"]);
    assert!(hsts(plain.headers()).is_empty() && hsts(plain_left_alone.headers()).is_empty());
}

#[tokio::test]
async fn refusals_of_layers_further_in_say_it_too() {
    let service = layer().layer(ApiKeyLayer::new(store().0).layer(Inner::new()));

    let response = call(mark_secure(service), get("/")).await;

    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(hsts(response.headers()), ["max-age=31536000"]);
}

#[tokio::test]
async fn the_value_is_what_the_settings_say() {
    let cases = [
        (Hsts::default(), "max-age=31536000"),
        (Hsts::days(30), "max-age=2592000"),
        (Hsts::max_age(Duration::from_millis(90_900)), "max-age=90"),
        (Hsts::forget(), "max-age=0"),
        (Hsts::days(30).include_subdomains(), "max-age=2592000; includeSubDomains"),
        (Hsts::days(365).include_subdomains().preload(), "max-age=31536000; includeSubDomains; preload"),
    ];
    for (hsts_of, expected) in cases {
        let layer = layer().hsts(hsts_of).unwrap();
        assert_eq!(hsts(send_over(&layer, Secure, get("/")).await.0.headers()), [expected]);
    }
}

#[test]
fn what_browsers_would_not_preload_is_an_error() {
    let cases = [
        Hsts::days(365).preload(),
        Hsts::days(364).include_subdomains().preload(),
        Hsts::forget().include_subdomains().preload(),
        Hsts::max_age(Duration::from_secs(365 * 24 * 60 * 60 - 1)).include_subdomains().preload(),
    ];
    for hsts in cases {
        assert_eq!(RequireHttps::new().hsts(hsts).unwrap_err(), ConfigError::HstsPreload, "{hsts:?}");
    }
}
