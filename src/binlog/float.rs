//! Floating-point numbers as the server prints them (`my_gcvt` in strings/dtoa.cc): the shortest digits that read back
//! as the same number, plain while the point is within 15 digits of them, else with an exponent.

/// Longest run of places that is printed without an exponent (`MAX_DECPT_FOR_F_FORMAT`).
const PLAIN_PLACES: i32 = 15;

/// Appends a DOUBLE as `SELECT` prints it: `0.1`, `1e20`, `100000000000000`.
pub fn write_double(v: f64, out: &mut Vec<u8>) {
    let mut buffer = zmij::Buffer::new();
    if !v.is_finite() {
        // The server stores none. Should one be met, it is shown as what it is.
        out.extend_from_slice(buffer.format(v).as_bytes());
        return;
    }
    write_digits(buffer.format_finite(v), out);
}

/// Appends a FLOAT as `SELECT` prints it: rounded to six digits. Not enough to tell every value from its neighbours;
/// [`write_float_exact`] is.
pub fn write_float(v: f32, out: &mut Vec<u8>) {
    if !v.is_finite() {
        return write_double(v.into(), out);
    }
    write_digits(&format!("{v:.5e}"), out);
}

/// Appends a FLOAT in the shortest digits that read back as the same 32-bit number.
pub fn write_float_exact(v: f32, out: &mut Vec<u8>) {
    if !v.is_finite() {
        return write_double(v.into(), out);
    }
    write_digits(zmij::Buffer::new().format_finite(v), out);
}

/// Lays out the digits of `text` (`-12.5`, `1.25e-7`, ...) as the server does.
fn write_digits(text: &str, out: &mut Vec<u8>) {
    let text = match text.strip_prefix('-') {
        Some(rest) => {
            out.push(b'-');
            rest
        }
        None => text,
    };
    let (mantissa, exponent) = match text.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().unwrap_or(0)),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // The digits without zeros around them, on the stack: 17 for a double, and zeros that it pads with.
    let mut digits = [0u8; 48];
    let mut len = 0;
    for &c in whole.as_bytes().iter().chain(fraction.as_bytes()) {
        if (len > 0 || c != b'0') && len < digits.len() {
            digits[len] = c;
            len += 1;
        }
    }
    let leading_zeros = (whole.len() + fraction.len()) as i32 - len as i32;
    while len > 0 && digits[len - 1] == b'0' {
        len -= 1;
    }
    let digits = &digits[..len];
    if digits.is_empty() {
        out.push(b'0');
        return;
    }
    // The number is 0.DIGITS * 10^point.
    let point = whole.len() as i32 - leading_zeros + exponent;
    let n = digits.len() as i32;
    if !(1 - PLAIN_PLACES..=PLAIN_PLACES).contains(&point) {
        out.push(digits[0]);
        if n > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.push(b'e');
        out.extend_from_slice(itoa::Buffer::new().format(point - 1).as_bytes());
    } else if point <= 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + point.unsigned_abs() as usize, b'0');
        out.extend_from_slice(digits);
    } else if point >= n {
        out.extend_from_slice(digits);
        out.resize(out.len() + (point - n) as usize, b'0');
    } else {
        let (whole, fraction) = digits.split_at(point as usize);
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn doubles_are_short_and_turn_to_exponents_where_the_server_does() {
        for (v, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (1.0, "1"),
            (-12.5, "-12.5"),
            (100_000_000_000_000.0, "100000000000000"),
            (999_999_999_999_999.0, "999999999999999"),
            (1e15, "1e15"),
            (1.5e20, "1.5e20"),
            (1e-14, "0.00000000000001"),
            (1e-15, "0.000000000000001"),
            (1e-16, "1e-16"),
            (f64::MAX, "1.7976931348623157e308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
            (123_456.789_012_345, "123456.789012345"),
        ] {
            assert_eq!(text(|out| write_double(v, out)), expected);
        }
    }

    #[test]
    fn floats_have_six_digits_or_all() {
        assert_eq!(text(|out| write_float(1.1, out)), "1.1");
        assert_eq!(text(|out| write_float(16_777_216.0, out)), "16777200");
        assert_eq!(text(|out| write_float_exact(16_777_216.0, out)), "16777216");
        assert_eq!(text(|out| write_float(f32::MAX, out)), "3.40282e38");
        assert_eq!(text(|out| write_float_exact(f32::MAX, out)), "3.4028235e38");
    }
}
