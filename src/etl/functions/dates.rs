//! Dates and times. A datetime has no zone; where a moment is meant, the task's zone holds, or the one that is given.

use jiff::civil::{self, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan, Unit};

use super::super::expr::Prepared;
use super::super::fault::Fault;
use super::super::temporal;
use super::super::value::{Datum, Kind};
use super::{Args, Entry, Prepare, Shape, Stop, of_int, of_text};
use crate::binlog::time::DateTime;

mod pattern;

pub(in super::super) use pattern::Pattern;

pub(super) const FUNCTIONS: &[Entry] = &[
    Entry::new(
        "dt_now",
        "dt_now()",
        0,
        0,
        |_| Kind::DateTime(0),
        |a| {
            let now = a.machine.now_us();
            Ok(Datum::DateTime(temporal::of_moment(now, a.machine.zone(), 0)?))
        },
    )
    .volatile(),
    Entry::new(
        "dt_now_millis",
        "dt_now_millis()",
        0,
        0,
        |_| Kind::DateTime(3),
        |a| {
            let now = a.machine.now_us();
            Ok(Datum::DateTime(temporal::of_moment(now, a.machine.zone(), 3)?))
        },
    )
    .volatile(),
    Entry::new(
        "dt_fromtimestamp",
        "dt_fromtimestamp(sec[, zone])",
        1,
        2,
        |_| Kind::DateTime(0),
        |a| from_moment(a, 1_000_000, 0),
    )
    .preparing(Prepare::Zone(1)),
    Entry::new(
        "dt_fromtimestamp_millis",
        "dt_fromtimestamp_millis(ms[, zone])",
        1,
        2,
        |_| Kind::DateTime(3),
        |a| from_moment(a, 1000, 3),
    )
    .preparing(Prepare::Zone(1)),
    Entry::new("dt_parsetimestamp", "dt_parsetimestamp(dt[, zone])", 1, 2, of_int, |a| to_moment(a, 1_000_000))
        .preparing(Prepare::Zone(1)),
    Entry::new("dt_parsetimestamp_millis", "dt_parsetimestamp_millis(dt[, zone])", 1, 2, of_int, |a| {
        to_moment(a, 1000)
    })
    .preparing(Prepare::Zone(1)),
    Entry::new("dt_str", "dt_str(dt, format)", 2, 2, of_text, |a| {
        let moment = a.datetime(0)?;
        let text = match a.prepared {
            Prepared::Pattern(pattern) => pattern.write(&moment)?,
            _ => pattern(a)?.write(&moment)?,
        };
        a.made(text)
    })
    .preparing(Prepare::Pattern(1)),
    Entry::new(
        "dt_strptime",
        "dt_strptime(s, format)",
        2,
        2,
        |_| Kind::DateTime(6),
        |a| {
            let text = a.text(0)?;
            let read = match a.prepared {
                Prepared::Pattern(pattern) => pattern.read(&text),
                _ => pattern(a)?.read(&text),
            };
            Ok(Datum::DateTime(read.ok_or(Fault::Parse("a datetime of this format"))?))
        },
    )
    .preparing(Prepare::Pattern(1)),
    Entry::new(
        "dt_add",
        "dt_add(dt, years=, months=, days=, hours=, minutes=, seconds=)",
        1,
        1,
        |shapes| same_moment(shapes, 0),
        add,
    )
    .named(&["years", "months", "days", "hours", "minutes", "seconds"]),
    Entry::new(
        "dt_add_millis",
        "dt_add_millis(dt, ms)",
        2,
        2,
        |shapes| same_moment(shapes, 3),
        |a| {
            let (moment, ms) = (a.datetime(0)?, a.integer(1)?);
            let span = Span::new().try_milliseconds(ms).map_err(|_| range())?;
            plus(moment, &[span], moment.fsp.max(3))
        },
    ),
    Entry::new("dt_diff", "dt_diff(a, b, unit)", 3, 3, of_int, diff),
    Entry::new("dt_truncate", "dt_truncate(dt, unit)", 2, 2, |shapes| same_moment(shapes, 0), truncate),
];

fn range() -> Fault {
    Fault::Range { what: "the datetime" }
}

/// The zone of argument 1; the task's where there is none.
fn zone(a: &mut Args<'_, '_>) -> Result<TimeZone, Stop> {
    match a.prepared {
        Prepared::Zone(zone) => Ok(zone.clone()),
        _ if a.len() > 1 => Ok(temporal::zone(&a.text(1)?).ok_or(Fault::Parse("a zone"))?),
        _ => Ok(a.machine.zone().clone()),
    }
}

/// The format of argument 1, when it is none that stands in the script.
fn pattern(a: &mut Args<'_, '_>) -> Result<Pattern, Stop> {
    Ok(Pattern::parse(&a.text(1)?).ok_or(Fault::Parse("a format"))?)
}

fn from_moment<'r>(a: &mut Args<'_, 'r>, unit_us: i64, fsp: u8) -> Result<Datum<'r>, Stop> {
    let us = a.integer(0)?.checked_mul(unit_us).ok_or(Fault::Range { what: "the moment" })?;
    let zone = zone(a)?;
    Ok(Datum::DateTime(temporal::of_moment(us, &zone, fsp)?))
}

fn to_moment<'r>(a: &mut Args<'_, 'r>, unit_us: i64) -> Result<Datum<'r>, Stop> {
    let moment = a.datetime(0)?;
    let zone = zone(a)?;
    Ok(Datum::Int(temporal::to_moment(moment, &zone)?.div_euclid(unit_us)))
}

/// A datetime with the fraction of the argument, at least `fsp` digits.
fn same_moment(shapes: &[Shape<'_>], fsp: u8) -> Kind {
    match shapes.first().map(|shape| shape.kind) {
        Some(Kind::DateTime(own)) => Kind::DateTime(own.max(fsp)),
        Some(Kind::Date) => Kind::DateTime(fsp),
        _ => Kind::DateTime(6),
    }
}

fn plus<'r>(moment: DateTime, spans: &[Span], fsp: u8) -> Result<Datum<'r>, Stop> {
    let mut civil = temporal::to_civil(moment)?;
    for span in spans {
        civil = civil.checked_add(*span).map_err(|_| range())?;
    }
    Ok(Datum::DateTime(temporal::of_civil(civil, fsp)?))
}

/// Years and months first, the day clamped to the month's last; then days, then the clock.
fn add<'r>(a: &mut Args<'_, 'r>) -> Result<Datum<'r>, Stop> {
    let moment = a.datetime(0)?;
    let mut amounts = [0i64; 6];
    for (i, amount) in amounts.iter_mut().enumerate() {
        *amount = a.named_integer(i)?.unwrap_or(0);
    }
    let [years, months, days, hours, minutes, seconds] = amounts;
    let months = years.checked_mul(12).and_then(|y| y.checked_add(months)).ok_or_else(range)?;
    let seconds = hours
        .checked_mul(3600)
        .and_then(|h| h.checked_add(minutes.checked_mul(60)?)?.checked_add(seconds))
        .ok_or_else(range)?;
    let span = |made: Result<Span, jiff::Error>| made.map_err(|_| range());
    let spans = [
        span(Span::new().try_months(months))?,
        span(Span::new().try_days(days))?,
        span(Span::new().try_seconds(seconds))?,
    ];
    plus(moment, &spans, moment.fsp)
}

fn unit(text: &str) -> Result<Unit, Fault> {
    let text = text.to_ascii_lowercase();
    Ok(match text.strip_suffix('s').unwrap_or(&text) {
        "year" => Unit::Year,
        "month" => Unit::Month,
        "week" => Unit::Week,
        "day" => Unit::Day,
        "hour" => Unit::Hour,
        "minute" => Unit::Minute,
        "second" => Unit::Second,
        "millisecond" => Unit::Millisecond,
        "microsecond" => Unit::Microsecond,
        _ => return Err(Fault::Parse("a unit such as day, hour or second")),
    })
}

/// Whole units from b to a, towards zero.
fn diff<'r>(a: &mut Args<'_, 'r>) -> Result<Datum<'r>, Stop> {
    let (to, from) = (temporal::to_civil(a.datetime(0)?)?, temporal::to_civil(a.datetime(1)?)?);
    let unit = unit(&a.text(2)?)?;
    let whole = match unit {
        Unit::Year | Unit::Month => {
            let span = from.until((unit, to)).map_err(|_| range())?;
            if unit == Unit::Year { span.get_years().into() } else { i64::from(span.get_months()) }
        }
        _ => {
            let span = from.until((Unit::Microsecond, to)).map_err(|_| range())?;
            span.get_microseconds()
                / match unit {
                    Unit::Week => 7 * 86_400_000_000,
                    Unit::Day => 86_400_000_000,
                    Unit::Hour => 3_600_000_000,
                    Unit::Minute => 60_000_000,
                    Unit::Second => 1_000_000,
                    Unit::Millisecond => 1000,
                    _ => 1,
                }
        }
    };
    Ok(Datum::Int(whole))
}

/// The beginning of the unit that the moment is in; weeks begin on Monday.
fn truncate<'r>(a: &mut Args<'_, 'r>) -> Result<Datum<'r>, Stop> {
    let (moment, unit) = (a.datetime(0)?, unit(&a.text(1)?)?);
    let fsp = moment.fsp;
    let civil = temporal::to_civil(moment)?;
    let (date, hour, minute, second, ns) =
        (civil.date(), civil.hour(), civil.minute(), civil.second(), civil.subsec_nanosecond());
    let first = |month: i8| civil::Date::new(date.year(), month, 1).map_err(|_| range());
    let at = |hour, minute, second, ns| date.at(hour, minute, second, ns);
    let cut = match unit {
        Unit::Year => first(1)?.at(0, 0, 0, 0),
        Unit::Month => first(date.month())?.at(0, 0, 0, 0),
        Unit::Week => {
            let back = i64::from(date.weekday().since(Weekday::Monday));
            date.checked_sub(back.days()).map_err(|_| range())?.at(0, 0, 0, 0)
        }
        Unit::Day => at(0, 0, 0, 0),
        Unit::Hour => at(hour, 0, 0, 0),
        Unit::Minute => at(hour, minute, 0, 0),
        Unit::Second => at(hour, minute, second, 0),
        Unit::Millisecond => at(hour, minute, second, ns / 1_000_000 * 1_000_000),
        _ => civil,
    };
    Ok(Datum::DateTime(temporal::of_civil(cut, fsp)?))
}
