//! Certificates for a server on this machine, made anew at each start.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

use super::Result;

/// Clients whose clock is a little behind accept the certificates all the same.
const BEFORE: Duration = Duration::from_secs(60 * 60);
/// How long the example may run before its certificates end.
const LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A certificate for `localhost`, `127.0.0.1` and the address that clients use, and the CA that signed it.
///
/// Only the certificate of the CA is ever written to a file. Its key signs once and is dropped, so whoever trusts the
/// CA trusts this one server and nothing else.
pub(crate) struct Certificates {
    /// What clients have to trust, in PEM.
    pub(crate) ca: String,
    /// What the server shows, in PEM.
    pub(crate) server: String,
    /// What the server proves it with, in PEM.
    pub(crate) key: String,
}

impl Certificates {
    pub(crate) fn new(example: &str, address: IpAddr) -> Result<Self> {
        let ca_key = KeyPair::generate()?;
        let mut ca = valid_from_now(CertificateParams::default())?;
        ca.distinguished_name.push(DnType::CommonName, format!("tower-keep {example} CA"));
        // It may sign servers, and no further CA. Strict clients ask for the key usages and key identifiers of
        // RFC 5280, section 4.2.1; Python does since 3.13.
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_certificate = ca.self_signed(&ca_key)?;

        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        if !names.contains(&address.to_string()) {
            names.push(address.to_string());
        }
        let server_key = KeyPair::generate()?;
        let mut server = valid_from_now(CertificateParams::new(names)?)?;
        server.distinguished_name.push(DnType::CommonName, format!("tower-keep {example}"));
        server.is_ca = IsCa::ExplicitNoCa;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        let server_certificate = server.signed_by(&server_key, &Issuer::new(ca, ca_key))?;

        Ok(Self { ca: ca_certificate.pem(), server: server_certificate.pem(), key: server_key.serialize_pem() })
    }

    /// Writes the certificate of the CA. A client that reads the file meanwhile sees the old one or the new one.
    pub(crate) fn write_ca(&self, file: &Path) -> Result<()> {
        let write = || {
            if fs::metadata(file).is_ok_and(|found| !found.is_file()) {
                return Err(std::io::Error::other("it is there, and is no regular file"));
            }
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder)?;
            }
            let mut beside = file.as_os_str().to_owned();
            beside.push(format!(".{}", std::process::id()));
            fs::write(&beside, &self.ca).and_then(|()| fs::rename(&beside, file)).inspect_err(|_| {
                // What is wrong has been said already.
                let _ = fs::remove_file(&beside);
            })
        };
        write().map_err(|error: std::io::Error| format!("cannot write {}: {error}", file.display()).into())
    }
}

fn valid_from_now(mut params: CertificateParams) -> Result<CertificateParams> {
    let now = date_time_ymd(1970, 1, 1) + SystemTime::now().duration_since(UNIX_EPOCH)?;
    params.not_before = now - BEFORE;
    params.not_after = now + LIFETIME;
    // The default holds a name of its own.
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params)
}
