//! Attacks on tokens that are known from advisories: on the algorithm, the header, the key, the signature, the form.
//!
//! Each test says how a token that should be refused is refused, so that it does not pass for another reason than its own.
//! Where it makes sense the token is truly signed: what is wrong with it is then the only thing that is.

mod algorithms;
mod fields;
mod forms;
mod headers;
mod keys;
mod properties;
mod sets;
mod signatures;

use serde_json::Value;
use tower_keep::Algorithm;

use super::mint::{Signer, claims, encode};

/// The algorithms whose key is public.
const PUBLIC: [Algorithm; 10] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::ES512,
    Algorithm::EdDSA,
];

/// One algorithm for each kind of key.
const ONE_OF_EACH: [Algorithm; 4] = [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// Signs good claims under a header that is whatever text a test hands in.
fn under(signer: &Signer, header: impl AsRef<[u8]>) -> String {
    signer.jws(header, claims().to_string())
}

/// Returns the header of the key's access tokens with members set to other values.
fn header_with(signer: &Signer, changes: &Value) -> String {
    let mut header = signer.header();
    for (name, value) in changes.as_object().unwrap() {
        header[name] = value.clone();
    }
    header.to_string()
}

/// Makes a token of good claims with a signature that is whatever bytes a test hands in.
fn signed_by(header: impl AsRef<[u8]>, signature: impl AsRef<[u8]>) -> String {
    format!("{}.{}.{}", encode(header), encode(claims().to_string()), encode(signature))
}

/// Takes a token apart at its dots.
fn segments(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().unwrap()
}

/// Returns a JWK with members set to other values; a change to null takes the member away.
fn changed(jwk: &Value, changes: &Value) -> Value {
    let mut jwk = jwk.clone();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => jwk.as_object_mut().unwrap().remove(name),
            value => jwk.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    jwk
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
