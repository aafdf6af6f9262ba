//! Keys that are good from some networks alone.

use http::Response;
use tower::{Layer, ServiceExt};
use tower_keep::{ApiKeyLayer, MemoryStore, NewKey};

use crate::log::logged;
use crate::support::{Inner, TestClock, as_grpc, from_peer, only, over_tls, rules, send, with_key};

fn bound(networks: &[&str]) -> (MemoryStore, tower_keep::IssuedKey) {
    let keys = MemoryStore::with(rules(&TestClock::new()));
    let issued = keys.issue(NewKey::for_owner("billing").networks(networks.iter().copied())).unwrap();
    (keys, issued)
}

#[tokio::test]
async fn a_key_is_good_from_its_networks_alone() {
    let (keys, issued) = bound(&["192.0.2.0/24", "2001:db8:7::/48"]);
    let service = over_tls(ApiKeyLayer::new(keys).layer(Inner::new()));
    let cases = [
        ("192.0.2.1", 200),
        ("::ffff:192.0.2.255", 200),
        ("192.0.3.1", 403),
        ("2001:db8:7:1::1", 200),
        ("2001:db8:8::1", 403),
        ("::1", 403),
    ];
    for (peer, expected) in cases {
        let log = logged();

        let response = service.clone().oneshot(from_peer(with_key(&issued), peer)).await.unwrap();

        assert_eq!(response.status(), expected, "{peer}");
        assert!(!response.headers().contains_key("www-authenticate"));
        let lines = log.lines().concat();
        let told = format!("reason=\"key_network\" status=403 credential_id=\"{}\"", issued.id());
        assert_eq!(lines.contains(&told), expected == 403, "{lines}");
    }
}

#[tokio::test]
async fn a_bound_key_from_nobody_knows_where_is_a_fault_of_ours() {
    let (keys, issued) = bound(&["192.0.2.1"]);
    let layer = ApiKeyLayer::new(keys);
    let log = logged();

    let without_origin = send(layer.clone(), with_key(&issued)).await.0;
    let without_peer = over_tls(layer.layer(Inner::new())).oneshot(with_key(&issued)).await.unwrap();
    let grpc = send(layer, as_grpc(with_key(&issued))).await.0;

    assert_eq!([without_origin.status(), without_peer.status()], [500, 500]);
    assert_eq!(only(&grpc, "grpc-status"), "13");
    let lines = log.lines().concat();
    assert_eq!(
        lines.matches("ERROR tower_keep message=refused cause=\"misconfigured\" reason=\"peer_unknown\"").count(),
        3
    );
    assert!(lines.contains("RequireHttps"), "{lines}");
}

#[tokio::test]
async fn nothing_is_said_of_networks_to_whoever_has_no_good_key() {
    let (keys, issued) = bound(&["192.0.2.1"]);
    keys.revoke(issued.id()).unwrap();
    let refusal: Response<String> = send(ApiKeyLayer::new(keys), with_key(&issued)).await.0;
    assert_eq!(refusal.status(), 401);
}

#[tokio::test]
async fn a_key_without_networks_needs_no_address() {
    let (keys, issued) = bound(&[]);
    assert_eq!(send(ApiKeyLayer::new(keys), with_key(&issued)).await.0.status(), 200);
}
