//! Every call of the client, and what it says of calls that fail.

use std::time::Duration;

use relay::config::Secret;
use relay::failure::{Class, Failure as _};
use relay::format::maxcompute::block::Row;
use relay::format::maxcompute::data_type::DataType;
use relay::format::maxcompute::datum::Datum;
use relay::format::maxcompute::hash::bucket;
use relay::format::maxcompute::layout::TableColumn;
use relay::format::maxcompute::record::{RecordWriter, Tally};
use relay::sink::maxcompute::client::error::Reason;
use relay::sink::maxcompute::client::upload::{Block, Target, UploadOptions, UploadStatus};
use relay::sink::maxcompute::client::upsert::operation;
use relay::sink::maxcompute::client::{Client, ClientError, ClientOptions};
use relay::sink::maxcompute::compression::{COMPRESSIONS, Compression, Compressor};

use crate::stand_in::auth::{STS_ID, STS_TOKEN};
use crate::stand_in::{Fault, FaultKind, StandIn};

/// How long a statement may take.
const PATIENCE: Duration = Duration::from_secs(60);

const PARTITION: &str = "y=2026,m=01";
const TARGET: Target<'_> = Target { table: "orders", partition: Some(PARTITION) };
const CREATE: UploadOptions = UploadOptions { overwrite: false, create_partition: true };

/// Runs a statement; its id is its own text, which no test runs twice.
#[track_caller]
fn run(client: &Client, statement: &str) -> String {
    client.run_sql(statement, statement, PATIENCE).expect("a statement that runs")
}

fn with_table(server: &StandIn) -> Client {
    let client = server.client();
    run(
        &client,
        "CREATE TABLE IF NOT EXISTS `orders` (`id` BIGINT, `note` STRING) PARTITIONED BY (`y` STRING, `m` STRING) LIFECYCLE 7",
    );
    client
}

fn row(id: i64, note: &str) -> Row {
    vec![Some(Datum::Integer(id)), Some(Datum::Bytes(note.as_bytes().to_vec()))]
}

fn body(rows: &[Row], compression: Compression) -> Vec<u8> {
    let kinds = [DataType::BigInt, DataType::String];
    let (mut block, mut writer, mut tally) = (Vec::new(), RecordWriter::default(), Tally::default());
    for row in rows {
        let mut record = writer.begin(&mut block);
        for (column, (kind, value)) in kinds.iter().zip(row).enumerate() {
            if let Some(value) = value {
                record.datum(column, kind, value).expect("a value of the type");
            }
        }
        tally.add(record.end());
    }
    tally.write_trailer(&mut block);
    let mut compressor = Compressor::new(compression).expect("memory");
    compressor.write(&block).expect("memory");
    compressor.finish().expect("memory")
}

fn rows(server: &StandIn) -> Vec<Row> {
    server.state().table("orders").partitions.values().flatten().cloned().collect()
}

#[test]
fn tables_are_made_read_and_widened_by_statements_that_may_run_twice() {
    let server = StandIn::start(false);
    let client = with_table(&server);
    assert_eq!(client.table("nothing"), Ok(None));
    let column = |name: &str, kind| TableColumn { name: name.to_owned(), kind };
    let table = client.table("orders").expect("an answer").expect("a table");
    assert_eq!(table.columns, [column("id", DataType::BigInt), column("note", DataType::String)]);
    assert_eq!(table.partitions, [column("y", DataType::String), column("m", DataType::String)]);
    assert_eq!((table.lifecycle_days, table.is_view), (Some(7), false));

    for id in ["first", "second"] {
        let add = "ALTER TABLE `orders` ADD COLUMNS IF NOT EXISTS (`amount` DECIMAL(38,18) COMMENT 'it''s', `tags` ARRAY<STRING>)";
        client.run_sql(&add.replace("''", "\\'"), id, PATIENCE).expect("it runs");
    }
    let table = client.table("orders").expect("an answer").expect("a table");
    assert_eq!(table.columns[2], column("amount", DataType::Decimal(Some((38, 18)))));
    assert_eq!(table.columns.len(), 4);
    run(&client, "ALTER TABLE orders ADD IF NOT EXISTS PARTITION (y='2026', m='02')");
    assert_eq!(
        client.partitions("orders"),
        Ok(Some(vec![vec![("y".into(), "2026".into()), ("m".into(), "02".into())]]))
    );
    assert_eq!(client.partitions("nothing"), Ok(None));
    run(&client, "DROP TABLE IF EXISTS orders");
    assert_eq!(client.table("orders"), Ok(None));
}

#[test]
fn partitions_are_listed_page_by_page() {
    let server = StandIn::start(false);
    let client = with_table(&server);
    {
        let mut state = server.state();
        let table = state.tables.get_mut("default.orders").expect("the table");
        for n in 0..2500 {
            table.partitions.insert(vec![n.to_string(), "01".to_owned()], Vec::new());
        }
    }
    assert_eq!(client.partitions("orders").expect("an answer").expect("a table").len(), 2500);
}

#[test]
fn a_statement_that_fails_says_why_and_one_that_is_sent_twice_runs_once() {
    let server = StandIn::start(false);
    let client = with_table(&server);
    let error = client.run_sql("ALTER TABLE nothing ADD COLUMNS (a BIGINT)", "x", PATIENCE).expect_err("no table");
    assert!(error.to_string().contains("ODPS-0130131"), "{error}");
    assert!(error.request_id().is_some() && error.class() == Class::Definite);
    let error = client.run_sql("SELECT made_up FROM orders", "y", PATIENCE).expect_err("not understood");
    assert!(error.to_string().contains("ODPS-0130161"), "{error}");

    let add = "ALTER TABLE orders ADD COLUMNS (once BIGINT)";
    assert_eq!(client.submit(add, "the id"), client.submit(add, "the id"));
    assert_eq!(client.run_sql(add, "the id", PATIENCE), Ok(String::new()));
    assert_eq!(server.state().statements.iter().filter(|statement| statement.contains("once")).count(), 1);
}

#[test]
fn blocks_of_every_compression_are_in_the_table_after_the_commit_and_not_before() {
    let server = StandIn::start(false);
    let client = with_table(&server);
    let session = client.open_upload(TARGET, CREATE).expect("a session");
    assert_eq!((&session.status, session.blocks.len()), (&UploadStatus::Normal, 0));
    let mut expected = Vec::new();
    for (block, compression) in COMPRESSIONS.into_iter().enumerate() {
        let long = "é".repeat(50_000);
        let sent = [row(block as i64, "first"), row(-1, &long), vec![None, None]];
        client.write_block(TARGET, &session.id, block as u32, compression, &body(&sent, compression)).expect("a block");
        expected.extend(sent);
    }
    let session = client.upload(TARGET, &session.id).expect("the session");
    let blocks: Vec<Block> = (0..5).map(|id| Block { id, records: 3 }).collect();
    assert_eq!(session.blocks, blocks);
    assert!(rows(&server).is_empty());
    let closed = client.commit_upload(TARGET, &session.id).expect("a commit");
    assert_eq!(closed.status, UploadStatus::Closed);
    assert_eq!(rows(&server), expected);
    let again = client.commit_upload(TARGET, &session.id).expect_err("it is closed");
    assert_eq!(again.reason(), Some(Reason::StatusConflict));
    assert_eq!(rows(&server), expected);
    let count = run(&client, "SELECT COUNT(*) FROM orders WHERE y='2026' AND m='01' AND id BETWEEN 1 AND 4");
    assert_eq!(count, "\"_c0\"\n4\n");
}

#[test]
fn a_block_is_replaced_by_its_id_and_an_overwrite_replaces_the_partition() {
    let server = StandIn::start(false);
    let client = with_table(&server);
    let write = |options, blocks: &[(u32, &[Row])]| {
        let session = client.open_upload(TARGET, options).expect("a session");
        for (block, rows) in blocks {
            let body = body(rows, Compression::Raw);
            client.write_block(TARGET, &session.id, *block, Compression::Raw, &body).expect("a block");
        }
        client.commit_upload(TARGET, &session.id).expect("a commit");
        rows(&server)
    };
    assert_eq!(write(CREATE, &[(7, &[row(1, "a")]), (7, &[row(2, "b")])]), [row(2, "b")]);
    assert_eq!(write(CREATE, &[(0, &[row(3, "c")])]), [row(2, "b"), row(3, "c")]);
    let overwrite = UploadOptions { overwrite: true, create_partition: false };
    assert_eq!(write(overwrite, &[(0, &[row(4, "d")])]), [row(4, "d")]);
}

#[test]
fn what_the_service_refuses_is_told_with_its_reason_and_request() {
    let server = StandIn::start(false);
    let client = with_table(&server);
    let open = |table: &str, partition: Option<&str>| {
        client.open_upload(Target { table, partition }, UploadOptions::default()).expect_err("a refusal")
    };
    assert_eq!(open("nothing", None).reason(), Some(Reason::NoSuchTable));
    assert_eq!(open("orders", Some(PARTITION)).reason(), Some(Reason::NoSuchPartition));
    assert_eq!(open("orders", None).reason(), Some(Reason::Other));
    let error = open("orders", Some("z=1"));
    assert!(error.to_string().contains("InvalidPartitionSpec"), "{error}");
    assert!(error.to_string().contains("(request 2024"), "{error}");

    let missing = client.upload(TARGET, "of nobody").expect_err("no session");
    assert_eq!(missing.reason(), Some(Reason::NoSuchSession));
    let session = client.open_upload(TARGET, CREATE).expect("a session");
    let good = body(&[row(1, "a")], Compression::Deflate);
    let write = |block, compression, body: &[u8]| {
        client.write_block(TARGET, &session.id, block, compression, body).expect_err("a refusal").to_string()
    };
    assert!(write(20_000, Compression::Deflate, &good).contains("InvalidBlockID"));
    assert!(write(0, Compression::Deflate, &good[..good.len() - 1]).contains("MalformedDataStream"));
    let raw = body(&[row(1, "a")], Compression::Raw);
    assert!(write(0, Compression::Raw, &raw[..raw.len() - 4]).contains("CorruptedDataStream"));
    assert!(client.upload(TARGET, &session.id).expect("the session").blocks.is_empty(), "no block is left");
    server.state().uploads.get_mut(&session.id).expect("the session").status = "EXPIRED";
    assert_eq!(client.upload(TARGET, &session.id).expect("the session").status, UploadStatus::Expired);
    let expired = client.commit_upload(TARGET, &session.id).expect_err("it is over");
    assert_eq!(expired.reason(), Some(Reason::StatusConflict));
}

#[test]
fn keys_regions_and_tokens_are_checked() {
    let server = StandIn::start(false);
    let with = |change: &dyn Fn(&mut ClientOptions)| {
        let mut options = server.options();
        change(&mut options);
        Client::new(&options).expect("settings").project().map(|project| project.state)
    };
    let available = Ok("AVAILABLE".to_owned());
    assert_eq!(with(&|_| {}), available);
    assert_eq!(with(&|options| options.region = Some("cn-hangzhou".into())), available);
    let sts = |options: &mut ClientOptions, token: Option<&str>| {
        options.credentials.access_id = STS_ID.to_owned();
        options.credentials.sts_token = token.map(Secret::new);
    };
    assert_eq!(with(&|options| sts(options, Some(STS_TOKEN))), available);
    for (refused, reason) in [
        (with(&|options| sts(options, None)), Reason::Unauthorized),
        (with(&|options| sts(options, Some("another"))), Reason::Unauthorized),
        (with(&|options| options.credentials.access_key = Secret::new("wrong")), Reason::Unauthorized),
        (with(&|options| options.credentials.access_id = "nobody".into()), Reason::Unauthorized),
        (with(&|options| options.project = "another".into()), Reason::NoSuchProject),
    ] {
        let error = refused.expect_err("a refusal");
        assert_eq!(error.reason(), Some(reason), "{error}");
        assert!(error.class() == Class::Definite && error.next_step().is_some());
    }
}

#[test]
fn a_table_of_a_schema_is_another_than_one_of_its_name_without() {
    let server = StandIn::start(true);
    let plain = with_table(&server);
    assert!(plain.project().expect("the project").has_schemas());
    let client = Client::new(&ClientOptions { schema: Some("sales".into()), ..server.options() }).expect("settings");
    assert_eq!(client.table("orders"), Ok(None));
    client.run_sql("CREATE TABLE orders (id BIGINT, note STRING)", "in sales", PATIENCE).expect("it runs");
    let target = Target { table: "orders", partition: None };
    let session = client.open_upload(target, UploadOptions::default()).expect("a session");
    let sent = [row(1, "a")];
    client.write_block(target, &session.id, 0, Compression::Zstd, &body(&sent, Compression::Zstd)).expect("a block");
    client.commit_upload(target, &session.id).expect("a commit");
    assert_eq!(server.state().tables["sales.orders"].partitions[&Vec::new()], sent);
    assert!(rows(&server).is_empty());
}

#[test]
fn streams_are_in_the_table_at_once_and_notice_another_schema() {
    let server = StandIn::start(false);
    let client = with_table(&server);
    let stream = client.open_stream(TARGET, Some(2), true).expect("a stream");
    assert!(stream.ready && stream.slots.len() == 2);
    let sent = [row(1, "a"), row(2, "b")];
    let deflated = body(&sent, Compression::Deflate);
    let write = |stream, records| {
        client.write_stream(TARGET, stream, &stream.slots[0], (records, Compression::Deflate, &deflated))
    };
    assert_eq!(write(&stream, 2).expect("rows").slots, 2);
    assert_eq!(rows(&server), sent);
    assert!(write(&stream, 3).is_err(), "another number of records");
    assert_eq!(client.stream(TARGET, &stream.id), Ok(stream.clone()));
    run(&client, "ALTER TABLE orders ADD COLUMNS (later BIGINT)");
    assert_eq!(write(&stream, 2).expect_err("a new column").reason(), Some(Reason::SchemaModified));
    assert_eq!(rows(&server), sent);
}

/// A record of an upsert session: columns of the table, and what is done.
fn upsert_body(rows: &[(Row, i64)]) -> Vec<u8> {
    let (mut block, mut writer, mut tally) = (Vec::new(), RecordWriter::default(), Tally::default());
    for (row, operation) in rows {
        let mut record = writer.begin(&mut block);
        let [Some(Datum::Integer(id)), Some(Datum::Bytes(note))] = &row[..] else { panic!("both are given") };
        record.integer(0, *id);
        record.bytes(1, note);
        record.integer(4, *operation);
        tally.add(record.end());
    }
    tally.write_trailer(&mut block);
    block
}

#[test]
fn upserts_replace_rows_of_their_key_however_often_they_are_sent() {
    let server = StandIn::start(false);
    let client = server.client();
    let target = Target { table: "keyed", partition: None };
    run(&client, "CREATE TABLE orders (id BIGINT)");
    run(
        &client,
        "CREATE TABLE keyed (id BIGINT NOT NULL, note STRING, PRIMARY KEY (id)) TBLPROPERTIES ('transactional'='true')",
    );
    assert!(client.open_upsert(Target { table: "orders", partition: None }, 1).is_err(), "a table without a key");
    for (rows, left) in [
        (vec![(row(1, "a"), operation::UPSERT), (row(2, "b"), operation::UPSERT)], vec![row(1, "a"), row(2, "b")]),
        (vec![(row(1, "a"), operation::UPSERT), (row(2, "c"), operation::UPSERT)], vec![row(1, "a"), row(2, "c")]),
        (vec![(row(1, ""), operation::DELETE)], vec![row(2, "c")]),
    ] {
        let session = client.open_upsert(target, 2).expect("a session");
        let key =
            |row: &Row| bucket(session.hasher, session.buckets.len() as u32, [(&DataType::BigInt, row[0].as_ref())]);
        for (row, operation) in rows {
            let at = key(&row).expect("a bucket") as usize;
            let body = upsert_body(&[(row, operation)]);
            let write = |at| client.write_upsert(target, &session, at, (1, Compression::Raw, &body));
            write(at).expect("a row of the bucket");
            assert!(write((at + 1) % session.buckets.len()).is_err(), "a row of another bucket");
        }
        assert_eq!(client.upsert(target, &session.id), Ok(session.clone()));
        assert_eq!(client.commit_upsert(target, &session, false), Ok(true));
        let mut there = server.state().table("keyed").partitions[&Vec::new()].clone();
        there.sort_by_key(|row| format!("{row:?}"));
        assert_eq!(there, left);
        server.state().upserts.clear();
        assert_eq!(client.commit_upsert(target, &session, true), Ok(true), "a session that is gone was committed");
        assert!(client.commit_upsert(target, &session, false).is_err());
    }
}

#[test]
fn what_got_lost_leaves_the_commit_in_doubt_and_the_session_tells() {
    let server = StandIn::start(false);
    let client = with_table(&server);
    for (kind, status) in [
        (FaultKind::LoseRequest, UploadStatus::Normal),
        (FaultKind::LoseAnswer, UploadStatus::Closed),
        (FaultKind::DoneButRefuse(500, "InternalServerError"), UploadStatus::Closed),
        (FaultKind::Refuse(503, "ServiceUnavailable"), UploadStatus::Normal),
    ] {
        let session = client.open_upload(TARGET, CREATE).expect("a session");
        let one = body(&[row(1, "a")], Compression::Raw);
        client.write_block(TARGET, &session.id, 0, Compression::Raw, &one).expect("a block");
        server.misbehave(Fault { method: "POST", about: "uploadid", after: 0, kind: kind.clone() });
        let error = client.commit_upload(TARGET, &session.id).expect_err("no answer");
        assert!(error.in_doubt() && error.class() == Class::Transient, "{kind:?}: {error}");
        assert_eq!(client.upload(TARGET, &session.id).expect("the session").status, status, "{kind:?}");
    }
    assert_eq!(rows(&server).len(), 2);
}

#[test]
fn quotas_are_told_from_faults_and_nobody_at_home_from_both() {
    let server = StandIn::start(false);
    let client = with_table(&server);
    for (status, code, reason) in
        [(429, "FlowExceeded", Reason::Flow), (502, "BadGateway", Reason::Busy), (308, "", Reason::Moved)]
    {
        server.misbehave(Fault { method: "POST", about: "uploads", after: 0, kind: FaultKind::Refuse(status, code) });
        let error = client.open_upload(TARGET, CREATE).expect_err("as told");
        assert_eq!((error.reason(), error.class()), (Some(reason), Class::Transient), "{error}");
    }
    let options = server.options();
    drop(server);
    let client = Client::new(&ClientOptions { tunnel_endpoint: Some(options.endpoint.clone()), ..options });
    let error = client.expect("settings").project().expect_err("nobody");
    assert!(matches!(error, ClientError::NoAnswer { unsent: true, .. }) && !error.in_doubt(), "{error}");
}

#[test]
fn a_server_that_is_silent_is_given_up() {
    let server = StandIn::start(false);
    let mut options = server.options();
    options.patience.answer = Duration::from_millis(200);
    let client = Client::new(&options).expect("settings");
    let kind = FaultKind::Delay(Duration::from_secs(30));
    server.misbehave(Fault { method: "GET", about: "/projects", after: 0, kind });
    let error = client.project().expect_err("silence");
    assert!(matches!(error, ClientError::NoAnswer { unsent: false, .. }) && error.in_doubt(), "{error}");
}
