//! A script's text to tokens.

use super::fault::{EtlError, Position, Reason};

/// What a token is. Names and texts are owned: escapes are resolved.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A bare name: of a function, a column, a variable, an argument.
    Name(String),
    /// A column in back-quotes.
    Column(String),
    Text(String),
    /// Digits, with or without a point and an exponent.
    Number(String),
    /// `( ) , ; ? : = == != > >= < <= + - * / % ! && ||`
    Sign(&'static str),
    /// A line break; between top-level actions it counts.
    Break,
    End,
}

impl Token {
    /// How an error names it.
    pub(super) fn describe(&self) -> String {
        match self {
            Token::Name(name) => name.clone(),
            Token::Column(name) => format!("`{name}`"),
            Token::Text(_) => "text".to_owned(),
            Token::Number(number) => number.clone(),
            Token::Sign(sign) => format!("\"{sign}\""),
            Token::Break => "the end of the line".to_owned(),
            Token::End => "the end of the script".to_owned(),
        }
    }
}

/// Longer ones first.
const SIGNS: [&str; 21] =
    ["==", "!=", ">=", "<=", "&&", "||", "(", ")", ",", ";", "?", ":", "=", ">", "<", "+", "-", "*", "/", "%", "!"];

struct Lexer<'t> {
    rest: &'t str,
    at: Position,
}

/// All tokens of a script, [`Token::End`] last.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, Position)>, EtlError> {
    let mut lexer = Lexer { rest: text, at: Position { line: 1, column: 1 } };
    let mut tokens = Vec::new();
    loop {
        lexer.blank();
        let at = lexer.at;
        let token = lexer.token().map_err(|reason| EtlError { at, reason })?;
        let end = token == Token::End;
        tokens.push((token, at));
        if end {
            return Ok(tokens);
        }
    }
}

impl Lexer<'_> {
    fn advance(&mut self, bytes: usize) {
        for c in self.rest[..bytes].chars() {
            if c == '\n' {
                self.at = Position { line: self.at.line + 1, column: 1 };
            } else {
                self.at.column += 1;
            }
        }
        self.rest = &self.rest[bytes..];
    }

    /// Spaces and comments, up to a line break.
    fn blank(&mut self) {
        loop {
            let spaces = self.rest.find(|c: char| c == '\n' || !c.is_whitespace()).unwrap_or(self.rest.len());
            self.advance(spaces);
            if !self.rest.starts_with('#') {
                return;
            }
            self.advance(self.rest.find('\n').unwrap_or(self.rest.len()));
        }
    }

    fn token(&mut self) -> Result<Token, Reason> {
        let Some(first) = self.rest.chars().next() else { return Ok(Token::End) };
        match first {
            '\n' => {
                self.advance(1);
                Ok(Token::Break)
            }
            '"' | '\'' => self.text(first),
            '`' => {
                let end = self.rest[1..].find(['`', '\n']).filter(|&end| self.rest.as_bytes()[end + 1] == b'`');
                let end = end.ok_or(Reason::Unclosed("column name"))?;
                let name = self.rest[1..=end].to_owned();
                if name.is_empty() {
                    return Err(Reason::Expected { expected: "a column name", found: "``".to_owned() });
                }
                self.advance(end + 2);
                Ok(Token::Column(name))
            }
            '0'..='9' => self.number(),
            c if c.is_alphabetic() || c == '_' || c == '$' => {
                let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
                let end = self.rest.find(|c: char| !is_part(c)).unwrap_or(self.rest.len());
                let name = self.rest[..end].to_owned();
                self.advance(end);
                Ok(Token::Name(name))
            }
            other => {
                let sign = SIGNS.iter().find(|sign| self.rest.starts_with(**sign)).ok_or(Reason::Character(other))?;
                self.advance(sign.len());
                Ok(Token::Sign(sign))
            }
        }
    }

    fn number(&mut self) -> Result<Token, Reason> {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let mut end = digits(self.rest);
        if self.rest[end..].starts_with('.') && digits(&self.rest[end + 1..]) > 0 {
            end += 1 + digits(&self.rest[end + 1..]);
        }
        if self.rest[end..].starts_with(['e', 'E']) {
            let sign = usize::from(self.rest[end + 1..].starts_with(['+', '-']));
            if digits(&self.rest[end + 1 + sign..]) > 0 {
                end += 1 + sign + digits(&self.rest[end + 1 + sign..]);
            }
        }
        let tail = self.rest[end..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len() - end);
        if tail > 0 {
            return Err(Reason::Number(self.rest[..end + tail].to_owned()));
        }
        let number = self.rest[..end].to_owned();
        self.advance(end);
        Ok(Token::Number(number))
    }

    fn text(&mut self, quote: char) -> Result<Token, Reason> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.advance(at + 1);
                    return Ok(Token::Text(text));
                }
                '\\' => {
                    let (at, escaped) = chars.next().ok_or(Reason::Unclosed("text"))?;
                    text.push(match escaped {
                        '\\' | '"' | '\'' => escaped,
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        'u' => {
                            let digits =
                                self.rest.get(at + 1..at + 5).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                            let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
                            let c = code.and_then(char::from_u32).ok_or(Reason::Escape)?;
                            chars.nth(3);
                            c
                        }
                        _ => return Err(Reason::Escape),
                    });
                }
                c => text.push(c),
            }
        }
        Err(Reason::Unclosed("text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<Token> {
        tokens(text).expect("tokens").into_iter().map(|(token, _)| token).collect()
    }

    #[test]
    fn every_kind_of_token_is_read() {
        let name = |n: &str| Token::Name(n.into());
        let number = |n: &str| Token::Number(n.into());
        assert_eq!(
            all("e_if(`größe` >= 1.5e3, 'it\\'s') # done\n;-5"),
            [
                name("e_if"),
                Token::Sign("("),
                Token::Column("größe".into()),
                Token::Sign(">="),
                number("1.5e3"),
                Token::Sign(","),
                Token::Text("it's".into()),
                Token::Sign(")"),
                Token::Break,
                Token::Sign(";"),
                Token::Sign("-"),
                number("5"),
                Token::End,
            ]
        );
        assert_eq!(all(r#""\\\"\n\r\t\u00e9""#)[0], Token::Text("\\\"\n\r\té".into()));
        assert_eq!(all("__DB__ 列")[..2], [name("__DB__"), name("列")]);
    }

    #[test]
    fn positions_count_lines_and_characters() {
        let found = tokens("ü = \n  `a`").expect("tokens");
        let places: Vec<(u32, u32)> = found.iter().map(|(_, at)| (at.line, at.column)).collect();
        assert_eq!(places, [(1, 1), (1, 3), (1, 5), (2, 3), (2, 6)]);
    }

    #[test]
    fn what_is_no_token_is_refused_where_it_stands() {
        for (text, column, reason) in [
            ("a 'b", 3, Reason::Unclosed("text")),
            ("`a\n`", 1, Reason::Unclosed("column name")),
            ("``", 1, Reason::Expected { expected: "a column name", found: "``".into() }),
            ("  @", 3, Reason::Character('@')),
            ("'\\x'", 1, Reason::Escape),
            ("'\\ud800'", 1, Reason::Escape),
            ("'\\u00'", 1, Reason::Escape),
            ("12x", 1, Reason::Number("12x".into())),
            ("'a\\", 1, Reason::Unclosed("text")),
        ] {
            let at = Position { line: 1, column };
            assert_eq!(tokens(text), Err(EtlError { at, reason }), "{text}");
        }
    }
}
