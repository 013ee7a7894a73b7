//! The rendering zone of TIMESTAMP columns: seconds since the epoch to a local date and time. The last answer is kept at
//! hand, for rows that follow one another were often written in the same second, and the offset of the last minute.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A local date and time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// Year; 1969 to 2106 for what a TIMESTAMP can hold.
    pub year: i32,
    /// Month, from 1.
    pub month: u8,
    /// Day, from 1.
    pub day: u8,
    /// Seconds of the day.
    pub second_of_day: u32,
}

/// A zone with a memory. Transitions lie on whole minutes of UTC (Newfoundland's are one minute past the hour), but for
/// a few before 1973 (Liberia), which is why those are never remembered.
#[derive(Debug, Clone)]
pub struct ZoneClock {
    zone: TimeZone,
    /// The minute last asked for and the offset in it, seconds east of Greenwich.
    last: Option<(i64, i64)>,
    /// The second last asked for, and the answer.
    answer: Option<(i64, LocalTime)>,
}

const MINUTE: i64 = 60;
const REMEMBERED_FROM: i64 = 94_694_400; // 1973-01-01

impl ZoneClock {
    /// A clock of this zone.
    pub fn new(zone: TimeZone) -> Self {
        Self { zone, last: None, answer: None }
    }

    /// Local date and time of a moment, seconds since the epoch.
    #[inline]
    pub fn local(&mut self, seconds: i64) -> LocalTime {
        match self.answer {
            Some((last, answer)) if last == seconds => answer,
            _ => self.look_up(seconds),
        }
    }

    fn look_up(&mut self, seconds: i64) -> LocalTime {
        let offset = self.offset(seconds);
        let local = seconds + offset;
        let (year, month, day) = civil(local.div_euclid(86_400));
        let answer = LocalTime { year, month, day, second_of_day: local.rem_euclid(86_400) as u32 };
        self.answer = Some((seconds, answer));
        answer
    }

    fn offset(&mut self, seconds: i64) -> i64 {
        let minute = seconds.div_euclid(MINUTE);
        if let Some((last, offset)) = self.last
            && last == minute
            && seconds >= REMEMBERED_FROM
        {
            return offset;
        }
        // Out of jiff's range is out of TIMESTAMP's range by far; such a moment is shown in UTC.
        let offset = Timestamp::from_second(seconds).map_or(0, |moment| self.zone.to_offset(moment).seconds().into());
        self.last = Some((minute, offset));
        offset
    }
}

/// Date of a day, counted from 1970-01-01, in the proleptic Gregorian calendar (years of 400-year eras that begin in March).
fn civil(days: i64) -> (i32, u8, u8) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u8;
    let month = (if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 }) as u8;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as i32, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(clock: &mut ZoneClock, seconds: i64) -> String {
        let t = clock.local(seconds);
        let s = t.second_of_day;
        format!("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", t.year, t.month, t.day, s / 3600, s / 60 % 60, s % 60)
    }

    #[test]
    fn moments_agree_with_jiff_in_zones_with_odd_offsets_and_transitions() {
        for name in
            ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "Africa/Monrovia"]
        {
            let zone = TimeZone::get(name).expect("a zone of the database");
            let mut clock = ZoneClock::new(zone.clone());
            let mut seconds = 1i64;
            while seconds < 4_294_967_295 {
                let moment = Timestamp::from_second(seconds).expect("in range").to_zoned(zone.clone());
                assert_eq!(shown(&mut clock, seconds), moment.strftime("%Y-%m-%d %H:%M:%S").to_string(), "{name}");
                seconds += 86_399 * 3;
            }
            for transition in zone.following(Timestamp::from_second(0).expect("the epoch")).take(120) {
                for seconds in [-61, -60, -1, 0, 1, 59, 60].map(|d| transition.timestamp().as_second() + d) {
                    let moment = Timestamp::from_second(seconds).expect("in range").to_zoned(zone.clone());
                    assert_eq!(shown(&mut clock, seconds), moment.strftime("%Y-%m-%d %H:%M:%S").to_string(), "{name}");
                }
            }
        }
    }

    #[test]
    fn a_fixed_offset_is_a_zone_too() {
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        assert_eq!(shown(&mut ZoneClock::new(zone), 1_767_225_930), "2026-01-01 08:05:30");
    }
}
