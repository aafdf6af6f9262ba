//! Keys in SQLite.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;
use tower_keep::{
    AuditAction, Durability, KeyAdmin, KeyFilter, KeyStore, Lookup, NewKey, Notice, SqliteStore, StoreError, testing,
};

use crate::support::{find, measure, record, records, rules, told};

const SECOND: Duration = Duration::from_secs(1);
/// Set for a process that a test starts: the file in which it is to store keys.
const CHILD: &str = "TOWER_KEEP_TEST_CHILD";

fn place(folder: &TempDir) -> String {
    folder.path().join("keys.db").to_str().unwrap().to_owned()
}

async fn open(place: &str) -> SqliteStore {
    SqliteStore::builder().rules(rules()).open(place).await.unwrap()
}

/// Does something to the file, as another program would.
async fn sql(place: &str, sql: &str) -> Vec<String> {
    use sqlx::Connection;
    let mut db = sqlx::SqliteConnection::connect(&format!("sqlite:{place}")).await.unwrap();
    let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&mut db).await.unwrap();
    db.close().await.unwrap();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_is_kept_in_a_file() {
    let folder = TempDir::new().unwrap();
    let count = std::cell::Cell::new(0);
    testing::key_store_contract(async |rules| {
        count.set(count.get() + 1);
        let place = format!("sqlite:{}/{}.db", folder.path().display(), count.get());
        Arc::new(SqliteStore::builder().rules(rules).open(&place).await.unwrap()) as _
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_is_kept_in_memory() {
    testing::key_store_contract(async |rules| {
        Arc::new(SqliteStore::builder().rules(rules).in_memory().await.unwrap()) as _
    })
    .await;
    assert_eq!(SqliteStore::open("sqlite::memory:").await.unwrap().durability(), Durability::Volatile);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_others_are_told() {
    let folder = TempDir::new().unwrap();
    let (here, there) = (open(&place(&folder)).await, open(&place(&folder)).await);
    let issued = here.issue(NewKey::for_owner("o")).await.unwrap();
    let mut notices = there.notices().unwrap();
    told(&mut notices, SECOND, |notice| matches!(notice, Notice::Connected)).await;

    here.revoke(issued.id()).await.unwrap();
    told(&mut notices, SECOND, |notice| matches!(notice, Notice::Changed(id) if id == issued.id())).await;
    here.insert_all(records(2000)).await.unwrap();
    told(&mut notices, SECOND, |notice| matches!(notice, Notice::AllChanged)).await;
    sql(&place(&folder), "UPDATE tower_keep_keys SET owner = 'by hand' WHERE id = 'k0000001'").await;
    told(&mut notices, SECOND, |notice| matches!(notice, Notice::AllChanged)).await;

    drop(there);
    while notices.next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_start_at_once_on_a_new_file_all_start() {
    let folder = TempDir::new().unwrap();

    let starts: Vec<_> = (0..4)
        .map(|_| {
            let place = place(&folder);
            tokio::spawn(async move { SqliteStore::open(&place).await })
        })
        .collect();

    for start in starts {
        start.await.unwrap().unwrap();
    }
    open(&place(&folder)).await.insert(record("k")).await.unwrap();
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let store = open(&place(&folder)).await;
    store.insert(record("k")).await.unwrap();

    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(Result::unwrap).collect();

    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_opened_is_an_error_that_says_why() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("text"), "no database ".repeat(1000)).unwrap();
    let whole = open(&at("cut")).await;
    whole.insert_all(records(5000)).await.unwrap();
    whole.close().await.unwrap();
    let length = fs::metadata(at("cut")).unwrap().len();
    let later = open(&at("later")).await;
    later.close().await.unwrap();
    sql(&at("later"), "UPDATE tower_keep_version SET version = 99").await;

    let is_wrong = async |place: String, why: &str| {
        let error = SqliteStore::open(&place).await.unwrap_err();
        let StoreError::Misconfigured { source } = &error else { panic!("{place}: {error:?}") };
        assert!(source.to_string().contains(why), "{place}: {source}");
    };
    is_wrong(at("text"), "not a database").await;
    is_wrong(at("later"), "99").await;
    is_wrong(at("no/such/folder"), "cannot be made").await;
    is_wrong(folder.path().to_str().unwrap().to_owned(), "unable to open").await;
    is_wrong("/proc/keys.db".to_owned(), "cannot be made").await;

    for part in [100, length / 2, length - 4096] {
        cut(&at("cut"), &at("damaged"), part);
        let found = match SqliteStore::open(&at("damaged")).await {
            Ok(store) => store.list(&KeyFilter::default(), None, 10_000).await.map(drop).map_err(|e| format!("{e:?}")),
            Err(error) => Err(format!("{error:?}")),
        };
        assert!(found.as_ref().is_err_and(|error| error.contains("Misconfigured")), "{part}: {found:?}");
    }
}

fn cut(from: &str, to: &str, length: u64) {
    fs::copy(from, to).unwrap();
    for beside in ["-wal", "-shm"] {
        let _none = fs::remove_file(format!("{to}{beside}"));
    }
    OpenOptions::new().write(true).open(to).unwrap().set_len(length).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_makes_no_sense_is_an_error() {
    let folder = TempDir::new().unwrap();
    let store = open(&place(&folder)).await;
    store.insert(record("k")).await.unwrap();

    for wrong in
        ["more = '{'", "scopes = '\"'", "digest_tag = 'md5'", "digest = NULL", "digest = x'00'", "expires_at = -1"]
    {
        sql(&place(&folder), &format!("UPDATE tower_keep_keys SET {wrong}")).await;
        let found = find(&store, "k").await;
        assert!(matches!(found, Err(StoreError::Misconfigured { .. })), "{wrong}: {found:?}");
        assert!(store.list(&KeyFilter::default(), None, 10).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_says_who_and_the_last_use_never_goes_back() {
    let folder = TempDir::new().unwrap();
    let store = open(&place(&folder)).await;
    let issued = store.acting_as("alice").issue(NewKey::for_owner("o")).await.unwrap();
    store.insert(record("old").with_revoked_at(SystemTime::now() - 100 * SECOND)).await.unwrap();
    let later = issued.record().created_at().unwrap() + 3600 * SECOND;

    store.seen(issued.id(), later);
    store.flush().await.unwrap();
    store.seen(issued.id(), later - SECOND);
    store.flush().await.unwrap();
    store.acting_as("bob").revoke(issued.id()).await.unwrap();
    let swept = store.acting_as("carol").sweep(SystemTime::now() - 50 * SECOND).await.unwrap();

    let found = store.find(&Lookup::Id(*issued.id())).await.unwrap().unwrap();
    assert_eq!(found.last_used_at(), Some(later));
    let entries = store.audit(None, None, 10).await.unwrap();
    let said: Vec<_> = entries.iter().map(|entry| (entry.action, entry.actor.as_deref())).collect();
    let expected = [
        (AuditAction::Swept, Some("carol")),
        (AuditAction::Revoked, Some("bob")),
        (AuditAction::Issued, None),
        (AuditAction::Issued, Some("alice")),
    ];
    assert_eq!((swept, &*said), (1, &expected[..]));
}

/// What the process does that [`a_crash_loses_no_key_that_was_confirmed`] kills.
#[tokio::test]
#[ignore = "is started by another test"]
async fn a_child_stores_keys() {
    let Ok(place) = std::env::var(CHILD) else { return };
    let store = open(&place).await;
    for n in 0..10_000 {
        store.insert(record(&format!("k{n}"))).await.unwrap();
        println!("\nstored k{n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loses_no_key_that_was_confirmed() {
    let folder = TempDir::new().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "sqlite::a_child_stores_keys", "--ignored", "--nocapture"]);
    let mut child = child.env(CHILD, place(&folder)).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut stored = lines.filter_map(|line| line.strip_prefix("stored ").map(str::to_owned));

    let mut confirmed: Vec<_> = stored.by_ref().take(1500).collect();
    child.kill().unwrap();
    confirmed.extend(stored);
    child.wait().unwrap();

    assert!((1500..10_000).contains(&confirmed.len()), "{}", confirmed.len());
    let store = open(&place(&folder)).await;
    for name in confirmed {
        assert!(find(&store, &name).await.unwrap().is_some(), "{name}");
    }
    assert_eq!(sql(&place(&folder), "PRAGMA integrity_check").await, ["ok"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_keys_are_stored_fast() {
    let folder = TempDir::new().unwrap();
    let store = open(&place(&folder)).await;
    let count = std::env::var("TOWER_KEEP_MANY").ok().and_then(|many| many.parse().ok()).unwrap_or(20_000);

    let started = Instant::now();
    assert_eq!(store.insert_all(records(count)).await.unwrap(), []);
    println!("SQLite: {count} keys in {:?}", started.elapsed());
    measure("SQLite", &store, count).await;
}
