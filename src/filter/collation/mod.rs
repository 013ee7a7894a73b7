//! How the server orders text: by the collations whose weights are known exactly; all others are refused by name.
//!
//! Weights, sequences and cases are the servers' own answers, written by `ops/collations` into `tables.bin`.

mod repertoire;
mod table;
mod weights;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

pub(super) use repertoire::Repertoire;
use table::Table;
use weights::Weights;

use crate::change::charset::Charset;

/// A collation that is evaluated exactly.
#[derive(Debug)]
pub(super) struct Collation {
    order: Order,
    /// Whether trailing spaces do not count.
    pad: bool,
    /// Where LOWER and UPPER are looked up.
    cases: Arc<Table>,
    /// Whether characters differ in length.
    utf8: bool,
    /// Whether it is one of the Unicode collation algorithm.
    unicode: bool,
}

#[derive(Debug)]
enum Order {
    /// By code point, which is the order of the bytes of UTF-8.
    Code,
    /// By the bytes of another character set.
    OwnCode(Arc<Repertoire>),
    /// By weights, level by level.
    Weights { table: Arc<Table>, levels: &'static [usize], alike: Alike },
}

/// When LIKE takes two characters for one.
#[derive(Debug, Clone, Copy)]
enum Alike {
    /// Their weights are the same on these levels.
    Levels(&'static [usize]),
    /// The same, in the first 65,536 characters; others only equal themselves.
    BasicPlane,
    /// The same, of ASCII; others only equal themselves.
    Ascii,
}

const FIRST: &[usize] = &[0];
const FIRST_TWO: &[usize] = &[0, 1];
const FIRST_AND_THIRD: &[usize] = &[0, 2];
const ALL: &[usize] = &[0, 1, 2];

impl Collation {
    /// The collation of this name, as MySQL 8 prints it; none when its order is not known exactly.
    pub(super) fn of_name(name: &str, charset: Charset) -> Option<Self> {
        let rest = name.strip_prefix(charset.name())?.strip_prefix('_')?;
        let nopad = rest.contains("nopad_");
        let padded = rest.replace("nopad_", "");
        let (order, pad, cases) = match charset.name() {
            "utf8mb4" | "utf8mb3" => Self::of_unicode(&padded)?,
            _ => Self::of_other(&padded, charset)?,
        };
        let unicode = charset.is_utf8() && ["unicode", "0900", "uca"].iter().any(|head| padded.starts_with(head));
        Some(Self { order, pad: pad && !nopad, cases, utf8: charset.is_utf8(), unicode })
    }

    /// Whether it is one of the Unicode collation algorithm.
    pub(super) fn is_unicode(&self) -> bool {
        self.unicode
    }

    /// What literals of a session have: `utf8mb4_general_ci`, which every server has.
    pub(super) fn of_session() -> Self {
        Self::of_name("utf8mb4_general_ci", Charset::UTF8MB4).expect("its table is there")
    }

    fn of_unicode(rest: &str) -> Option<(Order, bool, Arc<Table>)> {
        let (name, levels, pad) = match rest {
            "bin" => return Some((Order::Code, true, Table::of_name("bin")?)),
            "0900_bin" => return Some((Order::Code, false, Table::of_name("0900_bin")?)),
            "general_ci" => ("general", FIRST, true),
            "general_mysql500_ci" => ("mysql500", FIRST, true),
            "unicode_ci" => ("unicode", FIRST, true),
            "unicode_520_ci" => ("unicode_520", FIRST, true),
            "0900_ai_ci" => ("0900", FIRST, false),
            "0900_as_ci" => ("0900", FIRST_TWO, false),
            "0900_as_cs" => ("0900", ALL, false),
            "uca1400_ai_ci" => ("uca1400", FIRST, true),
            "uca1400_ai_cs" => ("uca1400", FIRST_AND_THIRD, true),
            "uca1400_as_ci" => ("uca1400", FIRST_TWO, true),
            "uca1400_as_cs" => ("uca1400", ALL, true),
            _ => return None,
        };
        let table = Table::of_name(name)?;
        let alike = if name == "unicode" { Alike::BasicPlane } else { Alike::Levels(levels) };
        Some((Order::Weights { table: Arc::clone(&table), levels, alike }, pad, table))
    }

    fn of_other(rest: &str, charset: Charset) -> Option<(Order, bool, Arc<Table>)> {
        let name = format!("{}_{rest}", charset.name());
        if rest == "bin" {
            let repertoire = Repertoire::of(charset).filter(|repertoire| repertoire.is_unambiguous())?;
            let cases = Table::names().find(|name| name.split('_').next() == Some(charset.name()))?;
            return Some((Order::OwnCode(repertoire), true, Table::of_name(cases)?));
        }
        let table = Table::of_name(&name)?;
        let alike = if charset.max_bytes() > 1 { Alike::Ascii } else { Alike::Levels(FIRST) };
        Some((Order::Weights { table: Arc::clone(&table), levels: FIRST, alike }, true, table))
    }

    pub(super) fn compare(&self, left: &str, right: &str) -> Ordering {
        if left == right {
            return Ordering::Equal;
        }
        match &self.order {
            Order::Code => self.ordered(left.chars().map(u32::from), right.chars().map(u32::from), u32::from(' ')),
            Order::OwnCode(own) => {
                let code = |c| own.code(c);
                self.ordered(left.chars().map(code), right.chars().map(code), u32::from(' '))
            }
            Order::Weights { table, levels, .. } => levels
                .iter()
                .map(|&level| {
                    let space = table.space(level);
                    self.ordered(Weights::new(table, left, level), Weights::new(table, right, level), space)
                })
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal),
        }
    }

    /// Two rows of weights; the shorter one goes on with spaces where those do not count.
    fn ordered<W: PartialOrd + Ord + Copy>(
        &self,
        mut left: impl Iterator<Item = W>,
        mut right: impl Iterator<Item = W>,
        space: W,
    ) -> Ordering {
        loop {
            let (a, b) = match (left.next(), right.next()) {
                (None, None) => return Ordering::Equal,
                (a, b) if self.pad => (a.unwrap_or(space), b.unwrap_or(space)),
                (Some(a), Some(b)) => (a, b),
                (a, b) => return a.is_some().cmp(&b.is_some()),
            };
            if a != b {
                return a.cmp(&b);
            }
        }
    }

    /// Whether LIKE takes the two for one.
    pub(super) fn alike(&self, a: char, b: char) -> bool {
        if a == b {
            return true;
        }
        match &self.order {
            Order::Code | Order::OwnCode(_) => false,
            Order::Weights { table, alike, .. } => match alike {
                Alike::Levels(levels) => levels.iter().all(|&level| table.same(a, b, level)),
                Alike::BasicPlane => a <= '\u{ffff}' && b <= '\u{ffff}' && table.same(a, b, 0),
                Alike::Ascii => a.is_ascii() && b.is_ascii() && table.same(a, b, 0),
            },
        }
    }

    /// LOWER or UPPER of the text; `in_place` as MySQL does it.
    pub(super) fn with_case<'s>(&self, text: Cow<'s, str>, upper: bool, in_place: bool) -> Cow<'s, str> {
        self.cases.with_case(text, upper, in_place && self.utf8)
    }
}

#[cfg(test)]
mod tests;
