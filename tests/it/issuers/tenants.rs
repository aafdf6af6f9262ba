//! Issuers that are looked up when a token of theirs comes.

use std::convert::Infallible;
use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{advance, sleep};
use tower::service_fn;
use tower_keep::{
    Algorithm, Answer, BearerLayer, Cause, ConfigError, HttpClient, Issuers, Jwt, PresentedToken, Principal, Rejection,
    RemoteKeys, Tenants, TokenVerifier,
};

use super::{STAFF, token_of, verifier};
use crate::support::{TestClock, get, send, with};
use crate::tokens::mint::{AUDIENCE, Signer};

const REALMS: &str = "https://login.example.com/realms/";

type Found = Result<Option<Arc<dyn TokenVerifier>>, Box<dyn Error + Send + Sync>>;

fn realm(name: impl std::fmt::Display) -> String {
    format!("{REALMS}{name}")
}

/// What is asked about tenants. It waits until it may answer.
#[derive(Clone)]
struct Registry {
    signer: Arc<Signer>,
    asked: Arc<Mutex<Vec<String>>>,
    gate: Option<Arc<Notify>>,
}

impl Registry {
    fn new() -> Self {
        Self { signer: Arc::new(Signer::new(Algorithm::EdDSA)), asked: Arc::default(), gate: None }
    }

    fn gated() -> (Self, Arc<Notify>) {
        let gate = Arc::new(Notify::new());
        (Self { gate: Some(Arc::clone(&gate)), ..Self::new() }, gate)
    }

    /// Knows the tenants whose names start with `t`, fails for those that start with `f`, hangs at `h`, panics at `p`.
    fn find(&self, issuer: &str) -> Answer<Found> {
        self.asked.lock().unwrap().push(issuer.to_owned());
        let (this, issuer) = (self.clone(), issuer.to_owned());
        Answer::later(async move {
            if let Some(gate) = this.gate {
                gate.notified().await;
            }
            match issuer[REALMS.len()..].chars().next() {
                Some('t') => Ok(Some(Arc::new(verifier(&this.signer, &issuer, AUDIENCE)) as Arc<dyn TokenVerifier>)),
                Some('f') => Err("the database is away, at db.internal".into()),
                Some('h') => std::future::pending().await,
                Some('p') => panic!("meant to"),
                _ => Ok(None),
            }
        })
    }

    fn tenants(&self) -> Tenants {
        let this = self.clone();
        Tenants::below(REALMS, move |issuer| this.find(issuer))
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn token(&self, tenant: &str) -> PresentedToken {
        PresentedToken::from_text(&token_of(&self.signer, &realm(tenant))).unwrap()
    }
}

async fn ask(issuers: &Issuers, token: &PresentedToken) -> Result<Principal, Rejection> {
    issuers.verify(token).await
}

fn reason(verdict: Result<Principal, Rejection>) -> &'static str {
    verdict.map_or_else(|rejection| rejection.reason(), |_| "ok")
}

#[tokio::test(start_paused = true)]
async fn a_tenant_is_looked_up_once_and_then_known() {
    let registry = Registry::new();
    let issuers = Issuers::resolve(registry.tenants()).unwrap();
    let token = registry.token("t1");

    let principal = ask(&issuers, &token).await.unwrap();

    assert_eq!(principal.issuer(), Some(realm("t1").as_str()));
    assert!(issuers.verify(&token).now().unwrap().is_ok(), "it is known at once");
    assert_eq!(*registry.asked.lock().unwrap(), [realm("t1")]);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_about_an_issuer_that_is_not_allowed() {
    let registry = Registry::new();
    let issuers = Issuers::resolve(registry.tenants()).unwrap();
    let long = realm("t".repeat(512));
    for issuer in [
        "https://evil.example/realms/t1",
        "https://login.example.com/realms/",
        "https://login.example.com/realms/../t1",
        "https://login.example.com/realms/t1?x",
        "https://login.example.com/realms",
        &long,
        "",
    ] {
        let token = PresentedToken::from_text(&token_of(&registry.signer, issuer)).unwrap();

        let verdict = issuers.verify(&token).now().expect("it is known at once");

        assert_eq!(reason(verdict), "token_issuer_unknown", "{issuer}");
    }
    assert_eq!(registry.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_cause_one_look_up_and_those_who_go_away_end_nothing() {
    let (registry, gate) = Registry::gated();
    let issuers = Issuers::resolve(registry.tenants()).unwrap();
    let token = registry.token("t1");
    let first = {
        let (issuers, token) = (issuers.clone(), token.clone());
        tokio::spawn(async move { ask(&issuers, &token).await })
    };
    tokio::task::yield_now().await;
    first.abort();
    let others: Vec<_> = (0..1_000)
        .map(|_| {
            let (issuers, token) = (issuers.clone(), token.clone());
            tokio::spawn(async move { ask(&issuers, &token).await })
        })
        .collect();
    tokio::task::yield_now().await;
    gate.notify_one();

    for other in others {
        assert!(other.await.unwrap().is_ok());
    }
    assert_eq!(registry.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_none_is_remembered_for_a_while() {
    let registry = Registry::new();
    let issuers = Issuers::resolve(registry.tenants().unknown_for(Duration::from_secs(60))).unwrap();
    let token = registry.token("nobody");

    assert_eq!(reason(ask(&issuers, &token).await), "token_issuer_unknown");
    advance(Duration::from_secs(59)).await;
    assert_eq!(reason(issuers.verify(&token).now().unwrap()), "token_issuer_unknown");
    assert_eq!(registry.asked(), 1);
    advance(Duration::from_secs(2)).await;
    assert_eq!(reason(ask(&issuers, &token).await), "token_issuer_unknown");
    assert_eq!(registry.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn of_issuers_that_are_none_a_thousand_are_remembered() {
    let registry = Registry::new();
    let issuers = Issuers::resolve(registry.tenants()).unwrap();
    let asked = async |number: usize| {
        let before = registry.asked();
        assert_eq!(reason(ask(&issuers, &registry.token(&number.to_string())).await), "token_issuer_unknown");
        registry.asked() - before
    };
    for number in 0..1_001 {
        assert_eq!(asked(number).await, 1);
        // So that each has its own end.
        advance(Duration::from_millis(1)).await;
    }

    assert_eq!(asked(1_000).await, 0);
    assert_eq!(asked(1).await, 0);
    assert_eq!(asked(0).await, 1, "the first one made way");
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_fails_is_503_and_not_repeated_at_once() {
    let registry = Registry::new();
    let issuers = Issuers::resolve(registry.tenants()).unwrap();
    let token = registry.token("fails");

    for _ in 0..5 {
        let rejection = ask(&issuers, &token).await.unwrap_err();
        assert_eq!((rejection.cause(), rejection.reason()), (Cause::Unavailable, "issuer_unavailable"));
        assert_eq!(rejection.retry_after(), Some(Duration::from_secs(1)));
        assert!(rejection.source().unwrap().to_string().contains("away"), "the log is told why");
    }
    assert_eq!(registry.asked(), 1);
    advance(Duration::from_millis(1_001)).await;
    assert_eq!(reason(ask(&issuers, &token).await), "issuer_unavailable");
    assert_eq!(registry.asked(), 2);

    let layer = BearerLayer::new(issuers);
    let request = with(get("/"), "authorization", &format!("Bearer {}", token.expose()));
    let response = send(layer, request).await.0;
    assert_eq!(
        (response.status(), &response.headers()["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().unwrap())
    );
    assert!(!response.body().contains("internal"), "callers are not told");
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_hangs_is_given_up_after_five_seconds() {
    let registry = Registry::new();
    let issuers = Issuers::resolve(registry.tenants()).unwrap();
    let start = tokio::time::Instant::now();

    let rejection = ask(&issuers, &registry.token("hangs")).await.unwrap_err();

    assert_eq!(rejection.cause(), Cause::Unavailable);
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_panics_is_503_and_made_again() {
    let registry = Registry::new();
    let issuers = Issuers::resolve(registry.tenants()).unwrap();
    for asked in 1..=3 {
        assert_eq!(ask(&issuers, &registry.token("panics")).await.unwrap_err().cause(), Cause::Unavailable);
        assert_eq!(registry.asked(), asked);
    }
    assert!(ask(&issuers, &registry.token("t1")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn more_look_ups_at_once_than_there_may_be_are_503() {
    let registry = Registry::new();
    let issuers = Issuers::resolve(registry.tenants()).unwrap();
    let hanging: Vec<_> = (0..64).map(|number| issuers.verify(&registry.token(&format!("hangs{number}")))).collect();

    let one_more = issuers.verify(&registry.token("t1")).now().expect("it is known at once");
    assert_eq!(one_more.unwrap_err().cause(), Cause::Unavailable);
    assert_eq!(registry.asked(), 64);
    drop(hanging);
    sleep(Duration::from_secs(6)).await;
    assert!(ask(&issuers, &registry.token("t1")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_tenant_that_was_not_asked_for_the_longest_makes_way() {
    let registry = Registry::new();
    let issuers = Issuers::resolve(registry.tenants().remember(2)).unwrap();
    let asked = async |tenant: &str| {
        let before = registry.asked();
        assert!(ask(&issuers, &registry.token(tenant)).await.is_ok());
        registry.asked() - before
    };

    assert_eq!((asked("t1").await, asked("t2").await, asked("t1").await), (1, 1, 0));
    assert_eq!(asked("t3").await, 1);
    assert_eq!((asked("t1").await, asked("t3").await), (0, 0));
    assert_eq!(asked("t2").await, 1);
    // Issuers that are none take no place.
    assert_eq!(reason(ask(&issuers, &registry.token("nobody")).await), "token_issuer_unknown");
    assert_eq!((asked("t3").await, asked("t2").await), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_tenants_are_kept_unless_another_number_is_set() {
    let registry = Registry::new();
    let issuers = Issuers::resolve(registry.tenants()).unwrap();
    for number in (0..100).chain(0..100) {
        assert!(ask(&issuers, &registry.token(&format!("t{number}"))).await.is_ok());
    }
    assert_eq!(registry.asked(), 100);
    assert!(ask(&issuers, &registry.token("t100")).await.is_ok());
    assert!(ask(&issuers, &registry.token("t0")).await.is_ok());
    assert_eq!(registry.asked(), 102);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_makes_way_has_no_keys_fetched_any_more() {
    let signer = Arc::new(Signer::new(Algorithm::EdDSA));
    let fetches = Arc::new(AtomicUsize::new(0));
    let client = {
        let (signer, fetches) = (Arc::clone(&signer), Arc::clone(&fetches));
        HttpClient::new(service_fn(move |_: Request<Full<Bytes>>| {
            fetches.fetch_add(1, Ordering::SeqCst);
            let document = json!({ "keys": [signer.jwk()] });
            async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(document.to_string())))) }
        }))
    };
    let tenants = Tenants::below(REALMS, move |issuer| {
        let keys = RemoteKeys::new(format!("{issuer}/jwks")).client(client.clone());
        let tokens = Jwt::with_remote_keys(keys).issuer(issuer).audience(AUDIENCE).clock(TestClock::new()).build();
        Answer::Now(tokens.map(|tokens| Some(Arc::new(tokens) as Arc<dyn TokenVerifier>)).map_err(Into::into))
    });
    let issuers = Issuers::resolve(tenants.clone().remember(1)).unwrap();
    let ask = async |tenant: &str| {
        let token = PresentedToken::from_text(&token_of(&signer, &realm(tenant))).unwrap();
        assert!(issuers.verify(&token).await.is_ok());
    };
    let fetched_in_an_hour = async || {
        let before = fetches.load(Ordering::SeqCst);
        sleep(Duration::from_secs(60 * 60)).await;
        fetches.load(Ordering::SeqCst) - before
    };

    ask("one").await;
    let of_one = fetched_in_an_hour().await;
    ask("two").await;
    let of_two = fetched_in_an_hour().await;
    tenants.forget(&realm("two"));
    sleep(Duration::from_secs(1)).await;

    // Every 8 minutes, give or take a tenth.
    assert!((6..=9).contains(&of_one) && (6..=9).contains(&of_two), "{of_one} {of_two}");
    assert_eq!(fetched_in_an_hour().await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_is_looked_up_again() {
    let (registry, gate) = Registry::gated();
    let tenants = registry.tenants();
    let issuers = Issuers::resolve(tenants.clone()).unwrap();
    let ask = async |tenant: &str| {
        gate.notify_one();
        reason(ask(&issuers, &registry.token(tenant)).await)
    };

    assert_eq!((ask("t1").await, ask("nobody").await, registry.asked()), ("ok", "token_issuer_unknown", 2));
    tenants.forget(&realm("t1"));
    tenants.forget(&realm("nobody"));
    while issuers.verify(&registry.token("t2")).now().is_none() {
        tokio::task::yield_now().await;
        gate.notify_one();
    }
    assert_eq!((ask("t1").await, ask("nobody").await), ("ok", "token_issuer_unknown"));
    assert_eq!(registry.asked.lock().unwrap().iter().filter(|it| **it == realm("t1")).count(), 2);

    // What was under way when it was forgotten is not kept.
    let waiting = issuers.verify(&registry.token("t3"));
    tenants.forget(&realm("t3"));
    gate.notify_one();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(reason(waiting.await), "ok", "who asked before is answered");
    let before = registry.asked();
    let again = issuers.verify(&registry.token("t3"));
    gate.notify_one();
    assert_eq!((reason(again.await), registry.asked()), ("ok", before + 1));
}

#[tokio::test(start_paused = true)]
async fn issuers_of_the_list_are_never_looked_up() {
    let registry = Registry::new();
    let staff = verifier(&registry.signer, STAFF, AUDIENCE);
    let listed = verifier(&registry.signer, &realm("t1"), AUDIENCE);
    let builder = Issuers::builder().issuer(STAFF, staff).issuer(realm("t1"), listed).resolve(registry.tenants());
    let issuers = builder.build().unwrap();

    let of_staff = PresentedToken::from_text(&token_of(&registry.signer, STAFF)).unwrap();
    assert!(issuers.verify(&of_staff).now().unwrap().is_ok());
    assert!(issuers.verify(&registry.token("t1")).now().unwrap().is_ok());
    assert_eq!(registry.asked(), 0);
    assert!(ask(&issuers, &registry.token("t2")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_condition_of_ones_own_says_what_is_looked_up() {
    let registry = Registry::new();
    let this = registry.clone();
    let allowed = |issuer: &str| issuer == "https://login.example.com/realms/t1";
    let issuers = Issuers::resolve(Tenants::allowed(allowed, move |issuer| this.find(issuer))).unwrap();

    assert_eq!(reason(ask(&issuers, &registry.token("t1")).await), "ok");
    assert_eq!(reason(ask(&issuers, &registry.token("t2")).await), "token_issuer_unknown");
    assert_eq!(registry.asked(), 1);
}

#[test]
fn what_is_looked_up_below_is_an_https_url_that_ends_in_a_slash() {
    let cases = [
        ("https://login.example.com/", true),
        ("https://login.example.com/realms/", true),
        ("https://login.example.com", false),
        ("https://login.example.com/realms", false),
        ("http://login.example.com/", false),
        ("https:///", false),
        ("", false),
        ("/", false),
    ];
    for (prefix, expected) in cases {
        let issuers = Issuers::resolve(Tenants::below(prefix, |_| Answer::Now(Ok(None))));
        let errors = issuers.map_or_else(|errors| errors.as_slice().to_vec(), |_| Vec::new());
        let wrong = vec![ConfigError::IssuerPrefix { given: prefix.to_owned() }];
        assert_eq!(errors, if expected { Vec::new() } else { wrong }, "{prefix}");
    }
}

#[test]
fn without_a_runtime_a_look_up_that_takes_its_time_is_503() {
    let registry = Registry::new();
    let issuers = Issuers::resolve(registry.tenants()).unwrap();
    let verdict = issuers.verify(&registry.token("t1")).now().expect("nothing can be waited for");
    assert_eq!(verdict.unwrap_err().cause(), Cause::Unavailable);
}
