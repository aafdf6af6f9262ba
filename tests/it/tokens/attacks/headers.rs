//! What a header says beside the algorithm.

use std::io::ErrorKind;
use std::net::TcpListener;

use serde_json::{Value, json};
use tower_keep::{Algorithm, KeySet};

use super::{ONE_OF_EACH, header_with, signed_by, under};
use crate::tokens::judge::{ADMITTED, reason};
use crate::tokens::mint::{Signer, claims, claims_with, verifier};

/// CVE-2018-0114 and its kin: the token brings the key along that it is to be verified with, or says where to get it.
#[test]
fn a_key_in_a_token_is_not_believed_and_its_address_not_visited() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = format!("http://{}/keys.json", listener.local_addr().unwrap());
    for algorithm in ONE_OF_EACH {
        let (signer, forger) = match algorithm {
            Algorithm::RS256 => (Signer::new(algorithm), Signer::other_rsa(algorithm)),
            _ => (Signer::new(algorithm), Signer::new(algorithm)),
        };
        let jwt = signer.verifier().build().unwrap();
        let jwk = forger.jwk();
        let members = [
            json!({ "jwk": jwk }),
            json!({ "jwk": jwk.to_string() }),
            json!({ "jwk": { "keys": [jwk] } }),
            json!({ "jwks": { "keys": [jwk] } }),
            json!({ "jwk": null }),
            json!({ "jku": address }),
            json!({ "jku": [address] }),
            json!({ "jku": "file:///dev/null" }),
            json!({ "x5u": address }),
            json!({ "x5c": ["MIIB"] }),
            json!({ "x5c": "MIIB" }),
            json!({ "x5c": [] }),
            json!({ "x5t": "AAAA", "x5t#S256": "AAAA" }),
            json!({ "jwk": jwk, "jku": address, "x5u": address, "x5c": ["MIIB"] }),
            json!({ "iss": address, "jwks_uri": address, "url": address }),
        ];
        for member in members {
            let header = header_with(&signer, &member);
            let token = forger.jws(&header, claims_with(json!({ "jwks_uri": address })).to_string());
            assert_eq!(reason(&jwt, token), "token_signature", "{member}");
            let foreign = forger.jws(&header, claims_with(json!({ "iss": address })).to_string());
            assert_eq!(reason(&jwt, foreign), "token_signature", "{member}");
            // They say nothing, so they do no harm in a token of the issuer's: thumbprints are common.
            assert_eq!(reason(&jwt, under(&signer, &header)), ADMITTED, "{member}");

            let mut nameless: Value = serde_json::from_str(&header).unwrap();
            nameless.as_object_mut().unwrap().remove("kid");
            assert_eq!(reason(&jwt, under(&forger, nameless.to_string())), "token_signature", "{member}");
        }
    }

    let visit = listener.accept();

    assert_eq!(visit.unwrap_err().kind(), ErrorKind::WouldBlock, "somebody called");
}

#[test]
fn a_key_id_is_a_name_and_nothing_else() {
    let names = [
        "../../../../../dev/null",
        "/dev/null",
        "/proc/sys/kernel/randomize_va_space",
        "..\\..\\windows\\win.ini",
        "file:///dev/null",
        "http://127.0.0.1/keys",
        "//127.0.0.1/keys",
        "k1' OR '1'='1",
        "x' UNION SELECT 'secret';--",
        "k1\"; DROP TABLE keys; --",
        "k1%27",
        "k1; sleep 10",
        "|/bin/true",
        "$(true)",
        "`true`",
        "${jndi:ldap://127.0.0.1/a}",
        "{{7*7}}",
        "%s%n%x",
        "*",
        "",
        " k1",
        "k1 ",
        "K1",
        "k1\0",
        "k\u{ff11}",
        "\u{202e}1k",
    ];
    assert_eq!(names.len(), 26);
    let long = "k".repeat(4096);
    for algorithm in [Algorithm::HS256, Algorithm::ES256] {
        let signer = Signer::new(algorithm);
        let jwt = signer.verifier().build().unwrap();
        for name in names.into_iter().chain([&*long, "k1\nk1", "\u{1f511}"]) {
            let header = header_with(&signer, &json!({ "kid": name }));
            for token in [under(&signer, &header), signed_by(&header, "")] {
                assert_eq!(reason(&jwt, token), "token_kid_unknown", "{name:?}");
            }
        }
        // Escapes are a way to write the same name.
        let escaped = under(&signer, signer.header().to_string().replace("k1", "\\u006b1"));
        assert_eq!(reason(&jwt, escaped), ADMITTED);
    }
}

#[test]
fn a_key_id_or_type_that_is_no_text_is_refused() {
    let values = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(-1),
        json!(1.5),
        json!([]),
        json!(["k1"]),
        json!({}),
        json!({ "k1": "k1" }),
    ];
    let signer = Signer::new(Algorithm::HS256);
    let mut nameless = signer.jwk();
    nameless.as_object_mut().unwrap().remove("kid");
    let verifiers = [
        signer.verifier().build().unwrap(),
        // A key without an id takes tokens with any, and still no other type than a text.
        verifier(KeySet::try_from(&nameless).unwrap()).build().unwrap(),
    ];
    for jwt in verifiers {
        for value in &values {
            for name in ["kid", "typ"] {
                let header = header_with(&signer, &json!({ name: value }));
                assert_eq!(reason(&jwt, under(&signer, &header)), "token_header", "{name} {value}");
            }
        }
    }
}

/// CVE-2026-32597, CVE-2025-59420 and GHSA-hm7r-c7qw-ghp6: an extension that has to be understood, and is not.
#[test]
fn extensions_that_have_to_be_understood_are_refused() {
    let forms = [
        "[]",
        r#"["http://example.com/UNDEFINED"]"#,
        r#"["exp"]"#,
        r#"["b64"]"#,
        r#"["alg"]"#,
        r#"["kid"]"#,
        r#"["typ"]"#,
        r#"["crit"]"#,
        r#"["b64","b64"]"#,
        r#"["", "x"]"#,
        r#"[["b64"]]"#,
        "[null]",
        "[1]",
        r#""b64""#,
        "0",
        "true",
        "null",
        "{}",
        r#"{"0":"b64"}"#,
    ];
    for algorithm in ONE_OF_EACH {
        let signer = Signer::new(algorithm);
        let jwt = signer.verifier().build().unwrap();
        let header = signer.header().to_string();
        let open = header.strip_suffix('}').unwrap();
        for form in forms {
            for name in ["crit", "cr\\u0069t"] {
                for more in ["", r#","http://example.com/UNDEFINED":true,"exp":1"#, r#","b64":true"#] {
                    let header = format!(r#"{open},"{name}":{form}{more}}}"#);
                    assert_eq!(reason(&jwt, under(&signer, &header)), "token_extension", "{header}");
                    assert_eq!(reason(&jwt, signed_by(&header, "")), "token_extension", "{header}");
                }
            }
        }
        // RFC 7515, appendix E.
        let appendix = "eyJhbGciOiJub25lIiwNCiAiY3JpdCI6WyJodHRwOi8vZXhhbXBsZS5jb20vVU5ERUZJTkVEIl0sDQogImh0dHA6Ly9leGFt\
                        cGxlLmNvbS9VTkRFRklORUQiOnRydWUNCn0.RkFJTA.";
        assert_eq!(reason(&jwt, appendix), "token_extension");
    }
}

#[test]
fn parameters_that_change_how_a_token_is_read_are_refused() {
    let signer = Signer::new(Algorithm::HS256);
    let jwt = signer.verifier().build().unwrap();
    let refused = [
        json!({ "b64": false }),
        json!({ "b64": true }),
        json!({ "b64": null }),
        json!({ "zip": "DEF" }),
        json!({ "zip": "none" }),
        json!({ "zip": null }),
        json!({ "enc": "A128GCM" }),
        json!({ "enc": "" }),
        json!({ "enc": [] }),
        json!({ "b64": false, "crit": ["b64"], "zip": "DEF", "enc": "A256GCM" }),
    ];
    for member in refused {
        let header = header_with(&signer, &member);
        assert_eq!(reason(&jwt, under(&signer, &header)), "token_extension", "{member}");
    }

    // The content type of a token in a token: nothing is unpacked.
    let nested = header_with(&signer, &json!({ "cty": "JWT" }));
    assert_eq!(reason(&jwt, signer.jws(nested, signer.token(&claims()))), "token_claims");

    // WS-2023-0431 and its kin: work that a token asks for.
    let costly = header_with(&signer, &json!({ "alg": "PBES2-HS512+A256KW", "p2c": i32::MAX, "p2s": "AAAA" }));
    assert_eq!(reason(&jwt, under(&signer, &costly)), "token_alg");
}

#[test]
fn a_member_that_stands_twice_makes_a_header_unreadable() {
    for algorithm in ONE_OF_EACH {
        let signer = Signer::new(algorithm);
        let jwt = signer.verifier().build().unwrap();
        let alg = algorithm.name();
        let rest = r#""typ":"at+jwt","kid":"k1""#;
        let headers = [
            format!(r#"{{"alg":"none","alg":"{alg}",{rest}}}"#),
            format!(r#"{{"alg":"{alg}","alg":"none",{rest}}}"#),
            format!(r#"{{"alg":"{alg}","alg":"{alg}",{rest}}}"#),
            format!(r#"{{"alg":"{alg}","\u0061lg":"none",{rest}}}"#),
            format!(r#"{{"alg":"{alg}","alg":null,{rest}}}"#),
            format!(r#"{{"alg":"{alg}",{rest},"kid":"k2"}}"#),
            format!(r#"{{"alg":"{alg}",{rest},"kid":"k1"}}"#),
            format!(r#"{{"alg":"{alg}",{rest},"k\u0069d":"k1"}}"#),
            format!(r#"{{"alg":"{alg}",{rest},"typ":"JWT"}}"#),
            format!(r#"{{"alg":"{alg}",{rest},"x":1,"x":1}}"#),
            format!(r#"{{"alg":"{alg}",{rest},"x":1,"y":2,"\u0078":3}}"#),
            format!(r#"{{"alg":"{alg}",{rest},"jwk":{{}},"jwk":{{}}}}"#),
        ];
        for header in headers {
            assert_eq!(reason(&jwt, under(&signer, &header)), "token_header", "{header}");
        }
        // Names differ by case (RFC 7515, section 4).
        let header = format!(r#"{{"alg":"{alg}",{rest},"x":1,"X":1,"Kid":"k2","ALG":"none"}}"#);
        assert_eq!(reason(&jwt, under(&signer, &header)), ADMITTED);
    }
}

#[test]
fn a_header_is_one_json_object() {
    let signer = Signer::new(Algorithm::HS256);
    let jwt = signer.verifier().build().unwrap();
    let good = signer.header().to_string();
    let headers: Vec<Vec<u8>> = [
        String::new(),
        "{".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "\"HS256\"".to_owned(),
        "0".to_owned(),
        format!("[{good}]"),
        format!("{good}{good}"),
        format!("{good},"),
        format!("{good}\0"),
        format!("\u{feff}{good}"),
        format!("//\n{good}"),
        good.replace('"', "'"),
        good.replace('}', ",}"),
        good.replace("at+jwt", "\\ud800"),
        good.replace("k1", "k\n1"),
        good.replace("k1", "\\x6b1"),
        good.replace('}', r#","x":NaN}"#),
        good.replace('}', r#","x":01}"#),
        r#"["HS256","k1","at+jwt"]"#.to_owned(),
    ]
    .map(String::into_bytes)
    .into_iter()
    // Not UTF-8.
    .chain([good.bytes().map(|byte| if byte == b'k' { 0xff } else { byte }).collect()])
    .collect();
    for header in headers {
        let text = String::from_utf8_lossy(&header).into_owned();
        assert_eq!(reason(&jwt, under(&signer, header)), "token_header", "{text}");
    }

    // White space and order are the issuer's business.
    let spaced = "\r\n { \"kid\" : \"k1\",\t\"typ\":\"at+jwt\", \"alg\" :\"HS256\" } ";
    assert_eq!(reason(&jwt, under(&signer, spaced)), ADMITTED);
}

#[test]
fn a_header_has_few_members() {
    let signer = Signer::new(Algorithm::HS256);
    let jwt = signer.verifier().token_limit(1 << 20).build().unwrap();
    for (members, expected) in [(32, ADMITTED), (33, "token_header"), (20_000, "token_header")] {
        let mut header = signer.header();
        for member in 0..members {
            header[format!("m{member}")] = json!(member);
        }
        assert_eq!(reason(&jwt, under(&signer, header.to_string())), expected, "{members}");
    }
}

#[test]
fn another_kind_of_token_is_refused_by_its_type() {
    let other_kinds = [
        "dpop+jwt",
        "secevent+jwt",
        "logout+jwt",
        "token-introspection+jwt",
        "application/logout+jwt",
        "oauth-authz-req+jwt",
        "entity-statement+jwt",
        "kb+jwt",
        "JOSE",
        "JWE",
        "at+jwt ",
        " at+jwt",
        "at+jwt;x=1",
        "at jwt",
        "at_jwt",
        "at+jwts",
        "text/at+jwt",
        "application/application/at+jwt",
        "",
    ];
    let signer = Signer::new(Algorithm::HS256);
    let strict = signer.verifier().build().unwrap();
    let jwt_too = signer.verifier().accept_typ_jwt().build().unwrap();
    let none_too = signer.verifier().accept_no_typ().build().unwrap();
    let all = signer.verifier().accept_typ_jwt().accept_no_typ().accept_id_tokens().build().unwrap();
    let with_typ = |typ: &str| under(&signer, header_with(&signer, &json!({ "typ": typ })));
    for typ in other_kinds {
        for jwt in [&strict, &jwt_too, &none_too, &all] {
            assert_eq!(reason(jwt, with_typ(typ)), "token_typ", "{typ:?}");
        }
    }
    for typ in ["at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "Application/AT+jwt"] {
        for jwt in [&strict, &jwt_too, &none_too, &all] {
            assert_eq!(reason(jwt, with_typ(typ)), ADMITTED, "{typ}");
        }
    }
    let of_setting = |token: String| [&strict, &jwt_too, &none_too, &all].map(|jwt| reason(jwt, &token));
    for typ in ["JWT", "jwt", "application/jwt"] {
        assert_eq!(of_setting(with_typ(typ)), ["token_typ", ADMITTED, "token_typ", ADMITTED], "{typ}");
    }
    let none = under(&signer, r#"{"alg":"HS256","kid":"k1"}"#);
    assert_eq!(of_setting(none), ["token_typ", "token_typ", ADMITTED, ADMITTED]);
}

/// RFC 9449, section 7.2, and RFC 8705, section 3: whoever holds such a token has proved nothing yet.
#[test]
fn a_token_that_is_bound_to_a_key_is_no_bearer_token() {
    let signer = Signer::new(Algorithm::ES256);
    let jwt = signer.verifier().build().unwrap();
    let bindings = [
        r#"{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}"#,
        r#"{"x5t#S256":"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}"#,
        r#"{"jwk":{}}"#,
        r#"{"kid":"k1"}"#,
        "{}",
        "[]",
        "null",
        "false",
        r#""""#,
        "0",
    ];
    for binding in bindings {
        let claims = claims().to_string();
        let bound = claims.replacen('{', &format!(r#"{{"cnf":{binding},"#), 1);
        assert_eq!(reason(&jwt, signer.jws(signer.header().to_string(), bound)), "token_bound", "{binding}");
        let hidden = claims.replacen('{', &format!(r#"{{"c\u006ef":{binding},"#), 1);
        assert_eq!(reason(&jwt, signer.jws(signer.header().to_string(), hidden)), "token_bound", "{binding}");
    }
}

/// A header is known once a token came with it. What the cache of headers holds is told apart byte by byte.
#[test]
fn a_header_that_was_seen_before_opens_no_door() {
    let signer = Signer::new(Algorithm::ES256);
    let jwt = signer.verifier().remember_none().build().unwrap();
    let good = signer.token(&claims());
    assert_eq!(reason(&jwt, &good), ADMITTED);
    assert_eq!(reason(&jwt, &good), ADMITTED);

    let forger = Signer::new(Algorithm::ES256);
    assert_eq!(reason(&jwt, forger.token(&claims())), "token_signature");
    let [header, payload, _] = super::segments(&good);
    assert_eq!(reason(&jwt, format!("{header}.{payload}.")), "token_signature");
    assert_eq!(reason(&jwt, format!("{header}.e30.{}", super::segments(&good)[2])), "token_signature");
    // Once its key is gone, the header stands for nothing.
    jwt.replace_keys(KeySet::try_from(&forger.jwk()).unwrap()).unwrap();
    assert_eq!(reason(&jwt, &good), "token_signature");
    assert_eq!(reason(&jwt, forger.token(&claims())), ADMITTED);
}
