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
