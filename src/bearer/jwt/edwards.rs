//! As much arithmetic modulo 2^255 - 19 as it takes to tell a point of Ed25519 from other 32 bytes (RFC 8032, section
//! 5.1.3). It runs when a key is loaded, on what is public, and takes no care of its time.

/// A number modulo 2^255 - 19, in words of 64 bits, the least significant one first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Field([u64; 4]);

/// 2^255 - 19.
const MODULUS: [u64; 4] = [0xffff_ffff_ffff_ffed, u64::MAX, u64::MAX, 0x7fff_ffff_ffff_ffff];
/// The constant of the curve.
const D: Field = Field([0x75eb_4dca_1359_78a3, 0x0070_0a4d_4141_d8ab, 0x8cc7_4079_7779_e898, 0x5203_6cee_2b6f_fe73]);
const ONE: Field = Field([1, 0, 0, 0]);

/// Returns whether some bytes are a point: their `y` is a number below the modulus, and there is an `x` beside it.
pub(crate) fn is_point(bytes: &[u8; 32]) -> bool {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
    }
    // The highest bit is the sign of x.
    words[3] &= u64::MAX >> 1;
    if !is_less(&words, &MODULUS) {
        return false;
    }
    let square = Field(words).times(Field(words));
    let (u, v) = (square.plus(ONE.negated()), D.times(square).plus(ONE));
    // x^2 is u/v, and that is a square if u*v is: 0, or 1 when raised to half of the modulus less one.
    let product = u.times(v);
    product == Field([0; 4]) || product.is_square()
}

impl Field {
    fn plus(self, other: Self) -> Self {
        let mut sum = [0; 4];
        let mut carry = 0;
        for (place, word) in sum.iter_mut().enumerate() {
            let total = u128::from(self.0[place]) + u128::from(other.0[place]) + carry;
            (*word, carry) = (total as u64, total >> 64);
        }
        // Two numbers below 2^255 have a sum below 2^256.
        Self(sum).reduced()
    }

    fn negated(self) -> Self {
        Self(less(&MODULUS, &self.0)).reduced()
    }

    fn times(self, other: Self) -> Self {
        let mut wide = [0_u64; 8];
        for (i, a) in self.0.into_iter().enumerate() {
            let mut carry = 0;
            for (j, b) in other.0.into_iter().enumerate() {
                let total = u128::from(a) * u128::from(b) + u128::from(wide[i + j]) + carry;
                (wide[i + j], carry) = (total as u64, total >> 64);
            }
            wide[i + 4] = carry as u64;
        }
        // 2^256 is 38 modulo 2^255 - 19.
        let mut low = [wide[0], wide[1], wide[2], wide[3]];
        let mut carry = 0;
        for (word, high) in low.iter_mut().zip(&wide[4..]) {
            let total = u128::from(*word) + 38 * u128::from(*high) + carry;
            (*word, carry) = (total as u64, total >> 64);
        }
        while carry > 0 {
            carry *= 38;
            for word in &mut low {
                let total = u128::from(*word) + carry;
                (*word, carry) = (total as u64, total >> 64);
            }
        }
        Self(low).reduced()
    }

    fn is_square(self) -> bool {
        // (2^255 - 19 - 1) / 2 is 2^254 - 10: ones from bit 253 down to bit 4, then 0110.
        let mut power = ONE;
        for bit in (0..254).rev() {
            power = power.times(power);
            if bit > 3 || bit == 2 || bit == 1 {
                power = power.times(self);
            }
        }
        power == ONE
    }

    fn reduced(mut self) -> Self {
        while !is_less(&self.0, &MODULUS) {
            self.0 = less(&self.0, &MODULUS);
        }
        self
    }
}

fn is_less(a: &[u64; 4], b: &[u64; 4]) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

/// Subtracts a number that is not greater.
fn less(a: &[u64; 4], b: &[u64; 4]) -> [u64; 4] {
    let mut difference = [0; 4];
    let mut borrow = false;
    for (place, word) in difference.iter_mut().enumerate() {
        let (part, first) = a[place].overflowing_sub(b[place]);
        let (whole, second) = part.overflowing_sub(u64::from(borrow));
        (*word, borrow) = (whole, first || second);
    }
    difference
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    #[test]
    fn keys_are_points_and_half_of_all_other_numbers_are() {
        for _ in 0..200 {
            let pair = Ed25519KeyPair::generate().unwrap();
            let mut key: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
            assert!(is_point(&key), "{key:x?}");
            key[31] ^= 0x80;
            assert!(is_point(&key), "{key:x?}");
        }
        let points = (0..=255).filter(|first| {
            let mut bytes = [7; 32];
            bytes[0] = *first;
            is_point(&bytes)
        });
        let points = points.count();
        assert!((90..=166).contains(&points), "{points} of 256");
        // The base point, and numbers that are not below the modulus.
        let mut base = [0x66; 32];
        base[0] = 0x58;
        assert!(is_point(&base));
        let mut modulus = [0xff; 32];
        (modulus[0], modulus[31]) = (0xed, 0x7f);
        assert!(!is_point(&modulus));
        assert!(!is_point(&[0xff; 32]));
        // y = 2 has no x.
        let mut two = [0; 32];
        two[0] = 2;
        assert!(!is_point(&two));
    }
}
