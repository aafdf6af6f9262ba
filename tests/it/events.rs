//! What the log and the span are told, and how much of it.

use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt};
use tower_keep::{ApiKeyLayer, RequireScopes, StoreError, store_fn};
use tracing::Instrument;

use crate::log::logged;
use crate::support::{Inner, get, store, with, with_key};

#[tokio::test]
async fn an_admission_is_an_event_and_is_recorded_on_the_span() {
    let (keys, issued) = store();
    let log = logged();
    let span = tracing::info_span!(
        "request",
        auth.subject = tracing::field::Empty,
        auth.credential_id = tracing::field::Empty,
        auth.scheme = tracing::field::Empty
    );

    ApiKeyLayer::new(keys).layer(Inner::new()).oneshot(with_key(&issued)).instrument(span).await.unwrap();

    let id = issued.id();
    let lines = log.lines();
    let event = format!(
        "DEBUG tower_keep message=admitted scheme=\"api-key\" subject=\"billing\" credential_id=\"{id}\" superseded=false"
    );
    assert_eq!(lines[0], event);
    assert!(lines.contains(&" auth.subject=\"billing\"".replacen(' ', "span ", 1)), "{lines:?}");
    assert!(lines.contains(&format!("span auth.credential_id=\"{id}\"")), "{lines:?}");
    assert!(lines.contains(&"span auth.scheme=\"api-key\"".to_owned()), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains(issued.key().expose())));
}

#[tokio::test]
async fn a_refusal_is_an_event_with_a_reason_that_the_caller_does_not_see() {
    let (keys, issued) = store();
    keys.revoke(issued.id()).unwrap();
    let rules = tower_keep::KeyStore::rules(&keys);
    let down = store_fn(|_| async { Err(StoreError::unavailable("connection refused")) }).rules(rules);
    let guarded = ApiKeyLayer::new(keys.clone()).layer(Inner::new());
    let down = ApiKeyLayer::new(down).layer(Inner::new());
    let good = keys.issue(tower_keep::NewKey::for_owner("b")).unwrap();
    let scoped = ApiKeyLayer::new(keys).layer(RequireScopes::all(["admin"]).layer(Inner::new()));
    let log = logged();

    let line = async |service: BoxCloneService<_, _, _>, request| {
        let response: http::Response<String> = service.oneshot(request).await.unwrap();
        let mut lines = log.lines();
        lines.retain(|line| line.contains("message=refused"));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(!response.body().contains("key_"), "{}", response.body());
        lines.remove(0)
    };
    let missing = line(BoxCloneService::new(guarded.clone()), get("/")).await;
    assert!(
        missing
            .starts_with("DEBUG tower_keep message=refused cause=\"missing\" reason=\"credential_missing\" status=401")
    );
    let junk = line(BoxCloneService::new(guarded.clone()), with(get("/"), "x-api-key", "junk")).await;
    assert!(junk.starts_with("INFO tower_keep message=refused cause=\"invalid\" reason=\"key_foreign\""), "{junk}");
    let revoked = line(BoxCloneService::new(guarded), with_key(&issued)).await;
    assert!(
        revoked.contains("reason=\"key_revoked\"") && revoked.contains(&format!("credential_id=\"{}\"", issued.id()))
    );
    let unavailable = line(BoxCloneService::new(down), with_key(&issued)).await;
    assert!(unavailable.starts_with("ERROR tower_keep message=refused cause=\"unavailable\""), "{unavailable}");
    assert!(unavailable.contains("connection refused"));
    let scope = line(BoxCloneService::new(scoped), with_key(&good)).await;
    assert!(scope.contains("reason=\"scope_missing\"") && scope.contains(&format!("credential_id=\"{}\"", good.id())));
}

#[tokio::test]
async fn a_flood_of_refusals_is_logged_as_a_trickle() {
    let (keys, _) = store();
    let layer = ApiKeyLayer::new(keys).refusals_logged_per_second(3);
    let log = logged();
    let start = std::time::Instant::now();

    for _ in 0..1_000 {
        // Each route of a router has a service of its own, made by a clone of the layer.
        layer.clone().layer(Inner::new()).oneshot(with(get("/"), "x-api-key", "junk")).await.unwrap();
    }

    let windows = start.elapsed().as_secs() as usize + 2;
    let lines = log.lines().len();
    assert!((3..=3 * windows).contains(&lines), "{lines} lines in {windows} windows");
}

#[tokio::test]
async fn report_only_says_what_it_would_refuse() {
    let (keys, issued) = store();
    let service = ApiKeyLayer::new(keys).report_only().layer(RequireScopes::all(["admin"]).layer(Inner::new()));
    let log = logged();

    service.clone().oneshot(with(get("/"), "x-api-key", "junk")).await.unwrap();
    let lines = log.lines();
    assert!(lines[0].contains("reason=\"key_foreign\"") && lines[0].contains("report_only=true"), "{lines:?}");

    service.oneshot(with_key(&issued)).await.unwrap();
    let lines = log.lines();
    assert!(lines.iter().any(|line| line.contains("reason=\"scope_missing\"") && line.contains("report_only=true")));
}

#[tokio::test]
async fn a_missing_layer_is_told_to_the_log() {
    let log = logged();

    RequireScopes::all(["a"]).layer(Inner::new()).oneshot(get("/")).await.unwrap();

    let lines = log.lines();
    assert!(
        lines.iter().any(|line| line.starts_with("ERROR") && line.contains("reason=\"layer_missing\"")),
        "{lines:?}"
    );
}
