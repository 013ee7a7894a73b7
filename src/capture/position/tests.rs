//! Every way in which a log can, and cannot, go on.

use std::collections::BTreeMap;

use super::*;
use crate::binlog::event::Dialect;
use crate::capture::facts::{BinlogFile, Replication, SourceEnd};
use crate::failure::{Class, Exit, Failure};

const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const B: &str = "4a6f2a67-5d87-11e6-a6bd-0800272d5ee0";

fn file(name: &str, size: u64, created: u32) -> BinlogFile {
    BinlogFile { name: name.into(), size, created: Some(created) }
}

fn facts(gtids: ServerGtids) -> ServerFacts {
    let mariadb = matches!(gtids, ServerGtids::MariaDb { .. });
    ServerFacts {
        version: if mariadb { "10.11.6-MariaDB".into() } else { "9.7.4".into() },
        dialect: if mariadb { Dialect::MariaDB } else { Dialect::MySql },
        identity: if mariadb { "10".into() } else { A.into() },
        gtids,
        variables: BTreeMap::from([("gtid_mode".into(), "OFF".into())]),
        binlogs: vec![file("bin.000003", 900, 1000), file("bin.000004", 500, 2000), file("bin.000005", 700, 3000)],
        end: Some(SourceEnd { file: "bin.000005".into(), position: 700, gtids: SourcePosition::FileOnly }),
        ..ServerFacts::example()
    }
}

fn mysql(executed: &str, purged: &str) -> ServerFacts {
    facts(ServerGtids::MySql { executed: executed.parse().unwrap(), purged: purged.parse().unwrap() })
}

fn mariadb(newest: &str, oldest: &str) -> ServerFacts {
    facts(ServerGtids::MariaDb { newest: newest.parse().unwrap(), oldest: Some(oldest.parse().unwrap()) })
}

fn checkpoint(gtids: SourcePosition) -> Checkpoint {
    let server = if matches!(gtids, SourcePosition::MariaDbGtid(_)) { "10" } else { A };
    Checkpoint {
        gtids,
        file: "bin.000004".into(),
        position: 400,
        server: server.into(),
        file_created: 2000,
        ..Checkpoint::default()
    }
}

fn set(text: &str) -> SourcePosition {
    SourcePosition::MySqlGtid(text.into())
}

fn resume(checkpoint: &Checkpoint, facts: &ServerFacts) -> Result<ResumePoint, PositionError> {
    choose(Some(checkpoint), Resume::Auto, &SourceStart::Latest, facts)
}

fn start(start: SourceStart, facts: &ServerFacts) -> Result<ResumePoint, PositionError> {
    choose(None, Resume::Auto, &start, facts)
}

fn at(file: &str, position: u64) -> DumpFrom {
    DumpFrom::File { file: file.into(), position }
}

#[test]
fn a_log_with_gtids_goes_on_after_its_set() {
    let point = resume(&checkpoint(set(&format!("{A}:1-90"))), &mysql(&format!("{A}:1-100"), "")).unwrap();
    assert_eq!(point.from, DumpFrom::MySqlGtid(format!("{A}:1-90").parse().unwrap()));
    assert_eq!(point.covered, Covered::Known(set(&format!("{A}:1-90"))));
    assert_eq!(point.reason, Reason::Continue);
}

#[test]
fn another_server_with_all_gtids_is_a_failover() {
    let mut facts = mysql(&format!("{A}:1-100,{B}:1-5"), &format!("{A}:1-50"));
    facts.identity = B.into();
    facts.binlogs = vec![file("other.000001", 10, 1)]; // its files say nothing about the log's
    let point = resume(&checkpoint(set(&format!("{A}:1-90"))), &facts).unwrap();
    assert_eq!(point.reason, Reason::Failover { from: A.into() });
    assert_eq!(point.expected_file, None);
}

#[test]
fn purged_transactions_that_the_log_lacks_are_named() {
    let error = resume(&checkpoint(set(&format!("{A}:1-40"))), &mysql(&format!("{A}:1-100"), &format!("{A}:1-50")));
    let error = error.unwrap_err();
    assert_eq!(error, PositionError::Purged { missing: format!("{A}:41-50") });
    assert_eq!((error.class(), error.exit()), (Class::Definite, Exit::Source));
    assert!(error.next_step().is_some());
}

#[test]
fn purged_transactions_that_the_log_has_do_no_harm() {
    let facts = mysql(&format!("{A}:1-100"), &format!("{A}:1-50"));
    assert!(resume(&checkpoint(set(&format!("{A}:1-50"))), &facts).is_ok());
}

#[test]
fn transactions_that_the_new_server_lacks_are_a_divergence_unless_it_still_applies() {
    let mut facts = mysql(&format!("{A}:1-80,{B}:1-5"), "");
    facts.identity = B.into();
    let log = checkpoint(set(&format!("{A}:1-90")));
    let error = resume(&log, &facts).unwrap_err();
    assert_eq!(error, PositionError::Diverged { address: "db1:3306".into(), extra: format!("{A}:81-90") });
    assert_eq!((error.class(), error.exit()), (Class::Definite, Exit::Source));
    facts.replication = Some(Replication { running: true });
    assert_eq!(resume(&log, &facts).unwrap_err().class(), Class::Transient);
}

#[test]
fn a_servers_own_newest_transaction_may_be_ahead_of_its_set_and_is_left_to_it() {
    let log = checkpoint(set(&format!("{A}:1-101")));
    let mut facts = mysql(&format!("{A}:1-100"), "");
    assert!(resume(&log, &facts).is_ok());
    facts.version = "5.6.24-log".into(); // does not look by itself
    assert!(matches!(resume(&log, &facts), Err(PositionError::Diverged { .. })));
}

#[test]
fn a_reset_server_is_found_out_by_its_files_also_when_gtids_agree() {
    let log = checkpoint(set(&format!("{A}:1-90")));
    let good = mysql(&format!("{A}:1-100"), "");
    let mut recreated = good.clone();
    recreated.binlogs[1].created = Some(2001);
    let mut shorter = good.clone();
    shorter.binlogs[1].size = 399;
    let mut anew = good.clone();
    anew.binlogs = vec![file("bin.000001", 4000, 4000)];
    for (facts, by_file) in [(recreated, "created"), (shorter, "399"), (anew, "newest")] {
        for log in [&log, &checkpoint(SourcePosition::FileOnly)] {
            let error = resume(log, &facts).unwrap_err();
            assert!(matches!(error, PositionError::ResetServer { .. }), "{error}");
            assert!(error.to_string().contains(by_file), "{error}");
            assert_eq!(error.exit(), Exit::Source);
        }
    }
    // Creation times are mostly not asked for beforehand: the stream's own format description tells then.
    let mut unknown = good;
    unknown.binlogs[1].created = None;
    let point = resume(&log, &unknown).unwrap();
    assert_eq!(point.confirm_file("bin.000004", 2000), Ok(()));
    assert_eq!(point.confirm_file("bin.000005", 3000), Ok(()));
    assert!(matches!(point.confirm_file("bin.000004", 2001), Err(PositionError::ResetServer { .. })));
}

#[test]
fn without_gtids_file_and_position_of_the_same_server_count() {
    let log = checkpoint(SourcePosition::FileOnly);
    let mut facts = facts(ServerGtids::Off);
    let point = resume(&log, &facts).unwrap();
    assert_eq!((point.from, point.covered), (at("bin.000004", 400), Covered::Known(SourcePosition::FileOnly)));
    facts.binlogs.drain(..2);
    let error = resume(&log, &facts).unwrap_err();
    assert_eq!(error, PositionError::FilePurged { file: "bin.000004".into(), oldest: "bin.000005".into() });
    facts.identity = B.into();
    let error = resume(&log, &facts).unwrap_err();
    assert_eq!(error, PositionError::ChangedServer { was: A.into(), is: B.into() });
    assert_eq!(error.exit(), Exit::Source);
}

#[test]
fn a_log_never_mixes_gtids_and_positions() {
    let with_gtids = mysql(&format!("{A}:1-100"), "");
    let by_file = checkpoint(SourcePosition::FileOnly);
    // Begun without GTIDs: goes on without, also on a server that has them by now.
    assert_eq!(resume(&by_file, &with_gtids).unwrap().from, at("bin.000004", 400));
    let gtid = |log: &Checkpoint, facts: &ServerFacts| choose(Some(log), Resume::Gtid, &SourceStart::Latest, facts);
    assert_eq!(gtid(&by_file, &with_gtids), Err(PositionError::LogWithoutGtids));
    // Begun with GTIDs: not by position unless that is asked for.
    let by_set = checkpoint(set(&format!("{A}:1-90")));
    let error = resume(&by_set, &facts(ServerGtids::Off)).unwrap_err();
    assert_eq!(error, PositionError::NoGtids { address: "db1:3306".into(), mode: "OFF".into() });
    let point = choose(Some(&by_set), Resume::File, &SourceStart::Latest, &with_gtids).unwrap();
    assert_eq!((point.from, point.covered), (at("bin.000004", 400), Covered::Known(SourcePosition::FileOnly)));
}

#[test]
fn an_unreadable_checkpoint_is_never_taken_for_an_empty_one() {
    let facts = mysql(&format!("{A}:1-100"), "");
    let error = resume(&checkpoint(set("nonsense")), &facts).unwrap_err();
    assert_eq!((error.class(), error.exit()), (Class::Fatal, Exit::Store));
    let empty = Checkpoint { server: A.into(), ..Checkpoint::default() };
    assert_eq!(resume(&empty, &facts).unwrap_err().exit(), Exit::Store);
}

#[test]
fn mariadb_goes_on_domain_by_domain() {
    let log = checkpoint(SourcePosition::MariaDbGtid("0-10-20,7-10-1".into()));
    let point = resume(&log, &mariadb("0-10-30,7-10-1", "0-10-5")).unwrap();
    assert_eq!(point.from, DumpFrom::MariaDbGtid("0-10-20,7-10-1".parse().unwrap()));
    let missing = |newest: &str, oldest: &str| resume(&log, &mariadb(newest, oldest)).unwrap_err();
    let purged = |missing: &str| PositionError::Purged { missing: missing.into() };
    assert_eq!(missing("0-10-30,7-10-1", "0-10-21"), purged("0-10-21"));
    assert_eq!(missing("0-10-30,7-10-1,9-10-4", "9-10-2"), purged("9-10-2"));
    for newest in ["0-10-19,7-10-1", "0-10-30", "0-11-20,7-10-1"] {
        assert!(matches!(missing(newest, ""), PositionError::Diverged { .. }), "{newest}");
    }
    assert_eq!(
        resume(&log, &mysql("", "")).unwrap_err(),
        PositionError::OtherDialect { log: "MariaDB", server: "MySQL" }
    );
    let other = resume(&checkpoint(set(&format!("{A}:1"))), &mariadb("0-10-30", ""));
    assert_eq!(other.unwrap_err(), PositionError::OtherDialect { log: "MySQL", server: "MariaDB" });
}

#[test]
fn a_first_start_at_the_end_leaves_out_what_was_executed_purged_or_not() {
    let facts_mysql = mysql(&format!("{A}:1-100"), &format!("{A}:1-50"));
    let point = start(SourceStart::Latest, &facts_mysql).unwrap();
    assert_eq!(point.from, DumpFrom::MySqlGtid(format!("{A}:1-100").parse().unwrap()));
    assert_eq!(point.reason, Reason::FirstStart);
    let point = start(SourceStart::Latest, &mariadb("0-10-30", "")).unwrap();
    assert_eq!(point.from, DumpFrom::MariaDbGtid("0-10-30".parse().unwrap()));
    assert_eq!(start(SourceStart::Latest, &facts(ServerGtids::Off)).unwrap().from, at("bin.000005", 700));
    let by_file = choose(None, Resume::File, &SourceStart::Latest, &facts_mysql).unwrap();
    assert_eq!((by_file.from, by_file.covered), (at("bin.000005", 700), Covered::Known(SourcePosition::FileOnly)));
}

#[test]
fn a_first_start_at_the_beginning_asks_for_all_that_is_left_and_not_for_what_is_purged() {
    let point = start(SourceStart::Earliest, &mysql(&format!("{A}:1-100"), &format!("{A}:1-50"))).unwrap();
    assert_eq!(point.from, DumpFrom::MySqlGtid(format!("{A}:1-50").parse().unwrap()));
    let point = start(SourceStart::Earliest, &mariadb("0-10-30", "0-10-5")).unwrap();
    assert_eq!((point.from, point.covered), (at("bin.000003", 4), Covered::AtFileStart));
    let point = start(SourceStart::Earliest, &facts(ServerGtids::Off)).unwrap();
    assert_eq!((point.from, point.covered), (at("bin.000003", 4), Covered::Known(SourcePosition::FileOnly)));
}

#[test]
fn a_start_by_gtid_across_a_purge_is_refused() {
    let facts_mysql = mysql(&format!("{A}:1-100"), &format!("{A}:1-50"));
    let gtid = |text: String| start(SourceStart::Gtid(text), &facts_mysql);
    assert!(gtid(format!("{A}:1-60")).is_ok());
    assert!(matches!(gtid(format!("{A}:1-40")), Err(PositionError::Purged { .. })));
    assert!(matches!(gtid(format!("{B}:1-40")), Err(PositionError::Diverged { .. })));
    assert!(matches!(gtid("0-1-5".into()), Err(PositionError::BadStart { .. })));
    let off = start(SourceStart::Gtid(format!("{A}:1")), &facts(ServerGtids::Off));
    assert!(matches!(off, Err(PositionError::NoGtids { .. })));
    assert!(start(SourceStart::Gtid("0-10-20".into()), &mariadb("0-10-30", "0-10-5")).is_ok());
}

#[test]
fn a_start_in_a_file_counts_gtids_from_the_files_start() {
    let here = |file: &str, offset| SourceStart::File { file: file.into(), offset };
    let facts_mysql = mysql(&format!("{A}:1-100"), "");
    let point = start(here("bin.000004", 120), &facts_mysql).unwrap();
    assert_eq!((point.from, point.covered), (at("bin.000004", 4), Covered::AtFileStart));
    assert_eq!(point.skip, Some(Skip::UpTo(120)));
    assert_eq!(start(here("bin.000004", 4), &facts_mysql).unwrap().skip, None);
    assert_eq!(start(here("bin.000004", 0), &facts_mysql).unwrap().from, at("bin.000004", 4));
    let point = start(here("bin.000004", 120), &facts(ServerGtids::Off)).unwrap();
    assert_eq!((point.from, point.skip), (at("bin.000004", 120), None));
    assert!(matches!(start(here("bin.000002", 4), &facts_mysql), Err(PositionError::FilePurged { .. })));
    assert!(matches!(start(here("bin.000004", 501), &facts_mysql), Err(PositionError::StartBeyondFile { .. })));
}

#[test]
fn a_start_by_time_begins_in_the_last_file_older_than_it() {
    let us = |second: i64| SourceStart::Time(second * 1_000_000 + 7);
    let mut facts = mysql(&format!("{A}:1-100"), &format!("{A}:1-50"));
    for (second, file) in [(1001, "bin.000003"), (2000, "bin.000003"), (2001, "bin.000004"), (9000, "bin.000005")] {
        let point = start(us(second), &facts).unwrap();
        assert_eq!(point.from, at(file, 4), "{second}");
        assert_eq!(point.skip, Some(Skip::CommittedBefore(second * 1_000_000 + 7)));
    }
    let error = start(us(999), &facts).unwrap_err();
    assert!(matches!(error, PositionError::TimePurged { .. }), "{error}");
    assert!(error.to_string().contains("1970-01-01T00:16:40Z"), "{error}");
    facts.gtids = ServerGtids::MySql { executed: format!("{A}:1-100").parse().unwrap(), purged: GtidSet::new() };
    assert_eq!(start(us(999), &facts).unwrap().from, at("bin.000003", 4), "nothing was ever purged");
}

#[test]
fn a_server_without_binlog_is_refused() {
    let mut facts = mysql("", "");
    facts.end = None;
    let error = start(SourceStart::Latest, &facts).unwrap_err();
    assert_eq!(error.exit(), Exit::Precheck);
    assert!(matches!(
        choose(None, Resume::Gtid, &SourceStart::Latest, &super::tests::facts(ServerGtids::Off)),
        Err(PositionError::NoGtids { .. })
    ));
}
