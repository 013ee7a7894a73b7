//! Who a GTID comes from: a server's uuid, and since MySQL 8.3 a tag beside it.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use super::GtidParseError;
use crate::binlog::error::DecodeError;

/// A server's uuid. Ordered by its bytes, as the server orders sets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub [u8; 16]);

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 36];
        let mut at = 0;
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                text[at] = b'-';
                at += 1;
            }
            for nibble in [byte >> 4, byte & 15] {
                text[at] = b"0123456789abcdef"[usize::from(nibble)];
                at += 1;
            }
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = GtidParseError;

    /// 32 hexadecimal digits in either case, with dashes where they belong or without any, optionally in braces.
    fn from_str(text: &str) -> Result<Uuid, GtidParseError> {
        let wrong = || GtidParseError::new(text, "a server uuid");
        let inner = match text.strip_prefix('{') {
            Some(rest) => rest.strip_suffix('}').ok_or_else(wrong)?,
            None => text,
        };
        let mut digits = [0u8; 32];
        match inner.as_bytes() {
            plain if plain.len() == 32 => digits.copy_from_slice(plain),
            dashed if dashed.len() == 36 => {
                let mut rest = digits.iter_mut();
                for (i, &c) in dashed.iter().enumerate() {
                    let is_dash = matches!(i, 8 | 13 | 18 | 23);
                    if is_dash != (c == b'-') {
                        return Err(wrong());
                    }
                    if !is_dash {
                        *rest.next().ok_or_else(wrong)? = c;
                    }
                }
            }
            _ => return Err(wrong()),
        }
        let mut uuid = [0; 16];
        for (byte, pair) in uuid.iter_mut().zip(digits.as_chunks::<2>().0) {
            for &c in pair {
                let nibble = char::from(c).to_digit(16).ok_or_else(wrong)?;
                *byte = *byte << 4 | nibble as u8;
            }
        }
        Ok(Uuid(uuid))
    }
}

/// The tag of a GTID: up to 32 characters of `[a-z_][a-z0-9_]*`, kept in lower case; empty for none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tag(Box<str>);

impl Tag {
    /// Longest tag, in bytes.
    pub const MAX_LEN: usize = 32;

    /// From the bytes of an event.
    ///
    /// # Errors
    /// When they are no tag.
    pub fn from_bytes(bytes: &[u8]) -> Result<Tag, DecodeError> {
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8 { what: "gtid tag" })?;
        if text.is_empty() {
            return Ok(Tag::default());
        }
        text.parse().map_err(|_| DecodeError::Invalid { what: "gtid tag of length", value: bytes.len() as u64 })
    }

    /// The tag's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Tag {
    type Err = GtidParseError;

    fn from_str(text: &str) -> Result<Tag, GtidParseError> {
        let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let goes_on = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !starts || !goes_on || text.len() > Tag::MAX_LEN {
            return Err(GtidParseError::new(text, "a gtid tag"));
        }
        Ok(Tag(text.to_ascii_lowercase().into()))
    }
}

impl Borrow<str> for Tag {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_read_in_every_form_the_server_reads() {
        let text = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let uuid: Uuid = text.parse().unwrap();
        assert_eq!(uuid.to_string(), text);
        for same in ["3E11FA4771CA11E19E33C80AA9429562", "{3e11fa47-71ca-11e1-9e33-c80aa9429562}"] {
            assert_eq!(same.parse(), Ok(uuid));
        }
        for wrong in [
            "",
            "3e11fa47",
            "3e11fa4-771ca-11e1-9e33-c80aa9429562",
            "{3e11fa4771ca11e19e33c80aa9429562",
            "ge11fa4771ca11e19e33c80aa9429562",
        ] {
            assert!(wrong.parse::<Uuid>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn tags_are_lower_case_identifiers() {
        assert_eq!("My_Tag9".parse::<Tag>().unwrap().as_str(), "my_tag9");
        for wrong in ["", "9tag", "a-b", "a b", "abcdefghijabcdefghijabcdefghijabc"] {
            assert!(wrong.parse::<Tag>().is_err(), "{wrong}");
        }
    }
}
