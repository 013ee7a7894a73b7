//! GTIDs of both dialects: sets of them for MySQL, one position per domain for MariaDB. Parse, print, compare, merge.

mod encode;
mod intervals;
mod mariadb;
mod set;
mod sid;

pub use intervals::Intervals;
pub use mariadb::{DomainGtid, MariadbPosition};
pub use set::GtidSet;
pub use sid::{Tag, Uuid};

/// A text that is not a GTID, a GTID set or a MariaDB position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part:?} is not {expected}")]
pub struct GtidParseError {
    /// The piece that does not parse.
    pub part: String,
    /// What it should have been.
    pub expected: &'static str,
}

impl GtidParseError {
    fn new(part: &str, expected: &'static str) -> Self {
        GtidParseError { part: part.chars().take(80).collect(), expected }
    }
}
