//! A PostgreSQL server that the test starts, and that ends with it, however that ends.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

const USER: &str = "keep";
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Server {
    folder: PathBuf,
    port: u16,
    databases: AtomicU32,
    postmaster: Mutex<Option<Child>>,
    /// Reads a pipe; when this process is gone it kills the server and clears up.
    watchdog: Child,
}

/// The server that tests share, each with a database of its own.
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(Server::start)
}

impl Server {
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("keep-postgres").tempdir().unwrap().keep();
        let data = folder.join("data");
        fs::create_dir(&data).unwrap();
        if let Some(user) = other_user() {
            run(Command::new("chown").args(["-R", user]).arg(&folder));
        }
        let clean = "cat; kill -9 $(head -n 1 \"$0/data/postmaster.pid\"); rm -rf \"$0\"";
        let mut watchdog = Command::new("sh");
        watchdog.arg("-c").arg(clean).arg(&folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let watchdog = watchdog.spawn().unwrap();
        run(program("initdb").args(["--auth=trust", "--no-sync", "--encoding=UTF8", "-U", USER, "-D"]).arg(&data));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { folder, port, databases: AtomicU32::new(0), postmaster: Mutex::new(None), watchdog };
        server.run_again();
        server
    }

    /// Starts the server on its data and its port.
    pub fn run_again(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut postmaster = self.postmaster.lock().unwrap();
        loop {
            assert!(Instant::now() < deadline, "the server starts");
            // After a kill the children of the last one are still about to end: it then has to be tried once more.
            let has_ended = postmaster.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some());
            if has_ended {
                let mut postgres = program("postgres");
                postgres.arg("-D").arg(self.folder.join("data")).arg("-p").arg(self.port.to_string());
                postgres.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
                postgres.args(["-c", "max_connections=200"]);
                *postmaster = Some(postgres.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
            }
            let mut ready = program("pg_isready");
            ready.args(["-q", "-h", "127.0.0.1", "-t", "1", "-p"]).arg(self.port.to_string());
            if ready.status().unwrap().success() {
                return;
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// Ends it as a crash does.
    pub fn kill(&self) {
        let mut postmaster = self.postmaster.lock().unwrap();
        let child = postmaster.as_mut().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Makes an empty database and returns its URL.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql(&self.url("postgres"), &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:a-password@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs SQL and returns what it says.
    pub fn sql(&self, url: &str, sql: &str) -> String {
        run(program("psql").args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]).arg(url))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = self.postmaster.lock().unwrap().as_mut() {
            let _gone = child.kill();
            let _gone = child.wait();
        }
        drop(self.watchdog.stdin.take());
        let _gone = self.watchdog.wait();
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A program of PostgreSQL, which does not run as root.
fn program(name: &str) -> Command {
    let path = installed().join(name);
    let mut command = match other_user() {
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.args([&format!("--reuid={user}"), "--regid=nogroup", "--clear-groups", "--"]).arg(path);
            command
        }
        None => Command::new(path),
    };
    command.stdin(Stdio::null()).current_dir("/");
    command
}

/// Returns as whom to run it, for root.
fn other_user() -> Option<&'static str> {
    static USER: OnceLock<Option<&'static str>> = OnceLock::new();
    *USER.get_or_init(|| {
        let id = |args: &[&str]| Command::new("id").args(args).output().unwrap();
        let is_root = id(&["-u"]).stdout == b"0\n";
        is_root.then(|| ["postgres", "nobody"].into_iter().find(|user| id(&[user]).status.success()).unwrap())
    })
}

/// Returns where the newest version is installed.
fn installed() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    versions.sort();
    versions.pop().expect("PostgreSQL is installed: apt-get install postgresql")
}
