//! Keys: their form, their time, their rotation and revocation, what the principal and the response say.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use tower::{Layer, Service};
use tower_keep::{
    AdminError, ApiKeyLayer, Clock, ConfigError, FormatError, IssueError, KeyFilter, KeyFormat, KeyHasher, KeyId,
    KeyRecord, KeyRules, KeyStore, Lookup, MemoryStore, NewKey, Principal, Scopes,
};

use crate::support::{START, TestClock, at, get, rules, send, status, store, values, with, with_key};

#[tokio::test]
async fn the_principal_says_what_the_key_says() {
    let keys = MemoryStore::with(rules(&TestClock::new()));
    let issued = keys
        .issue(NewKey::for_owner("billing").scopes(["write", "read"]).expires_at(at(START + 60)).label("env", "live"))
        .unwrap();

    let (_, heads) = send(ApiKeyLayer::new(keys), with_key(&issued)).await;

    let principal = heads[0].extensions.get::<Principal>().unwrap();
    assert_eq!(principal.subject(), "billing");
    assert_eq!(principal.scheme(), "api-key");
    assert_eq!(principal.issuer(), None);
    assert_eq!(principal.scopes(), &Scopes::try_from("read write").unwrap());
    assert_eq!(principal.expires_at(), Some(at(START + 60)));
    assert_eq!(principal.credential_id(), Some(issued.id().as_str()));
    assert_eq!(principal.superseded(), None);
    assert!(principal.before().is_none());
    let record = principal.details::<KeyRecord>().unwrap();
    assert_eq!(record.labels().collect::<Vec<_>>(), [("env", "live")]);
    assert_eq!(record.created_at(), Some(at(START)));
    assert!(principal.details::<String>().is_none());
}

#[tokio::test]
async fn a_key_is_good_from_its_start_to_its_end_and_not_a_second_longer() {
    let clock = TestClock::new();
    let keys = MemoryStore::with(rules(&clock));
    let new = NewKey::for_owner("a").not_before(at(START + 10)).expires_at(at(START + 20));
    let issued = keys.issue(new).unwrap();
    let layer = ApiKeyLayer::new(keys);
    let mut good = Vec::new();
    for second in 0..30 {
        if status(layer.clone(), with_key(&issued)).await == StatusCode::OK {
            good.push(second);
        }
        clock.advance(1);
    }
    assert_eq!(good, (10..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once_and_for_good() {
    let (keys, issued) = store();
    let mut service = ApiKeyLayer::new(keys.clone()).layer(crate::support::Inner::new());
    assert_eq!(service.call(with_key(&issued)).await.unwrap().status(), StatusCode::OK);

    let record = keys.revoke(issued.id()).unwrap();

    assert_eq!(service.call(with_key(&issued)).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert!(record.revoked_at().is_some());
    assert_eq!(keys.revoke(issued.id()).unwrap().revoked_at(), record.revoked_at());
    assert!(matches!(keys.rotate(issued.id(), Duration::ZERO), Err(AdminError::Ended)));
    assert!(matches!(keys.revoke(&KeyId::new("nobody").unwrap()), Err(AdminError::NotFound)));
}

#[tokio::test]
async fn a_rotated_key_goes_on_for_its_grace_period_and_the_caller_is_told() {
    let clock = TestClock::new();
    let keys = MemoryStore::with(rules(&clock));
    let first = keys.issue(NewKey::for_owner("a")).unwrap();
    let second = keys.rotate(first.id(), Duration::from_secs(100)).unwrap();
    clock.advance(10);
    let third = keys.rotate(first.id(), Duration::from_secs(100)).unwrap();
    assert_eq!([second.id(), third.id()], [first.id(); 2]);
    let layer = ApiKeyLayer::new(keys.clone());
    let superseded = |issued| {
        let layer = layer.clone();
        async move {
            let (response, heads) = send(layer, with_key(issued)).await;
            let until = heads.first().map(|head| head.extensions.get::<Principal>().unwrap().superseded());
            (response.status().as_u16(), values(response.headers(), "api-key-superseded"), until)
        }
    };

    // All three live, each until its own time.
    assert_eq!(superseded(&first).await, (200, vec![format!("@{}", START + 100)], Some(Some(at(START + 100)))));
    assert_eq!(superseded(&second).await, (200, vec![format!("@{}", START + 110)], Some(Some(at(START + 110)))));
    assert_eq!(superseded(&third).await, (200, vec![], Some(None)));
    clock.advance(90);
    assert_eq!(superseded(&first).await, (401, vec![], None));
    assert_eq!(superseded(&second).await.0, 200);
    clock.advance(10);
    assert_eq!(superseded(&second).await.0, 401);
    assert_eq!(superseded(&third).await.0, 200);

    // What has stopped working is dropped at the next rotation, and revoking ends them all.
    let fourth = keys.rotate(first.id(), Duration::from_secs(100)).unwrap();
    assert_eq!(fourth.record().superseded().len(), 1);
    assert!(!fourth.record().superseded()[0].is_imported());
    keys.revoke(first.id()).unwrap();
    for issued in [&third, &fourth] {
        assert_eq!(superseded(issued).await.0, 401);
    }
}

#[test]
fn a_grace_period_never_outlives_the_key() {
    let clock = TestClock::new();
    let keys = MemoryStore::with(rules(&clock));
    let issued = keys.issue(NewKey::for_owner("a").expires_at(at(START + 50))).unwrap();

    let rotated = keys.rotate(issued.id(), Duration::MAX).unwrap();
    assert_eq!(rotated.record().superseded()[0].until(), at(START + 50));

    let none = keys.rotate(issued.id(), Duration::ZERO).unwrap();
    assert_eq!(none.record().superseded().len(), 1, "only the one that still works is kept");
    clock.advance(50);
    assert!(matches!(keys.rotate(issued.id(), Duration::ZERO), Err(AdminError::Ended)));
}

#[tokio::test]
async fn a_superseded_secret_of_no_grace_is_refused_at_once() {
    let (keys, issued) = store();
    let newer = keys.rotate(issued.id(), Duration::ZERO).unwrap();
    let layer = ApiKeyLayer::new(keys);
    assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(layer, with_key(&newer)).await, StatusCode::OK);
}

#[test]
fn a_key_is_a_prefix_an_id_a_secret_and_a_checksum() {
    let format = KeyFormat::new("acme_live").unwrap();
    let keys = MemoryStore::with(KeyRules::new(format.clone(), KeyHasher::sha256()));
    let issued = keys.issue(NewKey::for_owner("a")).unwrap();
    let key = issued.key().expose();

    assert_eq!(key.len(), "acme_live_".len() + 12 + 1 + 43 + 6);
    assert_eq!(format.parse(key).unwrap(), *issued.id());
    assert_eq!(issued.public_part(), format!("acme_live_{}", issued.id()));
    assert!(key.starts_with(issued.public_part()));
    assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    assert_eq!(format.pattern(), r"\bacme_live_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}\b");
    assert_eq!(format.prefix(), "acme_live");
}

#[test]
fn the_pattern_finds_keys_in_texts_and_the_checksum_tells_which_are_real() {
    let format = KeyFormat::new("acme_live").unwrap();
    let pattern = regex::Regex::new(&format.pattern()).unwrap();
    let keys = [format.generate().unwrap(), format.generate().unwrap()];
    let alike = format!("acme_live_{}_{}", "a".repeat(12), "b".repeat(49));
    let text = format!("KEY={}\n{{\"key\":\"{}\"}} x{alike} {alike} {alike}c", keys[0].expose(), keys[1].expose());

    let found: Vec<_> = pattern.find_iter(&text).map(|found| found.as_str()).collect();

    assert_eq!(found, [keys[0].expose(), keys[1].expose(), &alike]);
    assert!(format.parse(found[0]).is_ok() && format.parse(found[1]).is_ok());
    assert_eq!(format.parse(&alike), Err(FormatError::Checksum));
}

#[test]
fn every_letter_of_a_key_is_as_likely_as_any_other() {
    let format = KeyFormat::new("a").unwrap();
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..2_000 {
        let key = format.generate().unwrap();
        // The id and the secret, without the checksum.
        for letter in key.expose()["a_".len()..][..12 + 1 + 43].bytes().filter(|byte| *byte != b'_') {
            *counts.entry(letter).or_insert(0_u32) += 1;
        }
    }
    let expected = 2_000 * (12 + 43) / 62;
    assert_eq!(counts.len(), 62);
    for (letter, count) in counts {
        // Six standard deviations; without drawing again, the first letters would come a quarter more often.
        assert!(count.abs_diff(expected) < expected * 15 / 100, "{}: {count} of {expected}", char::from(letter));
    }
}

#[test]
fn a_text_that_is_not_a_key_says_how() {
    let format = KeyFormat::new("ab").unwrap();
    let key = format.generate().unwrap();
    let key = key.expose();
    let last = if key.ends_with('0') { "1" } else { "0" };
    let cases = [
        (key[1..].to_owned(), FormatError::Foreign),
        (String::new(), FormatError::Foreign),
        ("ab".to_owned(), FormatError::Foreign),
        ("ab_".to_owned(), FormatError::Shape),
        (key[..key.len() - 1].to_owned(), FormatError::Shape),
        (format!("{key}0"), FormatError::Shape),
        (key.replacen("ab_", "ab__", 1)[..key.len()].to_owned(), FormatError::Shape),
        (format!("{}é{}", &key[..20], &key[22..]), FormatError::Shape),
        (format!("{}{last}", &key[..key.len() - 1]), FormatError::Checksum),
    ];
    for (text, expected) in cases {
        assert_eq!(format.parse(&text), Err(expected), "{text}");
    }
    assert!(format.owns("ab_junk") && !format.owns("abc_junk"));
}

#[tokio::test]
async fn stores_in_memory_have_peppers_of_their_own() {
    let (one, other) = (MemoryStore::with_prefix("acme").unwrap(), MemoryStore::with_prefix("acme").unwrap());
    let issued = one.issue(NewKey::for_owner("a")).unwrap();
    let key = issued.key().expose();

    assert!(key.starts_with("acme_"));
    assert_eq!(issued.record().digest().tag().to_string(), "hmac-sha256/memory");
    assert_ne!(one.rules().hasher().digest(key).as_bytes(), other.rules().hasher().digest(key).as_bytes());
    other.insert((**issued.record()).clone()).unwrap();
    assert_eq!(status(ApiKeyLayer::new(one), with_key(&issued)).await, StatusCode::OK);
    assert_eq!(status(ApiKeyLayer::new(other), with_key(&issued)).await, StatusCode::UNAUTHORIZED);
    assert!(MemoryStore::new().issue(NewKey::for_owner("a")).unwrap().public_part().starts_with("tk_"));
    assert!(MemoryStore::with_prefix("not a prefix").is_err());
}

#[test]
fn prefixes_are_words_of_letters_and_digits() {
    for good in ["a", "sk", "acme_live", "A1_b2_c3", &"a".repeat(32)] {
        assert_eq!(KeyFormat::new(good).unwrap().prefix(), good);
    }
    for bad in ["", "_", "a_", "_a", "a__b", "a-b", "a b", "é", "a.b", &"a".repeat(33)] {
        assert_eq!(KeyFormat::new(bad).unwrap_err(), ConfigError::KeyPrefix { length: bad.len() });
    }
}

#[test]
fn what_cannot_be_issued_says_why() {
    let clock = TestClock::new();
    let keys = MemoryStore::with(rules(&clock));
    let error = |new: NewKey| match keys.issue(new) {
        Err(AdminError::Issue(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(error(NewKey::for_owner("")), IssueError::OwnerEmpty);
    assert_eq!(error(NewKey::for_owner("a").expires_at(at(START))), IssueError::NeverValid);
    assert_eq!(error(NewKey::for_owner("a").expires_at(UNIX_EPOCH)), IssueError::NeverValid);
    let half = Duration::from_millis(500);
    let within_a_second = NewKey::for_owner("a").not_before(at(START + 20) + half).expires_at(at(START + 21) + half);
    assert_eq!(error(within_a_second), IssueError::NeverValid);
    let backwards = NewKey::for_owner("a").not_before(at(START + 20)).expires_at(at(START + 20));
    assert_eq!(error(backwards), IssueError::NeverValid);
    let scope = ConfigError::Scope { given: "two words".to_owned() };
    assert_eq!(error(NewKey::for_owner("a").scopes(["read", "two words"])), IssueError::Config(scope));
    assert!(keys.is_empty());
}

#[test]
fn scopes_can_be_given_in_many_ways() {
    let shared = Scopes::try_from("a b").unwrap();
    let list: &[&str] = &["b", "a"];
    for new in [
        NewKey::for_owner("x").scopes(["a", "b"]),
        NewKey::for_owner("x").scopes("b a"),
        NewKey::for_owner("x").scopes(list),
        NewKey::for_owner("x").scopes(vec!["a".to_owned(), "b".to_owned(), "a".to_owned()]),
        NewKey::for_owner("x").scopes(shared.clone()),
    ] {
        assert_eq!(MemoryStore::new().issue(new).unwrap().record().scopes(), &shared);
    }
    assert_eq!(Scopes::try_from("").unwrap(), Scopes::none());
    assert_eq!(Scopes::none().iter().count(), 0);
    assert!(!Scopes::none().contains(""));
}

#[test]
fn a_list_is_in_order_and_in_pages() {
    let keys = MemoryStore::with(rules(&TestClock::new()));
    for number in 0..25 {
        let owner = if number % 5 == 0 { "fifth" } else { "other" };
        keys.issue(NewKey::for_owner(owner).label("n", number.to_string())).unwrap();
    }
    let all = keys.list(&KeyFilter::default(), None, 100);
    assert_eq!((all.records.len(), all.next), (25, None));
    assert!(all.records.is_sorted_by_key(|record| *record.id()));

    let mut paged = Vec::new();
    let mut after = None;
    loop {
        let page = keys.list(&KeyFilter::default(), after.as_ref(), 10);
        paged.extend(page.records.iter().map(|record| *record.id()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, all.records.iter().map(|record| *record.id()).collect::<Vec<_>>());

    let fifth = keys.list(&KeyFilter::default().owner("fifth"), None, 100).records;
    assert_eq!(fifth.len(), 5);
    keys.revoke(fifth[0].id()).unwrap();
    let good = KeyFilter::default().owner("fifth").good_at(at(START));
    assert_eq!(keys.list(&good, None, 100).records.len(), 4);
    assert_eq!(keys.list(&KeyFilter::default().label("n", "7"), None, 100).records.len(), 1);
    assert_eq!(keys.list(&KeyFilter::default(), None, 0).records.len(), 0);
    assert_eq!(keys.len(), 25);
}

#[test]
fn an_id_is_taken_once() {
    let (keys, issued) = store();
    let again = KeyRecord::new(*issued.id(), "other", *issued.record().digest());
    assert!(matches!(keys.insert(again), Err(AdminError::AlreadyExists)));
    assert_eq!(keys.get(issued.id()).unwrap().owner(), "billing");
}

#[test]
fn ids_of_other_systems_fit_and_others_are_refused() {
    for good in ["a", "0f8fad5b-d9cb-469f-a165-70867728950e", "row_17", "a.b"] {
        assert_eq!(KeyId::new(good).unwrap().as_str(), good);
    }
    for bad in ["", "a b", "é", "a/b", "0f8fad5b-d9cb-469f-a165-70867728950e0"] {
        assert_eq!(KeyId::new(bad).unwrap_err(), ConfigError::KeyId { length: bad.len() });
    }
}

#[tokio::test]
async fn a_pepper_can_be_replaced_while_keys_live_on() {
    let clock = TestClock::new();
    let old_hasher = KeyHasher::peppered("2025", [1; 32]).unwrap();
    let format = KeyFormat::new("test").unwrap();
    let old = MemoryStore::with(KeyRules::new(format.clone(), old_hasher.clone()).with_clock(clock.clone()));
    let issued = old.issue(NewKey::for_owner("a")).unwrap();

    let ring = KeyHasher::peppered("2026", [2; 32]).unwrap().also_accepting(&old_hasher).unwrap();
    let keys = MemoryStore::with(KeyRules::new(format.clone(), ring).with_clock(clock.clone()));
    keys.insert((**issued.record()).clone()).unwrap();
    let newer = keys.rotate(issued.id(), Duration::from_secs(60)).unwrap();
    assert_eq!(newer.record().digest().tag().to_string(), "hmac-sha256/2026");
    let layer = ApiKeyLayer::new(keys);
    assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::OK);
    assert_eq!(status(layer, with_key(&newer)).await, StatusCode::OK);

    // A pepper that is not at hand is the server's fault, not the key's.
    let other = KeyHasher::peppered("2027", [3; 32]).unwrap();
    let without = MemoryStore::with(KeyRules::new(format, other).with_clock(clock));
    without.insert((**issued.record()).clone()).unwrap();
    assert_eq!(status(ApiKeyLayer::new(without), with_key(&issued)).await, StatusCode::INTERNAL_SERVER_ERROR);
    for (hasher, good, unknowable) in [("2026", &newer, &issued), ("2025", &issued, &newer)] {
        let pepper = if hasher == "2026" { [2; 32] } else { [1; 32] };
        let rules = KeyRules::new(KeyFormat::new("test").unwrap(), KeyHasher::peppered(hasher, pepper).unwrap());
        let keys = MemoryStore::with(rules.with_clock(TestClock::new()));
        keys.insert((**newer.record()).clone()).unwrap();
        let layer = ApiKeyLayer::new(keys);
        assert_eq!(status(layer.clone(), with_key(good)).await, StatusCode::OK, "{hasher}");
        assert_eq!(status(layer, with_key(unknowable)).await, StatusCode::INTERNAL_SERVER_ERROR, "{hasher}");
    }
}

#[tokio::test]
async fn a_retired_pepper_makes_no_dead_key_the_servers_fault() {
    let clock = TestClock::new();
    let format = KeyFormat::new("test").unwrap();
    let old = KeyHasher::peppered("old", [1; 32]).unwrap();
    let ring = KeyHasher::peppered("new", [2; 32]).unwrap().also_accepting(&old).unwrap();
    let before = MemoryStore::with(KeyRules::new(format.clone(), old).with_clock(clock.clone()));
    let after = MemoryStore::with(KeyRules::new(format.clone(), ring).with_clock(clock.clone()));
    let issue = |new: NewKey| before.issue(new).unwrap();
    let revoked = issue(NewKey::for_owner("a"));
    let expired = issue(NewKey::for_owner("a").expires_at(at(START + 10)));
    let rotated = issue(NewKey::for_owner("a"));
    after.insert((**rotated.record()).clone()).unwrap();
    let newer = after.rotate(rotated.id(), Duration::from_secs(10)).unwrap();
    let hasher = KeyHasher::peppered("new", [2; 32]).unwrap();
    let keys = MemoryStore::with(KeyRules::new(format.clone(), hasher).with_clock(clock.clone()));
    keys.insert((*before.revoke(revoked.id()).unwrap()).clone()).unwrap();
    keys.insert((**expired.record()).clone()).unwrap();
    keys.insert((**newer.record()).clone()).unwrap();
    let forged = before.rules().reissue(rotated.id()).unwrap().0;
    let layer = ApiKeyLayer::new(keys);
    let request = |key: &str| with(get("/"), "x-api-key", key);
    // While its grace period goes on, it cannot be known whether this is the superseded secret.
    assert_eq!(status(layer.clone(), request(forged.expose())).await, StatusCode::INTERNAL_SERVER_ERROR);

    clock.advance(10);

    for key in [revoked.key(), expired.key(), rotated.key(), &forged] {
        assert_eq!(status(layer.clone(), request(key.expose())).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(status(layer, with_key(&newer)).await, StatusCode::OK);
}

#[test]
fn peppers_are_long_and_have_short_names() {
    let pepper = [7; 32];
    assert_eq!(KeyHasher::peppered("p", [7; 31]).unwrap_err(), ConfigError::PepperTooShort { bytes: 31 });
    for id in ["", "too-long-a-name", "a b", "a/b", "é"] {
        assert_eq!(KeyHasher::peppered(id, pepper).unwrap_err(), ConfigError::PepperId { length: id.len() });
    }
    let (one, other) = (KeyHasher::peppered("p", pepper).unwrap(), KeyHasher::peppered("p", [8; 32]).unwrap());
    let twice = ConfigError::PepperIdRepeated { given: "hmac-sha256/p".to_owned() };
    assert_eq!(one.clone().also_accepting(&other).unwrap_err(), twice);
    let ring = one.also_accepting(&KeyHasher::sha256()).unwrap();
    assert_eq!(ring.tags().map(|tag| tag.to_string()).collect::<Vec<_>>(), ["hmac-sha256/p", "sha256"]);
    let plain = KeyHasher::sha256().digest("key");
    assert!(ring.digest_as(plain.tag(), "key").unwrap().matches(&plain));
    assert!(other.digest_as(plain.tag(), "key").is_none(), "without being told it accepts no digest without a pepper");
}

#[test]
fn a_digest_is_keyed_tagged_and_compared_as_a_whole() {
    let (plain, one) = (KeyHasher::sha256(), KeyHasher::peppered("one", [1; 32]).unwrap());
    let two = KeyHasher::peppered("two", [2; 32]).unwrap();
    assert!(one.digest("key").matches(&one.digest("key")));
    assert!(!one.digest("key").matches(&one.digest("kex")));
    assert_ne!(one.digest("key").as_bytes(), two.digest("key").as_bytes());
    assert_ne!(one.digest("key").as_bytes(), plain.digest("key").as_bytes());
    for byte in 0..32 {
        for bit in 0..8 {
            let digest = one.digest("key");
            let mut bytes = *digest.as_bytes();
            bytes[byte] ^= 1 << bit;
            assert!(!digest.matches(&tower_keep::KeyDigest::new(digest.tag(), bytes)));
        }
    }
    let moved = tower_keep::KeyDigest::new(two.digest("key").tag(), *one.digest("key").as_bytes());
    assert!(!moved.matches(&one.digest("key")));
    for tag in ["sha256", "hmac-sha256/one"] {
        assert_eq!(tag.parse::<tower_keep::DigestTag>().unwrap().to_string(), tag);
    }
    for tag in ["", "md5", "sha256/x", "hmac-sha256", "hmac-sha256/", "hmac-sha256/a/b"] {
        assert!(tag.parse::<tower_keep::DigestTag>().is_err(), "{tag}");
    }
}

#[test]
fn digests_are_what_openssl_makes_of_them() {
    // printf 'tower-keep/api-key/1\0some key' | openssl dgst -sha256 [-mac HMAC -macopt hexkey:0707..07]
    let hex = |digest: tower_keep::KeyDigest| digest.as_bytes().map(|byte| format!("{byte:02x}")).concat();
    assert_eq!(hex(KeyHasher::sha256().digest("some key")), SHA256);
    assert_eq!(hex(KeyHasher::peppered("p", [7; 32]).unwrap().digest("some key")), HMAC);
}

const SHA256: &str = "f306c9ad882e1020fcf86c35e976f18597848dc1407b0fcf4a718d05f6990037";
const HMAC: &str = "fe722e9d1a1ec3fe6fbd06c37c8ffa071f24b188b06f2a06b591ca7b6c097cbc";

#[test]
fn readers_wait_for_no_writer() {
    /// Tells the time only when it is let, and says when it is asked.
    #[derive(Debug)]
    struct Stuck(Mutex<Receiver<()>>, Sender<()>);

    impl Clock for Stuck {
        fn now(&self) -> SystemTime {
            self.1.send(()).unwrap();
            self.0.lock().unwrap().recv().unwrap();
            at(START)
        }
    }

    let (let_go, held) = channel();
    let (ask, asked) = channel();
    let keys = MemoryStore::with(KeyRules::default().with_clock(Stuck(Mutex::new(held), ask)));
    let record = store().1.record().clone();
    keys.insert((*record).clone()).unwrap();
    let writer = std::thread::spawn({
        let (keys, id) = (keys.clone(), *record.id());
        move || keys.revoke(&id).unwrap()
    });
    // The writer asks for the time while it holds what writers take turns by.
    asked.recv().unwrap();

    let (tell, told) = channel();
    let lookup = Lookup::Id(*record.id());
    std::thread::spawn(move || tell.send(keys.find(&lookup).now().unwrap().unwrap().is_some()).unwrap());
    let found = told.recv_timeout(Duration::from_secs(10));

    assert_eq!(found, Ok(true), "the reader waits for the writer");
    let_go.send(()).unwrap();
    assert!(writer.join().unwrap().revoked_at().is_some());
}

#[tokio::test]
async fn readers_see_every_change_while_writers_go_on() {
    let (keys, _) = store();
    let issued: Vec<_> = (0..200).map(|_| keys.issue(NewKey::for_owner("a")).unwrap()).collect();
    let ids: Vec<_> = issued.iter().map(|issued| *issued.id()).collect();
    let writer = {
        let keys = keys.clone();
        std::thread::spawn(move || {
            for id in ids {
                keys.rotate(&id, Duration::from_secs(1_000)).unwrap();
                keys.issue(NewKey::for_owner("b")).unwrap();
            }
        })
    };
    let layer = ApiKeyLayer::new(keys.clone());
    while !writer.is_finished() {
        for issued in issued.iter().step_by(17) {
            assert_eq!(status(layer.clone(), with_key(issued)).await, StatusCode::OK);
        }
    }
    writer.join().unwrap();
    for issued in &issued {
        let (response, _) = send(layer.clone(), with_key(issued)).await;
        assert!(response.headers().contains_key("api-key-superseded"));
        keys.revoke(issued.id()).unwrap();
        assert_eq!(status(layer.clone(), with(get("/"), "x-api-key", issued.key().expose())).await, 401);
    }
}
