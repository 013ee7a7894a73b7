//! Numbers as people read them: bytes in binary units, durations, points in time, and plurals.

use std::time::Duration;

use jiff::Timestamp;

/// `1.5 GiB`; exact below one KiB.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would print as 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `12,345,678`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 row`, `2,000 rows`.
pub fn counted(n: u64, one: &str) -> String {
    let (stem, plural) = match one.strip_suffix('y') {
        Some(stem) => (stem, "ies"),
        None => (one, "s"),
    };
    if n == 1 { format!("1 {one}") } else { format!("{} {stem}{plural}", count(n)) }
}

/// The two largest units of a duration: `3 d 4 h`, `2 min 5 s`, `0.4 s`.
pub fn duration(d: Duration) -> String {
    let seconds = d.as_secs();
    let pair = |big: u64, small: u64, names: [&str; 2]| match small {
        0 => format!("{big} {}", names[0]),
        small => format!("{big} {} {small} {}", names[0], names[1]),
    };
    match seconds {
        0..10 if d.subsec_millis() >= 100 => format!("{:.1} s", d.as_secs_f64()),
        0..60 => format!("{seconds} s"),
        60..3600 => pair(seconds / 60, seconds % 60, ["min", "s"]),
        3600..86_400 => pair(seconds / 3600, seconds % 3600 / 60, ["h", "min"]),
        _ => pair(seconds / 86_400, seconds % 86_400 / 3600, ["d", "h"]),
    }
}

/// Microseconds since 1970 as RFC 3339 in UTC, to the millisecond.
pub fn time_us(us: u64) -> String {
    let time = i64::try_from(us).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
    time.map_or_else(|| format!("{us} us"), |time| format!("{time:.3}"))
}

/// The UTC day of microseconds since 1970: `2026-01-31`.
pub fn day_us(us: u64) -> String {
    time_us(us).chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_carry_their_units() {
        let shown = [0, 1023, 1024, 1_048_575, 5 << 30, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "5.0 GiB", "16777216.0 TiB"]);
        assert_eq!([0, 999, 1000, 12_345_678].map(count), ["0", "999", "1,000", "12,345,678"]);
        assert_eq!(
            [counted(1, "entry"), counted(2000, "entry"), counted(0, "row")],
            ["1 entry", "2,000 entries", "0 rows"]
        );
        let shown =
            [0, 400, 9_900, 59_000, 125_000, 7_200_000, 273_600_000].map(|ms| duration(Duration::from_millis(ms)));
        assert_eq!(shown, ["0 s", "0.4 s", "9.9 s", "59 s", "2 min 5 s", "2 h", "3 d 4 h"]);
    }

    #[test]
    fn times_are_utc_to_the_millisecond() {
        assert_eq!(time_us(1_767_225_930_123_456), "2026-01-01T00:05:30.123Z");
        assert_eq!(day_us(1_767_225_930_123_456), "2026-01-01");
        assert_eq!(time_us(u64::MAX), format!("{} us", u64::MAX));
    }
}
