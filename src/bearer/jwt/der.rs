//! As much DER as it takes to see what an RSA or an Ed25519 public key is made of.

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
/// The object identifier 1.2.840.113549.1.1.1, `rsaEncryption` (RFC 8017, appendix C), with tag and length.
const RSA_ENCRYPTION: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// What stands before the 32 bytes of an Ed25519 key in a `SubjectPublicKeyInfo`, which has one form (RFC 8410, section 4).
const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Reads an Ed25519 key, bare or inside a `SubjectPublicKeyInfo`.
pub(crate) fn ed25519_public_key(der: &[u8]) -> Option<&[u8]> {
    let key = der.strip_prefix(&ED25519).unwrap_or(der);
    (key.len() == 32).then_some(key)
}

/// Returns whether some bytes are one sequence and nothing behind it, or no sequence at all, such as a bare point.
pub(crate) fn is_point_or_whole(der: &[u8]) -> bool {
    der.first() != Some(&SEQUENCE) || whole(der, SEQUENCE).is_some()
}

/// Reads modulus and exponent out of `RSAPublicKey` (RFC 8017, appendix A.1.1), bare or inside a `SubjectPublicKeyInfo`
/// (RFC 5280, section 4.1).
pub(crate) fn rsa_public_key(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let body = whole(der, SEQUENCE)?;
    if let Some((algorithm, rest)) = element(body, SEQUENCE) {
        let key = whole(rest, BIT_STRING)?.strip_prefix(&[0])?;
        return algorithm.starts_with(&RSA_ENCRYPTION).then(|| rsa_public_key_of(key))?;
    }
    rsa_public_key_of(der)
}

fn rsa_public_key_of(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (n, rest) = element(whole(der, SEQUENCE)?, INTEGER)?;
    Some((n, whole(rest, INTEGER)?))
}

/// Reads one element that leaves nothing behind.
fn whole(der: &[u8], tag: u8) -> Option<&[u8]> {
    element(der, tag).and_then(|(value, rest)| rest.is_empty().then_some(value))
}

/// Reads an element of a tag, and returns its value and what follows.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match der {
        [first, short @ 0..=0x7f, rest @ ..] if *first == tag => (usize::from(*short), rest),
        [first, 0x81, length, rest @ ..] if *first == tag => (usize::from(*length), rest),
        [first, 0x82, high, low, rest @ ..] if *first == tag => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_and_anything_else_is_refused() {
        let key = [0x30, 6, 2, 1, 0x11, 2, 1, 3];
        let spki = [&[0x30, 24, 0x30, 11], &RSA_ENCRYPTION[..], &[0x03, 9, 0], &key].concat();
        assert_eq!(rsa_public_key(&key), Some((&[0x11][..], &[3][..])));
        assert_eq!(rsa_public_key(&spki), Some((&[0x11][..], &[3][..])));

        for wrong in [&key[..7], &[&key[..], &[0]].concat(), &spki[..20], &[0x30, 0x80], &[]] {
            assert_eq!(rsa_public_key(wrong), None, "{wrong:x?}");
        }
        let mut other = spki.clone();
        other[14] = 2;
        assert_eq!(rsa_public_key(&other), None);
    }
}
