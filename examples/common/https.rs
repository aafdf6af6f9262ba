//! An HTTPS server for an axum application, with a certificate made when it starts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use tokio::task::JoinHandle;

use crate::common::{Certificates, Options, Result};

/// How long requests that are on their way may take when the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// A server that runs.
pub(crate) struct Https {
    pub(crate) address: SocketAddr,
    /// Where the certificate of the authority stands that vouches for the server.
    pub(crate) ca_file: PathBuf,
    handle: Handle<SocketAddr>,
    running: JoinHandle<std::io::Result<()>>,
}

impl Https {
    /// Serves an application over HTTP/1.1 and HTTP/2, by a name that stands in the certificate.
    pub(crate) async fn serve(options: &Options, name: &str, app: Router) -> Result<Self> {
        let (listener, address) = options.listen()?;
        let certificates = Certificates::new(name, address.ip())?;
        certificates.write_ca(&options.cert_file)?;
        let tls = RustlsConfig::from_pem(certificates.server.into(), certificates.key.into()).await?;
        let handle = Handle::new();
        let server = axum_server::from_tcp_rustls(listener, tls)?.handle(handle.clone());
        let running = tokio::spawn(server.serve(app.into_make_service()));
        Ok(Self { address, ca_file: options.cert_file.clone(), handle, running })
    }

    /// Waits until somebody interrupts the program, and stops the server then; or until the server ends by itself.
    pub(crate) async fn run_until(mut self, interrupted: impl Future<Output = ()>) -> Result<()> {
        tokio::select! {
            () = interrupted => self.stop().await,
            ended = &mut self.running => Ok(ended??),
        }
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.handle.graceful_shutdown(Some(GRACE));
        Ok(self.running.await??)
    }
}
