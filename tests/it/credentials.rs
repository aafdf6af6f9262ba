//! Where a key may stand, that it is gone afterwards, and that there is only one.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use tower::Layer;
use tower_keep::{ApiKey, ApiKeyLayer, AuthLayer, ConfigError, Rejection, Scheme};

use crate::support::{Inner, Ticket, get, send, send_to, status, store, values, with, with_key};

fn everywhere() -> (ApiKeyLayer, String) {
    let (keys, issued) = store();
    let scheme = ApiKey::new(keys)
        .also_header("apikey")
        .unwrap()
        .bearer()
        .insecure_allow_cookie("key")
        .unwrap()
        .insecure_allow_query("api_key")
        .unwrap();
    (ApiKeyLayer::over(scheme), issued.key().expose().to_owned())
}

#[tokio::test]
async fn a_key_may_stand_in_each_configured_place_and_is_gone_before_the_handler_sees_it() {
    let (layer, key) = everywhere();
    let cases = [
        with(get("/"), "x-api-key", &key),
        with(get("/"), "X-API-KEY", &key),
        with(get("/"), "apikey", &key),
        with(get("/"), "authorization", &format!("ApiKey {key}")),
        with(get("/"), "authorization", &format!("apikey  {key}")),
        with(get("/"), "authorization", &format!("Bearer {key}")),
        with(get("/"), "authorization", &format!("bEARER {key}")),
        with(get("/"), "cookie", &format!("key={key}")),
        with(get("/"), "cookie", &format!("a=1; key={key}; b=2")),
        get(&format!("/path?api_key={key}")),
        get(&format!("/path?x=1&%61pi_key={key}&y=2")),
    ];
    for request in cases {
        let name = format!("{} {:?}", request.uri(), request.headers());
        let (response, heads) = send(layer.clone(), request).await;

        assert_eq!(response.status(), StatusCode::OK, "{name}");
        let head = &heads[0];
        let left = format!("{:?} {} {:?}", head.headers, head.uri, head.extensions);
        assert!(!left.contains(&key), "{name}: {left}");
    }
}

#[tokio::test]
async fn what_stood_beside_the_key_stays() {
    let (layer, key) = everywhere();

    let (_, heads) = send(layer.clone(), with(get("/"), "cookie", &format!("a=1; key={key}; b=2"))).await;
    assert_eq!(values(&heads[0].headers, "cookie"), ["a=1; b=2"]);

    let (_, heads) = send(layer.clone(), with(get("/"), "cookie", &format!("key={key}"))).await;
    assert!(!heads[0].headers.contains_key("cookie"));

    let (_, heads) = send(layer.clone(), get(&format!("/path?x=1&api_key={key}&y=%20"))).await;
    assert_eq!(heads[0].uri, "/path?x=1&y=%20");

    let (_, heads) = send(layer.clone(), get(&format!("https://host:8443/path?api_key={key}"))).await;
    assert_eq!(heads[0].uri, "https://host:8443/path");

    let (_, heads) = send(layer, with(with(get("/"), "x-api-key", &key), "accept", "text/plain")).await;
    assert_eq!(values(&heads[0].headers, "accept"), ["text/plain"]);
}

#[tokio::test]
async fn by_default_only_the_header_and_the_apikey_scheme_are_read() {
    let (keys, issued) = store();
    let key = issued.key().expose();
    let layer = ApiKeyLayer::new(keys);

    assert_eq!(status(layer.clone(), with(get("/"), "x-api-key", key)).await, StatusCode::OK);
    assert_eq!(status(layer.clone(), with(get("/"), "authorization", &format!("ApiKey {key}"))).await, StatusCode::OK);
    for request in [
        with(get("/"), "apikey", key),
        with(get("/"), "authorization", &format!("Bearer {key}")),
        with(get("/"), "cookie", &format!("key={key}; x-api-key={key}")),
        get(&format!("/?api_key={key}&x-api-key={key}")),
    ] {
        assert_eq!(status(layer.clone(), request).await, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn another_header_takes_the_place_of_the_default() {
    let (keys, issued) = store();
    let layer = ApiKeyLayer::over(ApiKey::new(keys).header("apikey").unwrap());

    assert_eq!(status(layer.clone(), with(get("/"), "apikey", issued.key().expose())).await, StatusCode::OK);
    assert_eq!(status(layer, with_key(&issued)).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn two_credentials_are_one_too_many() {
    let (layer, key) = everywhere();
    let other = store().1.key().expose().to_owned();
    let places = |key: &str| {
        [
            ("x-api-key", key.to_owned()),
            ("apikey", key.to_owned()),
            ("authorization", format!("ApiKey {key}")),
            ("authorization", format!("Bearer {key}")),
            ("cookie", format!("key={key}")),
        ]
    };
    for second in [&key, &other] {
        for (name, value) in places(&key) {
            for (second_name, second_value) in places(second) {
                let request = with(with(get("/"), name, &value), second_name, &second_value);
                let response = status(layer.clone(), request).await;
                assert_eq!(response, StatusCode::BAD_REQUEST, "{name} and {second_name}");
            }
            let request = with(get(&format!("/?api_key={second}")), name, &value);
            assert_eq!(status(layer.clone(), request).await, StatusCode::BAD_REQUEST, "{name} and query");
        }
    }
    let twice = get(&format!("/?api_key={key}&api_key={other}"));
    assert_eq!(status(layer.clone(), twice).await, StatusCode::BAD_REQUEST);
    let twice = with(get("/"), "cookie", &format!("key={key}; key={other}"));
    assert_eq!(status(layer.clone(), twice).await, StatusCode::BAD_REQUEST);
    // A second credential under a scheme that the layer accepts counts, even if no key looks like it.
    let foreign = with(with(get("/"), "x-api-key", &key), "authorization", "Bearer aaa.bbb.ccc");
    assert_eq!(status(layer, foreign).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn two_kinds_accepted_by_one_layer_are_one_too_many() {
    let (keys, issued) = store();
    let layer = ApiKeyLayer::new(keys).or(AuthLayer::over(Ticket));

    assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::OK);
    assert_eq!(status(layer.clone(), with(get("/"), "ticket", "good")).await, StatusCode::OK);
    for ticket in ["good", "bad", "slow-good"] {
        let (response, heads) = send(layer.clone(), with(with_key(&issued), "ticket", ticket)).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert!(heads.is_empty());
    }
}

#[tokio::test]
async fn both_kinds_are_taken_even_when_the_first_is_refused() {
    let (keys, issued) = store();
    let layer = ApiKeyLayer::new(keys).or(AuthLayer::over(Ticket)).responder(|_: &Rejection, head: &Parts| {
        Response::new(format!("{:?}", head.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>()))
    });

    let request = with(with(with_key(&issued), "x-api-key", "second"), "ticket", "good");
    let (response, _) = send(layer, with(request, "accept", "*/*")).await;

    assert_eq!((response.status(), response.body().as_str()), (StatusCode::BAD_REQUEST, r#"["accept"]"#));
}

#[tokio::test]
async fn who_owns_an_authorization_field() {
    let (keys, issued) = store();
    let key = issued.key().expose().to_owned();
    let mut mistyped = key.clone();
    mistyped.replace_range(key.len() - 1.., if key.ends_with('0') { "1" } else { "0" });
    let bearer = ApiKeyLayer::over(ApiKey::new(keys.clone()).bearer()).optional();
    let plain = ApiKeyLayer::new(keys).optional();
    use StatusCode as S;
    // The value, the status behind a layer that reads Bearer, and behind one that does not.
    let cases = [
        (format!("Bearer {key}"), S::OK, S::OK),
        (format!("Bearer {mistyped}"), S::UNAUTHORIZED, S::OK),
        ("Bearer test_short".to_owned(), S::UNAUTHORIZED, S::OK),
        ("Bearer aaa.bbb.ccc".to_owned(), S::UNAUTHORIZED, S::OK),
        ("Bearer something".to_owned(), S::UNAUTHORIZED, S::OK),
        ("Bearer two words".to_owned(), S::BAD_REQUEST, S::OK),
        ("Bearer".to_owned(), S::BAD_REQUEST, S::OK),
        (format!("ApiKey {key}"), S::OK, S::OK),
        (format!("ApiKey {mistyped}"), S::UNAUTHORIZED, S::UNAUTHORIZED),
        ("ApiKey junk".to_owned(), S::UNAUTHORIZED, S::UNAUTHORIZED),
        ("ApiKey".to_owned(), S::BAD_REQUEST, S::BAD_REQUEST),
        ("ApiKey two words".to_owned(), S::BAD_REQUEST, S::BAD_REQUEST),
        (format!("Bearer\t{key}"), S::BAD_REQUEST, S::OK),
        (format!("Bearer:{key}"), S::BAD_REQUEST, S::OK),
        (format!("Bearer,{key}"), S::BAD_REQUEST, S::OK),
        (format!("ApiKey\t{key}"), S::BAD_REQUEST, S::BAD_REQUEST),
        (key.clone(), S::BAD_REQUEST, S::BAD_REQUEST),
        (format!("test_junk {key}"), S::BAD_REQUEST, S::BAD_REQUEST),
        (format!("{key} x"), S::BAD_REQUEST, S::BAD_REQUEST),
        // Another authentication scheme is none of the layer's business.
        ("Basic dXNlcjpwdw==".to_owned(), S::OK, S::OK),
        ("DPoP aaa.bbb.ccc".to_owned(), S::OK, S::OK),
        ("BearerX abc".to_owned(), S::OK, S::OK),
    ];
    for (value, with_bearer, without) in cases {
        let request = || with(get("/"), "authorization", &value);
        assert_eq!(status(bearer.clone(), request()).await, with_bearer, "{value}");
        assert_eq!(status(plain.clone(), request()).await, without, "{value}");
    }
}

#[tokio::test]
async fn a_field_of_another_scheme_stays_for_the_service() {
    let (keys, issued) = store();
    let layer = ApiKeyLayer::new(keys);

    let (_, heads) = send(layer, with(with_key(&issued), "authorization", "Basic dXNlcjpwdw==")).await;

    assert_eq!(values(&heads[0].headers, "authorization"), ["Basic dXNlcjpwdw=="]);
}

#[tokio::test]
async fn a_second_authorization_field_is_malformed_whatever_it_holds() {
    let (keys, issued) = store();
    let key = format!("ApiKey {}", issued.key().expose());
    let layer = ApiKeyLayer::new(keys).optional();
    for (first, second) in [(&*key, "Basic abc"), ("Basic abc", &*key), (&*key, &*key), ("Basic abc", "ApiKey")] {
        let request = with(with(get("/"), "authorization", first), "authorization", second);
        assert_eq!(status(layer.clone(), request).await, StatusCode::BAD_REQUEST, "{first} and {second}");
    }
    let neither = with(with(get("/"), "authorization", "Basic abc"), "authorization", "Basic def");
    assert_eq!(status(layer, neither).await, StatusCode::OK);
}

#[tokio::test]
async fn what_cannot_be_read_is_malformed() {
    let (keys, _) = store();
    let layer = ApiKeyLayer::new(keys).optional();
    let long = "a".repeat(513);
    let values: [&[u8]; 6] = [b"", b" ", b"with space", b"caf\xc3\xa9", b"tab\there", long.as_bytes()];
    for value in values {
        let mut request = get("/");
        request.headers_mut().insert("x-api-key", HeaderValue::from_bytes(value).unwrap());
        assert_eq!(status(layer.clone(), request).await, StatusCode::BAD_REQUEST, "{value:?}");
    }
}

#[tokio::test]
async fn a_kept_credential_is_put_back_and_marked_sensitive() {
    let (layer, key) = everywhere();
    let layer = layer.keep_credential();
    let cases = [
        ("x-api-key", key.clone()),
        ("authorization", format!("Bearer {key}")),
        ("cookie", format!("a=1; key={key}; b=2")),
    ];
    for (name, value) in cases {
        let (response, heads) = send(layer.clone(), with(get("/"), name, &value)).await;

        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(values(&heads[0].headers, name), [value]);
        assert!(heads[0].headers[name].is_sensitive());
        assert!(!format!("{:?}", heads[0].headers).contains(&key));
    }
    let (_, heads) = send(layer, get(&format!("/?x=1&api_key={key}"))).await;
    assert_eq!(heads[0].uri.query().unwrap(), format!("x=1&api_key={key}"));
}

#[tokio::test]
async fn a_cookie_speaks_only_for_requests_of_its_own_site() {
    let (keys, issued) = store();
    let scheme = ApiKey::new(keys).insecure_allow_cookie("key").unwrap();
    let layer = ApiKeyLayer::over(scheme.allow_origin("https://app.example.com").unwrap());
    let cookie = format!("key={}", issued.key().expose());
    let cases = [
        ("GET", vec![], StatusCode::OK),
        ("HEAD", vec![("sec-fetch-site", "cross-site")], StatusCode::OK),
        ("GET", vec![("upgrade", "websocket"), ("sec-fetch-site", "cross-site")], StatusCode::FORBIDDEN),
        ("GET", vec![("upgrade", "websocket"), ("sec-fetch-site", "same-origin")], StatusCode::OK),
        ("POST", vec![], StatusCode::FORBIDDEN),
        ("POST", vec![("sec-fetch-site", "same-origin")], StatusCode::OK),
        ("POST", vec![("sec-fetch-site", "none")], StatusCode::OK),
        ("POST", vec![("sec-fetch-site", "same-site")], StatusCode::FORBIDDEN),
        ("DELETE", vec![("sec-fetch-site", "cross-site")], StatusCode::FORBIDDEN),
        ("PUT", vec![("origin", "https://app.example.com")], StatusCode::OK),
        ("PATCH", vec![("origin", "https://app.example.com.evil.example")], StatusCode::FORBIDDEN),
        (
            "POST",
            vec![("origin", "https://app.example.com"), ("origin", "https://evil.example")],
            StatusCode::FORBIDDEN,
        ),
    ];
    for (method, fields, expected) in cases {
        let mut request = with(get("/"), "cookie", &cookie);
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        let request = fields.iter().fold(request, |request, (name, value)| with(request, name, value));
        assert_eq!(status(layer.clone(), request).await, expected, "{method} {fields:?}");
    }
}

#[tokio::test]
async fn the_answer_to_a_key_in_the_query_is_neither_stored_nor_referred_to() {
    let (layer, key) = everywhere();
    let cacheable = Inner::answering(|_| {
        http::Response::builder().header("cache-control", "public, max-age=60").body(String::new()).unwrap()
    });
    for (request, expected) in
        [(get(&format!("/?api_key={key}")), StatusCode::OK), (get("/?api_key=test_junk"), StatusCode::UNAUTHORIZED)]
    {
        let (response, _) = send_to(layer.clone(), cacheable.clone(), request).await;
        assert_eq!(response.status(), expected);
        assert_eq!(values(response.headers(), "cache-control"), ["no-store"]);
        assert_eq!(values(response.headers(), "referrer-policy"), ["no-referrer"]);
    }
}

#[tokio::test]
async fn a_response_to_a_key_outside_authorization_is_private() {
    let (layer, key) = everywhere();
    let open =
        |_: &http::request::Parts| http::Response::builder().header("vary", "accept").body(String::new()).unwrap();
    let public = |_: &http::request::Parts| {
        http::Response::builder().header("cache-control", "max-age=60").body(String::new()).unwrap()
    };
    let request = |method: Method, name: &str, value: &str| {
        let mut request = with(get("/"), name, value);
        *request.method_mut() = method;
        request
    };
    let bearer = format!("Bearer {key}");
    let cookie = format!("key={key}");
    // The request, and what the response says about caching, where the handler says nothing and where it does.
    let cases = [
        (request(Method::GET, "x-api-key", &key), vec!["private"], vec!["accept", "x-api-key"], "max-age=60"),
        (request(Method::HEAD, "apikey", &key), vec!["private"], vec!["accept", "apikey"], "max-age=60"),
        (request(Method::GET, "cookie", &cookie), vec!["private"], vec!["accept", "cookie"], "max-age=60"),
        (request(Method::GET, "authorization", &bearer), vec![], vec!["accept"], "max-age=60"),
        (request(Method::POST, "x-api-key", &key), vec![], vec!["accept"], "max-age=60"),
    ];
    for (request, cache_control, vary, kept) in cases {
        let name = format!("{} {:?}", request.method(), request.headers().keys().collect::<Vec<_>>());
        let (response, _) = send_to(layer.clone(), Inner::answering(open), request.clone()).await;
        assert_eq!(values(response.headers(), "cache-control"), cache_control, "{name}");
        assert_eq!(values(response.headers(), "vary"), vary, "{name}");

        let (response, _) = send_to(layer.clone(), Inner::answering(public), request).await;
        assert_eq!(values(response.headers(), "cache-control"), [kept], "{name}");
    }
}

#[test]
fn places_that_cannot_hold_a_key_are_refused_by_name() {
    let scheme = || ApiKey::new(store().0);
    let name = |given: &str| ConfigError::HeaderName { given: given.to_owned() };
    assert_eq!(scheme().header("x api key").unwrap_err(), name("x api key"));
    assert_eq!(scheme().header("").unwrap_err(), name(""));
    for reserved in ["authorization", "Cookie", "host", "content-length", "transfer-encoding", "connection"] {
        let error = scheme().also_header(reserved).unwrap_err();
        assert_eq!(error, ConfigError::HeaderReserved { given: reserved.to_owned() });
    }
    for given in ["", "a b", "a=b", "a;b", "a&b", "ä"] {
        let error = ConfigError::ParameterName { given: given.to_owned() };
        assert_eq!(scheme().insecure_allow_cookie(given).unwrap_err(), error);
        assert_eq!(scheme().insecure_allow_query(given).unwrap_err(), error);
    }
    for given in ["", "*", "null", "app.example.com", "https://app.example.com/", "https://a.example/path"] {
        assert_eq!(scheme().allow_origin(given).unwrap_err(), ConfigError::Origin { given: given.to_owned() });
    }
    assert!(matches!(scheme().realm("caf\u{e9}").unwrap_err(), ConfigError::Realm { .. }));
}

#[test]
fn taking_removes_every_value_even_when_it_refuses() {
    let (layer, key) = everywhere();
    let request = Request::get(format!("/?api_key={key}"))
        .header("x-api-key", &key)
        .header("x-api-key", &key)
        .header("apikey", &key)
        .header("authorization", format!("Bearer {key}"))
        .header("authorization", "Basic abc")
        .header("cookie", format!("key={key}; key={key}"))
        .body(())
        .unwrap();
    let (mut head, ()) = request.into_parts();

    assert!(layer.scheme().take(&mut head).is_err());

    assert!(head.headers.is_empty(), "{:?}", head.headers);
    assert_eq!(head.uri, "/");
    let _ = layer.layer(());
}
