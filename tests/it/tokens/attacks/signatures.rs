//! Signatures that are none.

use serde_json::json;
use tower_keep::Algorithm;

use super::{hex, segments};
use crate::tokens::judge::{ADMITTED, reason};
use crate::tokens::mint::{ALGORITHMS, Signer, claims, decode, encode};

/// The orders of the groups, big-endian: an ECDSA signature is two numbers below them, neither of which is zero.
const ORDERS: [(Algorithm, &str); 3] = [
    (Algorithm::ES256, "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"),
    (
        Algorithm::ES384,
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    ),
    (
        Algorithm::ES512,
        "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8\
         899c47aebb6fb71e91386409",
    ),
];

/// The order of the group of Ed25519, little-endian.
const EDWARDS_ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

#[test]
fn a_signature_of_another_length_is_none() {
    for algorithm in ALGORITHMS {
        let signer = Signer::new(algorithm);
        let jwt = signer.verifier().build().unwrap();
        let token = signer.token(&claims());
        let signature = decode(segments(&token)[2]);
        let length = signature.len();
        let (first, second) = signature.split_at(length / 2);
        let changed: Vec<Vec<u8>> = vec![
            vec![],
            vec![0],
            signature[..1].to_vec(),
            signature[..16].to_vec(),
            first.to_vec(),
            second.to_vec(),
            signature[..length - 1].to_vec(),
            signature[1..].to_vec(),
            [&signature[..], &[0]].concat(),
            [&[0], &signature[..]].concat(),
            [&[0, 0, 0, 0], &signature[..]].concat(),
            [&signature[..], &signature[..]].concat(),
            [second, first].concat(),
            signature.iter().rev().copied().collect(),
            signature.iter().map(|byte| !byte).collect(),
            encode(&signature).into_bytes(),
        ];
        for signature in changed {
            let bytes = signature.len();
            assert_eq!(with_signature(&token, &signature, &jwt), "token_signature", "{algorithm}, {bytes} bytes");
        }
        // What no key at all signs with is not even decoded.
        for bytes in [1027, 4096] {
            assert_eq!(with_signature(&token, &vec![0; bytes], &jwt), "token_encoding", "{algorithm}");
        }
        assert_eq!(reason(&jwt, token), ADMITTED);
    }
}

#[test]
fn a_signature_of_constants_is_none() {
    for algorithm in ALGORITHMS {
        let signer = Signer::new(algorithm);
        let jwt = signer.verifier().build().unwrap();
        let token = signer.token(&claims());
        let length = decode(segments(&token)[2]).len();
        for (first, others) in [(0, 0), (0xff, 0xff), (0, 0xff), (1, 0), (0, 1), (0x7f, 0xff), (0x80, 0)] {
            let mut signature = vec![others; length];
            signature[0] = first;
            assert_eq!(with_signature(&token, &signature, &jwt), "token_signature", "{algorithm}");
        }
        let one = [vec![0; length - 1], vec![1]].concat();
        assert_eq!(with_signature(&token, &one, &jwt), "token_signature", "{algorithm}");
    }
}

/// CVE-2022-21449: numbers that make the equation hold whatever was signed.
#[test]
fn the_numbers_of_an_ecdsa_signature_are_neither_zero_nor_too_large() {
    for (algorithm, order) in ORDERS {
        let signer = Signer::new(algorithm);
        let jwt = signer.verifier().build().unwrap();
        let token = signer.token(&claims());
        let signature = decode(segments(&token)[2]);
        let (r, s) = signature.split_at(signature.len() / 2);
        let n = hex(order);
        assert_eq!(n.len(), r.len());
        let zero = vec![0; n.len()];
        let one = [&zero[1..], &[1]].concat();
        let before = {
            let mut before = n.clone();
            *before.last_mut().unwrap() -= 1;
            before
        };
        let special = [&zero, &one, &before, &n];
        let pairs = special
            .iter()
            .flat_map(|first| special.iter().map(|second| [&first[..], &second[..]].concat()))
            .chain(special.iter().flat_map(|number| [[r, number].concat(), [&number[..], s].concat()]))
            .chain([[s, r].concat(), [r, r].concat(), [s, s].concat()]);
        for pair in pairs {
            assert_eq!(with_signature(&token, &pair, &jwt), "token_signature", "{algorithm}");
        }
    }
}

/// CVE-2020-28042 and its kin: the two numbers as other formats write them.
#[test]
fn an_ecdsa_signature_has_one_form() {
    for (algorithm, _) in ORDERS {
        let signer = Signer::new(algorithm);
        let jwt = signer.verifier().build().unwrap();
        let token = signer.token(&claims());
        let signature = decode(segments(&token)[2]);
        let (r, s) = signature.split_at(signature.len() / 2);
        let trimmed = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
        let der = {
            let body = [integer(r), integer(s)].concat();
            let length = if body.len() < 128 { vec![body.len() as u8] } else { vec![0x81, body.len() as u8] };
            [vec![0x30], length, body].concat()
        };
        let wide = |number: &[u8]| [&[0], number].concat();
        for form in [der.clone(), [trimmed(r), wide(s)].concat(), [wide(r), wide(s)].concat(), der[2..].to_vec()] {
            // A number without leading zeros trims to itself, which leaves the good signature with a byte too many.
            assert_eq!(with_signature(&token, &form, &jwt), "token_signature", "{algorithm}");
        }
    }
}

#[test]
fn an_ed25519_signature_has_one_form() {
    let signer = Signer::new(Algorithm::EdDSA);
    let jwt = signer.verifier().build().unwrap();
    let token = signer.token(&claims());
    let signature = decode(segments(&token)[2]);
    let (r, s) = signature.split_at(32);

    // S and S plus the order are the same number in the group (RFC 8032, section 5.1.7).
    let mut carry = 0;
    let sum = s.iter().zip(hex(EDWARDS_ORDER)).map(|(a, b)| {
        carry += u16::from(*a) + u16::from(b);
        let byte = carry as u8;
        carry >>= 8;
        byte
    });
    let sum: Vec<u8> = sum.collect();
    // Points that are their own multiples: the one that adds nothing, and one of order two.
    let neutral = [vec![1], vec![0; 31]].concat();
    let of_order_two = [vec![0xec], vec![0xff; 30], vec![0x7f]].concat();
    let forms = [
        [r, &sum[..]].concat(),
        [&neutral[..], s].concat(),
        [&neutral[..], &[0; 32]].concat(),
        [&of_order_two[..], &[0; 32]].concat(),
        [r, &[0; 32]].concat(),
        [&[0; 32], s].concat(),
    ];
    for form in forms {
        assert_eq!(with_signature(&token, &form, &jwt), "token_signature");
    }
}

/// A signature belongs to the bytes that it was made of.
#[test]
fn a_signature_of_something_else_is_none() {
    for algorithm in ALGORITHMS {
        let signer = Signer::new(algorithm);
        let jwt = signer.verifier().build().unwrap();
        let token = signer.token(&claims());
        let [header, payload, signature] = segments(&token);
        let longer = json!({ "alg": algorithm.name(), "kid": "k1", "typ": "at+jwt", "x": 1 }).to_string();
        let bob = claims().to_string().replace("alice", "bob");

        let tokens = [
            format!("{header}.{}.{signature}", encode(&bob)),
            format!("{}.{payload}.{signature}", encode(longer)),
            format!("{header}..{signature}"),
            format!("{header}.{payload}.{}", encode(signer.sign(payload.as_bytes()))),
            format!("{header}.{payload}.{}", encode(signer.sign(b""))),
            format!("{header}.{payload}.{}", encode(signer.sign(format!("{header}{payload}").as_bytes()))),
            format!("{header}.{payload}.{}", encode(signer.sign(format!("{header}.{payload}.").as_bytes()))),
            format!("{header}.{payload}.{}", encode(signer.sign(claims().to_string().as_bytes()))),
        ];
        for token in tokens {
            assert_eq!(reason(&jwt, token), "token_signature", "{algorithm}");
        }
    }
}

fn with_signature(token: &str, signature: &[u8], jwt: &tower_keep::Jwt) -> String {
    let [header, payload, _] = segments(token);
    reason(jwt, format!("{header}.{payload}.{}", encode(signature)))
}

/// Writes a number as an `INTEGER` of DER.
fn integer(number: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
    if bytes.first().is_none_or(|first| first & 0x80 != 0) {
        bytes.insert(0, 0);
    }
    [vec![2, bytes.len() as u8], bytes].concat()
}
