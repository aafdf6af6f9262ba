//! The options of an example.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use super::Result;

/// What an example is called, what it is, and where it listens unless it is told.
pub(crate) struct About {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
    pub(crate) port: u16,
    /// Where it listens without TLS, if it does.
    pub(crate) plain_port: Option<u16>,
}

pub(crate) struct Options {
    pub(crate) address: SocketAddr,
    pub(crate) plain_address: Option<SocketAddr>,
    pub(crate) cert_file: PathBuf,
    pub(crate) check: bool,
}

impl About {
    pub(crate) fn help(&self) -> String {
        let Self { name, text, port, plain_port } = self;
        let mut help = format!("{text}\n\nUsage: {name} [OPTIONS]\n\nOptions:\n");
        let mut options =
            vec![("--addr ADDRESS", format!("where to listen, 127.0.0.1:{port} by default; port 0 picks a free one"))];
        options.extend(
            plain_port.map(|port| {
                ("--plain-addr ADDRESS", format!("where to listen without TLS, 127.0.0.1:{port} by default"))
            }),
        );
        options.extend([
            ("--cert-file FILE", format!("where to write the CA certificate, target/{name}-ca.pem by default")),
            ("--check", "start on a free port, send requests that have to be answered and refused, and say how".into()),
            ("--help", "print this".into()),
        ]);
        for (option, text) in options {
            // A `String` takes everything that is written to it.
            let _ = writeln!(help, "  {option:22}{text}");
        }
        help
    }
}

impl Options {
    /// Reads the arguments; nothing if it was the help that was asked for.
    pub(crate) fn read(about: &About, arguments: impl IntoIterator<Item = String>) -> Result<Option<Self>, String> {
        let (mut address, mut plain_address, mut cert_file, mut check) = (None, None, None, false);
        let parsed = |given: String| {
            given
                .parse::<SocketAddr>()
                .map_err(|_| format!("{given:?} is not an address such as 127.0.0.1:{}", about.port))
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let (option, attached) = match argument.split_once('=') {
                Some((option, value)) => (option, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let mut value = || attached.clone().or_else(|| arguments.next()).ok_or(format!("{option} needs a value"));
            match option {
                "--addr" => address = Some(parsed(value()?)?),
                "--plain-addr" if about.plain_port.is_some() => plain_address = Some(parsed(value()?)?),
                "--cert-file" => cert_file = Some(PathBuf::from(value()?)),
                "--check" if attached.is_none() => check = true,
                "--help" | "-h" if attached.is_none() => return Ok(None),
                _ => return Err(format!("there is no option {argument:?}")),
            }
        }
        // A check beside a server or a check that runs already takes neither its port nor the file that its clients read.
        let (port, file) = match check {
            true => (0, format!("target/{}-check-{}-ca.pem", about.name, std::process::id())),
            false => (about.port, format!("target/{}-ca.pem", about.name)),
        };
        let plain_port = about.plain_port.map(|port| if check { 0 } else { port });
        let plain_default = plain_port.map(|port| (Ipv4Addr::LOCALHOST, port).into());
        Ok(Some(Self {
            plain_address: plain_address.or(plain_default),
            address: address.unwrap_or((Ipv4Addr::LOCALHOST, port).into()),
            cert_file: cert_file.unwrap_or(file.into()),
            check,
        }))
    }

    /// Listens for HTTPS, and returns the address that clients on this machine use.
    pub(crate) fn listen(&self) -> Result<(TcpListener, SocketAddr)> {
        listen(self.address, "--addr")
    }

    /// Listens without TLS, if the example does.
    #[allow(dead_code, reason = "not every example does")]
    pub(crate) fn listen_plain(&self) -> Result<Option<(TcpListener, SocketAddr)>> {
        self.plain_address.map(|address| listen(address, "--plain-addr")).transpose()
    }
}

/// Returns an address with a real port in place of port 0, and not "every address".
fn listen(address: SocketAddr, option: &str) -> Result<(TcpListener, SocketAddr)> {
    let fault = |error| format!("cannot listen on {address}: {error}; {option} chooses another address");
    let listener = TcpListener::bind(address).map_err(fault)?;
    listener.set_nonblocking(true)?;
    let mut address = listener.local_addr()?;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    Ok((listener, address))
}
