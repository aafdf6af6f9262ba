//! Several processes over one store: what is revoked on one is refused on the others, and what happens when the store dies.
//!
//! A node is this very program, started again: it serves one route behind an `ApiKeyLayer` over `Cached` until its standard
//! input ends.

mod outage;
mod revocation;
mod wire;

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::{Layer, service_fn};
use tower_keep::{
    ApiKeyLayer, Cached, FileStore, KeyAdmin, KeyFormat, KeyHasher, KeyRules, PostgresStore, RedisServer, RedisStore,
    SqliteStore,
};

/// Says to this program that it is a node, and over which store.
const STORE: &str = "TOWER_KEEP_TEST_NODE";
/// And for how many seconds its copies are good, unless for the usual time.
const TTL: &str = "TOWER_KEEP_TEST_NODE_TTL";

/// The rules of all nodes.
pub fn rules() -> KeyRules {
    let pepper = KeyHasher::peppered("shared", [7; 32]).unwrap();
    KeyRules::new(KeyFormat::new("node").unwrap(), pepper)
}

/// Opens a store by its URL, with the rules of all nodes.
pub async fn open(url: &str) -> Arc<dyn KeyAdmin> {
    match url.split_once(':').unwrap().0 {
        "sqlite" => Arc::new(SqliteStore::builder().rules(rules()).open(url).await.unwrap()),
        "postgres" => Arc::new(PostgresStore::builder().rules(rules()).open(url).await.unwrap()),
        "redis" => {
            let (url, prefix) = url.split_once('#').unwrap_or((url, "{nodes}:"));
            Arc::new(RedisStore::builder().rules(rules()).open(RedisServer::new(url).prefix(prefix)).await.unwrap())
        }
        "file" => {
            let path = url.strip_prefix("file:").unwrap();
            Arc::new(FileStore::builder().rules(rules()).create_if_missing().open(path).unwrap())
        }
        other => panic!("no store is reached by {other}"),
    }
}

/// Not a test, unless it is a node that was started: then it serves until its standard input ends.
#[test]
fn serves_where_it_is_told_to() {
    let Ok(url) = std::env::var(STORE) else { return };
    std::thread::spawn(|| {
        let _all = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(serve(&url));
}

async fn serve(url: &str) {
    let store = Cached::new(open(url).await);
    let store = match std::env::var(TTL) {
        Ok(seconds) => store.ttl(Duration::from_secs(seconds.parse().unwrap())).unwrap(),
        Err(_) => store,
    };
    let service = ApiKeyLayer::new(store).layer(service_fn(async |_: http::Request<hyper::body::Incoming>| {
        Ok::<_, Infallible>(Response::new(String::new()))
    }));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    println!("\nlistening on {}", listener.local_addr().unwrap());
    loop {
        let (connection, _) = listener.accept().await.unwrap();
        connection.set_nodelay(true).unwrap();
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            let _gone = builder.serve_connection(TokioIo::new(connection), service).await;
        });
    }
}

/// A node in a process of its own, which ends with this value.
pub struct Node {
    process: Child,
    address: SocketAddr,
    client: reqwest::Client,
}

impl Node {
    pub fn start(url: &str) -> Self {
        Self::start_with(url, None)
    }

    /// Starts one whose copies are good for a time.
    pub fn start_with(url: &str, ttl: Option<u64>) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .envs(ttl.map(|seconds| (TTL, seconds.to_string())))
            .args(["--exact", "nodes::serves_where_it_is_told_to", "--nocapture"])
            .env(STORE, url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut addresses =
            lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("listening on ")?.parse().ok());
        let address = addresses.next().expect("the node listens");
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        Self { process, address, client }
    }

    /// Asks with a key, and returns what the node says.
    pub async fn ask(&self, key: &str) -> StatusCode {
        let request = self.client.get(format!("http://{}/", self.address)).header("x-api-key", key);
        request.send().await.expect("the node answers").status()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

/// Prints how long something took, for those who run the tests to see: a test is no benchmark.
pub fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let (median, p99, most) = (at(0.5), at(0.99), at(1.0));
    println!("{what}: median {median:.1?}, p99 {p99:.1?}, at most {most:.1?}, of {}", times.len());
}
