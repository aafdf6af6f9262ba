//! What stands in `Authorization`, beside a token or instead of one.

use tower_keep::Algorithm;

use crate::tokens::judge::{ADMITTED, reason, reason_of_fields};
use crate::tokens::mint::{Signer, claims};

/// CVE-2026-26308 and CVE-2025-64527: which of two is believed.
#[test]
fn two_credentials_are_malformed_in_either_order() {
    let signer = Signer::new(Algorithm::ES256);
    let jwt = signer.verifier().build().unwrap();
    let good = format!("Bearer {}", signer.token(&claims()));
    let bad = format!("Bearer {}", Signer::new(Algorithm::ES256).token(&claims()));
    let others =
        ["Bearer a.b.c", "Bearer", "Bearer ", "", "Basic dTpw", "ApiKey k", "bearer ..", "\u{e9}", &bad, &good];
    for other in others {
        for fields in [[&*good, other], [other, &*good]] {
            let fields = fields.map(|field| field.as_bytes().to_vec());
            assert_eq!(reason_of_fields(&jwt, &fields), "credential_repeated", "{other}");
        }
        for place in 0..3 {
            let mut fields = vec![good.clone().into_bytes(); 3];
            fields[place] = other.as_bytes().to_vec();
            assert_eq!(reason_of_fields(&jwt, &fields), "credential_repeated", "{other}");
        }
    }
    for joined in [
        format!("{good}, {bad}"),
        format!("{bad}, {good}"),
        format!("{good},{good}"),
        format!("{good} {bad}"),
        format!("{good}; {bad}"),
        format!("{good}, Basic dTpw"),
        format!("Bearer {good}"),
        format!("Bearer, {good}"),
        format!("Bearer token=\"{}\"", &good[7..]),
        format!("Bearer \"{}\"", &good[7..]),
        format!("Bearer <{}>", &good[7..]),
        format!("Bearer:{}", &good[7..]),
        format!("Bearer\t{}", &good[7..]),
        format!("Bearer,{}", &good[7..]),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer    ".to_owned(),
        "bearer =".to_owned(),
        "BEARER ====".to_owned(),
    ] {
        assert_eq!(reason_of_fields(&jwt, &[joined.clone().into_bytes()]), "authorization_malformed", "{joined}");
    }
    for alone in [good.clone(), good.replacen("Bearer", "bEARER", 1), good.replacen(' ', "   ", 1)] {
        assert_eq!(reason_of_fields(&jwt, &[alone.into_bytes()]), ADMITTED);
    }
}

/// RFC 6750, section 2.1: what a token consists of. A text that is made of these is a bad token; any other is none.
#[test]
fn characters_that_no_token_has_are_malformed_and_a_bad_token_is_invalid() {
    let signer = Signer::new(Algorithm::ES256);
    let jwt = signer.verifier().build().unwrap();
    let good = signer.token(&claims());
    let (front, back) = good.split_at(good.len() / 2);
    for byte in (0..=255_u8).filter(|byte| *byte == b'\t' || (b' '..=0xff).contains(byte) && *byte != 0x7f) {
        let is_of_a_token = byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
        for token in [
            [front.as_bytes(), &[byte], back.as_bytes()].concat(),
            [good.as_bytes(), &[byte]].concat(),
            [&[byte], good.as_bytes()].concat(),
            vec![byte],
        ] {
            let found = reason(&jwt, &token);
            let is_malformed = found == "authorization_malformed";
            // A `=` may stand at the end; spaces before a token are not part of it.
            let is_padding = byte == b'=' && token.ends_with(b"=") && token.len() > 1;
            let is_stripped = byte == b' ' && token.len() > good.len() && token[0] == byte;
            match is_stripped {
                true => assert_eq!(found, ADMITTED),
                false => assert_eq!(is_malformed, !is_of_a_token && !is_padding, "{byte:#x}: {found}"),
            }
            assert!(is_stripped || found != ADMITTED, "{byte:#x}");
        }
    }
    for bad in ["a", "abc", "a.b.c", "...", "~", "a/b+c==", "eyJ", &good[1..], &good[..good.len() - 1]] {
        assert!(reason(&jwt, bad).starts_with("token_"), "{bad}");
    }
}
