//! Tokens to a tree, with the server's precedence: OR, AND, NOT, comparisons, `+ -`, `* / %`, the sign.

use super::error::{FilterError, FilterFault, Place};
use super::lexer::{Token, TokenKind, tokens};
use super::syntax::{Arithmetic, Comparison, Expr, ExprKind, Function, Literal};
use super::words::{LEFT_OUT, RESERVED};

/// Longest text of a condition, in bytes.
pub(super) const TEXT_MAX: usize = 64 << 10;
/// Most levels of one; what walks the tree is recursive.
const DEPTH_MAX: usize = 100;

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    /// Brackets and prefixes that are open.
    open: usize,
}

/// Reads a whole condition.
pub(super) fn parse(text: &str) -> Result<Expr, FilterError> {
    if text.len() > TEXT_MAX {
        let fault = FilterFault::TooLarge { limit: TEXT_MAX, what: "bytes" };
        return Err(FilterError { place: Place { line: 1, column: 1 }, fault });
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, open: 0 };
    let expr = parser.condition()?;
    match parser.peek() {
        TokenKind::End => Ok(expr),
        _ => Err(parser.unexpected("an operator or the end of the condition")),
    }
}

impl Parser {
    fn token(&self) -> &Token {
        // The last token is the end, and nothing goes past it.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn peek(&self) -> &TokenKind {
        &self.token().kind
    }

    fn place(&self) -> Place {
        self.token().place
    }

    fn next(&mut self) -> Token {
        let token = self.token().clone();
        self.at += 1;
        token
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), TokenKind::Word(found) if found.eq_ignore_ascii_case(word))
    }

    fn is_word_at(&self, ahead: usize, word: &str) -> bool {
        let token = self.tokens.get(self.at + ahead);
        token.is_some_and(|t| matches!(&t.kind, TokenKind::Word(found) if found.eq_ignore_ascii_case(word)))
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek(), TokenKind::Symbol(found) if *found == symbol)
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        self.at += usize::from(found);
        found
    }

    fn need_symbol(&mut self, symbol: &str, expected: &'static str) -> Result<(), FilterError> {
        if self.take_symbol(symbol) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    /// What stands here should not; a word of SQL that the language leaves out is named as such.
    fn unexpected(&self, expected: &'static str) -> FilterError {
        let place = self.place();
        if let TokenKind::Word(word) = self.peek()
            && let Some((_, instead)) = LEFT_OUT.iter().find(|(left_out, _)| word.eq_ignore_ascii_case(left_out))
        {
            let what = if word.eq_ignore_ascii_case("select") { "a subquery".into() } else { word.to_uppercase() };
            return FilterError { place, fault: FilterFault::Refused { what, instead } };
        }
        FilterError { place, fault: FilterFault::Unexpected { found: self.peek().shown(), expected } }
    }

    /// A node over others, the deepest of which has `below` levels.
    fn node(place: Place, kind: ExprKind, below: usize) -> Result<Expr, FilterError> {
        let depth = below + 1;
        if depth > DEPTH_MAX {
            let fault = FilterFault::TooLarge { limit: DEPTH_MAX, what: "levels" };
            return Err(FilterError { place, fault });
        }
        Ok(Expr { place, kind, depth })
    }

    /// Guards what recurses before a tree is there to be measured.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, FilterError>) -> Result<T, FilterError> {
        if self.open >= DEPTH_MAX {
            let fault = FilterFault::TooLarge { limit: DEPTH_MAX, what: "levels" };
            return Err(FilterError { place: self.place(), fault });
        }
        self.open += 1;
        let result = read(self);
        self.open -= 1;
        result
    }

    fn condition(&mut self) -> Result<Expr, FilterError> {
        let place = self.place();
        let mut parts = vec![self.conjunction()?];
        while self.take_word("or") {
            parts.push(self.conjunction()?);
        }
        Self::joined(place, parts, ExprKind::Or)
    }

    fn conjunction(&mut self) -> Result<Expr, FilterError> {
        let place = self.place();
        let mut parts = vec![self.negation()?];
        while self.take_word("and") {
            parts.push(self.negation()?);
        }
        Self::joined(place, parts, ExprKind::And)
    }

    fn joined(place: Place, mut parts: Vec<Expr>, join: fn(Vec<Expr>) -> ExprKind) -> Result<Expr, FilterError> {
        if parts.len() == 1 {
            return Ok(parts.remove(0));
        }
        let below = deepest(&parts);
        Self::node(place, join(parts), below)
    }

    fn negation(&mut self) -> Result<Expr, FilterError> {
        let place = self.place();
        if !self.take_word("not") {
            return self.comparison();
        }
        let inner = self.deeper(Self::negation)?;
        let below = inner.depth;
        Self::node(place, ExprKind::Not(Box::new(inner)), below)
    }

    /// Comparisons and IS NULL, from left to right.
    fn comparison(&mut self) -> Result<Expr, FilterError> {
        let mut left = self.predicate()?;
        loop {
            let place = self.place();
            if self.take_word("is") {
                let negated = self.take_word("not");
                if !self.take_word("null") {
                    return Err(self.unexpected("NULL"));
                }
                left = Self::wrap(place, left, |value| ExprKind::IsNull { value, negated })?;
                continue;
            }
            let op = match self.peek() {
                TokenKind::Symbol("=") => Comparison::Equal,
                TokenKind::Symbol("<>" | "!=") => Comparison::NotEqual,
                TokenKind::Symbol("<") => Comparison::Less,
                TokenKind::Symbol("<=") => Comparison::LessOrEqual,
                TokenKind::Symbol(">") => Comparison::Greater,
                TokenKind::Symbol(">=") => Comparison::GreaterOrEqual,
                TokenKind::Symbol("<=>") => Comparison::NullSafeEqual,
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.predicate()?;
            left = Self::pair(place, left, right, |left, right| ExprKind::Compare { op, left, right })?;
        }
    }

    fn wrap(place: Place, value: Expr, kind: impl FnOnce(Box<Expr>) -> ExprKind) -> Result<Expr, FilterError> {
        let below = value.depth;
        Self::node(place, kind(Box::new(value)), below)
    }

    fn pair(
        place: Place,
        left: Expr,
        right: Expr,
        kind: impl FnOnce(Box<Expr>, Box<Expr>) -> ExprKind,
    ) -> Result<Expr, FilterError> {
        let below = left.depth.max(right.depth);
        Self::node(place, kind(Box::new(left), Box::new(right)), below)
    }

    /// IN, BETWEEN and LIKE, which do not chain.
    fn predicate(&mut self) -> Result<Expr, FilterError> {
        let value = self.sum()?;
        let place = self.place();
        let negated = self.is_word("not") && ["in", "between", "like"].iter().any(|word| self.is_word_at(1, word));
        self.at += usize::from(negated);
        if self.take_word("in") {
            let list = self.list("a list in brackets after IN")?;
            let below = deepest(&list).max(value.depth);
            return Self::node(place, ExprKind::In { value: Box::new(value), list, negated }, below);
        }
        if self.take_word("between") {
            let low = self.sum()?;
            if !self.take_word("and") {
                return Err(self.unexpected("AND and the upper bound of BETWEEN"));
            }
            let high = self.sum()?;
            let below = value.depth.max(low.depth).max(high.depth);
            let (value, low, high) = (Box::new(value), Box::new(low), Box::new(high));
            return Self::node(place, ExprKind::Between { value, low, high, negated }, below);
        }
        if self.take_word("like") {
            let pattern = self.primary()?;
            let escape = if self.take_word("escape") { self.escape()? } else { '\\' };
            return Self::pair(place, value, pattern, |value, pattern| ExprKind::Like {
                value,
                pattern,
                escape,
                negated,
            });
        }
        Ok(value)
    }

    fn escape(&mut self) -> Result<char, FilterError> {
        let expected = "one ASCII character in quotes, and not % or _";
        let TokenKind::Text(text) = self.peek() else { return Err(self.unexpected(expected)) };
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) if c.is_ascii() && c != '%' && c != '_' => {
                self.at += 1;
                Ok(c)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    fn list(&mut self, expected: &'static str) -> Result<Vec<Expr>, FilterError> {
        self.need_symbol("(", expected)?;
        let mut list = Vec::new();
        loop {
            list.push(self.deeper(Self::condition)?);
            if !self.take_symbol(",") {
                self.need_symbol(")", "a comma or a closing bracket")?;
                return Ok(list);
            }
        }
    }

    fn sum(&mut self) -> Result<Expr, FilterError> {
        let mut left = self.product()?;
        loop {
            let op = match self.peek() {
                TokenKind::Symbol("+") => Arithmetic::Add,
                TokenKind::Symbol("-") => Arithmetic::Subtract,
                _ => return Ok(left),
            };
            let place = self.next().place;
            let right = self.product()?;
            left = Self::pair(place, left, right, |left, right| ExprKind::Arithmetic { op, left, right })?;
        }
    }

    fn product(&mut self) -> Result<Expr, FilterError> {
        let mut left = self.signed()?;
        loop {
            let op = match self.peek() {
                TokenKind::Symbol("*") => Arithmetic::Multiply,
                TokenKind::Symbol("/") => Arithmetic::Divide,
                TokenKind::Symbol("%") => Arithmetic::Modulo,
                _ => return Ok(left),
            };
            let place = self.next().place;
            let right = self.signed()?;
            left = Self::pair(place, left, right, |left, right| ExprKind::Arithmetic { op, left, right })?;
        }
    }

    fn signed(&mut self) -> Result<Expr, FilterError> {
        let place = self.place();
        if self.take_symbol("+") {
            return self.deeper(Self::signed);
        }
        if !self.take_symbol("-") {
            return self.primary();
        }
        let inner = self.deeper(Self::signed)?;
        Self::wrap(place, inner, ExprKind::Negate)
    }

    fn primary(&mut self) -> Result<Expr, FilterError> {
        let place = self.place();
        if self.take_symbol("(") {
            let inner = self.deeper(Self::condition)?;
            self.need_symbol(")", "an operator or a closing bracket")?;
            return Ok(inner);
        }
        let kind = match self.peek().clone() {
            TokenKind::Text(text) => ExprKind::Literal(Literal::Text(text)),
            TokenKind::Int(number) => ExprKind::Literal(Literal::Int(number)),
            TokenKind::Decimal(digits) => ExprKind::Literal(Literal::Decimal(digits)),
            TokenKind::Double(number) => ExprKind::Literal(Literal::Double(number)),
            TokenKind::Hex(bytes) => ExprKind::Literal(Literal::Hex(bytes)),
            TokenKind::Quoted(name) => ExprKind::Column(name),
            TokenKind::Word(word) => return self.word(place, word),
            _ => return Err(self.unexpected("a column, a literal, a function or a bracket")),
        };
        self.at += 1;
        Self::node(place, kind, 0)
    }

    fn word(&mut self, place: Place, word: String) -> Result<Expr, FilterError> {
        let lower = word.to_ascii_lowercase();
        let following = self.tokens.get(self.at + 1);
        let adjacent = following.is_some_and(|token| token.adjacent);
        let kind = match (lower.as_str(), following.map(|token| &token.kind)) {
            ("null", _) => ExprKind::Literal(Literal::Null),
            ("true", _) => ExprKind::Literal(Literal::Bool(true)),
            ("false", _) => ExprKind::Literal(Literal::Bool(false)),
            ("date" | "time" | "timestamp", Some(TokenKind::Text(text))) => {
                let text = text.clone();
                self.at += 1;
                ExprKind::Literal(match lower.as_str() {
                    "date" => Literal::Date(text),
                    "time" => Literal::Time(text),
                    _ => Literal::Timestamp(text),
                })
            }
            (_, Some(TokenKind::Symbol("("))) if LEFT_OUT.iter().all(|(left_out, _)| *left_out != lower) => {
                return self.call(place, &word, adjacent);
            }
            (_, Some(TokenKind::Symbol("("))) => return Err(self.unexpected("a column or a function")),
            (reserved, _) if RESERVED.contains(&reserved) => {
                return Err(self.unexpected(
                    "a column, a literal, a function or a bracket (a column of that name needs backquotes)",
                ));
            }
            _ => ExprKind::Column(word),
        };
        self.at += 1;
        Self::node(place, kind, 0)
    }

    fn call(&mut self, place: Place, name: &str, adjacent: bool) -> Result<Expr, FilterError> {
        let Some(function) = Function::of_name(name) else {
            let fault = FilterFault::UnknownFunction { name: name.to_uppercase(), known: Function::NAMES };
            return Err(FilterError { place, fault });
        };
        if !adjacent {
            // SUBSTRING and others are functions for the server only so.
            self.at += 1;
            return Err(self.unexpected("the bracket right behind the function's name"));
        }
        self.at += 1;
        let arguments = if self.is_symbol("(") && matches!(self.tokens[self.at + 1].kind, TokenKind::Symbol(")")) {
            self.at += 2;
            Vec::new()
        } else {
            self.list("a list of arguments in brackets")?
        };
        let (fewest, most, takes) = function.arity();
        if !(fewest..=most).contains(&arguments.len()) {
            let fault = FilterFault::Arguments { function: function.name(), takes, found: arguments.len() };
            return Err(FilterError { place, fault });
        }
        let below = deepest(&arguments);
        Self::node(place, ExprKind::Call { function, arguments }, below)
    }
}

fn deepest(exprs: &[Expr]) -> usize {
    exprs.iter().map(|expr| expr.depth).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
