//! Floating-point numbers in the layout of Java's `Float.toString` and `Double.toString`: the shortest digits that
//! read back as the same number, at least one of them behind the point, `E` notation outside 1e-3 to 1e7.

/// Appends a 32-bit number.
pub fn write_float(value: f32, out: &mut Vec<u8>) {
    if write_special(f64::from(value), out) {
        return;
    }
    if value.is_subnormal() {
        write_layout(shortest_of_two_digits(&format!("{value:e}"), || format!("{value:.1e}")).as_bytes(), out);
    } else {
        write_layout(zmij::Buffer::new().format_finite(value).as_bytes(), out);
    }
}

/// Appends a 64-bit number.
pub fn write_double(value: f64, out: &mut Vec<u8>) {
    if write_special(value, out) {
        return;
    }
    if value.is_subnormal() {
        write_layout(shortest_of_two_digits(&format!("{value:e}"), || format!("{value:.1e}")).as_bytes(), out);
    } else {
        let mut buffer = zmij::Buffer::new();
        match plain_double(value, &mut buffer) {
            Some(text) => out.extend_from_slice(text),
            None => write_layout(zmij::Buffer::new().format_finite(value).as_bytes(), out),
        }
    }
}

/// A number that needs no exponent: between its bounds, zmij lays digits out as Java does. None for any other.
#[inline]
pub(super) fn plain_double(value: f64, buffer: &mut zmij::Buffer) -> Option<&[u8]> {
    (1e-3..1e7).contains(&value.abs()).then(|| buffer.format_finite(value).as_bytes())
}

/// Java prefers the closest two digits where one would do; it matters only where numbers are a digit apart.
fn shortest_of_two_digits(shortest: &str, two: impl Fn() -> String) -> String {
    if shortest.contains('.') { shortest.to_owned() } else { two() }
}

fn write_special(value: f64, out: &mut Vec<u8>) -> bool {
    let text: &[u8] = match value {
        v if v.is_nan() => b"NaN",
        f64::INFINITY => b"Infinity",
        f64::NEG_INFINITY => b"-Infinity",
        _ => return false,
    };
    out.extend_from_slice(text);
    true
}

/// Lays out the digits of a shortest form (`12.5`, `1e21`, `1.25e-7`).
fn write_layout(shortest: &[u8], out: &mut Vec<u8>) {
    let mut digits = [0u8; 24];
    let (mut count, mut point, mut exponent) = (0usize, None, 0i32);
    let mut rest = shortest.iter();
    while let Some(&byte) = rest.next() {
        match byte {
            b'-' => out.push(b'-'),
            b'.' => point = Some(count),
            b'e' => {
                let text = std::str::from_utf8(rest.as_slice()).unwrap_or("0");
                exponent = text.parse().unwrap_or(0);
                break;
            }
            digit => {
                digits[count] = digit;
                count += 1;
            }
        }
    }
    // The number is 0.d1d2d3... times ten to the `scale`.
    let mut scale = point.unwrap_or(count) as i32 + exponent;
    let mut start = 0;
    while start + 1 < count && digits[start] == b'0' {
        start += 1;
        scale -= 1;
    }
    while count > start + 1 && digits[count - 1] == b'0' {
        count -= 1;
    }
    let digits = &digits[start..count];
    if digits == b"0" {
        out.extend_from_slice(b"0.0");
        return;
    }
    match scale {
        // 1e-3 is 0.1 times ten to the -2; 1e7 is 0.1 times ten to the 8.
        -2..=0 => {
            out.extend_from_slice(b"0.");
            out.extend_from_slice(&b"00"[..scale.unsigned_abs() as usize]);
            out.extend_from_slice(digits);
        }
        1..=7 => {
            let whole = scale as usize;
            if digits.len() <= whole {
                out.extend_from_slice(digits);
                out.extend_from_slice(&b"000000"[..whole - digits.len()]);
                out.extend_from_slice(b".0");
            } else {
                out.extend_from_slice(&digits[..whole]);
                out.push(b'.');
                out.extend_from_slice(&digits[whole..]);
            }
        }
        _ => {
            out.extend_from_slice(&[digits[0], b'.']);
            out.extend_from_slice(if digits.len() > 1 { &digits[1..] } else { b"0" });
            out.push(b'E');
            out.extend_from_slice(itoa::Buffer::new().format(scale - 1).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(value: f64) -> String {
        let mut out = Vec::new();
        write_double(value, &mut out);
        String::from_utf8(out).expect("digits")
    }

    fn float(value: f32) -> String {
        let mut out = Vec::new();
        write_float(value, &mut out);
        String::from_utf8(out).expect("digits")
    }

    #[test]
    fn doubles_are_laid_out_as_java_does() {
        // The right-hand sides are what a JDK prints (those before 19 printed 2e23 with more digits than needed).
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (100.0, "100.0"),
            (0.001, "0.001"),
            (0.01, "0.01"),
            (0.1, "0.1"),
            (0.000_999, "9.99E-4"),
            (9_999_999.0, "9999999.0"),
            (9_999_999.5, "9999999.5"),
            (10_000_000.0, "1.0E7"),
            (12_345_678.9, "1.23456789E7"),
            (1e10, "1.0E10"),
            (1.25e-7, "1.25E-7"),
            (1e21, "1.0E21"),
            (2e23, "2.0E23"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
            (4.9e-324, "4.9E-324"),
            (1234.5678, "1234.5678"),
        ] {
            assert_eq!(double(value), text);
        }
        assert_eq!(double(f64::NAN), "NaN");
        assert_eq!(double(f64::NEG_INFINITY), "-Infinity");
    }

    #[test]
    fn floats_keep_their_own_shortest_digits() {
        for (value, text) in [
            (3.25f32, "3.25"),
            (1.1, "1.1"),
            (16_777_216.0, "1.6777216E7"),
            (1e-3, "0.001"),
            (f32::MAX, "3.4028235E38"),
            (1.4e-45, "1.4E-45"),
        ] {
            assert_eq!(float(value), text);
        }
    }

    #[test]
    fn every_layout_reads_back_as_the_same_number() {
        let mut bits = 0x9e37_79b9_7f4a_7c15u64;
        for _ in 0..50_000 {
            bits ^= bits << 13;
            bits ^= bits >> 7;
            bits ^= bits << 17;
            let value = f64::from_bits(bits);
            let near = f64::from(bits as u32) / 4e5 * if bits & 1 << 40 == 0 { 1.0 } else { -1.0 };
            let mut laid_out = Vec::new();
            write_layout(zmij::Buffer::new().format_finite(near).as_bytes(), &mut laid_out);
            assert_eq!(double(near).as_bytes(), laid_out);
            if value.is_finite() {
                assert_eq!(double(value).parse::<f64>().map(f64::to_bits), Ok(value.to_bits()));
            }
            let small = f32::from_bits(bits as u32);
            if small.is_finite() {
                assert_eq!(float(small).parse::<f32>().map(f32::to_bits), Ok(small.to_bits()));
            }
        }
    }
}
