//! What a verifier can be built from, and what it says where it cannot.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Debug;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use serde_json::{Value, json};
use tower_keep::{
    Algorithm, Bearer, BearerLayer, Claims, ConfigError, ConfigErrors, Denial, DenyList, Jwt, JwtBuilder, KeyFault,
    KeySet, MemoryDenyList, Ownership, PresentedToken, Principal, Scheme, SkippedKey, TokenFacts, TokenForm,
    TokenVerifier, VerificationKey,
};

use super::mint::{ALGORITHMS, AUDIENCE, ISSUER, Signer, claims, claims_with, decode, encode, verifier};
use super::tools::{outcome, verdict, verdict_of};
use crate::support::{TestClock, get, with};

fn errors(builder: JwtBuilder) -> Vec<ConfigError> {
    builder.build().map_or_else(|errors| errors.as_slice().to_vec(), |_| Vec::new())
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("c{number}")).collect()
}

#[test]
fn every_wrong_setting_is_told_by_name() {
    let signer = Signer::new(Algorithm::EdDSA);
    let bare = || Jwt::with_keys(KeySet::try_from(&signer.jwk()).unwrap());
    let good = || signer.verifier();
    let seconds = Duration::from_secs;
    let cases: Vec<(JwtBuilder, Vec<ConfigError>)> = vec![
        (bare(), vec![ConfigError::IssuerMissing, ConfigError::AudienceMissing]),
        (bare().issuer(ISSUER), vec![ConfigError::AudienceMissing]),
        (bare().audience(AUDIENCE), vec![ConfigError::IssuerMissing]),
        (bare().issuer("").audience(AUDIENCE), vec![ConfigError::IssuerMissing]),
        (bare().issuer(ISSUER).audience(""), vec![ConfigError::AudienceMissing]),
        // A variable that is not set names an audience that any token may have.
        (good().audience(""), vec![ConfigError::AudienceMissing]),
        (bare().dangerous_any_issuer().dangerous_any_audience(), vec![]),
        (bare().dangerous_any_issuer(), vec![ConfigError::AudienceMissing]),
        (bare().dangerous_any_audience(), vec![ConfigError::IssuerMissing]),
        (good().algorithms([]), vec![ConfigError::AlgorithmsMissing]),
        (good().algorithms([Algorithm::EdDSA]), vec![]),
        (good().leeway(seconds(300)), vec![]),
        (
            good().leeway(seconds(300) + Duration::from_nanos(1)),
            vec![ConfigError::LeewayTooLong { given: seconds(300) + Duration::from_nanos(1) }],
        ),
        (good().leeway(Duration::MAX), vec![ConfigError::LeewayTooLong { given: Duration::MAX }]),
        (good().token_limit(0), vec![ConfigError::TokenLimitZero]),
        (good().token_limit(usize::MAX), vec![]),
        (good().required_claims([""]), vec![ConfigError::ClaimNameEmpty]),
        (good().scope_claim(""), vec![ConfigError::ClaimNameEmpty]),
        (good().required_claims(names(32)), vec![]),
        (good().required_claims(names(32)).required_claims(names(32)), vec![]),
        (good().required_claims(names(33)), vec![ConfigError::ClaimsTooMany { given: 33 }]),
        (good().remember(0), vec![]),
        (good().max_age(Duration::ZERO), vec![]),
    ];
    for (index, (builder, expected)) in cases.into_iter().enumerate() {
        assert_eq!(errors(builder), expected, "case {index}");
    }
    let missing = errors(good().algorithms([Algorithm::RS256]));
    let [ConfigError::KeysMissing { skipped }] = &missing[..] else { panic!("{missing:?}") };
    assert_eq!((skipped.len(), skipped[0].fault(), skipped[0].kid()), (1, &KeyFault::AlgorithmNotAllowed, Some("k1")));
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let signer = Signer::new(Algorithm::EdDSA);
    let builder = || {
        let keys = KeySet::try_from(&signer.jwk()).unwrap();
        Jwt::with_keys(keys).leeway(Duration::from_secs(301)).token_limit(0).scope_claim("").required_claims(names(33))
    };
    let found = errors(builder().algorithms([]));
    let expected = [
        ConfigError::IssuerMissing,
        ConfigError::AudienceMissing,
        ConfigError::AlgorithmsMissing,
        ConfigError::LeewayTooLong { given: Duration::from_secs(301) },
        ConfigError::TokenLimitZero,
        ConfigError::ClaimNameEmpty,
        ConfigError::ClaimsTooMany { given: 33 },
    ];
    assert_eq!(found, expected);
    let found = builder().algorithms([Algorithm::ES256]).build().unwrap_err();
    assert_eq!(found.as_slice().len(), 7);
    assert!(matches!(found.as_slice()[6], ConfigError::KeysMissing { .. }));
    let text = found.to_string();
    assert_eq!(text.matches("; ").count(), 7, "six between the errors, and one before the key: {text}");
    assert!(found.as_slice().iter().all(|error| text.contains(&error.to_string())), "{text}");
    let boxed: Box<dyn Error + Send + Sync> = found.into();
    assert!(boxed.source().is_none());
}

#[test]
fn every_error_of_keys_and_settings_is_one_line_of_its_own() {
    let config = [
        ConfigError::IssuerMissing,
        ConfigError::IssuerRepeated { given: ISSUER.to_owned() },
        ConfigError::IssuerPrefix { given: ISSUER.to_owned() },
        ConfigError::IssuerTemplate { given: ISSUER.to_owned() },
        ConfigError::Tenants,
        ConfigError::AudienceMissing,
        ConfigError::AlgorithmsMissing,
        ConfigError::LeewayTooLong { given: Duration::from_secs(301) },
        ConfigError::TokenLimitZero,
        ConfigError::ClaimNameEmpty,
        ConfigError::ClaimReserved { given: "exp".to_owned() },
        ConfigError::Typ { given: "dpop+jwt".to_owned() },
        ConfigError::ClaimsTooMany { given: 33 },
        ConfigError::Key(KeyFault::Private),
        ConfigError::KeySetUnreadable { reason: "x".to_owned() },
        ConfigError::KeySetMixed,
        ConfigError::KeysMissing { skipped: Vec::new() },
        ConfigError::BearerContested { kind: Ownership::CatchAll },
    ];
    let faults = [
        KeyFault::Malformed,
        KeyFault::Private,
        KeyFault::NotForSignatures,
        KeyFault::NotForVerification,
        KeyFault::TypeUnknown,
        KeyFault::AlgorithmUnknown,
        KeyFault::AlgorithmMismatch,
        KeyFault::AlgorithmMissing,
        KeyFault::AlgorithmNotAllowed,
        KeyFault::CurveUnknown,
        KeyFault::PointInvalid,
        KeyFault::ModulusSize { bits: 1024 },
        KeyFault::ExponentInvalid,
        KeyFault::ModulusWeak,
        KeyFault::SecretTooShort { bytes: 3, needed: 32 },
        KeyFault::SecretWeak,
        KeyFault::KidRepeated,
        KeyFault::Pem,
        KeyFault::Der,
    ];
    for texts in [config.map(|it| it.to_string()).to_vec(), faults.map(|it| it.to_string()).to_vec()] {
        for text in &texts {
            assert!(text.len() > 10 && !text.ends_with('.') && !text.contains('\n'), "{text:?}");
            assert!(!text.starts_with(char::is_uppercase), "{text:?}");
            assert_eq!(texts.iter().filter(|other| *other == text).count(), 1, "{text:?}");
        }
    }
}

/// Asserts that a key verifies what the signer signs, and nothing that another one does.
#[track_caller]
fn verifies(key: impl Into<KeySet>, signer: &Signer) {
    let jwt = verifier(key).build().unwrap();
    assert_eq!(outcome(&jwt, &signer.token(&claims())), "ok", "{}", signer.algorithm());
    let other = match signer {
        Signer::Rsa { algorithm, .. } => Signer::other_rsa(*algorithm),
        signer => Signer::new(signer.algorithm()),
    };
    assert_eq!(outcome(&jwt, &other.token(&claims())), "token_signature", "{}", signer.algorithm());
}

fn asymmetric() -> impl Iterator<Item = Signer> {
    ALGORITHMS.into_iter().skip(3).map(Signer::new)
}

/// Returns the bare key: `RSAPublicKey`, the point, the 32 bytes.
fn bare(signer: &Signer) -> Vec<u8> {
    use aws_lc_rs::signature::KeyPair;
    match signer {
        Signer::Secret { secret, .. } => secret.clone(),
        Signer::Rsa { key, .. } => key.public_key().as_ref().to_vec(),
        Signer::EllipticCurve { key, .. } => key.public_key().as_ref().to_vec(),
        Signer::Edwards { key } => key.public_key().as_ref().to_vec(),
    }
}

#[test]
fn a_public_key_is_taken_in_every_encoding() {
    for signer in asymmetric() {
        let algorithm = signer.algorithm();
        verifies(VerificationKey::pem(algorithm, signer.pem()).unwrap(), &signer);
        verifies(VerificationKey::pem(algorithm, signer.pem().replace('\n', "\r\n")).unwrap(), &signer);
        verifies(VerificationKey::der(algorithm, signer.spki()).unwrap(), &signer);
        verifies(VerificationKey::der(algorithm, bare(&signer)).unwrap(), &signer);
        verifies(VerificationKey::jwk(signer.jwk().to_string()).unwrap(), &signer);
        verifies(KeySet::try_from(&signer.jwk()).unwrap(), &signer);
        verifies(KeySet::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap(), &signer);
        let key = VerificationKey::der(algorithm, signer.spki()).unwrap();
        assert_eq!((key.algorithm(), key.kid()), (Some(algorithm), None));
        verifies(key.clone().with_kid("k1"), &signer);
        let elsewhere = verifier(key.with_kid("k2")).build().unwrap();
        assert_eq!(outcome(&elsewhere, &signer.token(&claims())), "token_kid_unknown");
    }
    for signer in asymmetric().filter(|signer| matches!(signer, Signer::Rsa { .. })) {
        let body = BASE64_STANDARD.encode(bare(&signer));
        let pem = format!("-----BEGIN RSA PUBLIC KEY-----\n{body}\n-----END RSA PUBLIC KEY-----\n");
        verifies(VerificationKey::pem(signer.algorithm(), pem).unwrap(), &signer);
    }
    for signer in ALGORITHMS.into_iter().take(3).map(Signer::new) {
        verifies(VerificationKey::secret(signer.algorithm(), &bare(&signer)).unwrap(), &signer);
        verifies(VerificationKey::jwk(signer.jwk().to_string()).unwrap(), &signer);
    }
}

#[test]
fn a_key_of_another_family_or_curve_is_no_key() {
    let fault = |outcome: Result<VerificationKey, ConfigError>| match outcome {
        Err(ConfigError::Key(fault)) => fault,
        other => panic!("{other:?}"),
    };
    for signer in asymmetric() {
        for algorithm in ALGORITHMS {
            let fits = match &signer {
                Signer::Rsa { .. } => matches!(algorithm.name().as_bytes(), [b'R' | b'P', b'S', ..]),
                other => other.algorithm() == algorithm,
            };
            if fits {
                continue;
            }
            let expected = match algorithm.name().starts_with("HS") {
                true => KeyFault::AlgorithmMismatch,
                false => KeyFault::Der,
            };
            for der in [signer.spki(), bare(&signer)] {
                assert_eq!(fault(VerificationKey::der(algorithm, der)), expected, "{algorithm}");
            }
            assert_eq!(fault(VerificationKey::pem(algorithm, signer.pem())), expected, "{algorithm}");
        }
        assert_eq!(fault(VerificationKey::secret(signer.algorithm(), &[0xA7; 64])), KeyFault::AlgorithmMismatch);
        let whole = signer.spki();
        for wrong in [&whole[..whole.len() - 1], &whole[1..], &[], &[&whole[..], &[0]].concat()] {
            let outcome = VerificationKey::der(signer.algorithm(), wrong);
            assert!(outcome.is_err(), "{} {} of {} bytes", signer.algorithm(), wrong.len(), whole.len());
            assert_eq!(fault(outcome), KeyFault::Der, "{}", signer.algorithm());
        }
        for wrong in ["", "x", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----", "ssh-ed25519 AAAA"] {
            let fault = fault(VerificationKey::pem(signer.algorithm(), wrong));
            assert!(matches!(fault, KeyFault::Pem | KeyFault::Der), "{wrong:?}: {fault:?}");
        }
        let private = format!("{}-----BEGIN PRIVATE KEY-----\nAQID\n-----END PRIVATE KEY-----", signer.pem());
        assert_eq!(fault(VerificationKey::pem(signer.algorithm(), private)), KeyFault::Private);
    }
    for (algorithm, needed) in [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)] {
        let secret: Vec<u8> = (0..64).map(|byte| byte * 3).collect();
        for bytes in [0, 1, needed - 1] {
            let expected = KeyFault::SecretTooShort { bytes, needed };
            assert_eq!(fault(VerificationKey::secret(algorithm, &secret[..bytes])), expected);
        }
        assert!(VerificationKey::secret(algorithm, &secret[..needed]).is_ok());
        assert_eq!(fault(VerificationKey::secret(algorithm, &[b'x'; 64])), KeyFault::SecretWeak);
    }
}

/// Takes keys of jsonwebtoken, whose backends are not compiled in: any use of them would be a panic.
#[test]
fn keys_of_jsonwebtoken_are_taken_whatever_they_were_made_from() {
    for signer in ALGORITHMS.into_iter().map(Signer::new) {
        let jwk = signer.jwk();
        let member = |name: &str| jwk[name].as_str().unwrap();
        let bytes = bare(&signer);
        let mut keys: Vec<DecodingKey> = match &signer {
            Signer::Secret { .. } => vec![
                DecodingKey::from_secret(&bytes),
                DecodingKey::from_base64_secret(&BASE64_STANDARD.encode(&bytes)).unwrap(),
            ],
            Signer::Rsa { .. } => vec![
                DecodingKey::from_rsa_components(member("n"), member("e")).unwrap(),
                DecodingKey::from_rsa_raw_components(&decode(member("n")), &decode(member("e"))),
                DecodingKey::from_rsa_der(&bytes),
            ],
            Signer::EllipticCurve { .. } => {
                vec![
                    DecodingKey::from_ec_components(member("x"), member("y")).unwrap(),
                    DecodingKey::from_ec_der(&bytes),
                ]
            }
            Signer::Edwards { .. } => vec![
                DecodingKey::from_ed_components(member("x")).unwrap(),
                DecodingKey::from_ed_der(&bytes),
                DecodingKey::from_ed_der(&signer.spki()),
            ],
        };
        // Their reader has no name for ES512, and writes the key with one that nobody knows.
        let theirs: Option<Jwk> = serde_json::from_value(jwk.clone()).ok();
        let theirs = theirs.filter(|_| signer.algorithm() != Algorithm::ES512);
        if let Some(Ok(key)) = theirs.as_ref().map(DecodingKey::from_jwk) {
            keys.push(key);
        }
        for (index, key) in keys.iter().enumerate() {
            let taken = VerificationKey::decoding_key(signer.algorithm(), key);
            let taken = taken.unwrap_or_else(|error| panic!("{} {index}: {error}", signer.algorithm()));
            verifies(taken, &signer);
            for other in ALGORITHMS.into_iter().filter(|other| other.name()[..1] != signer.algorithm().name()[..1]) {
                let is_rsa = |algorithm: Algorithm| matches!(algorithm.name().as_bytes()[0], b'R' | b'P');
                if is_rsa(other) && is_rsa(signer.algorithm()) {
                    continue;
                }
                let outcome = VerificationKey::decoding_key(other, key);
                // The family says nothing of the curve: EdDSA and ES256 begin with the same letter.
                assert!(matches!(outcome, Err(ConfigError::Key(KeyFault::AlgorithmMismatch))), "{other} {outcome:?}");
            }
        }
        if let Some(theirs) = theirs {
            let key = VerificationKey::try_from(&theirs).unwrap();
            assert_eq!((key.kid(), key.algorithm()), (Some("k1"), Some(signer.algorithm())));
            verifies(key, &signer);
            let set = JwkSet { keys: vec![theirs] };
            verifies(KeySet::try_from(&set).unwrap(), &signer);
        }
    }
    let mismatch = |algorithm, key: &DecodingKey| {
        matches!(
            VerificationKey::decoding_key(algorithm, key),
            Err(ConfigError::Key(KeyFault::AlgorithmMismatch | KeyFault::Der))
        )
    };
    let p256 = Signer::new(Algorithm::ES256);
    let edwards = Signer::new(Algorithm::EdDSA);
    assert!(mismatch(Algorithm::ES384, &DecodingKey::from_ec_der(&bare(&p256))));
    assert!(mismatch(Algorithm::EdDSA, &DecodingKey::from_ec_der(&bare(&p256))));
    assert!(mismatch(Algorithm::ES256, &DecodingKey::from_ed_der(&bare(&edwards))));
    assert!(mismatch(Algorithm::HS256, &DecodingKey::from_rsa_der(&[0xA7; 64])));
    // The secret is held to the same rules as one that comes by itself.
    for (secret, expected) in [
        (&b"short"[..], KeyFault::SecretTooShort { bytes: 5, needed: 32 }),
        (b"your-256-bit-secret-your-256-bit-secret", KeyFault::SecretWeak),
    ] {
        let outcome = VerificationKey::decoding_key(Algorithm::HS256, &DecodingKey::from_secret(secret));
        assert!(matches!(outcome, Err(ConfigError::Key(fault)) if fault == expected));
    }
}

#[test]
fn sets_of_jsonwebtoken_lose_no_key_to_another_one() {
    let signer = Signer::new(Algorithm::ES256);
    let set: JwkSet = serde_json::from_value(json!({ "keys": [
        signer.jwk(),
        { "kty": "RSA", "kid": "enc", "use": "enc", "n": encode([0xC5; 256]), "e": "AQAB" },
    ] }))
    .unwrap();
    let keys = KeySet::try_from(&set).unwrap();
    assert_eq!(keys.len(), 1);
    let skipped: Vec<_> = keys.skipped().iter().map(|it| (it.index(), it.kid(), it.fault())).collect();
    assert_eq!(skipped, [(1, Some("enc"), &KeyFault::NotForSignatures)]);
    verifies(keys, &signer);
    let empty = KeySet::try_from(&JwkSet { keys: Vec::new() });
    assert_eq!(empty.unwrap_err(), ConfigError::KeysMissing { skipped: Vec::new() });
}

#[test]
fn keys_are_read_out_of_a_file_or_it_is_said_why_not() {
    let folder = std::env::temp_dir().join(format!("tower-keep-settings-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let signer = Signer::new(Algorithm::EdDSA);
    for document in [json!({ "keys": [signer.jwk()] }), signer.jwk()] {
        verifies(KeySet::from_file(write("good.json", document.to_string().as_bytes())).unwrap(), &signer);
    }
    let reason = |outcome: Result<KeySet, ConfigError>| match outcome {
        Err(ConfigError::KeySetUnreadable { reason }) => reason,
        other => panic!("{other:?}"),
    };
    let missing = folder.join("missing.json");
    assert!(reason(KeySet::from_file(&missing)).starts_with(&missing.display().to_string()));
    assert!(reason(KeySet::from_file(&folder)).starts_with(&folder.display().to_string()));
    for (index, junk) in
        [&b""[..], b"junk-secret-junk", b"{", b"[]", b"null", b"42", b"\xff\xfe", br#"{"keys":1}"#, br#"{"keys":{}}"#]
            .into_iter()
            .enumerate()
    {
        let text = reason(KeySet::from_file(write(&format!("junk{index}.json"), junk)));
        assert!(text.contains("line") && !text.contains("junk-secret"), "{text}");
    }
    let pem = KeySet::from_file(write("key.pem", signer.pem().as_bytes()));
    assert!(!reason(pem).contains(&signer.pem()[40..60]));
    for (document, expected) in [
        (json!({ "keys": [] }), ConfigError::KeysMissing { skipped: Vec::new() }),
        (json!({}), ConfigError::Key(KeyFault::Malformed)),
        (json!({ "kty": "RSA" }), ConfigError::Key(KeyFault::Malformed)),
        (json!({ "kty": "XYZ" }), ConfigError::Key(KeyFault::TypeUnknown)),
    ] {
        assert_eq!(KeySet::from_file(write("other.json", document.to_string().as_bytes())).unwrap_err(), expected);
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_set_and_a_single_key_are_told_apart() {
    let signer = Signer::new(Algorithm::ES256);
    let other = Signer::new(Algorithm::ES384);
    let mut second = other.jwk();
    second["kid"] = json!("k2");
    let set = KeySet::try_from(&json!({ "keys": [signer.jwk(), second] })).unwrap();
    assert_eq!(set.iter().map(|key| key.kid().unwrap()).collect::<Vec<_>>(), ["k1", "k2"]);
    assert!(!set.is_empty());
    // One key that cannot be used is an error where it is the only one, and skipped where it is not.
    let private = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "p", "x": encode([7; 32]), "d": encode([7; 32]) });
    assert_eq!(KeySet::try_from(&private).unwrap_err(), ConfigError::Key(KeyFault::Private));
    let set = KeySet::try_from(&json!({ "keys": [private, signer.jwk()] })).unwrap();
    assert_eq!((set.len(), set.skipped().len()), (1, 1));
    let only = KeySet::try_from(&json!({ "keys": [private] })).unwrap_err();
    assert!(matches!(only, ConfigError::KeysMissing { skipped } if skipped[0].fault() == &KeyFault::Private));
    // An array is no key, and no set, however well its elements would do as members.
    let positional = json!(["OKP", "k1", "EdDSA", null, null, "Ed25519", encode([7; 32])]);
    assert_eq!(VerificationKey::jwk(positional.to_string()).unwrap_err(), ConfigError::Key(KeyFault::Malformed));
    let nested = KeySet::try_from(&json!([[signer.jwk()]])).unwrap_err();
    assert!(matches!(nested, ConfigError::KeySetUnreadable { .. }), "{nested}");
    let secret = Signer::new(Algorithm::HS256);
    let mixed = KeySet::try_from(&json!({ "keys": [signer.jwk(), secret.jwk()] }));
    assert_eq!(mixed.unwrap_err(), ConfigError::KeySetMixed);
    let keys = [&signer, &secret].map(|signer| VerificationKey::jwk(signer.jwk().to_string()).unwrap());
    assert_eq!(KeySet::new(keys).unwrap_err(), ConfigError::KeySetMixed);
    assert_eq!(KeySet::new([]).unwrap_err(), ConfigError::KeysMissing { skipped: Vec::new() });
}

#[test]
fn the_list_of_algorithms_narrows_the_keys() {
    let signers = [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA].map(Signer::new);
    let jwks: Vec<Value> = signers.iter().map(Signer::jwk).collect();
    let keys = KeySet::try_from(&json!({ "keys": jwks })).unwrap();
    for (allowed, expected) in [
        (vec![Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA], ["ok", "ok", "ok"]),
        (vec![Algorithm::ES384], ["token_alg_mismatch", "ok", "token_alg_mismatch"]),
        (vec![Algorithm::EdDSA, Algorithm::RS256], ["token_alg_mismatch", "token_alg_mismatch", "ok"]),
    ] {
        let jwt = verifier(keys.clone()).algorithms(allowed.clone()).build().unwrap();
        assert_eq!(signers.each_ref().map(|signer| outcome(&jwt, &signer.token(&claims()))), expected, "{allowed:?}");
        assert_eq!(jwt.keys().len() + jwt.keys().skipped().len(), 3);
        // Keys that come later are held to the same list.
        let replaced = jwt.replace_keys(KeySet::try_from(&signers[0].jwk()).unwrap());
        assert_eq!(replaced.is_ok(), allowed.contains(&Algorithm::ES256), "{allowed:?}");
    }
}

#[test]
fn a_key_without_a_name_for_its_algorithm_is_bound_to_the_first_that_fits() {
    let unnamed = |signer: &Signer| {
        let mut jwk = signer.jwk();
        jwk.as_object_mut().unwrap().remove("alg");
        KeySet::try_from(&jwk).unwrap()
    };
    let rsa = [Algorithm::RS256, Algorithm::RS384, Algorithm::PS256, Algorithm::PS512].map(Signer::new);
    let judge = |settings: &dyn Fn(JwtBuilder) -> JwtBuilder| {
        let jwt = settings(verifier(unnamed(&rsa[0]))).build().unwrap();
        rsa.each_ref().map(|signer| outcome(&jwt, &signer.token(&claims())) == "ok")
    };
    assert_eq!(judge(&|it| it), [true, false, false, false]);
    assert_eq!(judge(&|it| it.algorithms([Algorithm::PS512, Algorithm::RS256])), [false, false, false, true]);
    assert_eq!(judge(&|it| it.algorithms([Algorithm::ES256, Algorithm::PS256])), [false, false, true, false]);
    // The curve leaves nothing to choose.
    for algorithm in [Algorithm::ES256, Algorithm::ES384, Algorithm::ES512, Algorithm::EdDSA] {
        let signer = Signer::new(algorithm);
        verifies(unnamed(&signer), &signer);
    }
    // A secret says nothing of itself, and the token is not asked.
    let secret = Signer::new(Algorithm::HS384);
    let error = verifier(unnamed(&secret)).build().unwrap_err();
    let [ConfigError::KeysMissing { skipped }] = error.as_slice() else { panic!("{error}") };
    assert_eq!(skipped[0].fault(), &KeyFault::AlgorithmMissing);
    let jwt = verifier(unnamed(&secret)).algorithms([Algorithm::RS256, Algorithm::HS384, Algorithm::HS256]);
    assert_eq!(outcome(&jwt.build().unwrap(), &secret.token(&claims())), "ok");
    let jwt = verifier(unnamed(&secret)).algorithms([Algorithm::HS256, Algorithm::HS384]);
    assert_eq!(outcome(&jwt.build().unwrap(), &secret.token(&claims())), "token_alg_mismatch");
}

#[test]
fn a_token_is_looked_at_up_to_its_limit() {
    let signer = Signer::new(Algorithm::EdDSA);
    let token = signer.token(&claims());
    for (limit, expected) in [(token.len(), "ok"), (token.len() - 1, "token_too_long"), (1, "token_too_long")] {
        let jwt = signer.verifier().token_limit(limit).build().unwrap();
        assert_eq!(outcome(&jwt, &token), expected, "{limit}");
    }
    let jwt = signer.verifier().build().unwrap();
    let long = signer.token(&claims_with(json!({ "x": "y".repeat(8 * 1024) })));
    assert_eq!(outcome(&jwt, &long), "token_too_long");
}

fn shared<T: Send + Sync + Debug + 'static>() {}
fn cloned<T: Clone>() {}

#[test]
fn every_type_of_bearer_tokens_is_shared_between_threads_and_can_be_printed() {
    shared::<(Jwt, JwtBuilder, JwtBuilder<HashMap<String, Value>>, KeySet, VerificationKey, Algorithm, SkippedKey)>();
    shared::<(Bearer, BearerLayer, PresentedToken, TokenForm, Claims<String>, TokenFacts<'static>)>();
    shared::<(MemoryDenyList, Denial, KeyFault, ConfigError, ConfigErrors)>();
    cloned::<(Jwt, KeySet, VerificationKey, Bearer, BearerLayer, MemoryDenyList, Denial, Claims<String>)>();
    fn objects(_: Option<(&dyn TokenVerifier, &dyn DenyList)>) {}
    objects(None);
}

#[test]
fn nothing_that_is_printed_holds_a_secret_or_a_token() {
    let signer = Signer::new(Algorithm::HS256);
    let Signer::Secret { secret, .. } = &signer else { panic!("a secret") };
    let token = signer.token(&claims());
    let key = VerificationKey::secret(Algorithm::HS256, secret).unwrap().with_kid("k1");
    let mut unnamed = signer.jwk();
    unnamed.as_object_mut().unwrap().remove("alg");
    let unnamed = VerificationKey::jwk(unnamed.to_string()).unwrap();
    let jwt = verifier(key.clone()).build().unwrap();
    let scheme = Bearer::new(jwt.clone()).realm("orders").unwrap();
    let principal = verdict(&jwt, &token).unwrap();
    let expired = verifier(key.clone()).max_age(Duration::ZERO).clock(TestClock::new()).build().unwrap();
    let request = with(get("/"), "authorization", &format!("Bearer {token}"));
    let (mut head, _) = request.into_parts();
    let presented = scheme.take(&mut head).unwrap().unwrap();
    assert_eq!(presented.expose(), token);
    let wrong = format!("{}x", &token[..token.len() - 1]);
    let refused = verdict_of(&scheme, &wrong).unwrap_err();
    let unreadable = KeySet::from_json(format!("{{\"k\":\"{}\"", encode(secret))).unwrap_err();
    let short = VerificationKey::secret(Algorithm::HS512, &secret[..63]).unwrap_err();
    let junk = VerificationKey::jwk(format!("{{\"kty\":\"{}\"}}", encode(secret))).unwrap_err();
    let pem = VerificationKey::pem(Algorithm::ES256, encode(secret)).unwrap_err();
    let denied = MemoryDenyList::new();
    denied.deny(Denial::token("t1"));
    let printed: [(&str, &dyn Debug); 22] = [
        ("key", &key),
        ("unnamed key", &unnamed),
        ("set", &KeySet::from(key.clone())),
        ("keys", &jwt.keys()),
        ("verifier", &jwt),
        ("builder", &verifier(key.clone())),
        ("typed builder", &verifier(key.clone()).claims::<Value>().deny_list(denied.clone())),
        ("scheme", &scheme),
        ("layer", &BearerLayer::over(scheme.clone())),
        ("presented", &presented),
        ("head", &head),
        ("principal", &principal),
        (
            "admission",
            &scheme.verify(
                scheme
                    .take(&mut with(get("/"), "authorization", &format!("Bearer {token}")).into_parts().0)
                    .unwrap()
                    .unwrap(),
            ),
        ),
        ("refused", &refused),
        ("too old", &verdict(&expired, &token)),
        ("unreadable", &unreadable),
        ("short", &short),
        ("junk", &junk),
        ("pem", &pem),
        ("deny list", &denied),
        ("denial", &Denial::subject("alice")),
        ("algorithm", &Algorithm::HS256),
    ];
    let bytes = format!("{secret:?}");
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let segments: Vec<&str> = token.split('.').collect();
    let told = [&bytes[1..40], &hex[..16], &encode(secret)[..16], &segments[1][..16], &segments[2][..16], segments[0]];
    let errors: [&dyn std::fmt::Display; 5] = [&unreadable, &short, &junk, &pem, &refused];
    let texts =
        printed.iter().flat_map(|(name, value)| [(*name, format!("{value:?}")), (*name, format!("{value:#?}"))]);
    for (name, text) in texts.chain(errors.iter().map(|error| ("error", error.to_string()))) {
        assert!(!text.is_empty(), "{name} prints nothing");
        for secret in told {
            assert!(!text.contains(secret), "{name} prints {secret}: {text}");
        }
    }
    assert!(principal.details::<()>().is_some());
    let _: Option<&Principal> = principal.before();
}

#[test]
fn what_is_printed_is_of_use() {
    let signer = Signer::new(Algorithm::ES256);
    let jwt = signer.verifier().build().unwrap();
    assert!(format!("{jwt:?}").contains("k1") && format!("{jwt:?}").contains("ES256"));
    assert!(format!("{:?}", signer.verifier()).contains(ISSUER));
    assert!(format!("{:?}", Bearer::new(jwt).realm("orders").unwrap()).contains("orders"));
    assert_eq!(Algorithm::EdDSA.to_string(), "EdDSA");
    assert!(Bearer::new(signer.verifier().build().unwrap()).realm("caf\u{e9}").is_err());
}

#[test]
fn claims_and_types_with_a_meaning_of_their_own_are_told() {
    let signer = Signer::new(Algorithm::EdDSA);
    let errors = |builder: JwtBuilder| builder.build().err().map_or(Vec::new(), |errors| errors.as_slice().to_vec());
    let reserved = |given: &str| vec![ConfigError::ClaimReserved { given: given.to_owned() }];
    for name in ["iss", "aud", "exp", "nbf", "iat", "jti", "sid", "acr", "auth_time", "cnf"] {
        assert_eq!(errors(signer.verifier().scope_claim(name)), reserved(name));
        assert_eq!(errors(signer.verifier().subject_claim(name)), reserved(name));
    }
    assert_eq!(errors(signer.verifier().scope_claim("sub")), reserved("sub"));
    assert_eq!(errors(signer.verifier().scope_claim("roles").subject_claim("roles")), reserved("roles"));
    for name in ["scope", "scp", "at_hash", "c_hash"] {
        assert_eq!(errors(signer.verifier().subject_claim(name)), reserved(name));
    }
    assert_eq!(errors(signer.verifier().subject_claim("sub").scope_claim("scope")), []);
    for typ in ["", "dpop+jwt", "application/Logout+JWT", "two words"] {
        assert_eq!(errors(signer.verifier().accept_typ(typ)), [ConfigError::Typ { given: typ.to_owned() }]);
    }
}

#[test]
fn a_token_that_came_in_no_header_field_is_judged_as_any_other() {
    let signer = Signer::new(Algorithm::EdDSA);
    let jwt = signer.verifier().build().unwrap();
    let token = PresentedToken::from_text(&signer.token(&claims())).unwrap();
    assert_eq!(jwt.verify(&token).now().unwrap().unwrap().subject(), "alice");
    for wrong in ["", "a b", "a,b", "Bearer x", "é", "a\nb"] {
        assert_eq!(PresentedToken::from_text(wrong).unwrap_err().cause(), tower_keep::Cause::Malformed, "{wrong:?}");
    }
}

/// What is told of a key once does not count against another one later.
#[test]
fn a_key_that_is_told_apart_stays_of_use_beside_two_that_are_not() {
    let (a, b, c) = (Signer::new(Algorithm::EdDSA), Signer::new(Algorithm::EdDSA), Signer::new(Algorithm::ES256));
    let keys = KeySet::from_json(serde_json::json!({ "keys": [a.jwk(), b.jwk(), c.jwk()] }).to_string()).unwrap();
    let token = c.token(&claims());
    assert_eq!((keys.len(), keys.skipped().len()), (1, 2));
    assert_eq!(keys.restricted_to(&[Algorithm::ES256]).unwrap().len(), 1);
    assert_eq!(outcome(&verifier(keys).build().unwrap(), &token), "ok");
}

/// A secret may come with what a file or a buffer puts around it, and a public key in any spelling is none.
#[test]
fn secrets_that_everybody_knows_are_refused_in_any_wrapping() {
    let known = "a-string-secret-at-least-256-bits-long";
    let rsa = Signer::new(Algorithm::RS256);
    let base64 = rsa.pem().lines().nth(1).unwrap().to_owned();
    let padded = |text: &str, length| [text.as_bytes(), &vec![0; length - text.len()]].concat();
    let texts: [Vec<u8>; 12] = [
        format!("{}\n", "x".repeat(32)).into(),
        padded("password", 32),
        padded("N8w!q)Zk3vT#0pL$7sYx", 64),
        Signer::new(Algorithm::ES384).pem().lines().nth(1).unwrap().into(),
        known.into(),
        format!("{known}\n").into(),
        format!("  {known}\r\n\0\0").into(),
        vec![0; 32],
        vec![0xff; 64],
        "geheim-ü".repeat(8).into(),
        rsa.spki(),
        base64.into(),
    ];
    for text in texts {
        let refused = VerificationKey::secret(Algorithm::HS256, &text).unwrap_err();
        assert_eq!(refused, ConfigError::Key(KeyFault::SecretWeak), "{}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn an_ed25519_key_is_a_point() {
    let jwk = |x: &[u8]| {
        VerificationKey::jwk(serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(x) }).to_string())
    };
    let mut two = [0; 32];
    two[0] = 2;
    let mut beyond = [0xff; 32];
    beyond[31] = 0x7f;
    for wrong in [two, beyond] {
        assert_eq!(jwk(&wrong).unwrap_err(), ConfigError::Key(KeyFault::PointInvalid));
    }
}
