//! A condition as it is written: a tree with places, before any table is known.

use super::error::Place;

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expr {
    pub(super) place: Place,
    pub(super) kind: ExprKind,
    /// Levels below, for the limit.
    pub(super) depth: usize,
}

impl Expr {
    /// The expressions right below.
    pub(super) fn parts(&self) -> Vec<&Expr> {
        match &self.kind {
            ExprKind::Column(_) | ExprKind::Literal(_) => Vec::new(),
            ExprKind::And(parts) | ExprKind::Or(parts) | ExprKind::Call { arguments: parts, .. } => {
                parts.iter().collect()
            }
            ExprKind::Not(inner) | ExprKind::Negate(inner) | ExprKind::IsNull { value: inner, .. } => vec![inner],
            ExprKind::Compare { left, right, .. } | ExprKind::Arithmetic { left, right, .. } => vec![left, right],
            ExprKind::Like { value, pattern, .. } => vec![value, pattern],
            ExprKind::Between { value, low, high, .. } => vec![value, low, high],
            ExprKind::In { value, list, .. } => std::iter::once(&**value).chain(list).collect(),
        }
    }

    /// Whether its value is that of some row.
    pub(super) fn has_column(&self) -> bool {
        matches!(self.kind, ExprKind::Column(_)) || self.parts().into_iter().any(Self::has_column)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum ExprKind {
    Column(String),
    Literal(Literal),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    IsNull { value: Box<Expr>, negated: bool },
    Compare { op: Comparison, left: Box<Expr>, right: Box<Expr> },
    Between { value: Box<Expr>, low: Box<Expr>, high: Box<Expr>, negated: bool },
    In { value: Box<Expr>, list: Vec<Expr>, negated: bool },
    Like { value: Box<Expr>, pattern: Box<Expr>, escape: char, negated: bool },
    Negate(Box<Expr>),
    Arithmetic { op: Arithmetic, left: Box<Expr>, right: Box<Expr> },
    Call { function: Function, arguments: Vec<Expr> },
}

/// A literal as written; numbers keep their digits where digits matter.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(u64),
    /// Digits with or without a point; also integers beyond 64 bits.
    Decimal(String),
    Double(f64),
    Text(String),
    Hex(Vec<u8>),
    Date(String),
    Time(String),
    Timestamp(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    NullSafeEqual,
}

impl Comparison {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::NullSafeEqual => "<=>",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Arithmetic {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Lower,
    Upper,
    Length,
    CharLength,
    Substring,
    Concat,
    Coalesce,
    IfNull,
    Abs,
    Mod,
    Date,
    Year,
    Month,
    Day,
    UnixTimestamp,
    FromUnixTime,
}

impl Function {
    /// Names of all, for messages.
    pub(super) const NAMES: &str = "LOWER, UPPER, LENGTH, CHAR_LENGTH, SUBSTRING, CONCAT, COALESCE, IFNULL, ABS, MOD, DATE, \
                                    YEAR, MONTH, DAY, UNIX_TIMESTAMP, FROM_UNIXTIME";

    const ALL: [Self; 16] = [
        Self::Lower,
        Self::Upper,
        Self::Length,
        Self::CharLength,
        Self::Substring,
        Self::Concat,
        Self::Coalesce,
        Self::IfNull,
        Self::Abs,
        Self::Mod,
        Self::Date,
        Self::Year,
        Self::Month,
        Self::Day,
        Self::UnixTimestamp,
        Self::FromUnixTime,
    ];

    pub(super) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name().eq_ignore_ascii_case(name))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lower => "LOWER",
            Self::Upper => "UPPER",
            Self::Length => "LENGTH",
            Self::CharLength => "CHAR_LENGTH",
            Self::Substring => "SUBSTRING",
            Self::Concat => "CONCAT",
            Self::Coalesce => "COALESCE",
            Self::IfNull => "IFNULL",
            Self::Abs => "ABS",
            Self::Mod => "MOD",
            Self::Date => "DATE",
            Self::Year => "YEAR",
            Self::Month => "MONTH",
            Self::Day => "DAY",
            Self::UnixTimestamp => "UNIX_TIMESTAMP",
            Self::FromUnixTime => "FROM_UNIXTIME",
        }
    }

    /// Fewest and most arguments, and both in words.
    pub(super) fn arity(self) -> (usize, usize, &'static str) {
        match self {
            Self::Substring => (2, 3, "two or three arguments"),
            Self::Concat | Self::Coalesce => (1, usize::MAX, "one argument or more"),
            Self::IfNull | Self::Mod => (2, 2, "two arguments"),
            _ => (1, 1, "one argument"),
        }
    }
}
