//! Formats of dates in the letters of Java: `yyyy-MM-dd HH:mm:ss.SSS`.

use super::super::super::fault::Fault;
use super::super::super::temporal;
use crate::binlog::time::{Date, DateTime};

/// A format, read once.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super::super) struct Pattern(Vec<Piece>);

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Literal(String),
    /// A letter and how often it stands.
    Field(char, usize),
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl Pattern {
    /// Reads a format: letters `y M d H h m s S a E`, text in single quotes, anything that is no letter. None for other
    /// letters.
    pub(in super::super::super) fn parse(text: &str) -> Option<Pattern> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut chars = text.chars().peekable();
        let mut literal = String::new();
        while let Some(c) = chars.next() {
            match c {
                '\'' if chars.peek() == Some(&'\'') => {
                    chars.next();
                    literal.push('\'');
                }
                '\'' => loop {
                    match chars.next()? {
                        '\'' if chars.peek() == Some(&'\'') => {
                            chars.next();
                            literal.push('\'');
                        }
                        '\'' => break,
                        other => literal.push(other),
                    }
                },
                'y' | 'M' | 'd' | 'H' | 'h' | 'm' | 's' | 'S' | 'a' | 'E' => {
                    let mut count = 1;
                    while chars.peek() == Some(&c) {
                        chars.next();
                        count += 1;
                    }
                    let most = match c {
                        'S' => 9,
                        'y' | 'M' | 'E' => 4,
                        'a' => 1,
                        _ => 2,
                    };
                    if count > most {
                        return None;
                    }
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Field(c, count));
                }
                c if c.is_ascii_alphabetic() => return None,
                c => literal.push(c),
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Some(Pattern(pieces))
    }

    /// The text of a datetime.
    pub(super) fn write(&self, v: &DateTime) -> Result<String, Fault> {
        let mut out = String::new();
        for piece in &self.0 {
            let (letter, count) = match piece {
                Piece::Literal(text) => {
                    out.push_str(text);
                    continue;
                }
                Piece::Field(letter, count) => (*letter, *count),
            };
            let number = match letter {
                'y' if count == 2 => u32::from(v.date.year % 100),
                'y' => v.date.year.into(),
                'M' if count > 2 => {
                    let month = usize::from(v.date.month).checked_sub(1).and_then(|at| MONTHS.get(at));
                    let month = month.ok_or(Fault::Calendar)?;
                    out.push_str(if count == 3 { &month[..3] } else { month });
                    continue;
                }
                'M' => v.date.month.into(),
                'd' => v.date.day.into(),
                'H' => v.hour.into(),
                'h' => match v.hour % 12 {
                    0 => 12,
                    hour => hour.into(),
                },
                'm' => v.minute.into(),
                's' => v.second.into(),
                'S' => {
                    let digits = format!("{:06}000", v.micros);
                    out.push_str(&digits[..count]);
                    continue;
                }
                'a' => {
                    out.push_str(if v.hour < 12 { "AM" } else { "PM" });
                    continue;
                }
                _ => {
                    let day = temporal::to_civil_date(v.date)?.weekday();
                    let day = DAYS[day.to_monday_zero_offset() as usize];
                    out.push_str(if count < 4 { &day[..3] } else { day });
                    continue;
                }
            };
            out.push_str(&format!("{number:0count$}"));
        }
        Ok(out)
    }

    /// The datetime of a text that has this format; what the format does not name is the beginning: month and day 1,
    /// midnight, the year 1970.
    pub(super) fn read(&self, text: &str) -> Option<DateTime> {
        let mut rest = text;
        let mut v = DateTime { date: Date { year: 1970, month: 1, day: 1 }, ..DateTime::default() };
        let mut half = None;
        for (at, piece) in self.0.iter().enumerate() {
            let (letter, count) = match piece {
                Piece::Literal(literal) => {
                    rest = rest.strip_prefix(literal.as_str())?;
                    continue;
                }
                Piece::Field(letter, count) => (*letter, *count),
            };
            match letter {
                'a' => {
                    let (word, behind) = rest.split_at_checked(2)?;
                    half = Some(match word {
                        word if word.eq_ignore_ascii_case("am") => 0,
                        word if word.eq_ignore_ascii_case("pm") => 12,
                        _ => return None,
                    });
                    rest = behind;
                    continue;
                }
                'M' if count > 2 => {
                    let (month, behind) = word(rest, &MONTHS, count)?;
                    v.date.month = month as u8 + 1;
                    rest = behind;
                    continue;
                }
                'E' => {
                    rest = word(rest, &DAYS, count)?.1;
                    continue;
                }
                _ => {}
            }
            // Digits of a field end at its width when another field follows at once.
            let tight = matches!(self.0.get(at + 1), Some(Piece::Field(..)));
            let widest = match (letter, tight) {
                (_, true) => count,
                ('y', _) => count.max(4),
                ('S', _) => 9,
                _ => 2,
            };
            let len = rest.bytes().take(widest).take_while(u8::is_ascii_digit).count();
            if len == 0 || (tight && len < count) || (letter == 'y' && count == 4 && len < 4) {
                return None;
            }
            let (digits, behind) = rest.split_at(len);
            rest = behind;
            let number: u32 = digits.parse().ok()?;
            let small = u8::try_from(number);
            match letter {
                // Two digits mean the years 1970 to 2069, as the server takes them.
                'y' if len == 2 => v.date.year = (number + if number < 70 { 2000 } else { 1900 }) as u16,
                'y' => v.date.year = number as u16,
                'M' => v.date.month = small.ok()?,
                'd' => v.date.day = small.ok()?,
                'H' | 'h' => v.hour = small.ok()?,
                'm' => v.minute = small.ok()?,
                's' => v.second = small.ok()?,
                _ => {
                    v.fsp = len.min(6) as u8;
                    v.micros = format!("{digits:0<6}")[..6].parse().ok()?;
                }
            }
        }
        if let Some(half) = half {
            // 12 AM is midnight, 12 PM noon.
            if !(1..=12).contains(&v.hour) {
                return None;
            }
            v.hour = v.hour % 12 + half;
        }
        let valid = rest.is_empty() && v.hour <= 23 && v.minute <= 59 && v.second <= 59;
        (valid && temporal::to_civil(v).is_ok()).then_some(v)
    }
}

/// The place of a name, long or its first three letters, that a text begins with.
fn word<'t>(text: &'t str, names: &[&str], count: usize) -> Option<(usize, &'t str)> {
    names.iter().enumerate().find_map(|(at, name)| {
        let name = if count < 4 { &name[..3] } else { *name };
        let (head, behind) = text.split_at_checked(name.len())?;
        head.eq_ignore_ascii_case(name).then_some((at, behind))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> DateTime {
        temporal::parse_datetime(text).expect("a datetime")
    }

    fn written(pattern: &str, text: &str) -> String {
        Pattern::parse(pattern).expect("a format").write(&moment(text)).expect("in the calendar")
    }

    #[test]
    fn letters_write_what_java_writes() {
        let at = "2024-02-09 15:04:05.678";
        assert_eq!(written("yyyy-MM-dd HH:mm:ss.SSS", at), "2024-02-09 15:04:05.678");
        assert_eq!(written("yy/M/d h:m:s a", at), "24/2/9 3:4:5 PM");
        assert_eq!(written("EEE, dd MMM yyyy 'at' hh 'o''clock'", at), "Fri, 09 Feb 2024 at 03 o'clock");
        assert_eq!(written("EEEE MMMM SSSSSS", at), "Friday February 678000");
        for bad in ["x", "YYYY", "HHH", "'open", "zzz"] {
            assert_eq!(Pattern::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn texts_of_a_format_are_read() {
        let read = |pattern: &str, text: &str| Pattern::parse(pattern).expect("a format").read(text);
        assert_eq!(read("yyyy-MM-dd hh:mm:ss", "2024-02-09 15:04:05"), Some(moment("2024-02-09 15:04:05")));
        assert_eq!(read("yyyyMMddHHmmss", "20240209150405"), Some(moment("2024-02-09 15:04:05")));
        assert_eq!(read("d MMM yy, h:mm a", "9 feb 24, 12:30 AM"), Some(moment("2024-02-09 00:30:00")));
        assert_eq!(read("yyyy-MM-dd'T'HH:mm:ss.SSS", "2024-02-09T01:02:03.5"), Some(moment("2024-02-09 01:02:03.5")));
        assert_eq!(read("EEEE", "Friday"), Some(moment("1970-01-01 00:00:00")));
        for (pattern, text) in [
            ("yyyy-MM-dd", "2024-02-30"),
            ("yyyy-MM-dd", "2024-02-09 "),
            ("yyyy-MM-dd", "24-02-09"),
            ("yyyyMMddHH", "2024029"),
            ("HH:mm", "24:00"),
            ("h a", "13 PM"),
            ("MMM", "Foo"),
            ("dd", ""),
        ] {
            assert_eq!(read(pattern, text), None, "{pattern} {text}");
        }
    }
}
