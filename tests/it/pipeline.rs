//! Readiness, clones, and what a refusal or a dropped future leaves behind.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use once::{assert_pending, assert_ready};
use tower::buffer::Buffer;
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keep::{Answer, ApiKeyLayer, AuthLayer, Found, Lookup, Principal, RequireScopes, store_fn};
use tower_test::mock;

use crate::support::{Inner, Slow, Ticket, get, store, with, with_key};

/// Polling a future once.
mod once {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    pub fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    pub fn assert_pending<F: Future>(future: Pin<&mut F>) {
        assert!(poll_once(future).is_pending(), "the future is ready");
    }

    pub fn assert_ready<F: Future>(future: Pin<&mut F>) -> F::Output {
        match poll_once(future) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("the future is not ready"),
        }
    }
}

/// Panics when it is called without having been polled ready; its clones start un-ready. It is not ready at the first
/// poll.
#[derive(Default)]
struct Strict {
    polls: usize,
    ready: bool,
    clones: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::SeqCst);
        Self { clones: Arc::clone(&self.clones), calls: Arc::clone(&self.calls), ..Self::default() }
    }
}

impl Service<Request<String>> for Strict {
    type Response = Response<String>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Response<String>, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.polls += 1;
        if self.polls == 1 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<String>) -> Self::Future {
        assert!(self.ready, "called without having been polled ready");
        self.ready = false;
        self.calls.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok(Response::default()))
    }
}

#[tokio::test]
async fn an_answer_that_is_known_calls_the_polled_service_itself() {
    let (keys, issued) = store();
    let inner = Strict::default();
    let (clones, calls) = (Arc::clone(&inner.clones), Arc::clone(&inner.calls));
    let mut service = ApiKeyLayer::new(keys).layer(inner);

    for _ in 0..3 {
        let response = service.ready().await.unwrap().call(with_key(&issued)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }

    assert_eq!(clones.load(Ordering::SeqCst), 0);
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_answer_that_comes_later_drives_a_clone_ready_before_it_calls_it() {
    let (store, issued) = store();
    let inner = Strict::default();
    let (clones, calls) = (Arc::clone(&inner.clones), Arc::clone(&inner.calls));
    let mut service = ApiKeyLayer::new(Slow { store, polls: 2 }).layer(inner);

    for _ in 0..3 {
        let response = service.ready().await.unwrap().call(with_key(&issued)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }

    // One for the call, one in the place of the service that was ready.
    assert_eq!(clones.load(Ordering::SeqCst), 3 * 2);
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn the_layer_is_ready_exactly_when_the_inner_service_is() {
    let (mut service, mut handle) =
        mock::spawn_layer::<Request<String>, Response<String>, _>(ApiKeyLayer::new(store().0));
    handle.allow(0);
    assert!(service.poll_ready().is_pending());

    handle.allow(1);

    assert!(matches!(service.poll_ready(), Poll::Ready(Ok(()))));
}

#[tokio::test]
async fn an_inner_service_that_fails_fails_through_the_layer() {
    let (mut service, mut handle) =
        mock::spawn_layer::<Request<String>, Response<String>, _>(ApiKeyLayer::new(store().0));

    handle.send_error("broken");

    assert!(matches!(service.poll_ready(), Poll::Ready(Err(_))));
}

#[tokio::test]
async fn a_clone_that_fails_to_become_ready_fails_the_call() {
    #[derive(Clone)]
    struct Broken;

    impl Service<Request<String>> for Broken {
        type Response = Response<String>;
        type Error = &'static str;
        type Future = std::future::Ready<Result<Response<String>, Self::Error>>;

        fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Err("broken"))
        }

        fn call(&mut self, _request: Request<String>) -> Self::Future {
            unreachable!("called although it is broken")
        }
    }

    let response = AuthLayer::over(Ticket).layer(Broken).call(with(get("/"), "ticket", "slow-good"));

    assert_eq!(response.await.unwrap_err(), "broken");
}

#[tokio::test]
async fn a_refusal_never_reaches_the_service() {
    let layer = AuthLayer::over(Ticket);
    for request in [get("/"), with(get("/"), "ticket", "bad"), with(get("/"), "ticket", "slow-bad")] {
        let (mut service, mut handle) = mock::spawn_layer::<Request<String>, Response<String>, _>(layer.clone());
        assert!(matches!(service.poll_ready(), Poll::Ready(Ok(()))));

        let response = service.call(request).await.unwrap();

        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_pending(pin!(handle.next_request()));
    }
}

#[tokio::test]
async fn hanging_verifications_hold_no_permit_of_a_concurrency_limit() {
    let layer = AuthLayer::over(Ticket);
    let limited = ConcurrencyLimit::new(Inner::new(), 1);
    let service = layer.layer(limited);
    let mut junk = Vec::new();
    for _ in 0..10 {
        // As a server does: polled ready, called, and let go of.
        let mut call = Box::pin(service.clone().oneshot(with(get("/"), "ticket", "slow-hang")));
        assert_pending(call.as_mut());
        junk.push(call);
    }

    for ticket in ["slow-good", "good"] {
        let call = service.clone().oneshot(with(get("/"), "ticket", ticket));
        let response = tokio::time::timeout(Duration::from_secs(5), call).await;
        assert_eq!(response.expect("junk holds the permit").unwrap().status(), StatusCode::OK);
    }
    drop(junk);
}

#[tokio::test]
async fn a_caller_that_keeps_its_service_does_not_wait_for_itself() {
    async fn all_kinds<S>(mut service: S)
    where
        S: Service<Request<String>, Response = Response<String>, Error: std::fmt::Debug>,
    {
        for ticket in ["good", "slow-good", "slow-bad", "bad", "slow-good", "good"] {
            let call = async { service.ready().await.unwrap().call(with(get("/"), "ticket", ticket)).await.unwrap() };
            let response = tokio::time::timeout(Duration::from_secs(5), call).await.expect(ticket);
            assert_eq!(response.status().is_success(), ticket.ends_with("good"), "{ticket}");
        }
    }
    let layer = AuthLayer::over(Ticket);
    all_kinds(layer.layer(Buffer::new(Strict::default(), 1))).await;
    all_kinds(layer.layer(ConcurrencyLimit::new(Strict::default(), 1))).await;
}

/// Tells when it is dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn dropping_the_future_while_it_verifies_drops_the_verification_and_the_request() {
    let drops = Arc::new(AtomicUsize::new(0));
    let inside = Arc::clone(&drops);
    let store = store_fn(move |_: Lookup| {
        let guard = Dropped(Arc::clone(&inside));
        async move {
            let _guard = guard;
            pending::<Found>().await
        }
    })
    .rules(store().0.rules());
    let mut request = with_key(&crate::support::store().1);
    request.extensions_mut().insert(Arc::new(Dropped(Arc::clone(&drops))));

    let mut response = Box::pin(ApiKeyLayer::new(store).layer(Inner::new()).call(request));
    assert_pending(response.as_mut());
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    drop(response);

    assert_eq!(drops.load(Ordering::SeqCst), 2);
}

#[test]
fn dropping_the_future_while_the_inner_service_works_drops_that_work() {
    let drops = Arc::new(AtomicUsize::new(0));
    let inside = Arc::clone(&drops);
    let (keys, issued) = store();
    let service = service_fn(move |_: Request<String>| {
        let guard = Dropped(Arc::clone(&inside));
        async move {
            let _guard = guard;
            pending::<Result<Response<String>, std::convert::Infallible>>().await
        }
    });

    let mut response = Box::pin(ApiKeyLayer::new(keys).layer(service).call(with_key(&issued)));
    assert_pending(response.as_mut());
    drop(response);

    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[test]
fn the_future_can_be_dropped_at_every_poll_and_the_next_request_is_served() {
    let (store, issued) = store();
    let mut service = ApiKeyLayer::new(Slow { store, polls: 3 }).layer(Strict::default());
    for polls in 0..6 {
        let mut response = Box::pin(service.call_when_ready(with_key(&issued)));
        for _ in 0..polls {
            let _ = once::poll_once(response.as_mut());
        }
    }
    let mut response = Box::pin(service.call_when_ready(with_key(&issued)));
    let response = loop {
        if let Poll::Ready(response) = once::poll_once(response.as_mut()) {
            break response;
        }
    };
    assert_eq!(response.status(), StatusCode::OK);
}

/// Polls ready and calls, as a server does.
trait CallWhenReady {
    fn call_when_ready(&mut self, request: Request<String>) -> impl Future<Output = Response<String>>;
}

impl<S> CallWhenReady for S
where
    S: Service<Request<String>, Response = Response<String>, Error = std::convert::Infallible>,
{
    async fn call_when_ready(&mut self, request: Request<String>) -> Response<String> {
        poll_fn(|cx| self.poll_ready(cx)).await.unwrap();
        self.call(request).await.unwrap()
    }
}

#[test]
fn a_known_answer_is_ready_at_the_first_poll() {
    let (keys, issued) = store();
    let mut service = ApiKeyLayer::new(keys).layer(Inner::new());

    let admitted = assert_ready(pin!(service.call(with_key(&issued))));
    let refused = assert_ready(pin!(service.call(get("/"))));

    assert_eq!(admitted.unwrap().status(), StatusCode::OK);
    assert_eq!(refused.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn answers_of_both_kinds_compose() {
    let now = Answer::Now(20).map(|n| n + 1).then(|n| Answer::Now(n * 2));
    assert!(matches!(now, Answer::Now(42)));

    let later = Answer::later(async { 20 }).map(|n| n + 1).then(|n| Answer::Now(n * 2));
    assert!(matches!(later, Answer::Later(_)));
    assert_eq!(later.await, 42);

    assert_eq!(Answer::Now(20).then(|n| Answer::later(async move { n + 22 })).await, 42);
}

#[tokio::test]
async fn scopes_keep_readiness_too() {
    let (keys, issued) = store();
    let mut service = ApiKeyLayer::new(keys).layer(RequireScopes::all(["read"]).layer(Strict::default()));
    for _ in 0..3 {
        let response = service.ready().await.unwrap().call(with_key(&issued)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn the_principal_of_the_outer_layer_stands_before_the_one_of_the_inner() {
    let (keys, issued) = store();
    let inner = Inner::new();
    let service = AuthLayer::over(Ticket).layer(ApiKeyLayer::new(keys).layer(inner.clone()));

    let request = with(with_key(&issued), "ticket", "good");
    assert_eq!(service.clone().oneshot(request).await.unwrap().status(), StatusCode::OK);
    let head = inner.only_head();
    let principal = head.extensions.get::<Principal>().unwrap();
    assert_eq!(principal.subject(), "billing");
    assert_eq!(principal.before().unwrap().subject(), "guest");

    let response = service.oneshot(with(get("/"), "ticket", "good")).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(crate::support::values(response.headers(), "www-authenticate"), [r#"ApiKey realm="api""#]);
}
