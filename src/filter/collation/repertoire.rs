//! The characters of a character set that is not Unicode's, and their codes in it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::table::Table;
use crate::change::charset::Charset;

/// Characters of one set.
#[derive(Debug)]
pub(crate) struct Repertoire {
    codes: HashMap<char, u32>,
    ambiguous: bool,
}

/// Sets of one and of two bytes a character that have been asked for.
static KNOWN: LazyLock<Mutex<HashMap<&'static str, Arc<Repertoire>>>> = LazyLock::new(Mutex::default);

impl Repertoire {
    /// That of a set whose characters have one byte, or two of which the first is no ASCII.
    pub(crate) fn of(charset: Charset) -> Option<Arc<Self>> {
        let double = match charset.name() {
            "gbk" | "gb2312" | "big5" => true,
            "utf8mb4" | "utf8mb3" | "binary" | "swe7" => return None,
            _ if charset.max_bytes() == 1 => false,
            _ => return None,
        };
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(known.entry(charset.name()).or_insert_with(|| Arc::new(Self::read(charset, double)))))
    }

    fn read(charset: Charset, double: bool) -> Self {
        let mut own = Self { codes: HashMap::new(), ambiguous: false };
        // The decoder takes more than the server's own set holds.
        let table = Table::of_name(&format!("{}_chinese_ci", charset.name())).filter(|_| double);
        let mut scratch = String::new();
        let mut take = |bytes: &[u8], code: u32| {
            let text = charset.decode(bytes, &mut scratch);
            let mut chars = text.text.chars();
            if let (false, Some(c), None) = (text.bad, chars.next(), chars.next())
                && table.as_ref().is_none_or(|table| table.has(c))
            {
                own.ambiguous |= own.codes.insert(c, code).is_some();
            }
        };
        for byte in 0..=if double { 0x7f } else { 0xff } {
            take(&[byte], byte.into());
        }
        let leads = double.then_some(0x81..=0xfe);
        for lead in leads.into_iter().flatten() {
            for trail in 0x40..=0xfe {
                take(&[lead, trail], u32::from(lead) << 8 | u32::from(trail));
            }
        }
        own
    }

    /// Whether no two codes stand for one character.
    pub(super) fn is_unambiguous(&self) -> bool {
        !self.ambiguous
    }

    pub(crate) fn has(&self, text: &str) -> bool {
        text.chars().all(|c| self.codes.contains_key(&c))
    }

    /// The bytes of the character as one number; what the set lacks comes behind all others.
    pub(super) fn code(&self, c: char) -> u32 {
        self.codes.get(&c).copied().unwrap_or(u32::MAX)
    }

    /// Bytes of the text in this set.
    pub(crate) fn length(&self, text: &str) -> usize {
        text.chars().map(|c| if self.code(c) > 0xff { 2 } else { 1 }).sum()
    }
}
