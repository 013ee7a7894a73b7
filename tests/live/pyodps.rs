//! The vendor's Python client, unmodified, at the stand-in: what it lists, reads and writes is what is there, and what our
//! encoder writes is to it what it says. Fetched by `ops/readers pyodps`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use relay::format::maxcompute::block::Row;
use relay::format::maxcompute::data_type::DataType;
use relay::format::maxcompute::datum::Datum;
use relay::format::maxcompute::record::{RecordWriter, Tally};
use relay::sink::maxcompute::client::upload::{Target, UploadOptions};
use relay::sink::maxcompute::compression::{COMPRESSIONS, Compression, Compressor};
use serde_json::{Value, json};

use crate::support::maxcompute::auth::{ACCESS_ID, ACCESS_KEY};
use crate::support::maxcompute::{PROJECT, StandIn};
use crate::support::readers::pyodps_python;
use crate::support::root;

/// A pyodps that does what it is told, as long as it lives.
struct Pyodps {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Pyodps {
    fn start(server: &StandIn, region: &str) -> Self {
        let mut child = Command::new(pyodps_python())
            .arg("-B")
            .arg(root().join("tests/readers/pyodps/client.py"))
            .args([&server.endpoint(), PROJECT, ACCESS_ID, ACCESS_KEY, region])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python runs");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, input, output }
    }

    /// What it answers; its errors are answers too.
    fn ask(&mut self, job: &Value) -> Result<Value, String> {
        let input = self.input.as_mut().expect("it is open");
        writeln!(input, "{job}").expect("pyodps takes it");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("pyodps answers");
        let mut answer: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no answer to {job}"));
        match answer["error"].take() {
            Value::Null => Ok(answer["done"].take()),
            error => Err(error.as_str().expect("text").to_owned()),
        }
    }

    #[track_caller]
    fn done(&mut self, job: &Value) -> Value {
        self.ask(job).unwrap_or_else(|error| panic!("{} {}: {error}", job["do"], job["table"]))
    }
}

impl Drop for Pyodps {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// Every type, a row of ordinary values, one of NULLs, and two of extremes.
const KINDS: [&str; 19] = [
    "bigint",
    "int",
    "smallint",
    "tinyint",
    "double",
    "float",
    "string",
    "binary",
    "boolean",
    "datetime",
    "timestamp",
    "timestamp_ntz",
    "date",
    "decimal(38,18)",
    "varchar(64)",
    "char(8)",
    "array<bigint>",
    "map<string,bigint>",
    "struct<a:bigint,b:string>",
];

fn columns() -> Vec<(String, &'static str)> {
    KINDS.iter().enumerate().map(|(at, kind)| (format!("c{at}"), *kind)).collect()
}

fn values() -> Value {
    let long = "值".repeat(30_000);
    json!([
        [
            1,
            2,
            3,
            4,
            "1.5",
            "0.25",
            "hello",
            "62696e00",
            true,
            1_709_280_000_123i64,
            [1_709_280_000, 123_456_789],
            [1_709_308_800, 1],
            "2024-03-01",
            "12345678901234567890.123456789012345678",
            "varchar值",
            "char",
            [1, null, -3],
            [["a", 1], ["b", null]],
            [7, "s"]
        ],
        [
            null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null,
            null
        ],
        [
            i64::MAX,
            i32::MAX,
            i16::MAX,
            i8::MAX,
            "1.7976931348623157e+308",
            "3.4028234663852886e+38",
            long,
            "00ff",
            false,
            253_402_271_999_999i64,
            [4_102_444_800i64, 999_999_999],
            [0, 0],
            "9999-12-31",
            "99999999999999999999.999999999999999999",
            "",
            "",
            [],
            [],
            [null, null]
        ],
        [
            -i64::MAX,
            i32::MIN,
            i16::MIN,
            i8::MIN,
            "-inf",
            "-0.0",
            "",
            "",
            null,
            -62_000_000i64,
            [-28_801, 500_000_000],
            [-2_208_988_800i64, 0],
            "0001-01-01",
            "-0.000000000000000001",
            "x",
            "abcdefgh",
            [i64::MAX],
            [["", -1]],
            [-1, ""]
        ],
    ])
}

#[test]
fn pyodps_makes_lists_and_changes_tables() {
    let server = StandIn::start(false);
    for region in ["", "cn-hangzhou"] {
        let mut pyodps = Pyodps::start(&server, region);
        let table = if region.is_empty() { "by_v2" } else { "by_v4" };
        assert_eq!(pyodps.done(&json!({"do": "exists", "table": table})), false);
        let job = json!({"do": "create", "table": table, "columns": columns(), "partitions": [["y", "string"], ["m", "string"]]});
        pyodps.done(&job);
        assert_eq!(pyodps.done(&json!({"do": "exists", "table": table})), true);
        let schema = pyodps.done(&json!({"do": "schema", "table": table}));
        assert_eq!(schema["partitions"], json!([["y", "string"], ["m", "string"]]));
        assert_eq!(schema["columns"], json!(columns()));
        pyodps.done(&json!({"do": "partition", "table": table, "partition": "y='2026',m='01'"}));
        assert_eq!(pyodps.done(&json!({"do": "partitions", "table": table})), json!(["y='2026',m='01'"]));
        pyodps.done(&json!({"do": "add", "table": table, "columns": [["later", "decimal(10,2)"]]}));
        let schema = pyodps.done(&json!({"do": "schema", "table": table}));
        assert_eq!(schema["columns"][KINDS.len()], json!(["later", "decimal(10,2)"]));
        let error = pyodps.ask(&json!({"do": "sql", "statement": "SELECT 1"})).expect_err("it is not understood");
        assert!(error.contains("0130161"), "{error}");
    }
    let mut pyodps = Pyodps::start(&server, "");
    assert_eq!(pyodps.done(&json!({"do": "tables"})), json!(["by_v2", "by_v4"]));
    // Our client reads what it made.
    let table = server.client().table("by_v4").expect("an answer").expect("a table");
    let kinds: Vec<String> = table.columns.iter().map(|column| column.kind.to_string()).collect();
    assert_eq!(kinds[..KINDS.len()], KINDS);
}

#[test]
fn pyodps_reads_back_what_it_wrote_by_every_compression_and_by_streams() {
    let server = StandIn::start(false);
    let mut pyodps = Pyodps::start(&server, "");
    let partitions = [["y", "string"]];
    pyodps.done(&json!({"do": "create", "table": "t", "columns": columns(), "partitions": partitions}));
    for (at, compress) in ["raw", "deflate", "zstd", "lz4", "snappy"].into_iter().enumerate() {
        for how in ["batch", "stream"] {
            let partition = format!("y='{at}{how}'");
            pyodps.done(&json!({"do": "partition", "table": "t", "partition": partition}));
            let id = pyodps.done(&json!({"do": "write", "table": "t", "partition": partition, "rows": values(),
                "compress": compress, "how": how}));
            for read in ["raw", compress] {
                let job = json!({"do": "read", "table": "t", "partition": partition, "compress": read});
                assert_eq!(pyodps.done(&job), values(), "{compress} {how} {read}");
            }
            if how == "batch" {
                let job = json!({"do": "session", "table": "t", "partition": partition, "id": id});
                assert_eq!(pyodps.done(&job), json!({"status": "CLOSED", "blocks": [0]}));
            }
        }
    }
    let job = json!({"do": "read", "table": "t", "partition": "y='0batch'", "columns": ["c6", "c0"]});
    assert_eq!(pyodps.done(&job)[0], json!(["hello", 1]));
}

/// A value of our own for one that pyodps is told.
fn datum(kind: &DataType, value: &Value) -> Option<Datum> {
    let text = || value.as_str().expect("text");
    let moment = || Datum::Moment {
        seconds: value[0].as_i64().expect("seconds"),
        nanos: value[1].as_u64().expect("nanoseconds") as u32,
    };
    let list = |value: &Value| value.as_array().expect("a list").clone();
    Some(match kind {
        _ if value.is_null() => return None,
        DataType::Boolean => Datum::Boolean(value.as_bool().expect("a boolean")),
        DataType::Double => Datum::Double(text().parse().expect("a number")),
        DataType::Float => Datum::Float(text().parse().expect("a number")),
        DataType::Binary => {
            let byte = |at: usize| u8::from_str_radix(&text()[at..at + 2], 16).expect("hex");
            Datum::Bytes((0..text().len()).step_by(2).map(byte).collect())
        }
        DataType::Timestamp | DataType::TimestampNtz => moment(),
        DataType::Date => {
            let date: jiff::civil::Date = text().parse().expect("a date");
            Datum::Integer(jiff::civil::date(1970, 1, 1).until(date).expect("days").get_days().into())
        }
        DataType::Array(inner) => Datum::Array(list(value).iter().map(|value| datum(inner, value)).collect()),
        DataType::Map(key, inner) => {
            Datum::Map(list(value).iter().map(|pair| (datum(key, &pair[0]), datum(inner, &pair[1]))).collect())
        }
        DataType::Struct(fields) => {
            Datum::Struct(fields.iter().zip(list(value)).map(|((_, kind), value)| datum(kind, &value)).collect())
        }
        DataType::String | DataType::VarChar(_) | DataType::Char(_) | DataType::Decimal(_) => {
            Datum::Bytes(text().as_bytes().to_vec())
        }
        _ => Datum::Integer(value.as_i64().expect("an integer")),
    })
}

#[test]
fn pyodps_reads_what_our_client_wrote_and_both_mean_the_same_by_a_value() {
    let server = StandIn::start(false);
    let mut pyodps = Pyodps::start(&server, "");
    pyodps.done(&json!({"do": "create", "table": "ours", "columns": columns()}));
    let kinds: Vec<DataType> = KINDS.iter().map(|kind| DataType::parse(kind).expect("a type")).collect();
    let row = |row: &Value| -> Row {
        kinds.iter().zip(row.as_array().expect("a row")).map(|(kind, value)| datum(kind, value)).collect()
    };
    let rows: Vec<Row> = values().as_array().expect("rows").iter().map(row).collect();
    let (mut block, mut writer, mut tally) = (Vec::new(), RecordWriter::default(), Tally::default());
    for row in &rows {
        let mut record = writer.begin(&mut block);
        for (column, (kind, value)) in kinds.iter().zip(row).enumerate() {
            if let Some(value) = value {
                record.datum(column, kind, value).expect("a value of the type");
            }
        }
        tally.add(record.end());
    }
    tally.write_trailer(&mut block);

    let client = server.client();
    let target = Target { table: "ours", partition: None };
    let session = client.open_upload(target, UploadOptions::default()).expect("a session");
    for (id, compression) in COMPRESSIONS.into_iter().enumerate() {
        let mut compressor = Compressor::new(compression).expect("memory");
        compressor.write(&block).expect("memory");
        let body = compressor.finish().expect("memory");
        client.write_block(target, &session.id, id as u32, compression, &body).expect("a block");
    }
    client.commit_upload(target, &session.id).expect("a commit");

    let read = pyodps.done(&json!({"do": "read", "table": "ours", "compress": "zstd"}));
    let expected: Vec<Value> =
        (0..COMPRESSIONS.len()).flat_map(|_| values().as_array().expect("rows").clone()).collect();
    assert_eq!(read, Value::Array(expected));
    assert_eq!(Compression::default(), Compression::Deflate, "what both use when nothing is asked for");

    // What it writes is to us what we write.
    pyodps.done(&json!({"do": "create", "table": "theirs", "columns": columns()}));
    pyodps.done(&json!({"do": "write", "table": "theirs", "rows": values()}));
    let mut theirs: Vec<Row> = server.state().table("theirs").rows().collect();
    // But for small decimals, which it writes with an exponent.
    let small = theirs[3][13].replace(Datum::Bytes(b"-0.000000000000000001".to_vec()));
    assert_eq!(small, Some(Datum::Bytes(b"-1E-18".to_vec())));
    assert_eq!(format!("{theirs:?}"), format!("{rows:?}"));
}

#[test]
fn pyodps_upserts_by_the_buckets_that_our_hashes_give() {
    let server = StandIn::start(false);
    let mut pyodps = Pyodps::start(&server, "");
    let create = "CREATE TABLE keyed (id BIGINT NOT NULL, flag STRING NOT NULL, note STRING, PRIMARY KEY (id, flag))";
    pyodps.done(&json!({"do": "sql", "statement": create}));
    let rows: Vec<Value> =
        (-20..20).map(|id| json!([id * 1_000_003, if id % 2 == 0 { "Y" } else { "N" }, "x"])).collect();
    pyodps.done(&json!({"do": "upsert", "table": "keyed", "rows": rows}));
    let again = json!({"do": "upsert", "table": "keyed", "rows": [[0, "Y", "new"]], "delete": rows[..10]});
    pyodps.done(&again);
    pyodps.done(&again);
    let read = pyodps.done(&json!({"do": "read", "table": "keyed"}));
    let mut read = read.as_array().expect("rows").clone();
    read.sort_by_key(|row| row[0].as_i64());
    let mut expected = rows[10..].to_vec();
    expected[10] = json!([0, "Y", "new"]);
    assert_eq!(read, expected);
}
