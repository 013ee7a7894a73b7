//! Dates and times: their forms on the wire, and the text the server prints for them.
//!
//! Zero dates and zero parts are values of their own here, neither NULL nor any moment. Nothing is checked against a
//! calendar: the server's `sql_mode` decided what may be stored, and what is stored is passed on.

use super::column::WireType;
use super::decimal::push_digits;

/// A DATE. Any part may be 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Date {
    /// 0 to 9999.
    pub year: u16,
    /// 0 to 12.
    pub month: u8,
    /// 0 to 31.
    pub day: u8,
}

/// A TIME: a signed duration up to 838 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Time {
    /// Below zero.
    pub negative: bool,
    /// Hours.
    pub hours: u16,
    /// Minutes.
    pub minutes: u8,
    /// Seconds.
    pub seconds: u8,
    /// Microseconds.
    pub micros: u32,
    /// Digits of the fraction that the column keeps, 0 to 6.
    pub fsp: u8,
}

/// A DATETIME, in no time zone. Any part of the date may be 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct DateTime {
    /// The date.
    pub date: Date,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// Microseconds.
    pub micros: u32,
    /// Digits of the fraction that the column keeps, 0 to 6.
    pub fsp: u8,
}

/// A TIMESTAMP: a moment in UTC, or the zero timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Timestamp {
    /// Seconds since 1970-01-01 00:00:00 UTC; 0 is the zero timestamp `0000-00-00 00:00:00`, not the epoch.
    pub seconds: u32,
    /// Microseconds.
    pub micros: u32,
    /// Digits of the fraction that the column keeps, 0 to 6.
    pub fsp: u8,
}

impl Date {
    /// Whether it is `0000-00-00`.
    pub fn is_zero(&self) -> bool {
        *self == Date::default()
    }

    /// Appends `YYYY-MM-DD`.
    pub fn write(&self, out: &mut Vec<u8>) {
        push_digits(self.year.into(), 4, out);
        out.push(b'-');
        push_digits(self.month.into(), 2, out);
        out.push(b'-');
        push_digits(self.day.into(), 2, out);
    }

    /// Three bytes, little-endian: day in 5 bits, month in 4, year in 15.
    #[inline]
    pub(super) fn from_wire(b: &[u8]) -> Date {
        let v = le(b) as u32;
        Date { day: (v & 31) as u8, month: (v >> 5 & 15) as u8, year: (v >> 9) as u16 }
    }

    /// Year and month in one number, the day below it.
    #[inline]
    fn from_packed(ymd: u32) -> Date {
        let year_month = ymd >> 5;
        Date { year: (year_month / 13) as u16, month: (year_month % 13) as u8, day: (ymd & 31) as u8 }
    }
}

impl Time {
    /// Appends `[-]HH:MM:SS[.ffffff]`, three digits of hours when needed.
    pub fn write(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        push_digits(self.hours.into(), if self.hours > 99 { 3 } else { 2 }, out);
        out.push(b':');
        push_digits(self.minutes.into(), 2, out);
        out.push(b':');
        push_digits(self.seconds.into(), 2, out);
        write_fraction(self.micros, self.fsp, out);
    }

    /// The whole duration in microseconds.
    pub fn total_micros(&self) -> i64 {
        let seconds = (i64::from(self.hours) * 60 + i64::from(self.minutes)) * 60 + i64::from(self.seconds);
        let micros = seconds * 1_000_000 + i64::from(self.micros);
        if self.negative { -micros } else { micros }
    }

    /// From the server's packed form: `hours:10 minutes:6 seconds:6 micros:24`, negated as a whole when below zero.
    #[inline]
    pub(super) fn from_packed(packed: i64, fsp: u8) -> Time {
        let v = packed.unsigned_abs();
        let hms = v >> 24;
        Time {
            negative: packed < 0,
            hours: (hms >> 12 & 0x3FF) as u16,
            minutes: (hms >> 6 & 63) as u8,
            seconds: (hms & 63) as u8,
            micros: (v & 0xFF_FFFF) as u32,
            fsp,
        }
    }

    /// TIME2: 3 bytes big-endian offset by 2^23, then the fraction. A negative value borrows from its whole part.
    #[inline]
    pub(super) fn from_wire2(b: &[u8], fsp: u8) -> Time {
        let (whole, fraction) = b.split_at(b.len().min(3));
        let mut int = be(whole) as i64 - 0x80_0000;
        let packed = if fraction.len() == 3 {
            (int << 24) + be(fraction) as i64
        } else {
            let mut parts = be(fraction) as i64;
            if int < 0 && parts != 0 {
                int += 1;
                parts -= 1 << (8 * fraction.len());
            }
            (int << 24) + parts * if fraction.len() == 1 { 10_000 } else { 100 }
        };
        Time::from_packed(packed, fsp)
    }

    /// Old TIME: 3 bytes little-endian, signed, `hhmmss` in decimal. MariaDB with a fraction: big-endian microseconds
    /// (in units of the last digit) offset so that zero is in the middle.
    pub(super) fn from_wire_old(b: &[u8], fsp: u8) -> Time {
        if fsp == 0 {
            let v = (le(b) as i64) << 40 >> 40;
            let (v, negative) = (v.unsigned_abs(), v < 0);
            let (hours, minutes, seconds) = ((v / 10_000) as u16, (v / 100 % 100) as u8, (v % 100) as u8);
            return Time { negative, hours, minutes, seconds, micros: 0, fsp };
        }
        let units = 10i64.pow(fsp.into());
        let zero = 839 * 3600 * units;
        let v = be(b) as i64 - zero;
        let a = v.unsigned_abs();
        let (seconds, parts) = (a / units as u64, a % units as u64);
        Time {
            negative: v < 0,
            hours: (seconds / 3600).min(u64::from(u16::MAX)) as u16,
            minutes: (seconds / 60 % 60) as u8,
            seconds: (seconds % 60) as u8,
            micros: parts as u32 * 10u32.pow(6 - u32::from(fsp)),
            fsp,
        }
    }
}

impl DateTime {
    /// Whether it is `0000-00-00 00:00:00`, fraction and all.
    pub fn is_zero(&self) -> bool {
        DateTime { fsp: 0, ..*self } == DateTime::default()
    }

    /// Appends `YYYY-MM-DD HH:MM:SS[.ffffff]`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut text = [0; Self::LONGEST];
        let len = self.write_to(&mut text);
        out.extend_from_slice(&text[..len]);
    }

    /// Bytes of the longest text.
    pub(crate) const LONGEST: usize = 26;

    /// Puts `YYYY-MM-DD HH:MM:SS[.ffffff]` at the start of `text`, in place of all of it; returns its length.
    #[inline]
    pub(crate) fn write_to(&self, text: &mut [u8; Self::LONGEST]) -> usize {
        let [y, e, a, r] = four_digits(self.date.year);
        let ([m, n], [d, f]) = (two_digits(self.date.month), two_digits(self.date.day));
        let ([h, i], [j, k], [s, t]) = (two_digits(self.hour), two_digits(self.minute), two_digits(self.second));
        let micros = self.micros % 1_000_000;
        let [[u, v], [w, x], [o, p]] = [micros / 10_000, micros / 100 % 100, micros % 100].map(|v| two_digits(v as u8));
        let (date, time) = ([y, e, a, r, b'-', m, n, b'-', d, f], [b' ', h, i, b':', j, k, b':', s, t]);
        text[..10].copy_from_slice(&date);
        text[10..19].copy_from_slice(&time);
        text[19..].copy_from_slice(&[b'.', u, v, w, x, o, p]);
        if self.fsp > 0 { 20 + usize::from(self.fsp.min(6)) } else { 19 }
    }

    /// From the server's packed form: `year*13+month:17 day:5 hour:5 minute:6 second:6 micros:24`.
    #[inline]
    pub(super) fn from_packed(packed: u64, fsp: u8) -> DateTime {
        let (int, micros) = (packed >> 24, (packed & 0xFF_FFFF) as u32);
        let hms = int & 0x1_FFFF;
        DateTime {
            date: Date::from_packed((int >> 17) as u32 & 0x3F_FFFF),
            hour: (hms >> 12) as u8,
            minute: (hms >> 6 & 63) as u8,
            second: (hms & 63) as u8,
            micros,
            fsp,
        }
    }

    /// DATETIME2: 5 bytes big-endian offset by 2^39, then the fraction.
    #[inline]
    pub(crate) fn from_wire2(b: &[u8], fsp: u8) -> DateTime {
        let (int, fraction) = b.split_at(b.len().min(5));
        let int = be(int) & 0x7F_FFFF_FFFF;
        DateTime::from_packed(int << 24 | u64::from(fraction_micros(fraction)), fsp)
    }

    /// Old DATETIME: 8 bytes little-endian, `YYYYMMDDhhmmss` in decimal. MariaDB with a fraction: big-endian, mixed
    /// radix, in units of the last digit.
    pub(super) fn from_wire_old(b: &[u8], fsp: u8) -> DateTime {
        if fsp == 0 {
            let v = le(b);
            let (ymd, hms) = (v / 1_000_000, v % 1_000_000);
            let date =
                Date { year: (ymd / 10_000).min(9999) as u16, month: (ymd / 100 % 100) as u8, day: (ymd % 100) as u8 };
            let (hour, minute, second) = ((hms / 10_000) as u8, (hms / 100 % 100) as u8, (hms % 100) as u8);
            return DateTime { date, hour, minute, second, micros: 0, fsp };
        }
        let mut v = be(b);
        let mut part = |radix: u64| {
            let digit = v % radix;
            v /= radix;
            digit
        };
        let micros = part(10u64.pow(fsp.into())) as u32 * 10u32.pow(6 - u32::from(fsp));
        let (second, minute, hour) = (part(60) as u8, part(60) as u8, part(24) as u8);
        let (day, month, year) = (part(32) as u8, part(13) as u8, part(10_000) as u16);
        DateTime { date: Date { year, month, day }, hour, minute, second, micros, fsp }
    }
}

impl Timestamp {
    /// Whether it is the zero timestamp `0000-00-00 00:00:00`.
    pub fn is_zero(&self) -> bool {
        self.seconds == 0 && self.micros == 0
    }

    /// The moment as date and time in UTC; the zero timestamp gives the zero date.
    pub fn utc(&self) -> DateTime {
        if self.is_zero() {
            return DateTime { fsp: self.fsp, ..DateTime::default() };
        }
        let (days, second) = (self.seconds / 86_400, self.seconds % 86_400);
        // Civil date from days (Hinnant): years begin in March, eras have 146,097 days.
        let z = days + 719_468;
        let (era, of_era) = (z / 146_097, z % 146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let (month, wraps) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        DateTime {
            date: Date { year: (year_of_era + era * 400 + wraps) as u16, month: month as u8, day: day as u8 },
            hour: (second / 3600) as u8,
            minute: (second / 60 % 60) as u8,
            second: (second % 60) as u8,
            micros: self.micros,
            fsp: self.fsp,
        }
    }

    /// Appends `YYYY-MM-DD HH:MM:SS[.ffffff]` in UTC.
    pub fn write_utc(&self, out: &mut Vec<u8>) {
        self.utc().write(out);
    }

    /// TIMESTAMP2: 4 bytes big-endian, then the fraction. Old TIMESTAMP: 4 bytes little-endian; in MariaDB with a
    /// fraction it is laid out as TIMESTAMP2, its fraction in units of the last digit.
    #[inline]
    pub(crate) fn from_wire(b: &[u8], wire: WireType, fsp: u8) -> Timestamp {
        let (seconds, fraction) = b.split_at(b.len().min(4));
        if wire == WireType::TIMESTAMP2 {
            return Timestamp { seconds: be(seconds) as u32, micros: fraction_micros(fraction), fsp };
        }
        if fsp == 0 {
            return Timestamp { seconds: le(seconds) as u32, micros: 0, fsp };
        }
        let micros = (be(fraction) as u32).saturating_mul(10u32.pow(6 - u32::from(fsp.min(6))));
        Timestamp { seconds: be(seconds) as u32, micros, fsp }
    }
}

/// The last two decimal digits.
#[inline]
fn two_digits(v: u8) -> [u8; 2] {
    [b'0' + v / 10 % 10, b'0' + v % 10]
}

/// The last four decimal digits.
#[inline]
fn four_digits(v: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (two_digits((v / 100 % 100) as u8), two_digits((v % 100) as u8));
    [a, b, c, d]
}

/// Appends `.` and the first `fsp` digits of the microseconds.
fn write_fraction(micros: u32, fsp: u8, out: &mut Vec<u8>) {
    if fsp > 0 {
        out.push(b'.');
        let start = out.len();
        push_digits(micros, 6, out);
        out.truncate(start + usize::from(fsp.min(6)));
    }
}

/// Fractions of the new formats: hundredths in one byte, ten-thousandths in two, microseconds in three.
#[inline]
fn fraction_micros(b: &[u8]) -> u32 {
    let v = be(b) as u32;
    match b.len() {
        1 => v * 10_000,
        2 => v * 100,
        _ => v,
    }
}

#[inline]
fn be(b: &[u8]) -> u64 {
    b.iter().fold(0, |v, &b| v << 8 | u64::from(b))
}

#[inline]
fn le(b: &[u8]) -> u64 {
    b.iter().rev().fold(0, |v, &b| v << 8 | u64::from(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn negative_times_borrow_from_their_whole_part() {
        // The server's own examples (sql-common/my_time.cc, my_time_packed_from_binary).
        for (bytes, fsp, expected) in [
            (&[0x80, 0x00, 0x00, 0x00][..], 2, "00:00:00.00"),
            (&[0x7F, 0xFF, 0xFF, 0xFF], 2, "-00:00:00.01"),
            (&[0x7F, 0xFF, 0xFF, 0x9D], 2, "-00:00:00.99"),
            (&[0x7F, 0xFF, 0xFF, 0x00], 2, "-00:00:01.00"),
            (&[0x7F, 0xFF, 0xFE, 0xFF], 2, "-00:00:01.01"),
            (&[0x7F, 0xFF, 0xFE, 0xF6], 2, "-00:00:01.10"),
            (&[0x80, 0x00, 0x01], 0, "00:00:01"),
            (&[0x4B, 0x91, 0x05], 0, "-838:59:59"),
            (&[0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], 6, "-00:00:00.000001"),
        ] {
            assert_eq!(text(|out| Time::from_wire2(bytes, fsp).write(out)), expected);
        }
    }

    #[test]
    fn the_zero_timestamp_is_not_the_epoch() {
        let zero = Timestamp { fsp: 3, ..Timestamp::default() };
        assert_eq!(text(|out| zero.write_utc(out)), "0000-00-00 00:00:00.000");
        let first = Timestamp { seconds: 1, micros: 0, fsp: 0 };
        assert_eq!(text(|out| first.write_utc(out)), "1970-01-01 00:00:01");
        let last = Timestamp { seconds: u32::MAX, micros: 999_999, fsp: 6 };
        assert_eq!(text(|out| last.write_utc(out)), "2106-02-07 06:28:15.999999");
        let leap = Timestamp { seconds: 1_709_210_096, micros: 120_000, fsp: 2 };
        assert_eq!(text(|out| leap.write_utc(out)), "2024-02-29 12:34:56.12");
    }
}
