//! What every store of API keys has to do.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;

use super::TestClock;
use crate::api_key::Superseded;
use crate::{
    AdminError, AuditAction, BoxFuture, DigestTag, KeyAdmin, KeyChange, KeyDigest, KeyFilter, KeyFormat, KeyHasher,
    KeyId, KeyRecord, KeyRules, Lookup, NewKey, Notice, RateLimit, Secret,
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
/// How long a notice may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Checks that a store of API keys keeps the promises of [`KeyStore`](crate::KeyStore) and [`KeyAdmin`], those of the stores
/// of this crate. `open` makes an empty store with the rules that it is given; it is called several times, and the stores
/// must not share anything.
///
/// ```
/// use std::sync::Arc;
/// use tower_keep::{MemoryStore, testing};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// testing::key_store_contract(async |rules| Arc::new(MemoryStore::with(rules)) as _).await;
/// # }
/// ```
///
/// # Panics
///
/// If the store breaks a promise; the message says which.
pub async fn key_store_contract<F>(open: F)
where
    F: AsyncFn(KeyRules) -> Arc<dyn KeyAdmin>,
{
    let clock = TestClock::at(whole_seconds(SystemTime::now()));
    let hasher = KeyHasher::peppered("new", [7; 32]).and_then(|new| new.also_accepting(&KeyHasher::sha256()));
    let hasher = must(hasher.and_then(KeyHasher::also_accepting_bare_sha256), "a hasher");
    let format = must(KeyFormat::new("contract"), "a format");
    let rules = KeyRules::new(format, hasher).with_clock(clock.clone()).accepting_imported();
    let subject = async || Subject { store: open(rules.clone()).await, rules: rules.clone(), clock: clock.clone() };

    subject().await.carries_its_rules();
    subject().await.returns_what_was_stored().await;
    subject().await.finds_imported_keys_by_their_digest_alone().await;
    subject().await.keeps_one_record_for_an_id_and_a_digest().await;
    subject().await.revokes_for_good().await;
    subject().await.rotates_with_overlap().await;
    subject().await.gives_nothing_new_to_what_has_ended().await;
    subject().await.rehashes_what_is_there().await;
    subject().await.lists_in_order_and_page_by_page().await;
    subject().await.stores_many_at_once().await;
    subject().await.loses_no_change_of_two_at_once().await;
    subject().await.sweeps_what_ended_long_ago_and_nothing_else().await;
    subject().await.never_goes_back_in_when_a_key_was_used().await;
    subject().await.tells_of_changes_if_it_tells_at_all().await;
    subject().await.keeps_an_audit_if_it_keeps_one_at_all().await;
}

/// A store under test.
struct Subject {
    store: Arc<dyn KeyAdmin>,
    rules: KeyRules,
    clock: TestClock,
}

impl Subject {
    fn now(&self) -> SystemTime {
        self.rules.now()
    }

    fn carries_its_rules(&self) {
        let rules = self.store.rules();
        let same = rules.format() == self.rules.format() && rules.accepts_imported() && rules.now() == self.now();
        assert!(same && rules.hasher().tags().eq(self.rules.hasher().tags()), "rules() are those it was opened with");
    }

    async fn returns_what_was_stored(&self) {
        let (now, until) = (self.now(), self.now() + HOUR);
        let rich = KeyRecord::new(id("rich-1_a.b"), "Zoë & Söhne, \"billing\" 'x'; -- \u{1f511}", digest(1))
            .with_scopes(must("orders:read orders:write".try_into(), "scopes"))
            .with_created_at(now)
            .with_not_before(now - HOUR)
            .with_expires_at(until)
            .with_label("issued by", "Alice\n\t\\")
            .with_label("empty", "")
            .with_rate(must(RateLimit::new(100, 60 * SECOND), "a rate"))
            .with_superseded(Superseded::new(digest(2), until - SECOND, false))
            .with_superseded(Superseded::new(digest(3), until - 2 * SECOND, true));
        let rich = must(rich.with_networks(["10.0.0.0/8", "2001:db8::1"]), "networks").imported();
        let plain = KeyRecord::new(id("plain"), "o", digest(4));
        let slow = KeyRecord::with_slow_hash(id("slow"), "o", "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA").imported();

        for record in [&rich, &plain, &slow] {
            must(self.store.insert(record.clone()).await, "insert");
        }

        for record in [&rich, &plain, &slow] {
            let found = self.found(record.id()).await;
            assert!(is_same(&found, record), "what was stored comes back: {record:?}, not {found:?}");
        }
        assert!(self.find(Lookup::Id(id("nobody"))).await.is_none(), "there is no record of an id that was not stored");
        assert!(self.find(Lookup::Id(id("PLAIN"))).await.is_none(), "ids are told apart by case");
    }

    async fn finds_imported_keys_by_their_digest_alone(&self) {
        let key = Secret::new("an-old-key-of-some-other-system".to_owned());
        let imported = must(self.store.import(&key, NewKey::for_owner("o")).await, "import");
        let issued = must(self.store.issue(NewKey::for_owner("o")).await, "issue");
        let bare = KeyDigest::new(DigestTag::SHA256_BARE, *digest(5).as_bytes());
        let record = must(self.rules.import_digest(bare, NewKey::for_owner("o")), "a record of a digest");
        must(self.store.insert(record.clone()).await, "insert");

        let by = async |digest: &KeyDigest| self.find(Lookup::Digest(*digest)).await.map(|found| *found.id());
        let other = KeyDigest::new(DigestTag::SHA256, *imported.digest().as_bytes());
        assert_eq!(by(imported.digest()).await, Some(*imported.id()), "an imported key is found by its digest");
        assert_eq!(by(&bare).await, Some(*record.id()), "so is one of which only a digest was known");
        assert_eq!(by(issued.record().digest()).await, None, "a key of one's own form is not found by its digest");
        assert_eq!(by(&other).await, None, "the same bytes under another tag are another digest");
    }

    async fn keeps_one_record_for_an_id_and_a_digest(&self) {
        let first = KeyRecord::new(id("first"), "a", digest(1)).imported();
        must(self.store.insert(first.clone()).await, "insert");

        let same_id = self.store.insert(KeyRecord::new(id("first"), "b", digest(2))).await;
        let same_digest = self.store.insert(KeyRecord::new(id("second"), "b", digest(1)).imported()).await;
        let as_own = self.store.insert(KeyRecord::new(id("third"), "b", digest(1))).await;

        assert!(matches!(same_id, Err(AdminError::AlreadyExists)), "an id is taken once: {same_id:?}");
        assert!(matches!(same_digest, Err(AdminError::AlreadyExists)), "so is an indexed digest: {same_digest:?}");
        must(as_own, "a digest that is not indexed takes nobody's place");
        assert!(is_same(&*self.found(first.id()).await, &first), "who came first stays");
        assert!(self.find(Lookup::Id(id("second"))).await.is_none(), "nothing is left of what was refused");

        let insertions = (10..20).map(|n| {
            let store = Arc::clone(&self.store);
            async move { store.insert(KeyRecord::new(id("contested"), "o", digest(n))).await }
        });
        let outcomes = at_once(insertions).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "of ten at once, one is stored");
    }

    async fn revokes_for_good(&self) {
        let issued = must(self.store.issue(NewKey::for_owner("o")).await, "issue");

        let revoked = must(self.store.revoke(issued.id()).await, "revoke");
        let at = revoked.revoked_at();
        self.clock.advance(HOUR);
        let again = must(self.store.revoke(issued.id()).await, "revoke once more");

        assert!(at.is_some(), "the record of a revoked key says when");
        assert_eq!(again.revoked_at(), at, "revoking once more changes nothing");
        assert_eq!(self.found(issued.id()).await.revoked_at(), at, "a revoked key is found, as such");
        let unknown = self.store.revoke(&id("nobody")).await;
        assert!(matches!(unknown, Err(AdminError::NotFound)), "there is nothing to revoke: {unknown:?}");
    }

    async fn rotates_with_overlap(&self) {
        let key = Secret::new("an-old-key-of-some-other-system".to_owned());
        let imported = KeyRecord::new(id("0123456789ab"), "o", self.rules.hasher().digest(key.expose())).imported();
        must(self.store.insert(imported.clone()).await, "insert");

        let newer = must(self.store.rotate(imported.id(), HOUR).await, "rotate");

        assert_eq!(newer.id(), imported.id(), "the id stays");
        let found = self.found(newer.id()).await;
        assert!(found.digest().matches(newer.record().digest()), "the new secret is the present one");
        assert!(!found.is_imported(), "and of the store's own form");
        assert_eq!(found.superseded().len(), 1, "the one before goes on working");
        assert_eq!(found.superseded()[0].until(), self.now() + HOUR, "for the time that was asked");
        let by_digest = self.find(Lookup::Digest(*imported.digest())).await;
        assert!(by_digest.is_some(), "an imported secret is found by its digest while it works");

        self.clock.advance(2 * HOUR);
        let third = must(self.store.rotate(imported.id(), HOUR).await, "rotate");
        assert_eq!(third.record().superseded().len(), 1, "secrets that have stopped working are dropped");
        let by_digest = self.find(Lookup::Digest(*imported.digest())).await;
        assert!(by_digest.is_none(), "and no longer found");
        let taken = self.store.insert(KeyRecord::new(id("next"), "o", *imported.digest()).imported()).await;
        must(taken, "their digests are free");
    }

    async fn gives_nothing_new_to_what_has_ended(&self) {
        let revoked = must(self.store.issue(NewKey::for_owner("o")).await, "issue");
        must(self.store.revoke(revoked.id()).await, "revoke");
        let expiring = NewKey::for_owner("o").expires_at(self.now() + HOUR);
        let expired = must(self.store.issue(expiring).await, "issue");
        self.clock.advance(2 * HOUR);

        for id in [revoked.id(), expired.id()] {
            let rotated = self.store.rotate(id, HOUR).await;
            assert!(matches!(rotated, Err(AdminError::Ended)), "it has ended: {rotated:?}");
        }
        let unknown = self.store.rotate(&id("nobody000000"), HOUR).await;
        assert!(matches!(unknown, Err(AdminError::NotFound)), "there is nothing to rotate: {unknown:?}");
    }

    async fn rehashes_what_is_there(&self) {
        let record = KeyRecord::new(id("k"), "o", digest(1)).imported();
        let slow = KeyRecord::with_slow_hash(id("s"), "o", "$2b$04$abc").imported();
        must(self.store.insert(record.clone()).await, "insert");
        must(self.store.insert(slow.clone()).await, "insert");
        let change =
            async |id: &KeyId, from, to| must(self.store.change(id, KeyChange::Rehash { from, to }).await, "rehash");

        change(record.id(), digest(1), digest(2)).await;
        change(record.id(), digest(1), digest(3)).await;
        change(slow.id(), *slow.digest(), digest(4)).await;
        change(slow.id(), *slow.digest(), digest(5)).await;

        let by = async |n| self.find(Lookup::Digest(digest(n))).await.map(|found| *found.id());
        assert_eq!(by(2).await, Some(*record.id()), "the key is found by the new digest");
        assert_eq!(by(1).await, None, "and not by the old one");
        assert_eq!(by(3).await, None, "what is not there any more is not rehashed");
        assert_eq!(by(4).await, Some(*slow.id()), "a digest takes the place of a slow hash");
        assert_eq!(by(5).await, None, "once");
        assert_eq!(self.found(slow.id()).await.slow_hash(), None, "and the slow hash is gone");
    }

    async fn lists_in_order_and_page_by_page(&self) {
        let names = ["Z", "a", "-", "b.c", "_", "0", "aa", "B"];
        for (n, name) in names.iter().enumerate() {
            let record = KeyRecord::new(id(name), if n % 2 == 0 { "even" } else { "odd" }, digest(n as u8));
            let record = if n == 3 { record.with_expires_at(self.now() - SECOND) } else { record };
            must(self.store.insert(record.with_label("n", n.to_string())).await, "insert");
        }
        let mut sorted = names.map(id);
        sorted.sort();

        for limit in [1, 3, 8, 100] {
            let mut listed = Vec::new();
            let mut after = None;
            loop {
                let page = must(self.store.list(&KeyFilter::default(), after.as_ref(), limit).await, "list");
                assert!(page.records.len() <= limit, "a page holds {limit} records at most");
                listed.extend(page.records.iter().map(|record| *record.id()));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            // A key that has expired may be gone by itself.
            let all = sorted.iter().filter(|name| listed.contains(name) || name.as_str() != "b.c");
            assert!(listed.iter().eq(all), "all are listed once, in the order of bytes: {listed:?}");
        }
        let count = async |filter: KeyFilter| must(self.store.list(&filter, None, 100).await, "list").records.len();
        assert_eq!(count(KeyFilter::default().owner("even")).await, 4, "an owner has some of them");
        assert_eq!(count(KeyFilter::default().label("n", "4")).await, 1, "a label is on one");
        assert_eq!(count(KeyFilter::default().good_at(self.now())).await, 7, "one has expired");
        assert_eq!(count(KeyFilter::default().owner("eve")).await, 0, "an owner is meant as a whole");
    }

    async fn stores_many_at_once(&self) {
        must(self.store.insert(KeyRecord::new(id("k5"), "first", digest(5)).imported()).await, "insert");
        let mut many: Vec<_> =
            (0..50).map(|n| KeyRecord::new(id(&format!("k{n}")), "o", digest(n)).imported()).collect();
        many.push(KeyRecord::new(id("other"), "o", digest(7)).imported());

        let known = must(self.store.insert_all(many).await, "insert_all");

        assert_eq!(known, [id("k5"), id("other")], "those that are there are left out, and named");
        assert_eq!(self.found(&id("k5")).await.owner(), "first", "who came first stays");
        let page = must(self.store.list(&KeyFilter::default(), None, 100).await, "list");
        assert_eq!(page.records.len(), 50, "all others are stored");
        assert!(self.find(Lookup::Digest(digest(49))).await.is_some(), "and found");
        assert_eq!(must(self.store.insert_all(Vec::new()).await, "insert_all"), [], "nothing is nothing");
    }

    async fn loses_no_change_of_two_at_once(&self) {
        let issued = must(self.store.issue(NewKey::for_owner("o")).await, "issue");
        let rotations = (0..10).map(|_| {
            let (store, id) = (Arc::clone(&self.store), *issued.id());
            async move { store.rotate(&id, HOUR).await }
        });

        for outcome in at_once(rotations).await {
            must(outcome, "each of ten rotations at once is made");
        }

        assert_eq!(self.found(issued.id()).await.superseded().len(), 10, "and none of them is lost");

        let revocation = {
            let (store, id) = (Arc::clone(&self.store), *issued.id());
            async move { store.revoke(&id).await.map(drop) }
        };
        let rotations = (0..5).map(|_| {
            let (store, id) = (Arc::clone(&self.store), *issued.id());
            async move { store.rotate(&id, HOUR).await.map(drop) }
        });
        let all: Vec<BoxFuture<Result<(), AdminError>>> =
            rotations.map(|rotation| Box::pin(rotation) as _).chain([Box::pin(revocation) as _]).collect();
        at_once(all).await;
        assert!(self.found(issued.id()).await.revoked_at().is_some(), "no rotation undoes a revocation");
    }

    async fn sweeps_what_ended_long_ago_and_nothing_else(&self) {
        let now = self.now();
        let old = KeyRecord::new(id("old"), "o", digest(1)).imported().with_revoked_at(now - 2 * HOUR);
        let expired = KeyRecord::new(id("expired"), "o", digest(2)).with_expires_at(now - 2 * HOUR);
        let recent = KeyRecord::new(id("recent"), "o", digest(3)).with_revoked_at(now - SECOND);
        let good = KeyRecord::new(id("good"), "o", digest(4)).with_expires_at(now + HOUR);
        for record in [&old, &expired, &recent, &good] {
            must(self.store.insert(record.clone()).await, "insert");
        }

        let swept = must(self.store.sweep(now - HOUR).await, "sweep");

        assert!(swept <= 2, "two have ended long ago, not {swept}");
        for record in [&recent, &good] {
            assert!(self.find(Lookup::Id(*record.id())).await.is_some(), "{} stays", record.id());
        }
        if swept == 2 {
            assert!(self.find(Lookup::Id(*old.id())).await.is_none(), "what was swept is gone");
            assert!(self.find(Lookup::Digest(digest(1))).await.is_none(), "and not found by its digest");
            must(self.store.insert(old.clone()).await, "its id and digest are free");
        }
    }

    async fn never_goes_back_in_when_a_key_was_used(&self) {
        let issued = must(self.store.issue(NewKey::for_owner("o")).await, "issue");
        let later = self.now() + HOUR;

        self.store.seen(issued.id(), later);
        must(self.store.flush().await, "flush");
        self.store.seen(issued.id(), self.now());
        self.store.seen(&id("nobody"), self.now());
        must(self.store.flush().await, "flush");

        let used = self.found(issued.id()).await.last_used_at();
        assert!(used.is_none() || used == Some(later), "the latest use counts, not {used:?}");
        assert!(self.find(Lookup::Id(id("nobody"))).await.is_none(), "and makes no record");
    }

    async fn tells_of_changes_if_it_tells_at_all(&self) {
        let Some(mut notices) = self.store.notices() else { return };
        let mut next = async |what: &str| match timeout(PATIENCE, notices.next()).await {
            Ok(Some(notice)) => notice,
            other => panic!("{what}: {other:?}"),
        };
        let first = next("a store that tells says when it starts").await;
        assert!(matches!(first, Notice::Connected), "the first notice says that there will be others: {first:?}");
        let issued = must(self.store.issue(NewKey::for_owner("o")).await, "issue");
        let mut until_told = async |what: &str| loop {
            match next(what).await {
                Notice::Changed(id) if id == *issued.id() => return,
                Notice::AllChanged => return,
                _ => {}
            }
        };

        until_told("a new key is told").await;
        must(self.store.rotate(issued.id(), HOUR).await, "rotate");
        until_told("a rotation is told").await;
        must(self.store.revoke(issued.id()).await, "revoke");
        until_told("a revocation is told").await;
    }

    async fn keeps_an_audit_if_it_keeps_one_at_all(&self) {
        let issued = must(self.store.issue(NewKey::for_owner("o")).await, "issue");
        let other = must(self.store.issue(NewKey::for_owner("o")).await, "issue");
        must(self.store.rotate(issued.id(), HOUR).await, "rotate");
        must(self.store.revoke(issued.id()).await, "revoke");
        must(self.store.revoke(issued.id()).await, "revoke once more");

        let entries = match self.store.audit(Some(issued.id()), None, 100).await {
            Err(AdminError::Unsupported) => return,
            entries => must(entries, "audit"),
        };

        let actions: Vec<_> = entries.iter().map(|entry| entry.action).collect();
        let expected = [AuditAction::Revoked, AuditAction::Rotated, AuditAction::Issued];
        assert_eq!(actions, expected, "each change is there once, the latest first");
        assert!(entries.iter().all(|entry| entry.at == self.now()), "with the time");
        let before = must(self.store.audit(None, Some(entries[1].number), 1).await, "audit");
        assert_eq!(before.len(), 1, "a limit holds");
        assert_eq!(before[0].key, *other.id(), "and a page starts before a number");
    }

    async fn find(&self, by: Lookup) -> Option<Arc<KeyRecord>> {
        must(self.store.find(&by).await, "find")
    }

    async fn found(&self, id: &KeyId) -> Arc<KeyRecord> {
        match self.find(Lookup::Id(*id)).await {
            Some(record) => record,
            None => panic!("{id} is found by its id"),
        }
    }
}

fn whole_seconds(when: SystemTime) -> SystemTime {
    let since = when.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

fn id(text: &str) -> KeyId {
    must(KeyId::new(text), "an id")
}

fn digest(n: u8) -> KeyDigest {
    KeyDigest::new(DigestTag::SHA256, [n; 32])
}

/// Compares all that a record holds.
fn is_same(left: &KeyRecord, right: &KeyRecord) -> bool {
    let times = |record: &KeyRecord| {
        [record.created_at(), record.not_before(), record.expires_at(), record.revoked_at(), record.last_used_at()]
    };
    left.id() == right.id()
        && left.owner() == right.owner()
        && left.scopes().iter().eq(right.scopes().iter())
        && left.digest().matches(right.digest())
        && left.slow_hash() == right.slow_hash()
        && left.is_imported() == right.is_imported()
        && times(left) == times(right)
        && left.rate() == right.rate()
        && left.networks().eq(right.networks())
        && left.labels().eq(right.labels())
        && left.superseded().len() == right.superseded().len()
        && left.superseded().iter().zip(right.superseded()).all(|(left, right)| {
            left.digest().matches(right.digest())
                && left.until() == right.until()
                && left.is_imported() == right.is_imported()
        })
}

/// Runs futures at the same time, on threads of their own where there are some.
async fn at_once<F>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let tasks: Vec<_> = futures.into_iter().map(tokio::spawn).collect();
    let mut outcomes = Vec::with_capacity(tasks.len());
    for task in tasks {
        outcomes.push(must(task.await, "a task"));
    }
    outcomes
}

/// Takes a value, or says what a store should have done.
#[track_caller]
fn must<T, E: std::fmt::Debug>(outcome: Result<T, E>, what: &str) -> T {
    match outcome {
        Ok(value) => value,
        Err(error) => panic!("{what}: {error:?}"),
    }
}
