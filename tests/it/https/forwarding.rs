//! What trusted proxies say, and how little of what stands beside it counts.

use proptest::prelude::*;
use tower_keep::{ConfigError, RequireHttps, Transport, TrustedProxies};

use super::Listener::{self, Plain, Secure, Unmarked};
use super::{at_once, behind, layer, origin_over, proxied, send_over, told};

const PROTO: &str = "x-forwarded-proto";
const FOR: &str = "x-forwarded-for";
const HOST: &str = "x-forwarded-host";

type Fields<'a> = &'a [(&'a str, &'a str)];

#[tokio::test]
async fn a_trusted_proxy_says_over_what_the_client_came() {
    use Transport::{Plain, Secure, Unknown};

    let cases: [(Fields<'_>, Transport, &str); 38] = [
        (&[(PROTO, "https")], Secure, "transport_secure"),
        (&[(PROTO, "HTTPS")], Secure, "transport_secure"),
        (&[(PROTO, "wss")], Secure, "transport_secure"),
        (&[(PROTO, " https ")], Secure, "transport_secure"),
        (&[(PROTO, "https,https")], Secure, "transport_secure"),
        (&[(PROTO, "https"), (PROTO, "https")], Secure, "transport_secure"),
        (&[("forwarded", "proto=https")], Secure, "transport_secure"),
        (&[("forwarded", "for=192.0.2.1;proto=\"https\"")], Secure, "transport_secure"),
        // Only the newest element is the proxy's.
        (&[("forwarded", "proto=http, proto=https")], Secure, "transport_secure"),
        (&[("forwarded", "proto=http"), ("forwarded", "proto=https")], Secure, "transport_secure"),
        (&[("forwarded", "proto=https"), (PROTO, "https")], Secure, "transport_secure"),
        (&[("forwarded", "for=192.0.2.1"), (PROTO, "https")], Secure, "transport_secure"),
        (&[(PROTO, "http")], Plain, "transport_plain"),
        (&[(PROTO, "ws")], Plain, "transport_plain"),
        (&[(PROTO, "http,http")], Plain, "transport_plain"),
        (&[("forwarded", "proto=http")], Plain, "transport_plain"),
        (&[("forwarded", "proto=https, proto=http")], Plain, "transport_plain"),
        (&[("forwarded", "proto=https"), ("forwarded", "proto=http")], Plain, "transport_plain"),
        (&[], Unknown, "forwarding_absent"),
        (&[(FOR, "192.0.2.1")], Unknown, "forwarding_absent"),
        (&[("forwarded", "for=192.0.2.1")], Unknown, "forwarding_absent"),
        (&[("forwarded", "proto=https, for=192.0.2.1")], Unknown, "forwarding_absent"),
        (&[("x-forwarded-ssl", "on"), ("front-end-https", "on")], Unknown, "forwarding_absent"),
        (&[(PROTO, "https,http")], Unknown, "forwarding_contradicted"),
        (&[(PROTO, "http,https")], Unknown, "forwarding_contradicted"),
        (&[(PROTO, "http"), (PROTO, "https")], Unknown, "forwarding_contradicted"),
        (&[(PROTO, "https"), (PROTO, "http")], Unknown, "forwarding_contradicted"),
        (&[("forwarded", "proto=https"), (PROTO, "http")], Unknown, "forwarding_contradicted"),
        (&[("forwarded", "proto=http"), (PROTO, "https")], Unknown, "forwarding_contradicted"),
        (&[("forwarded", "for=192.0.2.1;proto=https"), (FOR, "192.0.2.2")], Unknown, "forwarding_contradicted"),
        (&[(PROTO, "")], Unknown, "forwarding_malformed"),
        (&[(PROTO, "https,")], Unknown, "forwarding_malformed"),
        (&[(PROTO, "https;http")], Unknown, "forwarding_malformed"),
        (&[(PROTO, "httpss")], Unknown, "forwarding_malformed"),
        (&[(PROTO, "https"), ("forwarded", "for=\"")], Unknown, "forwarding_malformed"),
        (&[("forwarded", "proto=https;proto=https")], Unknown, "forwarding_malformed"),
        (&[("forwarded", "proto=ftp")], Unknown, "forwarding_malformed"),
        (&[("forwarded", "proto=\"htt\\ps\"")], Unknown, "forwarding_malformed"),
    ];
    for (fields, transport, reason) in cases {
        // Whatever the connection from the proxy is.
        for listener in [Unmarked, Listener::Plain, Listener::Secure] {
            assert_eq!(told(layer(), listener, proxied(fields)).await, (transport, reason), "{fields:?} {listener:?}");
        }
    }
}

#[tokio::test]
async fn entries_count_from_the_right_and_no_further_than_proxies_are_trusted() {
    let some = |address: &'static str| Some(address);
    // How many proxies there may be, what the fields say, and who the client is.
    let cases: [(usize, Fields<'_>, Option<&str>); 21] = [
        (1, &[(FOR, "192.0.2.1")], some("192.0.2.1")),
        (1, &[(FOR, "198.51.100.9, 192.0.2.1")], some("192.0.2.1")),
        (1, &[(FOR, "198.51.100.9"), (FOR, "192.0.2.1")], some("192.0.2.1")),
        (1, &[(FOR, "192.0.2.1"), (FOR, "10.0.0.2")], some("10.0.0.2")),
        (1, &[(FOR, "192.0.2.1:4711")], some("192.0.2.1")),
        (1, &[(FOR, "[2001:db8::1]:4711")], some("2001:db8::1")),
        (1, &[(FOR, "2001:db8::1")], some("2001:db8::1")),
        (1, &[(FOR, "192.0.2.1, unknown")], None),
        (1, &[(FOR, "192.0.2.1, ")], None),
        (1, &[], None),
        (1, &[("forwarded", "for=192.0.2.1")], some("192.0.2.1")),
        (1, &[("forwarded", "for=192.0.2.9, for=\"[2001:db8::1]:80\"")], some("2001:db8::1")),
        (1, &[("forwarded", "for=192.0.2.9, for=_hidden")], None),
        (1, &[("forwarded", "for=192.0.2.1"), (FOR, "192.0.2.1")], some("192.0.2.1")),
        (2, &[(FOR, "192.0.2.1, 10.0.0.2")], some("192.0.2.1")),
        (2, &[(FOR, "192.0.2.1, 192.0.2.2")], some("192.0.2.2")),
        (2, &[(FOR, "198.51.100.9, 192.0.2.1, 10.0.0.2")], some("192.0.2.1")),
        (2, &[(FOR, "192.0.2.1, 10.0.0.3, 10.0.0.2")], some("10.0.0.3")),
        (2, &[(FOR, "192.0.2.1, unknown")], None),
        (2, &[("forwarded", "for=192.0.2.9, for=192.0.2.1, for=10.0.0.2")], some("192.0.2.1")),
        (8, &[(FOR, "10.0.0.9, 10.0.0.3, 10.0.0.2")], some("10.0.0.9")),
    ];
    for (hops, fields, client) in cases {
        let layer = behind(TrustedProxies::new(["10.0.0.0/8"]).unwrap().hops(hops).unwrap());

        let origin = origin_over(layer, Unmarked, proxied(&[fields, &[(PROTO, "https")]].concat())).await;

        assert_eq!(origin.peer(), client.map(|client| client.parse().unwrap()), "{hops} {fields:?}");
        assert_eq!(origin.transport(), Transport::Secure, "{hops} {fields:?}");
    }
}

#[tokio::test]
async fn of_two_proxies_in_a_row_both_have_to_say_https() {
    use Transport::{Plain, Secure, Unknown};

    let cases = [
        ("for=192.0.2.1;proto=https, for=10.0.0.2;proto=https", Secure),
        ("proto=http, for=192.0.2.1;proto=https, for=10.0.0.2;proto=https", Secure),
        ("for=192.0.2.1;proto=http, for=10.0.0.2;proto=http", Plain),
        ("for=192.0.2.1;proto=https, for=10.0.0.2;proto=http", Unknown),
        ("for=192.0.2.1;proto=http, for=10.0.0.2;proto=https", Unknown),
        ("for=192.0.2.1;proto=https, for=10.0.0.2", Unknown),
        ("for=192.0.2.1, for=10.0.0.2;proto=https", Unknown),
        // The outer one was passed by.
        ("proto=http, for=192.0.2.1;proto=https", Secure),
    ];
    for (forwarded, transport) in cases {
        let layer = behind(TrustedProxies::new(["10.0.0.0/8"]).unwrap().hops(2).unwrap());

        let (told, _) = told(layer, Unmarked, proxied(&[("forwarded", forwarded)])).await;

        assert_eq!(told, transport, "{forwarded}");
    }
}

#[tokio::test]
async fn of_two_hosts_none_counts_unless_the_proxy_is_said_to_name_it() {
    let cases: [(Fields<'_>, Option<&str>); 7] = [
        (&[("host", "api.example.com")], Some("api.example.com")),
        (&[("host", "api.example.com"), (HOST, "API.example.com")], Some("API.example.com")),
        (&[("host", "api.example.com"), ("forwarded", "host=api.example.com")], Some("api.example.com")),
        // The proxy passes both on as the client wrote them.
        (&[("host", "evil.example"), (HOST, "api.example.com")], None),
        (&[("host", "evil.example"), ("forwarded", "host=api.example.com")], None),
        (&[("host", "api.example.com"), (HOST, "api.example.com:8443")], None),
        (&[(HOST, "api.example.com")], None),
    ];
    for (fields, authority) in cases {
        let origin = origin_over(layer(), Unmarked, proxied(&[fields, &[(PROTO, "https")]].concat())).await;

        assert_eq!(origin.authority(), authority, "{fields:?}");
    }
}

#[tokio::test]
async fn a_proxy_may_be_said_to_name_the_host_that_the_client_asked_for() {
    let layer = || behind(TrustedProxies::new(["10.0.0.0/8"]).unwrap().forwards_host());
    let cases: [(Fields<'_>, Option<&str>); 13] = [
        (&[("host", "inner.example")], Some("inner.example")),
        (&[("host", "inner.example"), (HOST, "api.example.com")], Some("api.example.com")),
        (&[("host", "inner.example"), (HOST, "api.example.com:8443")], Some("api.example.com:8443")),
        (&[(HOST, "api.example.com, API.example.com")], Some("api.example.com")),
        (&[("forwarded", "host=api.example.com")], Some("api.example.com")),
        (&[("forwarded", "host=evil.example, host=\"api.example.com:8443\"")], Some("api.example.com:8443")),
        (&[("forwarded", "host=api.example.com"), (HOST, "api.example.com")], Some("api.example.com")),
        (&[("forwarded", "host=evil.example"), (HOST, "api.example.com")], None),
        (&[(HOST, "api.example.com, evil.example")], None),
        (&[(HOST, "api.example.com"), (HOST, "evil.example")], None),
        (&[("host", "api.example.com"), (HOST, "user@evil.example")], None),
        (&[("host", "api.example.com"), (HOST, "")], None),
        (&[("host", "a.example"), ("host", "a.example")], None),
    ];
    for (fields, authority) in cases {
        let origin = origin_over(layer(), Unmarked, proxied(&[fields, &[(PROTO, "https")]].concat())).await;

        assert_eq!(origin.authority(), authority, "{fields:?}");
    }
    // Of nobody else.
    let request = super::from(crate::support::with(crate::support::get("/"), HOST, "evil.example"), "192.0.2.1");
    let request = crate::support::with(request, "host", "api.example.com");
    assert_eq!(origin_over(layer(), Secure, request).await.authority(), Some("api.example.com"));
}

#[test]
fn lists_that_make_no_sense_are_errors() {
    let cases = [
        ("", ConfigError::ProxyNetwork { given: String::new() }),
        ("localhost", ConfigError::ProxyNetwork { given: "localhost".to_owned() }),
        ("10.0.0.0/33", ConfigError::ProxyNetwork { given: "10.0.0.0/33".to_owned() }),
        ("10.0.0/8", ConfigError::ProxyNetwork { given: "10.0.0/8".to_owned() }),
        ("10.0.0.0-10.0.0.9", ConfigError::ProxyNetwork { given: "10.0.0.0-10.0.0.9".to_owned() }),
        ("0.0.0.0/0", ConfigError::ProxyNetworkOpen { given: "0.0.0.0/0".to_owned() }),
        ("::/0", ConfigError::ProxyNetworkOpen { given: "::/0".to_owned() }),
        ("::ffff:0.0.0.0/96", ConfigError::ProxyNetworkOpen { given: "::ffff:0.0.0.0/96".to_owned() }),
    ];
    for (given, expected) in cases {
        assert_eq!(TrustedProxies::new(["10.0.0.0/8", given]).unwrap_err(), expected, "{given:?}");
    }
    for hops in [0, 9] {
        let fault = TrustedProxies::dangerous_any_peer().hops(hops).unwrap_err();
        assert_eq!(fault, ConfigError::ProxyHops { given: hops });
    }
}

#[test]
fn proxies_by_address_need_to_know_who_connects() {
    let listed = TrustedProxies::new(["10.0.0.0/8"]).unwrap();

    assert_eq!(RequireHttps::new().behind(listed).check(), Err(ConfigError::PeerMissing));
    assert_eq!(layer().check(), Ok(()));
    assert_eq!(RequireHttps::new().check(), Ok(()));
}

/// What a field value may hold, the interesting characters more often.
fn value() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => Just("https"), 3 => Just("http"), 3 => Just("proto="), 3 => Just("for="), 2 => Just("host="),
        3 => Just(","), 3 => Just(";"), 3 => Just("\""), 1 => Just("\\"), 2 => Just(" "), 1 => Just("="),
        1 => Just("10.0.0.2"), 1 => Just("192.0.2.1"), 1 => Just("[::1]"), 1 => Just("_x"), 1 => Just("\t"),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn nothing_that_a_client_writes_makes_its_plain_request_secure(
        forwarded in proptest::collection::vec(value(), 0..3),
        proto in proptest::collection::vec(value(), 0..3),
        hops in 1..=8_usize,
    ) {
        // The proxy adds an element to `Forwarded`, and sets the other field or adds to it: it saw plain HTTP.
        let field = |name: &'static str, values: &[String]| {
            values.iter().map(|value| (name, value.clone())).collect::<Vec<_>>()
        };
        let by_client = [field("forwarded", &forwarded), field(PROTO, &proto)].concat();
        let added = |name, value: &str| [(name, value.to_owned())];
        let client = "for=\"[2001:db8::1]\";proto=http";
        // Proxies add an element in a line of its own, or behind what is there.
        let mut joined = forwarded.clone();
        let last = joined.pop().map_or(client.to_owned(), |last| format!("{last}, {client}"));
        joined.push(last);
        let sets = [
            field("forwarded", &joined),
            [&field("forwarded", &joined)[..], &field(PROTO, &proto)].concat(),
            [&by_client[..], &added("forwarded", client)].concat(),
            [&by_client[..], &added(PROTO, "http")].concat(),
            [&field("forwarded", &forwarded)[..], &added(PROTO, "http")].concat(),
            [&field(PROTO, &proto)[..], &added("forwarded", client)].concat(),
        ];
        for fields in sets {
            let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let layer = behind(TrustedProxies::new(["10.0.0.0/8"]).unwrap().hops(hops).unwrap());
            for listener in [Plain, Secure] {
                let (_, seen) = at_once(send_over(&layer, listener, proxied(&fields)));
                prop_assert!(seen.is_none(), "{:?}", fields);
            }
        }
    }
}
