//! Where the stream resumes, and how that is chosen: from the checkpoint of the log, the facts of the server and the
//! settings (pure).
//!
//! A log that has a checkpoint goes on exactly there or not at all: when the server cannot continue it, that is an
//! error with its reason and its remedy, and never a jump ahead. Resume is by GTID or by file and position, never a
//! mixture of both.

mod error;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use super::facts::{ServerFacts, ServerGtids, compare_files, file_number};
use super::stream::DumpFrom;
use crate::binlog::gtid::{GtidSet, MariadbPosition};
use crate::config::{Resume, SourceStart};
use crate::log::{Checkpoint, SourcePosition};

pub use error::{PositionError, ResetSign};

/// The first event of a file begins here.
const FILE_START: u64 = 4;
/// From this version on a server refuses by itself, and free of races, a reader that has more of its transactions.
const SERVER_TELLS_DIVERGENCE: (u32, u32, u32) = (8, 0, 0);

/// Where the stream is to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumePoint {
    /// What to ask the server for.
    pub from: DumpFrom,
    /// What the log covers where the stream begins.
    pub covered: Covered,
    /// What comes first and is to be counted as covered, but not kept.
    pub skip: Option<Skip>,
    /// Why it begins here.
    pub reason: Reason,
    /// Name and creation time of the checkpoint's file, when this is the server that it was read from.
    pub expected_file: Option<(String, u32)>,
}

/// What the log covers where the stream begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Covered {
    /// This.
    Known(SourcePosition),
    /// What the file says at its start: the event of previous GTIDs, on MariaDB the GTID list.
    AtFileStart,
}

/// What the stream brings before the place where a fresh log is to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skip {
    /// Everything up to this offset of the first file.
    UpTo(u64),
    /// Transactions committed before this time, in microseconds since 1970, up to the first one that was not.
    CommittedBefore(i64),
}

/// Why the stream begins where it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The log is new; the setting `start` decided.
    FirstStart,
    /// It goes on where the log ends.
    Continue,
    /// It goes on where the log ends, on another server of the topology.
    Failover {
        /// The server the checkpoint was made on.
        from: String,
    },
}

impl ResumePoint {
    /// To be asked at every format description: whether a file of the checkpoint's name is still that file.
    ///
    /// # Errors
    /// It is not: the server was reset and counts its files anew.
    pub fn confirm_file(&self, file: &str, created: u32) -> Result<(), PositionError> {
        match &self.expected_file {
            Some((name, expected)) if name == file && *expected != created => Err(PositionError::ResetServer {
                sign: ResetSign::OtherFile { file: file.to_owned(), expected: *expected, created },
            }),
            _ => Ok(()),
        }
    }

    fn first(from: DumpFrom, covered: Covered) -> Self {
        Self { from, covered, skip: None, reason: Reason::FirstStart, expected_file: None }
    }
}

/// Chooses where the stream resumes: after `checkpoint` when there is one, else where `start` says. A start by time
/// needs the creation times of files in `facts`.
///
/// # Errors
/// The server cannot continue the log, or has nothing at the start that was asked for.
pub fn choose(
    checkpoint: Option<&Checkpoint>,
    resume: Resume,
    start: &SourceStart,
    facts: &ServerFacts,
) -> Result<ResumePoint, PositionError> {
    match checkpoint {
        None => first_start(resume, start, facts),
        Some(checkpoint) => go_on(checkpoint, resume, facts),
    }
}

fn go_on(checkpoint: &Checkpoint, resume: Resume, facts: &ServerFacts) -> Result<ResumePoint, PositionError> {
    let same_server = checkpoint.server == facts.identity;
    if same_server {
        refuse_reset(checkpoint, facts)?;
    }
    let (from, covered) = match (&checkpoint.gtids, resume) {
        (SourcePosition::FileOnly, Resume::Gtid) => return Err(PositionError::LogWithoutGtids),
        (SourcePosition::FileOnly, _) | (_, Resume::File) => {
            (after_position(checkpoint, same_server, facts)?, SourcePosition::FileOnly)
        }
        (gtids @ SourcePosition::MySqlGtid(text), _) => {
            let set = text.parse().map_err(|_| PositionError::UnreadableCheckpoint { gtids: text.clone() })?;
            (after_set(set, facts)?, gtids.clone())
        }
        (gtids @ SourcePosition::MariaDbGtid(text), _) => {
            let position = text.parse().map_err(|_| PositionError::UnreadableCheckpoint { gtids: text.clone() })?;
            (after_domains(position, facts)?, gtids.clone())
        }
    };
    let known_file = same_server && !checkpoint.file.is_empty() && checkpoint.file_created != 0;
    Ok(ResumePoint {
        from,
        covered: Covered::Known(covered),
        skip: None,
        reason: if same_server { Reason::Continue } else { Reason::Failover { from: checkpoint.server.clone() } },
        expected_file: known_file.then(|| (checkpoint.file.clone(), checkpoint.file_created)),
    })
}

/// Signs that this server, though its identity is the same, has begun its binlogs anew. They count with GTIDs too:
/// a reset server gives the same GTIDs to other transactions.
fn refuse_reset(checkpoint: &Checkpoint, facts: &ServerFacts) -> Result<(), PositionError> {
    let reset = |sign| Err(PositionError::ResetServer { sign });
    let Some(last) = facts.binlogs.last() else { return Ok(()) };
    match facts.binlog(&checkpoint.file) {
        Some(file) => {
            if let Some(created) =
                file.created.filter(|&c| checkpoint.file_created != 0 && c != checkpoint.file_created)
            {
                let (file, expected) = (file.name.clone(), checkpoint.file_created);
                return reset(ResetSign::OtherFile { file, expected, created });
            }
            if checkpoint.position > file.size {
                let (file, position, size) = (file.name.clone(), checkpoint.position, file.size);
                return reset(ResetSign::ShorterFile { file, position, size });
            }
        }
        None if compare_files(&checkpoint.file, &last.name) == Some(Ordering::Greater) => {
            return reset(ResetSign::FilesBeganAnew { file: checkpoint.file.clone(), newest: last.name.clone() });
        }
        None => {}
    }
    Ok(())
}

fn after_position(checkpoint: &Checkpoint, same_server: bool, facts: &ServerFacts) -> Result<DumpFrom, PositionError> {
    if checkpoint.file.is_empty() {
        return Err(PositionError::UnreadableCheckpoint { gtids: String::new() });
    }
    if !same_server {
        return Err(PositionError::ChangedServer { was: checkpoint.server.clone(), is: facts.identity.clone() });
    }
    if facts.binlog(&checkpoint.file).is_none() {
        return Err(file_is_gone(&checkpoint.file, facts));
    }
    Ok(DumpFrom::File { file: checkpoint.file.clone(), position: checkpoint.position })
}

fn file_is_gone(file: &str, facts: &ServerFacts) -> PositionError {
    match facts.binlogs.first() {
        Some(oldest) => PositionError::FilePurged { file: file.to_owned(), oldest: oldest.name.clone() },
        None => PositionError::NoBinlog { address: facts.address.clone() },
    }
}

fn after_set(set: GtidSet, facts: &ServerFacts) -> Result<DumpFrom, PositionError> {
    let (executed, purged) = match &facts.gtids {
        ServerGtids::MySql { executed, purged } => (executed, purged),
        ServerGtids::MariaDb { .. } => return Err(PositionError::OtherDialect { log: "MySQL", server: "MariaDB" }),
        ServerGtids::Off => return Err(no_gtids(facts)),
    };
    let mut extra = set.difference(executed);
    if facts.version_numbers() >= SERVER_TELLS_DIVERGENCE
        && let Ok(own) = facts.identity.parse()
    {
        // A dump is ahead of the commit, so a transaction of this server's own may be in our log and not yet in
        // its set. It judges those itself when the dump begins.
        let mut foreign = GtidSet::new();
        for (uuid, tag, intervals) in extra.iter().filter(|(uuid, ..)| **uuid != own) {
            intervals.iter().for_each(|(first, end)| foreign.add_range(*uuid, tag, first, end));
        }
        extra = foreign;
    }
    if !extra.is_empty() {
        return Err(ahead_of_server(extra.to_string(), facts));
    }
    let missing = purged.difference(&set);
    if !missing.is_empty() {
        return Err(PositionError::Purged { missing: missing.to_string() });
    }
    Ok(DumpFrom::MySqlGtid(set))
}

fn after_domains(position: MariadbPosition, facts: &ServerFacts) -> Result<DumpFrom, PositionError> {
    let (newest, oldest) = match &facts.gtids {
        ServerGtids::MariaDb { newest, oldest } => (newest, oldest),
        ServerGtids::MySql { .. } | ServerGtids::Off => {
            return Err(PositionError::OtherDialect { log: "MariaDB", server: "MySQL" });
        }
    };
    let known = |gtid: &crate::binlog::gtid::DomainGtid| match newest.get(gtid.domain) {
        // The same number from another server is another transaction.
        Some((server_id, seq)) => seq > gtid.seq || (seq == gtid.seq && server_id == gtid.server_id),
        None => false,
    };
    let extra: Vec<String> = position.iter().filter(|gtid| !known(gtid)).map(|gtid| gtid.to_string()).collect();
    if !extra.is_empty() {
        return Err(ahead_of_server(extra.join(","), facts));
    }
    if let Some(oldest) = oldest {
        let missing: Vec<String> =
            oldest.iter().filter(|gtid| !position.covers(gtid)).map(|gtid| gtid.to_string()).collect();
        if !missing.is_empty() {
            return Err(PositionError::Purged { missing: missing.join(",") });
        }
    }
    Ok(DumpFrom::MariaDbGtid(position))
}

/// The log has transactions that the server lacks: a replica that applies may still get them.
fn ahead_of_server(extra: String, facts: &ServerFacts) -> PositionError {
    let address = facts.address.clone();
    match &facts.replication {
        Some(replication) if replication.running => PositionError::ServerBehind { address, extra },
        _ => PositionError::Diverged { address, extra },
    }
}

fn no_gtids(facts: &ServerFacts) -> PositionError {
    let mode = facts.variable("gtid_mode").unwrap_or("absent").to_owned();
    PositionError::NoGtids { address: facts.address.clone(), mode }
}

fn first_start(resume: Resume, start: &SourceStart, facts: &ServerFacts) -> Result<ResumePoint, PositionError> {
    let no_binlog = || PositionError::NoBinlog { address: facts.address.clone() };
    let end = facts.end.as_ref().ok_or_else(no_binlog)?;
    let oldest = facts.binlogs.first().ok_or_else(no_binlog)?;
    let by_gtid = match (resume, &facts.gtids) {
        (Resume::File, _) => false,
        (Resume::Gtid, ServerGtids::Off) => return Err(no_gtids(facts)),
        (_, gtids) => *gtids != ServerGtids::Off,
    };
    let file_only = Covered::Known(SourcePosition::FileOnly);
    let at = |file: &str, position| DumpFrom::File { file: file.to_owned(), position };
    match (start, &facts.gtids) {
        (SourceStart::Latest, ServerGtids::MySql { executed, .. }) if by_gtid => Ok(ResumePoint::first(
            DumpFrom::MySqlGtid(executed.clone()),
            Covered::Known(SourcePosition::MySqlGtid(executed.to_string())),
        )),
        (SourceStart::Latest, ServerGtids::MariaDb { newest, .. }) if by_gtid => Ok(ResumePoint::first(
            DumpFrom::MariaDbGtid(newest.clone()),
            Covered::Known(SourcePosition::MariaDbGtid(newest.to_string())),
        )),
        (SourceStart::Latest, _) => Ok(ResumePoint::first(at(&end.file, end.position), file_only)),
        // Not from the empty set: that would ask for what is purged, and be refused.
        (SourceStart::Earliest, ServerGtids::MySql { purged, .. }) if by_gtid => Ok(ResumePoint::first(
            DumpFrom::MySqlGtid(purged.clone()),
            Covered::Known(SourcePosition::MySqlGtid(purged.to_string())),
        )),
        (SourceStart::Earliest, _) => {
            Ok(ResumePoint::first(at(&oldest.name, FILE_START), if by_gtid { Covered::AtFileStart } else { file_only }))
        }
        (SourceStart::Gtid(_), _) if !by_gtid => Err(no_gtids(facts)),
        (SourceStart::Gtid(text), ServerGtids::MariaDb { .. }) => {
            let position: MariadbPosition =
                text.parse().map_err(|_| PositionError::BadStart { text: text.clone(), expected: "0-1-100,1-1-7" })?;
            let covered = Covered::Known(SourcePosition::MariaDbGtid(position.to_string()));
            Ok(ResumePoint::first(after_domains(position, facts)?, covered))
        }
        (SourceStart::Gtid(text), _) => {
            let set: GtidSet =
                text.parse().map_err(|_| PositionError::BadStart { text: text.clone(), expected: "uuid:1-100" })?;
            let covered = Covered::Known(SourcePosition::MySqlGtid(set.to_string()));
            Ok(ResumePoint::first(after_set(set, facts)?, covered))
        }
        (SourceStart::File { file, offset }, _) => {
            let offset = (*offset).max(FILE_START);
            let size = facts.binlog(file).ok_or_else(|| file_is_gone(file, facts))?.size;
            if offset > size {
                return Err(PositionError::StartBeyondFile { file: file.clone(), offset, size });
            }
            if !by_gtid {
                return Ok(ResumePoint::first(at(file, offset), file_only));
            }
            // Which GTIDs lie before the offset is known from the file's start only.
            let point = ResumePoint::first(at(file, FILE_START), Covered::AtFileStart);
            Ok(ResumePoint { skip: (offset > FILE_START).then_some(Skip::UpTo(offset)), ..point })
        }
        (SourceStart::Time(us), _) => {
            let file = file_of_time(*us, facts)?;
            let point =
                ResumePoint::first(at(file, FILE_START), if by_gtid { Covered::AtFileStart } else { file_only });
            Ok(ResumePoint { skip: Some(Skip::CommittedBefore(*us)), ..point })
        }
    }
}

/// The file in which the commits of a time begin: the last one that was there before it.
fn file_of_time(us: i64, facts: &ServerFacts) -> Result<&str, PositionError> {
    let second = us.div_euclid(1_000_000);
    let before = |created: u32| i64::from(created) < second;
    if let Some(file) = facts.binlogs.iter().rev().find(|file| file.created.is_some_and(before)) {
        return Ok(&file.name);
    }
    let oldest = facts.binlogs.first().ok_or_else(|| PositionError::NoBinlog { address: facts.address.clone() })?;
    // Older than the oldest file: everything is there only if nothing was ever purged.
    let nothing_purged = match &facts.gtids {
        ServerGtids::MySql { purged, .. } => purged.is_empty(),
        ServerGtids::MariaDb { oldest: Some(gtids), .. } => gtids.is_empty(),
        _ => file_number(&oldest.name).is_some_and(|(_, number)| number == 1),
    };
    match oldest.created {
        Some(_) if nothing_purged => Ok(&oldest.name),
        created => Err(PositionError::TimePurged { time_us: us, oldest: oldest.name.clone(), created }),
    }
}
