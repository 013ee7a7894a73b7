//! A set of MySQL GTIDs.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::{GtidParseError, Intervals, Tag, Uuid};

/// A set of MySQL GTIDs, tagged ones included. Prints as `@@gtid_executed` does: sources by the bytes of their uuid,
/// separated by a comma and a newline; per source its untagged numbers first, then each tag with its own.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct GtidSet {
    /// Never holds an empty map or empty intervals.
    sources: BTreeMap<Uuid, BTreeMap<Tag, Intervals>>,
}

impl GtidSet {
    /// An empty set.
    pub fn new() -> GtidSet {
        GtidSet::default()
    }

    /// Whether there is no GTID.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// How many GTIDs there are.
    pub fn count(&self) -> u64 {
        self.iter().map(|(_, _, i)| i.count()).sum()
    }

    /// Adds one transaction. The ordinary case, the next one of a known source, allocates nothing.
    pub fn add(&mut self, uuid: Uuid, tag: &Tag, gno: i64) {
        if (1..i64::MAX).contains(&gno) {
            self.add_range(uuid, tag, gno, gno + 1);
        }
    }

    /// Adds the transactions `start..end` of one source.
    pub fn add_range(&mut self, uuid: Uuid, tag: &Tag, start: i64, end: i64) {
        if start >= end {
            return;
        }
        let tags = self.sources.entry(uuid).or_default();
        match tags.get_mut(tag) {
            Some(intervals) => intervals.add(start, end),
            None => tags.entry(tag.clone()).or_default().add(start, end),
        }
    }

    /// Whether the transaction is in the set.
    pub fn contains(&self, uuid: &Uuid, tag: &Tag, gno: i64) -> bool {
        self.intervals(uuid, tag).is_some_and(|i| i.contains(gno))
    }

    /// The transactions of one source.
    pub fn intervals(&self, uuid: &Uuid, tag: &Tag) -> Option<&Intervals> {
        self.sources.get(uuid)?.get(tag)
    }

    /// Whether every GTID is in `other` too.
    pub fn is_subset(&self, other: &GtidSet) -> bool {
        self.iter().all(|(uuid, tag, i)| other.intervals(uuid, tag).is_some_and(|o| i.is_subset(o)))
    }

    /// Adds every GTID of `other`.
    pub fn union(&mut self, other: &GtidSet) {
        for (uuid, tag, intervals) in other.iter() {
            for (start, end) in intervals.iter() {
                self.add_range(*uuid, tag, start, end);
            }
        }
    }

    /// Takes every GTID of `other` away.
    pub fn subtract(&mut self, other: &GtidSet) {
        for (uuid, tag, gone) in other.iter() {
            let Some(tags) = self.sources.get_mut(uuid) else { continue };
            if let Some(intervals) = tags.get_mut(tag) {
                gone.iter().for_each(|(start, end)| intervals.remove(start, end));
                if intervals.is_empty() {
                    tags.remove(tag);
                }
            }
            if tags.is_empty() {
                self.sources.remove(uuid);
            }
        }
    }

    /// What is in `self` and not in `other`.
    pub fn difference(&self, other: &GtidSet) -> GtidSet {
        let mut left = self.clone();
        left.subtract(other);
        left
    }

    /// Whether any GTID has a tag.
    pub fn has_tags(&self) -> bool {
        self.iter().any(|(_, tag, _)| !tag.is_empty())
    }

    /// Every source with its transactions, in the order of printing.
    pub fn iter(&self) -> impl Iterator<Item = (&Uuid, &Tag, &Intervals)> {
        self.sources.iter().flat_map(|(uuid, tags)| tags.iter().map(move |(tag, i)| (uuid, tag, i)))
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (uuid, tags)) in self.sources.iter().enumerate() {
            write!(f, "{}{uuid}", if i == 0 { "" } else { ",\n" })?;
            for (tag, intervals) in tags {
                if !tag.is_empty() {
                    write!(f, ":{tag}")?;
                }
                for (start, end) in intervals.iter() {
                    match end - 1 {
                        last if last == start => write!(f, ":{start}")?,
                        last => write!(f, ":{start}-{last}")?,
                    }
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl FromStr for GtidSet {
    type Err = GtidParseError;

    /// Reads what the server prints, with spaces and newlines anywhere between the parts; the empty text is the empty
    /// set. A tag holds for the numbers after it, up to the next tag or source.
    fn from_str(text: &str) -> Result<GtidSet, GtidParseError> {
        let mut set = GtidSet::new();
        for source in text.split(',').map(str::trim).filter(|s| !s.is_empty()) {
            let mut parts = source.split(':').map(str::trim);
            let uuid: Uuid = parts.next().unwrap_or_default().parse()?;
            let (mut tag, mut ranges) = (Tag::default(), 0);
            for part in parts {
                if part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                    tag = part.parse()?;
                    continue;
                }
                let (start, end) = match part.split_once('-') {
                    Some((start, end)) => (number(start)?, number(end)?),
                    None => (number(part)?, number(part)?),
                };
                if end < start {
                    return Err(GtidParseError::new(part, "a rising range of transaction numbers"));
                }
                set.add_range(uuid, &tag, start, end + 1);
                ranges += 1;
            }
            if ranges == 0 {
                return Err(GtidParseError::new(source, "a source with transaction numbers"));
            }
        }
        Ok(set)
    }
}

/// Transaction numbers are 1 to 2^63 - 2.
fn number(text: &str) -> Result<i64, GtidParseError> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<i64>() {
        Ok(n) if digits && (1..i64::MAX).contains(&n) => Ok(n),
        _ => Err(GtidParseError::new(text, "a transaction number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "01e36940-b5f4-11f0-9c3e-b6a1d6ab1c01";
    const B: &str = "f1e36940-b5f4-11f0-9c3e-b6a1d6ab1c01";

    fn set(text: &str) -> GtidSet {
        text.parse().unwrap()
    }

    #[test]
    fn prints_what_the_server_prints() {
        for text in [
            String::new(),
            format!("{A}:1"),
            format!("{A}:1-5:7:9-10,\n{B}:3"),
            format!("{A}:1-20264:mytag:1:3-4:other:1,\n{B}:onlytag:5"),
        ] {
            assert_eq!(set(&text).to_string(), text);
        }
        assert_eq!(
            set(&format!(" {B}:7 , {A} : 3 - 5:1-2:6,, {A}:TAG:1 ")).to_string(),
            format!("{A}:1-6:tag:1,\n{B}:7")
        );
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in [
            A.to_owned(),
            format!("{A}:"),
            format!("{A}:0"),
            format!("{A}:5-3"),
            format!("{A}:1-"),
            format!("{A}:tag"),
            format!("{A}:-1"),
            format!("{A}:+1"),
            format!("{A}:9223372036854775807"),
            format!("{A}:1 2"),
            "x:1".into(),
        ] {
            assert!(text.parse::<GtidSet>().is_err(), "{text}");
        }
    }

    #[test]
    fn tags_of_one_server_are_sources_of_their_own() {
        let uuid: Uuid = A.parse().unwrap();
        let (none, tag) = (Tag::default(), "t".parse::<Tag>().unwrap());
        let mut s = set(&format!("{A}:1-5"));
        assert!(s.contains(&uuid, &none, 5) && !s.contains(&uuid, &tag, 5) && !s.contains(&uuid, &none, 6));
        s.add(uuid, &tag, 5);
        s.add(uuid, &none, 0);
        s.add(uuid, &none, i64::MAX);
        assert_eq!((s.to_string(), s.count(), s.has_tags()), (format!("{A}:1-5:t:5"), 6, true));
    }

    #[test]
    fn union_difference_and_subset_agree() {
        let a = set(&format!("{A}:1-10:t:1-3,{B}:5"));
        let b = set(&format!("{A}:4-6:t:1-3"));
        assert!(b.is_subset(&a) && !a.is_subset(&b) && GtidSet::new().is_subset(&b));
        let left = a.difference(&b);
        assert_eq!(left.to_string(), format!("{A}:1-3:7-10,\n{B}:5"));
        let mut again = left.clone();
        again.union(&b);
        assert_eq!(again, a);
        assert!(a.difference(&a).is_empty());
    }
}
