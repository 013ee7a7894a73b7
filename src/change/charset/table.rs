//! The tables behind [`super::Charset`], read once from the data files beside this one.

use std::sync::LazyLock;

use encoding_rs::Encoding;

/// The upper half of a single-byte set.
#[derive(Debug)]
pub(super) struct SingleByte {
    pub(super) name: &'static str,
    upper: [char; 128],
}

impl SingleByte {
    pub(super) fn char(&self, byte: u8) -> char {
        match byte.checked_sub(0x80) {
            None => char::from(byte),
            Some(place) => self.upper[usize::from(place)],
        }
    }
}

/// A multi-byte set: a WHATWG encoding and the codes where the server differs from it.
#[derive(Debug)]
pub(super) struct MultiByte {
    pub(super) name: &'static str,
    encoding: &'static Encoding,
    /// Code (the bytes as one big-endian number) to character, sorted by code.
    differing: Vec<(u32, char)>,
}

impl MultiByte {
    /// Appends the text of `bytes`; true when some did not decode.
    pub(super) fn decode(&self, bytes: &[u8], out: &mut String) -> bool {
        let mut bad = false;
        let (mut plain, mut at) = (0, 0);
        while at < bytes.len() {
            let (length, own) = self.character(&bytes[at..]);
            if let Some(c) = own {
                bad |= self.decode_plain(&bytes[plain..at], out);
                out.push(c);
                plain = at + length;
            }
            at += length;
        }
        bad | self.decode_plain(&bytes[plain..], out)
    }

    fn decode_plain(&self, bytes: &[u8], out: &mut String) -> bool {
        let (text, bad) = self.encoding.decode_without_bom_handling(bytes);
        out.push_str(&text);
        bad
    }

    /// Length of the first character and, where the server differs from the encoding, what it is.
    fn character(&self, bytes: &[u8]) -> (usize, Option<char>) {
        let length = self.length(bytes);
        let code = bytes[..length].iter().fold(0u32, |code, &b| (code << 8) | u32::from(b));
        if length == 1 {
            return (1, None);
        }
        if let Ok(found) = self.differing.binary_search_by_key(&code, |&(c, _)| c) {
            return (length, Some(self.differing[found].1));
        }
        (length, self.user_defined(&bytes[..length]))
    }

    fn length(&self, bytes: &[u8]) -> usize {
        let (lead, next) = (bytes[0], bytes.get(1).copied());
        let length = match self.name {
            "ujis" | "eucjpms" if lead == 0x8f => 3,
            "gb18030" if lead >= 0x81 && next.is_some_and(|b| b.is_ascii_digit()) => 4,
            // Half-width katakana are single bytes.
            "sjis" | "cp932" if (0xa0..=0xdf).contains(&lead) => 1,
            _ if lead >= 0x80 => 2,
            _ => 1,
        };
        // A character that is cut short, or whose second byte is no trail byte, is left to the encoding to judge.
        if length > bytes.len() || (length > 1 && next.is_none_or(|b| b < 0x30)) { 1 } else { length }
    }

    /// The user-defined rows of the two EUC sets: 94 characters a row into the private use area.
    fn user_defined(&self, code: &[u8]) -> Option<char> {
        if !matches!(self.name, "ujis" | "eucjpms") {
            return None;
        }
        let (base, lead, trail) = match *code {
            [lead, trail] => (0xe000, lead, trail),
            [0x8f, lead, trail] => (0xe3ac, lead, trail),
            _ => return None,
        };
        if !(0xf5..=0xfe).contains(&lead) || !(0xa1..=0xfe).contains(&trail) {
            return None;
        }
        char::from_u32(base + u32::from(lead - 0xf5) * 94 + u32::from(trail - 0xa1))
    }
}

static SINGLE_BYTE: LazyLock<Vec<SingleByte>> = LazyLock::new(|| {
    sections(include_str!("single_byte.txt"))
        .into_iter()
        .map(|(name, words)| {
            let mut upper = ['\u{fffd}'; 128];
            for (place, word) in words.into_iter().enumerate() {
                upper[place] = character(word);
            }
            SingleByte { name, upper }
        })
        .collect()
});

static MULTI_BYTE: LazyLock<Vec<MultiByte>> = LazyLock::new(|| {
    let differing = |set: &str| -> Vec<(u32, char)> {
        sections(include_str!("multi_byte.txt"))
            .into_iter()
            .find(|(name, _)| *name == set)
            .map(|(_, words)| words.into_iter().map(code_and_character).collect())
            .unwrap_or_default()
    };
    [
        ("big5", encoding_rs::BIG5),
        ("cp932", encoding_rs::SHIFT_JIS),
        ("eucjpms", encoding_rs::EUC_JP),
        ("euckr", encoding_rs::EUC_KR),
        ("gb18030", encoding_rs::GB18030),
        ("gb2312", encoding_rs::GBK),
        ("gbk", encoding_rs::GBK),
        ("sjis", encoding_rs::SHIFT_JIS),
        ("ujis", encoding_rs::EUC_JP),
    ]
    .into_iter()
    .map(|(name, encoding)| MultiByte { name, encoding, differing: differing(name) })
    .collect()
});

pub(super) fn single_byte(name: &str) -> Option<&'static SingleByte> {
    SINGLE_BYTE.iter().find(|set| set.name == name)
}

pub(super) fn multi_byte(name: &str) -> Option<&'static MultiByte> {
    MULTI_BYTE.iter().find(|set| set.name == name)
}

/// Sections of a data file: a line with a bare name, then lines of words; lines that begin with `#` are comments.
fn sections(file: &'static str) -> Vec<(&'static str, Vec<&'static str>)> {
    let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        match sections.last_mut() {
            Some((_, words)) if !is_name(line) => words.extend(line.split_ascii_whitespace()),
            _ => sections.push((line, Vec::new())),
        }
    }
    sections
}

fn is_name(line: &str) -> bool {
    !line.contains([' ', '='])
}

fn character(hex: &str) -> char {
    u32::from_str_radix(hex, 16).ok().and_then(char::from_u32).expect("the data file holds code points")
}

fn code_and_character(word: &str) -> (u32, char) {
    let (code, point) = word.split_once('=').expect("the data file holds code=point pairs");
    (u32::from_str_radix(code, 16).expect("the data file holds hexadecimal codes"), character(point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_files_are_whole() {
        assert_eq!(SINGLE_BYTE.len(), 23);
        for (name, words) in sections(include_str!("single_byte.txt")) {
            assert_eq!(words.len(), 128, "{name}");
        }
        for set in MULTI_BYTE.iter() {
            assert!(set.differing.is_sorted_by_key(|&(code, _)| code), "{}", set.name);
        }
        assert_eq!(multi_byte("sjis").expect("a known set").differing.len(), 7);
        assert_eq!(sections(include_str!("multi_byte.txt")).len(), 6);
    }
}
