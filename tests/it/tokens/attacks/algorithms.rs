//! Who decides on the algorithm: the key, never the token.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tower_keep::{Algorithm, ConfigError, KeyFault, KeySet, VerificationKey};

use super::{ONE_OF_EACH, PUBLIC, header_with, signed_by, under};
use crate::tokens::judge::{ADMITTED, reason};
use crate::tokens::mint::{ALGORITHMS, Signer, claims, decode, encode, verifier};

/// CVE-2015-9235 and its kin: a token that says it needs no signature.
#[test]
fn a_token_without_an_algorithm_that_is_known_is_refused_signed_or_not() {
    let names = [
        "none",
        "None",
        "NONE",
        "nOnE",
        "noNe",
        "none ",
        " none",
        "none\0",
        "none\n",
        "n\u{43e}ne",
        "\u{ff4e}one",
        "",
        "null",
        "undefined",
        "plain",
        "HS256 ",
        "hs256",
        "Hs256",
        "rs256",
        "RSA256",
        "es256",
        "eddsa",
        "EDDSA",
        "ed25519",
        "Ed448",
        "ES256K",
        "ES521",
        "RS1",
        "HS1",
        "MD5",
        "dir",
        "A256KW",
        "RSA1_5",
        "RSA-OAEP",
        "ECDH-ES",
        "PBES2-HS256+A128KW",
        "ML-DSA-44",
    ];
    for algorithm in ONE_OF_EACH {
        let signer = Signer::new(algorithm);
        let jwt = signer.verifier().build().unwrap();
        let [good, ..] = [signer.token(&claims())];
        let signature = good.rsplit_once('.').unwrap().1;
        assert_eq!(reason(&jwt, &good), ADMITTED);

        for name in names {
            let header = header_with(&signer, &json!({ "alg": name }));
            // Unsigned, truly signed, with the signature of another token, with any bytes.
            let tokens = [
                signed_by(&header, ""),
                under(&signer, &header),
                signed_by(&header, decode(signature)),
                signed_by(&header, [0; 32]),
            ];
            for token in tokens {
                assert_eq!(reason(&jwt, &token), "token_alg", "{name:?} under {algorithm}");
            }
        }
        assert_eq!(reason(&jwt, signed_by(signer.header().to_string(), "")), "token_signature");
    }
}

#[test]
fn an_algorithm_that_is_no_text_is_refused() {
    let signer = Signer::new(Algorithm::HS256);
    let jwt = signer.verifier().build().unwrap();

    for value in [json!(null), json!(true), json!(256), json!(["HS256"]), json!({ "HS256": 1 }), json!([])] {
        let header = header_with(&signer, &json!({ "alg": value }));
        for token in [under(&signer, &header), signed_by(&header, "")] {
            assert_eq!(reason(&jwt, token), "token_header", "{value}");
        }
    }
    let header = json!({ "typ": "at+jwt", "kid": "k1" }).to_string();
    assert_eq!(reason(&jwt, under(&signer, &header)), "token_alg");
    let header = json!({ "ALG": "HS256", "Alg": "HS256", "typ": "at+jwt", "kid": "k1" }).to_string();
    assert_eq!(reason(&jwt, under(&signer, &header)), "token_alg");
}

/// CVE-2016-10555 and its kin: the public key, which everybody has, used as the secret of an HMAC.
#[test]
fn a_public_key_is_no_secret_in_whatever_form() {
    for algorithm in PUBLIC {
        let signer = Signer::new(algorithm);
        let (pem, jwk, der) = (signer.pem(), signer.jwk(), signer.spki());
        let body = BASE64_STANDARD.encode(&der);
        let lines: Vec<_> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let wrapped = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
        let mut secrets: Vec<Vec<u8>> = [
            pem.clone(),
            pem.trim_end().to_owned(),
            pem.replace('\n', "\r\n"),
            pem.replace('\n', ""),
            wrapped.clone(),
            wrapped.trim_end().to_owned(),
            wrapped.replace('\n', "\r\n"),
            lines.join("\n"),
            body,
            jwk.to_string(),
            serde_json::to_string_pretty(&jwk).unwrap(),
            json!({ "keys": [jwk] }).to_string(),
            encode(&der),
            String::new(),
        ]
        .map(String::into_bytes)
        .to_vec();
        for number in ["n", "e", "x", "y"] {
            if let Some(text) = jwk[number].as_str() {
                secrets.extend([text.as_bytes().to_vec(), decode(text), [&[0], &decode(text)[..]].concat()]);
            }
        }
        if let (Some(x), Some(y)) = (jwk["x"].as_str(), jwk["y"].as_str()) {
            let (x, y) = (decode(x), decode(y));
            secrets.push([&[4], &x[..], &y[..]].concat());
            secrets.push([&[2 + y[y.len() - 1] % 2], &x[..]].concat());
        }
        // RSAPublicKey: what stands in the bit string of the other form.
        secrets.extend([der[24..].to_vec(), der]);

        let by_jwk = signer.verifier().build().unwrap();
        let by_pem = verifier(VerificationKey::pem(algorithm, &pem).unwrap()).build().unwrap();
        for secret in secrets {
            for hmac in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let forger = Signer::Secret { algorithm: hmac, secret: secret.clone() };
                for header in [forger.header(), json!({ "alg": hmac.name(), "typ": "at+jwt" })] {
                    let forged = under(&forger, header.to_string());
                    for jwt in [&by_jwk, &by_pem] {
                        assert_eq!(reason(jwt, &forged), "token_alg_mismatch", "{algorithm}");
                    }
                    // The same bytes under the name of the algorithm that the key is for.
                    let lie = under(&forger, signer.header().to_string());
                    assert_eq!(reason(&by_jwk, lie), "token_signature", "{algorithm}");
                }
            }
        }
    }
}

/// The same attack from the other end: somebody configures the public key as if it were a secret.
#[test]
fn a_public_key_in_pem_cannot_be_configured_as_a_secret() {
    for algorithm in PUBLIC {
        let pem = Signer::new(algorithm).pem();
        for text in [pem.clone(), pem.replace('\n', "\r\n"), format!("\n{pem}")] {
            let key = VerificationKey::secret(Algorithm::HS256, text.as_bytes());
            assert_eq!(key.unwrap_err(), ConfigError::Key(KeyFault::SecretWeak));

            let jwk = json!({ "kty": "oct", "alg": "HS256", "k": encode(&text) });
            assert_eq!(VerificationKey::jwk(jwk.to_string()).unwrap_err(), ConfigError::Key(KeyFault::SecretWeak));
        }
    }
}

#[test]
fn secrets_and_public_keys_do_not_share_a_set() {
    let (secret, public) = (Signer::new(Algorithm::HS256).jwk(), Signer::new(Algorithm::ES256).jwk());
    let unnamed = |mut key: Value| {
        key.as_object_mut().unwrap().remove("alg");
        key["kid"] = json!("k2");
        key
    };
    for keys in [
        json!([secret, public]),
        json!([public, secret]),
        json!([public, unnamed(secret.clone())]),
        json!([unnamed(public.clone()), public, secret]),
    ] {
        assert_eq!(KeySet::try_from(&json!({ "keys": keys })).unwrap_err(), ConfigError::KeySetMixed);
    }
    let key = |jwk: &Value| VerificationKey::jwk(jwk.to_string()).unwrap();
    assert_eq!(KeySet::new([key(&secret), key(&public)]).unwrap_err(), ConfigError::KeySetMixed);
}

/// CVE-2026-22817: a token that picks another algorithm than the key's own. The RSA keys of the six algorithms are one and
/// the same here, so each of these tokens is truly signed.
#[test]
fn a_key_verifies_with_one_algorithm_and_no_other() {
    for of_key in ALGORITHMS {
        let signer = Signer::new(of_key);
        let jwt = signer.verifier().build().unwrap();
        for of_token in ALGORITHMS {
            let other = if of_token == of_key { Signer::new(of_key) } else { Signer::new(of_token) };
            let is_rsa = matches!(signer, Signer::Rsa { .. });
            let expected = match of_token == of_key {
                true if is_rsa => ADMITTED,
                true => "token_signature",
                false => "token_alg_mismatch",
            };
            assert_eq!(reason(&jwt, other.token(&claims())), expected, "{of_token} under {of_key}");

            // Signed with one algorithm, and said to be signed with the key's.
            let lie = under(&other, signer.header().to_string());
            let expected = if expected == ADMITTED { ADMITTED } else { "token_signature" };
            assert_eq!(reason(&jwt, lie), expected, "{of_token} said to be {of_key}");
        }
    }
}

#[test]
fn a_key_that_names_no_algorithm_is_bound_by_configuration_and_not_by_the_token() {
    let rsa =
        [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];
    let mut jwk = Signer::new(Algorithm::RS256).jwk();
    jwk.as_object_mut().unwrap().remove("alg");
    let keys = || KeySet::try_from(&json!({ "keys": [jwk] })).unwrap();
    for of_token in rsa {
        let token = Signer::new(of_token).token(&claims());
        let expected = |bound| if bound == of_token { ADMITTED } else { "token_alg_mismatch" };

        // RS256 unless something else is said.
        assert_eq!(reason(&verifier(keys()).build().unwrap(), &token), expected(Algorithm::RS256), "{of_token}");
        for bound in rsa {
            let jwt = verifier(keys()).algorithms([bound]).build().unwrap();
            assert_eq!(reason(&jwt, &token), expected(bound), "{of_token} under {bound}");
            // The first of a list that fits, and that one alone.
            let jwt = verifier(keys()).algorithms([Algorithm::ES256, bound, of_token]).build().unwrap();
            assert_eq!(reason(&jwt, &token), expected(bound), "{of_token} under {bound} and itself");
        }
    }

    let Signer::Secret { secret, .. } = Signer::new(Algorithm::HS256) else { panic!("HS256 has a secret") };
    let keys = || KeySet::try_from(&json!({ "kty": "oct", "kid": "k1", "k": encode(&secret) })).unwrap();
    let skipped = verifier(keys()).build().unwrap_err().to_string();
    assert!(skipped.contains("names no algorithm"), "{skipped}");
    let jwt = verifier(keys()).algorithms([Algorithm::HS256]).build().unwrap();
    for (algorithm, expected) in [
        (Algorithm::HS256, ADMITTED),
        (Algorithm::HS384, "token_alg_mismatch"),
        (Algorithm::HS512, "token_alg_mismatch"),
    ] {
        let signer = Signer::Secret { algorithm, secret: secret.clone() };
        assert_eq!(reason(&jwt, signer.token(&claims())), expected, "{algorithm}");
    }
}

#[test]
fn an_algorithm_that_is_not_allowed_disables_the_key() {
    let signer = Signer::new(Algorithm::RS256);

    let jwt = signer.verifier().algorithms([Algorithm::PS256]).build();

    let errors = jwt.unwrap_err().to_string();
    assert!(errors.contains("not one of those configured"), "{errors}");
    // A name that is not known does not fall back to what the token says.
    for alg in ["A256GCM", "RSA-OAEP", "ES521", "RS256 ", "none", ""] {
        let mut jwk = signer.jwk();
        jwk["alg"] = json!(alg);
        let error = VerificationKey::jwk(jwk.to_string()).unwrap_err();
        assert_eq!(error, ConfigError::Key(KeyFault::AlgorithmUnknown), "{alg}");
    }
}
