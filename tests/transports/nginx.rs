//! nginx, as an example of a proxy, on ports and in a folder of its own.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;

use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, Command};

use crate::certificates::Certificates;
use crate::clients::until;

/// What it says of a request is what the documentation asks for, but for two places: below `/careless/` it does not say
/// over what the request came, and below `/mute/` nothing at all. Whatever the client wrote is passed on there.
const CONFIGURATION: &str = "
daemon off;
# One process, which ends when it is killed.
master_process off;
pid pid;
events {}
http {
    access_log off;
    client_body_temp_path temp;
    proxy_temp_path temp;
    fastcgi_temp_path temp;
    uwsgi_temp_path temp;
    scgi_temp_path temp;

    # Connections that requests over TLS and over plain HTTP share.
    upstream app {
        server {app};
        keepalive 4;
    }

    server {
        listen {tls} ssl http2 reuseport;
        listen {plain} reuseport;
        listen {plain_http2} http2 reuseport;
        ssl_certificate server.pem;
        ssl_certificate_key key.pem;

        location / {
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-Host $host;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }
        location /careless/ {
            proxy_pass http://app;
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }
        location /mute/ {
            proxy_pass http://app;
        }
    }
}
";

/// A proxy in front of a server. It is killed when this is dropped.
pub(crate) struct Nginx {
    pub(crate) certificates: Certificates,
    pub(crate) tls: SocketAddr,
    pub(crate) plain: SocketAddr,
    /// Where it speaks HTTP/2 from the first byte, without TLS.
    pub(crate) plain_http2: SocketAddr,
    _child: Child,
    _ports: [Port; 3],
}

impl Nginx {
    /// Starts nginx; nothing where there is none.
    pub(crate) async fn before(app: SocketAddr) -> Option<Self> {
        let program = find()?;
        let certificates = Certificates::new();
        let folder = &certificates.folder;
        let ports = [(); 3].map(|()| Port::take());
        let [tls, plain, plain_http2] = [0, 1, 2].map(|number: usize| ports[number].address());
        let configuration = [("app", app), ("tls", tls), ("plain", plain), ("plain_http2", plain_http2)]
            .iter()
            .fold(CONFIGURATION.to_owned(), |text, (name, to)| text.replace(&format!("{{{name}}}"), &to.to_string()));
        fs::write(folder.join("nginx.conf"), configuration).unwrap();
        fs::write(folder.join("server.pem"), &certificates.server).unwrap();
        fs::write(folder.join("key.pem"), &certificates.key).unwrap();

        let log = folder.join("error.log");
        let mut nginx = Command::new(program);
        nginx.arg("-p").arg(folder).args(["-c", "nginx.conf", "-e"]).arg(&log);
        nginx.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = nginx.spawn().unwrap();
        for address in [tls, plain, plain_http2] {
            until("nginx listens", async || {
                let ended = child.try_wait().unwrap();
                assert!(ended.is_none(), "{ended:?}: {}", fs::read_to_string(&log).unwrap_or_default());
                TcpStream::connect(address).await.is_ok()
            })
            .await;
        }
        Some(Self { certificates, tls, plain, plain_http2, _child: child, _ports: ports })
    }
}

/// Finds nginx, which may be where only the administrator looks for programs.
fn find() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let found = folders.map(|folder| folder.join("nginx")).find(|file| file.is_file());
    if found.is_none() {
        assert!(env::var_os("CI").is_none(), "there is no nginx, and CI skips nothing");
        println!("skipped: there is no nginx. `scripts/test` installs it");
    }
    found
}

/// A port that nobody else on this machine is given. A socket that does not listen keeps it, and gets no connection.
struct Port(TcpSocket);

impl Port {
    fn take() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // nginx takes the same port, with the same option.
        socket.set_reuseport(true).unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        Self(socket)
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }
}
