//! DECIMAL as Kafka Connect's `Decimal` has it: the unscaled value as a big-endian number in two's complement, in as
//! few bytes as it needs.

use crate::binlog::decimal::Decimal;

/// Room for any DECIMAL's text.
const DIGITS: usize = crate::binlog::decimal::LONGEST;
/// Words of the number: 72 digits are fewer than 2^240, so that a sign bit is left.
const WORDS: usize = 8;

/// An unscaled value.
#[derive(Debug)]
pub(super) struct Unscaled {
    bytes: [u8; WORDS * 4],
    start: usize,
}

impl Unscaled {
    pub(super) fn of(decimal: &Decimal<'_>) -> Self {
        let mut text = [0; DIGITS];
        let len = decimal.write_to(&mut text);
        Self::of_text(&text[..len])
    }

    fn of_text(text: &[u8]) -> Self {
        // Least word first.
        let mut words = [0u32; WORDS];
        for &digit in text.iter().filter(|digit| digit.is_ascii_digit()) {
            let mut carry = u64::from(digit - b'0');
            for word in &mut words {
                carry += u64::from(*word) * 10;
                *word = carry as u32;
                carry >>= 32;
            }
        }
        if text.first() == Some(&b'-') {
            let mut carry = true;
            for word in &mut words {
                (*word, carry) = (!*word).overflowing_add(u32::from(carry));
            }
        }
        let mut bytes = [0; WORDS * 4];
        for (to, word) in bytes.rchunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_be_bytes());
        }
        // A leading byte says nothing when it only repeats the sign of the next.
        let fill = if bytes[0] & 0x80 == 0 { 0 } else { 0xff };
        let says_nothing = |at: usize| bytes[at] == fill && (bytes[at + 1] ^ fill) & 0x80 == 0;
        let start = (0..bytes.len() - 1).find(|&at| !says_nothing(at)).unwrap_or(bytes.len() - 1);
        Self { bytes, start }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_java_big_integers() {
        for (text, expected) in [
            ("0", &[0][..]),
            ("0.00", &[0]),
            ("1", &[1]),
            ("-1", &[0xff]),
            ("1.27", &[0x7f]),
            ("1.28", &[0, 0x80]),
            ("-1.28", &[0x80]),
            ("-1.29", &[0xff, 0x7f]),
            ("2.55", &[0, 0xff]),
            ("2.56", &[1, 0]),
            ("149.84", &[0x3a, 0x88]),
            ("-12345678.9000", &[0xe3, 0x41, 0x66, 0xe5, 0xf8]),
        ] {
            let expected_number =
                expected.iter().fold(if expected[0] & 0x80 == 0 { 0i128 } else { -1 }, |n, &b| n << 8 | i128::from(b));
            let digits: String = text.chars().filter(|&c| c != '.').collect();
            assert_eq!(digits.parse::<i128>().ok(), Some(expected_number), "the test itself: {text}");
            assert_eq!(Unscaled::of_text(text.as_bytes()).bytes(), expected, "{text}");
        }
    }

    #[test]
    fn numbers_of_every_length_come_back() {
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        for length in 1..=38 {
            for negative in [false, true] {
                let digits: String = (0..length)
                    .map(|_| {
                        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        char::from(b'0' + (seed >> 60) as u8 % 10)
                    })
                    .collect();
                let text = format!("{}{digits}", if negative { "-" } else { "" });
                let unscaled = Unscaled::of_text(text.as_bytes());
                let sign = if unscaled.bytes()[0] & 0x80 == 0 { 0i128 } else { -1 };
                let number = unscaled.bytes().iter().fold(sign, |n, &b| n << 8 | i128::from(b));
                assert_eq!(Some(number), text.parse().ok(), "{text}");
            }
        }
    }

    #[test]
    fn the_longest_text_has_room() {
        assert_eq!(Unscaled::of_text(&[b'9'; DIGITS]).bytes()[0] & 0x80, 0);
        assert_eq!(Unscaled::of_text(&[b'9'; DIGITS]).bytes().len(), 31);
    }
}
