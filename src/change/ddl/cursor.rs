//! A place in a statement's tokens, and the small readings that every kind of DDL shares.

use super::lexer::Token;
use super::{ObjectName, Reason};

/// Reads tokens from front to back.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    tokens: &'a [Token],
    /// The schema that names without one belong to.
    default_database: &'a str,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(tokens: &'a [Token], default_database: &'a str) -> Self {
        Self { tokens, default_database }
    }

    pub(super) fn default_database(&self) -> &'a str {
        self.default_database
    }

    pub(super) fn peek(&self) -> Option<&'a Token> {
        self.tokens.first()
    }

    pub(super) fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    /// At the end, but for a semicolon.
    pub(super) fn at_end(&self) -> bool {
        self.tokens.iter().all(|t| *t == Token::Sign(';'))
    }

    /// Whether the next token is the keyword.
    pub(super) fn sees(&self, keyword: &str) -> bool {
        self.peek().is_some_and(|t| t.is(keyword))
    }

    /// Whether the next tokens are the keywords.
    pub(super) fn sees_all(&self, keywords: &[&str]) -> bool {
        self.tokens.len() >= keywords.len() && self.tokens.iter().zip(keywords).all(|(t, k)| t.is(k))
    }

    /// Takes the keyword when it is next.
    pub(super) fn take(&mut self, keyword: &str) -> bool {
        let seen = self.sees(keyword);
        if seen {
            self.tokens = &self.tokens[1..];
        }
        seen
    }

    /// Takes the keywords when all of them are next.
    pub(super) fn take_all(&mut self, keywords: &[&str]) -> bool {
        let seen = self.sees_all(keywords);
        if seen {
            self.tokens = &self.tokens[keywords.len()..];
        }
        seen
    }

    /// Takes one of the keywords when it is next.
    pub(super) fn take_any(&mut self, keywords: &[&str]) -> bool {
        keywords.iter().any(|k| self.take(k))
    }

    /// Takes the sign when it is next.
    pub(super) fn sign(&mut self, sign: char) -> bool {
        let seen = self.peek() == Some(&Token::Sign(sign));
        if seen {
            self.tokens = &self.tokens[1..];
        }
        seen
    }

    pub(super) fn expect(&mut self, keyword: &'static str) -> Result<(), Reason> {
        if self.take(keyword) { Ok(()) } else { Err(Reason::Expected(keyword)) }
    }

    pub(super) fn expect_sign(&mut self, sign: char, name: &'static str) -> Result<(), Reason> {
        if self.sign(sign) { Ok(()) } else { Err(Reason::Expected(name)) }
    }

    /// One identifier: a bare word, or quoted (in double quotes under ANSI_QUOTES).
    pub(super) fn identifier(&mut self) -> Result<String, Reason> {
        match self.next() {
            Some(Token::Word(name) | Token::Name(name) | Token::Text(name)) => Ok(name.clone()),
            _ => Err(Reason::Expected("a name")),
        }
    }

    /// `[database.]name`.
    pub(super) fn object(&mut self) -> Result<ObjectName, Reason> {
        let first = self.identifier()?;
        if self.sign('.') {
            return Ok(ObjectName { database: first, table: self.identifier()? });
        }
        Ok(ObjectName { database: self.default_database.to_owned(), table: first })
    }

    /// What stands between parentheses, the next token being the opening one.
    pub(super) fn parenthesised(&mut self) -> Result<Cursor<'a>, Reason> {
        self.expect_sign('(', "an opening parenthesis")?;
        let mut depth = 1usize;
        for (at, token) in self.tokens.iter().enumerate() {
            match token {
                Token::Sign('(') => depth += 1,
                Token::Sign(')') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let inner = Cursor { tokens: &self.tokens[..at], ..*self };
                self.tokens = &self.tokens[at + 1..];
                return Ok(inner);
            }
        }
        Err(Reason::Expected("a closing parenthesis"))
    }

    /// Skips a parenthesised part when one is next.
    pub(super) fn skip_parenthesised(&mut self) -> Result<(), Reason> {
        if self.peek() == Some(&Token::Sign('(')) {
            self.parenthesised()?;
        }
        Ok(())
    }

    /// The parts between commas that stand outside any parentheses; all that is left is used up.
    pub(super) fn split_commas(&mut self) -> Vec<Cursor<'a>> {
        let mut parts = Vec::new();
        let mut depth = 0usize;
        let mut start = 0;
        for (at, token) in self.tokens.iter().enumerate() {
            match token {
                Token::Sign('(') => depth += 1,
                Token::Sign(')') => depth = depth.saturating_sub(1),
                Token::Sign(',') if depth == 0 => {
                    parts.push(Cursor { tokens: &self.tokens[start..at], ..*self });
                    start = at + 1;
                }
                _ => {}
            }
        }
        parts.push(Cursor { tokens: &self.tokens[start..], ..*self });
        self.tokens = &[];
        parts
    }

    /// `IF EXISTS` or `IF NOT EXISTS`, when it is next.
    pub(super) fn take_if_exists(&mut self) -> bool {
        self.take_all(&["IF", "EXISTS"]) || self.take_all(&["IF", "NOT", "EXISTS"])
    }

    /// MariaDB's `WAIT n` or `NOWAIT`, when it is next.
    pub(super) fn skip_wait(&mut self) {
        if self.sees("WAIT") && matches!(self.tokens.get(1), Some(Token::Number(_))) {
            self.tokens = &self.tokens[2..];
        } else {
            self.take("NOWAIT");
        }
    }
}
