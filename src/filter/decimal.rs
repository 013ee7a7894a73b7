//! Exact decimal numbers as the server computes with them: digits and a scale, on the stack.

use std::cmp::Ordering;

/// Words of the digits: 384 bits, 115 decimal digits. The server's own have 81.
const WORDS: usize = 6;
/// The greatest power of ten in one word.
const STEP: u64 = 10_000_000_000_000_000_000;
const STEP_DIGITS: u8 = 19;
/// What one word of the server's decimals does not hold.
const WORD: u64 = 1_000_000_000;
/// Longest text: a sign, the digits, a point and a zero before it.
const TEXT_MAX: usize = 120;

/// `±digits / 10^scale`. Zero has no sign, but for the remainders of some servers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal {
    negative: bool,
    scale: u8,
    digits: [u64; WORDS],
}

impl Decimal {
    pub(super) fn of_int(value: i128) -> Self {
        let magnitude = value.unsigned_abs();
        let mut digits = [0; WORDS];
        digits[0] = magnitude as u64;
        digits[1] = (magnitude >> 64) as u64;
        Self { negative: value < 0, scale: 0, digits }
    }

    /// `value / 10^scale`.
    pub(super) fn scaled(value: i128, scale: u8) -> Self {
        Self { scale, ..Self::of_int(value) }
    }

    /// Reads `-12.50`; none for anything else, or more digits than there is room for.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (negative, text) = match text.split_first()? {
            (b'-', rest) => (true, rest),
            _ => (false, text),
        };
        let mut number = Self { negative, scale: 0, digits: [0; WORDS] };
        let (mut point, mut any) = (false, false);
        // Up to 18 digits at a time in one word.
        let (mut pending, mut factor) = (0u64, 1u64);
        for &byte in text {
            match byte {
                b'.' if !point => point = true,
                b'0'..=b'9' => {
                    any = true;
                    pending = pending * 10 + u64::from(byte - b'0');
                    factor *= 10;
                    number.scale = number.scale.checked_add(u8::from(point))?;
                    if factor == STEP / 10 {
                        number.digits = add_small(multiply_small(number.digits, factor)?, pending)?;
                        (pending, factor) = (0, 1);
                    }
                }
                _ => return None,
            }
        }
        number.digits = add_small(multiply_small(number.digits, factor)?, pending)?;
        any.then(|| number.normal())
    }

    pub(super) fn scale(&self) -> u8 {
        self.scale
    }

    pub(super) fn is_zero(&self) -> bool {
        self.digits == [0; WORDS]
    }

    pub(super) fn is_negative(&self) -> bool {
        self.negative
    }

    /// Takes the sign from zero.
    fn normal(self) -> Self {
        Self { negative: self.negative && !self.is_zero(), ..self }
    }

    pub(super) fn negate(self) -> Self {
        Self { negative: !self.negative, ..self }.normal()
    }

    pub(super) fn abs(self) -> Self {
        Self { negative: false, ..self }
    }

    /// Whole part; none when it does not fit.
    pub(super) fn whole(&self) -> Option<i128> {
        let digits = shift_down(self.digits, self.scale).0;
        if digits[2..].iter().any(|&word| word != 0) {
            return None;
        }
        let magnitude = i128::try_from(u128::from(digits[1]) << 64 | u128::from(digits[0])).ok()?;
        Some(if self.negative { -magnitude } else { magnitude })
    }

    /// The same number with more digits behind the point; none when they do not fit.
    fn widened(&self, scale: u8) -> Option<[u64; WORDS]> {
        shift_up(self.digits, scale - self.scale)
    }

    fn aligned(&self, other: &Self) -> Option<([u64; WORDS], [u64; WORDS], u8)> {
        let scale = self.scale.max(other.scale);
        Some((self.widened(scale)?, other.widened(scale)?, scale))
    }

    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        let by_sign = other.negative.cmp(&self.negative);
        if by_sign != Ordering::Equal {
            return Some(by_sign);
        }
        let (a, b, _) = self.aligned(other)?;
        let order = a.iter().rev().cmp(b.iter().rev());
        Some(if self.negative { order.reverse() } else { order })
    }

    pub(super) fn add(&self, other: &Self) -> Option<Self> {
        let (a, b, scale) = self.aligned(other)?;
        if self.negative == other.negative {
            return Some(Self { negative: self.negative, scale, digits: add(a, b)? });
        }
        let less = a.iter().rev().lt(b.iter().rev());
        let digits = if less { subtract(b, a) } else { subtract(a, b) };
        Some(Self { negative: if less { other.negative } else { self.negative }, scale, digits }.normal())
    }

    pub(super) fn multiply(&self, other: &Self) -> Option<Self> {
        let scale = self.scale.checked_add(other.scale)?;
        let digits = multiply(self.digits, other.digits)?;
        Some(Self { negative: self.negative != other.negative, scale, digits }.normal())
    }

    /// The quotient cut off after `scale` digits, which are no fewer than both have together; `other` is not zero.
    /// Where `signed_zero`, what is cut off leaves the sign.
    pub(super) fn divide(&self, other: &Self, scale: u8, signed_zero: bool) -> Option<Self> {
        let shift = scale.checked_add(other.scale)?.checked_sub(self.scale)?;
        let digits = divide(shift_up(self.digits, shift)?, other.digits).0;
        let quotient = Self { negative: self.negative != other.negative && !self.is_zero(), scale, digits };
        Some(if signed_zero { quotient } else { quotient.normal() })
    }

    /// What a division leaves, with the sign of the dividend; `other` is not zero. Where `signed_zero`, zero keeps it too
    /// when words of nine digits are left of it (`do_div_mod` of strings/decimal.cc): behind the point, or below a
    /// divisor of more than one.
    pub(super) fn remainder(&self, other: &Self, signed_zero: bool) -> Option<Self> {
        let (a, b, scale) = self.aligned(other)?;
        let negative = self.negative && !self.is_zero();
        let words_left = scale > 0 || other.digits[0] >= WORD || other.digits[1..] != [0; WORDS - 1];
        let remainder = Self { negative, scale, digits: divide(a, b).1 };
        Some(if signed_zero && words_left { remainder } else { remainder.normal() })
    }

    /// Rounded to at most `scale` digits behind the point, halves away from zero.
    pub(super) fn round(self, scale: u8) -> Self {
        if scale >= self.scale {
            return self;
        }
        let (digits, last) = shift_down(self.digits, self.scale - scale);
        let digits = if last >= 5 { add_small(digits, 1).unwrap_or(digits) } else { digits };
        Self { negative: self.negative, scale, digits }.normal()
    }

    /// The nearest double.
    pub(super) fn to_double(self) -> f64 {
        let mut text = String::with_capacity(TEXT_MAX);
        self.write(&mut text);
        text.parse().unwrap_or(f64::MAX)
    }

    /// Appends it as the server prints it.
    pub(super) fn write(&self, out: &mut String) {
        let mut text = Vec::with_capacity(TEXT_MAX);
        let mut rest = self.digits;
        while rest != [0; WORDS] || text.len() <= usize::from(self.scale) {
            let (next, digit) = divide_small(rest, 10);
            text.push(b'0' + digit as u8);
            rest = next;
            if text.len() == usize::from(self.scale) && self.scale > 0 {
                break;
            }
        }
        if self.scale > 0 {
            text.push(b'.');
            loop {
                let (next, digit) = divide_small(rest, 10);
                text.push(b'0' + digit as u8);
                rest = next;
                if rest == [0; WORDS] {
                    break;
                }
            }
        }
        if self.is_negative() {
            out.push('-');
        }
        out.extend(text.iter().rev().map(|&byte| char::from(byte)));
    }
}

fn multiply_small(mut digits: [u64; WORDS], factor: u64) -> Option<[u64; WORDS]> {
    let mut carry = 0u128;
    for word in &mut digits {
        let product = u128::from(*word) * u128::from(factor) + carry;
        *word = product as u64;
        carry = product >> 64;
    }
    (carry == 0).then_some(digits)
}

fn add_small(digits: [u64; WORDS], value: u64) -> Option<[u64; WORDS]> {
    let mut other = [0; WORDS];
    other[0] = value;
    add(digits, other)
}

fn add(mut a: [u64; WORDS], b: [u64; WORDS]) -> Option<[u64; WORDS]> {
    let mut carry = 0u128;
    for (word, other) in a.iter_mut().zip(b) {
        let sum = u128::from(*word) + u128::from(other) + carry;
        *word = sum as u64;
        carry = sum >> 64;
    }
    (carry == 0).then_some(a)
}

/// `a - b`, where `b` is not greater.
fn subtract(mut a: [u64; WORDS], b: [u64; WORDS]) -> [u64; WORDS] {
    let mut borrow = false;
    for (word, other) in a.iter_mut().zip(b) {
        let (difference, one) = word.overflowing_sub(other);
        let (difference, two) = difference.overflowing_sub(borrow.into());
        *word = difference;
        borrow = one || two;
    }
    a
}

fn multiply(a: [u64; WORDS], b: [u64; WORDS]) -> Option<[u64; WORDS]> {
    let mut out = [0u64; WORDS];
    for (i, &x) in a.iter().enumerate().filter(|(_, x)| **x != 0) {
        let mut carry = 0u128;
        for (j, &y) in b.iter().enumerate() {
            let product = u128::from(x) * u128::from(y) + carry;
            let Some(place) = out.get_mut(i + j) else {
                if product != 0 {
                    return None;
                }
                continue;
            };
            let sum = u128::from(*place) + product;
            *place = sum as u64;
            carry = sum >> 64;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(out)
}

fn divide_small(mut digits: [u64; WORDS], divisor: u64) -> ([u64; WORDS], u64) {
    let mut rest = 0u128;
    for word in digits.iter_mut().rev() {
        let value = rest << 64 | u128::from(*word);
        *word = (value / u128::from(divisor)) as u64;
        rest = value % u128::from(divisor);
    }
    (digits, rest as u64)
}

/// Quotient and rest; bit by bit where the divisor is longer than a word.
fn divide(a: [u64; WORDS], b: [u64; WORDS]) -> ([u64; WORDS], [u64; WORDS]) {
    if b[1..].iter().all(|&word| word == 0) {
        let (quotient, last) = divide_small(a, b[0]);
        let mut rest = [0; WORDS];
        rest[0] = last;
        return (quotient, rest);
    }
    let (mut quotient, mut rest) = ([0u64; WORDS], [0u64; WORDS]);
    for bit in (0..WORDS * 64).rev() {
        // The rest stays below the divisor, which has room for a bit more: no number here fills all words.
        for place in (1..WORDS).rev() {
            rest[place] = rest[place] << 1 | rest[place - 1] >> 63;
        }
        rest[0] = rest[0] << 1 | a[bit / 64] >> (bit % 64) & 1;
        if rest.iter().rev().ge(b.iter().rev()) {
            rest = subtract(rest, b);
            quotient[bit / 64] |= 1 << (bit % 64);
        }
    }
    (quotient, rest)
}

fn shift_up(mut digits: [u64; WORDS], mut places: u8) -> Option<[u64; WORDS]> {
    if digits == [0; WORDS] {
        return Some(digits);
    }
    while places > 0 {
        let step = places.min(STEP_DIGITS);
        digits = multiply_small(digits, power(step))?;
        places -= step;
    }
    Some(digits)
}

/// Without the last `places` digits, and the first of those.
fn shift_down(mut digits: [u64; WORDS], places: u8) -> ([u64; WORDS], u64) {
    let mut places = places;
    let mut last = 0;
    while places > 1 {
        let step = (places - 1).min(STEP_DIGITS);
        digits = divide_small(digits, power(step)).0;
        places -= step;
    }
    if places == 1 {
        (digits, last) = divide_small(digits, 10);
    }
    (digits, last)
}

fn power(digits: u8) -> u64 {
    if digits == STEP_DIGITS { STEP } else { 10u64.pow(digits.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Decimal {
        Decimal::parse(text.as_bytes()).expect("a decimal")
    }

    fn text(number: Option<Decimal>) -> String {
        let mut out = String::new();
        number.expect("it fits").write(&mut out);
        out
    }

    #[test]
    fn text_comes_back_with_its_zeros() {
        let long = format!("-{}.{}", "1234567890".repeat(3), "0987654321".repeat(3));
        for shown in ["0", "-1", "0.00", "12.50", "-0.01", "100", "0.000000000000000000000000000001", &long] {
            assert_eq!(text(Some(number(shown))), shown);
        }
        assert_eq!(text(Some(number(".5"))), "0.5");
        assert_eq!(text(Some(number("7."))), "7");
        assert_eq!(text(Some(number("-0.0"))), "0.0");
        assert_eq!(text(Some(Decimal::of_int(i128::from(u64::MAX)))), "18446744073709551615");
        for bad in ["", "-", ".", "1e3", "1.2.3", " 1"] {
            assert!(Decimal::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn arithmetic_is_exact() {
        let (a, b) = (number("22.000"), number("-7.00000"));
        assert_eq!(text(a.add(&b)), "15.00000");
        assert_eq!(text(a.multiply(&b)), "-154.00000000");
        assert_eq!(text(a.divide(&b, 9, false)), "-3.142857142");
        assert_eq!(text(a.remainder(&b, false)), "1.00000");
        assert_eq!(text(a.negate().remainder(&b, false)), "-1.00000");
        let long = number(&"9".repeat(65));
        assert_eq!(
            text(long.divide(&number("12345678901234567890123"), 0, false)),
            "8100000072900000663390305736125449522204866"
        );
        assert!(long.multiply(&long).is_none());
        assert_eq!(text(Some(number("0.66666").round(4))), "0.6667");
        assert_eq!(text(Some(number("-2.5").round(0))), "-3");
        assert_eq!(text(Some(number("123.449").round(0))), "123");
        assert_eq!(number("-17.9").whole(), Some(-17));
    }

    #[test]
    fn order_ignores_scale_and_the_sign_of_zero() {
        for (a, b, order) in [
            ("1.50", "1.5", Ordering::Equal),
            ("-0.0", "0", Ordering::Equal),
            ("-2", "1", Ordering::Less),
            ("-2", "-1.99999", Ordering::Less),
            ("18446744073709551616", "18446744073709551615.9999", Ordering::Greater),
        ] {
            assert_eq!(number(a).compare(&number(b)), Some(order), "{a} {b}");
        }
        assert_eq!(number("0.1").to_double(), 0.1);
    }
}
