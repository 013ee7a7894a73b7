//! Numbers: exact while they are whole or decimal, doubles where one is among them.

use super::super::fault::Fault;
use super::super::number::{Number, SCALE_MAX};
use super::super::value::{Datum, Kind, Num};
use super::{ANY, Args, Entry, Shape, Stop, of_all};

pub(super) const FUNCTIONS: &[Entry] = &[
    Entry::new("op_sum", "op_sum(a, b[, ...])", 2, ANY, of_sum, |a| fold(a, sum)),
    Entry::new("op_sub", "op_sub(a, b)", 2, 2, of_sum, |a| fold(a, sub)),
    Entry::new("op_mul", "op_mul(a, b)", 2, 2, of_product, |a| fold(a, mul)),
    Entry::new("op_div_true", "op_div_true(a, b)", 2, 2, of_quotient, |a| fold(a, div_true)),
    Entry::new("op_div_floor", "op_div_floor(a, b)", 2, 2, of_whole, |a| fold(a, div_floor)),
    Entry::new("op_mod", "op_mod(a, b)", 2, 2, of_sum, |a| fold(a, modulo)),
    Entry::new("op_neg", "op_neg(a)", 1, 1, of_sum, |a| {
        let number = match a.number(0)? {
            Num::Int(v) => v.checked_neg().map_or_else(|| Num::Decimal(Number::from(v).neg()), Num::Int),
            Num::Decimal(v) => whole(v.neg()),
            Num::Float(v) => Num::Float(-v),
        };
        Ok(Datum::number(number))
    }),
    Entry::new("op_abs", "op_abs(a)", 1, 1, of_sum, |a| {
        let number = match a.number(0)? {
            Num::Int(v) => v.checked_abs().map_or_else(|| Num::Decimal(Number::from(v).abs()), Num::Int),
            Num::Decimal(v) => Num::Decimal(v.abs()),
            Num::Float(v) => Num::Float(v.abs()),
        };
        Ok(Datum::number(number))
    }),
    Entry::new("op_pow", "op_pow(a, b)", 2, 2, of_power, |a| fold(a, pow)),
    Entry::new("op_round", "op_round(a[, digits])", 1, 2, of_rounded, round),
    Entry::new("mat_ceil", "mat_ceil(a)", 1, 1, of_whole, |a| Ok(Datum::number(to_whole(a.number(0)?, true)?))),
    Entry::new("mat_floor", "mat_floor(a)", 1, 1, of_whole, |a| Ok(Datum::number(to_whole(a.number(0)?, false)?))),
];

fn fold<'r>(a: &mut Args<'_, 'r>, step: fn(Num, Num) -> Result<Num, Fault>) -> Result<Datum<'r>, Stop> {
    let mut result = a.number(0)?;
    for i in 1..a.len() {
        result = step(result, a.number(i)?)?;
    }
    Ok(Datum::number(result))
}

/// A whole number as an integer, when it is small enough for one.
fn whole(number: Number) -> Num {
    match number.as_i64() {
        Some(v) if number.scale() == 0 => Num::Int(v),
        _ => Num::Decimal(number),
    }
}

fn finite(v: f64) -> Result<Num, Fault> {
    if v.is_finite() { Ok(Num::Float(v)) } else { Err(Fault::Range { what: "a number" }) }
}

/// One of the three ways of two numbers.
fn by_kind(
    (a, b): (Num, Num),
    ints: fn(i64, i64) -> Option<i64>,
    decimals: fn(&Number, &Number) -> Result<Number, Fault>,
    floats: fn(f64, f64) -> f64,
) -> Result<Num, Fault> {
    if let (Num::Int(a), Num::Int(b)) = (a, b) {
        if let Some(v) = ints(a, b) {
            return Ok(Num::Int(v));
        }
        return decimals(&Number::from(a), &Number::from(b)).map(whole);
    }
    if matches!(a, Num::Float(_)) || matches!(b, Num::Float(_)) {
        return finite(floats(a.float(), b.float()));
    }
    decimals(&a.decimal()?, &b.decimal()?).map(Num::Decimal)
}

pub(super) fn sum(a: Num, b: Num) -> Result<Num, Fault> {
    by_kind((a, b), i64::checked_add, Number::add, |a, b| a + b)
}

fn sub(a: Num, b: Num) -> Result<Num, Fault> {
    by_kind((a, b), i64::checked_sub, Number::sub, |a, b| a - b)
}

fn mul(a: Num, b: Num) -> Result<Num, Fault> {
    by_kind((a, b), i64::checked_mul, Number::mul, |a, b| a * b)
}

fn is_zero(number: Num) -> bool {
    match number {
        Num::Int(v) => v == 0,
        Num::Decimal(v) => v.is_zero(),
        Num::Float(v) => v == 0.0,
    }
}

fn divisor(b: Num) -> Result<(), Fault> {
    if is_zero(b) { Err(Fault::DivisionByZero) } else { Ok(()) }
}

fn div_true(a: Num, b: Num) -> Result<Num, Fault> {
    divisor(b)?;
    match (a, b) {
        (Num::Int(a), Num::Int(b)) => finite(a as f64 / b as f64),
        (Num::Float(_), _) | (_, Num::Float(_)) => finite(a.float() / b.float()),
        (a, b) => {
            let (a, b) = (a.decimal()?, b.decimal()?);
            a.div(&b, quotient_scale(a.scale())).map(Num::Decimal)
        }
    }
}

/// Four digits more than the dividend has, as the server's `div_precision_increment`.
fn quotient_scale(scale: u8) -> u8 {
    (scale + 4).min(SCALE_MAX)
}

fn div_floor(a: Num, b: Num) -> Result<Num, Fault> {
    divisor(b)?;
    match by_kind((a, b), i64::checked_div, Number::div_whole, |a, b| (a / b).trunc())? {
        Num::Decimal(v) => Ok(whole(v)),
        Num::Float(v) if v.abs() < 9e15 => Ok(Num::Int(v as i64)),
        other => Ok(other),
    }
}

fn modulo(a: Num, b: Num) -> Result<Num, Fault> {
    divisor(b)?;
    // The least integer has no remainder by -1 in 64 bits, though it is 0.
    by_kind((a, b), |a, b| Some(a.wrapping_rem(b)), Number::rem, |a, b| a % b)
}

fn pow(a: Num, b: Num) -> Result<Num, Fault> {
    let (Num::Int(base), Num::Int(mut exponent @ 0..)) = (a, b) else { return finite(a.float().powf(b.float())) };
    let (mut result, mut square) = (Number::from(1i64), Number::from(base));
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result.mul(&square)?;
        }
        exponent >>= 1;
        if exponent > 0 {
            square = square.mul(&square)?;
        }
    }
    Ok(whole(result))
}

fn round<'r>(a: &mut Args<'_, 'r>) -> Result<Datum<'r>, Stop> {
    let number = a.number(0)?;
    let digits = if a.len() > 1 { a.integer(1)?.clamp(-127, 127) } else { 0 };
    let zeros = digits.min(0).unsigned_abs() as u8;
    let rounded = match number {
        Num::Int(v) if zeros == 0 => Num::Int(v),
        Num::Int(v) => whole(Number::from(v).rounded_to_tens(zeros)?),
        Num::Decimal(v) if zeros > 0 => Num::Decimal(v.rounded_to_tens(zeros)?),
        Num::Decimal(v) => Num::Decimal(v.rounded(v.scale().min(digits as u8))?),
        // A double of this size has no digits behind the point.
        Num::Float(v) if v.abs() >= 1e17 => Num::Float(v),
        Num::Float(v) => {
            let exact = Number::of_float(v)?;
            let exact = if zeros > 0 { exact.rounded_to_tens(zeros)? } else { exact.rounded(digits.min(30) as u8)? };
            Num::Float(exact.as_f64())
        }
    };
    Ok(Datum::number(rounded))
}

fn to_whole(number: Num, up: bool) -> Result<Num, Fault> {
    Ok(match number {
        Num::Int(v) => Num::Int(v),
        Num::Decimal(v) => whole(v.to_whole(up)?),
        Num::Float(v) => match if up { v.ceil() } else { v.floor() } {
            v if v.abs() < 9e15 => Num::Int(v as i64),
            v => Num::Float(v),
        },
    })
}

fn numeric(kind: Kind) -> Kind {
    match kind {
        Kind::Bool => Kind::Int,
        kind if kind.is_number() || kind == Kind::Null => kind,
        // Text may spell any number.
        _ => Kind::Unknown,
    }
}

fn of_sum(shapes: &[Shape<'_>]) -> Kind {
    shapes.iter().map(|shape| numeric(shape.kind)).reduce(Kind::or).unwrap_or(Kind::Unknown)
}

fn scales(shapes: &[Shape<'_>]) -> Option<(u8, u8)> {
    let scale = |shape: &Shape<'_>| match numeric(shape.kind) {
        Kind::Decimal(scale) => Some(scale),
        Kind::Int => Some(0),
        _ => None,
    };
    Some((scale(shapes.first()?)?, scale(shapes.get(1)?)?))
}

fn of_product(shapes: &[Shape<'_>]) -> Kind {
    match (of_sum(shapes), scales(shapes)) {
        (Kind::Decimal(_), Some((a, b))) => Kind::Decimal((a + b).min(SCALE_MAX)),
        (kind, _) => kind,
    }
}

fn of_quotient(shapes: &[Shape<'_>]) -> Kind {
    match (of_sum(shapes), scales(shapes)) {
        (Kind::Decimal(_), Some((a, _))) => Kind::Decimal(quotient_scale(a)),
        (Kind::Int, _) => Kind::Float,
        (kind, _) => kind,
    }
}

fn of_whole(shapes: &[Shape<'_>]) -> Kind {
    match of_sum(shapes) {
        Kind::Unknown => Kind::Unknown,
        Kind::Null => Kind::Null,
        _ => Kind::Int,
    }
}

fn of_power(shapes: &[Shape<'_>]) -> Kind {
    let exponent = shapes.get(1).and_then(|shape| shape.constant);
    match (of_all(shapes), exponent) {
        (Kind::Int, Some(Datum::Int(0..))) => Kind::Int,
        _ => Kind::Float,
    }
}

fn of_rounded(shapes: &[Shape<'_>]) -> Kind {
    let digits = match shapes.get(1) {
        None => Some(0),
        Some(shape) => match shape.constant {
            Some(Datum::Int(digits)) => Some((*digits).clamp(0, SCALE_MAX.into()) as u8),
            _ => None,
        },
    };
    match (numeric(shapes.first().map_or(Kind::Unknown, |shape| shape.kind)), digits) {
        (Kind::Decimal(scale), Some(digits)) => Kind::Decimal(scale.min(digits)),
        (kind, _) => kind,
    }
}
