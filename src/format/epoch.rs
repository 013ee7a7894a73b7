//! Dates as numbers: days and microseconds since 1970-01-01, for the dates that the calendar has.

use crate::binlog::time::{Date, DateTime};

const DAY_SECONDS: i64 = 86_400;

/// Days since 1970-01-01 in the proleptic Gregorian calendar. None for a date that it does not have: one with a zero
/// part, which MySQL keeps in place of a date that nobody knows, or the 30th of February, which it keeps when asked to.
pub(super) fn days(date: Date) -> Option<i64> {
    let (year, month, day) = (i64::from(date.year), i64::from(date.month), i64::from(date.day));
    if year == 0 || !(1..=12).contains(&month) || !(1..=days_of_month(year, month)).contains(&day) {
        return None;
    }
    // Years that begin in March, in eras of 400 of them: leap days come last.
    let march_year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (march_year.div_euclid(400), march_year.rem_euclid(400));
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// Microseconds since 1970-01-01 00:00:00, as if the date and time were of UTC. None as for [`days`].
pub(super) fn micros(moment: &DateTime) -> Option<i64> {
    let clock = (i64::from(moment.hour) * 60 + i64::from(moment.minute)) * 60 + i64::from(moment.second);
    Some((days(moment.date)? * DAY_SECONDS + clock) * 1_000_000 + i64::from(moment.micros))
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(year: u16, month: u8, day: u8) -> Date {
        Date { year, month, day }
    }

    #[test]
    fn days_agree_with_jiff_over_all_years_of_mysql() {
        let epoch = jiff::civil::date(1970, 1, 1);
        let mut day = jiff::civil::date(1, 1, 1);
        while day.year() < 9999 {
            let expected = i64::from(epoch.until(day).expect("in range").get_days());
            let shown = date(day.year() as u16, day.month() as u8, day.day() as u8);
            assert_eq!(days(shown), Some(expected), "{day}");
            day = day.checked_add(jiff::Span::new().days(13)).expect("in range");
        }
        assert_eq!(days(date(9999, 12, 31)), Some(2_932_896));
    }

    #[test]
    fn dates_that_no_calendar_has_are_none() {
        for (year, month, day) in
            [(0, 0, 0), (0, 1, 1), (2026, 0, 1), (2026, 1, 0), (2026, 2, 29), (2026, 2, 30), (2100, 2, 29)]
        {
            assert_eq!(days(date(year, month, day)), None, "{year}-{month}-{day}");
        }
        for (year, month, day) in [(2024, 2, 29), (2000, 2, 29), (1, 1, 1)] {
            assert!(days(date(year, month, day)).is_some());
        }
    }

    #[test]
    fn moments_before_the_epoch_are_negative() {
        let moment = DateTime { date: date(1969, 12, 31), hour: 23, minute: 59, second: 59, micros: 999_999, fsp: 6 };
        assert_eq!(micros(&moment), Some(-1));
        let moment = DateTime { date: date(2018, 6, 20), hour: 6, minute: 37, second: 3, micros: 0, fsp: 0 };
        assert_eq!(micros(&moment), Some(1_529_476_623_000_000));
    }
}
