//! What breaks a window, and what does not.

use tokio::sync::oneshot;

use super::super::chunks::ChunkRows;
use super::*;
use crate::binlog::event::{Checksum, Event, FormatDescription};
use crate::binlog::rows_writer::{EventOrigin, write_rows};
use crate::binlog::{RowsEvent, Value};
use crate::change::binlog_rows;
use crate::log::{ColumnDefinition, KeyDefinition, TableDefinition};

const ORIGIN: EventOrigin = EventOrigin { timestamp: 0, server_id: 1 };
const FILE: &str = "bin.000007";

fn name() -> ObjectName {
    ObjectName { database: "shop".into(), table: "t".into() }
}

fn plan(keyed: bool) -> Arc<TablePlan> {
    let column = ColumnDefinition {
        name: "id".into(),
        column_type: "char(4)".into(),
        charset: Some("latin1".into()),
        collation: None,
        nullable: false,
        invisible: false,
        generated: false,
    };
    let key = keyed.then(|| KeyDefinition { name: "PRIMARY".into(), columns: vec![0] });
    TablePlan::of_definition(&TableDefinition {
        id: 1,
        database: "shop".into(),
        table: "t".into(),
        columns: vec![column],
        keys: key.into_iter().collect(),
        default_charset: None,
        default_collation: None,
        unconfirmed: None,
        dropped: false,
    })
    .expect("a plan")
}

/// Notes a transaction that inserted this row, and commits it where it ends.
fn change(windows: &mut Windows, plan: &TablePlan, text: &[u8], end: u64) {
    let description = FormatDescription::parse(&binlog_rows::format_description("9.7.4")).expect("ours");
    let (mut writer, mut rows, mut raw) = (RowWriter::new(), Vec::new(), Vec::new());
    writer.begin();
    writer.value(&plan.defs[0], &Value::Bytes(text)).expect("it fits");
    writer.append_to(&mut rows);
    write_rows(ORIGIN, 1, 1, &rows, &mut raw);
    let event = Event::parse(&raw, Checksum::None).expect("an event");
    windows.note(&name(), &plan.defs, &RowsEvent::parse(&event, &description).expect("rows")).expect("rows of it");
    windows.commit((FILE, end));
}

fn hand_over(windows: &mut Windows, id: u64, high: u64) -> oneshot::Receiver<Outcome> {
    let chunk = Chunk {
        rows: ChunkRows::default(),
        high: (FILE.into(), high),
        origin: ORIGIN,
        number: 0,
        last: false,
        after: Vec::new(),
        until: Vec::new(),
        note: relay_store::Note { key: Vec::new(), value: None },
    };
    let (reply, answer) = oneshot::channel();
    windows.take_chunk(id, Box::new(chunk), reply);
    answer
}

fn open(keyed: bool) -> (Windows, Arc<TablePlan>) {
    let (mut windows, plan) = (Windows::default(), plan(keyed));
    windows.open(1, name(), plan.clone(), 1, SourcePosition::FileOnly);
    (windows, plan)
}

#[test]
fn a_table_without_a_key_must_stand_still_between_its_marks_only() {
    let (mut windows, plan) = open(false);
    change(&mut windows, &plan, b"a", 500);
    let mut answer = hand_over(&mut windows, 1, 500);
    assert!(windows.take_due(|_| true, |_| true).is_none());
    assert_eq!(answer.try_recv(), Ok(Outcome::Dropped(Dropped::Touched)));

    let (mut windows, plan) = open(false);
    change(&mut windows, &plan, b"a", 501);
    let _answer = hand_over(&mut windows, 1, 500);
    let due = windows.take_due(|_| true, |_| true).expect("what comes behind the high mark is in the stream");
    windows.put_back(due.window);
    let _answer = hand_over(&mut windows, 1, 500);
    assert!(windows.take_due(|_| true, |_| true).is_some(), "and so it is for the rows that follow");
}

#[test]
fn padding_makes_no_other_key() {
    let (mut windows, plan) = open(true);
    change(&mut windows, &plan, b"ab  ", 500);
    let _answer = hand_over(&mut windows, 1, 500);
    let due = windows.take_due(|_| true, |_| true).expect("its place is here");
    assert!(due.window.has(b"\0\0\0\x02ab") && !due.window.has(b"\0\0\0\x02AB"));
}

#[test]
fn statements_break_the_windows_of_their_tables_once_they_commit() {
    let (mut windows, _plan) = open(true);
    windows.note_statement(|table| table.table == "other");
    windows.note_statement(|_| true);
    windows.discard();
    windows.note_statement(|table| table.table == "t");
    let mut answer = hand_over(&mut windows, 1, 500);
    windows.commit((FILE, 400));
    assert!(windows.take_due(|_| false, |_| true).is_none(), "no need to wait for its place");
    assert_eq!(answer.try_recv(), Ok(Outcome::Dropped(Dropped::TableChanged)));
    let mut late = hand_over(&mut windows, 1, 500);
    assert_eq!(late.try_recv(), Ok(Outcome::Dropped(Dropped::Restarted)), "the window is gone");
}

#[test]
fn too_many_changes_give_up_the_chunk_and_not_the_memory() {
    let (mut windows, plan) = open(true);
    let key_of = |n: u32| n.to_string().into_bytes();
    windows.open[0].key_bytes = KEY_BYTES_MAX - 100;
    (0..3).for_each(|n| change(&mut windows, &plan, &key_of(n), 10));
    assert!(windows.open[0].keys.is_empty());
    let mut answer = hand_over(&mut windows, 1, 10);
    assert!(windows.take_due(|_| true, |_| true).is_none());
    assert_eq!(answer.try_recv(), Ok(Outcome::Dropped(Dropped::TooManyChanges)));
}
