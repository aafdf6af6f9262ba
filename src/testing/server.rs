//! An issuer behind a real socket.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tower_service::Service;

use super::TestIssuer;

/// An issuer that listens on this machine, until it is dropped. [`TestIssuer::serve`] starts one.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct TestServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl TestServer {
    /// Listens at an address, or at one that is free.
    pub(super) async fn start(issuer: TestIssuer, address: Option<SocketAddr>) -> io::Result<Self> {
        let address = address.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into());
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { address, task: tokio::spawn(accept(listener, issuer)) })
    }

    /// Returns where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it, connections and all, and waits for that: whoever connects afterwards is refused.
    pub async fn stop(mut self) {
        self.task.abort();
        // It ends because it was told to.
        let _ = (&mut self.task).await;
    }
}

/// Takes connections, which end with the future.
async fn accept(listener: TcpListener, issuer: TestIssuer) {
    let mut connections = JoinSet::new();
    loop {
        // Callers that are gone before they are there are none.
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let issuer = issuer.clone();
        let service = service_fn(move |request| issuer.clone().call(request));
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
