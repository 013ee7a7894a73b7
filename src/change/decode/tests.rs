use relay_store::{BlockContext, Commit, EntryHeader, Read, Store, StoreOptions};

use super::*;
use crate::binlog::event::QueryCharset;
use crate::change::binlog_rows::*;
use crate::change::{SessionInfo, TxInfo};
use crate::log::{ContextWriter, TableDefinition, flag, kind};

const UUID: [u8; 16] = [0x3e, 0x11, 0xfa, 0x47, 0x71, 0xca, 0x11, 0xe1, 0x9e, 0x33, 0xc8, 0x0a, 0xa9, 0x42, 0x95, 0x62];

/// What the block repeats.
#[derive(Clone, Default)]
struct Repeated {
    description: Vec<u8>,
    executed: Option<&'static str>,
    lower_case: Option<bool>,
    transaction: Option<Vec<u8>>,
    statement: Option<Vec<u8>>,
    maps: Vec<(u8, Vec<u8>)>,
}

impl BlockContext for Repeated {
    fn write(&self, out: &mut Vec<u8>) {
        let mut writer = ContextWriter::begin(out, 0, &self.description, "mysql-bin.000007");
        self.executed.iter().for_each(|set| writer.executed(set));
        self.lower_case.iter().for_each(|&is_lower| writer.lower_case(is_lower));
        if let Some(transaction) = &self.transaction {
            writer.transaction(0, transaction);
        }
        if let Some(statement) = &self.statement {
            writer.statement(0, statement);
        }
        for (flags, map) in &self.maps {
            writer.table_map(*flags, map);
        }
    }
}

/// One block of these entries, read from `from`.
fn block(repeated: &Repeated, entries: &[(u8, u8, Vec<u8>)], from: u64) -> Block {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), StoreOptions::default()).expect("a store");
    let mut appender = store.appender().expect("the only one");
    for (place, (kind, flags, body)) in entries.iter().enumerate() {
        let header = EntryHeader {
            kind: *kind,
            flags: *flags,
            tx_index: place as u32,
            source_pos: 1000 + place as u64,
            received_us: 1_767_225_930_000_000,
        };
        appender.append(header, &[body], repeated).expect("room");
    }
    appender.commit(Commit { checkpoint: b"c", commit_time_us: 1, forget_prepared: None });
    appender.flush().expect("a disk");
    match store.reader().read(Seq(from)).expect("readable") {
        Read::Block(raw) => raw.decode().expect("whole"),
        other => panic!("a block was written, not {other:?}"),
    }
}

fn events(raw: impl IntoIterator<Item = Vec<u8>>) -> Vec<(u8, u8, Vec<u8>)> {
    raw.into_iter().map(|event| (kind::EVENT, flag::NO_CHECKSUM, event)).collect()
}

fn mysql() -> Repeated {
    Repeated { description: format_description("9.7.4"), ..Repeated::default() }
}

fn decoder() -> BlockDecoder {
    BlockDecoder::new(Arc::new(Planner::new()))
}

/// A line for each change.
fn told(decoder: &BlockDecoder, block: &Block) -> Result<Vec<String>, BlockError> {
    told_wanting(decoder, block, &|_| true)
}

fn told_wanting(
    decoder: &BlockDecoder,
    block: &Block,
    wanted: &dyn Fn(&TableName) -> bool,
) -> Result<Vec<String>, BlockError> {
    let mut lines = Vec::new();
    decoder.decode::<BlockError>(block, wanted, &mut |change| {
        match change {
            Change::Rows(rows) => {
                for row in rows.rows() {
                    let row = row.expect("a row");
                    let first = row.image().expect("an image").get(0).expect("a value").expect("present");
                    let (op, name, thread) = (rows.op, &rows.plan.name, rows.tx.thread_id);
                    let place = rows.place.position;
                    lines.push(format!(
                        "{} {op:?} {name}[{}] {first:?} of {:?} by {thread:?} at {place}",
                        rows.seq, row.index, rows.tx.gtid
                    ));
                }
            }
            Change::Ddl(ddl) => lines.push(format!("{} ddl {} in {:?}", ddl.seq, ddl.sql, ddl.tx.gtid)),
            Change::Begin(at) => lines.push(format!("{} begin {:?} from {}", at.seq, at.tx.gtid, at.tx.start)),
            Change::Commit(at) => lines.push(format!("{} commit at {}", at.seq, at.place.position)),
            Change::Gap(gap) => lines.push(format!("{} gap {}", gap.seq, gap.text)),
            Change::Failed(failure) => {
                lines.push(format!("{} failed {}: {}", failure.seq, failure.table, failure.error));
            }
        }
        Ok(())
    })?;
    Ok(lines)
}

fn orders() -> Vec<Col> {
    vec![int("id", 3, false).key(), varchar("note", 20, 255, 4)]
}

fn order(id: i64, note: &str) -> Image {
    image(&[le(id, 4), text(note)])
}

fn map(full: bool) -> Vec<u8> {
    table_map(9, "shop", "orders", &orders(), full)
}

fn gtid_text(number: i64) -> String {
    format!("3e11fa47-71ca-11e1-9e33-c80aa9429562:{number}")
}

#[test]
fn changes_come_in_order_with_their_transaction() {
    let columns = orders();
    let entries = events([
        gtid(UUID, 23, 1_767_225_930_123_456),
        query(77, "shop", "BEGIN"),
        map(true),
        rows(30, 9, &columns, &[order(1, "a"), order(2, "b")], 0),
        rows(31, 9, &columns, &[order(1, "a"), order(1, "c")], 0),
        xid(5),
        gtid(UUID, 24, 1_767_225_931_000_000),
        query(78, "shop", "ALTER TABLE orders ADD COLUMN x int"),
    ]);
    let (one, two) = (gtid_text(23), gtid_text(24));
    assert_eq!(
        told(&decoder(), &block(&mysql(), &entries, 1)).expect("a block"),
        [
            format!("4 Insert shop.orders[0] Int(1) of {one:?} by Some(77) at 1003"),
            format!("4 Insert shop.orders[1] Int(2) of {one:?} by Some(77) at 1003"),
            format!("5 Update shop.orders[0] Int(1) of {one:?} by Some(77) at 1004"),
            format!("8 ddl ALTER TABLE orders ADD COLUMN x int in {two:?}"),
        ]
    );
}

#[test]
fn a_block_in_the_middle_of_a_transaction_is_read_alone() {
    let repeated =
        Repeated { transaction: Some(gtid(UUID, 23, 1)), maps: vec![(flag::NO_CHECKSUM, map(true))], ..mysql() };
    let entries = events([rows(32, 9, &orders(), &[order(1, "a")], 0)]);
    let line = format!("1 Delete shop.orders[0] Int(1) of {:?} by None at 1000", gtid_text(23));
    assert_eq!(told(&decoder(), &block(&repeated, &entries, 1)).expect("a block"), [line]);
}

#[test]
fn reading_from_the_middle_of_a_block_knows_what_stood_before() {
    let entries = events([
        gtid(UUID, 23, 1),
        query(77, "shop", "BEGIN"),
        map(true),
        rows(30, 9, &orders(), &[order(1, "a")], 0),
        rows(30, 9, &orders(), &[order(2, "b")], 0),
    ]);
    let line = format!("5 Insert shop.orders[0] Int(2) of {:?} by Some(77) at 1004", gtid_text(23));
    assert_eq!(told(&decoder(), &block(&mysql(), &entries, 5)).expect("a block"), [line]);
}

#[test]
fn a_table_without_a_plan_fails_alone() {
    let entries = events([
        table_map(8, "shop", "bare", &orders(), false),
        map(true),
        rows(30, 8, &orders(), &[order(1, "a")], 0),
        rows(30, 9, &orders(), &[order(2, "b")], 0),
    ]);
    let block = block(&mysql(), &entries, 1);
    let lines = told(&decoder(), &block).expect("a block");
    assert!(lines[0].starts_with("3 failed shop.bare: table shop.bare: its table map names no columns"), "{lines:?}");
    assert!(lines[1].starts_with("4 Insert shop.orders[0] Int(2)"), "{lines:?}");
    let lines = told_wanting(&decoder(), &block, &|name| &*name.table != "bare").expect("a block");
    assert_eq!(lines.len(), 1);
}

#[test]
fn a_damaged_rows_event_fails_its_table_alone() {
    let mut cut = rows(30, 9, &orders(), &[order(1, "a")], 0);
    cut.truncate(30);
    cut[9] = 30;
    let entries = events([map(true), cut]);
    let lines = told(&decoder(), &block(&mysql(), &entries, 1)).expect("a block");
    assert!(lines[0].starts_with("2 failed shop.orders: decode rows event"), "{lines:?}");
}

fn definition() -> TableDefinition {
    let column = |name: &str, column_type: &str, charset: Option<&str>| crate::log::ColumnDefinition {
        name: name.into(),
        column_type: column_type.into(),
        charset: charset.map(Into::into),
        collation: None,
        nullable: true,
        invisible: false,
        generated: false,
    };
    TableDefinition {
        id: 41,
        database: "shop".into(),
        table: "orders".into(),
        columns: vec![column("id", "int(11)", None), column("note", "varchar(20)", Some("utf8mb4"))],
        keys: Vec::new(),
        default_charset: None,
        default_collation: None,
        unconfirmed: None,
        dropped: false,
    }
}

fn with_schema(map: Vec<u8>) -> (u8, u8, Vec<u8>) {
    (kind::EVENT, flag::NO_CHECKSUM | flag::SCHEMA_ID, [map, 41u64.to_be_bytes().to_vec()].concat())
}

#[test]
fn schema_versions_come_from_the_block_or_are_asked_for_by_id() {
    let mut entries = vec![with_schema(map(false))];
    entries.extend(events([rows(30, 9, &orders(), &[order(1, "a")], 0)]));
    let plain = block(&mysql(), &entries, 1);
    let decoder = decoder();
    assert_eq!(decoder.missing_schemas(&plain), Ok(vec![41]));
    let lines = told(&decoder, &plain).expect("a block");
    assert!(lines[0].contains("schema version 41 is not in the log"), "{lines:?}");
    decoder.planner.learn(&definition().encode()).expect("a definition");
    assert_eq!(decoder.missing_schemas(&plain), Ok(vec![]));
    assert!(told(&decoder, &plain).expect("a block")[0].starts_with("2 Insert shop.orders[0] Int(1)"));

    entries.insert(0, (kind::SCHEMA, 0, definition().encode()));
    let lines = told(&self::decoder(), &block(&mysql(), &entries, 1)).expect("a block");
    assert!(lines[0].starts_with("3 Insert shop.orders[0] Int(1)"), "{lines:?}");
}

#[test]
fn a_schema_version_that_disagrees_names_the_column() {
    let mut wrong = definition();
    wrong.columns[0].column_type = "bigint(20)".into();
    let mut entries = vec![(kind::SCHEMA, 0, wrong.encode()), with_schema(map(false))];
    entries.extend(events([rows(30, 9, &orders(), &[order(1, "a")], 0)]));
    let lines = told(&decoder(), &block(&mysql(), &entries, 1)).expect("a block");
    assert_eq!(
        lines,
        ["3 failed shop.orders: table shop.orders: column id is declared bigint(20) in schema version 41, \
          its rows hold wire type 3 (0)"]
    );
}

#[test]
fn boundaries_are_no_statements_and_gaps_are_told() {
    let mut entries = events([
        query(1, "", "BEGIN"),
        query(1, "", "SAVEPOINT `s`"),
        query(1, "", "xa commit X'01',X'',1"),
        query(1, "", "COMMIT"),
    ]);
    entries.push((kind::GAP_NOTE, 0, b"prepared rows before the log".to_vec()));
    entries.push((kind::SELECTION, 0, b"shop.*".to_vec()));
    assert_eq!(
        told(&decoder(), &block(&mysql(), &entries, 1)).expect("a block"),
        ["5 gap prepared rows before the log"]
    );
}

#[test]
fn only_the_effective_half_of_a_two_phase_alter_is_told() {
    let maria = Repeated { description: format_description("10.11.19-MariaDB"), ..Repeated::default() };
    let begin = |extra: u8, seq: u64, tail: &[u8]| {
        let body = [&seq.to_le_bytes()[..], &0u32.to_le_bytes(), &[1, extra], tail].concat();
        event(162, 0, 0, &body)
    };
    let entries = events([
        begin(2, 1, &[]),
        query(1, "shop", "ALTER TABLE orders ADD x int"),
        begin(4, 2, &1u64.to_le_bytes()),
        query(1, "shop", "ALTER TABLE orders ADD x int"),
    ]);
    let lines = told(&decoder(), &block(&maria, &entries, 1)).expect("a block");
    assert_eq!(lines, ["4 ddl ALTER TABLE orders ADD x int in \"0-1-2\""]);
}

#[test]
fn what_cannot_be_understood_stops_the_block() {
    let orphan = events([rows(30, 9, &orders(), &[order(1, "a")], 0)]);
    assert_eq!(
        told(&decoder(), &block(&mysql(), &orphan, 1)),
        Err(BlockError::NoTableMap { seq: Seq(1), table_id: 9 })
    );
    let unknown = events([event(99, 0, 0, b"?")]);
    let error = BlockError::UnknownEvent { seq: Seq(1), event_type: EventType(99) };
    assert_eq!(told(&decoder(), &block(&mysql(), &unknown, 1)), Err(error));
    let strange = vec![(0x77, 0, b"?".to_vec())];
    let error = BlockError::UnknownKind { seq: Seq(1), kind: 0x77 };
    assert_eq!(told(&decoder(), &block(&mysql(), &strange, 1)), Err(error));
}

#[test]
fn one_plan_serves_every_block_of_the_same_table_shape() {
    let entries = events([map(true), rows(30, 9, &orders(), &[order(1, "a")], 0)]);
    let decoder = decoder();
    let mut ids = Vec::new();
    for _ in 0..2 {
        decoder
            .decode::<BlockError>(&block(&mysql(), &entries, 1), &|_| true, &mut |change| {
                if let Change::Rows(rows) = change {
                    ids.push(rows.plan.id);
                }
                Ok(())
            })
            .expect("a block");
    }
    assert_eq!(ids[0], ids[1]);
}

fn told_with_boundaries(block: &Block) -> Vec<String> {
    told(&decoder().with_boundaries(), block).expect("a block")
}

/// A QUERY event with `flags2`, `sql_mode` and the session's collations.
fn query_in_session(sql: &str, end: u32) -> Vec<u8> {
    let mut status = vec![0];
    status.extend(0x4000u32.to_le_bytes());
    status.push(1);
    status.extend(1_168_113_696u64.to_le_bytes());
    status.extend([4, 255, 0, 45, 0, 8, 0]);
    let body = [&77u32.to_le_bytes()[..], &[0; 7], &(status.len() as u16).to_le_bytes(), &status, &[0], sql.as_bytes()]
        .concat();
    event(2, 0, end, &body)
}

fn facts(block: &Block) -> Vec<(u64, Option<u32>, SessionInfo, Arc<str>)> {
    let mut facts = Vec::new();
    let mut note = |tx: &TxInfo| facts.push((tx.start, tx.thread_id, tx.session, Arc::clone(&tx.server_version)));
    decoder()
        .decode::<BlockError>(block, &|_| true, &mut |change| {
            match change {
                Change::Rows(rows) => note(rows.tx),
                Change::Ddl(ddl) => note(ddl.tx),
                _ => {}
            }
            Ok(())
        })
        .expect("a block");
    facts
}

fn session() -> SessionInfo {
    SessionInfo {
        flags2: Some(0x4000),
        sql_mode: Some(1_168_113_696),
        charset: Some(QueryCharset { client: 255, connection: 45, server: 8 }),
    }
}

#[test]
fn a_transaction_knows_its_start_its_session_and_its_server() {
    let announced = gtid(UUID, 23, 1);
    let start = 1000 - announced.len() as u64;
    let entries = events([
        announced,
        query_in_session("BEGIN", 0),
        map(true),
        rows(30, 9, &orders(), &[order(1, "a")], 0),
        xid(5),
        gtid(UUID, 24, 1),
        query_in_session("DROP TABLE orders", 0),
    ]);
    let version: Arc<str> = "9.7.4".into();
    assert_eq!(
        facts(&block(&mysql(), &entries, 1)),
        [(start, Some(77), session(), Arc::clone(&version)), (start + 5, Some(77), session(), Arc::clone(&version))]
    );
    // The same in a later block, which repeats the first events; positions wrap at 4 GiB.
    let near = 1000u64;
    let repeated = Repeated {
        transaction: Some(gtid(UUID, 23, 1)),
        statement: Some(query_in_session("BEGIN", 300)),
        maps: vec![(flag::NO_CHECKSUM, map(true))],
        ..mysql()
    };
    let start = 200 - gtid(UUID, 23, 1).len() as u64;
    let entries = events([rows(30, 9, &orders(), &[order(1, "a")], 0)]);
    assert_eq!(facts(&block(&repeated, &entries, 1)), [(start, Some(77), session(), Arc::clone(&version))]);
    assert_eq!(transaction::whole_position(200, near), 200);
    assert_eq!(transaction::whole_position(200, (1 << 32) + 100), 200);
    assert_eq!(transaction::whole_position(200, (3 << 32) + 300), (3 << 32) + 200);
    assert_eq!(transaction::whole_position(0xffff_ff00, (3 << 32) + 300), (2 << 32) + 0xffff_ff00);
}

#[test]
fn without_gtids_a_transaction_starts_at_its_first_statement() {
    let begin = query_in_session("BEGIN", 900);
    let length = begin.len() as u64;
    let entries = events([
        begin.clone(),
        map(true),
        rows(30, 9, &orders(), &[order(1, "a")], 0),
        xid(5),
        query_in_session("DROP TABLE a", 0),
        query_in_session("DROP TABLE b", 0),
    ]);
    let starts = |block: &Block| facts(block).iter().map(|fact| fact.0).collect::<Vec<_>>();
    let ddl = length + "DROP TABLE a".len() as u64 - "BEGIN".len() as u64;
    assert_eq!(starts(&block(&mysql(), &entries, 1)), [1000 - length, 1004 - ddl, 1005 - ddl]);
    let repeated = Repeated { statement: Some(begin), maps: vec![(flag::NO_CHECKSUM, map(true))], ..mysql() };
    let entries = events([rows(30, 9, &orders(), &[order(1, "a")], 0)]);
    assert_eq!(starts(&block(&repeated, &entries, 1)), [900 - length]);
}

#[test]
fn boundaries_stand_around_the_rows_of_a_transaction_and_around_nothing_else() {
    let one = events([
        gtid(UUID, 23, 1),
        query(77, "", "BEGIN"),
        map(true),
        rows(30, 9, &orders(), &[order(1, "a")], 0),
        xid(5),
        gtid(UUID, 24, 1),
        query(77, "shop", "DROP TABLE x"),
    ]);
    let start = 1000 - gtid(UUID, 23, 1).len();
    let lines = told_with_boundaries(&block(&mysql(), &one, 1));
    assert_eq!(lines[0], format!("2 begin {:?} from {start}", gtid_text(23)));
    assert!(lines[1].starts_with("4 Insert"), "{lines:?}");
    assert_eq!(lines[2], "5 commit at 1004");
    assert!(lines[3].starts_with("7 ddl") && lines.len() == 4, "{lines:?}");
    // Not asked for, not given; read from its middle on, only its end is.
    assert_eq!(told(&decoder(), &block(&mysql(), &one, 1)).expect("a block").len(), 2);
    assert_eq!(told_with_boundaries(&block(&mysql(), &one, 3))[1], "5 commit at 1004");
}

#[test]
fn rows_prepared_elsewhere_begin_with_their_first_copy() {
    let copy = |raw: Vec<u8>| (kind::EVENT, flag::NO_CHECKSUM | flag::COPIED, raw);
    let mut entries = events([gtid(UUID, 23, 1)]);
    entries.extend([copy(map(true)), copy(rows(30, 9, &orders(), &[order(1, "a")], 0))]);
    entries.extend(events([query(78, "", "XA COMMIT X'01',X'',1")]));
    let lines = told_with_boundaries(&block(&mysql(), &entries, 1));
    assert_eq!(lines[0], format!("2 begin {:?} from {}", gtid_text(23), 1001 - map(true).len()));
    assert_eq!(lines[2], "4 commit at 1003");
    // Nothing was prepared: there is no transaction of rows.
    let mut entries = events([gtid(UUID, 23, 1)]);
    entries.push((kind::GAP_NOTE, 0, b"prepared before the log".to_vec()));
    entries.extend(events([query(78, "", "XA COMMIT X'01',X'',1")]));
    assert_eq!(told_with_boundaries(&block(&mysql(), &entries, 1)), ["2 gap prepared before the log"]);
}

#[test]
fn mariadb_begins_at_its_gtid_event_and_may_name_the_thread() {
    let maria = Repeated { description: format_description("11.8.2-MariaDB"), ..Repeated::default() };
    let body = [&7u64.to_le_bytes()[..], &0u32.to_le_bytes(), &[0, 16], &4711u32.to_le_bytes(), &[0; 3]].concat();
    let entries = events([event(162, 0, 0, &body), map(true), rows(30, 9, &orders(), &[order(1, "a")], 0), xid(5)]);
    let block = block(&maria, &entries, 1);
    let lines = told_with_boundaries(&block);
    assert_eq!(lines[0], format!("1 begin \"0-1-7\" from {}", 1000 - 19 - body.len()));
    assert_eq!((lines.len(), &*lines[2]), (3, "4 commit at 1003"));
    assert_eq!(facts(&block)[0].1, Some(4711));
}

/// What each change says of what was executed, and of the names of tables.
fn executed(sets: Sets, block: &Block) -> Vec<(String, Option<bool>)> {
    let mut told = Vec::new();
    let decoder = decoder().with_executed(sets);
    let decoded = decoder.decode::<BlockError>(block, &|_| true, &mut |change| {
        if let Change::Rows(RowsChange { tx, .. }) | Change::Ddl(DdlChange { tx, .. }) = change {
            told.push((tx.executed.clone(), tx.lower_case_table_names));
        }
        Ok(())
    });
    decoded.expect("a whole block");
    told
}

#[test]
fn changes_say_what_was_executed_with_them_when_asked() {
    let transaction = |number, id| {
        let rows = rows(30, 9, &orders(), &[order(id, "x")], 1_767_225_930);
        [gtid(UUID, number, 1), query(7, "shop", "BEGIN"), map(true), rows, xid(number as u64)]
    };
    let ddl = [gtid(UUID, 24, 1), query(7, "shop", "CREATE TABLE t (id INT)")];
    let entries = events(transaction(23, 1).into_iter().chain(ddl).chain(transaction(26, 2)));
    let uuid = gtid_text(1);
    let uuid = uuid.rsplit_once(':').expect("uuid:number").0;
    let set = |text: &str| (format!("{uuid}:{text}"), Some(false));
    // 25 is in no block: it comes with the next one's own set.
    let known =
        Repeated { executed: Some("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-22"), lower_case: Some(false), ..mysql() };
    let whole = block(&known, &entries, 1);
    assert_eq!(executed(Sets::All, &whole), [set("1-23"), set("1-24"), set("1-24:26")]);
    let nothing = (String::new(), Some(false));
    assert_eq!(executed(Sets::Statements, &whole), [nothing.clone(), set("1-24"), nothing.clone()]);
    assert_eq!(executed(Sets::None, &whole), [nothing.clone(), nothing.clone(), nothing]);
    let of_old = block(&mysql(), &entries, 1);
    assert_eq!(executed(Sets::All, &of_old), vec![(String::new(), None); 3], "a log that does not tell");
    let open = Repeated { transaction: Some(gtid(UUID, 23, 1)), ..known };
    let rest = events([map(true), rows(30, 9, &orders(), &[order(1, "x")], 1), xid(1)]);
    assert_eq!(executed(Sets::All, &block(&open, &rest, 1)), [set("1-23")], "of a transaction that began before");
}
