//! The command line, and servers over the same store: what one does, the other knows.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use http::StatusCode;

use crate::nodes::{Node, open};
use crate::support::{postgres, redis};

/// The pepper of the nodes, as text.
const PEPPER: &str = "shared:0707070707070707070707070707070707070707070707070707070707070707";

struct Keep {
    store: String,
    redis_prefix: &'static str,
}

impl Keep {
    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut keep = Command::new(env!("CARGO_BIN_EXE_keep"));
        keep.args(arguments).args(["--prefix", "node", "--redis-prefix", self.redis_prefix, "--as", "alice", "--yes"]);
        keep.env("KEEP_STORE", &self.store).env("KEEP_PEPPER", PEPPER);
        let mut keep = keep.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        keep.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        keep.wait_with_output().unwrap()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str], input: &str) -> serde_json::Value {
        let output = self.run(arguments, input);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }
}

/// Waits until a node answers a key in a way.
async fn becomes(node: &Node, key: &str, status: StatusCode) {
    let start = Instant::now();
    while node.ask(key).await != status {
        assert!(start.elapsed() < Duration::from_secs(9), "a change is told, and not found out by the time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn keys_are_operated(keep: Keep) {
    let node = Node::start(&keep.store);

    let created = keep.json(&["keys", "create", "--owner", "billing", "--scope", "read"], "");
    let (id, key) = (created["id"].as_str().unwrap(), created["key"].as_str().unwrap());
    becomes(&node, key, StatusCode::OK).await;
    assert!(keep.run(&["keys", "verify"], key).status.success());

    let newer = keep.json(&["keys", "rotate", id, "--grace", "1h"], "");
    becomes(&node, newer["key"].as_str().unwrap(), StatusCode::OK).await;
    assert_eq!(node.ask(key).await, StatusCode::OK, "both work");

    let leaked = keep.run(&["keys", "leaked"], key);
    assert!(leaked.status.success(), "{}", String::from_utf8_lossy(&leaked.stderr));
    becomes(&node, key, StatusCode::UNAUTHORIZED).await;
    becomes(&node, newer["key"].as_str().unwrap(), StatusCode::UNAUTHORIZED).await;
    assert_eq!(keep.run(&["keys", "verify"], key).status.code(), Some(1));
    let shown = keep.run(&["keys", "show", id], "");
    assert!(String::from_utf8_lossy(&shown.stdout).contains("revoked_at"));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_in_postgresql_are_operated_while_servers_run() {
    let store = postgres::shared().database();
    // The tables are there before anybody asks.
    drop(open(&store).await);
    keys_are_operated(Keep { store, redis_prefix: "unused:" }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_in_redis_are_operated_while_servers_run() {
    let server = redis::Server::start(redis::ALWAYS);
    keys_are_operated(Keep { store: server.url(), redis_prefix: "{nodes}:" }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_a_crash_may_undo_is_said_to_be_one() {
    let server = redis::Server::start(&["--appendonly", "no"]);
    let keep = Keep { store: server.url(), redis_prefix: "{volatile}:" };
    let created = keep.json(&["keys", "create", "--owner", "billing"], "");

    let revoked = keep.run(&["keys", "revoke", created["id"].as_str().unwrap()], "");

    assert!(revoked.status.success());
    let told = String::from_utf8_lossy(&revoked.stderr).into_owned();
    assert!(told.contains("crash"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_move_from_one_store_to_another() {
    let from = Keep { store: postgres::shared().database(), redis_prefix: "unused:" };
    let server = redis::Server::start(redis::ALWAYS);
    let to = Keep { store: server.url(), redis_prefix: "{nodes}:" };
    let key = from.json(&["keys", "create", "--owner", "billing", "--rate", "10/1m"], "");
    let id = key["id"].as_str().unwrap();

    let exported = from.run(&["keys", "export", "-"], "");
    let text = String::from_utf8(exported.stdout).unwrap();
    assert!(to.run(&["keys", "import", "-"], &text).status.success());

    assert!(to.run(&["keys", "verify"], key["key"].as_str().unwrap()).status.success());
    let [before, after] = [&from, &to].map(|keep| keep.json(&["keys", "show", id], ""));
    for field in ["id", "owner", "rate", "created_at"] {
        assert_eq!(before[field], after[field], "{field}");
    }
}
