//! The transaction that the entries at hand belong to: who it is, where it begins, whose session ran it.

use std::sync::Arc;

use relay_store::{Entry, Seq};

use super::executed::{Executed, Sets};
use super::place;
use crate::binlog::DecodeError;
use crate::binlog::event::{Event, EventType, FormatDescription, Gtid, MariadbGtid, Query, TaggedGtid};
use crate::binlog::gtid::Tag;
use crate::change::{SessionInfo, TxBoundary, TxInfo};

/// State from one event to the next.
pub(super) struct Transaction {
    file: Arc<str>,
    server_version: Arc<str>,
    /// What is executed with the transactions announced so far; none where nobody asks, or nothing tells.
    pub(super) executed: Option<Executed>,
    /// Which changes are to tell it.
    pub(super) sets: Sets,
    /// The open transaction, or the last one.
    pub(super) info: TxInfo,
    /// The open group is the start or the failure of MariaDB's ALTER in two phases: its statement changes nothing.
    pub(super) ineffective_alter: bool,
    /// A GTID event said where it begins, and no statement came yet.
    announced: bool,
    /// It is one of rows, and its beginning is passed.
    begun: bool,
    /// Its rows were copied from where they were prepared.
    copied: bool,
}

impl Transaction {
    pub(super) fn new(file: Arc<str>, description: Option<&FormatDescription>) -> Self {
        let server_version: Arc<str> = description.map_or("", |d| d.server_version.as_str()).into();
        let info = TxInfo { file: Arc::clone(&file), server_version: Arc::clone(&server_version), ..TxInfo::default() };
        let (ineffective_alter, announced, begun, copied) = (false, false, false, false);
        let (executed, sets) = (None, Sets::None);
        Self { file, server_version, executed, sets, info, ineffective_alter, announced, begun, copied }
    }

    /// A GTID event that ends at `end` in its file; whether a transaction of rows begins with it.
    pub(super) fn announce(&mut self, event: &Event<'_>, end: u64) -> Result<bool, DecodeError> {
        self.ineffective_alter = false;
        let (mut begins, mut thread_id) = (false, None);
        let (gtid, commit_time_us) = match event.header.event_type {
            EventType::MARIADB_GTID => {
                let gtid = MariadbGtid::parse(event)?;
                self.ineffective_alter =
                    gtid.has_extra(MariadbGtid::EXTRA_START_ALTER) || gtid.has_extra(MariadbGtid::EXTRA_ROLLBACK_ALTER);
                begins = !gtid.has(MariadbGtid::FLAG_STANDALONE);
                thread_id = gtid.thread_id;
                self.executed.iter_mut().for_each(|set| set.add_mariadb(&gtid));
                (format!("{}-{}-{}", gtid.domain, gtid.server_id, gtid.seq), None)
            }
            EventType::GTID_TAGGED => {
                let TaggedGtid { gtid, tag } = TaggedGtid::parse(event)?;
                self.executed.iter_mut().for_each(|set| set.add(&gtid, &tag));
                let tag = tag.as_str();
                let text = match (gtid.gno, tag) {
                    (0, _) => String::new(),
                    (gno, "") => format!("{}:{gno}", gtid.uuid),
                    (gno, tag) => format!("{}:{tag}:{gno}", gtid.uuid),
                };
                (text, gtid.immediate_commit_us)
            }
            _ => {
                let gtid = Gtid::parse(event)?;
                self.executed.iter_mut().for_each(|set| set.add(&gtid, &Tag::default()));
                let text = if gtid.anonymous { String::new() } else { format!("{}:{}", gtid.uuid, gtid.gno) };
                (text, gtid.immediate_commit_us)
            }
        };
        self.start(gtid, commit_time_us, event, end);
        self.info.thread_id = thread_id;
        self.announced = true;
        Ok(begins)
    }

    /// Takes the session of a statement that ends at `end`; without a GTID event before it, it begins its transaction.
    pub(super) fn statement(&mut self, event: &Event<'_>, query: &Query<'_>, part: Part, end: u64) {
        let begins = match part {
            Part::Begin => true,
            Part::Statement => !self.begun,
            // The rows before it have none of their own.
            Part::CommitPrepared => {
                self.info.thread_id.get_or_insert(query.thread_id);
                return;
            }
            Part::Commit | Part::Other => return,
        };
        if begins && !std::mem::take(&mut self.announced) {
            self.start(String::new(), None, event, end);
        }
        let status = &query.status;
        self.info.thread_id = Some(query.thread_id);
        self.info.session = SessionInfo { flags2: status.flags2, sql_mode: status.sql_mode, charset: status.charset };
    }

    fn start(&mut self, gtid: String, commit_time_us: Option<u64>, first: &Event<'_>, end: u64) {
        self.info = TxInfo {
            gtid,
            file: Arc::clone(&self.file),
            commit_time_us,
            server_version: Arc::clone(&self.server_version),
            start: end.saturating_sub(first.header.event_len.into()),
            thread_id: None,
            session: SessionInfo::default(),
            executed: String::new(),
            lower_case_table_names: self.info.lower_case_table_names,
        };
        if self.sets == Sets::All {
            self.tell_executed();
        }
        (self.begun, self.copied) = (false, false);
    }

    /// Says in the transaction what is executed with it.
    pub(super) fn tell_executed(&mut self) {
        use std::fmt::Write as _;
        self.info.executed.clear();
        if let Some(executed) = &self.executed {
            write!(self.info.executed, "{executed}").expect("a String takes all");
        }
    }

    /// Rows or a map that were prepared before. The GTID event stands with the commit, maybe in another file.
    pub(super) fn copied(&mut self, entry: &Entry<'_>, event: &Event<'_>) {
        if !std::mem::replace(&mut self.copied, true) {
            self.info.start = entry.header.source_pos.saturating_sub(event.header.event_len.into());
        }
    }

    /// Rows that were read from their table stand between two transactions of the source, and belong to none.
    pub(super) fn snapshot(&mut self, entry: &Entry<'_>) {
        self.info = TxInfo {
            file: Arc::clone(&self.file),
            server_version: Arc::clone(&self.server_version),
            start: entry.header.source_pos,
            ..TxInfo::default()
        };
    }

    /// Its beginning is passed; false when it was before.
    pub(super) fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.begun, true)
    }

    /// Whether the beginning is passed.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// It is over; what follows begins another one.
    pub(super) fn end(&mut self) {
        (self.announced, self.begun) = (false, false);
    }

    pub(super) fn boundary(&self, seq: Seq, entry: &Entry<'_>, event: &Event<'_>) -> TxBoundary<'_> {
        TxBoundary { seq, tx: &self.info, place: place(entry, &event.header) }
    }
}

/// The whole of a position of which an event's header has the low 32 bits. It lies before `near` in the same file, by
/// less than 4 GiB: no transaction is longer, because binlog caches cannot be (`max_binlog_cache_size`).
pub(super) fn whole_position(low: u32, near: u64) -> u64 {
    const WRAP: u64 = 1 << 32;
    let whole = near & !(WRAP - 1) | u64::from(low);
    if whole > near { whole.saturating_sub(WRAP) } else { whole }
}

/// What a statement is to its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// BEGIN, START TRANSACTION, XA START.
    Begin,
    /// COMMIT.
    Commit,
    /// XA COMMIT.
    CommitPrepared,
    /// Another part of the frame: a savepoint, XA END.
    Other,
    /// No part of the frame: DDL, administration.
    Statement,
}

impl Part {
    pub(super) fn of(sql: &[u8]) -> Self {
        let mut words = sql.split(|b| b.is_ascii_whitespace() || *b == b';').filter(|word| !word.is_empty());
        let Some(first) = words.next() else { return Self::Other };
        let is = |word: &str| first.eq_ignore_ascii_case(word.as_bytes());
        let mut then = |word: &str| words.next().is_some_and(|next| next.eq_ignore_ascii_case(word.as_bytes()));
        if is("BEGIN") || (is("START") && then("TRANSACTION")) {
            Self::Begin
        } else if is("COMMIT") {
            Self::Commit
        } else if is("XA") {
            match words.next() {
                Some(word) if word.eq_ignore_ascii_case(b"START") || word.eq_ignore_ascii_case(b"BEGIN") => Self::Begin,
                Some(word) if word.eq_ignore_ascii_case(b"COMMIT") => Self::CommitPrepared,
                _ => Self::Other,
            }
        } else if is("ROLLBACK") || is("SAVEPOINT") || (is("RELEASE") && then("SAVEPOINT")) {
            Self::Other
        } else {
            Self::Statement
        }
    }
}
