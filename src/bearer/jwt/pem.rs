//! As much PEM as it takes to find a public key (RFC 7468, sections 2 and 13).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::KeyFault;

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// Decodes the one section that holds a public key. A text that holds a private key, too, is refused: it is not where it
/// belongs.
pub(crate) fn public_key(pem: &[u8]) -> Result<Vec<u8>, KeyFault> {
    let mut rest = std::str::from_utf8(pem).map_err(|_| KeyFault::Pem)?;
    let mut found = None;
    while let Some((_, section)) = rest.split_once(BEGIN) {
        let (label, section) = section.split_once(DASHES).ok_or(KeyFault::Pem)?;
        let (body, after) = section.split_once(&*format!("-----END {label}-----")).ok_or(KeyFault::Pem)?;
        rest = after;
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
}
