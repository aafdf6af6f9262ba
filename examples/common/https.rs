//! An HTTPS server for an axum application, with a certificate made when it starts, and a listener without TLS beside it.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use tokio::task::JoinSet;
use tower::layer::layer_fn;
use tower_keep::mark_plain;

use crate::common::{Certificates, Options, Result};

/// How long requests that are on their way may take when the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// A server that runs.
pub(crate) struct Https {
    pub(crate) address: SocketAddr,
    /// Where it listens without TLS, if it does.
    pub(crate) plain_address: Option<SocketAddr>,
    /// Where the certificate of the authority stands that vouches for the server.
    pub(crate) ca_file: PathBuf,
    handle: Handle<SocketAddr>,
    plain_handle: Handle<SocketAddr>,
    running: JoinSet<std::io::Result<()>>,
}

impl Https {
    /// Serves an application over HTTP/1.1 and HTTP/2, by a name that stands in the certificate.
    #[allow(dead_code, reason = "not every application can do without its address")]
    pub(crate) async fn serve(options: &Options, name: &str, app: Router) -> Result<Self> {
        Self::serve_at(options, name, |_| Ok(app)).await
    }

    /// Serves an application that has to know where it is reached.
    pub(crate) async fn serve_at(
        options: &Options,
        name: &str,
        app: impl FnOnce(SocketAddr) -> Result<Router>,
    ) -> Result<Self> {
        let (listener, address) = options.listen()?;
        let app = app(address)?;
        let plain = options.listen_plain()?;
        let certificates = Certificates::new(name, address.ip())?;
        certificates.write_ca(&options.cert_file)?;
        let tls = RustlsConfig::from_pem(certificates.server.into(), certificates.key.into()).await?;
        let (handle, plain_handle, mut running) = (Handle::new(), Handle::new(), JoinSet::new());
        let plain_address = match plain {
            Some((listener, address)) => {
                running.spawn(serve_plain(listener, plain_handle.clone(), app.clone())?);
                Some(address)
            }
            None => None,
        };
        let server = axum_server::from_tcp_rustls(listener, tls)?.handle(handle.clone());
        running.spawn(server.serve(app.into_make_service()));
        let ca_file = options.cert_file.clone();
        Ok(Self { address, plain_address, ca_file, handle, plain_handle, running })
    }

    /// Prints where it listens, and whom to trust.
    pub(crate) fn announce(&self) {
        println!("listening on https://{}", self.address);
        println!("cert file: {}", self.ca_file.display());
        if let Some(plain) = self.plain_address {
            println!("without TLS on http://{plain}");
        }
    }

    /// Waits until somebody interrupts the program, and stops the server then; or until the server ends by itself.
    pub(crate) async fn run_until(mut self, interrupted: impl Future<Output = ()>) -> Result<()> {
        tokio::select! {
            () = interrupted => self.stop().await,
            Some(ended) = self.running.join_next() => Ok(ended??),
        }
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        self.handle.graceful_shutdown(Some(GRACE));
        self.plain_handle.graceful_shutdown(Some(GRACE));
        while let Some(ended) = self.running.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// Serves an application without TLS, and says so of every request.
fn serve_plain(
    listener: TcpListener,
    handle: Handle<SocketAddr>,
    app: Router,
) -> std::io::Result<impl Future<Output = std::io::Result<()>>> {
    let app = app.layer(layer_fn(mark_plain));
    Ok(axum_server::from_tcp(listener)?.handle(handle).serve(app.into_make_service()))
}
