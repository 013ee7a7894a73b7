//! Dates and times as numbers whose order is theirs: the server's own packed form.

use jiff::tz::TimeZone;

use crate::binlog::time::{Date, DateTime, Time};
use crate::format::zone::ZoneClock;

/// A date and time of day, or a date at midnight; any part of the date may be zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(i64);

impl Moment {
    pub(super) fn of_datetime(value: &DateTime) -> Self {
        let date = (i64::from(value.date.year) * 13 + i64::from(value.date.month)) << 5 | i64::from(value.date.day);
        let time = i64::from(value.hour) << 12 | i64::from(value.minute) << 6 | i64::from(value.second);
        Self((date << 17 | time) << 24 | i64::from(value.micros))
    }

    pub(super) fn of_date(date: Date) -> Self {
        Self::of_datetime(&DateTime { date, ..DateTime::default() })
    }

    pub(super) fn datetime(self, fsp: u8) -> DateTime {
        let (whole, micros) = (self.0 >> 24, (self.0 & 0xFF_FFFF) as u32);
        let (date, time) = (whole >> 17, whole & 0x1_FFFF);
        let (year_month, day) = (date >> 5, (date & 31) as u8);
        DateTime {
            date: Date { year: (year_month / 13) as u16, month: (year_month % 13) as u8, day },
            hour: (time >> 12) as u8,
            minute: (time >> 6 & 63) as u8,
            second: (time & 63) as u8,
            micros,
            fsp,
        }
    }

    pub(super) fn date(self) -> Date {
        self.datetime(0).date
    }
}

/// Seconds since the epoch as local date and time; none out of the years that have four digits.
pub(super) fn local(zone: &TimeZone, seconds: i64, micros: u32) -> Option<Moment> {
    let local = ZoneClock::new(zone.clone()).local(seconds);
    let second = local.second_of_day;
    let year = u16::try_from(local.year).ok().filter(|year| *year <= 9999)?;
    Some(Moment::of_datetime(&DateTime {
        date: Date { year, month: local.month, day: local.day },
        hour: (second / 3600) as u8,
        minute: (second / 60 % 60) as u8,
        second: (second % 60) as u8,
        micros,
        fsp: 0,
    }))
}

/// Seconds since the epoch of a date and time that is `offset` seconds east; none where a part of the date is zero.
pub(super) fn seconds_of(moment: &DateTime, offset: i64) -> Option<i64> {
    let date = moment.date;
    if date.year == 0 || date.month == 0 || date.day == 0 {
        return None;
    }
    let (year, month, day) = (i64::from(date.year), i64::from(date.month), i64::from(date.day));
    // Days from a civil date (Hinnant): years begin in March, eras have 146,097 days.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let of_day = (i64::from(moment.hour) * 60 + i64::from(moment.minute)) * 60 + i64::from(moment.second);
    Some(days * 86_400 + of_day - offset)
}

/// The offset of a zone that has never had another.
pub(super) fn fixed_offset(zone: &TimeZone) -> Option<i64> {
    zone.to_fixed_offset().ok().map(|offset| offset.seconds().into())
}

/// Digits of a literal, exactly so many.
fn digits(text: &str, places: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let fits = places.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// `.123` or nothing: microseconds and how many digits there are.
fn fraction(text: &str) -> Option<(&str, u32, u8)> {
    let Some((whole, fraction)) = text.split_once('.') else { return Some((text, 0, 0)) };
    let value = digits(fraction, 1..=6)?;
    let fsp = fraction.len() as u8;
    Some((whole, value * 10u32.pow(6 - u32::from(fsp)), fsp))
}

/// Reads `YYYY-MM-DD`. Month and day may be zero, as may all of it.
pub(super) fn parse_date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let mut part = |places| parts.next().and_then(|part| digits(part, places));
    let (year, month, day) = (part(4..=4)?, part(2..=2)?, part(2..=2)?);
    if parts.next().is_some() {
        return None;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    };
    let zero = year == 0 && month == 0 && day == 0;
    let valid = zero || (year > 0 && month <= 12 && day <= last);
    valid.then_some(Date { year: year as u16, month: month as u8, day: day as u8 })
}

/// Reads `YYYY-MM-DD[ hh:mm:ss[.ffffff]]`.
pub(super) fn parse_datetime(text: &str) -> Option<DateTime> {
    let Some((date, time)) = text.split_once(' ') else {
        return Some(DateTime { date: parse_date(text)?, ..DateTime::default() });
    };
    let date = parse_date(date)?;
    let (time, micros, fsp) = fraction(time)?;
    let (hour, minute, second) = parse_clock(time, 2..=2)?;
    let valid = hour < 24;
    valid.then_some(DateTime { date, hour: hour as u8, minute: minute as u8, second: second as u8, micros, fsp })
}

/// Reads `[-]hh:mm:ss[.ffffff]` up to 838:59:59.
pub(super) fn parse_time(text: &str) -> Option<Time> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (clock, micros, fsp) = fraction(text)?;
    let (hours, minutes, seconds) = parse_clock(clock, 2..=3)?;
    let time = Time {
        negative,
        hours: u16::try_from(hours).ok()?,
        minutes: minutes as u8,
        seconds: seconds as u8,
        micros,
        fsp,
    };
    let longest = (838 * 3600 + 59 * 60 + 59) * 1_000_000;
    (time.total_micros().abs() <= longest).then_some(time)
}

fn parse_clock(text: &str, hour_places: std::ops::RangeInclusive<usize>) -> Option<(u32, u32, u32)> {
    let mut parts = text.split(':');
    let hour = digits(parts.next()?, hour_places)?;
    let (minute, second) = (digits(parts.next()?, 2..=2)?, digits(parts.next()?, 2..=2)?);
    (parts.next().is_none() && minute < 60 && second < 60).then_some((hour, minute, second))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Moment {
        Moment::of_datetime(&parse_datetime(text).expect(text))
    }

    #[test]
    fn moments_are_ordered_as_dates_are_and_come_apart_again() {
        let ordered = [
            "0000-00-00",
            "2020-00-00 01:02:03",
            "2020-05-00",
            "2020-05-01",
            "2020-05-01 00:00:00.000001",
            "2020-12-31 23:59:59.999999",
            "2021-01-01",
            "9999-12-31 23:59:59",
        ];
        assert!(ordered.map(moment).is_sorted_by(|a, b| a < b));
        let whole = parse_datetime("2020-12-31 23:59:59.999999").expect("a date");
        assert_eq!(Moment::of_datetime(&whole).datetime(6), whole);
    }

    #[test]
    fn only_whole_dates_and_times_are_read() {
        for bad in [
            "",
            "2020-1-2",
            "2020-02-30",
            "2021-02-29",
            "20200102",
            "2020-01-02 24:00:00",
            "2020-01-02 1:00:00",
            "2020-01-02 00:00",
            "2020-01-02T00:00:00",
            "2020-01-02 00:00:00.",
            "2020-01-02 00:00:00.1234567",
            "0000-01-01",
            "2020-13-01",
            "2020-01-02 ",
            "2020-01-02-03",
        ] {
            assert_eq!(parse_datetime(bad), None, "{bad}");
        }
        for bad in ["", "10", "10:00", "839:00:00", "838:59:59.000001", "10:60:00", "1000:00:00", "--10:00:00"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
        assert_eq!(parse_time("-838:59:59").map(|time| time.total_micros()), Some(-3_020_399_000_000));
        assert_eq!(parse_time("10:00:00.5").map(|time| (time.total_micros(), time.fsp)), Some((36_000_500_000, 1)));
    }

    #[test]
    fn seconds_and_dates_are_each_others_inverse() {
        for seconds in [0, 1, 86_399, 951_782_400, 1_709_164_800, 4_294_967_295, 32_536_771_199] {
            let moment = local(&TimeZone::UTC, seconds, 0).expect("in range");
            assert_eq!(seconds_of(&moment.datetime(0), 0), Some(seconds));
        }
        assert_eq!(seconds_of(&parse_datetime("2020-00-01").expect("a date"), 0), None);
        assert_eq!(fixed_offset(&TimeZone::fixed(jiff::tz::offset(8))), Some(28_800));
        assert_eq!(fixed_offset(&TimeZone::get("Europe/Berlin").expect("a zone")), None);
    }
}
