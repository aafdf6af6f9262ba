//! Verified tokens are remembered, and remembering changes no verdict.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Deserializer};
use serde_json::json;
use tower_keep::{Algorithm, Denial, Jwt, JwtBuilder, KeySet, MemoryDenyList, VerificationKey};

use super::mint::{Signer, claims, claims_with, verifier};
use super::tools::{SetClock, outcome, verdict};
use crate::support::{START, at};

thread_local! {
    static READ: Cell<usize> = const { Cell::new(0) };
}

/// Claims that count how often they are read: what is remembered is not read again.
#[derive(Debug, Eq, PartialEq)]
struct Counted(String);

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Sub {
            sub: String,
        }
        READ.set(READ.get() + 1);
        Sub::deserialize(deserializer).map(|Sub { sub }| Self(sub))
    }
}

/// Says how often claims were read since the last time.
fn reads() -> usize {
    READ.replace(0)
}

fn counted(builder: JwtBuilder) -> JwtBuilder<Counted> {
    reads();
    builder.claims::<Counted>()
}

/// The three ways to remember, and how often a token is read that comes three times.
type Way = (fn(JwtBuilder<Counted>) -> JwtBuilder<Counted>, usize);
const WAYS: [Way; 3] = [(|it| it, 1), (JwtBuilder::digest_cache_keys, 1), (JwtBuilder::remember_none, 3)];

fn keys(signer: &Signer) -> KeySet {
    KeySet::try_from(&signer.jwk()).unwrap()
}

#[test]
fn a_token_that_comes_again_is_not_read_again() {
    let signer = Signer::new(Algorithm::EdDSA);
    for (way, expected) in WAYS {
        let jwt = way(counted(signer.verifier())).build().unwrap();
        let token = signer.token(&claims());
        for _ in 0..3 {
            let principal = verdict(&jwt, &token).unwrap();
            assert_eq!(principal.details(), Some(&Counted("alice".to_owned())));
            assert_eq!((principal.scopes().as_str(), principal.credential_id()), ("orders:read", Some("t1")));
        }
        assert_eq!(reads(), expected);
    }
}

#[test]
fn other_keys_count_at_once() {
    let (signer, other) = (Signer::new(Algorithm::EdDSA), Signer::new(Algorithm::EdDSA));
    for (way, _) in WAYS {
        let jwt = way(counted(signer.verifier())).build().unwrap();
        let clone = jwt.clone();
        let (token, others) = (signer.token(&claims()), other.token(&claims()));
        assert_eq!(
            [outcome(&jwt, &token), outcome(&jwt, &token), outcome(&jwt, &others)],
            ["ok", "ok", "token_signature"]
        );

        jwt.replace_keys(keys(&other)).unwrap();

        for jwt in [&jwt, &clone] {
            assert_eq!([outcome(jwt, &token), outcome(jwt, &others)], ["token_signature", "ok"]);
        }
        // Another kid for the same key: the header that was known names nothing now.
        let mut renamed = other.jwk();
        renamed["kid"] = json!("k2");
        jwt.replace_keys(KeySet::try_from(&renamed).unwrap()).unwrap();
        assert_eq!([outcome(&jwt, &token), outcome(&jwt, &others)], ["token_kid_unknown"; 2]);

        jwt.replace_keys(keys(&signer)).unwrap();
        assert_eq!([outcome(&jwt, &token), outcome(&jwt, &others)], ["ok", "token_signature"]);
    }
}

#[test]
fn the_same_keys_once_more_are_other_keys() {
    let signer = Signer::new(Algorithm::EdDSA);
    let jwt = counted(signer.verifier()).build().unwrap();
    let token = signer.token(&claims());
    assert_eq!([outcome(&jwt, &token), outcome(&jwt, &token)], ["ok"; 2]);
    assert_eq!(reads(), 1);

    jwt.replace_keys(keys(&signer)).unwrap();

    assert_eq!([outcome(&jwt, &token), outcome(&jwt, &token)], ["ok"; 2]);
    assert_eq!(reads(), 1);
}

#[test]
fn keys_that_cannot_be_taken_leave_everything_as_it_was() {
    let (signer, other) = (Signer::new(Algorithm::EdDSA), Signer::new(Algorithm::ES256));
    let jwt = counted(signer.verifier().algorithms([Algorithm::EdDSA])).build().unwrap();
    let token = signer.token(&claims());
    assert_eq!(outcome(&jwt, &token), "ok");

    assert!(jwt.replace_keys(keys(&other)).is_err());

    assert_eq!(outcome(&jwt, &token), "ok");
    assert_eq!(reads(), 1);
    assert_eq!(jwt.keys().iter().map(|key| key.algorithm()).collect::<Vec<_>>(), [Some(Algorithm::EdDSA)]);
}

#[test]
fn a_header_that_several_keys_may_mean_is_none_of_one_key() {
    let signers = [0; 3].map(|_| Signer::new(Algorithm::EdDSA));
    let unnamed = signers.each_ref().map(|signer| VerificationKey::der(Algorithm::EdDSA, signer.spki()).unwrap());
    let jwt = verifier(KeySet::new(unnamed).unwrap()).remember_none().build().unwrap();
    for _ in 0..3 {
        for signer in &signers {
            assert_eq!(outcome(&jwt, &signer.token(&claims())), "ok");
        }
        assert_eq!(outcome(&jwt, &Signer::new(Algorithm::EdDSA).token(&claims())), "token_signature");
    }
}

#[test]
fn however_many_headers_there_are_each_is_read_right() {
    let signers = [0; 2].map(|_| Signer::new(Algorithm::EdDSA));
    let key = |number: usize| {
        let key = VerificationKey::der(Algorithm::EdDSA, signers[number % 2].spki()).unwrap();
        key.with_kid(&format!("key-{number}"))
    };
    let jwt = verifier(KeySet::new((0..40).map(key)).unwrap()).remember_none().build().unwrap();
    for _ in 0..2 {
        for number in 0..40 {
            let header = |typ: &str| json!({ "alg": "EdDSA", "typ": typ, "kid": format!("key-{number}") }).to_string();
            let token = |signer: &Signer, typ: &str| signer.jws(header(typ), claims().to_string());
            let (right, wrong) = (&signers[number % 2], &signers[(number + 1) % 2]);
            assert_eq!(outcome(&jwt, &token(right, "at+jwt")), "ok", "{number}");
            assert_eq!(outcome(&jwt, &token(wrong, "at+jwt")), "token_signature", "{number}");
            assert_eq!(outcome(&jwt, &token(right, "JWT")), "token_typ", "{number}");
        }
    }
}

#[test]
fn what_changes_with_time_is_asked_each_time() {
    let signer = Signer::new(Algorithm::EdDSA);
    for (way, expected) in WAYS {
        let (clock, open, denied) = (SetClock::new(), Arc::new(AtomicBool::new(true)), MemoryDenyList::new());
        let may = Arc::clone(&open);
        let builder = counted(signer.verifier().clock(clock.clone()).leeway(Duration::ZERO).deny_list(denied.clone()));
        let jwt = way(builder.predicate(move |_| may.load(Ordering::Relaxed))).build().unwrap();
        let token = signer.token(&claims_with(json!({ "nbf": START, "iat": START, "exp": START + 60 })));
        let judge = |now: u64| {
            clock.set(at(now));
            outcome(&jwt, &token)
        };

        assert_eq!(judge(START), "ok");
        assert_eq!(judge(START + 59), "ok");
        assert_eq!(judge(START + 60), "token_expired");
        assert_eq!(judge(START - 1), "token_not_yet_valid");
        assert_eq!(judge(START + 30), "ok");
        open.store(false, Ordering::Relaxed);
        assert_eq!(judge(START + 30), "token_predicate");
        open.store(true, Ordering::Relaxed);
        assert_eq!(judge(START + 30), "ok");
        let denial = Denial::token("t1");
        denied.deny(denial.clone());
        assert_eq!(judge(START + 30), "token_denied");
        denied.allow(&denial);
        assert_eq!(judge(START + 30), "ok");

        assert_eq!(reads(), if expected == 1 { 1 } else { 9 });
    }
}

#[test]
fn an_age_that_is_too_great_is_asked_each_time() {
    let signer = Signer::new(Algorithm::EdDSA);
    let clock = SetClock::new();
    let builder = counted(signer.verifier().clock(clock.clone()).leeway(Duration::ZERO));
    let jwt = builder.max_age(Duration::from_secs(10)).build().unwrap();
    let token = signer.token(&claims());
    for (now, expected) in [(START, "ok"), (START + 10, "ok"), (START + 11, "token_too_old"), (START, "ok")] {
        clock.set(at(now));
        assert_eq!(outcome(&jwt, &token), expected, "{now}");
    }
    assert_eq!(reads(), 1);
}

#[test]
fn what_is_refused_takes_no_place() {
    let signer = Signer::new(Algorithm::EdDSA);
    let denied = MemoryDenyList::new();
    denied.deny(Denial::token("t2"));
    let jwt = counted(signer.verifier().deny_list(denied)).remember(8).build().unwrap();
    let good = signer.token(&claims());
    assert_eq!(outcome(&jwt, &good), "ok");
    reads();
    for number in 0..200 {
        let expired = signer.token(&claims_with(json!({ "exp": number })));
        let denied = signer.token(&claims_with(json!({ "jti": "t2", "x": number })));
        assert_eq!([outcome(&jwt, &expired), outcome(&jwt, &denied)], ["token_expired", "token_denied"]);
    }
    assert_eq!(reads(), 400);
    assert_eq!(outcome(&jwt, &good), "ok");
    assert_eq!(reads(), 0, "the good token had to make way");
}

#[test]
fn a_token_that_differs_in_one_byte_is_not_the_one_that_is_remembered() {
    let signer = Signer::new(Algorithm::HS256);
    for (way, _) in WAYS {
        let jwt = way(counted(signer.verifier())).build().unwrap();
        let token = signer.token(&claims());
        assert_eq!([outcome(&jwt, &token), outcome(&jwt, &token)], ["ok"; 2]);
        for place in 0..token.len() {
            let before = token.as_bytes()[place];
            for after in [b'A', b'B', b'_', b'.', b'=', before ^ 0x20, before.wrapping_add(1)] {
                if after == before || !after.is_ascii_graphic() {
                    continue;
                }
                let mut other = token.clone().into_bytes();
                other[place] = after;
                let other = String::from_utf8(other).unwrap();
                assert_ne!(outcome(&jwt, &other), "ok", "{place}");
            }
        }
        for other in [format!("{token}="), format!("{token}A"), format!("{token}."), format!(".{token}")] {
            assert_ne!(outcome(&jwt, &other), "ok");
        }
        for other in [&token[1..], &token[..token.len() - 1], &token[token.len() - 32..]] {
            assert_ne!(outcome(&jwt, other), "ok");
        }
        assert_eq!(outcome(&jwt, &token), "ok");
    }
}

/// One key, and more tokens than a small table has room for.
static CROWD: LazyLock<(Signer, Vec<String>)> = LazyLock::new(|| {
    let signer = Signer::new(Algorithm::HS256);
    let name = |number: usize| claims_with(json!({ "sub": format!("user-{number}"), "jti": number.to_string() }));
    let tokens = (0..48).map(|number| signer.token(&name(number))).collect();
    (signer, tokens)
});

#[test]
fn no_more_tokens_are_remembered_than_there_is_room_for() {
    let (signer, tokens) = &*CROWD;
    for (room, most) in [(1, 8), (8, 8), (9, 16), (16, 16)] {
        for digests in [false, true] {
            let builder = counted(signer.verifier()).remember(room);
            let jwt = if digests { builder.digest_cache_keys() } else { builder }.build().unwrap();
            for token in tokens {
                assert_eq!([outcome(&jwt, token), outcome(&jwt, token)], ["ok"; 2]);
            }
            assert_eq!(reads(), tokens.len(), "each was remembered until the next one came");
            for token in tokens {
                assert_eq!(outcome(&jwt, token), "ok");
            }
            assert!(reads() >= tokens.len() - most, "room for {room}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_token_speaks_of_its_own_subject_in_whatever_order_they_come(
        order in prop::collection::vec((0_usize..48, prop::bool::weighted(0.02)), 1..300),
        digests: bool,
    ) {
        let (signer, tokens) = &*CROWD;
        let builder = counted(signer.verifier()).remember(8);
        let jwt = if digests { builder.digest_cache_keys() } else { builder }.build().unwrap();
        for (number, replaced) in order {
            if replaced {
                jwt.replace_keys(keys(signer)).unwrap();
            }
            let principal = verdict(&jwt, &tokens[number]).unwrap();
            let subject = format!("user-{number}");
            prop_assert_eq!(principal.subject(), &subject);
            prop_assert_eq!(principal.credential_id(), Some(&*number.to_string()));
            prop_assert_eq!(principal.details(), Some(&Counted(subject)));
        }
    }
}

/// Changes something again and again, each time to one of two states, while eight threads ask. What is asked and answered
/// between two changes has to be answered by the last one.
fn hammered(jwt: &Jwt, tokens: [&str; 2], change: impl Fn(usize), expected: fn(usize) -> [bool; 2]) {
    const ROUNDS: usize = 40;
    // Odd while a change is made.
    let (stage, checked, wrong, over) =
        (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    change(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    let before = stage.load(Ordering::SeqCst);
                    let found = tokens.map(|token| verdict(jwt, token).is_ok());
                    if before % 2 == 0 && stage.load(Ordering::SeqCst) == before {
                        checked.fetch_add(1, Ordering::SeqCst);
                        let is_wrong = found != expected(before / 2 % 2);
                        wrong.fetch_add(usize::from(is_wrong), Ordering::SeqCst);
                    }
                }
            });
        }
        for round in 1..=ROUNDS {
            let goal = checked.load(Ordering::SeqCst) + 16;
            while checked.load(Ordering::SeqCst) < goal {
                std::thread::yield_now();
            }
            stage.fetch_add(1, Ordering::SeqCst);
            change(round % 2);
            stage.fetch_add(1, Ordering::SeqCst);
        }
        over.store(true, Ordering::SeqCst);
    });
    assert_eq!(wrong.into_inner(), 0, "of {}", checked.into_inner());
}

#[test]
fn once_keys_are_replaced_no_thread_admits_by_the_ones_before() {
    let signers = [Signer::new(Algorithm::HS256), Signer::new(Algorithm::HS256)];
    let tokens = signers.each_ref().map(|signer| signer.token(&claims()));
    let sets = signers.each_ref().map(keys);
    for (way, _) in WAYS {
        let jwt = way(counted(signers[0].verifier())).build().unwrap();
        let change = |state: usize| jwt.replace_keys(sets[state].clone()).unwrap();
        hammered(&jwt, tokens.each_ref().map(String::as_str), change, |state| [state == 0, state == 1]);
    }
}

#[test]
fn once_a_token_is_denied_no_thread_admits_it() {
    let signer = Signer::new(Algorithm::HS256);
    let tokens = ["a", "b"].map(|jti| signer.token(&claims_with(json!({ "jti": jti, "sub": jti }))));
    for (way, _) in WAYS {
        let denied = MemoryDenyList::new();
        let jwt = way(counted(signer.verifier().deny_list(denied.clone()))).build().unwrap();
        let change = |state: usize| match state {
            0 => drop(denied.allow(&Denial::token("a"))),
            _ => denied.deny(Denial::token("a")),
        };
        hammered(&jwt, tokens.each_ref().map(String::as_str), change, |state| [state == 0, true]);
    }
}
