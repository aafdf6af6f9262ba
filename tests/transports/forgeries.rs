//! What a client may write to look as if it came over TLS.

use std::net::SocketAddr;

use crate::clients::{Answer, send};

/// Header fields, one or several lines of them.
const FIELDS: [&str; 22] = [
    "",
    "X-Forwarded-Proto: https",
    "x-forwarded-proto: HTTPS",
    "X-Forwarded-Proto: wss",
    "X-Forwarded-Proto: http\r\nX-Forwarded-Proto: https",
    "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: https",
    "X-Forwarded-Proto: https, https",
    "X_Forwarded_Proto: https",
    "Forwarded: proto=https",
    "Forwarded: for=127.0.0.1;proto=https;host=localhost",
    "Forwarded: for=127.0.0.2;proto=https",
    "Forwarded: proto=https, proto=https",
    "Forwarded: proto=\"",
    "X-Forwarded-Proto: https\r\nForwarded: proto=https",
    "X-Forwarded-Proto: https\r\nX-Forwarded-For: 127.0.0.1",
    "X-Forwarded-For: 127.0.0.1, 127.0.0.1\r\nForwarded: for=127.0.0.1;proto=https",
    // Servers take a lone line feed for the end of a line (RFC 9112, section 2.2).
    "X-Forwarded-For: 127.0.0.1\nX-Forwarded-Proto: https",
    "X-Forwarded-Host: localhost:443\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Scheme: https\r\nX-Forwarded-Ssl: on",
    "X-Scheme: https\r\nX-Url-Scheme: https\r\nFront-End-Https: on\r\nCloudFront-Forwarded-Proto: https",
    "Via: 1.1 localhost",
    "Upgrade: TLS/1.3, HTTP/1.1",
    "Strict-Transport-Security: max-age=1\r\nUpgrade-Insecure-Requests: 1",
];

/// A field that is named here is meant for the next machine alone, which may take it out (RFC 9110, section 7.6.1).
const CONNECTIONS: [&str; 3] = [
    "close, X-Forwarded-Proto",
    "close, X-Forwarded-Proto, X-Forwarded-For, Forwarded",
    "X-Forwarded-Proto, X-Forwarded-Host, close",
];

const TARGETS: [&str; 8] = [
    "https://localhost/",
    "https://localhost:443/",
    "HTTPS://localhost/",
    "http://localhost/",
    "wss://localhost/",
    "https://elsewhere.example/",
    "//localhost/",
    "/https://localhost/?scheme=https",
];

const HOSTS: [&str; 4] = ["localhost:443", "https", "127.0.0.1:8443", "elsewhere.example"];

const METHODS: [&str; 4] = ["POST", "DELETE", "OPTIONS", "UNKNOWN"];

/// Returns requests that end the connection, with a key and without one.
pub(crate) fn forgeries(version: &str, key: &str) -> Vec<String> {
    let write = |method: &str, target: &str, host: &str, connection: &str, fields: &str| {
        let head = format!("{method} {target} {version}\r\nHost: {host}\r\nConnection: {connection}\r\n{fields}");
        let head = head.trim_end();
        [format!("{head}\r\n\r\n"), format!("{head}\r\nx-api-key: {key}\r\n\r\n")]
    };
    let both = "X-Forwarded-Proto: https\r\nX-Forwarded-For: 127.0.0.1";
    let fields = FIELDS.map(|fields| write("GET", "/", "localhost", "close", fields));
    let connections = CONNECTIONS.map(|connection| write("GET", "/", "localhost", connection, both));
    let targets = TARGETS.map(|target| write("GET", target, "localhost", "close", both));
    let hosts = HOSTS.map(|host| write("GET", "/", host, "close", both));
    let methods = METHODS.map(|method| write(method, "/", "localhost", "close", both));
    [&fields[..], &connections, &targets, &hosts, &methods].concat().into_flattened()
}

/// Sends them all to a server, each over a connection of its own, and sees that they are refused in the same bytes.
/// Returns the last answer.
pub(crate) async fn assert_refused_alike(address: SocketAddr, version: &str, key: &str) -> Answer {
    let mut first = None;
    let mut last = None;
    for forgery in forgeries(version, key) {
        let answer = send(address, &forgery).await;

        assert_eq!(answer.status(), Some(403), "{forgery}\n{answer:?}");
        assert!(answer.field("strict-transport-security").is_empty(), "{forgery}\n{answer:?}");
        let expected = first.get_or_insert_with(|| answer.but_for_date());
        assert_eq!(answer.but_for_date(), *expected, "{forgery}");
        last = Some(answer);
    }
    last.expect("there are forgeries")
}
