//! How fast it is: `cargo test --test stores -- --ignored --nocapture redis::rates`.

use std::time::{Duration, Instant, SystemTime};

use tower_keep::{KeyAdmin, KeyStore, Lookup, RedisReplayStore, RedisStore, ReplayStore};

use super::{record, rules};
use crate::support::redis::shared;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures"]
async fn rates() {
    let place = shared().place();
    let store = RedisStore::builder().rules(rules()).open(place.clone()).await.unwrap();
    let records: Vec<_> = (0..100_000).map(record).collect();
    let ids: Vec<_> = records.iter().map(|record| *record.id()).collect();

    let start = Instant::now();
    assert!(store.insert_all(records).await.unwrap().is_empty());
    println!("insert_all: {:.0} records a second", 100_000.0 / start.elapsed().as_secs_f64());

    let mut times: Vec<_> = Vec::new();
    for id in ids.iter().step_by(20) {
        let start = Instant::now();
        assert!(store.find(&Lookup::Id(*id)).await.unwrap().is_some());
        times.push(start.elapsed());
    }
    times.sort();
    println!("find: {:?} in the median, {:?} at the 99th", times[times.len() / 2], times[times.len() * 99 / 100]);

    let used = RedisReplayStore::open(place).await.unwrap();
    let start = Instant::now();
    let until = SystemTime::now() + Duration::from_secs(60);
    let users = (0..50).map(|user| {
        let used = used.clone();
        tokio::spawn(async move {
            for n in 0..400 {
                assert!(used.first_use(&format!("{user}-{n}"), until).await.unwrap());
            }
        })
    });
    for user in users.collect::<Vec<_>>() {
        user.await.unwrap();
    }
    println!("first_use: {:.0} a second, 50 at once", 20_000.0 / start.elapsed().as_secs_f64());
}
