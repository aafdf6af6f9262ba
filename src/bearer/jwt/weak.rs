//! Keys that are known to be weak: secrets out of documentation, RSA moduli of a flawed generator, and points of Ed25519
//! with which nothing is secret.

/// Secrets of 32 bytes and more that stand in documentation, samples and default configurations, so that they are the
/// first to be tried.
const KNOWN: [&str; 16] = [
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    "3cfa76ef14937c1c0ea519f8fc057a80fcd04a7420f8e8bcd0a7567c272e007b",
    "404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970",
    "a-string-secret-at-least-256-bits-long",
    "a-valid-string-secret-that-is-at-least-384-bits-long",
    "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
    "keyboardcatkeyboardcatkeyboardcat",
    "mysupersecretkeymysupersecretkey",
    "reallyreallyreallyreallyverysafe",
    "super-secret-jwt-token-with-at-least-32-characters-long",
    "supersecretkeyyoushouldnotcommittogithub",
    "this is my custom Secret key for authentication",
    "this_is_a_secret_key_that_should_be_changed",
    "your-256-bit-secret-your-256-bit-secret",
    "your-secret-key-change-this-in-production",
    "your-super-secret-jwt-key-change-this-in-production",
];
/// A text that is nothing but a shorter one again and again is as good as the shorter one.
const PERIOD_MAX: usize = 16;

/// Where a key in PEM begins: a public one, mostly, in the place of a secret.
const PEM: &[u8] = b"-----BEGIN ";

/// How a public key begins that is written in base64 without lines around it: RSA of 2048, 3072 and 4096 bits, the three
/// curves of ECDSA, Ed25519.
const BASE64: [&[u8]; 7] = [
    b"MIIBIjANBgkqhkiG",
    b"MIIBojANBgkqhkiG",
    b"MIICIjANBgkqhkiG",
    b"MFkwEwYHKoZIzj0C",
    b"MHYwEAYHKoZIzj0C",
    b"MIGbMBAGByqGSM49",
    b"MCowBQYDK2VwAyEA",
];
/// So many zeros at the end may be chance. To HMAC they are nothing: a short secret with zeros behind it is a short one.
const ZEROS_MAX: usize = 8;

/// Returns whether everybody can guess a secret, or look it up. Zeros alone are left to the caller to judge.
pub(crate) fn is_known(secret: &[u8]) -> bool {
    // What a file or a buffer puts around a text makes it no better.
    let is_filler = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
    let start = secret.iter().position(|byte| !is_filler(byte)).unwrap_or(secret.len());
    let end = secret.iter().rposition(|byte| !is_filler(byte)).map_or(start, |last| last + 1);
    let text = &secret[start..end];
    let zeros = secret.iter().rev().take_while(|byte| **byte == 0).count();
    let is_padded = zeros > ZEROS_MAX && zeros < secret.len();
    KNOWN.iter().any(|known| known.as_bytes() == text)
        || is_padded
        || (secret.iter().any(|byte| *byte != 0) && (is_repeated(secret) || is_repeated(text)))
        || secret.windows(PEM.len()).any(|part| part == PEM)
        || BASE64.iter().any(|start| text.starts_with(start))
        || super::der::rsa_public_key(secret).is_some()
}

/// Returns whether a text is nothing but a short one, once or again and again.
fn is_repeated(text: &[u8]) -> bool {
    (1..=PERIOD_MAX).any(|period| text.iter().zip(text.iter().skip(period)).all(|(a, b)| a == b))
}

/// Returns whether a modulus bears the mark of the generator behind CVE-2017-15361 (ROCA): modulo every small prime it is
/// a power of 65537. A modulus of another generator passes all of these by chance once in 10^8 times or less.
pub(crate) fn is_roca(modulus: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107,
        109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES.iter().all(|prime| {
        let rest = modulus.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let powers = std::iter::successors(Some(1), |power| Some(power * 65537 % prime));
        powers.take(*prime as usize).any(|power| power == rest)
    })
}

/// Returns whether an Ed25519 key is a point of order 8 or less, such as the one of 32 zeros: anybody can make signatures
/// that fit it, without a private key (RFC 8032, section 5.1.7, multiplies by what is then a number of few values).
pub(crate) fn is_of_small_order(point: &[u8; 32]) -> bool {
    const OF_ORDER_EIGHT: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
            0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
            0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    // The highest bit is the sign of the other coordinate.
    let mut y = *point;
    y[31] &= 0x7f;
    match y {
        // 0 and 1, and -1, 0 and 1 as they are written modulo 2^255 - 19.
        [0..=1, middle @ .., 0] => middle == [0; 30],
        [0xec..=0xee, middle @ .., 0x7f] => middle == [0xff; 30],
        _ => OF_ORDER_EIGHT.contains(&y),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_repeated_secrets_are_weak() {
        let weak = [
            "a-string-secret-at-least-256-bits-long",
            "secretsecretsecretsecretsecretsecret",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA",
        ];
        for secret in weak {
            assert!(is_known(secret.as_bytes()), "{secret}");
        }
        // Zeros are no text that somebody typed, and stand in test vectors.
        assert!(!is_known(&[0; 32]));
        assert!(!is_known(b"N8w!q)Zk3vT#0pL$7sYx^2bR&5mC*9eG"));
    }
}
