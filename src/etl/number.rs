//! Exact decimal numbers of up to 65 digits, 30 of them behind the point, as the server's DECIMAL; no allocation.

use std::cmp::Ordering;

use super::fault::Fault;
use super::wide::{WIDE, Wide, divide};

/// Most digits.
pub(super) const DIGITS_MAX: usize = 65;
/// Most digits behind the point.
pub(super) const SCALE_MAX: u8 = 30;

/// A decimal number: a whole one of `len` digits, divided by ten to the `scale`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number {
    pub(super) negative: bool,
    pub(super) scale: u8,
    pub(super) len: u8,
    /// The last digit first; zeros from `len` on.
    pub(super) digits: [u8; DIGITS_MAX],
}

impl Number {
    /// Reads `-12.34`; none for text that is no such number. Digits beyond the 30th behind the point are rounded off.
    pub(super) fn parse(text: &str) -> Option<Result<Number, Fault>> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = rest.split_once('.').unwrap_or((rest, ""));
        let all = || whole.bytes().chain(fraction.bytes());
        if all().next().is_none() || !all().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let whole = whole.trim_start_matches('0');
        let fraction = &fraction[..fraction.len().min(WIDE - DIGITS_MAX - 1)];
        if whole.len() > DIGITS_MAX {
            return Some(Err(Fault::Range { what: "a number" }));
        }
        let mut wide = Wide::ZERO;
        wide.len = whole.len() + fraction.len();
        for (digit, byte) in wide.digits.iter_mut().zip(fraction.bytes().rev().chain(whole.bytes().rev())) {
            *digit = byte - b'0';
        }
        Some(wide.number(negative, fraction.len()))
    }

    /// A double's shortest digits.
    pub(super) fn of_float(value: f64) -> Result<Number, Fault> {
        // Doubles reach further than decimals; the text of the largest has 309 digits.
        Number::parse(&value.to_string()).unwrap_or(Err(Fault::Range { what: "a number" }))
    }

    /// Digits behind the point.
    pub(super) fn scale(&self) -> u8 {
        self.scale
    }

    pub(super) fn is_zero(&self) -> bool {
        self.len == 0
    }

    pub(super) fn is_negative(&self) -> bool {
        self.negative
    }

    /// The same number as a 64-bit integer, when it is one.
    pub(super) fn as_i64(&self) -> Option<i64> {
        let whole = self.rounded(0).ok().filter(|whole| whole.cmp(self) == Ordering::Equal)?;
        let digits = whole.digits[..usize::from(whole.len)].iter().rev();
        let value = digits.fold(0i128, |v, &d| if whole.len > 20 { i128::MAX } else { v * 10 + i128::from(d) });
        i64::try_from(if whole.negative { -value } else { value }).ok()
    }

    /// The same number as an unsigned 64-bit integer, when it is one.
    pub(super) fn as_u64(&self) -> Option<u64> {
        let whole = self.rounded(0).ok().filter(|whole| whole.cmp(self) == Ordering::Equal)?;
        if whole.negative || whole.len > 20 {
            return None;
        }
        let value = whole.digits[..usize::from(whole.len)].iter().rev().fold(0u128, |v, &d| v * 10 + u128::from(d));
        u64::try_from(value).ok()
    }

    /// The nearest double.
    pub(super) fn as_f64(&self) -> f64 {
        let mut text = Vec::with_capacity(DIGITS_MAX + 3);
        self.write(&mut text);
        std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0)
    }

    /// Appends it in plain notation with exactly its scale of digits behind the point.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        let scale = usize::from(self.scale);
        let places = usize::from(self.len).max(scale + 1);
        for place in (0..places).rev() {
            out.push(b'0' + self.digits.get(place).copied().unwrap_or(0));
            if place == scale && scale > 0 {
                out.push(b'.');
            }
        }
    }

    pub(super) fn cmp(&self, other: &Number) -> Ordering {
        match (self.negative, other.negative) {
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            _ => {}
        }
        let scale = self.scale.max(other.scale);
        let (a, b) = (Wide::shifted(self, scale - self.scale), Wide::shifted(other, scale - other.scale));
        if self.negative { b.cmp(&a) } else { a.cmp(&b) }
    }

    pub(super) fn neg(mut self) -> Number {
        self.negative = !self.negative && self.len > 0;
        self
    }

    pub(super) fn abs(mut self) -> Number {
        self.negative = false;
        self
    }

    pub(super) fn add(&self, other: &Number) -> Result<Number, Fault> {
        let scale = self.scale.max(other.scale);
        let (mut a, mut b) = (Wide::shifted(self, scale - self.scale), Wide::shifted(other, scale - other.scale));
        if self.negative == other.negative {
            a.add(&b);
            return a.number(self.negative, scale.into());
        }
        match a.cmp(&b) {
            Ordering::Less => {
                b.subtract(&a);
                b.number(other.negative, scale.into())
            }
            _ => {
                a.subtract(&b);
                a.number(self.negative, scale.into())
            }
        }
    }

    pub(super) fn sub(&self, other: &Number) -> Result<Number, Fault> {
        self.add(&other.neg())
    }

    pub(super) fn mul(&self, other: &Number) -> Result<Number, Fault> {
        let mut product = [0u32; WIDE];
        for (i, &a) in self.digits[..self.len.into()].iter().enumerate() {
            for (j, &b) in other.digits[..other.len.into()].iter().enumerate() {
                product[i + j] += u32::from(a) * u32::from(b);
            }
        }
        let mut wide = Wide { len: WIDE, digits: [0; WIDE] };
        let mut carry = 0;
        for (digit, sum) in wide.digits.iter_mut().zip(product) {
            *digit = ((sum + carry) % 10) as u8;
            carry = (sum + carry) / 10;
        }
        wide.number(self.negative != other.negative, usize::from(self.scale) + usize::from(other.scale))
    }

    /// The quotient with this many digits behind the point, rounded half away from zero.
    pub(super) fn div(&self, other: &Number, scale: u8) -> Result<Number, Fault> {
        if other.is_zero() {
            return Err(Fault::DivisionByZero);
        }
        // One digit more, to round by. `shift` digits behind those of the dividend give the quotient that scale.
        let shift = i32::from(scale) + 1 + i32::from(other.scale) - i32::from(self.scale);
        let mut dividend = Wide::shifted(self, u8::try_from(shift.max(0)).unwrap_or(u8::MAX));
        if shift < 0 {
            dividend.digits.copy_within(shift.unsigned_abs() as usize.., 0);
            dividend.len = dividend.len.saturating_sub(shift.unsigned_abs() as usize);
        }
        let (mut quotient, _) = divide(&dividend, &Wide::shifted(other, 0));
        quotient.round_off(1);
        quotient.number(self.negative != other.negative, scale.into())
    }

    /// The whole part of the quotient, towards zero.
    pub(super) fn div_whole(&self, other: &Number) -> Result<Number, Fault> {
        if other.is_zero() {
            return Err(Fault::DivisionByZero);
        }
        let scale = self.scale.max(other.scale);
        let (a, b) = (Wide::shifted(self, scale - self.scale), Wide::shifted(other, scale - other.scale));
        divide(&a, &b).0.number(self.negative != other.negative, 0)
    }

    /// The remainder, with the sign of `self`.
    pub(super) fn rem(&self, other: &Number) -> Result<Number, Fault> {
        if other.is_zero() {
            return Err(Fault::DivisionByZero);
        }
        let scale = self.scale.max(other.scale);
        let (a, b) = (Wide::shifted(self, scale - self.scale), Wide::shifted(other, scale - other.scale));
        divide(&a, &b).1.number(self.negative, scale.into())
    }

    /// With this many digits behind the point; cut ones round half away from zero.
    pub(super) fn rounded(&self, scale: u8) -> Result<Number, Fault> {
        if scale >= self.scale {
            return Wide::shifted(self, scale - self.scale).number(self.negative, scale.into());
        }
        let mut wide = Wide::shifted(self, 0);
        wide.round_off((self.scale - scale).into());
        wide.number(self.negative, scale.into())
    }

    /// Rounded to tens (1), hundreds (2), ...
    pub(super) fn rounded_to_tens(&self, zeros: u8) -> Result<Number, Fault> {
        let mut wide = Wide::shifted(self, 0);
        wide.round_off(usize::from(self.scale) + usize::from(zeros));
        let whole = wide.number(self.negative, 0)?;
        if usize::from(whole.len) + usize::from(zeros) > DIGITS_MAX + 1 {
            return Err(Fault::Range { what: "a number" });
        }
        Wide::shifted(&whole, zeros).number(whole.negative, 0)
    }

    /// The next whole number above or below, or the number itself.
    pub(super) fn to_whole(self, up: bool) -> Result<Number, Fault> {
        let whole = self.div_whole(&Number::from(1i64))?;
        if whole.cmp(&self) == Ordering::Equal || self.negative == up {
            return Ok(whole);
        }
        whole.add(&Number::from(if up { 1i64 } else { -1 }))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        let mut number = Number::from(value.unsigned_abs());
        number.negative = value < 0;
        number
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        let mut number = Number { negative: false, scale: 0, len: 0, digits: [0; DIGITS_MAX] };
        let mut rest = value;
        while rest > 0 {
            number.digits[usize::from(number.len)] = (rest % 10) as u8;
            number.len += 1;
            rest /= 10;
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(text: &str) -> Number {
        Number::parse(text).expect("a number").expect("in range")
    }

    fn shown(number: Result<Number, Fault>) -> String {
        let mut out = Vec::new();
        number.expect("in range").write(&mut out);
        String::from_utf8(out).expect("digits")
    }

    #[test]
    fn arithmetic_is_exact() {
        assert_eq!(shown(n("0.1").add(&n("0.2"))), "0.3");
        assert_eq!(shown(n("-1.50").add(&n("1.5"))), "0.00");
        assert_eq!(shown(n("1").sub(&n("1.001"))), "-0.001");
        assert_eq!(shown(n("12.5").mul(&n("-0.04"))), "-0.500");
        assert_eq!(shown(n("15").div(&n("2.0"), 4)), "7.5000");
        assert_eq!(shown(n("2").div(&n("3"), 4)), "0.6667");
        assert_eq!(shown(n("-2.000000").div(&n("3"), 1)), "-0.7");
        assert_eq!(shown(n("-7.5").div_whole(&n("2"))), "-3");
        assert_eq!(shown(n("-7.5").rem(&n("2"))), "-1.5");
        assert_eq!(shown(n("7").rem(&n("-0.3"))), "0.1");
        assert_eq!(n("1").div(&n("0.0"), 4).expect_err("zero"), Fault::DivisionByZero);
    }

    #[test]
    fn rounding_goes_half_away_from_zero() {
        assert_eq!(shown(n("2.345").rounded(2)), "2.35");
        assert_eq!(shown(n("-2.5").rounded(0)), "-3");
        assert_eq!(shown(n("0.05").rounded(3)), "0.050");
        assert_eq!(shown(n("0.4").rounded(0)), "0");
        assert_eq!(shown(n("1250").rounded_to_tens(2)), "1300");
        assert_eq!(shown(n("-1.1").to_whole(true)), "-1");
        assert_eq!(shown(n("-1.1").to_whole(false)), "-2");
        assert_eq!(shown(n("1.1").to_whole(true)), "2");
        assert_eq!(shown(n("7").to_whole(true)), "7");
    }

    #[test]
    fn edges_are_kept_or_refused() {
        let largest = "9".repeat(65);
        assert_eq!(shown(Ok(n(&largest))), largest);
        assert!(Number::parse(&"9".repeat(66)).expect("a number").is_err());
        assert!(n(&largest).add(&n("1")).is_err());
        // A sum that is too long loses digits behind the point, not before it.
        assert_eq!(shown(n(&"9".repeat(64)).add(&n("0.06"))), format!("{}.1", "9".repeat(64)));
        assert_eq!((n("9223372036854775808").as_i64(), n("-9223372036854775808").as_i64()), (None, Some(i64::MIN)));
        assert_eq!((n("18446744073709551615").as_u64(), n("-1").as_u64()), (Some(u64::MAX), None));
        assert_eq!((n("3.000").as_i64(), n("3.5").as_i64()), (Some(3), None));
        assert_eq!(Number::of_float(0.1).map(|v| shown(Ok(v))), Ok("0.1".to_owned()));
        assert!(Number::of_float(1e300).is_err());
        for none in ["", "-", ".", "1e3", "0x1", " 1"] {
            assert!(Number::parse(none).is_none(), "{none}");
        }
    }

    #[test]
    fn random_sums_and_products_agree_with_integers() {
        use rand::{Rng, SeedableRng};
        let seed = rand::random();
        println!("seed {seed}");
        let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
        for _ in 0..2000 {
            let (a, b) =
                (rng.random::<i64>() >> rng.random_range(0..63), rng.random::<i64>() >> rng.random_range(0..63));
            let (x, y) = (Number::from(a), Number::from(b));
            let (a, b) = (i128::from(a), i128::from(b));
            assert_eq!(shown(x.add(&y)), (a + b).to_string());
            assert_eq!(shown(x.sub(&y)), (a - b).to_string());
            assert_eq!(shown(x.mul(&y)), (a * b).to_string());
            assert_eq!(x.cmp(&y), a.cmp(&b));
            if b != 0 {
                assert_eq!(shown(x.div_whole(&y)), (a / b).to_string());
                assert_eq!(shown(x.rem(&y)), (a % b).to_string());
            }
        }
    }
}
