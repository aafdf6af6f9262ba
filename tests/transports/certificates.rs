//! A certificate for this machine, in a folder that is removed in the end.

use std::error::Error;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// How the examples make theirs.
#[path = "../../examples/common/tls.rs"]
mod made;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// The certificate that a server shows, its key, and that of the CA, which clients have to trust.
pub(crate) struct Certificates {
    pub(crate) folder: PathBuf,
    pub(crate) ca: String,
    pub(crate) server: String,
    pub(crate) key: String,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        static FOLDERS: AtomicUsize = AtomicUsize::new(0);
        let folder = format!("transports-{}-{}", std::process::id(), FOLDERS.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
        fs::create_dir_all(&folder).unwrap();
        let made = made::Certificates::new("transports", Ipv4Addr::LOCALHOST.into()).unwrap();
        let made::Certificates { ca, server, key } = &made;
        let certificates = Self { ca: ca.clone(), server: server.clone(), key: key.clone(), folder };
        made.write_ca(&certificates.ca_file()).unwrap();
        certificates
    }

    /// Returns where the certificate of the CA stands.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Returns what does the server's part of a handshake, for both versions of HTTP.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let chain = vec![CertificateDer::from_pem_slice(self.server.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// Returns what does the client's part, without a word on the version of HTTP.
    pub(crate) fn connector(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.as_bytes()).unwrap()).unwrap();
        TlsConnector::from(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        // What a test that failed leaves behind may tell why.
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
