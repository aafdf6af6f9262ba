//! What the tests of stores share.

pub mod postgres;
pub mod redis;

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tower_keep::{
    DigestTag, Found, KeyAdmin, KeyDigest, KeyFormat, KeyHasher, KeyId, KeyRecord, KeyRules, KeyStore, Lookup, Notice,
    Notices,
};

/// How long anything may take at most.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn rules() -> KeyRules {
    KeyRules::new(KeyFormat::new("test").unwrap(), KeyHasher::sha256()).accepting_imported()
}

pub fn id(text: &str) -> KeyId {
    KeyId::new(text).unwrap()
}

pub fn record(text: &str) -> KeyRecord {
    KeyRecord::new(id(text), "billing", KeyDigest::new(DigestTag::SHA256, [7; 32]))
}

/// Records with digests of their own, every other one of which is indexed.
pub fn records(count: u32) -> Vec<KeyRecord> {
    let of = |n: u32| {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        let record = KeyRecord::new(id(&format!("k{n:07}")), "billing", KeyDigest::new(DigestTag::SHA256, bytes));
        if n % 2 == 0 { record.imported() } else { record }
    };
    (0..count).map(of).collect()
}

pub async fn find(store: &impl KeyStore, text: &str) -> Found {
    store.find(&Lookup::Id(id(text))).await
}

/// Asks until the answer is yes.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !ask().await {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Reads notices until there is one that was waited for.
pub async fn told(notices: &mut Notices, within: Duration, is: impl Fn(&Notice) -> bool) {
    let wait = async {
        loop {
            let notice = notices.next().await.expect("the store is there");
            if is(&notice) {
                return;
            }
        }
    };
    timeout(within, wait).await.expect("the notice comes in time");
}

/// Says how long single things take.
pub async fn measure(name: &str, store: &impl KeyAdmin, count: u32) {
    let mut times = Vec::new();
    for n in (0..count).step_by((count / 1000).max(1) as usize) {
        let started = Instant::now();
        assert!(find(store, &format!("k{n:07}")).await.unwrap().is_some());
        times.push(started.elapsed());
    }
    times.sort();
    let started = Instant::now();
    for n in 0..200 {
        store.insert(record(&format!("one-{n}"))).await.unwrap();
    }
    println!("{name}: a look-up {:?} (median), an insertion {:?}", times[times.len() / 2], started.elapsed() / 200);
}
