//! Values with units as they stand in the config file: `"72h"`, `"200GiB"`; never a bare number, because a
//! number without a unit is read differently by every reader.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A span of time, written as `"5ms"`, `"60s"`, `"720min"`, `"72h"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A number of bytes, written as `"1MiB"`, `"200GiB"`, `"10MB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Span {
    /// Whole minutes.
    pub const fn minutes(n: u64) -> Self {
        Self(Duration::from_secs(n * 60))
    }

    /// Whole seconds.
    pub const fn seconds(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }

    /// Whole milliseconds.
    pub const fn millis(n: u64) -> Self {
        Self(Duration::from_millis(n))
    }

    /// Parses a number with a unit of time.
    ///
    /// # Errors
    /// What is wrong with the text, with an example of what is right.
    pub fn parse(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text.trim())
            .map(Self)
            .map_err(|_| format!("{text:?} is no duration; write a number with ms, s, min, h or d, such as \"72h\""))
    }
}

impl Size {
    /// Binary kibibytes.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// Binary mebibytes.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// Binary gibibytes.
    pub const fn gib(n: u64) -> Self {
        Self(n << 30)
    }

    /// Parses a number with a unit of bytes.
    ///
    /// # Errors
    /// What is wrong with the text, with an example of what is right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let fail = || format!("{text:?} is no size; write a number with B, KiB, MiB, GiB or TiB, such as \"200GiB\"");
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').trim();
        let known = ["b", "kb", "mb", "gb", "tb", "kib", "mib", "gib", "tib"];
        if !known.contains(&unit.to_ascii_lowercase().as_str()) {
            return Err(fail());
        }
        let size: bytesize::ByteSize = text.parse().map_err(|_| fail())?;
        Ok(Self(size.as_u64()))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = self.0;
        let secs = d.as_secs();
        match d.subsec_nanos() {
            0 if secs == 0 => f.write_str("0s"),
            0 if secs.is_multiple_of(3600) => write!(f, "{}h", secs / 3600),
            0 if secs.is_multiple_of(60) => write!(f, "{}min", secs / 60),
            0 => write!(f, "{secs}s"),
            n if n % 1_000_000 == 0 => write!(f, "{}ms", d.as_millis()),
            _ => write!(f, "{}", humantime::format_duration(d)),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            if self.0 != 0 && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// Accepts text only, and says what a bare number lacks.
struct TextVisitor<T> {
    what: &'static str,
    parse: fn(&str) -> Result<T, String>,
}

impl<T> de::Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<T, E> {
        Err(E::custom(format!("{n} has no unit; expected {}", self.what)))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(TextVisitor { what: "a duration with a unit, such as \"72h\"", parse: Self::parse })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(TextVisitor { what: "a size with a unit, such as \"200GiB\"", parse: Self::parse })
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_read_back_as_they_print() {
        for text in ["5ms", "60s", "15s", "12h", "72h", "0s", "90min"] {
            let span = Span::parse(text).expect(text);
            assert_eq!(Span::parse(&span.to_string()), Ok(span), "{text}");
        }
        assert_eq!(Span::parse("60s").unwrap().to_string(), "1min");
        assert_eq!(Span::parse("720min"), Span::parse("12h"));
        for (text, bytes) in [("200GiB", 200 << 30), ("10MB", 10_000_000), ("1 KiB", 1024), ("0B", 0)] {
            let size = Size::parse(text).expect(text);
            assert_eq!(size.0, bytes, "{text}");
            assert_eq!(Size::parse(&size.to_string()), Ok(size), "{text}");
        }
    }

    #[test]
    fn a_value_without_a_unit_or_with_a_wrong_one_is_refused() {
        for text in ["5", "", "h", "5 parsecs", "-3s", "72hh"] {
            let e = Span::parse(text).unwrap_err();
            assert!(e.contains("\"72h\""), "{text}: {e}");
        }
        for text in ["5", "", "GiB", "5 gigs", "-3MiB", "5ms", "12k"] {
            let e = Size::parse(text).unwrap_err();
            assert!(e.contains("\"200GiB\""), "{text}: {e}");
        }
    }
}
