//! What a guarded request costs beside an unguarded one. All cases of a group send the same request, which is made
//! outside the clock, so the ratios between them say more than the times.
//!
//! ```text
//! cargo bench --all-features --bench overhead
//! ```

#![allow(clippy::expect_used, reason = "a benchmark may stop")]
#![allow(missing_docs, reason = "criterion writes the main function")]

mod support;

use std::time::Duration;

use axum::Router;
use axum::routing::post;
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, criterion_group, criterion_main};
use http::{Method, Request, Response, StatusCode};
use tower::Service;
use tower::layer::layer_fn;
use tower_keep::{ApiKeyLayer, MemoryStore, NewKey};

use support::{Body, Hello, Marking, drive, guarded, mistyped, request, scattered};

criterion_group!(benches, layer, router);
criterion_main!(benches);

/// The layer around a service that does nothing.
fn layer(criterion: &mut Criterion) {
    let mut group = group(criterion, "layer");
    let (few, some_keys) = issued(1_000);
    let (many, all_keys) = issued(1_000_000);
    let wrong = mistyped(&some_keys[0]);
    let unknown: Vec<_> =
        (0..1_000).map(|_| few.rules().format().generate().expect("randomness").expose().to_owned()).collect();

    case(&mut group, "bare", Hello, || sent(Some(&some_keys[0])));
    case(&mut group, "no-op and one extension", Marking(Hello), || sent(Some(&some_keys[0])));
    case(&mut group, "admitted, 1 of 10^3 keys", guarded(&few), || sent(Some(&some_keys[0])));
    case(&mut group, "admitted, all of 10^3 keys", guarded(&few), each(&some_keys));
    case(&mut group, "admitted, 10^3 of 10^6 keys", guarded(&many), each(&all_keys[..1_000]));
    case(&mut group, "admitted, all of 10^6 keys", guarded(&many), each(&all_keys));
    case(&mut group, "refused, missing", guarded(&few), || sent(None));
    case(&mut group, "refused, wrong checksum", guarded(&few), || sent(Some(&wrong)));
    case(&mut group, "refused, unknown id", guarded(&few), each(&unknown));
    group.finish();
}

/// The layer in an axum application.
fn router(criterion: &mut Criterion) {
    let mut group = group(criterion, "axum");
    let (store, keys) = issued(1_000);
    let bare = Router::new().route("/orders/{id}", post(|| async {}));
    let marking = bare.clone().layer(layer_fn(Marking));
    let guarded = bare.clone().layer(ApiKeyLayer::new(store));
    // As `axum::serve` does; layers are put around handlers for each request again otherwise.
    let [bare, marking, guarded] = [bare, marking, guarded].map(|router| router.with_state(()));
    let sent = || request::<axum::body::Body>(Method::POST, Some(("x-api-key", &keys[0])));

    case(&mut group, "bare", bare, sent);
    case(&mut group, "no-op and one extension", marking, sent);
    case(&mut group, "guarded", guarded, sent);
    group.finish();
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    group
}

fn case<B, D, S: Service<Request<B>, Response = Response<D>>>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    mut service: S,
    mut request: impl FnMut() -> Request<B>,
) {
    let refused = drive(&mut service, request()).status() == StatusCode::UNAUTHORIZED;
    assert_eq!(refused, name.starts_with("refused"), "{name}");
    group.bench_function(name, |bencher| {
        bencher.iter_batched(&mut request, |request| drive(&mut service, request), BatchSize::SmallInput);
    });
}

fn sent(key: Option<&str>) -> Request<Body> {
    request(Method::POST, key.map(|key| ("x-api-key", key)))
}

/// Sends the keys in an order that no cache can guess.
fn each(keys: &[String]) -> impl FnMut() -> Request<Body> {
    let mut number = 0;
    move || {
        number += 1;
        sent(Some(&keys[(scattered(number) % keys.len() as u64) as usize]))
    }
}

/// Issues keys.
fn issued(keys: usize) -> (MemoryStore, Vec<String>) {
    let store = MemoryStore::new();
    let new = NewKey::for_owner("customer").scopes(["orders:read", "orders:write"]);
    let keys =
        (0..keys).map(|_| store.issue(new.clone()).expect("the key can be issued").key().expose().to_owned()).collect();
    (store, keys)
}
