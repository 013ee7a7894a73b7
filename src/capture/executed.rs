//! What has been executed up to a point, in each dialect, and the identity of one transaction in it.

use crate::binlog::gtid::{DomainGtid, GtidParseError, GtidSet, MariadbPosition, Tag, Uuid};
use crate::log::SourcePosition;

/// The identity of a transaction, as its first event gives it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TransactionId {
    /// The server gives none.
    #[default]
    None,
    /// `uuid[:tag]:gno`.
    MySql {
        /// The server it comes from.
        uuid: Uuid,
        /// Its tag, mostly empty.
        tag: Tag,
        /// Its number.
        gno: i64,
    },
    /// `domain-server-seq`.
    MariaDb(DomainGtid),
}

/// The transactions that the log covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Executed {
    /// Resume is by file and position: nothing is counted.
    FileOnly,
    /// A MySQL GTID set.
    MySql(GtidSet),
    /// The newest GTID of each MariaDB domain.
    MariaDb(MariadbPosition),
}

impl Executed {
    /// Reads the form that a checkpoint holds.
    ///
    /// # Errors
    /// Text that is no GTID set.
    pub fn read(position: &SourcePosition) -> Result<Self, GtidParseError> {
        Ok(match position {
            SourcePosition::FileOnly => Self::FileOnly,
            SourcePosition::MySqlGtid(text) => Self::MySql(text.parse()?),
            SourcePosition::MariaDbGtid(text) => Self::MariaDb(text.parse()?),
        })
    }

    /// The form that a checkpoint holds.
    pub fn position(&self) -> SourcePosition {
        match self {
            Self::FileOnly => SourcePosition::FileOnly,
            Self::MySql(set) => SourcePosition::MySqlGtid(set.to_string()),
            Self::MariaDb(position) => SourcePosition::MariaDbGtid(position.to_string()),
        }
    }

    /// Whether the transaction is in the log already. MariaDB counts one GTID per domain, and numbers may go back in
    /// it: only that very one is known to be there.
    pub fn contains(&self, id: &TransactionId) -> bool {
        match (self, id) {
            (Self::MySql(set), TransactionId::MySql { uuid, tag, gno }) => set.contains(uuid, tag, *gno),
            (Self::MariaDb(position), TransactionId::MariaDb(gtid)) => {
                position.get(gtid.domain) == Some((gtid.server_id, gtid.seq))
            }
            _ => false,
        }
    }

    /// Counts a transaction that ended.
    pub fn add(&mut self, id: &TransactionId) {
        match (self, id) {
            (Self::MySql(set), TransactionId::MySql { uuid, tag, gno }) => set.add(*uuid, tag, *gno),
            (Self::MariaDb(position), TransactionId::MariaDb(gtid)) => position.add(*gtid),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_grows_by_what_ends_and_knows_it_again() {
        let text = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-23";
        let mut executed = Executed::read(&SourcePosition::MySqlGtid(text.into())).expect("a set");
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562".parse().expect("a uuid");
        let id = TransactionId::MySql { uuid, tag: Tag::default(), gno: 24 };
        assert!(!executed.contains(&id));
        executed.add(&id);
        assert!(executed.contains(&id));
        assert_eq!(executed.position(), SourcePosition::MySqlGtid(text.replace("23", "24")));
    }

    #[test]
    fn mariadb_knows_only_the_newest_of_a_domain() {
        let mut executed = Executed::read(&SourcePosition::MariaDbGtid("0-1-5".into())).expect("a position");
        let gtid = |seq| TransactionId::MariaDb(DomainGtid { domain: 0, server_id: 1, seq });
        assert!(executed.contains(&gtid(5)));
        assert!(!executed.contains(&gtid(4)), "a number that went back is a new transaction");
        executed.add(&gtid(6));
        assert_eq!(executed.position(), SourcePosition::MariaDbGtid("0-1-6".into()));
    }

    #[test]
    fn without_gtids_nothing_is_counted() {
        let mut executed = Executed::FileOnly;
        executed.add(&TransactionId::None);

        assert!(!executed.contains(&TransactionId::None));
        assert!(Executed::read(&SourcePosition::MySqlGtid("nonsense".into())).is_err());
    }
}
