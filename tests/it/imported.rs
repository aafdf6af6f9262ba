//! Keys of other forms: found by digest, and only where the rules say so.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use tower_keep::{
    AdminError, ApiKey, ApiKeyLayer, IssueError, KeyFormat, KeyHasher, KeyId, KeyRecord, KeyRules, Lookup, MemoryStore,
    NewKey, Principal, Secret, store_fn,
};

use crate::support::{TestClock, get, rules, send, status, values, with};

const OLD_KEY: &str = "0123456789abcdef0123456789abcdef";

fn accepting() -> MemoryStore {
    MemoryStore::with(rules(&TestClock::new()).accepting_imported())
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

#[tokio::test]
async fn an_imported_key_works_as_it_is() {
    let keys = accepting();
    let record = keys.import(&secret(OLD_KEY), NewKey::for_owner("legacy").scopes(["read"])).unwrap();

    let (response, heads) = send(ApiKeyLayer::new(keys.clone()), with(get("/"), "x-api-key", OLD_KEY)).await;

    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(heads[0].extensions.get::<Principal>().unwrap().subject(), "legacy");
    keys.revoke(record.id()).unwrap();
    assert_eq!(status(ApiKeyLayer::new(keys), with(get("/"), "x-api-key", OLD_KEY)).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_imported_key_is_rotated_into_one_of_our_own() {
    let keys = accepting();
    let record = keys.import(&secret(OLD_KEY), NewKey::for_owner("legacy")).unwrap();

    let newer = keys.rotate(record.id(), Duration::from_secs(60)).unwrap();

    let layer = ApiKeyLayer::new(keys.clone());
    let (response, _) = send(layer.clone(), with(get("/"), "x-api-key", OLD_KEY)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(values(response.headers(), "api-key-superseded").len(), 1);
    assert_eq!(status(layer.clone(), with(get("/"), "x-api-key", newer.key().expose())).await, StatusCode::OK);
    assert_eq!(newer.record().indexed_digests().count(), 1);
    assert!(record.is_imported() && newer.record().superseded()[0].is_imported());
    assert!(!newer.record().is_imported());
    // Another rotation does not cut its grace short.
    keys.rotate(record.id(), Duration::ZERO).unwrap();
    assert_eq!(status(layer, with(get("/"), "x-api-key", OLD_KEY)).await, StatusCode::OK);
}

#[test]
fn a_text_may_be_imported_again_once_nothing_is_left_of_it() {
    let clock = TestClock::new();
    let keys = MemoryStore::with(rules(&clock).accepting_imported());
    let record = keys.import(&secret(OLD_KEY), NewKey::for_owner("legacy")).unwrap();
    keys.rotate(record.id(), Duration::from_secs(60)).unwrap();
    let again = || keys.import(&secret(OLD_KEY), NewKey::for_owner("other"));
    assert!(matches!(again(), Err(AdminError::AlreadyExists)));

    clock.advance(60);
    keys.rotate(record.id(), Duration::from_secs(60)).unwrap();

    assert_eq!(again().unwrap().owner(), "other");
}

#[tokio::test]
async fn keys_of_other_forms_are_refused_unless_the_rules_accept_them() {
    let keys = MemoryStore::with(rules(&TestClock::new()));
    let refused = keys.import(&secret(OLD_KEY), NewKey::for_owner("legacy"));
    assert!(matches!(refused, Err(AdminError::Issue(IssueError::ImportNotAccepted))));
    let asked = store_fn(|_| async { panic!("the store was asked") }).rules(keys.rules());
    assert_eq!(status(ApiKeyLayer::new(asked), with(get("/"), "x-api-key", OLD_KEY)).await, StatusCode::UNAUTHORIZED);
}

#[test]
fn keys_that_are_too_weak_or_would_never_be_found_are_not_imported() {
    let keys = accepting();
    let error = |text: &str| match keys.import(&secret(text), NewKey::for_owner("a")) {
        Err(AdminError::Issue(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(error("hunter2"), IssueError::ImportTooShort);
    assert_eq!(error("0123456789abcdef 01234"), IssueError::ImportTooShort);
    assert_eq!(error("test_0123456789abcdef01234"), IssueError::ImportOwnFormat);
    keys.import(&secret(OLD_KEY), NewKey::for_owner("a")).unwrap();
    assert!(matches!(keys.import(&secret(OLD_KEY), NewKey::for_owner("b")), Err(AdminError::AlreadyExists)));
    assert_eq!(keys.len(), 1);
}

#[tokio::test]
async fn a_bearer_value_of_another_form_is_a_key_unless_it_looks_like_a_token() {
    let keys = accepting();
    keys.import(&secret(OLD_KEY), NewKey::for_owner("legacy")).unwrap();
    keys.import(&secret("aaaaaaaaaaa.bbbbbbbbbbb.ccccccc"), NewKey::for_owner("legacy")).unwrap();
    let layer = ApiKeyLayer::over(ApiKey::new(keys).bearer());
    let bearer = |value: &str| with(get("/"), "authorization", &format!("Bearer {value}"));
    assert_eq!(status(layer.clone(), bearer(OLD_KEY)).await, StatusCode::OK);
    assert_eq!(status(layer.clone(), bearer("aaaaaaaaaaa.bbbbbbbbbbb.ccccccc")).await, StatusCode::UNAUTHORIZED);
    let header = with(get("/"), "x-api-key", "aaaaaaaaaaa.bbbbbbbbbbb.ccccccc");
    assert_eq!(status(layer, header).await, StatusCode::OK);
}

#[tokio::test]
async fn a_store_of_ones_own_is_asked_by_id_or_by_the_digest_of_every_pepper() {
    let old = KeyHasher::peppered("old", [1; 32]).unwrap();
    let hasher = KeyHasher::peppered("new", [2; 32]).unwrap().also_accepting(&old).unwrap();
    let rules = KeyRules::new(KeyFormat::new("test").unwrap(), hasher).accepting_imported();
    let record = KeyRecord::new(KeyId::new("row-17").unwrap(), "legacy", old.digest(OLD_KEY)).imported();
    let record = Arc::new(record);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let keys = store_fn(move |lookup: Lookup| {
        let found = match lookup {
            Lookup::Id(_) => None,
            Lookup::Digest(digest) => digest.matches(record.digest()).then(|| Arc::clone(&record)),
        };
        log.lock().unwrap().push(match lookup {
            Lookup::Id(id) => id.to_string(),
            Lookup::Digest(digest) => digest.tag().to_string(),
        });
        async move { Ok(found) }
    })
    .rules(rules.clone());
    let layer = ApiKeyLayer::new(keys);

    assert_eq!(status(layer.clone(), with(get("/"), "x-api-key", OLD_KEY)).await, StatusCode::OK);
    assert_eq!(std::mem::take(&mut *asked.lock().unwrap()), ["hmac-sha256/new", "hmac-sha256/old"]);

    let own = rules.format().generate().unwrap();
    let id = rules.format().parse(own.expose()).unwrap();
    assert_eq!(status(layer, with(get("/"), "x-api-key", own.expose())).await, StatusCode::UNAUTHORIZED);
    assert_eq!(*asked.lock().unwrap(), [id.to_string()]);
}

#[test]
fn a_key_whose_id_cannot_stand_in_a_key_cannot_be_rotated() {
    let keys = accepting();
    let digest = KeyHasher::sha256().digest(OLD_KEY);
    keys.insert(KeyRecord::new(KeyId::new("row-17").unwrap(), "a", digest).imported()).unwrap();
    let rotated = keys.rotate(&KeyId::new("row-17").unwrap(), Duration::ZERO);
    assert!(matches!(rotated, Err(AdminError::Issue(IssueError::ForeignId))));
}
