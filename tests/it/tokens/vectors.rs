//! Test vectors that others made, through the public door: Wycheproof, the JOSE cookbook, the RFCs.
//!
//! They are not part of this repository. The environment variable `TOWER_KEEP_VECTORS` names their folder. Where there is
//! none, these tests say so and pass, except in CI, where they fail.

mod files;

use std::collections::BTreeMap;
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tower_keep::{Algorithm, Clock, ConfigError, Jwt, KeyFault, KeySet, VerificationKey};

use super::judge::{ADMITTED, reason};
use super::mint::{ALGORITHMS, Signer, decode};
use crate::support::at;
use files::{Test, folder, json_file, json_files, many, wycheproof};

/// Vectors that say something else than this crate does, on purpose: their file, their id, and why.
const WAIVED: [(&str, u64, &str); 6] = [
    (JWS, 346, "the token is PS384, the key says PS256, and a key has one algorithm (RFC 8725, section 3.1)"),
    (JWS, 350, "as 346, for a key with key_ops"),
    (JWS, 367, "it is called invalid and is byte for byte the valid token 357"),
    (JWS, 370, "as 367"),
    (JWS, 372, "it is called valid although a ? in it is outside the alphabet of base64url (RFC 4648, section 5)"),
    (JWS, 373, "as 372"),
];

const JWS: &str = "json_web_signature_test.json";
const JWK: &str = "json_web_key_test.json";
const CRYPTO: &str = "json_web_crypto_test.json";
const JWE: &str = "json_web_encryption_test.json";

#[test]
fn every_wycheproof_signature_is_judged_as_it_should_be() {
    let cases = [(JWS, 401, 355), (JWK, 26, 21), (CRYPTO, 49, 45)];
    for (file, expected, expected_invalid) in cases {
        let Some(tests) = wycheproof(file, "jws") else { return };
        let waived: BTreeMap<_, _> =
            WAIVED.into_iter().filter(|(of, _, _)| *of == file).map(|(_, id, why)| (id, why)).collect();

        let mut differ = BTreeMap::new();
        for Test { id, key, token, is_valid, comment } in &tests {
            let verdict = verified(key, token);
            if let Ok(payload) = &verdict {
                assert_eq!(*payload, decode(token.split('.').nth(1).unwrap()), "{file} {id}");
            }
            if verdict.is_ok() != *is_valid {
                differ.insert(*id, format!("{comment}: {:?}", verdict.map(|_| "admitted")));
            }
        }

        assert_eq!(tests.len(), expected, "{file}");
        assert_eq!(tests.iter().filter(|test| !test.is_valid).count(), expected_invalid, "{file}");
        // Both ways: what differs is waived, and what is waived still differs.
        assert!(differ.keys().eq(waived.keys()), "{file}: these differ: {differ:#?}, these are waived: {waived:#?}");
    }
}

#[test]
fn waived_vectors_are_what_they_are_waived_for() {
    let Some(tests) = wycheproof(JWS, "jws") else { return };
    let find = |id: u64| tests.iter().find(|test| test.id == id).unwrap();

    assert!(find(357).is_valid);
    for id in [367, 370] {
        assert_eq!(find(id).token, find(357).token);
        assert_eq!(find(id).key, find(357).key);
    }
    for id in [372, 373] {
        assert!(find(id).token.contains('?'), "{id}");
    }
    for id in [346, 350] {
        let Test { key, token, .. } = find(id);
        assert_eq!((alg_of(token), &key["alg"]), (Some(Algorithm::PS384), &json!("PS256")));
        assert_eq!(verified(key, token), Err("token_alg_mismatch".to_owned()));
        // With the algorithm that signed it, the same key fits: nothing else is wrong.
        assert!(verified(&with_alg(key, "PS384"), token).is_ok());
    }
}

#[test]
fn what_is_wrong_with_wycheproofs_keys_is_said() {
    let Some(tests) = wycheproof(JWK, "jws") else { return };
    let faults = [
        (6, KeyFault::NotForSignatures),
        (7, KeyFault::ModulusWeak),
        (8, KeyFault::ModulusSize { bits: 1024 }),
        (9, KeyFault::ExponentInvalid),
        (19, KeyFault::AlgorithmUnknown),
        (20, KeyFault::AlgorithmUnknown),
        (21, KeyFault::NotForSignatures),
        (22, KeyFault::PointInvalid),
        (23, KeyFault::AlgorithmMismatch),
        (24, KeyFault::Malformed),
        (25, KeyFault::AlgorithmUnknown),
        (26, KeyFault::AlgorithmUnknown),
    ];
    for (id, fault) in faults {
        let key = &tests.iter().find(|test| test.id == id).unwrap().key;

        let found = match KeySet::try_from(key).unwrap_err() {
            ConfigError::Key(fault) => fault,
            ConfigError::KeysMissing { skipped } => skipped[0].fault().clone(),
            error => panic!("{id}: {error}"),
        };
        assert_eq!(found, fault, "{id}");
    }
    let mixed = &tests.iter().find(|test| test.id == 1).unwrap().key;
    assert_eq!(KeySet::try_from(mixed).unwrap_err(), ConfigError::KeySetMixed);
}

#[test]
fn an_encrypted_token_is_refused_before_its_header_is_read() {
    for (file, expected) in [(CRYPTO, 34), (JWE, 139)] {
        let Some(tests) = wycheproof(file, "jwe") else { return };
        let keys = KeySet::try_from(&Signer::new(Algorithm::HS256).jwk()).unwrap();

        assert_eq!(tests.len(), expected, "{file}");
        for Test { id, key, token, .. } in tests {
            assert!(verified(&key, &token).is_err(), "{file} {id}");
            assert_eq!(keys.verify(&token).unwrap_err().reason(), "token_segments", "{file} {id}");
        }
    }
}

#[test]
fn the_signatures_of_the_jose_cookbook_are_good() {
    let Some(files) = folder().map(|folder| json_files(folder.join("jose-cookbook/jws"))) else { return };
    let mut seen = [0; 4];
    for (name, file) in &files {
        let keys = many(&file["input"]["key"]);
        for (key, signing) in keys.iter().zip(many(&file["signing"])) {
            let key = public(key);
            // Content only (4.7) is signed without a header that is signed, too: that has no compact form.
            let header = signing["protected_b64u"].as_str().unwrap_or_default();
            let input = signing["sig-input"].as_str().unwrap();
            let token = format!("{input}.{}", signing["sig"].as_str().unwrap());
            assert!(input.starts_with(&format!("{header}.")), "{name}");
            if signing["protected"]["alg"].is_string() {
                seen[0] += 1;
                let payload = file["input"]["payload"].as_str().unwrap();
                assert_eq!(verified(&key, &token).unwrap(), payload.as_bytes(), "{name}");
            } else {
                seen[1] += 1;
                verified(&key, &token).expect_err(name);
            }
        }
        if let Some(compact) = file["output"]["compact"].as_str() {
            // The content of 4.5 is detached (RFC 7515, appendix F): the signature is not one of what is there.
            let is_detached = compact.contains("..");
            seen[2] += 1;
            assert_eq!(verified(&public(&keys[0]), compact).is_ok(), !is_detached, "{name}");
        }
        for form in ["json", "json_flat"] {
            if file["output"][form].is_object() {
                seen[3] += 1;
                verified(&public(&keys[0]), &file["output"][form].to_string()).expect_err(name);
            }
        }
    }

    assert_eq!(files.len(), 8);
    // With a protected `alg`, without, compact, JSON.
    assert_eq!(seen, [8, 2, 5, 15]);
}

#[test]
fn single_files_of_the_jose_cookbook_are_judged_as_they_should_be() {
    let Some(folder) = folder().map(|folder| folder.join("jose-cookbook")) else { return };
    let read = |name: &str| json_file(&folder.join(name));
    let compact = |file: &Value| file["output"]["compact"].as_str().unwrap().to_owned();

    let edwards = read("curve25519/jws.json");
    let key = &edwards["input"]["key"];
    assert_eq!(verified(&public(key), &compact(&edwards)).unwrap(), b"Example of Ed25519 signing");
    assert_eq!(verified(key, &compact(&edwards)).unwrap_err(), KeyFault::Private.to_string());

    let nested = read("6.nesting_signatures_and_encryption.json");
    let (sign, encrypt) = (&nested["sign"], &nested["encrypt"]);
    verified(&public(&sign["input"]["key"]), &compact(sign)).unwrap();
    assert_eq!(verified(&public(&sign["input"]["key"]), &compact(encrypt)).unwrap_err(), "token_segments");

    // RFC 7797: a payload that is not encoded.
    let unencoded = read("rfc7797/hmac-sha2_b64_false.json");
    assert_eq!(verified(&unencoded["input"]["key"], &compact(&unencoded)).unwrap_err(), "token_extension");
    let json_only = read("rfc7797/4.2.hmac-sha2_b64_false.json");
    let parts = ["sig-input", "sig"].map(|part| json_only["signing"][part].as_str().unwrap());
    assert_eq!(verified(&json_only["input"]["key"], &parts.join(".")).unwrap_err(), "token_segments");

    let refused = |name: &str| VerificationKey::jwk(read(name).to_string()).err();
    let keys = [
        ("jwk/3_1.ec_public_key.json", None),
        ("jwk/3_2.ec_private_key.json", Some(KeyFault::Private)),
        ("jwk/3_3.rsa_public_key.json", None),
        ("jwk/3_4.rsa_private_key.json", Some(KeyFault::Private)),
        ("jwk/3_5.symmetric_key_mac_computation.json", None),
        ("jwk/3_6.symmetric_key_encryption.json", Some(KeyFault::NotForSignatures)),
    ];
    for (name, fault) in keys {
        assert_eq!(refused(name), fault.map(ConfigError::Key), "{name}");
    }
}

#[test]
fn the_signatures_of_the_rfcs_are_judged_as_they_say() {
    let Some(folder) = folder() else { return };
    let file = json_file(&folder.join("rfc/rfc7515-8037-jws.json"));
    let vectors = many(&file["vectors"]);

    for vector in &vectors {
        let (token, source) = (vector["jws"].as_str().unwrap(), vector["source"].as_str().unwrap());
        if vector["valid"] == json!(true) {
            verified(&vector["jwk"], token).expect(source);
        } else {
            // No key comes with these: they are refused with every other one's.
            for other in vectors.iter().filter(|vector| vector["jwk"].is_object()) {
                let expected = if source.contains("App. E") { "token_extension" } else { "token_alg" };
                let keys = KeySet::try_from(&other["jwk"]).unwrap();
                assert_eq!(keys.verify(token).unwrap_err().reason(), expected, "{source}");
            }
        }
    }

    assert_eq!(vectors.len(), 7);
    assert_eq!(vectors.iter().filter(|vector| vector["valid"] == json!(true)).count(), 5);
}

/// They name neither a subject nor an audience. The audience can be waived, the subject cannot; but whether it is there is
/// looked at only when the signature is good and the issuer the expected one.
#[test]
fn the_tokens_of_rfc_7515_lack_nothing_but_a_subject() {
    let Some(folder) = folder() else { return };
    let file = json_file(&folder.join("rfc/rfc7515-8037-jws.json"));

    for (vector, algorithm) in many(&file["vectors"]).iter().zip([Algorithm::HS256, Algorithm::RS256, Algorithm::ES256])
    {
        let token = vector["jws"].as_str().unwrap();
        let build = |issuer: &str| {
            let jwt = Jwt::with_keys(KeySet::try_from(&vector["jwk"]).unwrap()).algorithms([algorithm]);
            let jwt = jwt.issuer(issuer).dangerous_any_audience().accept_typ_jwt().accept_no_typ();
            jwt.clock(Fixed(1_300_819_300)).build().unwrap()
        };

        assert_eq!(reason(&build("joe"), token), "token_claim_missing");
        assert_eq!(reason(&build("ann"), token), "token_issuer");
        let (signed, _) = token.rsplit_once('.').unwrap();
        assert_eq!(reason(&build("joe"), format!("{signed}.AAAA")), "token_signature");
    }
}

#[test]
fn a_key_for_encryption_is_skipped_and_the_one_beside_it_used() {
    let Some(folder) = folder() else { return };
    let file = json_file(&folder.join("rfc/rfc7517-7638-jwk.json"));

    let keys = KeySet::try_from(&file["rfc7517_A1"]).unwrap();

    let [key] = &keys.iter().collect::<Vec<_>>()[..] else { panic!("{keys:?}") };
    assert_eq!((key.kid(), key.algorithm()), (Some("2011-04-29"), Some(Algorithm::RS256)));
    let [skipped] = keys.skipped() else { panic!("{keys:?}") };
    assert_eq!((skipped.index(), skipped.kid()), (0, Some("1")));
    assert_eq!(skipped.fault(), &KeyFault::NotForSignatures);
    for (name, algorithm) in [("rfc7638_3_1", Algorithm::RS256), ("rfc8037_A3", Algorithm::EdDSA)] {
        let key = VerificationKey::jwk(file[name]["jwk"].to_string()).unwrap();
        assert_eq!(key.algorithm(), Some(algorithm));
    }
}

#[test]
fn a_proof_of_possession_and_a_token_that_asks_for_one_are_no_bearer_tokens() {
    let Some(folder) = folder() else { return };
    let file = json_file(&folder.join("rfc9449-dpop/examples.json"));
    let proofs = many(&file["proofs"]);

    for proof in &proofs {
        let (token, key) = (proof["proof"].as_str().unwrap(), &proof["header"]["jwk"]);
        let claims: Value = serde_json::from_slice(&verified(key, token).unwrap()).unwrap();
        assert_eq!(claims, proof["claims"]);

        // A good signature of a key that is trusted, and still of the wrong kind (RFC 8725, section 3.11).
        let jwt = Jwt::with_keys(KeySet::try_from(key).unwrap()).dangerous_any_issuer().dangerous_any_audience();
        let jwt = jwt.accept_typ_jwt().accept_no_typ().accept_id_tokens().clock(Fixed(1_562_262_620));
        assert_eq!(reason(&jwt.build().unwrap(), token), "token_typ");
    }
    assert_eq!(proofs.len(), 3);

    // The RFC does not show the key of the access token, so the same claims are signed with another one.
    let bound = file["jwt_access_token_with_cnf_jkt"].as_str().unwrap();
    let claims: Value = serde_json::from_slice(&decode(bound.split('.').nth(1).unwrap())).unwrap();
    let signer = Signer::new(Algorithm::ES256);
    let jwt = {
        let jwt = Jwt::with_keys(KeySet::try_from(&signer.jwk()).unwrap()).issuer("https://server.example.com");
        jwt.dangerous_any_audience().clock(Fixed(1_562_262_620)).build().unwrap()
    };
    assert!(claims["cnf"]["jkt"].is_string());
    assert_eq!(reason(&jwt, signer.token(&claims)), "token_bound");
    let mut free = claims.clone();
    free.as_object_mut().unwrap().remove("cnf");
    assert_eq!(reason(&jwt, signer.token(&free)), ADMITTED);
    assert_eq!(reason(&jwt, bound), "token_typ");
}

/// Verifies a JWS with a key or a set of keys. The reason says which of the two was refused.
fn verified(key: &Value, jws: &str) -> Result<Vec<u8>, String> {
    let keys = KeySet::try_from(key).map_err(|error| match error {
        ConfigError::Key(fault) => fault.to_string(),
        error => error.to_string(),
    })?;
    // A key that names no algorithm has none before somebody says which. The vectors mean the one of the header.
    let keys = match alg_of(jws) {
        Some(alg) if key.get("keys").is_none() && key.get("alg").is_none() => {
            keys.restricted_to(&[alg]).map_err(|error| error.to_string())?
        }
        _ => keys,
    };
    keys.verify(jws).map_err(|rejection| rejection.reason().to_owned())
}

fn alg_of(jws: &str) -> Option<Algorithm> {
    let header = BASE64_URL_SAFE_NO_PAD.decode(jws.split('.').next()?).ok()?;
    let header: Value = serde_json::from_slice(&header).ok()?;
    ALGORITHMS.into_iter().find(|algorithm| header["alg"] == algorithm.name())
}

fn with_alg(key: &Value, alg: &str) -> Value {
    let mut key = key.clone();
    key["alg"] = json!(alg);
    key
}

/// Takes the private part of a key away, for files that show no public key. A secret has no other part.
fn public(key: &Value) -> Value {
    let mut key = key.clone();
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth"] {
        key.as_object_mut().unwrap().remove(name);
    }
    key
}

/// A time at which a token of a document was good.
#[derive(Debug)]
struct Fixed(u64);

impl Clock for Fixed {
    fn now(&self) -> SystemTime {
        at(self.0)
    }
}
