//! What the types promise without running.

use tower_keep::{
    AdminError, Anonymous, Answer, ApiKey, ApiKeyLayer, Auth, AuthLayer, Cause, Challenge, ConfigError, FormatError,
    IssueError, IssuedKey, KeyAdmin, KeyDigest, KeyFilter, KeyFormat, KeyHasher, KeyId, KeyRecord, KeyRules, KeyStore,
    Lookup, MemoryStore, Need, NewKey, Page, Principal, Problem, Rejection, RequireScopes, Scopes, Secret, StoreError,
};

fn shared<T: Send + Sync + std::fmt::Debug + 'static>() {}
fn cloned<T: Clone>() {}

#[test]
fn every_public_type_is_shared_between_threads_and_can_be_printed() {
    shared::<(AdminError, Anonymous, ApiKey, ApiKeyLayer, Cause, Challenge, ConfigError, FormatError)>();
    shared::<(IssueError, IssuedKey, KeyDigest, KeyFilter, KeyFormat, KeyHasher, KeyId, KeyRecord, KeyRules)>();
    shared::<(Lookup, MemoryStore, Need, NewKey, Page, Principal, Problem, Rejection, RequireScopes, Scopes)>();
    shared::<(Secret, StoreError, Auth<(), ApiKey>, AuthLayer<tower_keep::auth::Or<ApiKey, ApiKey>>)>();
    cloned::<(Principal, Anonymous, Rejection, ApiKeyLayer, Auth<(), ApiKey>, MemoryStore, RequireScopes)>();
}

#[test]
fn answers_are_sent_and_stores_are_objects() {
    fn sent<T: Send>() {}
    fn object(_: Option<(&dyn KeyStore, &dyn KeyAdmin)>) {}
    sent::<Answer<Result<Principal, Rejection>>>();
    object(None);
}

#[test]
fn a_principal_is_small_enough_to_move() {
    assert!(size_of::<Principal>() <= 72, "{}", size_of::<Principal>());
    assert!(size_of::<Rejection>() <= 64, "{}", size_of::<Rejection>());
}
