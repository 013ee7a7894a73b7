//! Text to tokens, as the server's own lexer reads them in an empty `sql_mode`.

use super::error::{FilterError, FilterFault, Place};

/// One token and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) place: Place,
    pub(super) kind: TokenKind,
    /// Whether it follows the one before without anything between.
    pub(super) adjacent: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    /// A word without quotes.
    Word(String),
    /// A name in backquotes.
    Quoted(String),
    Text(String),
    Int(u64),
    Decimal(String),
    Double(f64),
    Hex(Vec<u8>),
    Symbol(&'static str),
    End,
}

impl TokenKind {
    /// As errors show it.
    pub(super) fn shown(&self) -> String {
        const CHARS_MAX: usize = 40;
        let short = |text: &str| match text.char_indices().nth(CHARS_MAX) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text.to_owned(),
        };
        match self {
            Self::Word(word) => format!("{:?}", short(word)),
            Self::Quoted(name) => format!("`{}`", short(name)),
            Self::Text(text) => format!("'{}'", short(text)),
            Self::Int(number) => number.to_string(),
            Self::Decimal(digits) => short(digits),
            Self::Double(number) => format!("{number:e}"),
            Self::Hex(_) => "a hexadecimal literal".into(),
            Self::Symbol(symbol) => format!("{symbol:?}"),
            Self::End => "the end of the condition".into(),
        }
    }
}

const SYMBOLS: [&str; 16] = ["<=>", "<=", ">=", "<>", "!=", "(", ")", ",", "=", "<", ">", "+", "-", "*", "/", "%"];

/// What stands for SQL that has no place in a filter.
const REFUSED: [(&str, &str, &str); 15] = [
    ("\"", "a double quote", "write text in single quotes and names in backquotes"),
    (";", "a semicolon", "a filter is one condition, without an end mark"),
    ("/*", "a comment", "write the condition alone"),
    ("#", "a comment", "write the condition alone"),
    ("||", "the operator ||", "write OR, or CONCAT for text"),
    ("&&", "the operator &&", "write AND"),
    ("|", "the operator |", "there are no bit operators"),
    ("&", "the operator &", "there are no bit operators"),
    ("^", "the operator ^", "there are no bit operators"),
    ("~", "the operator ~", "there are no bit operators"),
    ("<<", "the operator <<", "there are no bit operators"),
    (">>", "the operator >>", "there are no bit operators"),
    ("!", "the operator !", "write NOT"),
    ("@", "a variable", "only columns and literals have values here"),
    ("?", "a parameter", "only columns and literals have values here"),
];

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    place: Place,
}

/// All tokens, the last one [`TokenKind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, FilterError> {
    let mut lexer = Lexer { text, at: 0, place: Place { line: 1, column: 1 } };
    let mut tokens = Vec::new();
    loop {
        let adjacent = !lexer.skip_blanks();
        let place = lexer.place;
        let kind = lexer.token()?;
        let ended = kind == TokenKind::End;
        tokens.push(Token { place, kind, adjacent });
        if ended {
            return Ok(tokens);
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || c >= '\u{80}'
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn advance(&mut self, bytes: usize) {
        for c in self.text[self.at..self.at + bytes].chars() {
            if c == '\n' {
                self.place = Place { line: self.place.line + 1, column: 1 };
            } else {
                self.place.column += 1;
            }
        }
        self.at += bytes;
    }

    fn skip_blanks(&mut self) -> bool {
        let blanks = self.rest().len() - self.rest().trim_start_matches([' ', '\t', '\r', '\n', '\x0b', '\x0c']).len();
        self.advance(blanks);
        blanks > 0
    }

    fn refuse<T>(&self, what: impl Into<String>, instead: &'static str) -> Result<T, FilterError> {
        Err(FilterError { place: self.place, fault: FilterFault::Refused { what: what.into(), instead } })
    }

    fn unexpected<T>(&self, found: impl Into<String>, expected: &'static str) -> Result<T, FilterError> {
        Err(FilterError { place: self.place, fault: FilterFault::Unexpected { found: found.into(), expected } })
    }

    fn token(&mut self) -> Result<TokenKind, FilterError> {
        let rest = self.rest();
        let Some(first) = self.peek() else { return Ok(TokenKind::End) };
        if first == '\'' {
            return self.string().map(TokenKind::Text);
        }
        if first == '`' {
            return self.quoted();
        }
        if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            return self.number();
        }
        if is_word(first) {
            return self.word();
        }
        if first == '.' {
            return self.refuse("a qualified name", "write the column alone");
        }
        if rest.strip_prefix("--").is_some_and(|after| after.chars().next().is_none_or(char::is_whitespace)) {
            return self.refuse("a comment", "write the condition alone");
        }
        // The longer of what is refused and what is known wins: `!=` is no `!`, `<<` is no `<`.
        let refused = REFUSED.iter().filter(|(text, ..)| rest.starts_with(text)).max_by_key(|(text, ..)| text.len());
        let symbol = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol));
        match (symbol, refused) {
            (Some(symbol), refused) if refused.is_none_or(|(text, ..)| text.len() < symbol.len()) => {
                self.advance(symbol.len());
                Ok(TokenKind::Symbol(symbol))
            }
            (_, Some((_, what, instead))) => self.refuse(*what, instead),
            _ => self.unexpected(format!("{first:?}"), "a column, a literal, an operator or a bracket"),
        }
    }

    fn word(&mut self) -> Result<TokenKind, FilterError> {
        let rest = self.rest();
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let word = &rest[..end];
        if rest[end..].starts_with('\'') {
            if word.eq_ignore_ascii_case("x") {
                return self.quoted_digits(16);
            }
            if word.eq_ignore_ascii_case("b") {
                return self.quoted_digits(2);
            }
            if word.eq_ignore_ascii_case("n") || word.starts_with('_') {
                return self.refuse("a character set before a literal", "write the text in quotes alone");
            }
        }
        self.advance(end);
        Ok(TokenKind::Word(word.to_owned()))
    }

    fn quoted(&mut self) -> Result<TokenKind, FilterError> {
        let mut name = String::new();
        let mut chars = self.rest().char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            if c != '`' {
                name.push(c);
            } else if chars.next_if(|(_, c)| *c == '`').is_some() {
                name.push('`');
            } else {
                self.advance(at + 1);
                return Ok(TokenKind::Quoted(name));
            }
        }
        self.unexpected("a name that does not end", "a closing backquote")
    }

    /// Text in single quotes, with the server's escapes; `\%` and `\_` keep their backslash, for LIKE.
    fn string(&mut self) -> Result<String, FilterError> {
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                '\'' if chars.next_if(|(_, c)| *c == '\'').is_some() => text.push('\''),
                '\'' => {
                    self.advance(at + 1);
                    return Ok(text);
                }
                '\\' => match chars.next() {
                    Some((_, '0')) => text.push('\0'),
                    Some((_, 'b')) => text.push('\x08'),
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 'r')) => text.push('\r'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, 'Z')) => text.push('\x1a'),
                    Some((_, wildcard @ ('%' | '_'))) => text.extend(['\\', wildcard]),
                    Some((_, other)) => text.push(other),
                    None => break,
                },
                other => text.push(other),
            }
        }
        self.unexpected("text that does not end", "a closing single quote")
    }

    /// `X'4D'`, `b'01'`, after the letter.
    fn quoted_digits(&mut self, radix: u32) -> Result<TokenKind, FilterError> {
        let rest = self.rest();
        let Some(digits) = rest[2..].split_once('\'').map(|(digits, _)| digits) else {
            return self.unexpected("a literal that does not end", "a closing single quote");
        };
        if radix == 16 && digits.len() % 2 == 1 {
            return self.unexpected("an odd number of digits", "two digits a byte");
        }
        let Some(bytes) = bytes_of_digits(digits, radix) else {
            return self.unexpected(format!("'{digits}'"), "digits of its base in the literal");
        };
        self.advance(digits.len() + 3);
        Ok(TokenKind::Hex(bytes))
    }

    fn number(&mut self) -> Result<TokenKind, FilterError> {
        let rest = self.rest();
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let word = &rest[..end];
        for (prefix, radix) in [("0x", 16), ("0b", 2)] {
            // Only lower case begins a number; `0X41` is a name to the server.
            if let Some(bytes) = word.strip_prefix(prefix).and_then(|digits| bytes_of_digits(digits, radix)) {
                if bytes.is_empty() {
                    break;
                }
                self.advance(end);
                return Ok(TokenKind::Hex(bytes));
            }
        }
        let digits =
            |from: usize| rest[from..].len() - rest[from..].trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let mut end = digits(0);
        let mut exact = true;
        let whole = end;
        if rest[end..].starts_with('.') {
            end += 1 + digits(end + 1);
        }
        let has_point = end > whole;
        if rest[end..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
            let exponent = digits(end + 1 + sign);
            if exponent > 0 {
                end += 1 + sign + exponent;
                exact = false;
            }
        }
        let number = &rest[..end];
        if rest[end..].starts_with(is_word) {
            return self.unexpected(format!("{word:?}"), "a number, or a name in backquotes");
        }
        let kind = if !exact {
            match number.parse::<f64>() {
                Ok(value) if value.is_finite() => TokenKind::Double(value),
                _ => return self.unexpected(number, "a number that a DOUBLE can hold"),
            }
        } else if has_point {
            TokenKind::Decimal(number.to_owned())
        } else {
            number.parse().map_or_else(|_| TokenKind::Decimal(number.to_owned()), TokenKind::Int)
        };
        self.advance(end);
        Ok(kind)
    }
}

/// Digits of base 16 or 2 to bytes, zeros in front where a byte is not full.
fn bytes_of_digits(digits: &str, radix: u32) -> Option<Vec<u8>> {
    let a_byte = if radix == 16 { 2 } else { 8 };
    if !digits.bytes().all(|b| char::from(b).is_digit(radix)) {
        return None;
    }
    let lead = digits.len() % a_byte;
    let (first, rest) = digits.split_at(lead);
    let groups = std::iter::once(first).filter(|first| !first.is_empty()).map(str::as_bytes);
    let groups = groups.chain(rest.as_bytes().chunks(a_byte));
    groups.map(|group| u8::from_str_radix(std::str::from_utf8(group).ok()?, radix).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<TokenKind> {
        let mut kinds: Vec<_> = tokens(text).expect("tokens").into_iter().map(|token| token.kind).collect();
        assert_eq!(kinds.pop(), Some(TokenKind::End));
        kinds
    }

    #[test]
    fn numbers_are_of_three_kinds_and_hexadecimals() {
        use TokenKind::*;
        assert_eq!(kinds("12 18446744073709551615"), [Int(12), Int(u64::MAX)]);
        assert_eq!(
            kinds("18446744073709551616 1.50 .5 7."),
            [
                Decimal("18446744073709551616".into()),
                Decimal("1.50".into()),
                Decimal(".5".into()),
                Decimal("7.".into())
            ]
        );
        assert_eq!(kinds("1e3 2.5E-1"), [Double(1000.0), Double(0.25)]);
        assert_eq!(kinds("0x4d4 X'4D' b'101' 0b1"), [Hex(vec![4, 0xd4]), Hex(vec![0x4d]), Hex(vec![5]), Hex(vec![1])]);
    }

    #[test]
    fn text_has_the_servers_escapes() {
        assert_eq!(kinds(r"'it''s \'\\\n\%\q'"), [TokenKind::Text("it's '\\\n\\%q".into())]);
        assert_eq!(kinds("`a``b`"), [TokenKind::Quoted("a`b".into())]);
    }

    #[test]
    fn what_is_no_filter_is_refused_by_name_and_place() {
        for (text, message) in [
            (
                "a =\n \"x\"",
                "line 2, column 2: a double quote cannot be used in a filter: write text in single quotes and names in backquotes",
            ),
            (
                "a = 1;",
                "line 1, column 6: a semicolon cannot be used in a filter: a filter is one condition, without an end mark",
            ),
            ("a || b", "line 1, column 3: the operator || cannot be used in a filter: write OR, or CONCAT for text"),
            ("!a", "line 1, column 1: the operator ! cannot be used in a filter: write NOT"),
            ("a << 1", "line 1, column 3: the operator << cannot be used in a filter: there are no bit operators"),
            ("é = 'x", "line 1, column 5: found text that does not end, expected a closing single quote"),
            ("a = 1 -- x", "line 1, column 7: a comment cannot be used in a filter: write the condition alone"),
            (
                "a = _utf8'x'",
                "line 1, column 5: a character set before a literal cannot be used in a filter: write the text in quotes alone",
            ),
            ("a = 1e999", "line 1, column 5: found 1e999, expected a number that a DOUBLE can hold"),
            ("a = 12ab", "line 1, column 5: found \"12ab\", expected a number, or a name in backquotes"),
            ("a = X'4'", "line 1, column 5: found an odd number of digits, expected two digits a byte"),
        ] {
            assert_eq!(tokens(text).expect_err(text).to_string(), message);
        }
        assert_eq!(kinds("a != b").len(), 3);
        assert_eq!(kinds("1--1").len(), 4);
    }
}
