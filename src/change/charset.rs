//! Character sets of MySQL and MariaDB: from a collation id or a name to a decoder that gives UTF-8.
//!
//! Single-byte sets are tables taken from the server, multi-byte ones are encoding_rs with the server's own
//! deviations, so that text comes out as the server itself would convert it to utf8mb4.

pub mod collation;
mod table;

use encoding_rs::Encoding;
use thiserror::Error;

use table::{MultiByte, SingleByte};

/// A collation id that no server known to us has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("unknown collation id {0}")]
pub struct UnknownCollation(pub u16);

/// A character set name that no server known to us has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown character set {0:?}")]
pub struct UnknownCharset(pub String);

/// Decoded text. It borrows from the value when nothing had to be converted, else from the scratch buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    /// The text; U+FFFD stands where bytes did not decode.
    pub text: &'a str,
    /// Whether bytes did not decode.
    pub bad: bool,
}

/// A character set.
#[derive(Debug, Clone, Copy)]
pub struct Charset {
    name: &'static str,
    decoder: Decoder,
}

#[derive(Debug, Clone, Copy)]
enum Decoder {
    Binary,
    Ascii,
    Utf8,
    Swe7,
    Single(&'static SingleByte),
    Multi(&'static MultiByte),
    Whole(&'static Encoding),
    Utf32,
}

impl PartialEq for Charset {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Charset {}

impl Charset {
    /// The set of byte strings: BINARY, VARBINARY, BLOB.
    pub const BINARY: Charset = Charset { name: "binary", decoder: Decoder::Binary };
    /// UTF-8 of up to four bytes a character.
    pub const UTF8MB4: Charset = Charset { name: "utf8mb4", decoder: Decoder::Utf8 };

    /// The character set of a collation, by its id in table maps and column definitions.
    ///
    /// # Errors
    /// An id that neither MySQL 5.6 to 9.7 nor MariaDB up to 11 gives out.
    pub fn of_collation(id: u16) -> Result<Self, UnknownCollation> {
        let name = charset_of_collation(id).ok_or(UnknownCollation(id))?;
        Ok(Self::of_name(name).expect("the collation table names known character sets only"))
    }

    /// The character set of this name, as `CHARACTER_SET_NAME` prints it.
    ///
    /// # Errors
    /// A name that is not in MySQL's list.
    pub fn of_name(name: &str) -> Result<Self, UnknownCharset> {
        let lower = name.to_ascii_lowercase();
        let (name, decoder) = match lower.as_str() {
            "binary" => return Ok(Self::BINARY),
            "utf8mb4" => return Ok(Self::UTF8MB4),
            "utf8" | "utf8mb3" => ("utf8mb3", Decoder::Utf8),
            "ascii" => ("ascii", Decoder::Ascii),
            "swe7" => ("swe7", Decoder::Swe7),
            "ucs2" => ("ucs2", Decoder::Whole(encoding_rs::UTF_16BE)),
            "utf16" => ("utf16", Decoder::Whole(encoding_rs::UTF_16BE)),
            "utf16le" => ("utf16le", Decoder::Whole(encoding_rs::UTF_16LE)),
            "utf32" => ("utf32", Decoder::Utf32),
            other => {
                if let Some(single) = table::single_byte(other) {
                    (single.name, Decoder::Single(single))
                } else if let Some(multi) = table::multi_byte(other) {
                    (multi.name, Decoder::Multi(multi))
                } else {
                    return Err(UnknownCharset(name.to_owned()));
                }
            }
        };
        Ok(Self { name, decoder })
    }

    /// Its name, as MySQL 8 prints it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether values are bytes and not text.
    pub fn is_binary(&self) -> bool {
        matches!(self.decoder, Decoder::Binary)
    }

    /// Whether bytes below 0x80 are ASCII, wherever they stand between others of their kind.
    pub(crate) fn holds_ascii(&self) -> bool {
        !matches!(self.decoder, Decoder::Swe7 | Decoder::Whole(_) | Decoder::Utf32)
    }

    /// Whether text is UTF-8 already.
    pub(crate) fn is_utf8(&self) -> bool {
        matches!(self.decoder, Decoder::Utf8)
    }

    /// Greatest number of bytes of one character, by which table maps state the lengths of text columns.
    pub fn max_bytes(&self) -> u32 {
        match self.name {
            "utf8mb4" | "utf16" | "utf16le" | "utf32" | "gb18030" => 4,
            "utf8mb3" | "ujis" | "eucjpms" => 3,
            "ucs2" | "big5" | "sjis" | "cp932" | "euckr" | "gb2312" | "gbk" => 2,
            _ => 1,
        }
    }

    /// Decodes `bytes`, borrowing them where they are UTF-8 already. Bytes of [`Charset::BINARY`] are taken as UTF-8.
    pub fn decode<'a>(&self, bytes: &'a [u8], scratch: &'a mut String) -> Text<'a> {
        if self.holds_ascii()
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            let as_is = matches!(self.decoder, Decoder::Utf8 | Decoder::Binary) || text.is_ascii();
            if as_is {
                return Text { text, bad: false };
            }
        }
        scratch.clear();
        let bad = match self.decoder {
            Decoder::Utf8 | Decoder::Binary => decode_broken_utf8(bytes, scratch),
            Decoder::Ascii => decode_bytes(bytes, scratch, |b| if b < 0x80 { char::from(b) } else { '\u{fffd}' }),
            Decoder::Swe7 => decode_bytes(bytes, scratch, swe7),
            Decoder::Single(table) => decode_bytes(bytes, scratch, |b| table.char(b)),
            Decoder::Multi(multi) => multi.decode(bytes, scratch),
            Decoder::Whole(encoding) => {
                let (text, bad) = encoding.decode_without_bom_handling(bytes);
                scratch.push_str(&text);
                bad
            }
            Decoder::Utf32 => decode_utf32(bytes, scratch),
        };
        Text { text: scratch, bad }
    }
}

fn decode_bytes(bytes: &[u8], out: &mut String, char_of: impl Fn(u8) -> char) -> bool {
    let mut bad = false;
    out.reserve(bytes.len() * 2);
    for &byte in bytes {
        let c = char_of(byte);
        bad |= c == '\u{fffd}';
        out.push(c);
    }
    bad
}

fn decode_broken_utf8(bytes: &[u8], out: &mut String) -> bool {
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            out.push('\u{fffd}');
        }
    }
    true
}

fn decode_utf32(bytes: &[u8], out: &mut String) -> bool {
    let (units, rest) = bytes.as_chunks::<4>();
    let mut bad = !rest.is_empty();
    for unit in units {
        let c = char::from_u32(u32::from_be_bytes(*unit));
        bad |= c.is_none();
        out.push(c.unwrap_or('\u{fffd}'));
    }
    if !rest.is_empty() {
        out.push('\u{fffd}');
    }
    bad
}

/// The one set that is no superset of ASCII: Swedish letters in place of brackets and braces.
fn swe7(byte: u8) -> char {
    match byte {
        b'@' => 'É',
        b'[' => 'Ä',
        b'\\' => 'Ö',
        b']' => 'Å',
        b'^' => 'Ü',
        b'`' => 'é',
        b'{' => 'ä',
        b'|' => 'ö',
        b'}' => 'å',
        b'~' => 'ü',
        0x7f.. => '\u{fffd}',
        _ => char::from(byte),
    }
}

/// Ids of `information_schema.COLLATIONS`: those below 1024 from MySQL 5.6 to 9.7 and MariaDB, where the same id
/// means the same set in both; MariaDB's `nopad` twins at + 1024; and its UCA 14.0.0 family from 2048 on, 256 ids a set.
fn charset_of_collation(id: u16) -> Option<&'static str> {
    Some(match id {
        1 | 84 => "big5",
        2 | 9 | 21 | 27 | 77 => "latin2",
        3 | 69 => "dec8",
        4 | 80 => "cp850",
        5 | 8 | 15 | 31 | 47..=49 | 94 => "latin1",
        6 | 72 => "hp8",
        7 | 74 => "koi8r",
        10 | 82 => "swe7",
        11 | 65 => "ascii",
        12 | 91 => "ujis",
        13 | 88 => "sjis",
        14 | 23 | 50..=52 => "cp1251",
        16 | 71 => "hebrew",
        18 | 89 => "tis620",
        19 | 85 => "euckr",
        20 | 41 | 42 | 79 => "latin7",
        22 | 75 => "koi8u",
        24 | 86 => "gb2312",
        25 | 70 => "greek",
        26 | 34 | 44 | 66 | 99 => "cp1250",
        28 | 87 => "gbk",
        29 | 58 | 59 => "cp1257",
        30 | 78 => "latin5",
        32 | 64 => "armscii8",
        33 | 76 | 83 | 192..=215 | 223 | 576..=579 => "utf8mb3",
        35 | 90 | 128..=151 | 159 | 640..=643 => "ucs2",
        36 | 68 => "cp866",
        37 | 73 => "keybcs2",
        38 | 43 => "macce",
        39 | 53 => "macroman",
        40 | 81 => "cp852",
        45 | 46 | 224..=247 | 255..=323 | 608..=611 => "utf8mb4",
        54 | 55 | 101..=124 | 672..=675 => "utf16",
        56 | 62 => "utf16le",
        57 | 67 => "cp1256",
        60 | 61 | 160..=183 | 736..=739 => "utf32",
        63 => "binary",
        92 | 93 => "geostd8",
        95 | 96 => "cp932",
        97 | 98 => "eucjpms",
        248..=250 => "gb18030",
        1025..=2047 => return charset_of_collation(id - 1024),
        2048..=2303 => "utf8mb3",
        2304..=2559 => "utf8mb4",
        2560..=2815 => "ucs2",
        2816..=3071 => "utf16",
        3072..=3327 => "utf32",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(charset: &str, bytes: &[u8]) -> (String, bool) {
        let mut scratch = String::new();
        let text = Charset::of_name(charset).expect("a known set").decode(bytes, &mut scratch);
        (text.text.to_owned(), text.bad)
    }

    #[test]
    fn collations_of_both_servers_name_their_character_set() {
        for (id, name) in [
            (8, "latin1"),
            (28, "gbk"),
            (33, "utf8mb3"),
            (45, "utf8mb4"),
            (63, "binary"),
            (255, "utf8mb4"),
            (309, "utf8mb4"),
            (1032, "latin1"),
            (1216, "utf8mb3"),
            (2304, "utf8mb4"),
            (3072, "utf32"),
        ] {
            assert_eq!(Charset::of_collation(id).map(|c| c.name()), Ok(name), "{id}");
        }
        for id in [0, 17, 100, 400, 1024, 1041, 3400, u16::MAX] {
            assert_eq!(Charset::of_collation(id), Err(UnknownCollation(id)));
        }
        assert_eq!(Charset::of_name("klingon"), Err(UnknownCharset("klingon".into())));
    }

    #[test]
    fn every_collation_leads_to_a_decoder() {
        let known = (0..=u16::MAX).filter(|&id| Charset::of_collation(id).is_ok()).count();
        assert!(known > 1000, "{known}");
    }

    #[test]
    fn utf8_is_borrowed_and_broken_utf8_is_marked() {
        let mut scratch = String::new();
        let bytes = "naïve 你好 😀".as_bytes();
        let text = Charset::UTF8MB4.decode(bytes, &mut scratch);
        assert_eq!(text.text.as_ptr(), bytes.as_ptr());
        assert!(!text.bad);
        assert_eq!(decode("utf8mb4", b"a\xffb\xe4\xbd"), ("a\u{fffd}b\u{fffd}".into(), true));
        assert_eq!(decode("ascii", b"a\xe9"), ("a\u{fffd}".into(), true));
    }

    #[test]
    fn each_family_of_sets_decodes() {
        for (charset, bytes, text) in [
            ("latin1", &b"caf\xe9 \x80 \x81"[..], "café € \u{81}"),
            ("latin2", b"\xb1\xe6", "ąć"),
            ("latin5", b"\xfd\xfe", "ış"),
            ("latin7", b"\xe0", "ą"),
            ("greek", b"\xe1", "α"),
            ("hebrew", b"\xe0", "א"),
            ("tis620", b"\xa1", "ก"),
            ("koi8r", b"\xf0\xd2", "Пр"),
            ("koi8u", b"\xa4", "є"),
            ("cp1250", b"\x9a", "š"),
            ("cp1251", b"\xcf\xf0", "Пр"),
            ("cp1256", b"\xc7", "ا"),
            ("cp1257", b"\xe0", "ą"),
            ("cp850", b"\x82", "é"),
            ("cp852", b"\xa5", "ą"),
            ("cp866", b"\x8f", "П"),
            ("macroman", b"\x8e", "é"),
            ("gbk", b"\xc4\xe3\xba\xc3", "你好"),
            ("gb2312", b"\xc4\xe3\xa1\xa4", "你・"),
            ("gb18030", b"\xc4\xe3\x94\x39\xfc\x36", "你😀"),
            ("big5", b"\xa7\x41\xa1\x45", "你•"),
            ("sjis", b"\x93\xfa\x81\x60", "日〜"),
            ("cp932", b"\x93\xfa\x81\x60", "日～"),
            ("ujis", b"\xc6\xfc\xa1\xc1\xb1", "日〜\u{fffd}"),
            ("eucjpms", b"\xc6\xfc\xf5\xa1\x8f\xf3\xf3", "日\u{e000}ⅰ"),
            ("euckr", b"\xc7\xd1", "한"),
            ("ucs2", b"\x4f\x60", "你"),
            ("utf16", b"\x4f\x60\xd8\x3d\xde\x00", "你😀"),
            ("utf16le", b"\x60\x4f", "你"),
            ("utf32", b"\x00\x01\xf6\x00", "😀"),
            ("swe7", b"\x5b\x41", "ÄA"),
        ] {
            let (got, bad) = decode(charset, bytes);
            assert_eq!(got, text, "{charset}");
            assert_eq!(bad, text.contains('\u{fffd}'), "{charset}");
        }
    }

    #[test]
    fn undefined_bytes_are_marked_bad() {
        assert_eq!(decode("cp1250", b"\x81"), ("\u{fffd}".into(), true));
        assert_eq!(decode("utf32", b"\x00\x11\x00\x00\x00"), ("\u{fffd}\u{fffd}".into(), true));
        assert_eq!(decode("utf16", b"\xd8\x00"), ("\u{fffd}".into(), true));
        assert_eq!(decode("gbk", b"\xc4"), ("\u{fffd}".into(), true));
    }
}
