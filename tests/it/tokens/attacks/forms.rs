//! The form of a token: segments, encoding, length, depth.

use std::hint::black_box;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use http::Request;
use serde_json::{Value, json};
use tower::{Layer, Service};
use tower_keep::{Algorithm, BearerLayer, Jwt, KeySet};

use super::{header_with, segments};
use crate::support::{Inner, get, with};
use crate::tokens::judge::{ADMITTED, reason};
use crate::tokens::mint::{Signer, claims, claims_with, encode};

#[test]
fn a_token_has_three_segments() {
    let signer = Signer::new(Algorithm::ES256);
    let jwt = signer.verifier().build().unwrap();
    let token = signer.token(&claims());
    let [header, payload, signature] = segments(&token);
    let tokens = [
        (header.to_owned(), "token_segments"),
        (format!("{header}{payload}{signature}"), "token_segments"),
        (format!("{header}.{payload}"), "token_segments"),
        (format!("{payload}.{signature}"), "token_segments"),
        (".".to_owned(), "token_segments"),
        (format!("{token}."), "token_segments"),
        (format!(".{token}"), "token_segments"),
        (format!(".{token}."), "token_segments"),
        (format!("{header}..{payload}.{signature}"), "token_segments"),
        (format!("{token}.{signature}"), "token_segments"),
        (format!("{token}.{payload}.{signature}"), "token_segments"),
        (format!("{header}....{signature}"), "token_segments"),
        (format!("{token}.{token}"), "token_segments"),
        ("....".to_owned(), "token_segments"),
        ("..".to_owned(), "token_header"),
        (format!(".{payload}.{signature}"), "token_header"),
        (format!("..{signature}"), "token_header"),
        (format!("{payload}.{header}.{signature}"), "token_alg"),
        (format!("{signature}.{payload}.{header}"), "token_header"),
        (format!("{header}..{signature}"), "token_signature"),
        (format!("{header}.{payload}."), "token_signature"),
        (format!("{header}.."), "token_signature"),
    ];
    for (token, expected) in tokens {
        assert_eq!(reason(&jwt, &token), expected, "{token}");
    }
    assert_eq!(reason(&jwt, token), ADMITTED);
}

/// CVE-2026-29000 and its kin: what is encrypted need not be signed.
#[test]
fn five_segments_are_refused_before_anything_is_read() {
    let signer = Signer::new(Algorithm::RS256);
    let jwt = signer.verifier().build().unwrap();
    for header in [
        json!({ "alg": "RSA-OAEP", "enc": "A128GCM", "kid": "k1", "typ": "at+jwt", "cty": "JWT" }),
        json!({ "alg": "dir", "enc": "A256GCM", "zip": "DEF" }),
        json!({ "alg": "PBES2-HS256+A128KW", "enc": "A128CBC-HS256", "p2c": i32::MAX, "p2s": "AAAA" }),
        json!({ "alg": "none" }),
        signer.header(),
    ] {
        let parts = [encode(header.to_string()), encode([1; 256]), encode([2; 12]), encode(claims().to_string())];
        for last in [encode([3; 16]), String::new()] {
            assert_eq!(reason(&jwt, format!("{}.{last}", parts.join("."))), "token_segments", "{header}");
        }
    }
}

/// CVE-2022-39227: one text that is read as two things.
#[test]
fn a_token_in_json_is_no_token() {
    let signer = Signer::new(Algorithm::ES256);
    let jwt = signer.verifier().build().unwrap();
    let keys = KeySet::try_from(&signer.jwk()).unwrap();
    let token = signer.token(&claims());
    let [header, payload, signature] = segments(&token);
    let forged = encode(claims().to_string().replace("alice", "bob"));
    let flattened = json!({ "protected": header, "payload": payload, "signature": signature });
    let general =
        json!({ "payload": payload, "signatures": [{ "protected": header, "signature": signature }] }).to_string();
    let texts = [
        flattened.to_string(),
        general,
        json!(token).to_string(),
        json!([token]).to_string(),
        json!({ "token": token }).to_string(),
        format!(
            r#"{{"  {header}.{forged}.":"","protected":"{header}","payload":"{payload}","signature":"{signature}"}}"#
        ),
        format!(r#"{{"{header}.{forged}.{signature}":"","protected":"{header}"}}"#),
    ];
    for text in texts {
        assert_eq!(reason(&jwt, &text), "authorization_malformed", "{text}");
        let reason = keys.verify(&text).unwrap_err().reason();
        assert!(matches!(reason, "token_segments" | "token_encoding"), "{text}: {reason}");
    }
    let nested = format!("{}.{payload}.{signature}", encode(flattened.to_string()));
    assert_eq!(reason(&jwt, nested), "token_alg");
}

/// Each of these is truly signed, in the very spelling in which it comes: a token has one spelling.
#[test]
fn a_segment_is_base64url_to_the_letter() {
    let signer = Signer::new(Algorithm::HS256);
    let jwt = signer.verifier().build().unwrap();
    // Lengths that leave bits over, and bytes that are spelled with the letters in which the alphabets differ.
    let header = padded(&header_with(&signer, &json!({ "x": "???>>>" })));
    let payload = padded(&claims_with(json!({ "x": "???>>>" })).to_string());
    assert!(header.contains('_') && payload.contains('_'), "{header} {payload}");
    type Respell = fn(&str) -> String;
    let spellings: [(&str, Respell, &str); 11] = [
        ("padded", |text| format!("{text}{}", "=".repeat(3 - (text.len() + 3) % 4)), "token_encoding"),
        ("padded too much", |text| format!("{text}===="), "token_encoding"),
        ("the other alphabet", |text| text.replace('-', "+").replace('_', "/"), "token_encoding"),
        ("bits left over", with_bits_left_over, "token_encoding"),
        ("three letters too many", |text| format!("{text}AAA"), "token_encoding"),
        ("a space before", |text| format!(" {text}"), "authorization_malformed"),
        ("a space behind", |text| format!("{text} "), "authorization_malformed"),
        ("a space within", |text| format!("{} {}", &text[..4], &text[4..]), "authorization_malformed"),
        ("a tab within", |text| format!("{}\t{}", &text[..4], &text[4..]), "authorization_malformed"),
        ("percent-encoded", |text| text.replacen('_', "%5F", 1), "authorization_malformed"),
        ("of another script", |text| text.replacen('J', "\u{ff2a}", 1), "authorization_malformed"),
    ];
    assert_eq!(reason(&jwt, signed(&signer, &header, &payload)), ADMITTED);
    for (name, respell, expected) in spellings {
        let first = signed(&signer, &respell(&header), &payload);
        let second = signed(&signer, &header, &respell(&payload));
        for (place, token) in [("header", first), ("payload", second)] {
            let found = reason(&jwt, &token);
            // One space more before the token is none of it.
            let is_stripped = name == "a space before" && place == "header";
            // A `=` within is in no token either (RFC 9110, section 11.2).
            let is_refused = found == expected || (token.contains('=') && found == "authorization_malformed");
            assert!(is_refused || is_stripped, "{place}, {name}: {found}");
        }
    }

    let token = signed(&signer, &header, &payload);
    let [_, _, signature] = segments(&token);
    let (front, back) = token.rsplit_once('.').unwrap();
    assert_eq!(signature.len(), 43, "a MAC of 32 bytes leaves two bits over");
    for (back, expected) in [
        (format!("{back}="), "token_encoding"),
        (format!("{back}=="), "token_encoding"),
        (with_bits_left_over(back), "token_encoding"),
        (format!("{back}A"), "token_signature"),
        (format!("{back}AA"), "token_encoding"),
        (format!("{back}+"), "token_encoding"),
        (format!("{back} "), "authorization_malformed"),
        (format!("{back}\t"), "authorization_malformed"),
        (format!("{back},"), "authorization_malformed"),
        (format!("{back};"), "authorization_malformed"),
    ] {
        assert_eq!(reason(&jwt, format!("{front}.{back}")), expected, "{back}");
    }
}

/// Of two members of one name, one parser takes the first and another the last.
#[test]
fn a_claim_that_stands_twice_is_refused() {
    let signer = Signer::new(Algorithm::ES256);
    let plain = signer.verifier().build().unwrap();
    let required = signer.verifier().required_claims(["client_id", "x"]).build().unwrap();
    let good = claims_with(json!({ "x": 1, "nbf": 1, "sid": "s", "scp": [], "scope": "orders:read" }));
    assert_eq!(reason(&required, signer.token(&good)), ADMITTED);
    let of_crate = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "scope", "scp"];
    for (jwt, name) in
        of_crate.map(|name| (&plain, name)).into_iter().chain([(&required, "client_id"), (&required, "x")])
    {
        let (first, rest) = name.split_at(1);
        let escaped = format!("\\u{:04x}{rest}", first.as_bytes()[0]);
        for spelling in [name, &escaped] {
            let twice = good.to_string().replacen('{', &format!(r#"{{"{spelling}":{},"#, good[name]), 1);
            let token = signer.jws(signer.header().to_string(), twice);
            assert_eq!(reason(jwt, token), "token_claim_repeated", "{spelling}");
        }
    }
}

/// CVE-2025-27144, CVE-2025-30204 and CVE-2025-22868: a text of dots is split into a million pieces.
#[test]
fn what_is_too_long_costs_nothing() {
    let signer = Signer::new(Algorithm::HS256);
    let jwt = signer.verifier().build().unwrap();
    let keys = KeySet::try_from(&signer.jwk()).unwrap();
    let mib = 1 << 20;
    let texts = [
        ".".repeat(mib),
        "a".repeat(mib),
        format!("{}..", "a".repeat(mib)),
        format!("..{}", "a".repeat(mib)),
        format!("{}.{}.", segments(&signer.token(&claims()))[0], "a".repeat(mib)),
        "a.".repeat(mib / 2),
        signer.token(&claims_with(json!({ "x": "x".repeat(mib) }))),
        ".".repeat(8193),
    ];
    // What an answer takes, with the line in the log that another test may have turned on.
    let answer = 4096;
    assert!(allocated(&jwt, "a.b") <= answer);
    for text in &texts {
        assert_eq!(reason(&jwt, text), "token_too_long");
        assert!(allocated(&jwt, text) <= answer, "{} for {} bytes", allocated(&jwt, text), text.len());
    }
    // Below the limit, a token costs as much as it is long, and not a multiple of it.
    for text in texts {
        let text = &text[..8192];
        assert_ne!(reason(&jwt, text), ADMITTED);
        assert!(allocated(&jwt, text) <= answer + 2 * 8192, "{}", allocated(&jwt, text));
    }
    let info = measure(|| drop(black_box(keys.verify(&".".repeat(mib)))));
    assert_eq!((info.count_total, info.bytes_total), (1, mib as u64), "the text itself");
}

#[test]
fn the_limit_is_that_of_the_settings_to_the_byte() {
    let signer = Signer::new(Algorithm::HS256);
    let token = |length: usize| {
        // Three bytes are four letters, so the padding of the header makes up for what is missing.
        let fits = |token: &String| token.len() == length;
        let tokens = (0..4).flat_map(|more| (0..4).map(move |filler| (more, filler)));
        let mut tokens = tokens.map(|(more, filler)| {
            let header = header_with(&signer, &json!({ "x": "x".repeat(more) }));
            let claims = claims_with(json!({ "x": "x".repeat(filler) })).to_string();
            let rest = length.saturating_sub(signer.jws(&header, &claims).len()) * 3 / 4;
            signer.jws(header, claims_with(json!({ "x": "x".repeat(filler + rest) })).to_string())
        });
        tokens.find(fits).unwrap()
    };
    for limit in [1000, 8192, 100_000] {
        let jwt = signer.verifier().token_limit(limit).build().unwrap();
        assert_eq!(reason(&jwt, token(limit - 1)), ADMITTED);
        assert_eq!(reason(&jwt, token(limit)), ADMITTED);
        assert_eq!(reason(&jwt, token(limit + 1)), "token_too_long");
    }
    let default = signer.verifier().build().unwrap();
    assert_eq!(reason(&default, token(8192)), ADMITTED);
    assert_eq!(reason(&default, token(8193)), "token_too_long");
}

/// CVE-2025-53864: each bracket takes a frame of the stack, until there is none left and the process is gone.
#[test]
fn depth_takes_no_stack() {
    // Half of what a thread of tokio has.
    let deep = std::thread::Builder::new().stack_size(1 << 20).spawn(|| {
        let signer = Signer::new(Algorithm::HS256);
        for (open, inner, close) in [("[", "", "]"), (r#"{"a":"#, "1", "}"), ("[[],", "{}", "]")] {
            let unclosed = open.repeat(DEPTH);
            hand_in_deep(&signer, &format!("{unclosed}{inner}{}", close.repeat(DEPTH)), &unclosed);
        }
    });

    deep.unwrap().join().unwrap();
}

const DEPTH: usize = 10_000;

fn hand_in_deep(signer: &Signer, nested: &str, unclosed: &str) {
    let plain = || signer.verifier().token_limit(1 << 20).remember_none();
    let (shallow, whole) = (plain().build().unwrap(), plain().claims::<Value>().build().unwrap());
    let (header, payload) = (signer.header().to_string(), claims().to_string());
    let with = |text: &str, name: &str, value: &str| {
        let others = text.replacen(&format!(r#""{name}""#), r#""other""#, 1);
        others.replacen('{', &format!(r#"{{"{name}":{value},"#), 1)
    };
    let mut refused = vec![
        (nested.to_owned(), payload.clone()),
        (unclosed.to_owned(), payload.clone()),
        (header.clone(), nested.to_owned()),
        (header.clone(), unclosed.to_owned()),
        (with(&header, "x", unclosed), payload.clone()),
        (header.clone(), with(&payload, "x", unclosed)),
    ];
    let of_header = ["alg", "kid", "typ", "crit"];
    refused.extend(of_header.map(|name| (with(&header, name, nested), payload.clone())));
    let of_claims = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "scope", "scp", "cnf"];
    refused.extend(of_claims.map(|name| (header.clone(), with(&payload, name, nested))));

    for (header, payload) in refused {
        let token = signer.jws(header, payload);
        for jwt in [&shallow, &whole] {
            let start = Instant::now();
            assert_ne!(reason(jwt, &token), ADMITTED);
            assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        }
    }
    // Where nobody looks, depth does no harm; a type that takes all of it refuses what is too deep for it.
    let deep_header = signer.jws(with(&header, "x", nested), &payload);
    assert_eq!(reason(&shallow, deep_header), ADMITTED);
    let deep_payload = signer.jws(&header, with(&payload, "x", nested));
    assert_eq!(reason(&shallow, &deep_payload), ADMITTED);
    assert_eq!(reason(&whole, &deep_payload), "token_claims");
}

/// Returns how many bytes are allocated for a request with a token until it is answered.
fn allocated(jwt: &Jwt, token: &str) -> u64 {
    let mut service = BearerLayer::new(jwt.clone()).layer(Inner::new());
    let request = || with(get("/"), "authorization", &format!("Bearer {token}"));
    let mut send = |request: Request<String>| drop(black_box(service.call(request)));
    // What happens once for a thread happens here.
    send(request());
    let request = request();
    measure(|| send(request)).bytes_total
}

fn signed(signer: &Signer, header: &str, payload: &str) -> String {
    let signature = signer.sign(format!("{header}.{payload}").as_bytes());
    format!("{header}.{payload}.{}", encode(signature))
}

/// Encodes JSON, with so many spaces behind it that bits are left over.
fn padded(json: &str) -> String {
    let mut json = json.to_owned();
    while json.len() % 3 != 1 {
        json.push(' ');
    }
    encode(json)
}

/// Changes the bits of the last letter that stand for nothing.
fn with_bits_left_over(segment: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (front, last) = segment.split_at(segment.len() - 1);
    let place = ALPHABET.iter().position(|letter| last.as_bytes() == [*letter]).unwrap();
    assert_eq!(place % 4, 0, "{segment}");
    format!("{front}{}", char::from(ALPHABET[place + 1]))
}
