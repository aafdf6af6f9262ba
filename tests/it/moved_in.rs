//! Keys that another system made, with what it kept of them: SHA-256, argon2, bcrypt.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, StatusCode};
use tokio::time::timeout;
use tower_keep::{
    Answer, ApiKey, ApiKeyLayer, Cached, DigestTag, Found, KeyAdmin, KeyDigest, KeyHasher, KeyId, KeyRecord, KeyRules,
    KeyStore, Lookup, MemoryStore, NewKey, RequireHttps, Secret, SlowHashes, mark_plain,
};

use crate::support::{TestClock, at, get, rules, send, status, with};

const KEY: &str = "app1.an-old-key-with-a-long-secret";

fn moved_in() -> KeyRules {
    let hasher = KeyHasher::peppered("p1", [7; 32]).unwrap().also_accepting_bare_sha256().unwrap();
    rules(&TestClock::new()).with_hasher(hasher).accepting_imported()
}

fn asking(key: &str) -> Request<String> {
    with(get("/"), "x-api-key", key)
}

/// As `printf %s <key> | sha256sum` does.
fn sha256(key: &str) -> KeyDigest {
    use aws_lc_rs::digest::{SHA256, digest};
    KeyDigest::new(DigestTag::SHA256_BARE, digest(&SHA256, key.as_bytes()).as_ref().try_into().unwrap())
}

fn argon2(key: &str) -> String {
    use argon2::password_hash::{PasswordHasher, SaltString};
    let cheap = argon2::Params::new(argon2::Params::MIN_M_COST, 1, 1, None).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, cheap);
    let salt = SaltString::from_b64("c29tZXNhbHRzb21lc2FsdA").unwrap();
    argon2.hash_password(key.as_bytes(), &salt).unwrap().to_string()
}

fn verify(key: &str, hash: &str) -> bool {
    use argon2::password_hash::{PasswordHash, PasswordVerifier};
    match hash.starts_with("$argon2") {
        true => PasswordHash::new(hash)
            .is_ok_and(|hash| argon2::Argon2::default().verify_password(key.as_bytes(), &hash).is_ok()),
        false => bcrypt::verify(key, hash).unwrap_or(false),
    }
}

fn id_of(key: &str) -> Option<KeyId> {
    KeyId::new(key.split_once('.')?.0).ok()
}

fn slow_record(id: &str, hash: &str) -> KeyRecord {
    moved_in().import_slow_hash(KeyId::new(id).unwrap(), hash, NewKey::for_owner("billing")).unwrap()
}

/// Waits until a record is as it is to become.
async fn until(keys: &MemoryStore, id: &KeyId, is: impl Fn(&KeyRecord) -> bool) {
    let waiting = async {
        while !is(&keys.get(id).unwrap()) {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), waiting).await.expect("the record becomes what it should be");
}

#[tokio::test]
async fn a_key_of_which_only_the_sha_256_was_kept_is_let_in_and_gets_a_digest_of_the_present_kind() {
    let keys = MemoryStore::with(moved_in());
    let record = moved_in().import_digest(sha256(KEY), NewKey::for_owner("billing")).unwrap();
    keys.insert(record.clone()).unwrap();
    let layer = ApiKeyLayer::over(ApiKey::new(keys.clone()).rehash(keys.clone()));

    assert_eq!(status(layer.clone(), asking(KEY)).await, StatusCode::OK);
    assert_eq!(status(layer.clone(), asking("app1.an-old-key-with-another-secret")).await, StatusCode::UNAUTHORIZED);

    until(&keys, record.id(), |record| record.digest().tag().to_string() == "hmac-sha256/p1").await;
    assert_eq!(status(layer, asking(KEY)).await, StatusCode::OK);
}

#[test]
fn a_digest_that_the_hasher_does_not_accept_is_not_imported() {
    let rules = rules(&TestClock::new()).accepting_imported();

    let refused = rules.import_digest(sha256(KEY), NewKey::for_owner("billing"));

    assert_eq!(refused.unwrap_err().to_string(), "the rules of this store do not accept imported keys");
    assert_eq!("sha256-bare".parse::<DigestTag>().unwrap(), DigestTag::SHA256_BARE);
    let hex = sha256(KEY).to_hex();
    assert!(KeyDigest::from_hex(DigestTag::SHA256_BARE, &hex.to_uppercase()).unwrap().matches(&sha256(KEY)));
    for wrong in ["", &hex[1..], &format!("{hex}00"), &hex.replace('a', "g"), "é"] {
        assert!(KeyDigest::from_hex(DigestTag::SHA256_BARE, wrong).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn a_slow_hash_lets_its_key_in_once_and_then_makes_way_for_a_fast_digest() {
    for hash in [argon2(KEY), bcrypt::hash(KEY, 4).unwrap()] {
        let keys = MemoryStore::with(moved_in());
        let record = slow_record("app1", &hash);
        keys.insert(record.clone()).unwrap();
        let compared = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&compared);
        let slow = SlowHashes::new(id_of, move |key, hash| {
            counted.fetch_add(1, Ordering::Relaxed);
            verify(key, hash)
        });
        let layer = ApiKeyLayer::over(ApiKey::new(keys.clone()).slow_hashes(slow).rehash(keys.clone()));

        let wrong = status(layer.clone(), asking("app1.an-old-key-with-another-secret")).await;
        let unknown = status(layer.clone(), asking("app2.an-old-key-with-a-long-secret")).await;
        let first = send(layer.clone(), asking(KEY)).await.0;
        until(&keys, record.id(), |record| record.slow_hash().is_none()).await;
        let second = status(layer.clone(), asking(KEY)).await;
        let wrong_again = status(layer, asking("app1.an-old-key-with-another-secret")).await;

        assert_eq!([wrong, unknown, wrong_again], [StatusCode::UNAUTHORIZED; 3]);
        assert_eq!(first.body(), "hello billing");
        assert_eq!(second, StatusCode::OK);
        assert_eq!(
            compared.load(Ordering::Relaxed),
            2,
            "one right key and one wrong one, and nothing once it is rehashed"
        );
    }
}

#[tokio::test]
async fn a_slow_hash_stays_where_nobody_may_write_or_the_key_is_too_short_for_a_fast_one() {
    let unpeppered = KeyRules::default().accepting_imported();
    let short = "app1.short";
    for (rules, key, rehashes) in [(moved_in(), KEY, false), (unpeppered, short, true)] {
        let keys = MemoryStore::with(rules);
        keys.insert(slow_record("app1", &argon2(key))).unwrap();
        let scheme = ApiKey::new(keys.clone()).slow_hashes(SlowHashes::new(id_of, verify));
        let layer = ApiKeyLayer::over(if rehashes { scheme.rehash(keys.clone()) } else { scheme });

        for _ in 0..3 {
            assert_eq!(status(layer.clone(), asking(key)).await, StatusCode::OK);
        }

        assert!(keys.get(&KeyId::new("app1").unwrap()).unwrap().slow_hash().is_some());
    }
}

#[tokio::test]
async fn a_key_of_ones_own_form_never_meets_a_slow_hash() {
    let keys = MemoryStore::with(moved_in());
    let own = moved_in().format().generate().unwrap();
    let id = moved_in().format().parse(own.expose()).unwrap();
    keys.insert(slow_record(id.as_str(), &argon2(KEY))).unwrap();
    let slow = SlowHashes::new(id_of, |_, _| panic!("nobody asks"));
    let layer = ApiKeyLayer::over(ApiKey::new(keys).slow_hashes(slow));

    // Not 500: what the record has is no digest whose pepper is missing.
    assert_eq!(status(layer, asking(own.expose())).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_revoked_key_with_a_slow_hash_is_refused() {
    let keys = MemoryStore::with(moved_in());
    keys.insert(slow_record("app1", &argon2(KEY))).unwrap();
    keys.revoke(&KeyId::new("app1").unwrap()).unwrap();
    let layer = ApiKeyLayer::over(ApiKey::new(keys).slow_hashes(SlowHashes::new(id_of, verify)));

    assert_eq!(status(layer, asking(KEY)).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn few_slow_hashes_are_compared_at_once_and_a_flood_is_sent_away() {
    let keys = MemoryStore::with(moved_in());
    keys.insert(slow_record("app1", "hash")).unwrap();
    let (most, released) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (peak, running, gate) = (Arc::clone(&most), AtomicUsize::new(0), Arc::clone(&released));
    let slow = SlowHashes::new(id_of, move |_, _| {
        peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        while gate.load(Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        running.fetch_sub(1, Ordering::SeqCst);
        false
    });
    let layer = ApiKeyLayer::over(ApiKey::new(keys).slow_hashes(slow));

    let mut flood = tokio::task::JoinSet::new();
    (0..200).for_each(|_| {
        flood.spawn(status(layer.clone(), asking(KEY)));
    });
    let mut answers = Vec::new();
    while let Some(answer) = flood.join_next().await {
        answers.push(answer.unwrap());
        // None of those at work or waiting is answered before.
        if answers.len() == 200 - 2 - 64 {
            released.store(1, Ordering::SeqCst);
        }
    }

    assert_eq!(most.load(Ordering::SeqCst), 2);
    assert_eq!(answers[..134], [StatusCode::SERVICE_UNAVAILABLE; 134]);
    assert_eq!(answers[134..], [StatusCode::UNAUTHORIZED; 66]);
}

#[tokio::test]
async fn a_comparison_that_panics_is_the_servers_fault_and_takes_no_room() {
    let keys = MemoryStore::with(moved_in());
    keys.insert(slow_record("app1", "hash")).unwrap();
    let slow = SlowHashes::new(id_of, |_, _| panic!("out of memory")).at_once(1);
    let layer = ApiKeyLayer::over(ApiKey::new(keys).slow_hashes(slow));

    for _ in 0..3 {
        assert_eq!(status(layer.clone(), asking(KEY)).await, StatusCode::INTERNAL_SERVER_ERROR);
    }
}

#[tokio::test]
async fn digests_of_an_older_pepper_are_made_anew_for_present_and_superseded_secrets() {
    let old = KeyHasher::peppered("old", [1; 32]).unwrap();
    let clock = TestClock::new();
    let before = MemoryStore::with(rules(&clock).with_hasher(old.clone()));
    let first = before.issue(NewKey::for_owner("billing")).unwrap();
    let second = before.rotate(first.id(), Duration::from_secs(3600)).unwrap();
    let new = KeyHasher::peppered("new", [2; 32]).unwrap().also_accepting(&old).unwrap();
    let keys = MemoryStore::with(rules(&clock).with_hasher(new));
    keys.insert((*before.get(first.id()).unwrap()).clone()).unwrap();
    let layer = ApiKeyLayer::over(ApiKey::new(keys.clone()).rehash(keys.clone()));

    for key in [&first, &second] {
        assert_eq!(status(layer.clone(), asking(key.key().expose())).await, StatusCode::OK);
    }

    let is_new = |digest: &KeyDigest| digest.tag().to_string() == "hmac-sha256/new";
    until(&keys, first.id(), |record| is_new(record.digest()) && is_new(record.superseded()[0].digest())).await;
    let retired = KeyRules::new(moved_in().format().clone(), KeyHasher::peppered("new", [2; 32]).unwrap());
    let layer = ApiKeyLayer::over(ApiKey::new(keys).rules(retired.with_clock(clock)));
    for key in [&first, &second] {
        assert_eq!(status(layer.clone(), asking(key.key().expose())).await, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_key_with_a_slow_hash_that_came_in_the_open_is_revoked() {
    let keys = MemoryStore::with(moved_in());
    keys.insert(slow_record("app1", &argon2(KEY))).unwrap();
    let scheme = ApiKey::new(keys.clone()).slow_hashes(SlowHashes::new(id_of, verify)).revoke_exposed(keys.clone());
    let layer = ApiKeyLayer::over(scheme);
    let https = RequireHttps::new().watch(&layer);
    let plain = tower::layer::layer_fn(move |inner| mark_plain(tower::Layer::layer(&https, inner)));

    let wrong = status(plain.clone(), asking("app1.an-old-key-with-another-secret")).await;
    let right = status(plain, asking(KEY)).await;

    assert_eq!([wrong, right], [StatusCode::FORBIDDEN; 2]);
    until(&keys, &KeyId::new("app1").unwrap(), |record| record.revoked_at().is_some()).await;
}

#[tokio::test]
async fn what_is_imported_says_what_it_is() {
    let admin: Arc<dyn KeyAdmin> = Arc::new(MemoryStore::with(moved_in()));

    let plain = admin.import(&Secret::new(KEY.to_owned()), NewKey::for_owner("a").expires_at(at(u64::from(u32::MAX))));
    let plain = plain.await.unwrap();

    assert!(plain.is_imported() && plain.slow_hash().is_none());
    let printed = format!("{:?}", slow_record("app1", &argon2(KEY)));
    assert!(!printed.contains("argon2"), "{printed}");
}

/// A store that answers later, so that others come in between.
#[derive(Clone)]
struct Slow(MemoryStore);

impl KeyStore for Slow {
    fn find(&self, by: &Lookup) -> Answer<Found> {
        let (store, by) = (self.0.clone(), *by);
        Answer::later(async move {
            tokio::task::yield_now().await;
            let found = store.find(&by).await;
            tokio::task::yield_now().await;
            found
        })
    }

    fn rules(&self) -> KeyRules {
        self.0.rules()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_good_key_is_refused_while_it_is_rehashed() {
    for n in 0..20 {
        let keys = MemoryStore::with(moved_in());
        let [slow_key, bare_key] =
            ["slow", "bare"].map(|kind| format!("{kind}{n}.a-key-with-a-long-secret-of-its-own"));
        let bare = moved_in().import_digest(sha256(&bare_key), NewKey::for_owner("b")).unwrap();
        keys.insert(bare).unwrap();
        keys.insert(slow_record(&format!("slow{n}"), &argon2(&slow_key))).unwrap();
        let slow = || SlowHashes::new(id_of, verify);
        let plain = ApiKey::new(Slow(keys.clone())).slow_hashes(slow()).rehash(keys.clone());
        let cached = ApiKey::new(Cached::new(Slow(keys.clone()))).slow_hashes(slow()).rehash(keys.clone());
        let layers = [ApiKeyLayer::over(plain), ApiKeyLayer::over(cached)];

        let requests: Vec<_> = (0..120)
            .map(|m| {
                let (layer, key) = (layers[m % 2].clone(), [&slow_key, &bare_key][m / 2 % 2].clone());
                tokio::spawn(async move {
                    let first = status(layer.clone(), asking(&key)).await;
                    [first, status(layer, asking(&key)).await]
                })
            })
            .collect();

        for request in requests {
            for answer in request.await.unwrap() {
                // Many slow hashes at once are sent away, which is no verdict.
                assert!(matches!(answer, StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE), "{answer}");
            }
        }
    }
}

#[tokio::test]
async fn a_pepper_is_never_taken_off() {
    let peppered = KeyHasher::peppered("p1", [7; 32]).unwrap();
    let before = MemoryStore::with(KeyRules::default().with_hasher(peppered.clone()));
    let issued = before.issue(NewKey::for_owner("billing")).unwrap();
    let wrong_way_round = KeyHasher::sha256().also_accepting(&peppered).unwrap();
    let keys = MemoryStore::with(KeyRules::default().with_hasher(wrong_way_round));
    keys.insert((*before.get(issued.id()).unwrap()).clone()).unwrap();
    let layer = ApiKeyLayer::over(ApiKey::new(keys.clone()).rehash(keys.clone()));

    for _ in 0..10 {
        assert_eq!(status(layer.clone(), asking(issued.key().expose())).await, StatusCode::OK);
        tokio::task::yield_now().await;
    }

    assert!(keys.get(issued.id()).unwrap().digest().tag().is_peppered());
}

#[tokio::test(start_paused = true)]
async fn servers_that_do_not_agree_on_the_pepper_write_once_a_minute() {
    let [a, b] = ["a", "b"].map(|id| KeyHasher::peppered(id, [7; 32]).unwrap());
    let both =
        |first: &KeyHasher, second| KeyRules::default().with_hasher(first.clone().also_accepting(second).unwrap());
    let keys = MemoryStore::with(both(&a, &b));
    let issued = keys.issue(NewKey::for_owner("billing")).unwrap();
    let layer = |rules| ApiKeyLayer::over(ApiKey::new(keys.clone()).rules(rules).rehash(keys.clone()));
    let layers = [layer(both(&a, &b)), layer(both(&b, &a))];

    let (mut changes, mut last) = (0, "a".to_owned());
    for n in 0..100 {
        assert_eq!(status(layers[n % 2].clone(), asking(issued.key().expose())).await, StatusCode::OK);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let now = keys.get(issued.id()).unwrap().digest().tag().to_string();
        changes += usize::from(now != last);
        last = now;
    }

    assert!(changes <= 4, "{changes} changes in a moment");
}

#[tokio::test]
async fn times_beyond_all_years_are_the_end_of_the_last_one() {
    let keys = MemoryStore::with(moved_in());
    let beyond = std::time::SystemTime::now() + Duration::from_secs(9_000 * 366 * 24 * 60 * 60);

    let issued = keys.issue(NewKey::for_owner("billing").expires_at(beyond)).unwrap();
    let newer = keys.rotate(issued.id(), Duration::from_secs(u64::MAX / 4)).unwrap();

    let text = serde_json::to_string(&**newer.record()).unwrap();
    assert!(text.contains("9999-12-31T23:59:59Z"), "{text}");
    let read: KeyRecord = serde_json::from_str(&text).unwrap();
    assert_eq!(read.expires_at(), newer.record().expires_at());
    let layer = ApiKeyLayer::new(keys);
    for key in [&issued, &newer] {
        assert_eq!(status(layer.clone(), asking(key.key().expose())).await, StatusCode::OK);
    }
}
