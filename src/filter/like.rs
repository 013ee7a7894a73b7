//! LIKE: one walk over text and pattern, going back to the last `%` where they part.

/// How a character of the pattern is matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part<U> {
    Any,
    One,
    This(U),
}

/// What LIKE walks over: characters of text, or bytes.
pub(super) trait Units: Clone {
    /// A character or a byte.
    type Unit: Copy + PartialEq;
    /// The next one.
    fn take(&mut self) -> Option<Self::Unit>;
    /// A wildcard or an escape as a unit.
    fn unit(c: char) -> Self::Unit;
}

impl Units for std::str::Chars<'_> {
    type Unit = char;

    fn take(&mut self) -> Option<char> {
        self.next()
    }

    fn unit(c: char) -> char {
        c
    }
}

impl Units for std::iter::Copied<std::slice::Iter<'_, u8>> {
    type Unit = u8;

    fn take(&mut self) -> Option<u8> {
        self.next()
    }

    fn unit(c: char) -> u8 {
        c as u8
    }
}

fn part<U: Units>(pattern: &mut U, escape: char) -> Option<Part<U::Unit>> {
    let unit = pattern.take()?;
    Some(if unit == U::unit(escape) {
        // At the end, the escape stands for itself.
        Part::This(pattern.take().unwrap_or(unit))
    } else if unit == U::unit('%') {
        Part::Any
    } else if unit == U::unit('_') {
        Part::One
    } else {
        Part::This(unit)
    })
}

/// Whether a wildcard or the escape itself is escaped right behind `%`, or behind the `_` that follow it. At the end, `%`
/// behind such a one leaves nothing to tell.
pub(super) fn escapes_behind_any(pattern: &str, escape: char) -> bool {
    let mut rest = pattern.chars();
    let mut behind_any = false;
    while let Some(c) = rest.next() {
        if c == escape {
            let escaped = rest.next();
            let special = escaped.is_some_and(|c| c == '%' || c == escape);
            if behind_any && special && !(escaped == Some('%') && rest.as_str() == "%") {
                return true;
            }
            behind_any = false;
        } else {
            behind_any = c == '%' || (behind_any && c == '_');
        }
    }
    false
}

/// Whether the pattern fits the whole text; `same` compares a unit of the text with one of the pattern.
pub(super) fn matches<U: Units>(
    mut text: U,
    mut pattern: U,
    escape: char,
    same: impl Fn(U::Unit, U::Unit) -> bool,
) -> bool {
    // Behind the last `%`: the pattern from there, and the text from where it is tried next.
    let mut back: Option<(U, U)> = None;
    loop {
        let mut after = pattern.clone();
        match part(&mut after, escape) {
            Some(Part::Any) => {
                back = Some((after.clone(), text.clone()));
                pattern = after;
                continue;
            }
            Some(wanted) => {
                let mut rest = text.clone();
                if let Some(unit) = rest.take()
                    && match wanted {
                        Part::This(other) => same(unit, other),
                        Part::One | Part::Any => true,
                    }
                {
                    (text, pattern) = (rest, after);
                    continue;
                }
            }
            None if text.clone().take().is_none() => return true,
            None => {}
        }
        let Some((from, tried)) = &mut back else { return false };
        if tried.take().is_none() {
            return false;
        }
        (text, pattern) = (tried.clone(), from.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(text: &str, pattern: &str) -> bool {
        matches(text.chars(), pattern.chars(), '\\', |a, b| a.eq_ignore_ascii_case(&b))
    }

    #[test]
    fn wildcards_and_escapes_match_as_on_the_server() {
        for (text, pattern, expected) in [
            ("", "", true),
            ("", "%", true),
            ("", "_", false),
            ("abc", "ABC", true),
            ("abc", "ab", false),
            ("abc", "a%", true),
            ("abc", "%c", true),
            ("abc", "%b", false),
            ("abcbc", "%bc", true),
            ("abcbd", "%b_", true),
            ("aXbXc", "a%x%c", true),
            ("你好", "你_", true),
            ("你好", "___", false),
            ("50%", "50\\%", true),
            ("50x", "50\\%", false),
            ("a\\", "a\\", true),
            ("a_b", "a\\_b", true),
            ("aab", "%a_", true),
            ("mississippi", "m%iss%ip%i", true),
            ("mississippi", "m%iss%ip%s", false),
        ] {
            assert_eq!(like(text, pattern), expected, "{text} {pattern}");
        }
        assert!(matches(b"a\xffb".iter().copied(), b"a_b".iter().copied(), '\\', |a, b| a == b));
    }
    #[test]
    fn what_is_escaped_behind_any_is_found() {
        for pattern in ["%|%", "a%|%b", "%%|%", "%_|%", "a%||", "x|%%|%y"] {
            assert!(escapes_behind_any(pattern, '|'), "{pattern}");
        }
        for pattern in ["", "%", "|%", "a|%", "%|%%", "%a|%", "|%|%", "%|_", "%|a", "||%", "%|"] {
            assert!(!escapes_behind_any(pattern, '|'), "{pattern}");
        }
    }
}
