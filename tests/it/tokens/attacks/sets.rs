//! Sets with keys in them that are not to be used.

use serde_json::{Value, json};
use tower_keep::{Algorithm, ConfigError, KeyFault, KeySet, SkippedKey, VerificationKey};

use super::changed;
use crate::tokens::judge::{ADMITTED, reason};
use crate::tokens::mint::{Signer, claims, verifier};

#[test]
fn keys_that_share_an_id_are_told_apart_by_their_algorithm_or_not_used() {
    let [signer, rival, third] = [(); 3].map(|()| Signer::new(Algorithm::ES256));
    let other = changed(&Signer::new(Algorithm::ES256).jwk(), &json!({ "kid": "k2" }));
    let admits = |keys: Value, signer: &Signer| {
        let keys = KeySet::try_from(&json!({ "keys": keys })).unwrap();
        reason(&verifier(keys).build().unwrap(), signer.token(&claims()))
    };
    let repeated = |keys: Value| -> Vec<usize> {
        let keys = KeySet::try_from(&json!({ "keys": keys })).unwrap();
        let skipped = keys.skipped().iter().filter(|skipped| *skipped.fault() == KeyFault::KidRepeated);
        skipped.map(|skipped| skipped.index()).collect()
    };
    let (mine, theirs) = (signer.jwk(), rival.jwk());

    // Two, three, in any order: none is the one that is meant.
    for keys in [json!([mine, theirs, other]), json!([theirs, other, mine]), json!([mine, other, theirs, third.jwk()])]
    {
        assert_eq!(admits(keys.clone(), &signer), "token_kid_unknown");
        assert_eq!(admits(keys, &rival), "token_kid_unknown");
    }
    assert_eq!(repeated(json!([mine, other, theirs, third.jwk()])), [0, 2, 3]);
    // The same key twice is one key.
    assert_eq!(admits(json!([mine, mine, other]), &signer), ADMITTED);
    assert_eq!(repeated(json!([mine, mine, other])), [] as [usize; 0]);
    // Another algorithm is another key (RFC 7517, section 4.5).
    let rsa = Signer::new(Algorithm::RS256);
    for signer in [&signer, &rsa] {
        assert_eq!(admits(json!([mine, rsa.jwk()]), signer), ADMITTED);
    }
    // A key for something else is not meant.
    for changes in [json!({ "use": "enc" }), json!({ "key_ops": ["sign"] }), json!({ "alg": "ECDH-ES" })] {
        let else_where = changed(&theirs, &changes);
        assert_eq!(admits(json!([else_where, mine]), &signer), ADMITTED, "{changes}");
    }
    // A broken one may be: of another algorithm or not, that cannot be relied on.
    for changes in [json!({ "x": "AQAB" }), json!({ "y": null }), json!({ "d": "AQAB" }), json!({ "alg": "ES384" })] {
        let broken = changed(&theirs, &changes);
        for keys in [json!([broken, mine, other]), json!([mine, other, broken])] {
            assert_eq!(admits(keys, &signer), "token_kid_unknown", "{changes}");
        }
        // Without an id it takes nobody else's.
        let nameless = changed(&broken, &json!({ "kid": null }));
        assert_eq!(admits(json!([nameless, mine]), &signer), ADMITTED, "{changes}");
        let nameless_too = changed(&mine, &json!({ "kid": null }));
        assert_eq!(admits(json!([nameless, nameless_too]), &signer), ADMITTED, "{changes}");
    }
    // Keys without an id are tried one after another.
    let nameless = |jwk: &Value| changed(jwk, &json!({ "kid": null }));
    for signer in [&signer, &rival] {
        assert_eq!(admits(json!([nameless(&mine), nameless(&theirs)]), signer), ADMITTED);
    }
    assert_eq!(admits(json!([nameless(&mine), nameless(&theirs)]), &third), "token_signature");

    // What is one key by its own account may be two by configuration.
    let rsa = changed(&rsa.jwk(), &json!({ "alg": null }));
    let named = changed(&Signer::other_rsa(Algorithm::PS256).jwk(), &json!({}));
    let keys = KeySet::try_from(&json!({ "keys": [rsa, named] })).unwrap();
    assert_eq!(keys.len(), 2);
    let error = keys.restricted_to(&[Algorithm::PS256]).unwrap_err();
    assert!(matches!(&error, ConfigError::KeysMissing { skipped } if skipped.len() == 2), "{error:?}");
}

#[test]
fn junk_in_a_set_is_skipped_and_counted_entry_by_entry() {
    let signer = Signer::new(Algorithm::ES256);
    let good = signer.jwk();
    let array: Vec<Value> = ["kty", "kid", "alg", "use", "key_ops", "crv", "x", "y", "n", "e", "k"]
        .into_iter()
        .chain(["d", "p", "q", "dp", "dq", "qi", "oth"])
        .map(|name| good[name].clone())
        .collect();
    let junk = [
        json!(null),
        json!(0),
        json!(-1.5),
        json!(true),
        json!(""),
        json!("key"),
        json!(good.to_string()),
        json!([]),
        json!([good]),
        json!(array),
        json!({}),
        json!({ "keys": [good] }),
        json!({ "kty": "EC" }),
        json!({ "kty": null }),
        json!({ "kty": ["EC"] }),
        changed(&good, &json!({ "kid": 5 })),
        changed(&good, &json!({ "kid": ["k1"] })),
        changed(&good, &json!({ "alg": 256 })),
        changed(&good, &json!({ "alg": "ES257" })),
        changed(&good, &json!({ "kty": "XYZ" })),
        changed(&good, &json!({ "crv": "P-257" })),
        changed(&good, &json!({ "kid": "k9", "x": "not base64url!" })),
        changed(&good, &json!({ "key_ops": "verify" })),
        changed(&good, &json!({ "use": 1 })),
        json!({ "kty": "oct", "kid": "k8", "alg": "HS256", "k": "c2hvcnQ" }),
        json!({ "kty": "RSA", "kid": "k7", "n": "AQAB", "e": "AQAB" }),
    ];
    let is_rival = |entry: &Value| {
        // A broken key of the same id leaves no other one, which is another test.
        entry["kid"] == "k1" && (entry["key_ops"].is_string() || entry["use"].is_number() || entry["alg"].is_number())
    };
    for entry in &junk {
        for (place, keys) in [(0, json!([entry, good])), (1, json!([good, entry]))] {
            let document = json!({ "keys": keys });
            if is_rival(entry) {
                KeySet::try_from(&document).unwrap_err();
                continue;
            }
            let keys = KeySet::try_from(&document).unwrap();
            let skipped: Vec<_> = keys.skipped().iter().map(|skipped| skipped.index()).collect();
            assert_eq!((keys.len(), skipped), (1, vec![place]), "{entry}");
            assert_eq!(reason(&verifier(keys).build().unwrap(), signer.token(&claims())), ADMITTED, "{entry}");
        }
    }
    let mut all: Vec<Value> = junk.iter().filter(|entry| !is_rival(entry)).cloned().collect();
    all.insert(7, good.clone());
    let keys = KeySet::try_from(&json!({ "keys": all })).unwrap();
    assert_eq!((keys.len(), keys.skipped().len()), (1, all.len() - 1));
    assert_eq!(reason(&verifier(keys).build().unwrap(), signer.token(&claims())), ADMITTED);
    // A member that says nothing here may be anything.
    let keys = KeySet::try_from(&json!({ "keys": [changed(&good, &json!({ "x5c": "MIIB" }))] })).unwrap();
    assert_eq!((keys.len(), keys.skipped().len()), (1, 0));

    let without_good = KeySet::try_from(&json!({ "keys": junk })).unwrap_err();
    assert!(matches!(&without_good, ConfigError::KeysMissing { skipped } if skipped.len() == junk.len()));
}

/// Where a header alone does not tell the key, it is not remembered for the one that fitted first.
#[test]
fn keys_without_an_id_serve_one_verifier_in_turn() {
    let signers = [(); 3].map(|()| Signer::new(Algorithm::ES256));
    let keys = signers.each_ref().map(|signer| changed(&signer.jwk(), &json!({ "kid": null })));
    let jwt = verifier(KeySet::try_from(&json!({ "keys": keys[..2] })).unwrap()).build().unwrap();

    for _ in 0..3 {
        let found = signers.each_ref().map(|signer| reason(&jwt, signer.token(&claims())));
        assert_eq!(found, [ADMITTED, ADMITTED, "token_signature"]);
    }
}

#[test]
fn a_skipped_key_keeps_its_place_in_the_set() {
    let kid = |algorithm, kid: &str| changed(&Signer::new(algorithm).jwk(), &json!({ "kid": kid }));
    let keys = json!([
        changed(&kid(Algorithm::RS256, "k0"), &json!({ "use": "enc" })),
        kid(Algorithm::ES256, "k1"),
        kid(Algorithm::RS256, "k2"),
        null,
        kid(Algorithm::EdDSA, "k4"),
    ]);
    let keys = KeySet::try_from(&json!({ "keys": keys })).unwrap();
    let told = |skipped: &[SkippedKey]| -> Vec<(usize, Option<String>)> {
        skipped.iter().map(|key| (key.index(), key.kid().map(str::to_owned))).collect()
    };
    let k = |index: usize| (index, Some(format!("k{index}")));

    assert_eq!(told(keys.skipped()), [k(0), (3, None)]);
    let jwt = verifier(keys.clone()).algorithms([Algorithm::RS256]).build().unwrap();
    assert_eq!(told(jwt.keys().skipped()), [k(0), k(1), (3, None), k(4)]);
    let error = keys.restricted_to(&[Algorithm::ES384]).unwrap_err();
    let ConfigError::KeysMissing { skipped } = error else { panic!("{error}") };
    assert_eq!(told(&skipped), [k(0), k(1), k(2), (3, None), k(4)]);
}

#[test]
fn a_document_that_is_no_key_set_is_refused() {
    let good = Signer::new(Algorithm::ES256).jwk();
    let deep = "[".repeat(100_000);
    let documents = [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        "\"keys\"".to_owned(),
        "<html></html>".to_owned(),
        json!([good]).to_string(),
        json!([[good]]).to_string(),
        json!({ "keys": {} }).to_string(),
        json!({ "keys": { "0": good } }).to_string(),
        json!({ "keys": good }).to_string(),
        json!({ "keys": [] }).to_string(),
        json!({ "keys": null }).to_string(),
        json!({ "keys": "[]" }).to_string(),
        json!({ "Keys": [good] }).to_string(),
        format!(r#"{{"keys":[{good}],"keys":[{good}]}}"#),
        format!(r#"{{"keys":[{good}]"#),
        format!(r#"{{"keys":[{good}]}}x"#),
        format!(r#"{{"keys":[{good},]}}"#),
        format!(r#"{{"keys":[{good} {good}]}}"#),
        deep.clone(),
        format!(r#"{{"keys":{deep}"#),
        format!(r#"{{"keys":[{deep}{}]}}"#, "]".repeat(100_000)),
        format!(r#"{{"kty":{deep}"#),
    ];
    for document in documents {
        let start = &document[..document.len().min(60)];
        assert!(KeySet::from_json(&document).is_err(), "{start}");
        assert!(VerificationKey::jwk(&document).is_err(), "{start}");
    }
    // A secret in the wrong place is not told on.
    let secret = Signer::new(Algorithm::HS256).jwk().to_string().replace('}', ",");
    let error = KeySet::from_json(&secret).unwrap_err();
    assert!(!format!("{error} {error:?}").contains(&secret[20..40]), "{error:?}");
}
