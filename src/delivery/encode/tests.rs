//! Real binlog events through a real store into batches.

use std::path::Path;

use relay_store::{BlockContext, Commit, EntryHeader, Read, Store, StoreOptions};
use tokio::sync::mpsc;

use super::super::outlet::{BATCH_BYTES, Pool};
use super::*;
use crate::change::binlog_rows::*;
use crate::config::{Config, SinkConfig};
use crate::format::partition::{KeyHash, java_hash, murmur2_hash, table_hash};
use crate::log::{ContextWriter, flag, kind};
use crate::metrics::Metrics;
use crate::sink::{Batch, Record, Span};
use crate::status::Status;

const UUID: [u8; 16] = [0x3e, 0x11, 0xfa, 0x47, 0x71, 0xca, 0x11, 0xe1, 0x9e, 0x33, 0xc8, 0x0a, 0xa9, 0x42, 0x95, 0x62];

const XID: u8 = 16;
const TABLE_MAP: u8 = 19;
const GTID: u8 = 33;

/// What a block repeats.
#[derive(Default)]
struct Repeated {
    transaction: Vec<u8>,
    maps: Vec<Vec<u8>>,
}

impl BlockContext for Repeated {
    fn write(&self, out: &mut Vec<u8>) {
        let mut writer = ContextWriter::begin(out, 0, &format_description("9.7.4"), "mysql-bin.000007");
        if !self.transaction.is_empty() {
            writer.transaction(flag::NO_CHECKSUM, &self.transaction);
        }
        self.maps.iter().for_each(|map| writer.table_map(flag::NO_CHECKSUM, map));
    }
}

/// A log of these events in blocks of so many.
fn log(events: &[Vec<u8>], block_events: usize) -> (Vec<RawBlock>, Store, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    let options = StoreOptions { ballast_bytes: 0, block_bytes: 1 << 20, ..StoreOptions::default() };
    let store = Store::open(dir.path(), options).expect("a store");
    let mut appender = store.appender().expect("the only one");
    let (mut repeated, mut tx_index) = (Repeated::default(), 0);
    for (n, event) in events.iter().enumerate() {
        if n % block_events == 0 {
            appender.seal();
        }
        let flags = flag::NO_CHECKSUM;
        tx_index = if event[4] == GTID { 0 } else { tx_index + 1 };
        let header = EntryHeader { kind: kind::EVENT, flags, source_pos: 120, tx_index, ..EntryHeader::default() };
        appender.append(header, &[event], &repeated).expect("room");
        match event[4] {
            TABLE_MAP => repeated.maps.push(event.clone()),
            GTID => repeated = Repeated { transaction: event.clone(), maps: Vec::new() },
            XID => {
                repeated = Repeated::default();
                appender.commit(Commit { checkpoint: b"c", commit_time_us: 77, forget_prepared: None });
            }
            _ => {}
        }
    }
    appender.commit(Commit { checkpoint: b"c", commit_time_us: 77, forget_prepared: None });
    appender.flush().expect("a disk");
    let (mut reader, mut blocks, mut next) = (store.reader(), Vec::new(), Seq(1));
    while let Read::Block(raw) = reader.read(next).expect("readable") {
        next = raw.last_seq().next();
        blocks.push(raw);
    }
    (blocks, store, dir)
}

struct Encoded {
    batches: Vec<Batch>,
    outcome: Result<(), EncodeError>,
    metrics: DeliveryMetrics,
    status: DeliveryHandle,
}

fn encode_in(settings: &str, tables: &[&str], scope: Scope, events: &[Vec<u8>]) -> Encoded {
    encode_objects(&format!("tables = {tables:?}"), settings, scope, events)
}

/// `delivery` are lines of the delivery, `settings` of its Kafka section and what may follow it.
fn encode_objects(delivery: &str, settings: &str, scope: Scope, events: &[Vec<u8>]) -> Encoded {
    encode_blocks(delivery, settings, scope, events, usize::MAX)
}

fn encode_blocks(delivery: &str, settings: &str, scope: Scope, events: &[Vec<u8>], block_events: usize) -> Encoded {
    encode_limited(delivery, settings, scope, events, block_events, &[])
}

/// `limits` are those that topics told of.
fn encode_limited(
    delivery: &str,
    settings: &str,
    scope: Scope,
    events: &[Vec<u8>],
    block_events: usize,
    limits: &[(&str, usize)],
) -> Encoded {
    let text = format!(
        "name = \"t\"\n[source]\nurl = \"mysql://r@db1\"\n[[delivery]]\nname = \"c\"\n{delivery}\n\
         [delivery.kafka]\nbrokers = \"k\"\n{settings}"
    );
    let config = Config::parse(&text, Path::new("test"), &|_| None).expect("valid").deliveries.remove(0);
    let SinkConfig::Kafka(kafka) = &config.kind else { panic!("a Kafka delivery") };
    let metrics = Metrics::new("t", "").delivery("c");
    let (status, sizes) = (Status::new().delivery("c"), RecordLimits::new(kafka, "t"));
    for (topic, bytes) in limits {
        sizes.learn(topic, *bytes);
    }
    let job = Job {
        selection: Selection::of(&config),
        conditions: Conditions::of_delivery(&config).expect("conditions"),
        script: config.transform.compile(TimeZone::UTC).expect("checked"),
        script_sees_statements: config.transform.etl_ddl,
        zone: TimeZone::UTC,
        format: kafka.format_options("t"),
        registry: None,
        routing: Routing::kafka(kafka),
        limits: Some(Arc::new(sizes)),
        tables: None,
        planner: Arc::default(),
        metrics: metrics.clone(),
        status: status.clone(),
    };
    let (blocks, store, _dir) = log(events, block_events);
    let encoder = Encoder::new(Arc::new(job), scope, || store.reader());
    let mut batches = Vec::new();
    let mut outcome = Ok(());
    for raw in blocks {
        let (to, mut from) = mpsc::channel(1000);
        let mut outlet = Outlet::new(to, Pool::default());
        outcome = encoder.encode(raw, &mut outlet).and_then(|()| Ok(outlet.finish()?));
        while let Ok(batch) = from.try_recv() {
            batches.push(batch);
        }
        if outcome.is_err() {
            break;
        }
    }
    Encoded { batches, outcome, metrics, status }
}

fn everything() -> Scope {
    Scope::Stream(Default::default())
}

fn encode(settings: &str, events: &[Vec<u8>]) -> Encoded {
    encode_in(settings, &[], everything(), events)
}

/// A record, told: `seq:row operation topic hash key type`.
fn told(encoded: &Encoded) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in &encoded.batches {
        for record in &batch.records {
            let event = batch.event_of(record);
            let text = |span: Option<Span>| match span {
                Some(span) => String::from_utf8(batch.get(span).to_vec()).expect("UTF-8"),
                None => "null".to_owned(),
            };
            let value = text(record.value);
            let kind = match value.as_str() {
                "null" => "null".to_owned(),
                json => {
                    let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
                    json["type"].as_str().expect("a type").to_owned()
                }
            };
            let operation = record.operation.as_str();
            let (topic, key) = (&event.origin.destination, text(record.key));
            lines.push(format!("{}:{} {operation} {topic} {} {key} {kind}", event.seq, record.row, record.hash));
        }
    }
    lines
}

fn orders() -> Vec<Col> {
    vec![int("id", 3, false).key(), varchar("note", 20, 255, 4)]
}

fn order(id: i64, note: &str) -> Image {
    image(&[le(id, 4), text(note)])
}

fn transaction(events: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    let mut all = vec![gtid(UUID, 23, 1_767_225_930_123_456), query(77, "shop", "BEGIN")];
    all.extend(events);
    all.push(xid(5));
    all
}

fn map() -> Vec<u8> {
    table_map(9, "shop", "orders", &orders(), true)
}

const INSERT: u8 = 30;
const UPDATE: u8 = 31;
const DELETE: u8 = 32;

fn change(kind: u8, images: &[Image]) -> Vec<u8> {
    rows(kind, 9, &orders(), images, 1_767_225_930)
}

#[test]
fn rows_go_to_their_tables_topic_with_the_hash_of_their_key() {
    let encoded = encode("", &transaction([map(), change(INSERT, &[order(7, "a"), order(8, "b")])]));
    encoded.outcome.as_ref().expect("encoded");
    let (seven, eight) = (java_hash("7"), java_hash("8"));
    assert_eq!(
        told(&encoded),
        [format!("4:0 insert shop.orders {seven} null INSERT"), format!("4:1 insert shop.orders {eight} null INSERT")]
    );
    let batch = &encoded.batches[0];
    assert_eq!((batch.first, batch.last, batch.rows), (Seq(4), Seq(5), 2));
    assert_eq!(batch.commits, [(Seq(5), 77)]);
    assert_eq!(batch.records.iter().map(|r| r.ends_entry).collect::<Vec<_>>(), [false, true]);
    let event = batch.event_of(&batch.records[0]);
    assert_eq!(batch.get(event.gtid), b"3e11fa47-71ca-11e1-9e33-c80aa9429562:23");
    assert_eq!(batch.get(event.position), b"mysql-bin.000007:120");
    assert_eq!((event.timestamp_ms, event.origin.table.as_str()), (1_767_225_930_000, "shop.orders"));
}

#[test]
fn an_update_that_moves_its_row_becomes_a_delete_and_an_insert() {
    let events = transaction([map(), change(UPDATE, &[order(1, "a"), order(2, "a"), order(3, "a"), order(3, "b")])]);
    let (one, two, three) = (java_hash("1"), java_hash("2"), java_hash("3"));
    assert_eq!(
        told(&encode("", &events)),
        [
            format!("4:0 update.before shop.orders {one} null DELETE"),
            format!("4:0 update.after shop.orders {two} null INSERT"),
            format!("4:1 update shop.orders {three} null UPDATE"),
        ]
    );
    assert_eq!(
        told(&encode("on_key_change = \"update\"", &events))[0],
        format!("4:0 update shop.orders {two} null UPDATE"),
    );
    let by_table = told(&encode("partition = \"table\"", &events));
    assert_eq!(by_table[0], format!("4:0 update shop.orders {} null UPDATE", table_hash("shop", "orders")));
}

#[test]
fn keys_are_objects_of_the_key_columns_and_tombstones_follow_deletes() {
    let events = transaction([map(), change(DELETE, &[order(1, "a")])]);
    let settings = "message_key = \"primary_key\"\ntombstones = true\npartition = \"murmur2\"";
    let hash = murmur2_hash(br#"{"id":"1"}"#);
    assert_eq!(
        told(&encode(settings, &events)),
        [
            format!("4:0 delete shop.orders {hash} {{\"id\":\"1\"}} DELETE"),
            format!("4:0 delete shop.orders {hash} {{\"id\":\"1\"}} null"),
        ]
    );
    let chosen = told(&encode("message_key = [\"note\", \"id\"]", &events));
    assert!(chosen[0].contains(r#"{"note":"a","id":"1"}"#), "{chosen:?}");
    let by_table = told(&encode("message_key = \"table\"\npartition = \"zero\"", &events));
    assert_eq!(by_table, ["4:0 delete shop.orders 0 shop.orders DELETE"]);
}

#[test]
fn a_key_of_several_columns_hashes_them_in_key_order_and_one_without_a_key_not_at_all() {
    let columns = vec![int("a", 3, false).key(), int("b", 3, false).key()];
    let keyless = vec![int("a", 3, false)];
    let events = transaction([
        table_map(5, "shop", "pairs", &columns, true),
        rows(INSERT, 5, &columns, &[image(&[le(1, 4), le(2, 4)])], 0),
        table_map(6, "shop", "heap", &keyless, true),
        rows(INSERT, 6, &keyless, &[image(&[le(1, 4)])], 0),
    ]);
    let mut pair = KeyHash::default();
    pair.add(Some("1"));
    pair.add(Some("2"));
    assert_eq!(
        told(&encode("message_key = \"primary_key\"", &events)),
        [
            format!("4:0 insert shop.pairs {} {{\"a\":\"1\",\"b\":\"2\"}} INSERT", pair.value()),
            "6:0 insert shop.heap 0 null INSERT".to_owned(),
        ]
    );
}

#[test]
fn unselected_tables_make_no_records_and_are_covered_all_the_same() {
    let events = transaction([map(), change(INSERT, &[order(1, "a")])]);
    let encoded = encode_in("", &["shop.items"], everything(), &events);
    encoded.outcome.as_ref().expect("encoded");
    assert!(told(&encoded).is_empty());
    assert_eq!(encoded.batches.last().expect("it covers").last, Seq(5));
}

#[test]
fn a_table_that_cannot_be_decoded_is_named_with_its_first_entry() {
    // Without metadata and without a schema version there is no plan.
    let unknown = table_map(5, "shop", "unknown", &orders(), false);
    let events = transaction([
        map(),
        change(INSERT, &[order(1, "a")]),
        unknown,
        rows(INSERT, 5, &orders(), &[order(1, "a")], 0),
        change(INSERT, &[order(2, "b")]),
        rows(INSERT, 5, &orders(), &[order(2, "a")], 0),
    ]);
    let encoded = encode("", &events);
    let Err(EncodeError::Tables(faults)) = &encoded.outcome else { panic!("{:?}", encoded.outcome) };
    assert_eq!(faults.len(), 1);
    assert_eq!((faults[0].table.to_string(), faults[0].seq), ("shop.unknown".to_owned(), Seq(6)));
    assert!(encoded.batches.is_empty(), "nothing leaves before the table is parked");
    // Parked from there on, its rows are counted and the others go.
    let cursor_scope = Scope::parked([(TableName::new("shop", "unknown"), Seq(6))]);
    let encoded = encode_in("", &[], cursor_scope, &events);
    encoded.outcome.as_ref().expect("encoded");
    assert_eq!(told(&encoded).len(), 2);
    assert_eq!(encoded.metrics.parked_rows.get(), 2);
}

#[test]
fn a_column_missing_from_the_key_parks_the_table_by_name() {
    let events = transaction([map(), change(INSERT, &[order(1, "a")])]);
    let encoded = encode("message_key = [\"nope\"]", &events);
    let Err(EncodeError::Tables(faults)) = &encoded.outcome else { panic!("{:?}", encoded.outcome) };
    assert!(faults[0].reason.contains("nope"), "{faults:?}");
}

#[test]
fn an_event_of_many_rows_is_cut_into_batches_and_ends_once() {
    let images: Vec<Image> = (0..3000).map(|n| order(n, &"x".repeat(70))).collect();
    let encoded = encode("", &transaction([map(), change(INSERT, &images)]));
    encoded.outcome.as_ref().expect("encoded");
    assert!(encoded.batches.len() > 1);
    let records: Vec<&Record> = encoded.batches.iter().flat_map(|batch| &batch.records).collect();
    assert_eq!(records.iter().map(|record| record.row).collect::<Vec<_>>(), (0..3000).collect::<Vec<_>>());
    assert_eq!(records.iter().filter(|record| record.ends_entry).count(), 1);
    assert!(records.last().expect("records").ends_entry);
    for (batch, next) in encoded.batches.iter().zip(&encoded.batches[1..]) {
        assert!(batch.bytes.len() < BATCH_BYTES + 4096 && batch.last < Seq(4), "the entry is not covered yet");
        assert!(next.first <= Seq(4));
    }
    assert_eq!(encoded.batches.last().expect("batches").last, Seq(5));
}

fn statements(settings: &str, sql: &[&str]) -> Vec<String> {
    let mut events = Vec::new();
    for (n, sql) in (0..).zip(sql) {
        events.extend([gtid(UUID, 30 + n, 1), query(7, "shop", sql)]);
    }
    told(&encode(settings, &events))
}

#[test]
fn statements_go_with_their_table_to_a_topic_of_their_own_or_nowhere() {
    let sql = ["ALTER TABLE orders ADD COLUMN x INT", "RENAME TABLE a TO b, c TO d", "CREATE DATABASE other"];
    assert_eq!(
        statements("", &sql),
        ["2:0 ddl shop.orders 0 null ALTER", "4:0 ddl shop.a 0 null RENAME", "4:1 ddl shop.c 0 null RENAME",],
        "a statement without a table has no place among topics by table"
    );
    let fixed = statements("topic = \"all\"\npartition = \"table\"", &sql);
    assert_eq!(fixed[0], format!("2:0 ddl all {} null ALTER", table_hash("shop", "orders")));
    assert_eq!(fixed[3], "6:0 ddl all 0 null QUERY");
    assert!(statements("ddl_topic = \"off\"", &sql).is_empty());
    let own = statements("ddl_topic = \"ddl\"", &sql);
    assert!(own.len() == 4 && own.iter().all(|line| line.contains(" ddl ddl 0 ")), "{own:?}");
}

#[test]
fn a_replay_delivers_one_table_up_to_its_end() {
    let items = table_map(5, "shop", "items", &orders(), true);
    let events = transaction([
        map(),
        items,
        change(INSERT, &[order(1, "a")]),
        rows(INSERT, 5, &orders(), &[order(1, "a")], 0),
        rows(INSERT, 5, &orders(), &[order(2, "a")], 0),
    ]);
    let scope = Scope::Replay { table: TableName::new("shop", "items"), through: Seq(6) };
    let encoded = encode_in("", &[], scope, &events);
    assert_eq!(told(&encoded).len(), 1);
    assert!(told(&encoded)[0].starts_with("6:0 insert shop.items"));
}

#[path = "objects_tests.rs"]
mod objects;

#[path = "oversize_tests.rs"]
mod oversize;

#[path = "places_tests.rs"]
mod places;

#[path = "stages_tests.rs"]
mod stages;
