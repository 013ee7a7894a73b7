//! Where an address leads in a log: by the store's catalogue and the checkpoints in its headers, then one block;
//! never a scan of the log.

use std::ops::ControlFlow;

use relay_store::{LocateError, Located, Positions, ReadOnlyLog, Reader, Seq, Store};
use thiserror::Error;

use super::address::Address;
use super::walk::{View, Visit, WalkError, walk};
use super::{Checkpoint, SourcePosition};
use crate::binlog::event::{EventType, Gtid, MariadbGtid, TaggedGtid};
use crate::binlog::gtid::{DomainGtid, GtidSet, MariadbPosition, Tag};

/// A log in which addresses can be looked up: an open store, or one that is only read.
pub trait Places {
    /// Where it begins and ends.
    fn positions(&self) -> Positions;
    /// A reader of its own.
    fn reader(&self) -> Reader;
    /// The first transaction whose commit time reaches `us`.
    ///
    /// # Errors
    /// It lies outside the log, or the log cannot be read.
    fn locate_time(&self, us: u64) -> Result<Located, LocateError>;
    /// The block in which the checkpoint first satisfies `covers`.
    ///
    /// # Errors
    /// It lies outside the log, or the log cannot be read.
    fn locate_checkpoint(&self, covers: &mut dyn FnMut(&[u8]) -> bool) -> Result<Located, LocateError>;
}

macro_rules! places {
    ($($log:ty),*) => {$(
        impl Places for $log {
            fn positions(&self) -> Positions {
                <$log>::positions(self)
            }

            fn reader(&self) -> Reader {
                <$log>::reader(self)
            }

            fn locate_time(&self, us: u64) -> Result<Located, LocateError> {
                <$log>::locate_time(self, us)
            }

            fn locate_checkpoint(&self, covers: &mut dyn FnMut(&[u8]) -> bool) -> Result<Located, LocateError> {
                <$log>::locate_checkpoint(self, covers)
            }
        }
    )*};
}
places!(Store, ReadOnlyLog);

/// An address that leads nowhere in this log.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// It lies before what the log still holds.
    #[error("{address} lies before the log's start (seq {first}): the oldest that can be had is earliest")]
    BeforeStart {
        /// The address.
        address: Address,
        /// The log's first seq.
        first: Seq,
    },
    /// It lies behind what the log holds so far.
    #[error("{address} lies after the log's end (seq {last}): latest is the end as it is now")]
    AfterEnd {
        /// The address.
        address: Address,
        /// The last visible seq.
        last: Seq,
    },
    /// The set holds what the log's dialect does not have, or is malformed.
    #[error("{address}: {reason}")]
    Set {
        /// The address.
        address: Address,
        /// What is wrong.
        reason: String,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Walk(#[from] WalkError),
}

impl Address {
    /// The seq that a reader at this address gets first; one behind the last visible entry when that is to come.
    ///
    /// # Errors
    /// The address lies outside the log, or the log cannot be read.
    pub fn resolve(&self, log: &impl Places) -> Result<Seq, ResolveError> {
        let Positions { first_seq, visible_seq, .. } = log.positions();
        match self {
            Self::Earliest => Ok(first_seq.max(Seq(1))),
            Self::Latest => Ok(visible_seq.next()),
            Self::Seq(seq) if *seq < first_seq.0 => {
                Err(ResolveError::BeforeStart { address: self.clone(), first: first_seq })
            }
            Self::Seq(seq) if *seq > visible_seq.next().0 => {
                Err(ResolveError::AfterEnd { address: self.clone(), last: visible_seq })
            }
            Self::Seq(seq) => Ok(Seq(*seq)),
            Self::Time(us) => {
                let us = u64::try_from(*us).unwrap_or(0);
                log.locate_time(us).map(|found| found.first).map_err(|e| self.outside(e))
            }
            Self::Gtid(set) => {
                let set = Executed::parse(set).map_err(|reason| self.unfit(reason))?;
                self.first_beyond(log, &set)
            }
            Self::File { file, offset } => {
                let place = Place { file: file.clone(), offset: *offset };
                self.first_beyond(log, &place)
            }
        }
    }

    /// The first transaction that ends beyond what the address covers.
    fn first_beyond(&self, log: &impl Places, limit: &impl Limit) -> Result<Seq, ResolveError> {
        let mut problem = None;
        let mut covers = |bytes: &[u8]| match Checkpoint::decode(bytes).map_err(|e| e.to_string()) {
            Ok(checkpoint) => limit.is_passed(&checkpoint).unwrap_or_else(|e| {
                problem.get_or_insert(e);
                false
            }),
            Err(e) => {
                problem.get_or_insert(e);
                false
            }
        };
        let located = log.locate_checkpoint(&mut covers);
        if let Some(reason) = problem {
            return Err(self.unfit(reason));
        }
        let located = located.map_err(|e| self.outside(e))?;
        let mut found = None;
        let mut beyond = false;
        let visible = log.positions().visible_seq;
        let next = walk(&mut log.reader(), located.first, located.last.min(visible), &mut |visit| {
            match visit {
                Visit::Entry(view) => beyond |= limit.is_beyond(&view),
                Visit::Commit { first, .. } if beyond => {
                    found = Some(first);
                    return ControlFlow::Break(());
                }
                Visit::Commit { .. } | Visit::Gap(_) => {}
            }
            ControlFlow::Continue(())
        })?;
        Ok(found.unwrap_or(next))
    }

    fn unfit(&self, reason: String) -> ResolveError {
        ResolveError::Set { address: self.clone(), reason }
    }

    fn outside(&self, error: LocateError) -> ResolveError {
        let address = self.clone();
        match error {
            LocateError::BeforeStart { first } => ResolveError::BeforeStart { address, first },
            LocateError::AfterEnd { visible, .. } => ResolveError::AfterEnd { address, last: visible },
            LocateError::Read(e) => ResolveError::Walk(e.into()),
        }
    }
}

/// Something that checkpoints and transactions come before or after.
trait Limit {
    /// Whether the checkpoint holds anything beyond it; an error when the two cannot be compared.
    fn is_passed(&self, checkpoint: &Checkpoint) -> Result<bool, String>;
    /// Whether this entry shows that its transaction lies beyond it.
    fn is_beyond(&self, view: &View<'_>) -> bool;
}

/// A set of executed transactions, in the dialect that its text has.
enum Executed {
    MySql(GtidSet),
    MariaDb(MariadbPosition),
}

impl Executed {
    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(set) => Ok(Self::MySql(set)),
            Err(mysql) => text.parse().map(Self::MariaDb).map_err(|_| mysql.to_string()),
        }
    }
}

impl Limit for Executed {
    fn is_passed(&self, checkpoint: &Checkpoint) -> Result<bool, String> {
        match (self, &checkpoint.gtids) {
            (Self::MySql(limit), SourcePosition::MySqlGtid(text)) => {
                let executed: GtidSet = text.parse().map_err(|e| format!("checkpoint of the log: {e}"))?;
                Ok(!executed.is_subset(limit))
            }
            (Self::MariaDb(limit), SourcePosition::MariaDbGtid(text)) => {
                let executed: MariadbPosition = text.parse().map_err(|e| format!("checkpoint of the log: {e}"))?;
                Ok(!limit.covers_all(&executed))
            }
            (_, SourcePosition::FileOnly) => Err("the log's source has no GTIDs; use time:, seq: or file:".to_owned()),
            (Self::MySql(_), _) => Err("the log is of a MariaDB server: write domain-server-number".to_owned()),
            (Self::MariaDb(_), _) => Err("the log is of a MySQL server: write uuid:1-5".to_owned()),
        }
    }

    fn is_beyond(&self, view: &View<'_>) -> bool {
        let Some(event) = &view.event else { return false };
        match self {
            Self::MySql(limit) => match event.header.event_type {
                EventType::GTID => Gtid::parse(event).is_ok_and(|g| !limit.contains(&g.uuid, &Tag::default(), g.gno)),
                EventType::GTID_TAGGED => {
                    TaggedGtid::parse(event).is_ok_and(|g| !limit.contains(&g.gtid.uuid, &g.tag, g.gtid.gno))
                }
                _ => false,
            },
            Self::MariaDb(limit) => {
                event.header.event_type == EventType::MARIADB_GTID
                    && MariadbGtid::parse(event).is_ok_and(|g| {
                        !limit.covers(&DomainGtid { domain: g.domain, server_id: g.server_id, seq: g.seq })
                    })
            }
        }
    }
}

/// An offset in a binlog file.
struct Place {
    file: String,
    offset: u64,
}

impl Place {
    /// Whether (file, offset) lies behind this place. Files sort by number: `.999999` comes before `.1000000`.
    fn before(&self, file: &str, offset: u64) -> Result<bool, String> {
        let (base, number) = file_number(&self.file).ok_or_else(|| format!("{} has no number", self.file))?;
        match file_number(file) {
            Some((other, n)) if other == base => Ok((n, offset) > (number, self.offset)),
            _ => Err(format!("the log's source calls its files {file}, not {}", self.file)),
        }
    }
}

impl Limit for Place {
    fn is_passed(&self, checkpoint: &Checkpoint) -> Result<bool, String> {
        self.before(&checkpoint.file, checkpoint.position)
    }

    fn is_beyond(&self, view: &View<'_>) -> bool {
        self.before(view.file, view.entry.header.source_pos).unwrap_or(false)
    }
}

/// Base name and number of a binlog file.
fn file_number(name: &str) -> Option<(&str, u64)> {
    let (base, number) = name.rsplit_once('.')?;
    Some((base, number.parse().ok()?))
}
