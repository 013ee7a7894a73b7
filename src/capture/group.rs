//! Where a transaction begins and ends in each dialect of the binlog. Pure: a state machine over what events mean
//! ([`Signal`]); it says what an event does to the transaction ([`Action`]) and keeps none of its bytes.
//!
//! | shape | events | ends at |
//! |---|---|---|
//! | ordinary | GTID, BEGIN, (maps, rows)*, XID; before GTIDs without the first | XID; COMMIT as text for non-transactional tables |
//! | one statement | GTID, QUERY; or QUERY alone | that QUERY |
//! | CREATE TABLE ... SELECT | GTID, BEGIN, QUERY, (maps, rows)*, XID | XID: the statement and its rows are one |
//! | XA, two phases | GTID, XA START, (maps, rows)*, XA END, XA_PREPARE; later GTID, XA COMMIT or XA ROLLBACK | XA_PREPARE; then the QUERY |
//! | XA, one phase | as the first part above, with the event's one-phase flag | XA_PREPARE |
//! | MariaDB | its GTID event stands for BEGIN and XA START, or says that one statement is all | as above |
//! | MariaDB ALTER in two phases | GTID start, QUERY; later GTID commit or rollback, QUERY | each QUERY; only that of the commit counts |
//!
//! A transaction that neither ends nor is rolled back was cut by a crash of the server: the next file's format
//! description discards it, as a replica does.

use thiserror::Error;

use super::statement::{Statement, Xid};

/// The phase of an ALTER TABLE that MariaDB writes in two (`binlog_alter_two_phase`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlterPhase {
    /// It began; nothing has changed yet.
    Start,
    /// It is in force from here on.
    Commit,
    /// It failed.
    Rollback,
}

/// What an event means to the transaction that it is part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// A GTID event of MySQL: with a GTID, tagged or anonymous. What follows tells the shape.
    Gtid,
    /// A GTID event of MariaDB.
    MariaDbGtid {
        /// One statement is all of the group.
        standalone: bool,
        /// The group is the prepared part of this XA transaction.
        prepared: Option<Xid>,
        /// The statement is one phase of an ALTER.
        alter: Option<AlterPhase>,
    },
    /// A QUERY event.
    Query(Statement),
    /// A table map, rows, or the text that caused them.
    Rows,
    /// The XID event.
    Xid,
    /// The XA_PREPARE event.
    XaPrepare {
        /// `XA COMMIT ... ONE PHASE`: it commits at once.
        one_phase: bool,
        /// Whose rows were prepared.
        xid: Xid,
    },
    /// An event that only rows in statement format need; its name.
    StatementFormat(&'static str),
    /// The server says that changes are missing from its binlog; its words.
    Incident(String),
    /// A binlog file begins: a format description that was written to the file, not made for this connection.
    FileBegins,
    /// An event without a part in any transaction.
    Apart,
}

/// How a group ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Close {
    /// Its rows are committed.
    Commit,
    /// It was rolled back: its rows are not to be seen.
    Rollback,
    /// It was one statement: DDL or administration.
    Statement,
    /// It was one statement of MariaDB's two-phase ALTER that changes nothing: the start or the failure.
    AlterPhase,
    /// Its rows are prepared and wait for the second phase.
    Prepare(Xid),
    /// The rows prepared under the id are committed here.
    XaCommit(Xid),
    /// The rows prepared under the id are dropped.
    XaRollback(Xid),
}

/// What an event does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It has no part in a transaction and changes nothing.
    Nothing,
    /// It begins a group; it is written only when something of the group is kept.
    Begin,
    /// It belongs to the open group and is written only when something of the group is kept (BEGIN, XA START).
    Hold,
    /// It belongs to the open group and needs no place in the log (XA END).
    Drop,
    /// It is a map, rows, or their text: selection decides.
    Rows,
    /// It is a statement inside a transaction: the CREATE of a CREATE TABLE ... SELECT.
    Statement,
    /// A savepoint of that name is set here.
    Savepoint(Vec<u8>),
    /// What the group holds after that savepoint is undone.
    RollbackTo(Vec<u8>),
    /// It ends the group.
    Close(Close),
    /// The open group never ended: the server crashed in its middle. The event itself is not part of it.
    Cut,
}

/// A stream that cannot be captured as it is. All of them are definite: reading it again shows the same.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GroupError {
    /// Rows came as the text of a statement.
    #[error("rows were changed by a statement in text ({0}), not as rows")]
    StatementFormat(&'static str),
    /// The server lost changes before they reached its binlog.
    #[error("the server reports that changes are missing from its binlog: {0}")]
    Incident(String),
    /// Rows outside any transaction.
    #[error("rows outside a transaction: the stream began inside one")]
    OutsideTransaction,
    /// Two transactions overlap.
    #[error("a transaction begins while another one is open")]
    Overlap,
    /// An event that ends a transaction stands where none is open.
    #[error("{0} ends a transaction where none is open")]
    NothingToEnd(&'static str),
    /// An XA PREPARE that does not belong to the XA transaction around it.
    #[error("prepared XA transaction {prepared} stands in the group of another one")]
    OtherXid {
        /// The id that was prepared.
        prepared: Xid,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum State {
    /// Between groups: the only state whose position is a checkpoint.
    #[default]
    Idle,
    /// After a GTID event of MySQL: the next event tells the shape.
    Announced,
    /// After a GTID event of MariaDB with its standalone flag.
    Standalone(Option<AlterPhase>),
    /// Inside a transaction; the id when it is the prepared part of an XA transaction.
    Open(Option<Xid>),
}

/// The state of the group that the stream is in.
#[derive(Debug, Clone, Default)]
pub struct Group {
    state: State,
}

impl Group {
    /// Between groups.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the stream is between groups: what came before is whole.
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Forgets the group that was open: the connection is gone.
    pub fn reset(&mut self) {
        self.state = State::Idle;
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// A stream that cannot be captured; the state is then of no more use.
    pub fn step(&mut self, signal: Signal) -> Result<Action, GroupError> {
        match signal {
            Signal::Rows => self.rows(),
            Signal::Xid => self.end("XID", Close::Commit),
            Signal::Query(statement) => self.query(statement),
            Signal::Gtid => self.begin(State::Announced),
            Signal::MariaDbGtid { standalone: true, alter, .. } => self.begin(State::Standalone(alter)),
            Signal::MariaDbGtid { standalone: false, prepared, .. } => self.begin(State::Open(prepared)),
            Signal::XaPrepare { one_phase, xid } => self.prepare(one_phase, xid),
            Signal::StatementFormat(event) => Err(GroupError::StatementFormat(event)),
            Signal::Incident(message) => Err(GroupError::Incident(message)),
            Signal::FileBegins if self.is_idle() => Ok(Action::Nothing),
            Signal::FileBegins => {
                self.reset();
                Ok(Action::Cut)
            }
            Signal::Apart => Ok(Action::Nothing),
        }
    }

    fn begin(&mut self, state: State) -> Result<Action, GroupError> {
        if !self.is_idle() {
            return Err(GroupError::Overlap);
        }
        self.state = state;
        Ok(Action::Begin)
    }

    fn rows(&self) -> Result<Action, GroupError> {
        match self.state {
            State::Open(_) => Ok(Action::Rows),
            // MariaDB writes the text of a statement (ANNOTATE_ROWS) before the one statement of a group as well.
            State::Standalone(_) => Ok(Action::Drop),
            State::Idle | State::Announced => Err(GroupError::OutsideTransaction),
        }
    }

    fn end(&mut self, what: &'static str, close: Close) -> Result<Action, GroupError> {
        match self.state {
            State::Open(_) => Ok(self.close(close)),
            State::Idle | State::Announced | State::Standalone(_) => Err(GroupError::NothingToEnd(what)),
        }
    }

    fn close(&mut self, close: Close) -> Action {
        self.state = State::Idle;
        Action::Close(close)
    }

    fn prepare(&mut self, one_phase: bool, xid: Xid) -> Result<Action, GroupError> {
        let State::Open(open) = &self.state else { return Err(GroupError::NothingToEnd("XA_PREPARE")) };
        if open.as_ref().is_some_and(|open| *open != xid) {
            return Err(GroupError::OtherXid { prepared: xid });
        }
        Ok(self.close(if one_phase { Close::Commit } else { Close::Prepare(xid) }))
    }

    fn query(&mut self, statement: Statement) -> Result<Action, GroupError> {
        if let Statement::Dml(word) = statement {
            return Err(GroupError::StatementFormat(word));
        }
        match &self.state {
            State::Open(_) => self.query_inside(statement),
            State::Standalone(Some(AlterPhase::Start | AlterPhase::Rollback)) => Ok(self.close(Close::AlterPhase)),
            State::Idle | State::Announced | State::Standalone(_) => self.query_first(statement),
        }
    }

    /// The first statement of a group: it opens a transaction or is all of the group.
    fn query_first(&mut self, statement: Statement) -> Result<Action, GroupError> {
        // Without a GTID event before it, the statement itself begins the group.
        let opened = if self.is_idle() { Action::Begin } else { Action::Hold };
        Ok(match statement {
            Statement::Begin => {
                self.state = State::Open(None);
                opened
            }
            Statement::XaStart(xid) => {
                self.state = State::Open(Some(xid));
                opened
            }
            Statement::XaCommit(xid) => self.close(Close::XaCommit(xid)),
            Statement::XaRollback(xid) => self.close(Close::XaRollback(xid)),
            Statement::Commit => self.close(Close::Commit),
            Statement::Rollback => self.close(Close::Rollback),
            Statement::Savepoint(_) | Statement::RollbackTo(_) | Statement::Release | Statement::XaEnd => {
                return Err(GroupError::OutsideTransaction);
            }
            Statement::Other | Statement::Dml(_) => self.close(Close::Statement),
        })
    }

    fn query_inside(&mut self, statement: Statement) -> Result<Action, GroupError> {
        Ok(match statement {
            // MariaDB's GTID event stands for BEGIN, but a server before 10.0 writes one of its own after it.
            Statement::Begin => Action::Hold,
            Statement::Commit => self.close(Close::Commit),
            Statement::Rollback => self.close(Close::Rollback),
            Statement::Savepoint(name) => Action::Savepoint(name),
            Statement::RollbackTo(name) => Action::RollbackTo(name),
            Statement::Release | Statement::XaEnd => Action::Drop,
            // MySQL before 5.7 and MariaDB before 10.5 write an XA transaction as an ordinary one.
            Statement::XaStart(xid) => {
                self.state = State::Open(Some(xid));
                Action::Hold
            }
            Statement::XaCommit(_) => self.close(Close::Commit),
            Statement::XaRollback(_) => self.close(Close::Rollback),
            Statement::Other | Statement::Dml(_) => Action::Statement,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(text: &str) -> Signal {
        Signal::Query(Statement::read(text.as_bytes()))
    }

    fn xid(name: &str) -> Xid {
        Xid { format_id: 1, gtrid: name.into(), bqual: Vec::new() }
    }

    fn mariadb(standalone: bool) -> Signal {
        Signal::MariaDbGtid { standalone, prepared: None, alter: None }
    }

    /// The actions of a sequence that starts and must end between groups.
    fn actions(signals: impl IntoIterator<Item = Signal>) -> Vec<Action> {
        let mut group = Group::new();
        let actions = signals.into_iter().map(|s| group.step(s).expect("a legal stream")).collect();
        assert!(group.is_idle(), "left open: {group:?}");
        actions
    }

    /// The error at the last event of a sequence whose others are legal.
    fn error(signals: impl IntoIterator<Item = Signal>) -> GroupError {
        let mut group = Group::new();
        let mut results: Vec<_> = signals.into_iter().map(|s| group.step(s)).collect();
        let last = results.pop().expect("a sequence").expect_err("the last event is refused");
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        last
    }

    use Action::{Begin, Drop, Hold, Nothing, Rows};

    fn close(how: Close) -> Action {
        Action::Close(how)
    }

    #[test]
    fn an_ordinary_transaction_ends_at_xid_and_not_before() {
        let events = [Signal::Gtid, sql("BEGIN"), Signal::Rows, Signal::Rows, Signal::Xid];
        assert_eq!(actions(events.clone()), [Begin, Hold, Rows, Rows, close(Close::Commit)]);
        let mut group = Group::new();
        for event in events.into_iter().take(4) {
            group.step(event).expect("a legal stream");
            assert!(!group.is_idle());
        }
    }

    #[test]
    fn without_gtids_begin_opens_the_transaction() {
        let events = [sql("BEGIN"), Signal::Rows, Signal::Xid];
        assert_eq!(actions(events), [Begin, Rows, close(Close::Commit)]);
        assert_eq!(actions([sql("DROP TABLE t")]), [close(Close::Statement)]);
    }

    #[test]
    fn tables_without_transactions_end_at_commit_as_text() {
        let events = [Signal::Gtid, sql("BEGIN"), Signal::Rows, sql("COMMIT")];
        assert_eq!(actions(events), [Begin, Hold, Rows, close(Close::Commit)]);
    }

    #[test]
    fn ddl_is_a_group_of_its_own_only_when_no_begin_precedes_it() {
        assert_eq!(actions([Signal::Gtid, sql("CREATE TABLE t (id int)")]), [Begin, close(Close::Statement)]);
        let create_select = [
            Signal::Gtid,
            sql("BEGIN"),
            sql("CREATE TABLE `c` (`id` int) START TRANSACTION"),
            Signal::Rows,
            Signal::Rows,
            Signal::Xid,
        ];
        assert_eq!(actions(create_select), [Begin, Hold, Action::Statement, Rows, Rows, close(Close::Commit)]);
    }

    #[test]
    fn xa_in_two_phases_is_two_groups() {
        let events = [
            Signal::Gtid,
            sql("XA START X'7831',X'',1"),
            Signal::Rows,
            sql("XA END X'7831',X'',1"),
            Signal::XaPrepare { one_phase: false, xid: xid("x1") },
            Signal::Gtid,
            sql("BEGIN"),
            Signal::Xid,
            Signal::Gtid,
            sql("XA COMMIT X'7831',X'',1"),
            Signal::Gtid,
            sql("XA ROLLBACK X'7832',X'',1"),
        ];
        let expected = [
            Begin,
            Hold,
            Rows,
            Drop,
            close(Close::Prepare(xid("x1"))),
            Begin,
            Hold,
            close(Close::Commit),
            Begin,
            close(Close::XaCommit(xid("x1"))),
            Begin,
            close(Close::XaRollback(xid("x2"))),
        ];
        assert_eq!(actions(events), expected);
    }

    #[test]
    fn xa_in_one_phase_commits_at_its_prepare_event() {
        let events = [
            Signal::Gtid,
            sql("XA START X'7833',X'',1"),
            Signal::Rows,
            sql("XA END X'7833',X'',1"),
            Signal::XaPrepare { one_phase: true, xid: xid("x3") },
        ];
        assert_eq!(actions(events), [Begin, Hold, Rows, Drop, close(Close::Commit)]);
    }

    #[test]
    fn mariadb_opens_at_its_gtid_event_unless_that_stands_alone() {
        assert_eq!(actions([mariadb(false), Signal::Rows, Signal::Xid]), [Begin, Rows, close(Close::Commit)]);
        assert_eq!(actions([mariadb(true), sql("DROP TABLE t")]), [Begin, close(Close::Statement)]);
        let create_select = [mariadb(false), sql("CREATE TABLE c (id int)"), Signal::Rows, Signal::Rows, Signal::Xid];
        assert_eq!(actions(create_select), [Begin, Action::Statement, Rows, Rows, close(Close::Commit)]);
    }

    #[test]
    fn mariadb_names_the_prepared_xa_in_its_gtid_event() {
        let events = [
            Signal::MariaDbGtid { standalone: false, prepared: Some(xid("x1")), alter: None },
            Signal::Rows,
            sql("XA END X'7831',X'',1"),
            Signal::XaPrepare { one_phase: false, xid: xid("x1") },
            mariadb(true),
            sql("XA COMMIT X'7831',X'',1"),
        ];
        let expected = [Begin, Rows, Drop, close(Close::Prepare(xid("x1"))), Begin, close(Close::XaCommit(xid("x1")))];
        assert_eq!(actions(events), expected);
    }

    #[test]
    fn only_the_commit_of_a_two_phase_alter_counts() {
        let phase = |alter| Signal::MariaDbGtid { standalone: true, prepared: None, alter: Some(alter) };
        let alter = || sql("alter table i add column z int");
        assert_eq!(actions([phase(AlterPhase::Start), alter()]), [Begin, close(Close::AlterPhase)]);
        assert_eq!(actions([phase(AlterPhase::Rollback), alter()]), [Begin, close(Close::AlterPhase)]);
        assert_eq!(actions([phase(AlterPhase::Commit), alter()]), [Begin, close(Close::Statement)]);
    }

    #[test]
    fn savepoints_and_rollbacks_are_passed_on_by_name() {
        let events = [
            mariadb(false),
            Signal::Rows,
            sql("SAVEPOINT `s2`"),
            Signal::Rows,
            sql("ROLLBACK TO `s2`"),
            Signal::Xid,
            mariadb(false),
            Signal::Rows,
            sql("ROLLBACK"),
        ];
        let expected = [
            Begin,
            Rows,
            Action::Savepoint(b"s2".to_vec()),
            Rows,
            Action::RollbackTo(b"s2".to_vec()),
            close(Close::Commit),
            Begin,
            Rows,
            close(Close::Rollback),
        ];
        assert_eq!(actions(events), expected);
    }

    #[test]
    fn a_transaction_cut_by_a_crash_of_the_server_is_discarded_by_the_next_file() {
        let mut events = vec![Signal::Gtid, sql("BEGIN"), Signal::Rows, Signal::FileBegins];
        assert_eq!(actions(events.clone()), [Begin, Hold, Rows, Action::Cut]);
        events.extend([Signal::Apart, Signal::Gtid, sql("BEGIN"), Signal::Xid]);
        assert_eq!(actions(events)[4..], [Nothing, Begin, Hold, close(Close::Commit)]);
        assert_eq!(actions([Signal::FileBegins]), [Nothing]);
    }

    #[test]
    fn rows_in_statement_format_are_refused_by_name() {
        let e = error([Signal::Gtid, sql("BEGIN"), sql("insert into t values (1)")]);
        assert_eq!(e, GroupError::StatementFormat("INSERT"));
        assert_eq!(error([Signal::StatementFormat("RAND")]), GroupError::StatementFormat("RAND"));
    }

    #[test]
    fn a_stream_that_makes_no_sense_is_refused() {
        assert_eq!(error([Signal::Rows]), GroupError::OutsideTransaction);
        assert_eq!(error([Signal::Gtid, Signal::Rows]), GroupError::OutsideTransaction);
        assert_eq!(error([Signal::Xid]), GroupError::NothingToEnd("XID"));
        assert_eq!(error([Signal::Gtid, sql("BEGIN"), Signal::Gtid]), GroupError::Overlap);
        assert_eq!(error([Signal::Gtid, Signal::Gtid]), GroupError::Overlap);
        assert_eq!(error([Signal::Incident("LOST_EVENTS".into())]), GroupError::Incident("LOST_EVENTS".into()));
        let other =
            [Signal::Gtid, sql("XA START X'7831',X'',1"), Signal::XaPrepare { one_phase: false, xid: xid("x2") }];
        assert_eq!(error(other), GroupError::OtherXid { prepared: xid("x2") });
    }

    #[test]
    fn a_lost_connection_leaves_no_trace() {
        let mut group = Group::new();
        group.step(Signal::Gtid).expect("legal");
        group.reset();
        assert_eq!(group.step(Signal::Gtid), Ok(Begin));
    }
}
