//! Redis and Valkey servers on ports and in folders of their own. They end with the test, or with the process of the tests.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, thread};

use redis::{Commands, Connection};
use tempfile::TempDir;
use tower_keep::RedisServer;

/// Whatever is waited for comes within this time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What is confirmed is on the disk.
pub(crate) const ALWAYS: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];
/// It is there a second later, unless the server is asked to wait.
pub(crate) const EVERY_SECOND: &[&str] = &["--appendonly", "yes", "--appendfsync", "everysec"];

pub(crate) struct Server {
    program: PathBuf,
    settings: Vec<String>,
    folder: TempDir,
    port: u16,
    running: Option<(Child, i32)>,
}

impl Server {
    /// Starts the Redis of this machine.
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::start_program("redis-server".into(), settings)
    }

    pub(crate) fn start_program(program: PathBuf, settings: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let mut server = Self { program, settings, folder, port, running: None };
        server.start_again();
        server
    }

    /// Starts it on the port and with the files that it had.
    pub(crate) fn start_again(&mut self) {
        // The shell ends when nobody holds the other end of its input any more, and takes the server along.
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "\"$0\" \"$@\" >server.log 2>&1 & echo $!; cat >/dev/null; kill -9 $! 2>/dev/null"])
            .arg(&self.program);
        shell.args(["--save", "", "--bind", "127.0.0.1", "--port", &self.port.to_string()]).args(&self.settings);
        shell.current_dir(self.folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = shell.spawn().expect("there is a shell");
        let mut pid = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        self.running = Some((shell, pid.trim().parse().unwrap()));
        until("the server answers", || self.try_client().is_some());
    }

    /// Starts it with other settings, after it was killed.
    pub(crate) fn start_again_with(&mut self, settings: &[&str]) {
        self.settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        self.start_again();
    }

    /// Kills it as a crash would.
    pub(crate) fn kill(&mut self) {
        let Some((mut shell, pid)) = self.running.take() else { return };
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }

    /// Stops it, so that it takes connections and answers nothing, or lets it go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        use nix::sys::signal::Signal::{SIGCONT, SIGSTOP};
        let (_, pid) = self.running.as_ref().unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), if frozen { SIGSTOP } else { SIGCONT }).unwrap();
    }

    /// Connects as somebody else.
    pub(crate) fn client(&self) -> Connection {
        self.try_client().expect("the server answers")
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Returns where nobody else keeps anything.
    pub(crate) fn place(&self) -> RedisServer {
        RedisServer::new(self.url()).prefix(prefix())
    }

    fn try_client(&self) -> Option<Connection> {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(2)).ok()?;
        connection.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // While it reads its files, it says so.
        connection.exists::<_, bool>("x").ok()?;
        Some(connection)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((mut shell, _)) = self.running.take() {
            drop(shell.stdin.take());
            let _ended = shell.wait();
        }
    }
}

/// Returns the server that tests share which do not end it.
pub(crate) fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| Server::start(ALWAYS))
}

/// Returns a server that can be waited for, if there is one: Redis 7.2, or Valkey.
pub(crate) fn that_waits() -> Option<PathBuf> {
    let named = env::var_os("TOWER_KEEP_VALKEY").map(PathBuf::from);
    let found = named.into_iter().chain(["valkey-server".into(), "redis-server".into()]).find(|program| {
        let Ok(output) = Command::new(program).arg("--version").output() else { return false };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.split("v=").nth(1).unwrap_or_default();
        let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (7, 2)
    });
    if found.is_none() {
        let text = "there is neither Redis 7.2 nor Valkey here, so WAITAOF is not tested; scripts/test fetches one";
        assert!(env::var_os("CI").is_none(), "{text}");
        eprintln!("{text}");
    }
    found
}

pub(crate) fn prefix() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{{test-{}}}:", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Waits for a condition.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}
