//! What every store of used ids has to do.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::TestClock;
use crate::{Clock, ReplayStore};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Checks that a store of used ids keeps the promises of [`ReplayStore`], those of the stores of this crate. `open` makes an empty
/// store that asks the clock that it is given; it is called several times, and the stores must not share anything.
///
/// ```
/// use std::sync::Arc;
/// use tower_keep::{MemoryReplayStore, testing};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// testing::replay_store_contract(async |clock| Arc::new(MemoryReplayStore::new().with_clock(clock)) as _).await;
/// # }
/// ```
///
/// # Panics
///
/// If the store breaks a promise; the message says which.
pub async fn replay_store_contract<F>(open: F)
where
    F: AsyncFn(TestClock) -> Arc<dyn ReplayStore>,
{
    let clock = TestClock::at(SystemTime::now());
    let subject = async || Subject { store: open(clock.clone()).await, clock: clock.clone() };

    subject().await.tells_the_first_use_once().await;
    subject().await.tells_one_of_many_at_once().await;
    subject().await.remembers_until_the_time().await;
    subject().await.lets_nothing_pass_whose_time_is_over().await;
}

struct Subject {
    store: Arc<dyn ReplayStore>,
    clock: TestClock,
}

impl Subject {
    async fn tells_the_first_use_once(&self) {
        let until = self.clock.now() + HOUR;
        let long = "a".repeat(10_000);
        for id in ["a", "A", "b:c", "b", "", "\u{e9} \n*", &long, &long[1..]] {
            assert!(self.first_use(id, until).await, "the first use of an id is one");
            assert!(!self.first_use(id, until).await, "the second is not");
            assert!(!self.first_use(id, until + HOUR).await, "whatever its time");
        }
    }

    async fn tells_one_of_many_at_once(&self) {
        let until = self.clock.now() + HOUR;
        let uses: Vec<_> = (0..50)
            .map(|_| {
                let store = Arc::clone(&self.store);
                tokio::spawn(async move { store.first_use("contested", until).await })
            })
            .collect();
        let mut first = 0;
        for once in uses {
            first += usize::from(matches!(once.await, Ok(Ok(true))));
        }
        assert_eq!(first, 1, "of fifty uses at once, one is the first");
    }

    async fn remembers_until_the_time(&self) {
        let until = self.clock.now() + HOUR;
        assert!(self.first_use("a", until).await, "the first use of an id is one");
        self.clock.advance(HOUR - SECOND);
        assert!(!self.first_use("a", until).await, "it is remembered until its time");
    }

    async fn lets_nothing_pass_whose_time_is_over(&self) {
        let now = self.clock.now();
        for until in [now, now - SECOND, SystemTime::UNIX_EPOCH] {
            assert!(!self.first_use("a", until).await, "what is over has no first use");
        }
        assert!(self.first_use("a", now + HOUR).await, "and takes none away");
    }

    async fn first_use(&self, id: &str, until: SystemTime) -> bool {
        match self.store.first_use(id, until).await {
            Ok(first) => first,
            Err(error) => panic!("first_use: {error:?}"),
        }
    }
}
