//! Clients: bytes written by hand, curl, and HTTP/2 that lies about its scheme.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Command;
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::certificates::Certificates;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// From where bytes written by hand come: not from where a proxy connects, if the machine has more than one such address.
pub(crate) const CLIENT: Ipv4Addr = match cfg!(target_os = "linux") {
    true => Ipv4Addr::new(127, 0, 0, 2),
    false => Ipv4Addr::LOCALHOST,
};

/// Waits for something, but not forever.
pub(crate) async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{what}: it takes too long"))
}

/// Asks again and again, until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    soon(what, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub(crate) struct Answer(String);

impl Answer {
    pub(crate) fn status(&self) -> Option<u16> {
        self.0.split(' ').nth(1)?.trim().parse().ok()
    }

    /// Returns the version in the first line.
    pub(crate) fn version(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }

    pub(crate) fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").unwrap_or_default().1
    }

    /// Returns the values of a field.
    pub(crate) fn field(&self, name: &str) -> Vec<&str> {
        let head = self.0.split("\r\n\r\n").next().unwrap_or_default();
        let fields = head.lines().filter_map(|line| line.split_once(':'));
        fields.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// Returns everything but the time.
    pub(crate) fn but_for_date(&self) -> String {
        let is_date = |line: &&str| line.to_ascii_lowercase().starts_with("date:");
        self.0.split_inclusive("\r\n").filter(|line| !is_date(line)).collect()
    }
}

/// Writes bytes into a connection without TLS, and reads to its end.
pub(crate) async fn send(address: SocketAddr, bytes: &str) -> Answer {
    soon("send", async { talk(connect(address).await, bytes).await }).await
}

/// Does the same over TLS.
pub(crate) async fn send_over_tls(address: SocketAddr, certificates: &Certificates, bytes: &str) -> Answer {
    soon("send over TLS", async {
        let name = ServerName::try_from("localhost").unwrap();
        let stream = certificates.connector().connect(name, connect(address).await).await.unwrap();
        talk(stream, bytes).await
    })
    .await
}

async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((CLIENT, 0).into()).unwrap();
    socket.connect(address).await.unwrap()
}

async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &str) -> Answer {
    stream.write_all(bytes.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = Vec::new();
    // A server that hangs up without a farewell has answered all the same.
    let _ = stream.read_to_end(&mut answer).await;
    Answer(String::from_utf8(answer).unwrap())
}

/// Runs curl, which trusts the certificates.
pub(crate) async fn curl(certificates: &Certificates, options: &[&str], url: &str) -> Answer {
    let mut curl = Command::new("curl");
    // The first option keeps a configuration file of the user out of it.
    curl.args(["-q", "-sS", "-i", "--noproxy", "*", "--max-time", "30", "--cacert"]).arg(certificates.ca_file());
    if options.contains(&"--http1.0") {
        // It would name that version in the handshake, and servers know none of this name.
        curl.arg("--no-alpn");
    }
    curl.args(options).arg(url).stdin(Stdio::null()).kill_on_drop(true);
    let output = soon("curl", curl.output()).await.unwrap();
    assert!(output.status.success(), "{curl:?}: {output:?}");
    Answer(String::from_utf8(output.stdout).unwrap())
}

/// Sends a request over HTTP/2 without TLS, whose `:scheme` is `https`. Returns the status and the body.
pub(crate) async fn http2_that_says_https(address: SocketAddr, key: &str) -> (u16, String) {
    soon("HTTP/2", async {
        let stream = TokioIo::new(connect(address).await);
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("https://localhost/").version(Version::HTTP_2).header("x-api-key", key);
        let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    })
    .await
}
