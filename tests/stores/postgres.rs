//! Keys in PostgreSQL.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tower_keep::{
    AuditAction, KeyAdmin, KeyChange, KeyFilter, KeyStore, Lookup, NewKey, Notice, PostgresStore, StoreError, testing,
};

use crate::support::postgres::{Server, shared};
use crate::support::{eventually, find, id, record, records, rules, told};

const SECOND: Duration = Duration::from_secs(1);

async fn open(url: &str) -> PostgresStore {
    PostgresStore::builder().rules(rules()).open(url).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_is_kept_by_url() {
    testing::key_store_contract(async |rules| {
        Arc::new(PostgresStore::builder().rules(rules).open(&shared().database()).await.unwrap()) as _
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_is_kept_by_a_pool() {
    testing::key_store_contract(async |rules| {
        let pool = sqlx::PgPool::connect(&shared().database()).await.unwrap();
        Arc::new(PostgresStore::builder().rules(rules).open_pool(pool).await.unwrap()) as _
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_told_to_other_nodes() {
    let url = shared().database();
    let (here, there) = (open(&url).await, open(&url).await);
    let issued = here.issue(NewKey::for_owner("o")).await.unwrap();
    let mut notices = there.notices().unwrap();
    told(&mut notices, 5 * SECOND, |notice| matches!(notice, Notice::Connected)).await;

    here.revoke(issued.id()).await.unwrap();

    told(&mut notices, SECOND, |notice| matches!(notice, Notice::Changed(id) if id == issued.id())).await;
    here.insert_all(records(3000)).await.unwrap();
    told(&mut notices, SECOND, |notice| matches!(notice, Notice::AllChanged)).await;
    let found = there.find(&Lookup::Id(*issued.id())).await.unwrap().unwrap();
    assert!(found.revoked_at().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_start_at_once_on_an_empty_database_all_start() {
    let url = shared().database();

    let starts: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn({
                let url = url.clone();
                async move { PostgresStore::open(&url).await }
            })
        })
        .collect();

    for start in starts {
        start.await.unwrap().unwrap();
    }
    open(&url).await.insert(record("k")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_the_server_loses_nothing_and_passes() {
    let server = Server::start();
    let url = server.database();
    let store = open(&url).await;
    store.insert(record("first")).await.unwrap();
    let mut notices = store.notices().unwrap();
    told(&mut notices, 5 * SECOND, |notice| matches!(notice, Notice::Connected)).await;
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            let mut stored = Vec::new();
            for n in 0.. {
                let name = format!("k{n}");
                if store.insert(record(&name)).await.is_err() {
                    break;
                }
                let is_revoked = n % 3 == 0 && store.revoke(&id(&name)).await.is_ok();
                stored.push((name, is_revoked));
            }
            stored
        }
    });
    eventually("some keys are stored", async || find(&store, "k50").await.unwrap().is_some()).await;

    server.kill();

    for _ in 0..12 {
        let asked = Instant::now();
        let answer = find(&store, "first").await;
        assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
        assert!(asked.elapsed() < 3 * SECOND, "{:?}", asked.elapsed());
    }
    told(&mut notices, 5 * SECOND, |notice| matches!(notice, Notice::Disconnected(_))).await;
    let stored = writer.await.unwrap();

    server.run_again();

    eventually("the store answers again", async || find(&store, "first").await.is_ok()).await;
    told(&mut notices, 10 * SECOND, |notice| matches!(notice, Notice::Connected)).await;
    assert!(stored.len() >= 50);
    for (name, is_revoked) in stored {
        let found = find(&store, &name).await.unwrap().unwrap();
        assert!(!is_revoked || found.revoked_at().is_some(), "{name} is still revoked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_or_lets_nobody_in_is_an_error_in_time() {
    let started = Instant::now();
    let nobody = PostgresStore::open("postgres://keep:a-password@127.0.0.1:1/keys").await.unwrap_err();
    let no_database = PostgresStore::open(&shared().url("nowhere")).await.unwrap_err();
    let no_url = PostgresStore::open("mysql://keep:a-password@127.0.0.1/keys").await;

    assert!(matches!(nobody, StoreError::Unavailable { .. }), "{nobody:?}");
    assert!(matches!(no_database, StoreError::Misconfigured { .. }), "{no_database:?}");
    assert!(started.elapsed() < 10 * SECOND);
    for said in [format!("{nobody:?}"), format!("{no_database:?}"), format!("{no_url:?}")] {
        assert!(!said.contains("a-password"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_a_later_version_are_refused() {
    let url = shared().database();
    open(&url).await.close().await.unwrap();
    shared().sql(&url, "UPDATE tower_keep_version SET version = 99");

    let refused = PostgresStore::open(&url).await.unwrap_err();

    assert!(
        matches!(&refused, StoreError::Misconfigured { source } if source.to_string().contains("99")),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_makes_no_sense_is_an_error() {
    let url = shared().database();
    let store = open(&url).await;
    store.insert(record("k")).await.unwrap();

    for wrong in
        ["more = '{'", "more = '{\"x\":1}'", "scopes = '\"'", "digest_tag = 'md5'", "digest = NULL", "expires_at = -1"]
    {
        shared().sql(&url, &format!("UPDATE tower_keep_keys SET {wrong}"));
        let found = find(&store, "k").await;
        assert!(matches!(found, Err(StoreError::Misconfigured { .. })), "{wrong}: {found:?}");
        assert!(store.list(&KeyFilter::default(), None, 10).await.is_err());
    }
    shared().sql(&url, "DROP TABLE tower_keep_keys CASCADE");
    let found = find(&store, "k").await;
    assert!(matches!(found, Err(StoreError::Misconfigured { .. })), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_says_who_and_the_last_use_never_goes_back() {
    let store = open(&shared().database()).await;
    let issued = store.acting_as("alice").issue(NewKey::for_owner("o")).await.unwrap();
    let old = record("old").with_revoked_at(SystemTime::now() - 100 * SECOND);
    store.insert(old).await.unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_durable_where_sessions_are_not() {
    let url = shared().database();
    let name = url.rsplit('/').next().unwrap();
    shared().sql(&url, &format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    let store = open(&url).await;
    // What the transaction commits with is seen by a trigger at its end.
    shared().sql(
        &url,
        "
        CREATE TABLE seen (what text);
        CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER see AFTER INSERT ON tower_keep_audit DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION see();
    ",
    );

    let issued = store.issue(NewKey::for_owner("o")).await.unwrap();
    store.change(issued.id(), KeyChange::Revoke { at: SystemTime::now() }).await.unwrap();
    store.insert_all(records(3)).await.unwrap();

    assert_eq!(shared().sql(&url, "SELECT DISTINCT what FROM seen"), "on");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_keys_are_stored_fast_and_found_by_an_index() {
    let url = shared().database();
    let store = open(&url).await;
    let count = std::env::var("TOWER_KEEP_MANY").ok().and_then(|many| many.parse().ok()).unwrap_or(20_000);

    let started = Instant::now();
    assert_eq!(store.insert_all(records(count)).await.unwrap(), []);
    println!("PostgreSQL: {count} keys in {:?}", started.elapsed());
    crate::support::measure("PostgreSQL", &store, count).await;

    shared().sql(&url, "ANALYZE");
    let by_id = shared().sql(&url, "EXPLAIN SELECT * FROM tower_keep_keys WHERE id = 'k0000007'");
    let by_digest = shared().sql(
        &url,
        "EXPLAIN SELECT * FROM tower_keep_keys
         WHERE id = (SELECT id FROM tower_keep_digests WHERE tag = 'sha256' AND digest = '\\x00')",
    );
    for plan in [by_id, by_digest] {
        assert!(plan.contains("tower_keep_keys_pkey") && !plan.contains("Seq Scan"), "{plan}");
    }
}
