//! Whole numbers of some two hundred digits: what decimal arithmetic has between its steps.

use std::cmp::Ordering;

use super::fault::Fault;
use super::number::{DIGITS_MAX, Number, SCALE_MAX};

/// Digits of what is between: a product, or a sum before it is rounded.
pub(super) const WIDE: usize = 2 * DIGITS_MAX + 2 * SCALE_MAX as usize;

/// A whole number on its way, the last digit first.
#[derive(Clone, Copy)]
pub(super) struct Wide {
    pub(super) len: usize,
    pub(super) digits: [u8; WIDE],
}

impl Wide {
    pub(super) const ZERO: Wide = Wide { len: 0, digits: [0; WIDE] };

    /// The digits of `n`, `zeros` zeros behind them.
    pub(super) fn shifted(n: &Number, zeros: u8) -> Wide {
        let mut wide = Wide::ZERO;
        let (len, zeros) = (usize::from(n.len), usize::from(zeros));
        wide.digits[zeros..zeros + len].copy_from_slice(&n.digits[..len]);
        wide.len = if len == 0 { 0 } else { zeros + len };
        wide
    }

    pub(super) fn trim(&mut self) {
        while self.len > 0 && self.digits[self.len - 1] == 0 {
            self.len -= 1;
        }
    }

    pub(super) fn cmp(&self, other: &Wide) -> Ordering {
        let by_digits = || self.digits[..self.len].iter().rev().cmp(other.digits[..other.len].iter().rev());
        self.len.cmp(&other.len).then_with(by_digits)
    }

    pub(super) fn add(&mut self, other: &Wide) {
        let mut carry = 0;
        let len = self.len.max(other.len) + 1;
        for (digit, &more) in self.digits.iter_mut().zip(&other.digits).take(len) {
            let sum = *digit + more + carry;
            *digit = sum % 10;
            carry = sum / 10;
        }
        self.len = len.min(WIDE);
        self.trim();
    }

    /// Takes away what is not larger.
    pub(super) fn subtract(&mut self, other: &Wide) {
        let mut borrow = 0;
        for (digit, &less) in self.digits.iter_mut().zip(&other.digits).take(self.len) {
            let less = less + borrow;
            borrow = u8::from(*digit < less);
            *digit = *digit + 10 * borrow - less;
        }
        self.trim();
    }

    /// Cuts the last `count` digits off, rounding half away from zero.
    pub(super) fn round_off(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let up = count <= self.len && self.digits[count - 1] >= 5;
        self.digits.copy_within(count.min(WIDE).., 0);
        self.digits[WIDE - count.min(WIDE)..].fill(0);
        self.len = self.len.saturating_sub(count);
        if up {
            let mut one = Wide::ZERO;
            one.digits[0] = 1;
            one.len = 1;
            self.add(&one);
        }
    }

    /// A number of this scale; digits behind the point that find no room are rounded off.
    pub(super) fn number(mut self, negative: bool, mut scale: usize) -> Result<Number, Fault> {
        self.trim();
        while scale > SCALE_MAX.into() || (self.len > DIGITS_MAX && scale > 0) {
            let over = scale.saturating_sub(SCALE_MAX.into()).max(self.len.saturating_sub(DIGITS_MAX)).clamp(1, scale);
            self.round_off(over);
            scale -= over;
        }
        if self.len > DIGITS_MAX {
            return Err(Fault::Range { what: "a number" });
        }
        let mut digits = [0; DIGITS_MAX];
        digits.copy_from_slice(&self.digits[..DIGITS_MAX]);
        Ok(Number { negative: negative && self.len > 0, scale: scale as u8, len: self.len as u8, digits })
    }
}

/// Quotient and remainder, digit by digit.
pub(super) fn divide(a: &Wide, b: &Wide) -> (Wide, Wide) {
    let (mut quotient, mut rest) = (Wide::ZERO, Wide::ZERO);
    for place in (0..a.len).rev() {
        rest.digits.copy_within(0..rest.len, 1);
        rest.digits[0] = a.digits[place];
        rest.len += 1;
        rest.trim();
        while rest.cmp(b) != Ordering::Less {
            rest.subtract(b);
            quotient.digits[place] += 1;
        }
    }
    quotient.len = a.len;
    quotient.trim();
    (quotient, rest)
}
