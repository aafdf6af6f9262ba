//! TLS to Redis.

use std::net::TcpListener;
use std::process::Command;
use std::{env, fs};

use tower_keep::{KeyAdmin, KeyStore, Lookup, RedisStore};

use super::{record, rules};
use crate::support::redis::{ALWAYS, Server};

/// Where the other process finds the server.
const URL: &str = "TOWER_KEEP_REDISS_URL";

#[tokio::test]
async fn a_certificate_has_to_be_one_that_the_machine_trusts() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let files = ["--tls-cert-file", certificate.to_str().unwrap(), "--tls-key-file", key.to_str().unwrap()];
    let _server = Server::start(&[ALWAYS, &files, &["--tls-port", &port, "--tls-auth-clients", "no"]].concat());
    let url = format!("rediss://127.0.0.1:{port}");

    let unknown = RedisStore::open(url.as_str()).await;
    // What a machine trusts is read from the environment, and that is the same for all tests of a process.
    let mut trusting = Command::new(env::current_exe().unwrap());
    trusting.args(["--exact", "redis::tls::keys_are_kept_over_tls", "--ignored"]);
    let trusting = trusting.env("SSL_CERT_FILE", &certificate).env(URL, &url).output().unwrap();

    unknown.expect_err("a certificate of nobody knows whom is refused");
    let told = String::from_utf8_lossy(&trusting.stdout);
    assert!(trusting.status.success() && told.contains("1 passed"), "{told}");
}

#[tokio::test]
#[ignore = "another test calls it, in a process that trusts a certificate"]
async fn keys_are_kept_over_tls() {
    let Ok(url) = env::var(URL) else { return };
    let store = RedisStore::builder().rules(rules()).open(url).await.unwrap();
    let record = record(1);

    store.insert(record.clone()).await.unwrap();

    assert!(store.find(&Lookup::Id(*record.id())).await.unwrap().is_some());
    let mut notices = store.notices().unwrap();
    assert!(matches!(notices.next().await, Some(tower_keep::Notice::Connected)));
}
