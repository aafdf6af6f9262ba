//! What stands behind `RequireHttps`: the guard, and the service that nobody may reach over plain HTTP.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use http::header::STRICT_TRANSPORT_SECURITY;
use http::{Extensions, HeaderValue, Request, Response};
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{ApiKey, ApiKeyLayer, MemoryStore, NewKey, Origin};

/// A service that counts the requests it sees, and answers how they came in. It has its own idea of HSTS, which the layer
/// outside has to replace.
#[derive(Clone, Default)]
pub(crate) struct Inner(Arc<AtomicUsize>);

impl Inner {
    /// Returns how many requests came as far as this.
    pub(crate) fn seen(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Counts a request, and writes how it came in: `Secure from 127.0.0.1 for localhost`.
    pub(crate) fn tell(&self, request: &Extensions) -> String {
        self.0.fetch_add(1, Ordering::SeqCst);
        let origin = request.get::<Origin>().expect("the layer leaves the origin");
        let peer = origin.peer().map_or("nobody".to_owned(), |peer| peer.to_string());
        format!("{:?} from {peer} for {}", origin.transport(), origin.authority().unwrap_or("nobody"))
    }

    pub(crate) fn answer<B: From<String>>(&self, request: &Extensions) -> Response<B> {
        let mut response = Response::new(self.tell(request).into());
        response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=1"));
        response
    }

    /// Serves every path, to holders of a key.
    pub(crate) fn router(&self, guard: ApiKeyLayer) -> Router {
        let inner = self.clone();
        Router::new()
            .fallback(async move |request: axum::extract::Request| {
                inner.answer::<axum::body::Body>(request.extensions())
            })
            .layer(guard)
    }
}

/// Keys, and the layer that lets them in and revokes those that are exposed.
pub(crate) struct Keys {
    store: MemoryStore,
    /// A good key.
    pub(crate) key: String,
}

impl Keys {
    pub(crate) fn new() -> Self {
        let store = MemoryStore::with_prefix("test").unwrap();
        let key = issue(&store);
        Self { store, key }
    }

    pub(crate) fn issue(&self) -> String {
        issue(&self.store)
    }

    /// Returns whether a key is let in, apart from all transports.
    pub(crate) async fn is_good(&self, key: &str) -> bool {
        let service = self.guard().layer(service_fn(async |_| Ok::<_, Infallible>(Response::new(String::new()))));
        let request = Request::get("/").header("x-api-key", key).body(String::new()).unwrap();
        service.oneshot(request).await.unwrap().status().is_success()
    }

    pub(crate) fn guard(&self) -> ApiKeyLayer {
        ApiKeyLayer::over(ApiKey::new(self.store.clone()).revoke_exposed(self.store.clone()))
    }
}

fn issue(store: &MemoryStore) -> String {
    store.issue(NewKey::for_owner("billing")).unwrap().key().expose().to_owned()
}
