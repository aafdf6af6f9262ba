//! Keys in a file: how it is read when it changes, and how it is changed.

mod changes;
mod contents;
mod writing;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tower_keep::{FileStore, KeyId, KeyRecord, KeyStore, Lookup, testing};

/// More than a change may ever take, so that a machine that is busy fails no test.
const PATIENCE: Duration = Duration::from_secs(10);

/// A folder that ends with the test, and the path of a file in it.
fn place(name: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    (folder, path)
}

/// A file with keys of these ids.
fn keys(ids: &[&str]) -> String {
    let key = |id| format!("[[keys]]\nid = \"{id}\"\nowner = \"o\"\ndigest = \"sha256:{}\"\n", "ab".repeat(32));
    match ids {
        [] => "keys = []\n".to_owned(),
        ids => ids.iter().map(key).collect(),
    }
}

fn id(text: &str) -> KeyId {
    KeyId::new(text).unwrap()
}

fn find(store: &impl KeyStore, name: &str) -> Option<Arc<KeyRecord>> {
    store.find(&Lookup::Id(id(name))).now().expect("a file answers at once").unwrap()
}

/// Writes a file beside, and renames it.
fn replace(path: &Path, text: impl AsRef<[u8]>) {
    let beside = path.with_extension("part");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

/// Waits until something is so, and returns how long it took.
fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_keeps_the_promises_of_a_store() {
    for name in ["keys.toml", "keys.json"] {
        let folder = tempfile::tempdir().unwrap();
        let opened = std::sync::atomic::AtomicUsize::new(0);

        testing::key_store_contract(async |rules| {
            let number = opened.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let path = folder.path().join(format!("{number}-{name}"));
            Arc::new(FileStore::builder().rules(rules).create_if_missing().open(path).unwrap()) as _
        })
        .await;
    }
}
