//! As much PEM as it takes to find a key (RFC 7468, sections 2, 10 and 13).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
#[cfg(feature = "introspection")]
use zeroize::Zeroizing;

use crate::KeyFault;

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// Decodes the one section that holds a public key. A text that holds a private key, too, is refused: it is not where it
/// belongs.
pub(crate) fn public_key(pem: &[u8]) -> Result<Vec<u8>, KeyFault> {
    let mut rest = std::str::from_utf8(pem).map_err(|_| KeyFault::Pem)?;
    let mut found = None;
    while let Some(section) = section(&mut rest) {
        let (label, body) = section.ok_or(KeyFault::Pem)?;
        match label {
            "PUBLIC KEY" | "RSA PUBLIC KEY" if found.is_some() => return Err(KeyFault::Pem),
            "PUBLIC KEY" | "RSA PUBLIC KEY" => found = Some(body),
            _ if label.ends_with("PRIVATE KEY") => return Err(KeyFault::Private),
            _ => {}
        }
    }
    let body: String = found.ok_or(KeyFault::Pem)?.split_ascii_whitespace().collect();
    BASE64_STANDARD.decode(body).map_err(|_| KeyFault::Pem)
}

/// Decodes the one section that holds a private key in PKCS#8. Others, such as that of a certificate, are read over.
#[cfg(feature = "introspection")]
pub(crate) fn private_key(pem: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut rest = std::str::from_utf8(pem).ok()?;
    let mut found = None;
    while let Some(section) = section(&mut rest) {
        let (label, body) = section?;
        if label.ends_with("PRIVATE KEY") && (label != "PRIVATE KEY" || found.replace(body).is_some()) {
            return None;
        }
    }
    let letters: Zeroizing<Vec<u8>> = Zeroizing::new(found?.bytes().filter(|it| !it.is_ascii_whitespace()).collect());
    BASE64_STANDARD.decode(&*letters).ok().map(Zeroizing::new)
}

/// Takes the next section off a text, and returns its label and what is in it; nothing inside if it has no end.
fn section<'a>(rest: &mut &'a str) -> Option<Option<(&'a str, &'a str)>> {
    let (_, section) = rest.split_once(BEGIN)?;
    let read = |(label, section): (&'a str, &'a str)| {
        let (body, after) = section.split_once(&*format!("-----END {label}-----"))?;
        Some((label, body, after))
    };
    Some(section.split_once(DASHES).and_then(read).map(|(label, body, after)| {
        *rest = after;
        (label, body)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_public_key_is_found_and_private_ones_are_refused() {
        let section = |label: &str, body: &str| format!("-----BEGIN {label}-----\r\n{body}\r\n-----END {label}-----\n");
        let public = section("PUBLIC KEY", "AQID\r\nBAU=");
        let cases = [
            (public.clone(), Ok(vec![1, 2, 3, 4, 5])),
            (format!("a comment\n{}{public}", section("CERTIFICATE", "AQID")), Ok(vec![1, 2, 3, 4, 5])),
            (section("RSA PUBLIC KEY", "AQID"), Ok(vec![1, 2, 3])),
            (section("EC PRIVATE KEY", "AQID"), Err(KeyFault::Private)),
            (format!("{public}{}", section("PRIVATE KEY", "AQID")), Err(KeyFault::Private)),
            (format!("{public}{public}"), Err(KeyFault::Pem)),
            (section("CERTIFICATE", "AQID"), Err(KeyFault::Pem)),
            (section("PUBLIC KEY", "AQ*D"), Err(KeyFault::Pem)),
            ("-----BEGIN PUBLIC KEY-----\nAQID".to_owned(), Err(KeyFault::Pem)),
            (String::new(), Err(KeyFault::Pem)),
        ];
        for (pem, expected) in cases {
            assert_eq!(public_key(pem.as_bytes()), expected, "{pem}");
        }
    }

    #[cfg(feature = "introspection")]
    #[test]
    fn the_one_private_key_in_pkcs8_is_found() {
        let section = |label: &str, body: &str| format!("-----BEGIN {label}-----\r\n{body}\r\n-----END {label}-----\n");
        let private = section("PRIVATE KEY", "AQID\r\nBAU=");
        let cases = [
            (private.clone(), Some(vec![1, 2, 3, 4, 5])),
            (format!("{}{private}", section("CERTIFICATE", "AQID")), Some(vec![1, 2, 3, 4, 5])),
            (format!("{private}{private}"), None),
            (format!("{private}{}", section("EC PRIVATE KEY", "AQID")), None),
            (section("ENCRYPTED PRIVATE KEY", "AQID"), None),
            (section("PUBLIC KEY", "AQID"), None),
            (section("PRIVATE KEY", "AQ*D"), None),
            ("-----BEGIN PRIVATE KEY-----\nAQID".to_owned(), None),
            (String::new(), None),
        ];
        for (pem, expected) in cases {
            assert_eq!(private_key(pem.as_bytes()).map(|der| der.to_vec()), expected, "{pem}");
        }
    }
}
