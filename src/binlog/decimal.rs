//! DECIMAL: exact digits, never a float on the way.

use super::column::decimal_bytes;

/// The longest text: a sign, 65 digits, a point, a zero before it, and the digits that damaged bytes may add.
pub(crate) const LONGEST: usize = 72;

/// A DECIMAL as it lies in a row: groups of nine digits as 4-byte big-endian numbers, the sign in the first bit, all
/// bits inverted when negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal<'a> {
    bytes: &'a [u8],
    precision: u8,
    scale: u8,
}

impl<'a> Decimal<'a> {
    /// `None` when `bytes` is not as long as `precision` and `scale` ask, or they are not those of a DECIMAL.
    pub fn new(bytes: &'a [u8], precision: u8, scale: u8) -> Option<Decimal<'a>> {
        let whole = usize::from(precision.checked_sub(scale)?);
        let fits = (1..=65).contains(&precision) && bytes.len() == decimal_bytes(whole) + decimal_bytes(scale.into());
        fits.then_some(Decimal { bytes, precision, scale })
    }

    /// The bytes, as they lie in a row.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Digits altogether.
    pub fn precision(&self) -> u8 {
        self.precision
    }

    /// Digits after the point.
    pub fn scale(&self) -> u8 {
        self.scale
    }

    /// Appends it as the server prints it: `-12.3400`, always with `scale` digits after the point.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut text = [0; LONGEST];
        let len = self.write_to(&mut text);
        out.extend_from_slice(&text[..len]);
    }

    /// Puts it at the start of `text`, as [`Decimal::write`] does; returns its length.
    #[inline]
    pub(crate) fn write_to(&self, text: &mut [u8; LONGEST]) -> usize {
        let first = self.bytes.first().copied().unwrap_or(0x80);
        let negative = first & 0x80 == 0;
        let invert = if negative { 0xFF } else { 0 };
        let whole = usize::from(self.precision - self.scale);
        let (head, tail) = self.bytes.split_at(decimal_bytes(whole));
        // The sign bit is in the first byte, wherever that is.
        let group = |bytes: &[u8], is_first: bool| {
            let v = bytes.iter().fold(0u32, |v, &b| v << 8 | u32::from(b ^ invert));
            if is_first { v ^ 0x80 << (8 * (bytes.len() - 1)) } else { v }
        };
        text[0] = b'-';
        let start = usize::from(negative);
        let mut at = start;
        let (lead, groups) = head.split_at(decimal_bytes(whole % 9));
        let mut is_first = true;
        for bytes in std::iter::once(lead).filter(|lead| !lead.is_empty()).chain(groups.chunks(4)) {
            let v = group(bytes, std::mem::take(&mut is_first));
            let digits = if at > start { 9 } else { v.checked_ilog10().map_or(0, |log| log as usize + 1) };
            put_digits(v, &mut text[at..at + digits]);
            at += digits;
        }
        if at == start {
            text[at] = b'0';
            at += 1;
        }
        if self.scale > 0 {
            text[at] = b'.';
            at += 1;
            let mut left = usize::from(self.scale);
            for bytes in tail.chunks(4) {
                let digits = left.min(9);
                put_digits(group(bytes, std::mem::take(&mut is_first)), &mut text[at..at + digits]);
                at += digits;
                left -= digits;
            }
        }
        at
    }
}

/// Digits that a DECIMAL of this precision and scale has no place for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DigitsError {
    /// More of them before the point.
    #[error("more than {0} digits before the point")]
    Whole(u8),
    /// More of them behind the point, and not zeros.
    #[error("more than {0} digits behind the point")]
    Fraction(u8),
    /// Text that is no number in plain notation, or a precision and a scale that no column has.
    #[error("not a decimal number")]
    Text,
}

/// Appends the bytes of the number that `text` spells (`-12.34`), as a column of this precision and scale holds them.
/// Nothing is rounded; zero has no sign.
///
/// # Errors
/// Digits that do not fit; `out` is then as before.
pub fn write_digits(text: &[u8], precision: u8, scale: u8, out: &mut Vec<u8>) -> Result<(), DigitsError> {
    let whole_digits = usize::from(precision.checked_sub(scale).ok_or(DigitsError::Text)?);
    if !(1..=65).contains(&precision) {
        return Err(DigitsError::Text);
    }
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let point = digits.iter().position(|&c| c == b'.');
    let (whole, fraction) = match point {
        Some(at) => (&digits[..at], &digits[at + 1..]),
        None => (digits, &[][..]),
    };
    if whole.len() + fraction.len() == 0 || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(DigitsError::Text);
    }
    let whole = &whole[whole.iter().take_while(|&&c| c == b'0').count()..];
    let fraction = &fraction[..fraction.len() - fraction.iter().rev().take_while(|&&c| c == b'0').count()];
    if whole.len() > whole_digits {
        return Err(DigitsError::Whole(precision - scale));
    }
    if fraction.len() > scale.into() {
        return Err(DigitsError::Fraction(scale));
    }
    // All digits of the column, zeros where the text has none.
    let mut all = [b'0'; 65];
    all[whole_digits - whole.len()..whole_digits].copy_from_slice(whole);
    all[whole_digits..whole_digits + fraction.len()].copy_from_slice(fraction);
    let start = out.len();
    let group = |digits: &[u8], out: &mut Vec<u8>| {
        let v = digits.iter().fold(0u32, |v, &c| v * 10 + u32::from(c - b'0'));
        out.extend_from_slice(&v.to_be_bytes()[4 - decimal_bytes(digits.len())..]);
    };
    let (head, tail) = all[..usize::from(precision)].split_at(whole_digits);
    let (lead, groups) = head.split_at(whole_digits % 9);
    if !lead.is_empty() {
        group(lead, out);
    }
    groups.chunks(9).chain(tail.chunks(9)).for_each(|digits| group(digits, out));
    out[start] ^= 0x80;
    if negative && !(whole.is_empty() && fraction.is_empty()) {
        out[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
    Ok(())
}

/// Fills `to` with the last decimal digits of `v`, zeros in front.
#[inline]
fn put_digits(mut v: u32, to: &mut [u8]) {
    for place in to.iter_mut().rev() {
        *place = b'0' + (v % 10) as u8;
        v /= 10;
    }
}

/// Exactly `digits` decimal digits of `v`, with zeros in front.
#[inline]
pub(super) fn push_digits(mut v: u32, digits: usize, out: &mut Vec<u8>) {
    // Dates and times are pairs; a row may have many of them.
    if digits == 2 && v < 100 {
        out.extend_from_slice(&[b'0' + (v / 10) as u8, b'0' + (v % 10) as u8]);
        return;
    }
    let mut text = [b'0'; 10];
    for place in text[..digits].iter_mut().rev() {
        *place = b'0' + (v % 10) as u8;
        v /= 10;
    }
    out.extend_from_slice(&text[..digits]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8], precision: u8, scale: u8) -> String {
        let mut out = Vec::new();
        Decimal::new(bytes, precision, scale).unwrap().write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn digits_and_sign_are_exact() {
        // The example of the server's own source (strings/decimal.cc): 1234567890.1234 as DECIMAL(14,4).
        let positive = [0x81, 0x0D, 0xFB, 0x38, 0xD2, 0x04, 0xD2];
        assert_eq!(text(&positive, 14, 4), "1234567890.1234");
        let negative = positive.map(|b| !b);
        assert_eq!(text(&negative, 14, 4), "-1234567890.1234");
        assert_eq!(text(&[0x80, 0, 0], 5, 2), "0.00");
        assert_eq!(text(&[0x80], 1, 0), "0");
        assert_eq!(text(&[0x80 | 99], 2, 2), "0.99");
        assert_eq!(text(&[0x7F ^ 1], 2, 2), "-0.01");
    }

    #[test]
    fn digits_are_written_as_they_are_read() {
        for (given, precision, scale, shown) in [
            ("1234567890.1234", 14, 4, "1234567890.1234"),
            ("-1234567890.1234", 14, 4, "-1234567890.1234"),
            ("-0", 5, 2, "0.00"),
            ("0007.5", 5, 2, "7.50"),
            (".5", 2, 2, "0.50"),
            ("-99999999999999999999999999999999999999999999999999999999999999999", 65, 0, ""),
            ("-.000000000000000000000000000001", 30, 30, "-0.000000000000000000000000000001"),
            ("7.500", 2, 1, "7.5"),
        ] {
            let mut bytes = Vec::new();
            write_digits(given.as_bytes(), precision, scale, &mut bytes).unwrap();
            assert_eq!(text(&bytes, precision, scale), if shown.is_empty() { given } else { shown });
        }
        let refused = |text: &str, precision, scale| {
            let mut out = vec![7];
            let error = write_digits(text.as_bytes(), precision, scale, &mut out).unwrap_err();
            assert_eq!(out, [7]);
            error
        };
        assert_eq!(refused("1000", 5, 2), DigitsError::Whole(3));
        assert_eq!(refused("0.001", 5, 2), DigitsError::Fraction(2));
        for none in ["", "-", ".", "1e3", "1.2.3", " 1", "x"] {
            assert_eq!(refused(none, 5, 2), DigitsError::Text, "{none}");
        }
        assert_eq!(refused("1", 66, 0), DigitsError::Text);
        assert_eq!(refused("1", 2, 3), DigitsError::Text);
    }

    #[test]
    fn bytes_that_no_server_writes_have_room() {
        for (precision, scale) in
            (1..=65).flat_map(|precision| (0..=precision.min(30)).map(move |scale| (precision, scale)))
        {
            let length = decimal_bytes(usize::from(precision - scale)) + decimal_bytes(scale.into());
            for byte in [0, 0x7F, 0x80, 0xFF] {
                let shown = text(&vec![byte; length], precision, scale);
                assert!(shown.len() <= LONGEST, "{shown}");
            }
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        assert_eq!(Decimal::new(&[0x80; 3], 14, 4), None);
        assert_eq!(Decimal::new(&[], 0, 0), None);
        assert_eq!(Decimal::new(&[0x80], 1, 2), None);
        assert_eq!(Decimal::new(&[0x80; 33], 66, 0), None);
    }
}
