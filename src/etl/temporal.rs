//! Dates and times: reading their text, counting with them in the calendar, zones.

use jiff::civil;
use jiff::tz::{Offset, TimeZone};

use super::fault::Fault;
use crate::binlog::time::{Date, DateTime, Time};

/// What datetimes are ordered by; zero parts are less than any.
pub(super) fn order(v: &DateTime) -> (u16, u8, u8, u8, u8, u8, u32) {
    (v.date.year, v.date.month, v.date.day, v.hour, v.minute, v.second, v.micros)
}

/// `YYYY-MM-DD`, then nothing, or ` ` or `T` and a time of day: `HH:MM`, `HH:MM:SS`, `HH:MM:SS.ffffff`.
pub(super) fn parse_datetime(text: &str) -> Option<DateTime> {
    let text = text.trim();
    let (date, time) = match text.split_once([' ', 'T']) {
        Some((date, time)) => (date, Some(time.trim_start())),
        None => (text, None),
    };
    let date = parse_date(date)?;
    let Some(time) = time else { return Some(DateTime { date, ..DateTime::default() }) };
    let time = parse_clock(time)?;
    let hour = u8::try_from(time.hours).ok().filter(|&hour| hour <= 23)?;
    let Time { minutes: minute, seconds: second, micros, fsp, .. } = time;
    Some(DateTime { date, hour, minute, second, micros, fsp })
}

/// `YYYY-MM-DD`; zero parts are allowed, days that no month has are not.
pub(super) fn parse_date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let mut part = |digits: std::ops::RangeInclusive<usize>| {
        let part = parts.next()?;
        (digits.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse::<u16>().ok())?
    };
    let (year, month, day) = (part(4..=4)?, part(1..=2)? as u8, part(1..=2)? as u8);
    if parts.next().is_some() || month > 12 || day > 31 {
        return None;
    }
    let date = Date { year, month, day };
    let known = month > 0 && day > 0;
    (!known || to_civil_date(date).is_ok()).then_some(date)
}

/// `[-]HH:MM[:SS[.ffffff]]`, hours to 838.
pub(super) fn parse_time(text: &str) -> Option<Time> {
    let text = text.trim();
    match text.strip_prefix('-') {
        Some(rest) => {
            let time = parse_clock(rest)?;
            let zero = time.total_micros() == 0;
            Some(Time { negative: !zero, ..time })
        }
        None => parse_clock(text),
    }
}

fn parse_clock(text: &str) -> Option<Time> {
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) => (clock, fraction),
        None => (text, ""),
    };
    let mut parts = clock.split(':');
    let mut part = |most: u16, digits: usize| {
        let part = parts.next()?;
        let shaped = (1..=digits).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        shaped.then(|| part.parse::<u16>().ok().filter(|&v| v <= most))?
    };
    let (hours, minutes) = (part(838, 3)?, part(59, 2)? as u8);
    let seconds = match clock.matches(':').count() {
        1 if text.contains('.') => return None,
        1 => 0,
        2 => part(59, 2)? as u8,
        _ => return None,
    };
    if !fraction.bytes().all(|b| b.is_ascii_digit()) || (text.contains('.') && fraction.is_empty()) {
        return None;
    }
    let fsp = fraction.len().min(6);
    let micros = format!("{:0<6}", &fraction[..fsp]).parse().ok()?;
    Some(Time { negative: false, hours, minutes, seconds, micros, fsp: fsp as u8 })
}

pub(super) fn to_civil_date(v: Date) -> Result<civil::Date, Fault> {
    civil::Date::new(v.year as i16, v.month as i8, v.day as i8).map_err(|_| Fault::Calendar)
}

pub(super) fn to_civil(v: DateTime) -> Result<civil::DateTime, Fault> {
    if v.micros >= 1_000_000 {
        return Err(Fault::Calendar);
    }
    let time = civil::Time::new(v.hour as i8, v.minute as i8, v.second as i8, v.micros as i32 * 1000);
    Ok(to_civil_date(v.date)?.to_datetime(time.map_err(|_| Fault::Calendar)?))
}

/// A datetime of the calendar with this many digits of fraction.
pub(super) fn of_civil(v: civil::DateTime, fsp: u8) -> Result<DateTime, Fault> {
    let year = u16::try_from(v.year()).map_err(|_| Fault::Range { what: "the year" })?;
    let date = Date { year, month: v.month() as u8, day: v.day() as u8 };
    let micros = v.subsec_nanosecond() as u32 / 1000;
    Ok(DateTime { date, hour: v.hour() as u8, minute: v.minute() as u8, second: v.second() as u8, micros, fsp })
}

/// A moment in a zone; `us` counts microseconds since 1970.
pub(super) fn of_moment(us: i64, zone: &TimeZone, fsp: u8) -> Result<DateTime, Fault> {
    let moment = jiff::Timestamp::from_microsecond(us).map_err(|_| Fault::Range { what: "the moment" })?;
    let mut local = of_civil(zone.to_datetime(moment), fsp)?;
    local.micros -= local.micros % 10u32.pow(6 - u32::from(fsp.min(6)));
    Ok(local)
}

/// Microseconds since 1970 of a local time; of two moments in an autumn hour the first, in a spring gap what the clock
/// would show had it not been put forward.
pub(super) fn to_moment(v: DateTime, zone: &TimeZone) -> Result<i64, Fault> {
    let moment = zone.to_ambiguous_timestamp(to_civil(v)?).compatible();
    moment.map(|moment| moment.as_microsecond()).map_err(|_| Fault::Range { what: "the moment" })
}

/// Fewer digits of fraction, rounded half up; may carry into the next second.
pub(super) fn rounded(v: DateTime, fsp: u8) -> Result<DateTime, Fault> {
    let unit = 10u32.pow(6 - u32::from(fsp.min(6)));
    if v.micros.is_multiple_of(unit) {
        return Ok(DateTime { fsp, ..v });
    }
    let micros = (v.micros + unit / 2) / unit * unit;
    if micros < 1_000_000 {
        return Ok(DateTime { micros, fsp, ..v });
    }
    let next = to_civil(DateTime { micros: 0, ..v })?.checked_add(jiff::Span::new().seconds(1));
    of_civil(next.map_err(|_| Fault::Range { what: "the datetime" })?, fsp)
}

/// As [`rounded`], for a time.
pub(super) fn rounded_time(v: Time, fsp: u8) -> Result<Time, Fault> {
    let unit = 10i64.pow(6 - u32::from(fsp.min(6)));
    let total = (v.total_micros().abs() + unit / 2) / unit * unit;
    let (seconds, micros) = (total / 1_000_000, (total % 1_000_000) as u32);
    let hours = u16::try_from(seconds / 3600).ok().filter(|&h| h <= 838).ok_or(Fault::Range { what: "the time" })?;
    let (minutes, seconds) = ((seconds / 60 % 60) as u8, (seconds % 60) as u8);
    Ok(Time { negative: v.negative && total > 0, hours, minutes, seconds, micros, fsp })
}

/// `UTC`, `Z`, `+08:00`, `+8`, `GMT+08`, `UTC-03:30`, or the name of a zone.
pub(super) fn zone(text: &str) -> Option<TimeZone> {
    let text = text.trim();
    if text == "Z" {
        return Some(TimeZone::UTC);
    }
    let offset = text.strip_prefix("GMT").or_else(|| text.strip_prefix("UTC")).unwrap_or(text);
    if offset.is_empty() {
        return (!text.is_empty()).then_some(TimeZone::UTC);
    }
    let sign = match offset.as_bytes()[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return TimeZone::get(text).ok(),
    };
    let (hours, minutes) = offset[1..].split_once(':').unwrap_or((&offset[1..], "0"));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit()) && (1..=2).contains(&text.len());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes) = (hours.parse::<i32>().ok()?, minutes.parse::<i32>().ok().filter(|&m| m < 60)?);
    Offset::from_seconds(sign * (hours * 60 + minutes) * 60).ok().map(TimeZone::fixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(v: DateTime) -> String {
        let mut out = Vec::new();
        v.write(&mut out);
        String::from_utf8(out).expect("digits")
    }

    #[test]
    fn texts_of_dates_and_times_are_read() {
        for (given, read) in [
            ("2015-02-23 23:54:55", "2015-02-23 23:54:55"),
            ("2015-02-23T23:54:55.25", "2015-02-23 23:54:55.25"),
            (" 2015-2-3 ", "2015-02-03 00:00:00"),
            ("2015-02-23 1:02", "2015-02-23 01:02:00"),
            ("0000-00-00", "0000-00-00 00:00:00"),
        ] {
            assert_eq!(parse_datetime(given).map(text).as_deref(), Some(read), "{given}");
        }
        for bad in ["", "2015", "2015-02-30", "2015-13-01", "2015-02-23 24:00:00", "15-02-23", "2015-02-23 x", "now"] {
            assert_eq!(parse_datetime(bad), None, "{bad}");
        }
        assert_eq!(parse_time("-838:59:59.5").map(|t| t.total_micros()), Some(-3_020_399_500_000));
        for bad in ["", "12", "839:00:00", "1:60:00", "1:2:3:4", "1:2:3.", "1:2.5"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }

    #[test]
    fn zones_have_names_and_offsets() {
        let at = |name: &str| of_moment(1_767_225_930_123_456, &zone(name).expect(name), 3).map(text);
        assert_eq!(at("UTC").as_deref(), Ok("2026-01-01 00:05:30.123"));
        for name in ["GMT+08", "GMT+8", "UTC+08:00", "+08:00", "+8", "Asia/Shanghai"] {
            assert_eq!(at(name).as_deref(), Ok("2026-01-01 08:05:30.123"), "{name}");
        }
        assert_eq!(at("-03:30").as_deref(), Ok("2025-12-31 20:35:30.123"));
        for bad in ["", "+", "GMT+x", "+1:60", "+99", "Mars/Base", "+ 8"] {
            assert!(zone(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn fractions_round_and_carry() {
        let v = parse_datetime("2023-12-31 23:59:59.9996").expect("a datetime");
        assert_eq!(rounded(v, 3).map(text).as_deref(), Ok("2024-01-01 00:00:00.000"));
        assert_eq!(rounded(v, 6).map(text).as_deref(), Ok("2023-12-31 23:59:59.999600"));
        let t = parse_time("-00:59:59.95").expect("a time");
        assert_eq!(rounded_time(t, 1).map(|t| t.total_micros()), Ok(-3_600_000_000));
        assert!(rounded_time(parse_time("838:59:59.9").expect("a time"), 0).is_err());
    }

    #[test]
    fn local_times_lead_back_to_their_moments() {
        let zone = zone("Europe/Berlin").expect("a zone");
        let moment = |text: &str| to_moment(parse_datetime(text).expect("a datetime"), &zone).map(|us| us / 1_000_000);
        assert_eq!(moment("2024-10-27 02:30:00"), Ok(1_729_989_000));
        assert_eq!(moment("2024-03-31 02:30:00"), Ok(1_711_848_600));
        assert_eq!(moment("2024-00-31 02:30:00"), Err(Fault::Calendar));
    }
}
