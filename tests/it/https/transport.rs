//! What counts as secure.

use http::{Request, StatusCode, Version};
use tower_keep::{RequireHttps, Transport, TrustedProxies};

use super::Listener::{Plain, Secure, Unmarked};
use super::{Peer, Tls, behind, from, from_nowhere, layer, origin_over, over_tls, proxied, send_over, told};
use crate::support::{get, with};

#[tokio::test]
async fn what_the_server_knows_of_the_connection_counts() {
    let plain = || from(get("/"), "192.0.2.1");
    let cases = [
        (Secure, plain(), Transport::Secure, "transport_secure"),
        (Plain, plain(), Transport::Plain, "transport_plain"),
        (Unmarked, plain(), Transport::Unknown, "transport_untold"),
        (Unmarked, over_tls(plain()), Transport::Secure, "transport_secure"),
        (Secure, over_tls(plain()), Transport::Secure, "transport_secure"),
        (Plain, over_tls(plain()), Transport::Unknown, "transport_contradicted"),
        // Of somebody who is no proxy, no field is believed.
        (Secure, with(plain(), "x-forwarded-proto", "https"), Transport::Secure, "transport_secure"),
        (Secure, with(plain(), "x-forwarded-for", "192.0.2.7"), Transport::Secure, "transport_secure"),
        (Secure, with(plain(), "forwarded", "for=192.0.2.7"), Transport::Secure, "transport_secure"),
        // It may be a proxy that is missing in the list, and has TLS to this server and none to its client.
        (Secure, with(plain(), "x-forwarded-proto", "http"), Transport::Unknown, "proxy_untrusted"),
        (Secure, with(plain(), "x-forwarded-proto", "https,http"), Transport::Unknown, "proxy_untrusted"),
        (Secure, with(plain(), "x-forwarded-proto", "junk"), Transport::Unknown, "proxy_untrusted"),
        (Secure, with(plain(), "forwarded", "proto=http"), Transport::Unknown, "proxy_untrusted"),
        (Secure, with(plain(), "forwarded", "proto=http, proto=https"), Transport::Unknown, "proxy_untrusted"),
        (Secure, with(plain(), "forwarded", "for=\""), Transport::Unknown, "proxy_untrusted"),
        (Unmarked, with(over_tls(plain()), "x-forwarded-proto", "http"), Transport::Unknown, "proxy_untrusted"),
        (Unmarked, with(plain(), "x-forwarded-proto", "https"), Transport::Unknown, "proxy_untrusted"),
        (Plain, with(plain(), "x-forwarded-proto", "https"), Transport::Unknown, "proxy_untrusted"),
        (Plain, with(plain(), "forwarded", "proto=https"), Transport::Unknown, "proxy_untrusted"),
        (Plain, with(plain(), "x-forwarded-for", "192.0.2.7"), Transport::Unknown, "proxy_untrusted"),
        (Plain, with(plain(), "x-forwarded-host", "a.example"), Transport::Unknown, "proxy_untrusted"),
        (Plain, with(plain(), "via", "1.1 proxy"), Transport::Unknown, "proxy_untrusted"),
        // Nobody knows who it is.
        (Plain, from_nowhere(get("/")), Transport::Unknown, "peer_unknown"),
        (Unmarked, from_nowhere(with(get("/"), "x-forwarded-proto", "https")), Transport::Unknown, "peer_unknown"),
        (Secure, from_nowhere(get("/")), Transport::Unknown, "peer_unknown"),
        (Secure, from_nowhere(with(get("/"), "x-forwarded-proto", "https")), Transport::Unknown, "peer_unknown"),
    ];
    for (listener, request, transport, reason) in cases {
        let described = format!("{listener:?} {request:?}");

        assert_eq!(told(layer(), listener, request).await, (transport, reason), "{described}");
    }
}

#[tokio::test]
async fn without_a_list_of_proxies_a_server_needs_to_know_no_peer() {
    let layer = RequireHttps::new().tls_marker::<Tls>();

    let (response, origin) = send_over(&layer, Unmarked, from_nowhere(over_tls(get("/")))).await;

    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(origin.unwrap().peer(), None);
}

#[tokio::test]
async fn without_a_setting_everything_is_refused() {
    let fields = ["x-forwarded-proto", "x-forwarded-protocol", "x-forwarded-ssl", "front-end-https", "x-url-scheme"];
    for field in fields {
        for value in ["https", "on"] {
            let request = from(with(over_tls(get("/")), field, value), "127.0.0.1");

            let (response, seen) = send_over(&RequireHttps::new(), Unmarked, request).await;

            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{field}: {value}");
            assert!(seen.is_none(), "{field}: {value}");
        }
    }
}

#[tokio::test]
async fn the_target_says_nothing_of_the_transport() {
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
        for target in ["https://api.example.com/", "https://api.example.com:443/x?y", "HTTPS://API.EXAMPLE.COM/"] {
            for listener in [Plain, Unmarked] {
                // Of a client, and of a proxy that says nothing, or something else.
                for (peer, proto) in [("192.0.2.1", None), ("10.0.0.1", None), ("10.0.0.1", Some("http"))] {
                    let request = Request::get(target).version(version).body(String::new()).unwrap();
                    let request = proto.into_iter().fold(request, |request, it| with(request, "x-forwarded-proto", it));

                    let (response, seen) = send_over(&layer(), listener, from(request, peer)).await;

                    assert_eq!(response.status(), StatusCode::FORBIDDEN, "{version:?} {target} {listener:?} {peer}");
                    assert!(seen.is_none(), "{version:?} {target} {listener:?} {peer}");
                }
            }
        }
    }
}

#[tokio::test]
async fn nobody_is_a_proxy_unless_the_list_says_so() {
    let https = [("x-forwarded-proto", "https")];
    for peer in ["127.0.0.1", "::1", "10.0.0.1", "192.168.0.1", "169.254.169.254"] {
        for listed in
            [RequireHttps::new(), behind(TrustedProxies::default()), behind(TrustedProxies::new([""; 0]).unwrap())]
        {
            let request = with(from(get("/"), peer), https[0].0, https[0].1);
            let (response, seen) = send_over(&listed.peer_from::<Peer>(), Unmarked, request).await;

            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{peer}");
            assert!(seen.is_none(), "{peer}");
        }
    }
}

#[tokio::test]
async fn proxies_are_told_by_their_address_however_a_socket_writes_it() {
    let cases = [
        ("10.0.0.0/8", "10.255.0.1", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("10.1.2.3/8", "10.9.9.9", true),
        ("10.0.0.7", "10.0.0.7", true),
        ("10.0.0.7", "10.0.0.8", false),
        ("10.0.0.0/8", "::ffff:10.0.0.1", true),
        ("::ffff:10.0.0.0/104", "10.0.0.1", true),
        ("2001:db8::/32", "2001:db8::1", true),
        ("2001:db8::/32", "2001:db9::1", false),
        ("::1", "::1", true),
        ("::1", "127.0.0.1", false),
    ];
    for (network, peer, trusted) in cases {
        let request = with(from(get("/"), peer), "x-forwarded-proto", "https");
        let layer = behind(TrustedProxies::new([network]).unwrap());

        let (response, _) = send_over(&layer, Unmarked, request).await;

        assert_eq!(response.status() == StatusCode::OK, trusted, "{network} {peer}");
    }
}

#[tokio::test]
async fn any_peer_is_believed_where_that_was_asked_for() {
    let layer = || RequireHttps::new().behind(TrustedProxies::dangerous_any_peer());
    let request = |proto: &str| with(with(get("/"), "x-forwarded-proto", proto), "x-forwarded-for", "192.0.2.9");

    let secure = origin_over(layer(), Unmarked, from_nowhere(request("https"))).await;
    let plain = origin_over(layer(), Unmarked, from_nowhere(request("http"))).await;

    assert_eq!(secure.transport(), Transport::Secure);
    assert_eq!(secure.peer(), Some("192.0.2.9".parse().unwrap()));
    assert_eq!(plain.transport(), Transport::Plain);
    assert!(layer().check().is_ok());
}

#[tokio::test]
async fn what_the_layer_further_out_found_out_holds() {
    use tower::Layer;

    let inner = crate::support::Inner::new();
    let service = layer().layer(RequireHttps::new().layer(inner.clone()));
    let mut request = proxied(&[("x-forwarded-proto", "https"), ("x-forwarded-for", "192.0.2.9")]);
    *request.uri_mut() = "/a?b".parse().unwrap();

    let response = super::call(service, request).await;

    assert_eq!(response.status(), StatusCode::OK);
    let head = inner.only_head();
    let origin = head.extensions.get::<tower_keep::Origin>().unwrap();
    assert_eq!(origin.peer(), Some("192.0.2.9".parse().unwrap()));
    assert_eq!(origin.uri(), "/a?b");
}

#[tokio::test]
async fn a_router_that_changes_the_target_may_say_what_it_was() {
    #[derive(Clone)]
    struct Original(http::Uri);

    impl std::ops::Deref for Original {
        type Target = http::Uri;

        fn deref(&self) -> &http::Uri {
            &self.0
        }
    }
    let nested = |original: &'static str| {
        let mut request = get("/healthz");
        request.extensions_mut().insert(Original(http::Uri::from_static(original)));
        request
    };
    let layer = layer().exempt_health();

    let (_, seen) = send_over(&layer, Plain, nested("/secret/healthz")).await;
    assert_eq!(seen.unwrap().uri(), "/healthz");

    let layer = layer.original_uri_from::<Original>();
    let (response, seen) = send_over(&layer, Plain, nested("/secret/healthz")).await;
    assert_eq!((response.status(), seen.is_none()), (StatusCode::FORBIDDEN, true));
    let (_, seen) = send_over(&layer, Plain, nested("/healthz?x")).await;
    assert_eq!(seen.unwrap().uri(), "/healthz?x");
}

#[tokio::test]
async fn a_peer_may_be_found_in_a_way_of_ones_own() {
    #[derive(Clone)]
    struct Connection {
        remote: Option<std::net::SocketAddr>,
    }
    let layer = RequireHttps::new().tls_marker::<Tls>().peer(|extensions| extensions.get::<Connection>()?.remote);
    let mut request = over_tls(get("/"));
    request.extensions_mut().insert(Connection { remote: Some("[::ffff:192.0.2.5]:9".parse().unwrap()) });

    let origin = origin_over(layer, Unmarked, request).await;

    assert_eq!(origin.peer(), Some("192.0.2.5".parse().unwrap()));
}
