//! What is not told to, or asked of, machines that it is not meant for.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{AUTHORIZATION, IF_NONE_MATCH};
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tower::{Service, service_fn};
use tower_keep::testing::{Reply, TestIssuer};
use tower_keep::{HttpClient, Issuer, Jwt, RemoteKeys};

use super::seconds;

/// Notes the host of every request that has a header.
fn noting(name: http::HeaderName, issuer: &TestIssuer) -> (HttpClient, Arc<Mutex<Vec<String>>>) {
    let hosts: Arc<Mutex<Vec<String>>> = Arc::default();
    let (noted, issuer) = (Arc::clone(&hosts), issuer.clone());
    let client = HttpClient::new(service_fn(move |request: Request<Full<Bytes>>| {
        if request.headers().contains_key(&name) {
            noted.lock().unwrap().push(request.uri().host().unwrap().to_owned());
        }
        issuer.clone().call(request)
    }));
    (client, hosts)
}

fn take(hosts: &Mutex<Vec<String>>) -> Vec<String> {
    std::mem::take(&mut hosts.lock().unwrap())
}

#[tokio::test]
async fn an_address_that_is_not_allowed_is_not_connected_to_however_it_is_spelled() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let hosts = [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "localhost",
    ];
    for is_allowed in [false, true] {
        let client = HttpClient::builder().allow_addresses(move |address: IpAddr| is_allowed && address.is_ipv4());
        let client = client.build().unwrap();
        for host in hosts {
            let keys = RemoteKeys::new(format!("https://{host}:{port}/jwks")).client(client.clone());
            let Ok(tokens) = Jwt::with_remote_keys(keys).issuer("i").audience("a").build() else {
                panic!("{host} is refused before it is looked at");
            };
            let fetch = tokio::spawn(async move { drop(tokens.ready().await) });
            let wait = if is_allowed { seconds(5) } else { std::time::Duration::from_millis(100) };
            let connected = timeout(wait, listener.accept()).await.is_ok();
            assert_eq!(connected, is_allowed, "{host}");
            fetch.abort();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_is_sent_to_the_issuer_alone() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("credential-{}", std::process::id()));
    std::fs::write(&file, "s3cr3t").unwrap();
    for (keys, expected) in [
        ("https://issuer.test/jwks", &["issuer.test", "issuer.test"][..]),
        ("https://keys.test/jwks", &["issuer.test"]),
        ("https://issuer.test:8443/jwks", &["issuer.test"]),
    ] {
        let issuer = TestIssuer::new();
        issuer.metadata_member("jwks_uri", keys);
        let (client, hosts) = noting(AUTHORIZATION, &issuer);
        let found = Issuer::from(&issuer).client(client).keys().bearer_file(&file);
        let tokens = Jwt::with_remote_keys(found).issuer(issuer.url()).audience("a").build().unwrap();
        tokens.ready().await.unwrap();
        assert_eq!(take(&hosts), expected, "{keys}");
    }
    std::fs::remove_file(file).unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_one_place_said_of_its_document_is_not_told_to_another_one() {
    let issuer = TestIssuer::new();
    issuer.etags();
    let (client, hosts) = noting(IF_NONE_MATCH, &issuer);
    let tokens = Jwt::discover(Issuer::from(&issuer).client(client)).audience("a").build().unwrap();
    tokens.ready().await.unwrap();
    tokens.reload().await.unwrap();
    assert_eq!(take(&hosts), ["issuer.test"]);

    issuer.keys_reply(Reply::Status(StatusCode::GONE));
    tokens.reload().await.unwrap_err();
    issuer.keys_reply(Reply::Document);
    issuer.metadata_member("jwks_uri", "https://keys.test/jwks");
    take(&hosts);
    sleep(seconds(60)).await;
    tokens.reload().await.unwrap();
    assert_eq!(take(&hosts), ["keys.test"], "it had the document by then");
}
