//! Numbers: conversions and arithmetic, with the server's limits.

use crate::filter::compile::quotient_digits;
use crate::filter::decimal::Decimal;
use crate::filter::error::{EvalError, Place};
use crate::filter::program::{Datum, Division, Numeric};
use crate::filter::syntax::Arithmetic;

/// The number that a text begins with, as the server reads it: blanks before it are passed by, nothing gives 0, and
/// what is too great is the greatest.
pub(in crate::filter) fn leading_double(text: &[u8]) -> f64 {
    let blanks = text.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\x0b' | b'\x0c' | b'\r')).count();
    let text = &text[blanks..];
    let digits = |from: usize| text[from.min(text.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let whole = digits(sign);
    let mut end = sign + whole;
    let mut fraction = 0;
    if text.get(end) == Some(&b'.') {
        fraction = digits(end + 1);
        end += 1 + fraction;
    }
    if whole + fraction == 0 {
        return 0.0;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'-' | b'+')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    // ASCII, and in the form that the standard library reads.
    let number = std::str::from_utf8(&text[..end]).ok().and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    number.clamp(f64::MIN, f64::MAX)
}

/// A value as a double. Dates and NULL are none of its arguments.
pub(super) fn to_double(value: &Datum<'_>) -> f64 {
    match value {
        Datum::Int(number) => *number as f64,
        Datum::Decimal(number) => number.to_double(),
        Datum::Double(number) => *number,
        Datum::Text(text) => leading_double(text.as_bytes()),
        Datum::Bytes(bytes) => leading_double(bytes),
        Datum::Null | Datum::Moment(_) | Datum::Time(_) => 0.0,
    }
}

/// An exact number as a decimal.
pub(super) fn to_decimal(value: &Datum<'_>) -> Option<Decimal> {
    match value {
        Datum::Int(number) => Some(Decimal::of_int(*number)),
        Datum::Decimal(number) => Some(*number),
        _ => None,
    }
}

fn int(value: Option<i128>, unsigned: bool, place: Place) -> Result<Datum<'static>, EvalError> {
    let (range, kind) = match unsigned {
        true => (0..=i128::from(u64::MAX), "BIGINT UNSIGNED"),
        false => (i128::from(i64::MIN)..=i128::from(i64::MAX), "BIGINT"),
    };
    value.filter(|value| range.contains(value)).map(Datum::Int).ok_or(EvalError::Range { place, kind })
}

fn double(value: f64, place: Place) -> Result<Datum<'static>, EvalError> {
    if value.is_finite() { Ok(Datum::Double(value)) } else { Err(EvalError::Range { place, kind: "DOUBLE" }) }
}

fn decimal(value: Option<Decimal>, place: Place) -> Result<Datum<'static>, EvalError> {
    value.map(Datum::Decimal).ok_or(EvalError::Range { place, kind: "DECIMAL" })
}

pub(super) fn arithmetic(
    op: Arithmetic,
    numeric: Numeric,
    left: &Datum<'_>,
    right: &Datum<'_>,
    place: Place,
) -> Result<Datum<'static>, EvalError> {
    match (numeric, left, right) {
        (_, Datum::Null, _) | (_, _, Datum::Null) => Ok(Datum::Null),
        (Numeric::Int { unsigned, wraps }, Datum::Int(a), Datum::Int(b)) => {
            let least = i128::from(i64::MIN);
            if wraps && op == Arithmetic::Subtract && !unsigned && *a == 0 && *b == least {
                return Ok(Datum::Int(least));
            }
            let value = match op {
                Arithmetic::Add => a.checked_add(*b),
                Arithmetic::Subtract => a.checked_sub(*b),
                Arithmetic::Multiply => a.checked_mul(*b),
                Arithmetic::Divide | Arithmetic::Modulo if *b == 0 => return Ok(Datum::Null),
                Arithmetic::Divide => a.checked_div(*b),
                Arithmetic::Modulo => a.checked_rem(*b),
            };
            int(value, unsigned, place)
        }
        (Numeric::Decimal { signed_zero }, ..) => {
            let (Some(a), Some(b)) = (to_decimal(left), to_decimal(right)) else { return decimal(None, place) };
            let value = match op {
                Arithmetic::Add => a.add(&b),
                Arithmetic::Subtract => a.add(&b.negate()),
                Arithmetic::Multiply => a.multiply(&b),
                Arithmetic::Divide | Arithmetic::Modulo if b.is_zero() => return Ok(Datum::Null),
                Arithmetic::Divide => a.divide(&b, quotient_digits(a.scale(), b.scale()), signed_zero),
                Arithmetic::Modulo => a.remainder(&b, signed_zero),
            };
            decimal(value, place)
        }
        _ => {
            let (a, b) = (to_double(left), to_double(right));
            let value = match op {
                Arithmetic::Add => a + b,
                Arithmetic::Subtract => a - b,
                Arithmetic::Multiply => a * b,
                Arithmetic::Divide | Arithmetic::Modulo if b == 0.0 => return Ok(Datum::Null),
                Arithmetic::Divide => a / b,
                Arithmetic::Modulo => a % b,
            };
            double(value, place)
        }
    }
}

/// A quotient of exact numbers.
pub(super) fn divide(
    rule: Division,
    left: &Datum<'_>,
    right: &Datum<'_>,
    place: Place,
) -> Result<Datum<'static>, EvalError> {
    let numeric = Numeric::Decimal { signed_zero: rule.round.is_none() };
    let quotient = arithmetic(Arithmetic::Divide, numeric, left, right, place)?;
    Ok(match (quotient, rule.round) {
        (Datum::Decimal(number), Some(digits)) => Datum::Decimal(number.round(digits)),
        (other, _) => other,
    })
}

pub(super) fn negate<'r>(numeric: Numeric, value: Datum<'r>, place: Place) -> Result<Datum<'r>, EvalError> {
    match (numeric, value) {
        (_, Datum::Null) => Ok(Datum::Null),
        (Numeric::Int { unsigned, .. }, Datum::Int(number)) => int(Some(-number), unsigned, place),
        (_, Datum::Decimal(number)) => Ok(Datum::Decimal(number.negate())),
        (_, other) => Ok(Datum::Double(-to_double(&other))),
    }
}

pub(super) fn abs<'r>(numeric: Numeric, value: Datum<'r>, place: Place) -> Result<Datum<'r>, EvalError> {
    match (numeric, value) {
        (_, Datum::Null) => Ok(Datum::Null),
        (Numeric::Int { unsigned, .. }, Datum::Int(number)) => int(Some(number.abs()), unsigned, place),
        (_, Datum::Decimal(number)) => Ok(Datum::Decimal(number.abs())),
        (_, other) => Ok(Datum::Double(to_double(&other).abs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_begins_with_a_number_or_is_zero() {
        for (text, number) in [
            ("12", 12.0),
            (" \t\n12", 12.0),
            ("+5", 5.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e", 1.0),
            ("1e+", 1.0),
            ("-.5e-2x", -0.005),
            ("- 5", 0.0),
            ("", 0.0),
            (".", 0.0),
            ("1e400", f64::MAX),
            ("-1e400", f64::MIN),
            ("0x10", 0.0),
            ("inf", 0.0),
            ("nan", 0.0),
            ("1_000", 1.0),
            ("\u{ff11}", 0.0),
        ] {
            assert_eq!(leading_double(text.as_bytes()), number, "{text:?}");
        }
    }
}
