//! What the types promise without running.

use tower_keep::{
    AdminError, Anonymous, Answer, ApiKey, ApiKeyLayer, Auth, AuthLayer, Cause, Challenge, ConfigError, Exposed,
    FormatError, Hsts, IssueError, IssuedKey, KeyAdmin, KeyDigest, KeyFilter, KeyFormat, KeyHasher, KeyId, KeyRecord,
    KeyRules, KeyStore, Lookup, MemoryStore, Need, NewKey, Origin, Page, Principal, Problem, Rejection, RequireHttps,
    RequireScopes, Scopes, Secret, StoreError, Transport, TrustedProxies,
};

fn shared<T: Send + Sync + std::fmt::Debug + 'static>() {}
fn cloned<T: Clone>() {}

#[test]
fn every_public_type_is_shared_between_threads_and_can_be_printed() {
    shared::<(AdminError, Anonymous, ApiKey, ApiKeyLayer, Cause, Challenge, ConfigError, FormatError)>();
    shared::<(IssueError, IssuedKey, KeyDigest, KeyFilter, KeyFormat, KeyHasher, KeyId, KeyRecord, KeyRules)>();
    shared::<(Lookup, MemoryStore, Need, NewKey, Page, Principal, Problem, Rejection, RequireScopes, Scopes)>();
    shared::<(Secret, StoreError, Auth<(), ApiKey>, AuthLayer<tower_keep::auth::Or<ApiKey, ApiKey>>)>();
    shared::<(Exposed, Hsts, Origin, RequireHttps, Transport, TrustedProxies)>();
    shared::<(tower_keep::https::RequireHttpsService<()>, tower_keep::origin::Marked<()>)>();
    shared::<(tower_keep::ProtectedResource, tower_keep::ResourceMetadata, tower_keep::ScopeCatalogue)>();
    shared::<(tower_keep::RequireLogin, tower_keep::auth::RequireLoginService<()>, tower_keep::Standing)>();
    cloned::<(Origin, RequireHttps, TrustedProxies, tower_keep::https::RequireHttpsService<()>)>();
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

#[test]
fn every_error_says_what_is_wrong_in_one_line() {
    let given = || "x".to_owned();
    let config = [
        ConfigError::HeaderName { given: given() },
        ConfigError::HeaderReserved { given: given() },
        ConfigError::ParameterName { given: given() },
        ConfigError::Origin { given: given() },
        ConfigError::Scope { given: given() },
        ConfigError::ScopesEmpty,
        ConfigError::ScopeUnlisted { given: given() },
        ConfigError::ScopeReserved { given: given() },
        ConfigError::ResourceUrl { given: given() },
        ConfigError::ResourceAudience { resource: given() },
        ConfigError::AuthorizationServersMissing,
        ConfigError::LoginConditionsMissing,
        ConfigError::Acr { given: given() },
        ConfigError::MethodPath { given: given() },
        ConfigError::Realm { given: given() },
        ConfigError::KeyPrefix { length: 3 },
        ConfigError::KeyId { length: 3 },
        ConfigError::PepperId { length: 3 },
        ConfigError::PepperIdRepeated { given: given() },
        ConfigError::PepperTooShort { bytes: 3 },
        ConfigError::DigestTag { length: 3 },
        ConfigError::ClientAuthMissing,
        ConfigError::RememberedTooLong { given: std::time::Duration::from_secs(61) },
        ConfigError::SigningKey { algorithm: "ES256" },
        ConfigError::ProxyNetwork { given: given() },
        ConfigError::ProxyNetworkOpen { given: given() },
        ConfigError::ProxyHops { given: 9 },
        ConfigError::PeerMissing,
        ConfigError::Host { given: given() },
        ConfigError::HostsEmpty,
        ConfigError::ExemptPath { given: given() },
        ConfigError::HstsPreload,
    ];
    let issue = [
        IssueError::Config(ConfigError::ScopesEmpty),
        IssueError::OwnerEmpty,
        IssueError::NeverValid,
        IssueError::ImportNotAccepted,
        IssueError::ImportTooShort,
        IssueError::ImportOwnFormat,
        IssueError::ForeignId,
    ];
    let admin = [
        AdminError::Issue(IssueError::OwnerEmpty),
        AdminError::NotFound,
        AdminError::AlreadyExists,
        AdminError::Ended,
        AdminError::Store(StoreError::unavailable("down")),
        AdminError::Store(StoreError::misconfigured("wrong")),
    ];
    let format = [FormatError::Foreign, FormatError::Shape, FormatError::Checksum];
    let texts: Vec<_> = config.iter().map(ToString::to_string).collect();
    let issue: Vec<_> = issue.iter().map(ToString::to_string).collect();
    let admin: Vec<_> = admin.iter().map(ToString::to_string).collect();
    let format: Vec<_> = format.iter().map(ToString::to_string).collect();
    for texts in [texts, issue, format] {
        for text in &texts {
            assert!(text.len() > 10 && !text.ends_with('.') && !text.contains('\n'), "{text:?}");
            assert!(!text.starts_with(char::is_uppercase), "{text:?}");
            assert_eq!(texts.iter().filter(|other| *other == text).count(), 1, "{text:?}");
        }
    }
    assert!(admin.iter().all(|text| text.len() > 10));
    let source = std::error::Error::source(&AdminError::Issue(IssueError::OwnerEmpty)).map(ToString::to_string);
    assert_eq!(source.as_deref(), Some("the owner is empty"));
    let store = AdminError::Store(StoreError::unavailable("down"));
    let source = std::error::Error::source(&store).and_then(std::error::Error::source).map(ToString::to_string);
    assert_eq!(source.as_deref(), Some("down"));
}
