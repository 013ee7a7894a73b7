//! What the source had executed up to a transaction: the set that a block begins with, and the transactions since.
//!
//! Transactions of which nothing is in the log are counted from the next block on, whose own set holds them.

use crate::binlog::DecodeError;
use crate::binlog::event::{Dialect, Gtid, MariadbGtid};
use crate::binlog::gtid::{DomainGtid, GtidSet, MariadbPosition, Tag};

/// Which changes come with the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sets {
    /// None.
    #[default]
    None,
    /// Statements.
    Statements,
    /// All.
    All,
}

/// The set, in the dialect of the server.
#[derive(Debug, Clone)]
pub(super) enum Executed {
    MySql(GtidSet),
    MariaDb(MariadbPosition),
}

impl Executed {
    /// Reads the form that a block's context holds.
    pub(super) fn read(text: &str, dialect: Dialect) -> Result<Self, DecodeError> {
        let what = "set of executed transactions";
        match dialect {
            Dialect::MySql => text.parse().map(Self::MySql).map_err(|_| DecodeError::NotGtids { what }),
            Dialect::MariaDB => text.parse().map(Self::MariaDb).map_err(|_| DecodeError::NotGtids { what }),
        }
    }

    pub(super) fn add(&mut self, gtid: &Gtid, tag: &Tag) {
        if let Self::MySql(set) = self
            && !gtid.anonymous
            && gtid.gno > 0
        {
            set.add(gtid.uuid, tag, gtid.gno);
        }
    }

    pub(super) fn add_mariadb(&mut self, gtid: &MariadbGtid) {
        if let Self::MariaDb(position) = self {
            position.add(DomainGtid { domain: gtid.domain, server_id: gtid.server_id, seq: gtid.seq });
        }
    }
}

impl std::fmt::Display for Executed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MySql(set) => set.fmt(f),
            Self::MariaDb(position) => position.fmt(f),
        }
    }
}
