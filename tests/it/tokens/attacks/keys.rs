//! Keys that are not to be used.

use std::ops::RangeInclusive;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jsonwebtoken::DecodingKey;
use serde_json::{Value, json};
use tower_keep::{Algorithm, ConfigError, KeyFault, KeySet, VerificationKey};

use super::{changed, hex};
use crate::tokens::mint::{ALGORITHMS, Signer, decode, encode};

fn fault(jwk: &Value) -> Option<KeyFault> {
    match VerificationKey::jwk(jwk.to_string()) {
        Ok(_) => None,
        Err(ConfigError::Key(fault)) => Some(fault),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_key_is_used_for_what_it_says_that_it_is_for() {
    let cases = [
        (json!({ "use": "sig" }), None),
        (json!({ "use": "enc" }), Some(KeyFault::NotForSignatures)),
        (json!({ "use": "SIG" }), Some(KeyFault::NotForSignatures)),
        (json!({ "use": "" }), Some(KeyFault::NotForSignatures)),
        (json!({ "use": ["sig"] }), Some(KeyFault::Malformed)),
        (json!({ "use": 1 }), Some(KeyFault::Malformed)),
        (json!({ "key_ops": ["verify"] }), None),
        (json!({ "key_ops": ["sign", "verify"] }), None),
        (json!({ "key_ops": ["sign"] }), Some(KeyFault::NotForVerification)),
        (json!({ "key_ops": ["encrypt"] }), Some(KeyFault::NotForVerification)),
        (json!({ "key_ops": ["Verify"] }), Some(KeyFault::NotForVerification)),
        (json!({ "key_ops": [] }), Some(KeyFault::NotForVerification)),
        (json!({ "key_ops": "verify" }), Some(KeyFault::Malformed)),
        (json!({ "key_ops": [1, "verify"] }), Some(KeyFault::Malformed)),
        (json!({ "use": "sig", "key_ops": ["encrypt"] }), Some(KeyFault::NotForVerification)),
        (json!({ "use": "enc", "key_ops": ["verify"] }), Some(KeyFault::NotForSignatures)),
        (json!({ "kty": null }), Some(KeyFault::Malformed)),
        (json!({ "kty": 1 }), Some(KeyFault::Malformed)),
        (json!({ "kty": "AKP" }), Some(KeyFault::TypeUnknown)),
        (json!({ "kty": "" }), Some(KeyFault::TypeUnknown)),
        (json!({ "kid": 1 }), Some(KeyFault::Malformed)),
        (json!({ "alg": 1 }), Some(KeyFault::Malformed)),
        (json!({ "alg": ["RS256"] }), Some(KeyFault::Malformed)),
        (json!({ "alg": "none" }), Some(KeyFault::AlgorithmUnknown)),
        (json!({ "alg": "A256GCM" }), Some(KeyFault::AlgorithmUnknown)),
        (json!({ "x5c": "MIIB", "x5u": "http://127.0.0.1/", "exp": 1, "issuer": {} }), None),
    ];
    for algorithm in ALGORITHMS {
        let jwk = Signer::new(algorithm).jwk();
        for (changes, expected) in &cases {
            assert_eq!(fault(&changed(&jwk, changes)), *expected, "{algorithm} {changes}");
        }
        for private in ["d", "p", "q", "dp", "dq", "qi", "oth"] {
            for value in [json!("AQAB"), json!(""), json!([]), json!(0)] {
                let key = changed(&jwk, &json!({ private: value }));
                assert_eq!(fault(&key), Some(KeyFault::Private), "{algorithm} {private}");
            }
        }
        for other in ALGORITHMS {
            let rsa = |algorithm: Algorithm| ["RS", "PS"].contains(&&algorithm.name()[..2]);
            let hmac = |algorithm: Algorithm| algorithm.name().starts_with("HS");
            let is_of_one_kind = rsa(algorithm) && rsa(other) || hmac(algorithm) && hmac(other) || algorithm == other;
            let expected = (!is_of_one_kind).then_some(KeyFault::AlgorithmMismatch);
            assert_eq!(fault(&changed(&jwk, &json!({ "alg": other.name() }))), expected, "{algorithm} as {other}");
        }
        // A member that stands twice.
        for name in jwk.as_object().unwrap().keys() {
            let twice = jwk.to_string().replacen('{', &format!(r#"{{"{name}":{},"#, jwk[name]), 1);
            assert_eq!(VerificationKey::jwk(twice).unwrap_err(), ConfigError::Key(KeyFault::Malformed), "{name}");
        }
    }
}

/// CVE-2020-0601 and its kin: a point is one of its own curve.
#[test]
fn a_point_lies_on_the_curve_that_the_key_names() {
    let curves = [(Algorithm::ES256, "P-256"), (Algorithm::ES384, "P-384"), (Algorithm::ES512, "P-521")];
    for (algorithm, own) in curves {
        let jwk = Signer::new(algorithm).jwk();
        let (x, y) = (decode(jwk["x"].as_str().unwrap()), decode(jwk["y"].as_str().unwrap()));
        for (_, curve) in curves {
            let named = changed(&jwk, &json!({ "crv": curve }));
            let unnamed = changed(&named, &json!({ "alg": null }));
            let is_own = curve == own;
            assert_eq!(fault(&named), (!is_own).then_some(KeyFault::AlgorithmMismatch), "{own} as {curve}");
            assert_eq!(fault(&unnamed), (!is_own).then_some(KeyFault::PointInvalid), "{own} as {curve}");
        }
        for curve in ["secp256k1", "P-256K", "Ed25519", "X25519", "BP-256", "p-256", "P256", ""] {
            assert_eq!(fault(&changed(&jwk, &json!({ "crv": curve }))), Some(KeyFault::CurveUnknown), "{curve}");
        }
        let other = Signer::new(algorithm).jwk();
        let mut off = y.clone();
        *off.last_mut().unwrap() ^= 1;
        let cases = [
            (json!({ "x": "AQAB" }), KeyFault::PointInvalid),
            (json!({ "y": "AQAB" }), KeyFault::PointInvalid),
            (json!({ "x": "AQAB", "y": "AQAB" }), KeyFault::PointInvalid),
            (json!({ "x": "", "y": "" }), KeyFault::PointInvalid),
            (json!({ "x": encode([&[0], &x[..]].concat()) }), KeyFault::PointInvalid),
            (json!({ "x": encode(&x[1..]) }), KeyFault::PointInvalid),
            (json!({ "x": encode([&x[..], &y[..1]].concat()), "y": encode(&y[1..]) }), KeyFault::PointInvalid),
            (json!({ "y": encode(off) }), KeyFault::PointInvalid),
            (json!({ "y": other["y"] }), KeyFault::PointInvalid),
            (json!({ "x": encode(&y), "y": encode(&x) }), KeyFault::PointInvalid),
            (json!({ "x": encode(vec![0; x.len()]), "y": encode(vec![0; x.len()]) }), KeyFault::PointInvalid),
            (json!({ "x": encode(vec![0xff; x.len()]) }), KeyFault::PointInvalid),
            (json!({ "x": null }), KeyFault::Malformed),
            (json!({ "y": null }), KeyFault::Malformed),
            (json!({ "crv": null }), KeyFault::Malformed),
            (json!({ "x": 1 }), KeyFault::Malformed),
            (json!({ "y": ["AQAB"] }), KeyFault::Malformed),
            (json!({ "x": BASE64_STANDARD.encode(&x) + "=" }), KeyFault::Malformed),
            (json!({ "x": format!("{} ", jwk["x"].as_str().unwrap()) }), KeyFault::Malformed),
        ];
        for (changes, expected) in cases {
            assert_eq!(fault(&changed(&jwk, &changes)), Some(expected), "{own} {changes}");
        }
    }

    let jwk = Signer::new(Algorithm::EdDSA).jwk();
    for length in [0, 1, 31, 33, 57, 64] {
        let changes = json!({ "x": encode(vec![7; length]) });
        assert_eq!(fault(&changed(&jwk, &changes)), Some(KeyFault::PointInvalid), "{length} bytes");
    }
    for curve in ["X25519", "Ed448", "X448", "P-256", "ed25519"] {
        assert_eq!(fault(&changed(&jwk, &json!({ "crv": curve }))), Some(KeyFault::CurveUnknown), "{curve}");
    }
    assert_eq!(fault(&changed(&jwk, &json!({ "x": null }))), Some(KeyFault::Malformed));
    assert_eq!(fault(&changed(&jwk, &json!({ "kty": "EC" }))), Some(KeyFault::CurveUnknown));
}

/// Points of order 1, 2, 4 and 8: the product with any number is one of so few points that a signature can be guessed.
#[test]
fn an_ed25519_key_for_which_everybody_can_sign_is_refused() {
    let points = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    let spki = Signer::new(Algorithm::EdDSA).spki();
    for sign in [0, 0x80] {
        for mut point in points.map(hex) {
            point[31] |= sign;
            let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": encode(&point) });
            assert_eq!(fault(&jwk), Some(KeyFault::PointInvalid), "{point:x?}");
            for der in [[&spki[..12], &point].concat(), point.clone()] {
                let error = VerificationKey::der(Algorithm::EdDSA, der).unwrap_err();
                assert_eq!(error, ConfigError::Key(KeyFault::PointInvalid), "{point:x?}");
            }
        }
    }
}

#[test]
fn an_rsa_key_is_of_a_size_and_an_exponent_that_are_safe() {
    let jwk = Signer::new(Algorithm::RS256).jwk();
    let modulus = decode(jwk["n"].as_str().unwrap());
    let of_bits = |bits: usize| {
        let mut n = vec![0x5b; bits.div_ceil(8)];
        n[0] = 1 << ((bits - 1) % 8);
        n
    };
    const ALLOWED: RangeInclusive<usize> = 2048..=8192;
    for bits in [1, 8, 512, 1024, 1536, 2040, 2047, 2048, 2049, 3072, 4096, 8192, 8193, 16384] {
        let found = fault(&changed(&jwk, &json!({ "n": encode(of_bits(bits)) })));
        assert_eq!(found, (!ALLOWED.contains(&bits)).then_some(KeyFault::ModulusSize { bits }), "{bits}");
        // Zeros in front do not make it longer.
        let long = [vec![0; 256], of_bits(bits)].concat();
        assert_eq!(fault(&changed(&jwk, &json!({ "n": encode(long) }))), found, "{bits}");
    }
    for empty in ["", "AA", "AAAA"] {
        let found = fault(&changed(&jwk, &json!({ "n": empty })));
        assert_eq!(found, Some(KeyFault::ModulusSize { bits: 0 }));
    }
    let mut even = modulus.clone();
    *even.last_mut().unwrap() ^= 1;
    assert_eq!(fault(&changed(&jwk, &json!({ "n": encode(even) }))), Some(KeyFault::Malformed));

    let exponents: [(&[u8], bool); 14] = [
        (&[1, 0, 1], true),
        (&[0, 1, 0, 1], true),
        (&[3], true),
        (&[17], true),
        (&[], false),
        (&[0], false),
        (&[1], false),
        (&[0, 1], false),
        (&[2], false),
        (&[4], false),
        (&[1, 0, 0], false),
        (&[1, 0, 2], false),
        (&[1, 0, 0, 0, 1], false),
        (&[0xff; 64], false),
    ];
    for (exponent, is_good) in exponents {
        let found = fault(&changed(&jwk, &json!({ "e": encode(exponent) })));
        assert_eq!(found, (!is_good).then_some(KeyFault::ExponentInvalid), "{exponent:?}");
    }
    assert_eq!(fault(&changed(&jwk, &json!({ "e": jwk["n"] }))), Some(KeyFault::ExponentInvalid));
    for changes in [json!({ "n": null }), json!({ "e": null }), json!({ "e": 65537 }), json!({ "e": "AQAB=" })] {
        assert_eq!(fault(&changed(&jwk, &changes)), Some(KeyFault::Malformed), "{changes}");
    }
}

#[test]
fn a_secret_is_long_and_not_to_be_guessed() {
    let secrets = [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)];
    let random = decode(Signer::new(Algorithm::HS256).jwk()["k"].as_str().unwrap());
    let faults = |algorithm: Algorithm, secret: &[u8]| {
        let jwk = json!({ "kty": "oct", "kid": "k1", "alg": algorithm.name(), "k": encode(secret) });
        let unnamed = changed(&jwk, &json!({ "alg": null }));
        let theirs = DecodingKey::from_secret(secret);
        let of_set = KeySet::try_from(&unnamed).unwrap().restricted_to(&[algorithm]);
        let found = [
            VerificationKey::secret(algorithm, secret).err(),
            VerificationKey::jwk(jwk.to_string()).err(),
            VerificationKey::decoding_key(algorithm, &theirs).err(),
            of_set.err().map(|error| match error {
                ConfigError::KeysMissing { skipped } => ConfigError::Key(skipped[0].fault().clone()),
                error => error,
            }),
        ];
        assert!(found.iter().all(|fault| *fault == found[0]), "{found:?}");
        found[0].clone()
    };
    for (algorithm, needed) in secrets {
        for bytes in [0, 1, 8, 16, 31, 32, 47, 48, 63, 64] {
            let expected = (bytes < needed).then_some(ConfigError::Key(KeyFault::SecretTooShort { bytes, needed }));
            assert_eq!(faults(algorithm, &random[..bytes]), expected, "{algorithm}, {bytes} bytes");
        }
        // An HMAC pads its key with zeros: without a length, `k` and `k` with a zero behind it would be one secret.
        let guessable = [
            "your-256-bit-secret-your-256-bit-secret".repeat(2)[..39].to_owned(),
            "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long".to_owned(),
            "secret".repeat(12),
            "password".repeat(8),
            "0123456789abcdef".repeat(4),
            "a".repeat(64),
            " ".repeat(100),
        ];
        for secret in guessable {
            let expected = match secret.len() < needed {
                true => KeyFault::SecretTooShort { bytes: secret.len(), needed },
                false => KeyFault::SecretWeak,
            };
            assert_eq!(faults(algorithm, secret.as_bytes()), Some(ConfigError::Key(expected)), "{secret}");
        }
        for other in ALGORITHMS.into_iter().filter(|other| !other.name().starts_with("HS")) {
            let error = VerificationKey::secret(other, &random).unwrap_err();
            assert_eq!(error, ConfigError::Key(KeyFault::AlgorithmMismatch), "{other}");
        }
    }
    for k in [json!(null), json!(1), json!("AQAB="), json!("a b"), json!("++++")] {
        let jwk = json!({ "kty": "oct", "alg": "HS256", "k": k });
        assert_eq!(fault(&jwk), Some(KeyFault::Malformed), "{k}");
    }
}

#[test]
fn a_key_in_der_is_of_its_algorithm_and_whole() {
    for of_key in ALGORITHMS.into_iter().filter(|algorithm| !algorithm.name().starts_with("HS")) {
        let der = Signer::new(of_key).spki();
        for algorithm in ALGORITHMS {
            let rsa = |algorithm: Algorithm| ["RS", "PS"].contains(&&algorithm.name()[..2]);
            let fits = algorithm == of_key || rsa(algorithm) && rsa(of_key);
            let expected = match algorithm.name().starts_with("HS") {
                true => Some(KeyFault::AlgorithmMismatch),
                false => (!fits).then_some(KeyFault::Der),
            };
            let found = VerificationKey::der(algorithm, &der).err();
            assert_eq!(found, expected.map(ConfigError::Key), "{of_key} as {algorithm}");
        }
        for broken in
            [&der[..der.len() - 1], &der[1..], &[&[0], &der[..]].concat(), &[&der[..], &[0]].concat(), &[0x30; 91], &[]]
        {
            let error = VerificationKey::der(of_key, broken).unwrap_err();
            assert_eq!(error, ConfigError::Key(KeyFault::Der), "{of_key}");
        }
    }
    // X25519: the same length as Ed25519, and no key for signatures (RFC 8410, section 3).
    let mut der = Signer::new(Algorithm::EdDSA).spki();
    let place = der.windows(3).position(|bytes| bytes == [0x2b, 0x65, 0x70]).unwrap();
    der[place + 2] = 0x6e;
    assert_eq!(VerificationKey::der(Algorithm::EdDSA, &der).unwrap_err(), ConfigError::Key(KeyFault::Der));
}
