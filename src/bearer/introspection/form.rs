//! Forms (`application/x-www-form-urlencoded`), as they are sent. They hold tokens and secrets, and are wiped.

use bytes::Bytes;
use zeroize::Zeroizing;

/// A form that is being filled in.
pub(super) struct Form(Zeroizing<String>);

impl Form {
    pub(super) fn new() -> Self {
        Self(Zeroizing::new(String::new()))
    }

    pub(super) fn push(&mut self, name: &str, value: &str) {
        let needed = self.0.len() + name.len() + 2 + 3 * value.len();
        if needed > self.0.capacity() {
            // A text that grows by itself leaves a copy behind.
            let mut grown = Zeroizing::new(String::with_capacity(2 * needed));
            grown.push_str(&self.0);
            self.0 = grown;
        }
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        encode(value, &mut self.0);
    }

    pub(super) fn into_body(self) -> Bytes {
        Bytes::from_owner(self.0)
    }
}

/// Adds a text as a form spells it (RFC 6749, appendix B).
pub(super) fn encode(text: &str, form: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'*' | b'-' | b'.' | b'_' => form.push(char::from(byte)),
            b' ' => form.push('+'),
            _ => {
                let digits = [byte >> 4, byte & 15].map(|digit| char::from(HEX[usize::from(digit)]));
                form.extend(['%', digits[0], digits[1]]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_spelled_as_forms_spell_it() {
        let mut form = Form::new();
        form.push("a", " %&+£€");
        form.push("b", "x-1._*~=/\"");

        // The first value is that of RFC 6749, appendix B.
        assert_eq!(form.into_body(), "a=+%25%26%2B%C2%A3%E2%82%AC&b=x-1._*%7E%3D%2F%22");
    }
}
