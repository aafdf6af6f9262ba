//! The base64url of tokens (RFC 4648, section 5; RFC 7515, section 2).
//!
//! It is decoded strictly: no padding, no other alphabet, no bits left over. What is signed has one spelling. Most of what
//! is done for a token beside its signature and its claims is this, so it is done by tables: one for each place in a group
//! of four letters, so that a group is four look-ups and nothing has to be shifted.

/// Returns how many bytes so many letters make.
pub(crate) const fn decoded(letters: usize) -> usize {
    letters / 4 * 3 + letters % 4 * 3 / 4
}

/// Decodes a text to the start of a buffer, and returns how many bytes there are; nothing if the text is none of base64url,
/// or the buffer too short.
pub(crate) fn decode(text: &[u8], buffer: &mut [u8]) -> Option<usize> {
    let length = decoded(text.len());
    let (groups, rest) = text.as_chunks();
    let (places, end) = buffer.get_mut(..length)?.as_chunks_mut::<3>();
    let mut seen = 0;
    for (group, place) in groups.iter().zip(places) {
        let bits = bits(group);
        seen |= bits;
        [place[0], place[1], place[2], _] = bits.to_le_bytes();
    }
    let mut left_over = rest.len() == 1;
    if !rest.is_empty() {
        let mut group = [b'A'; 4];
        group[..rest.len()].copy_from_slice(rest);
        let bits = bits(&group);
        seen |= bits;
        let bytes = bits.to_le_bytes();
        let (bytes, others) = bytes.split_at(end.len());
        end.copy_from_slice(bytes);
        left_over |= others.iter().any(|byte| *byte != 0);
    }
    (seen < STRANGER && !left_over).then_some(length)
}

/// Returns the three bytes of four letters, the first one lowest.
fn bits(letters: &[u8; 4]) -> u32 {
    let [a, b, c, d] = letters.map(usize::from);
    BITS[0][a] | BITS[1][b] | BITS[2][c] | BITS[3][d]
}

/// What a byte is that is no letter.
const STRANGER: u32 = 1 << 24;

/// The bits of each letter in each of four places.
static BITS: [[u32; 256]; 4] = {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits = [[STRANGER; 256]; 4];
    let mut value = 0;
    while value < letters.len() {
        let mut place = 0;
        while place < bits.len() {
            // Three bytes in the order of the text.
            bits[place][letters[value] as usize] = ((value as u32) << (26 - 6 * place)).swap_bytes();
            place += 1;
        }
        value += 1;
    }
    bits
};

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    use super::*;

    fn decode_all(text: &[u8]) -> Option<Vec<u8>> {
        let mut buffer = vec![0xa5; decoded(text.len())];
        decode(text, &mut buffer).map(|length| buffer[..length].to_vec())
    }

    #[test]
    fn each_byte_in_each_place_is_what_another_decoder_makes_of_it() {
        for length in 0..=5 {
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'A'; length];
                    text[place] = byte;

                    assert_eq!(decode_all(&text), BASE64_URL_SAFE_NO_PAD.decode(&text).ok(), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn a_buffer_that_is_too_short_is_left_alone() {
        assert_eq!(decode(b"AAAA", &mut [0; 2]), None);
        assert_eq!(decode(b"", &mut []), Some(0));
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(decode_all(BASE64_URL_SAFE_NO_PAD.encode(&bytes).as_bytes()), Some(bytes));
        }

        #[test]
        fn any_text_is_what_another_decoder_makes_of_it(text in "[A-Za-z0-9_-]{0,200}[A-Za-z0-9_=+/ -]?[A-Za-z0-9_-]{0,70}") {
            prop_assert_eq!(decode_all(text.as_bytes()), BASE64_URL_SAFE_NO_PAD.decode(&text).ok());
        }
    }
}
