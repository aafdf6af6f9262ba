//! What is counted.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use ::metrics::with_local_recorder;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tower::{Layer, ServiceExt};
use tower_keep::{ApiKeyLayer, RequireHttps};

use crate::support::{Inner, get, store, with, with_key};

/// Does something that waits for nothing, and returns what was counted meanwhile.
fn counted(work: impl Future<Output = ()>) -> BTreeMap<String, u64> {
    counted_while(|| {
        let polled = pin!(work).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(())));
    })
}

/// Does something on this thread, and returns what was counted meanwhile.
pub fn counted_while(work: impl FnOnce()) -> BTreeMap<String, u64> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    with_local_recorder(&recorder, work);
    let counters = snapshotter.snapshot().into_vec().into_iter().map(|(key, _, _, value)| {
        let labels: Vec<_> = key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let DebugValue::Counter(count) = value else { panic!("{key:?} is no counter") };
        (format!("{}{{{}}}", key.key().name(), labels.join(",")), count)
    });
    counters.collect()
}

#[test]
fn admissions_and_refusals_are_counted_by_cause_and_by_nothing_of_the_request() {
    let (keys, issued) = store();
    let layer = ApiKeyLayer::new(keys).refusals_logged_per_second(0);
    let send = async |layer: ApiKeyLayer, request| drop(layer.layer(Inner::new()).oneshot(request).await);

    let counts = counted(async {
        send(layer.clone(), with_key(&issued)).await;
        for _ in 0..20 {
            send(layer.clone(), get("/")).await;
        }
        send(layer.clone(), with(get("/"), "x-api-key", "junk")).await;
        send(layer.clone().optional(), get("/")).await;
        send(layer.clone().report_only(), with(get("/"), "x-api-key", "junk")).await;
        drop(RequireHttps::new().layer(Inner::new()).oneshot(get("/")).await);
    });

    let expected = [
        ("tower_keep_admitted_total{}", 1),
        ("tower_keep_anonymous_total{}", 2),
        ("tower_keep_refused_total{cause=insecure,reason=transport_untold,report_only=false}", 1),
        ("tower_keep_refused_total{cause=invalid,reason=key_foreign,report_only=false}", 1),
        ("tower_keep_refused_total{cause=invalid,reason=key_foreign,report_only=true}", 1),
        ("tower_keep_refused_total{cause=missing,reason=credential_missing,report_only=false}", 20),
    ];
    assert_eq!(counts, expected.map(|(name, count)| (name.to_owned(), count)).into());
}
