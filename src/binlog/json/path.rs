//! Paths into a document, in the server's notation: `$`, then `.key`, `."any key"`, `[3]`, `[last]`, `[last-1]`.

use std::fmt;

/// A path that leads to one place at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<Leg>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leg {
    Key(String),
    Cell(Cell),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    FromStart(usize),
    /// 0 is the last one.
    FromEnd(usize),
}

impl Cell {
    /// The index in an array of this length, which may lie behind its end; none before its start.
    pub(super) fn resolve(self, len: usize) -> Option<usize> {
        match self {
            Cell::FromStart(at) => Some(at),
            Cell::FromEnd(back) => len.checked_sub(back.checked_add(1)?),
        }
    }
}

/// Text that is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathError {
    /// Where in the text, in bytes.
    pub offset: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.offset)
    }
}

impl std::error::Error for PathError {}

impl Path {
    pub(super) fn legs(&self) -> &[Leg] {
        &self.0
    }

    /// Reads a path. Wildcards are refused: a path leads to one place.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str) -> Result<Path, PathError> {
        let fail = |rest: &str, reason| PathError { offset: text.len() - rest.len(), reason };
        let mut rest = text.trim_start();
        rest = rest.strip_prefix('$').ok_or_else(|| fail(rest, "a path begins with $"))?;
        let mut legs = Vec::new();
        loop {
            rest = rest.trim_start();
            let Some(first) = rest.chars().next() else { return Ok(Path(legs)) };
            let here = rest;
            rest = rest[first.len_utf8()..].trim_start();
            match first {
                _ if rest.starts_with('*') || first == '*' => {
                    return Err(fail(here, "wildcards are not supported"));
                }
                '.' if rest.starts_with('"') => {
                    let end = closing_quote(rest.as_bytes()).ok_or_else(|| fail(rest, "the quoted key has no end"))?;
                    let key = match super::Document::parse(&rest[..=end]) {
                        Ok(super::Document::String(key)) => key,
                        _ => return Err(fail(rest, "the quoted key is no JSON string")),
                    };
                    legs.push(Leg::Key(key));
                    rest = &rest[end + 1..];
                }
                '.' => {
                    let is_key = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
                    let end = rest.find(|c: char| !is_key(c)).unwrap_or(rest.len());
                    if end == 0 || rest.starts_with(|c: char| c.is_ascii_digit()) {
                        return Err(fail(rest, "a key is a name, or any text in double quotes"));
                    }
                    legs.push(Leg::Key(rest[..end].to_owned()));
                    rest = &rest[end..];
                }
                '[' => {
                    let end = rest.find(']').ok_or_else(|| fail(rest, "the bracket has no end"))?;
                    let wrong = || fail(rest, "brackets hold a number, last, or last-N");
                    legs.push(Leg::Cell(cell(rest[..end].trim()).ok_or_else(wrong)?));
                    rest = &rest[end + 1..];
                }
                _ => return Err(fail(here, "expected . or [")),
            }
        }
    }
}

fn cell(text: &str) -> Option<Cell> {
    let number = |digits: &str| {
        let digits = digits.trim();
        (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
    };
    match text.strip_prefix("last") {
        Some("") => Some(Cell::FromEnd(0)),
        Some(back) => number(back.trim_start().strip_prefix('-')?).map(Cell::FromEnd),
        None => number(text).map(Cell::FromStart),
    }
}

/// Where the string that begins with the quote at 0 ends.
pub(super) fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (i, &c) in text.iter().enumerate().skip(1) {
        match c {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(i),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_leg_is_read() {
        let key = |text: &str| Leg::Key(text.into());
        let legs = |text: &str| Path::parse(text).map(|path| path.0);
        assert_eq!(legs("$"), Ok(vec![]));
        assert_eq!(
            legs(r#" $ .a [3] . "x \"y\"" [last] [last - 2]"#),
            Ok(vec![
                key("a"),
                Leg::Cell(Cell::FromStart(3)),
                key("x \"y\""),
                Leg::Cell(Cell::FromEnd(0)),
                Leg::Cell(Cell::FromEnd(2)),
            ])
        );
    }

    #[test]
    fn what_is_no_path_is_refused_where_it_goes_wrong() {
        for (text, offset) in
            [("", 0), ("a", 0), ("$a", 1), ("$.", 2), ("$.1", 2), ("$[", 2), ("$[x]", 2), ("$[-1]", 2), ("$.a*", 3)]
        {
            assert_eq!(Path::parse(text).map_err(|e| e.offset), Err(offset), "{text}");
        }
        for text in ["$.*", "$[*]", "$**.a", "$.\"a", "$[last+1]", "$[99999999999999999999]"] {
            assert!(Path::parse(text).is_err(), "{text}");
        }
    }
}
