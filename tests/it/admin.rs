//! What any store gets from implementing four verbs.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use tower_keep::{
    AdminError, Answer, ApiKeyLayer, Found, KeyAdmin, KeyChange, KeyFilter, KeyId, KeyRecord, KeyRules, KeyStore,
    Lookup, MemoryStore, NewKey, Page, Secret, testing,
};

use crate::support::{TestClock, rules, status, store, with_key};

/// A store that answers later, and counts what it was told.
#[derive(Clone)]
struct Remote {
    store: MemoryStore,
    seen: Arc<Mutex<Vec<KeyId>>>,
}

impl Remote {
    fn later<T: Send + 'static>(answer: Answer<T>) -> Answer<T> {
        Answer::later(async move {
            tokio::task::yield_now().await;
            answer.await
        })
    }
}

impl KeyStore for Remote {
    fn find(&self, by: &Lookup) -> Answer<Found> {
        Self::later(self.store.find(by))
    }

    fn seen(&self, id: &KeyId, _when: SystemTime) {
        self.seen.lock().unwrap().push(*id);
    }

    fn rules(&self) -> KeyRules {
        self.store.rules()
    }
}

impl KeyAdmin for Remote {
    fn insert(&self, record: KeyRecord) -> Answer<Result<(), AdminError>> {
        Self::later(KeyAdmin::insert(&self.store, record))
    }

    fn change(&self, id: &KeyId, change: KeyChange) -> Answer<Result<Arc<KeyRecord>, AdminError>> {
        Self::later(KeyAdmin::change(&self.store, id, change))
    }

    fn list(&self, filter: &KeyFilter, after: Option<&KeyId>, limit: usize) -> Answer<Result<Page, AdminError>> {
        Self::later(KeyAdmin::list(&self.store, filter, after, limit))
    }
}

async fn a_store_keeps_its_promises(admin: Arc<dyn KeyAdmin>) {
    let layer = ApiKeyLayer::new(Arc::clone(&admin));
    let issued = admin.issue(NewKey::for_owner("a").scopes(["read"])).await.unwrap();
    assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::OK);

    let newer = admin.rotate(issued.id(), Duration::from_secs(60)).await.unwrap();
    assert_eq!(newer.id(), issued.id());
    assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::OK);
    assert_eq!(status(layer.clone(), with_key(&newer)).await, StatusCode::OK);

    let old = Secret::new("an-imported-key-of-long-ago".to_owned());
    let imported = admin.import(&old, NewKey::for_owner("b")).await.unwrap();
    assert!(imported.is_imported());
    let page = admin.list(&KeyFilter::default(), None, 10).await.unwrap();
    assert_eq!(page.records.len(), 2);

    admin.revoke(issued.id()).await.unwrap();
    assert_eq!(status(layer.clone(), with_key(&issued)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(layer, with_key(&newer)).await, StatusCode::UNAUTHORIZED);
    let nobody = KeyId::new("nobody000000").unwrap();
    assert!(matches!(admin.revoke(&nobody).await, Err(AdminError::NotFound)));
    assert!(matches!(admin.rotate(&nobody, Duration::ZERO).await, Err(AdminError::NotFound)));
    let bad = admin.issue(NewKey::for_owner("a").scopes(["two words"])).await;
    assert!(matches!(bad, Err(AdminError::Issue(_))));
}

#[tokio::test]
async fn a_store_that_answers_later_keeps_the_contract_of_all_stores() {
    let open = async |rules| Arc::new(Remote { store: MemoryStore::with(rules), seen: Arc::default() }) as _;
    testing::key_store_contract(open).await;
}

#[tokio::test]
async fn a_store_in_memory_and_a_remote_one_keep_the_same_promises() {
    let store = || MemoryStore::with(rules(&TestClock::new()).accepting_imported());
    a_store_keeps_its_promises(Arc::new(store())).await;
    a_store_keeps_its_promises(Arc::new(Remote { store: store(), seen: Arc::default() })).await;
}

#[tokio::test]
async fn a_store_is_told_of_every_admission_and_of_no_refusal() {
    let (memory, issued) = store();
    let remote = Remote { store: memory.clone(), seen: Arc::default() };
    let layer = ApiKeyLayer::new(remote.clone());

    status(layer.clone(), with_key(&issued)).await;
    memory.revoke(issued.id()).unwrap();
    status(layer, with_key(&issued)).await;

    assert_eq!(*remote.seen.lock().unwrap(), [*issued.id()]);
}

#[tokio::test]
async fn many_records_are_stored_one_by_one_where_a_store_does_nothing_else() {
    let rules = rules(&TestClock::new());
    let remote = Remote { store: MemoryStore::with(rules.clone()), seen: Arc::default() };
    let records = (0..20_000).map(|_| (**rules.issue(NewKey::for_owner("a")).unwrap().record()).clone()).collect();

    let known = remote.insert_all(records).await.unwrap();

    assert!(known.is_empty());
    assert_eq!(remote.store.len(), 20_000);
}
