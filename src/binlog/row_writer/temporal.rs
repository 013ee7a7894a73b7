//! Dates and times as rows hold them, in the formats of today and in those of before MySQL 5.6.4.

use super::super::column::WireType;
use super::super::time::{Date, DateTime, Time, Timestamp};
use super::EncodeError;

type Written = Result<(), EncodeError>;

/// Three bytes, little-endian: day in 5 bits, month in 4, year in 15.
pub(super) fn date(v: Date, out: &mut Vec<u8>) -> Written {
    check_date(v)?;
    let packed = u32::from(v.year) << 9 | u32::from(v.month) << 5 | u32::from(v.day);
    out.extend_from_slice(&packed.to_le_bytes()[..3]);
    Ok(())
}

/// Three bytes big-endian offset by 2^23, then the fraction; a value below zero is negated as a whole.
pub(super) fn time2(v: Time, fsp: u8, out: &mut Vec<u8>) -> Written {
    check_time(v)?;
    let hms = i64::from(v.hours) << 12 | i64::from(v.minutes) << 6 | i64::from(v.seconds);
    let bytes = usize::from(fsp.min(6).div_ceil(2));
    let parts = fraction_parts(v.micros, fsp)?;
    let packed = hms << (8 * bytes) | parts;
    let packed = if v.negative { -packed } else { packed };
    let offset = packed + (0x80_0000 << (8 * bytes));
    out.extend_from_slice(&offset.to_be_bytes()[8 - 3 - bytes..]);
    Ok(())
}

/// Three bytes little-endian, `hhmmss` in decimal; MariaDB with a fraction: units of the last digit, big-endian.
pub(super) fn time_old(v: Time, fsp: u8, out: &mut Vec<u8>) -> Written {
    check_time(v)?;
    if fsp == 0 {
        whole_seconds(v.micros)?;
        let packed = (i64::from(v.hours) * 100 + i64::from(v.minutes)) * 100 + i64::from(v.seconds);
        let packed = if v.negative { -packed } else { packed };
        out.extend_from_slice(&packed.to_le_bytes()[..3]);
        return Ok(());
    }
    let fsp = fsp.min(6);
    let units = 10i64.pow(fsp.into());
    let seconds = (i64::from(v.hours) * 60 + i64::from(v.minutes)) * 60 + i64::from(v.seconds);
    let parts = seconds * units + unit_parts(v.micros, fsp)?;
    let offset = 839 * 3600 * units + if v.negative { -parts } else { parts };
    let width = [3, 4, 4, 5, 5, 5, 6][usize::from(fsp)];
    out.extend_from_slice(&offset.to_be_bytes()[8 - width..]);
    Ok(())
}

/// Five bytes big-endian offset by 2^39, then the fraction.
pub(super) fn datetime2(v: DateTime, fsp: u8, out: &mut Vec<u8>) -> Written {
    check_datetime(v)?;
    let year_month = u64::from(v.date.year) * 13 + u64::from(v.date.month);
    let ymd = year_month << 5 | u64::from(v.date.day);
    let hms = u64::from(v.hour) << 12 | u64::from(v.minute) << 6 | u64::from(v.second);
    let packed = (ymd << 17 | hms) + (1 << 39);
    out.extend_from_slice(&packed.to_be_bytes()[3..]);
    fraction(v.micros, fsp, out)
}

/// Eight bytes little-endian, `YYYYMMDDhhmmss` in decimal; MariaDB with a fraction: mixed radix, big-endian.
pub(super) fn datetime_old(v: DateTime, fsp: u8, out: &mut Vec<u8>) -> Written {
    check_datetime(v)?;
    if fsp == 0 {
        whole_seconds(v.micros)?;
        let ymd = (u64::from(v.date.year) * 100 + u64::from(v.date.month)) * 100 + u64::from(v.date.day);
        let hms = (u64::from(v.hour) * 100 + u64::from(v.minute)) * 100 + u64::from(v.second);
        out.extend_from_slice(&(ymd * 1_000_000 + hms).to_le_bytes());
        return Ok(());
    }
    let fsp = fsp.min(6);
    let ymd = (u64::from(v.date.year) * 13 + u64::from(v.date.month)) * 32 + u64::from(v.date.day);
    let seconds = ((ymd * 24 + u64::from(v.hour)) * 60 + u64::from(v.minute)) * 60 + u64::from(v.second);
    let packed = seconds * 10u64.pow(fsp.into()) + unit_parts(v.micros, fsp)? as u64;
    let width = [8, 6, 6, 7, 7, 7, 8][usize::from(fsp)];
    out.extend_from_slice(&packed.to_be_bytes()[8 - width..]);
    Ok(())
}

/// Four bytes big-endian, then the fraction; the old form little-endian without one.
pub(super) fn timestamp(v: Timestamp, wire: WireType, fsp: u8, out: &mut Vec<u8>) -> Written {
    check_micros(v.micros)?;
    if wire == WireType::TIMESTAMP2 {
        out.extend_from_slice(&v.seconds.to_be_bytes());
        return fraction(v.micros, fsp, out);
    }
    if fsp == 0 {
        whole_seconds(v.micros)?;
        out.extend_from_slice(&v.seconds.to_le_bytes());
        return Ok(());
    }
    let fsp = fsp.min(6);
    out.extend_from_slice(&v.seconds.to_be_bytes());
    let width = usize::from(fsp.div_ceil(2));
    out.extend_from_slice(&unit_parts(v.micros, fsp)?.to_be_bytes()[8 - width..]);
    Ok(())
}

/// Hundredths in one byte, ten-thousandths in two, microseconds in three.
fn fraction(micros: u32, fsp: u8, out: &mut Vec<u8>) -> Written {
    let bytes = usize::from(fsp.min(6).div_ceil(2));
    out.extend_from_slice(&fraction_parts(micros, fsp)?.to_be_bytes()[8 - bytes..]);
    Ok(())
}

/// The fraction in the unit of its bytes: hundredths, ten-thousandths, microseconds.
fn fraction_parts(micros: u32, fsp: u8) -> Result<i64, EncodeError> {
    unit_parts(micros, fsp)?;
    Ok(match fsp {
        0 => 0,
        1 | 2 => micros / 10_000,
        3 | 4 => micros / 100,
        _ => micros,
    }
    .into())
}

/// The fraction in units of its last digit; more digits than the column keeps are refused, never cut.
fn unit_parts(micros: u32, fsp: u8) -> Result<i64, EncodeError> {
    let unit = 10u32.pow(6 - u32::from(fsp.min(6)));
    if micros.is_multiple_of(unit) {
        Ok((micros / unit).into())
    } else {
        Err(EncodeError::Range { what: "the fraction of a second" })
    }
}

fn whole_seconds(micros: u32) -> Written {
    unit_parts(micros, 0).map(drop)
}

fn check(ok: bool, what: &'static str) -> Written {
    if ok { Ok(()) } else { Err(EncodeError::Range { what }) }
}

fn check_micros(micros: u32) -> Written {
    check(micros < 1_000_000, "the microseconds")
}

fn check_date(v: Date) -> Written {
    check(v.year <= 9999 && v.month <= 12 && v.day <= 31, "a date")
}

fn check_time(v: Time) -> Written {
    check(v.hours <= 838 && v.minutes <= 59 && v.seconds <= 59, "a time")?;
    check_micros(v.micros)
}

fn check_datetime(v: DateTime) -> Written {
    check_date(v.date)?;
    check(v.hour <= 23 && v.minute <= 59 && v.second <= 59, "a time of day")?;
    check_micros(v.micros)
}
