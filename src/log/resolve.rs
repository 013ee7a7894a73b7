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
    /// The checkpoint at its end; none when it is known only as far as the entries tell.
    fn checkpoint(&self) -> Option<Vec<u8>>;
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
    ($($log:ty: $checkpoint:expr),*) => {$(
        impl Places for $log {
            fn positions(&self) -> Positions {
                <$log>::positions(self)
            }

            fn checkpoint(&self) -> Option<Vec<u8>> {
                $checkpoint(self)
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
places!(Store: Store::checkpoint, ReadOnlyLog: |_| None);

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
        let located = match self.locate(log, |checkpoint| limit.is_passed(checkpoint))? {
            Ok(located) => located,
            // Nothing in the log lies beyond it, and yet it may lie within what the log has seen.
            Err(LocateError::AfterEnd { .. }) if self.is_reached(log, limit)? => {
                return Ok(log.positions().visible_seq.next());
            }
            Err(e) => return Err(self.outside(e)),
        };
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

    /// Asks the log where its checkpoints first satisfy `covers`; fails when they cannot be compared.
    fn locate(
        &self,
        log: &impl Places,
        covers: impl Fn(&Checkpoint) -> Result<bool, String>,
    ) -> Result<Result<Located, LocateError>, ResolveError> {
        let mut problem = None;
        let mut judge =
            |bytes: &[u8]| match Checkpoint::decode(bytes).map_err(|e| e.to_string()).and_then(|c| covers(&c)) {
                Ok(covered) => covered,
                Err(e) => {
                    problem.get_or_insert(e);
                    false
                }
            };
        let located = log.locate_checkpoint(&mut judge);
        problem.map_or(Ok(located), |reason| Err(self.unfit(reason)))
    }

    /// Whether the log has come as far as the address.
    fn is_reached(&self, log: &impl Places, limit: &impl Limit) -> Result<bool, ResolveError> {
        if let Some(bytes) = log.checkpoint() {
            let checkpoint = Checkpoint::decode(&bytes).map_err(|e| self.unfit(e.to_string()))?;
            return limit.is_reached(&checkpoint).map_err(|reason| self.unfit(reason));
        }
        let reached = self.locate(log, |checkpoint| limit.is_reached(checkpoint))?;
        // The log's start, too, is behind the address then.
        Ok(matches!(reached, Ok(_) | Err(LocateError::BeforeStart { .. })))
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
    /// Whether the checkpoint holds all of it; an error when the two cannot be compared.
    fn is_reached(&self, checkpoint: &Checkpoint) -> Result<bool, String>;
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

impl Executed {
    /// What a checkpoint holds, in the same dialect.
    fn executed_at(&self, checkpoint: &Checkpoint) -> Result<Self, String> {
        let unreadable = |e: &dyn std::fmt::Display| format!("checkpoint of the log: {e}");
        match (self, &checkpoint.gtids) {
            (Self::MySql(_), SourcePosition::MySqlGtid(text)) => {
                text.parse().map(Self::MySql).map_err(|e| unreadable(&e))
            }
            (Self::MariaDb(_), SourcePosition::MariaDbGtid(text)) => {
                text.parse().map(Self::MariaDb).map_err(|e| unreadable(&e))
            }
            (_, SourcePosition::FileOnly) => Err("the log's source has no GTIDs; use time:, seq: or file:".to_owned()),
            (Self::MySql(_), _) => Err("the log is of a MariaDB server: write domain-server-number".to_owned()),
            (Self::MariaDb(_), _) => Err("the log is of a MySQL server: write uuid:1-5".to_owned()),
        }
    }
}

impl Limit for Executed {
    fn is_passed(&self, checkpoint: &Checkpoint) -> Result<bool, String> {
        Ok(match (self, self.executed_at(checkpoint)?) {
            (Self::MySql(limit), Self::MySql(executed)) => !executed.is_subset(limit),
            (Self::MariaDb(limit), Self::MariaDb(executed)) => !limit.covers_all(&executed),
            _ => false,
        })
    }

    fn is_reached(&self, checkpoint: &Checkpoint) -> Result<bool, String> {
        Ok(match (self, self.executed_at(checkpoint)?) {
            (Self::MySql(limit), Self::MySql(executed)) => limit.is_subset(&executed),
            (Self::MariaDb(limit), Self::MariaDb(executed)) => executed.covers_all(limit),
            _ => false,
        })
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

    fn is_reached(&self, checkpoint: &Checkpoint) -> Result<bool, String> {
        let exactly = checkpoint.file == self.file && checkpoint.position == self.offset;
        Ok(exactly || self.is_passed(checkpoint)?)
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
