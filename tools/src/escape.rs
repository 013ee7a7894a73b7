//! Text of the source on its way to a terminal. Names and values are anyone's: a value may hold the escape sequence
//! that clears the screen, renames the window or types into the shell, and a name may turn the direction of writing.

use std::borrow::Cow;
use std::fmt;

/// Whether a character may move, recolour or reorder what a terminal shows.
fn is_active(c: char) -> bool {
    // C0, DEL and C1 (U+009B is CSI); line and paragraph separators; marks that change the direction of text
    // (Unicode TR #9, and the attack of CVE-2021-42574).
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Shows text with what a terminal would act on as visible escapes (`\u{1b}`).
#[derive(Debug, Clone, Copy)]
pub struct Plain<'a>(pub &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&plain(self.0))
    }
}

/// See [`Plain`].
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_active) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_active(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Shows text in double quotes, unambiguously: quotes and backslashes are escaped too.
#[derive(Debug, Clone, Copy)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::with_capacity(self.0.len() + 2);
        out.push('"');
        for c in self.0.chars() {
            if is_active(c) || c == '"' || c == '\\' { out.extend(c.escape_default()) } else { out.push(c) }
        }
        out.push('"');
        f.pad(&out)
    }
}

/// JSON text in which nothing acts on a terminal: the same value, with more of it written as `\uXXXX`. JSON itself
/// escapes only what lies below U+0020.
pub fn json_for_terminal(json: &str) -> Cow<'_, str> {
    if !json.contains(|c| is_active(c) && c >= ' ') {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_active(c) && c >= ' ' {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_on_passes() {
        assert_eq!(Plain("shop.orders, größer 表").to_string(), "shop.orders, größer 表");
        assert_eq!(Plain("\x1b]0;x\x07").to_string(), r"\u{1b}]0;x\u{7}");
        assert_eq!(Plain("a\n\u{9b}31m\u{202e}b").to_string(), r"a\n\u{9b}31m\u{202e}b");
        assert_eq!(Quoted("say \"hi\"\\\x1b").to_string(), r#""say \"hi\"\\\u{1b}""#);
    }

    #[test]
    fn json_keeps_its_value() {
        let json = "{\"a\":\"\u{9b}31m \u{7f} \u{202e}\"}";
        let safe = json_for_terminal(json);
        assert!(!safe.contains(is_active), "{safe:?}");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("json");
        assert_eq!(value(&safe), value(json));
    }
}
