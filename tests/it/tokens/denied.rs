//! The deny list: what it refuses, until when, and what happens where it has no answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tower_keep::{
    Algorithm, Answer, BearerLayer, Cause, Denial, DenyList, Jwt, MemoryDenyList, StoreError, TokenFacts,
};

use super::mint::{AUDIENCE, ISSUER, Signer, claims_with, verifier};
use super::tools::{SetClock, outcome, verdict};
use crate::log::logged;
use crate::support::{START, at, get, send, values, with};

/// A verifier with a deny list, and the key that signs for it.
fn guarded(list: impl DenyList) -> (Jwt, Signer) {
    let signer = Signer::new(Algorithm::EdDSA);
    (signer.verifier().deny_list(list).build().unwrap(), signer)
}

fn token(signer: &Signer, changes: Value) -> String {
    let mut all = json!({ "sub": "alice", "jti": "t1", "sid": "s1", "iat": START - 10 });
    all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    signer.token(&claims_with(all))
}

#[test]
fn a_denial_refuses_what_it_names_and_nothing_else() {
    let none = || json!({});
    let cases = [
        (Denial::token("t1"), none(), true),
        (Denial::token("t1"), json!({ "jti": "t2" }), false),
        (Denial::token("t1"), json!({ "jti": "T1" }), false),
        (Denial::token("t1"), json!({ "jti": "t1 " }), false),
        (Denial::token("t1"), json!({ "jti": null }), false),
        (Denial::token(""), json!({ "jti": null }), false),
        (Denial::token(""), json!({ "jti": "" }), true),
        (Denial::subject("alice"), none(), true),
        (Denial::subject("alice"), json!({ "sub": "alicea" }), false),
        (Denial::subject("alice"), json!({ "sub": "bob", "jti": "alice", "sid": "alice" }), false),
        (Denial::subject("alicet1"), none(), false),
        (Denial::token("alice"), none(), false),
        (Denial::token("t1s1"), none(), false),
        (Denial::session("s1"), none(), true),
        (Denial::session("s1"), json!({ "sid": "s2" }), false),
        (Denial::session("s1"), json!({ "sid": null }), false),
        (Denial::session("s1"), json!({ "jti": null }), true),
        (Denial::session("t1"), json!({ "sid": null }), false),
        (Denial::key("k1"), none(), true),
        (Denial::key("k2"), none(), false),
        (Denial::key(""), none(), false),
        (Denial::all(), none(), true),
        (Denial::all(), json!({ "sub": "-", "jti": null, "sid": null }), true),
        // By when it was made: at the very second it was not made before.
        (Denial::all().issued_before(at(START - 10)), none(), false),
        (Denial::all().issued_before(at(START - 9)), none(), true),
        (Denial::all().issued_before(at(START - 10) + Duration::from_nanos(1)), none(), true),
        (Denial::all().issued_before(at(START - 10)), json!({ "iat": START as f64 - 10.5 }), true),
        (Denial::all().issued_before(at(0)), json!({ "iat": null }), true),
        (Denial::subject("alice").issued_before(at(START)), none(), true),
        (Denial::subject("alice").issued_before(at(START)), json!({ "iat": START }), false),
        (Denial::subject("bob").issued_before(at(START)), none(), false),
        // By who made it.
        (Denial::all().by_issuer(ISSUER), none(), true),
        (Denial::all().by_issuer("https://other.example"), none(), false),
        (Denial::subject("alice").by_issuer(ISSUER), none(), true),
        (Denial::subject("alice").by_issuer(format!("{ISSUER}/")), none(), false),
        // All conditions have to hold.
        (Denial::subject("alice").by_issuer(ISSUER).issued_before(at(START)), none(), true),
        (Denial::subject("alice").by_issuer("x").issued_before(at(START)), none(), false),
        (Denial::subject("alice").by_issuer(ISSUER).issued_before(at(1)), none(), false),
    ];
    for (denial, changes, expected) in cases {
        let denied = MemoryDenyList::with_clock(SetClock::new());
        let (jwt, signer) = guarded(denied.clone());
        let token = token(&signer, changes.clone());
        assert_eq!(outcome(&jwt, &token), "ok", "{denial:?} {changes}");

        denied.deny(denial.clone());

        let found = outcome(&jwt, &token);
        assert_eq!(found, if expected { "token_denied" } else { "ok" }, "{denial:?} {changes}");
        assert!(denied.allow(&denial));
        assert_eq!(outcome(&jwt, &token), "ok", "{denial:?} {changes}");
        assert!(denied.is_empty());
    }
}

#[test]
fn a_denied_token_is_invalid_and_told_to_the_log_by_its_id() {
    let denied = MemoryDenyList::new();
    let (jwt, signer) = guarded(denied.clone());
    denied.deny(Denial::subject("alice"));
    let rejection = verdict(&jwt, &token(&signer, json!({}))).unwrap_err();
    assert_eq!((rejection.cause(), rejection.credential_id()), (Cause::Invalid, Some("t1")));
}

#[test]
fn a_denial_is_over_when_its_time_is() {
    let clock = SetClock::new();
    let denied = MemoryDenyList::with_clock(clock.clone());
    let (jwt, signer) = guarded(denied.clone());
    let token = token(&signer, json!({}));
    denied.deny(Denial::token("t1").until(at(START + 60)));
    let nano = Duration::from_nanos(1);
    for (now, expected) in [
        (at(START), "token_denied"),
        (at(START + 60) - nano, "token_denied"),
        (at(START + 60), "ok"),
        // Nobody forgets before there is need to.
        (at(START + 59), "token_denied"),
    ] {
        clock.set(now);
        assert_eq!(outcome(&jwt, &token), expected, "{now:?}");
    }
    // One that is over by the time it is made refuses nothing.
    clock.set(at(START + 100));
    denied.deny(Denial::subject("alice").until(at(START)));
    assert_eq!(outcome(&jwt, &token), "ok");
}

#[test]
fn denials_of_one_name_stand_beside_each_other_and_are_taken_back_one_by_one() {
    let denied = MemoryDenyList::with_clock(SetClock::new());
    let (jwt, signer) = guarded(denied.clone());
    let token = token(&signer, json!({}));
    let past = Denial::subject("alice").issued_before(at(1));
    let recent = Denial::subject("alice").issued_before(at(START));
    for denial in [&past, &recent, &recent, &past] {
        denied.deny(denial.clone());
    }
    assert_eq!((denied.len(), outcome(&jwt, &token)), (1, "token_denied"));

    // Only the very same one is taken back.
    for other in [
        Denial::subject("alice"),
        Denial::subject("bob").issued_before(at(START)),
        Denial::token("alice").issued_before(at(START)),
        Denial::subject("alice").issued_before(at(START)).by_issuer(ISSUER),
        Denial::subject("alice").issued_before(at(START)).until(at(START + 1)),
    ] {
        assert!(!denied.allow(&other), "{other:?}");
    }
    assert!(denied.allow(&recent));
    assert!(!denied.allow(&recent), "it was there once");
    assert_eq!((denied.len(), outcome(&jwt, &token)), (1, "ok"));
    assert!(denied.allow(&past));
    assert_eq!((denied.len(), denied.is_empty()), (0, true));
}

#[test]
fn clones_share_the_list_and_a_list_may_be_shared_by_verifiers() {
    let denied = Arc::new(MemoryDenyList::new());
    let (first, signer) = guarded(Arc::clone(&denied));
    let second = signer.verifier().deny_list(MemoryDenyList::clone(&denied)).build().unwrap();
    let token = token(&signer, json!({}));
    denied.deny(Denial::token("t1"));
    assert_eq!([outcome(&first, &token), outcome(&second, &token)], ["token_denied"; 2]);
}

#[test]
fn what_is_over_is_swept_out_as_the_list_grows() {
    let clock = SetClock::new();
    let denied = MemoryDenyList::with_clock(clock.clone());
    denied.deny(Denial::token("kept"));
    denied.deny(Denial::subject("kept").until(at(START + 1_000)));
    for number in 0..500 {
        denied.deny(Denial::token(format!("t{number}")).until(at(START + 10)));
        denied.deny(Denial::session(format!("s{number}")).until(at(START + 10)));
    }
    assert_eq!(denied.len(), 1_002);
    clock.set(at(START + 10));
    for number in 0..30 {
        denied.deny(Denial::key(format!("key-{number}")));
    }
    assert!(denied.len() <= 32, "{} names are left", denied.len());
    let (jwt, signer) = guarded(denied.clone());
    assert_eq!(outcome(&jwt, &token(&signer, json!({ "jti": "kept" }))), "token_denied");
    assert_eq!(outcome(&jwt, &token(&signer, json!({ "sub": "kept" }))), "token_denied");
    assert_eq!(outcome(&jwt, &token(&signer, json!({ "jti": "t7", "sid": "s7" }))), "ok");

    // However many come and go, no more are kept than twice those that live.
    for second in 0..200 {
        clock.set(at(START + 100 + second));
        for number in 0..100 {
            denied.deny(Denial::token(format!("{second}-{number}")).until(at(START + 101 + second)));
        }
    }
    assert!(denied.len() < 2_100, "{} names are left", denied.len());
}

#[test]
fn a_list_of_ones_own_is_told_what_a_token_says_and_only_of_good_ones() {
    type Seen = Arc<Mutex<Vec<String>>>;
    struct Recorder(Seen);
    impl DenyList for Recorder {
        fn denies(&self, token: &TokenFacts<'_>) -> Answer<Result<bool, StoreError>> {
            let TokenFacts { issuer, subject, jti, sid, kid, issued_at, .. } = *token;
            let issued_at = issued_at.map(|when| when == at(START - 10));
            self.0.lock().unwrap().push(format!("{issuer:?} {subject} {jti:?} {sid:?} {kid:?} {issued_at:?}"));
            Answer::Now(Ok(false))
        }
    }
    let seen = Seen::default();
    let (jwt, signer) = guarded(Recorder(Arc::clone(&seen)));
    let take = || std::mem::take(&mut *seen.lock().unwrap());
    let good = token(&signer, json!({}));
    let full = format!("Some({ISSUER:?}) alice Some(\"t1\") Some(\"s1\") Some(\"k1\") Some(true)");

    assert_eq!([outcome(&jwt, &good), outcome(&jwt, &good)], ["ok"; 2]);
    assert_eq!(take(), [full.clone(), full], "a token that is remembered is asked about as well");
    let bare = token(&signer, json!({ "jti": null, "sid": null, "iat": null }));
    assert_eq!(outcome(&jwt, &bare), "ok");
    assert_eq!(take(), [format!("Some({ISSUER:?}) alice None None Some(\"k1\") None")]);

    let other = token(&Signer::new(Algorithm::EdDSA), json!({}));
    assert_eq!(outcome(&jwt, &other), "token_signature");
    assert_eq!(outcome(&jwt, &token(&signer, json!({ "exp": 1 }))), "token_expired");
    assert_eq!(outcome(&jwt, &token(&signer, json!({ "aud": "x" }))), "token_audience");
    assert!(take().is_empty());

    // Where any issuer will do, it is the one that the token names.
    let key = tower_keep::VerificationKey::der(Algorithm::EdDSA, signer.spki()).unwrap();
    let anybody = verifier(key).dangerous_any_issuer().deny_list(Recorder(Arc::clone(&seen))).build().unwrap();
    assert_eq!(outcome(&anybody, &token(&signer, json!({ "iss": "https://b.example", "aud": AUDIENCE }))), "ok");
    assert_eq!(take(), ["Some(\"https://b.example\") alice Some(\"t1\") Some(\"s1\") None Some(true)"]);
}

/// A key in PEM has no id until it is given one. What a token calls its key counts for nothing: whoever has the key can
/// call it anything.
#[test]
fn a_key_is_denied_by_the_id_it_was_configured_with_and_by_no_other() {
    let signer = Signer::new(Algorithm::EdDSA);
    let key = || tower_keep::VerificationKey::pem(Algorithm::EdDSA, signer.pem()).unwrap();
    let denied = MemoryDenyList::with_clock(SetClock::new());
    denied.deny(Denial::key("k1"));
    let token = token(&signer, json!({}));
    for (key, expected) in [(key(), "ok"), (key().with_kid("k1"), "token_denied")] {
        let jwt = verifier(key).deny_list(denied.clone()).build().unwrap();
        assert_eq!(outcome(&jwt, &token), expected);
    }
}

#[test]
fn each_of_several_lists_may_refuse() {
    let signer = Signer::new(Algorithm::EdDSA);
    let lists = [(); 3].map(|()| MemoryDenyList::with_clock(SetClock::new()));
    let builder = lists.iter().fold(signer.verifier(), |builder, list| builder.deny_list(list.clone()));
    let jwt = builder.build().unwrap();
    let token = token(&signer, json!({}));
    for list in &lists {
        assert_eq!(outcome(&jwt, &token), "ok");
        list.deny(Denial::subject("alice"));
        assert_eq!(outcome(&jwt, &token), "token_denied");
        assert!(list.allow(&Denial::subject("alice")));
    }
}

/// A ban that is lifted leaves a log-out in place that came before it.
#[test]
fn a_denial_that_is_taken_back_leaves_those_of_another_kind() {
    let signer = Signer::new(Algorithm::EdDSA);
    let denied = MemoryDenyList::with_clock(SetClock::new());
    let jwt = signer.verifier().deny_list(denied.clone()).build().unwrap();
    let token = token(&signer, json!({}));
    let logout = || Denial::subject("alice").issued_before(at(START));
    for ban in [
        Denial::subject("alice"),
        Denial::subject("alice").until(at(START + 9)),
        Denial::subject("alice").by_issuer(ISSUER),
        logout().until(at(START + 9)),
        Denial::all(),
    ] {
        denied.deny(logout());
        denied.deny(ban.clone());
        assert!(denied.allow(&ban), "{ban:?}");
        assert_eq!(outcome(&jwt, &token), "token_denied", "{ban:?}");
        assert!(denied.allow(&logout()), "{ban:?}");
        assert_eq!(outcome(&jwt, &token), "ok", "{ban:?}");
    }
}

/// Somebody who logs out everywhere again and again leaves one rule behind.
#[test]
fn a_denial_that_is_part_of_a_later_one_takes_no_room() {
    let denied = MemoryDenyList::with_clock(SetClock::new());
    let logout =
        |second: u64| Denial::subject("alice").issued_before(at(START + second)).until(at(START + second + 60));
    for second in 0..100 {
        denied.deny(logout(second));
    }
    assert!(!denied.allow(&logout(98)));
    assert!(denied.allow(&logout(99)));
    assert!(denied.is_empty());
    // Not a part of it: for another issuer, for longer, of later tokens.
    let kept = [
        logout(1).by_issuer("a"),
        logout(2).by_issuer("b"),
        logout(0).until(at(START + 99)),
        logout(3).until(at(START + 9)),
    ];
    kept.iter().for_each(|denial| denied.deny(denial.clone()));
    for denial in kept {
        assert!(denied.allow(&denial), "{denial:?}");
    }
}

/// A list that is somewhere else.
#[derive(Clone, Default)]
struct Remote(Arc<AtomicUsize>);

impl Remote {
    const OPEN: usize = 0;
    const DENIED: usize = 1;
    const DOWN: usize = 2;
    const DOWN_FOR_LONG: usize = 3;
    const BROKEN: usize = 4;

    fn set(&self, state: usize) {
        self.0.store(state, Ordering::Relaxed);
    }

    fn answer(state: usize) -> Result<bool, StoreError> {
        match state {
            Self::OPEN => Ok(false),
            Self::DENIED => Ok(true),
            Self::DOWN => Err(StoreError::unavailable("connection to 10.0.0.7 refused")),
            Self::DOWN_FOR_LONG => {
                Err(StoreError::unavailable("connection refused").with_retry_after(Duration::from_millis(6_500)))
            }
            _ => Err(StoreError::misconfigured("no such table")),
        }
    }
}

/// Answers at once.
struct AtOnce(Remote);

impl DenyList for AtOnce {
    fn denies(&self, _: &TokenFacts<'_>) -> Answer<Result<bool, StoreError>> {
        Answer::Now(Remote::answer(self.0.0.load(Ordering::Relaxed)))
    }
}

/// Answers later, by what is so then.
struct Later(Remote);

impl DenyList for Later {
    fn denies(&self, _: &TokenFacts<'_>) -> Answer<Result<bool, StoreError>> {
        let state = Arc::clone(&self.0.0);
        Answer::later(async move {
            tokio::task::yield_now().await;
            Remote::answer(state.load(Ordering::Relaxed))
        })
    }
}

#[tokio::test]
async fn a_list_elsewhere_is_asked_each_time_and_an_outage_is_never_401() {
    let remote = Remote::default();
    let (now, signer) = guarded(AtOnce(remote.clone()));
    let later = signer.verifier().deny_list(Later(remote.clone())).build().unwrap();
    let never_remembered = signer.verifier().remember_none().deny_list(Later(remote.clone())).build().unwrap();
    let token = token(&signer, json!({}));
    for jwt in [now, later, never_remembered] {
        let layer = BearerLayer::new(jwt);
        let optional = layer.clone().optional();
        for (state, expected, wait) in [
            (Remote::DOWN, StatusCode::SERVICE_UNAVAILABLE, vec!["1"]),
            (Remote::OPEN, StatusCode::OK, vec![]),
            (Remote::OPEN, StatusCode::OK, vec![]),
            (Remote::DENIED, StatusCode::UNAUTHORIZED, vec![]),
            (Remote::DOWN, StatusCode::SERVICE_UNAVAILABLE, vec!["1"]),
            (Remote::DOWN_FOR_LONG, StatusCode::SERVICE_UNAVAILABLE, vec!["7"]),
            (Remote::BROKEN, StatusCode::INTERNAL_SERVER_ERROR, vec![]),
            (Remote::OPEN, StatusCode::OK, vec![]),
        ] {
            remote.set(state);
            for layer in [&layer, &optional] {
                let request = with(get("/"), "authorization", &format!("Bearer {token}"));
                let (response, heads) = send(layer.clone(), request).await;
                assert_eq!((response.status(), heads.len()), (expected, usize::from(expected == StatusCode::OK)));
                assert_eq!(values(response.headers(), "retry-after"), wait);
                let is_401 = expected == StatusCode::UNAUTHORIZED;
                assert_eq!(response.headers().contains_key("www-authenticate"), is_401);
                assert!(!response.body().contains("10.0.0.7"));
            }
        }
    }
}

#[tokio::test]
async fn an_outage_is_told_to_the_log() {
    let remote = Remote::default();
    let (jwt, signer) = guarded(Later(remote.clone()));
    remote.set(Remote::DOWN);
    let log = logged();

    send(BearerLayer::new(jwt), with(get("/"), "authorization", &format!("Bearer {}", token(&signer, json!({})))))
        .await;

    let lines = log.lines();
    assert!(lines[0].starts_with("ERROR tower_keep message=refused cause=\"unavailable\""), "{lines:?}");
    assert!(lines[0].contains("connection to 10.0.0.7 refused"), "{lines:?}");
}
