//! What holds for tokens of any kind.

use std::sync::LazyLock;

use http::HeaderValue;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tower_keep::{Algorithm, Jwt, KeySet};

use super::segments;
use crate::tokens::judge::{ADMITTED, reason};
use crate::tokens::mint::{ALGORITHMS, Signer, claims, decode, encode};

struct Known {
    signer: Signer,
    jwt: Jwt,
    keys: KeySet,
    token: String,
}

/// For each algorithm a verifier that has seen a good token, so that the token and its header are remembered.
static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let known = ALGORITHMS.into_iter().map(|algorithm| {
        let signer = Signer::new(algorithm);
        let jwt = signer.verifier().build().unwrap();
        let keys = KeySet::try_from(&signer.jwk()).unwrap();
        let token = signer.token(&claims());
        assert_eq!(reason(&jwt, &token), ADMITTED);
        Known { signer, jwt, keys, token }
    });
    known.collect()
});

/// Returns what becomes of a token, in both doors. What no header field holds cannot come.
fn is_admitted(known: &Known, token: &[u8]) -> bool {
    let raw = std::str::from_utf8(token).is_ok_and(|token| known.keys.verify(token).is_ok());
    let by_field = HeaderValue::from_bytes(token).is_ok() && reason(&known.jwt, token) == ADMITTED;
    raw || by_field
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec!["none", "HS256", "RS256", "ES256", "EdDSA", "at+jwt", "JWT", "k1", "b64", "DEF"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(any_name(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_name() -> impl Strategy<Value = String> {
    let names = vec!["alg", "kid", "typ", "crit", "b64", "zip", "enc", "cty", "jwk", "jku", "x5c", "x5u", "p2c", "x"];
    prop_oneof![4 => prop::sample::select(names).prop_map(str::to_owned), 1 => any::<String>()]
}

/// Headers that are near enough to good ones to get further than the first check.
fn any_header() -> impl Strategy<Value = Map<String, Value>> {
    let good = |name: &'static str, value: Value| {
        prop_oneof![
            6 => Just(vec![(name.to_owned(), value)]),
            1 => Just(vec![]),
            2 => any_json().prop_map(move |value| vec![(name.to_owned(), value)]),
        ]
    };
    let others = prop::collection::vec((any_name(), any_json()), 0..2);
    (good("alg", json!("HS256")), good("typ", json!("at+jwt")), good("kid", json!("k1")), others)
        .prop_map(|(alg, typ, kid, others)| [alg, typ, kid, others].concat().into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_bit_of_a_good_token_can_be_another(
        algorithm in 0..ALGORITHMS.len(), at in any::<prop::sample::Index>(), bit in 0..8,
    ) {
        let known = &KNOWN[algorithm];
        let mut changed = known.token.clone().into_bytes();
        let at = at.index(changed.len());
        changed[at] ^= 1_u8 << bit;
        prop_assert!(!is_admitted(known, &changed), "{}", ALGORITHMS[algorithm]);
    }

    #[test]
    fn no_letter_of_a_good_token_can_be_another_missing_or_there_twice(
        algorithm in 0..ALGORITHMS.len(), at in any::<prop::sample::Index>(), letter in "[A-Za-z0-9._-]",
    ) {
        let known = &KNOWN[algorithm];
        let at = at.index(known.token.len());
        let (front, back) = known.token.split_at(at);
        let inserted = format!("{front}{letter}{back}");
        prop_assert!(!is_admitted(known, inserted.as_bytes()), "{inserted}");
        let missing = format!("{front}{}", &back[1..]);
        prop_assert!(!is_admitted(known, missing.as_bytes()), "{missing}");
        let replaced = format!("{front}{letter}{}", &back[1..]);
        prop_assert!(replaced == known.token || !is_admitted(known, replaced.as_bytes()), "{replaced}");
        prop_assert!(!is_admitted(known, front.as_bytes()) && (at == 0 || !is_admitted(known, back.as_bytes())));
    }

    #[test]
    fn no_bytes_are_a_token(bytes in prop::collection::vec(any::<u8>(), 0..300), text in any::<String>()) {
        let known = &KNOWN[bytes.len() % ALGORITHMS.len()];
        prop_assert!(!is_admitted(known, &bytes));
        prop_assert!(!is_admitted(known, text.as_bytes()));
    }

    #[test]
    fn no_segments_are_a_token(
        algorithm in 0..ALGORITHMS.len(),
        bytes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..140), 1..6),
        texts in prop::collection::vec("[A-Za-z0-9_-]{0,40}", 3),
        keep in prop::collection::vec(any::<bool>(), 3),
    ) {
        let known = &KNOWN[algorithm];
        let random = bytes.iter().map(encode).collect::<Vec<_>>().join(".");
        prop_assert!(!is_admitted(known, random.as_bytes()));
        // Some of a good token's.
        prop_assume!(!keep.iter().all(|keep| *keep));
        let good = segments(&known.token);
        let mixed = std::array::from_fn::<_, 3, _>(|place| if keep[place] { good[place] } else { &*texts[place] });
        prop_assert!(!is_admitted(known, mixed.join(".").as_bytes()), "{mixed:?}");
    }

    #[test]
    fn no_header_lets_a_token_in_that_is_not_signed(
        algorithm in 0..ALGORITHMS.len(), header in any_header(), junk in prop::collection::vec(any::<u8>(), 0..140),
    ) {
        let known = &KNOWN[algorithm];
        let header = Value::Object(header).to_string();
        let [_, payload, signature] = segments(&known.token);
        let forger = Signer::new(Algorithm::HS256);
        for signature in [String::new(), signature.to_owned(), encode(junk)] {
            let token = format!("{}.{payload}.{signature}", encode(&header));
            prop_assert!(token == known.token || !is_admitted(known, token.as_bytes()), "{header}");
        }
        let forged = forger.jws(&header, decode(payload));
        prop_assert!(!is_admitted(known, forged.as_bytes()), "{header}");
    }

    #[test]
    fn a_header_that_lets_a_signed_token_in_is_a_good_one(header in any_header()) {
        let known = &KNOWN[0];
        let token = known.signer.jws(Value::Object(header.clone()).to_string(), claims().to_string());
        let is_text = |name: &str, wanted: &str| {
            header.get(name).and_then(Value::as_str).is_some_and(|text| text.eq_ignore_ascii_case(wanted))
        };
        let is_good = header.get("alg") == Some(&json!("HS256"))
            && (is_text("typ", "at+jwt") || is_text("typ", "application/at+jwt"))
            && header.get("kid").is_none_or(|kid| *kid == json!("k1"))
            && ["crit", "b64", "zip", "enc"].iter().all(|name| !header.contains_key(*name));

        prop_assert_eq!(reason(&known.jwt, token) == ADMITTED, is_good, "{:?}", header);
    }
}
