//! Types of expressions, and the server that they are evaluated as.

use jiff::tz::TimeZone;

use crate::binlog::event::Dialect;
use crate::change::charset::Charset;
use crate::filter::error::{FilterError, FilterFault, Place};
use crate::filter::program::Node;
use crate::filter::syntax::Literal;

/// The session that a condition means what it means in. A session that sends the same text to the server must be set
/// by [`Session::SETTINGS`] and to the zone.
#[derive(Debug, Clone)]
pub struct Session {
    /// MySQL's or MariaDB's.
    pub dialect: Dialect,
    /// The server's version.
    pub version: (u32, u32, u32),
    /// `time_zone`: in which TIMESTAMP columns are local times.
    pub zone: TimeZone,
}

impl Session {
    /// What else a session is set to.
    pub const SETTINGS: [&str; 3] =
        ["SET NAMES utf8mb4 COLLATE utf8mb4_general_ci", "SET sql_mode = ''", "SET div_precision_increment = 4"];

    /// A session on the server that calls itself so (`8.0.36`, `5.5.5-10.11.19-MariaDB-log`).
    pub fn of(server_version: &str, zone: TimeZone) -> Self {
        let (dialect, version) = crate::binlog::event::server_version(server_version);
        Self { dialect, version, zone }
    }

    /// MySQL of before 8.0, which has no types of its own for what functions give.
    pub(super) fn is_old_mysql(&self) -> bool {
        !self.is_mariadb() && self.version < (8, 0, 0)
    }

    pub(super) fn is_mariadb(&self) -> bool {
        self.dialect == Dialect::MariaDB
    }
}

/// Character set and collation of text.
#[derive(Debug, Clone)]
pub(super) enum TextOrigin {
    /// A literal, or a number or date as text: it follows what it stands beside. Whether it is ASCII alone.
    Session { ascii: bool },
    /// A column's; its collation by name, where that is known.
    Column { charset: Charset, collation: Option<Box<str>> },
}

/// The type of an expression.
#[derive(Debug, Clone)]
pub(super) enum Type {
    Null,
    /// How many digits it may have.
    Int {
        unsigned: bool,
        digits: u8,
    },
    /// Digits before and behind the point. A quotient may have more behind it than it shows.
    Decimal {
        whole: u8,
        scale: u8,
        unsigned: bool,
        quotient: bool,
    },
    Double,
    Text(TextOrigin),
    Bytes,
    Date,
    DateTime {
        fsp: u8,
    },
    Time {
        fsp: u8,
    },
    /// A type that filters can only ask for NULL.
    Opaque,
}

impl Type {
    pub(super) const BOOL: Self = Self::Int { unsigned: false, digits: 1 };

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Int { .. } | Self::Decimal { .. } | Self::Double)
    }

    /// Whether the server may take it for a number without a sign.
    pub(super) fn is_unsigned(&self) -> bool {
        matches!(self, Self::Int { unsigned: true, .. } | Self::Decimal { unsigned: true, .. })
    }

    pub(super) fn is_exact(&self) -> bool {
        matches!(self, Self::Int { .. } | Self::Decimal { .. })
    }

    pub(super) fn is_moment(&self) -> bool {
        matches!(self, Self::Date | Self::DateTime { .. })
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }
}

/// What an expression was written as, where that decides.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Form {
    /// A column by its place, and what is special about it.
    Column(usize, ColumnForm),
    Literal(Literal),
    /// Computed from literals alone, which servers take for a literal.
    Computed,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnForm {
    Plain,
    BigInt,
    Year,
    Bit,
    /// FLOAT(m,d) and DOUBLE(m,d), which are compared with a tolerance.
    FixedFloat,
    Timestamp,
    /// ENUM and SET.
    Labels,
}

/// A compiled expression and its type.
#[derive(Debug)]
pub(super) struct Typed {
    pub(super) node: Node,
    pub(super) ty: Type,
    pub(super) form: Form,
    pub(super) place: Place,
    /// In words, for messages: `column c (json)`.
    pub(super) shown: String,
}

impl Typed {
    pub(super) fn column(&self) -> Option<ColumnForm> {
        match self.form {
            Form::Column(_, form) => Some(form),
            _ => None,
        }
    }

    pub(super) fn literal(&self) -> Option<&Literal> {
        match &self.form {
            Form::Literal(literal) => Some(literal),
            _ => None,
        }
    }

    /// A refusal of this operand.
    pub(super) fn refuse<T>(&self, what: &'static str, instead: &'static str) -> Result<T, FilterError> {
        let fault = FilterFault::Types { what, with: self.shown.clone(), instead };
        Err(FilterError { place: self.place, fault })
    }
}
