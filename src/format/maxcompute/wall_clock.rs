//! A wall clock's reading to the moment it was: DATETIME columns name no zone, and a reader in the zone that is given
//! here sees them as the source shows them.

use jiff::civil;
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::binlog::time::DateTime;
use crate::format::epoch;

const MINUTE_MICROS: i64 = 60_000_000;
const SECOND_MICROS: i64 = 1_000_000;
/// From here on transitions lie on whole minutes: 1973-01-01.
const REMEMBERED_FROM: i64 = 94_694_400 * SECOND_MICROS;
/// Beyond this year a zone's rules repeat and the library's range ends.
const LAST_YEAR: u16 = 9990;

/// A zone with a memory of the offset that its last reading had.
#[derive(Debug, Clone)]
pub(super) struct WallClock {
    zone: TimeZone,
    /// A minute of the wall clock and the offset in it, microseconds east of Greenwich.
    last: Option<(i64, i64)>,
}

impl WallClock {
    pub(super) fn new(zone: TimeZone) -> Self {
        Self { zone, last: None }
    }

    /// Microseconds since the epoch of a reading; none for a date that no calendar has.
    ///
    /// What the clock showed twice was the first of the two; what it never showed is as if it had not been set forward
    /// yet.
    pub(super) fn micros(&mut self, reading: &DateTime) -> Option<i64> {
        let wall = epoch::micros(reading)?;
        let minute = wall.div_euclid(MINUTE_MICROS);
        if let Some((last, offset)) = self.last
            && last == minute
            && wall >= REMEMBERED_FROM
        {
            return Some(wall - offset);
        }
        let offset = self.offset(reading)?;
        self.last = Some((minute, offset));
        Some(wall - offset)
    }

    fn offset(&self, reading: &DateTime) -> Option<i64> {
        let DateTime { date, hour, minute, second, .. } = *reading;
        // 400 years are a whole number of weeks: rules of weekdays fall on the same dates.
        let year = if date.year > LAST_YEAR { date.year - 400 } else { date.year };
        let shown = civil::DateTime::new(
            i16::try_from(year).ok()?,
            i8::try_from(date.month).ok()?,
            i8::try_from(date.day).ok()?,
            i8::try_from(hour).ok()?,
            i8::try_from(minute).ok()?,
            i8::try_from(second).ok()?,
            0,
        );
        let offset = match self.zone.to_ambiguous_timestamp(shown.ok()?).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Gap { before, .. } | AmbiguousOffset::Fold { before, .. } => before,
        };
        Some(i64::from(offset.seconds()) * SECOND_MICROS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::time::Date;

    fn reading(text: &str) -> DateTime {
        let moment: civil::DateTime = text.parse().expect("a date and time");
        DateTime {
            date: Date { year: moment.year() as u16, month: moment.month() as u8, day: moment.day() as u8 },
            hour: moment.hour() as u8,
            minute: moment.minute() as u8,
            second: moment.second() as u8,
            micros: 0,
            fsp: 0,
        }
    }

    fn seconds(zone: &str, text: &str) -> i64 {
        let mut clock = WallClock::new(TimeZone::get(zone).expect("a zone"));
        // The second time by its memory.
        let first = clock.micros(&reading(text));
        assert_eq!(first, clock.micros(&reading(text)));
        first.expect("a moment") / SECOND_MICROS
    }

    #[test]
    fn a_zone_shows_the_moment_as_it_was_read() {
        for name in ["UTC", "Europe/Berlin", "Asia/Shanghai", "Asia/Kathmandu", "America/St_Johns"] {
            let zone = TimeZone::get(name).expect("a zone");
            let mut clock = WallClock::new(zone.clone());
            for text in ["1970-01-01T00:00:00", "1999-12-31T23:59:59", "2026-07-01T12:34:56", "2262-04-11T23:47:16"] {
                let moment = clock.micros(&reading(text)).expect("a moment");
                let shown = jiff::Timestamp::from_microsecond(moment).expect("in range").to_zoned(zone.clone());
                assert_eq!(shown.datetime().to_string(), text, "{name}");
            }
        }
    }

    #[test]
    fn the_ends_of_the_calendar_have_moments() {
        assert_eq!(seconds("UTC", "9999-12-31T23:59:59"), 253_402_300_799);
        assert_eq!(seconds("Asia/Shanghai", "9999-12-31T23:59:59"), 253_402_300_799 - 8 * 3600);
        assert_eq!(seconds("UTC", "0001-01-01T00:00:00"), -62_135_596_800);
        // Before 1901 the city had its own time: 8:05:43 east.
        assert_eq!(seconds("Asia/Shanghai", "1900-01-01T00:00:00"), -2_208_988_800 - 29_143);
    }

    #[test]
    fn summer_time_begins_and_ends_as_the_doc_says() {
        // 02:30 was never shown: an hour later was. 02:30 was shown twice: the first counts.
        assert_eq!(seconds("Europe/Berlin", "2026-03-29T02:30:00"), seconds("UTC", "2026-03-29T01:30:00"));
        assert_eq!(seconds("Europe/Berlin", "2026-10-25T02:30:00"), seconds("UTC", "2026-10-25T00:30:00"));
    }

    #[test]
    fn dates_that_no_calendar_has_have_no_moment() {
        let mut clock = WallClock::new(TimeZone::UTC);
        assert_eq!(clock.micros(&DateTime::default()), None);
        let never = DateTime { date: Date { year: 2026, month: 2, day: 30 }, ..DateTime::default() };
        assert_eq!(clock.micros(&never), None);
    }
}
