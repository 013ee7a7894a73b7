//! Random rows of all types, read by `apache-avro` (tests/readers/apache-avro): it must find the values that went into the
//! row, and write them as the same bytes.

use std::io::Write;
use std::process::{Command, Stdio};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use relay::binlog::RowsEvent;
use relay::binlog::event::{Event, FormatDescription};
use relay::change::plan::Planner;
use relay::change::{EventPlace, Op, RowsChange, TxInfo};
use relay::format::dts_avro::{AvroOptions, DtsAvro, TextBranch};
use relay_store::Seq;
use serde_json::{Value as Json, json};

use crate::binlog_rows::*;
use crate::support::{root, seed};

const ROWS: usize = 400;
const BINARY: u16 = 63;
const UTF8MB4: u16 = 255;

/// What the reader prints of these messages, one a line.
fn read(messages: &[Vec<u8>]) -> Vec<Json> {
    let (folder, target) = (root().join("tests/readers/apache-avro"), root().join("target/readers/apache-avro"));
    let built = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--quiet", "--target-dir"])
        .arg(&target)
        .current_dir(folder)
        .env_remove("CARGO_TARGET_DIR")
        .status();
    assert!(built.expect("cargo runs").success(), "tests/readers/apache-avro is built");
    let mut reader = Command::new(target.join("debug/apache-avro-reader"))
        .arg("read")
        .arg(root().join("src/format/dts_avro/record.avsc"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the reader runs");
    let lines: Vec<String> = messages.iter().map(|bytes| hex(bytes) + "\n").collect();
    let mut input = reader.stdin.take().expect("a pipe");
    // A reader that complains leaves before it has read everything; what it says is on standard error.
    let writer = std::thread::spawn(move || drop(input.write_all(lines.concat().as_bytes())));
    let done = reader.wait_with_output().expect("it ends");
    writer.join().expect("it writes or fails");
    assert!(done.status.success(), "the reader refuses a message");
    done.stdout.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The value of a union, as the reader prints it.
fn union(branch: u32, value: Json) -> Json {
    json!({ branch.to_string(): value })
}

fn bytes(bytes: &[u8]) -> Json {
    json!({ "bytes_hex": hex(bytes) })
}

fn integer(precision: i32, value: impl ToString) -> Json {
    union(1, json!({ "precision": precision, "value": value.to_string() }))
}

fn character(charset: &str, value: &[u8]) -> Json {
    union(2, json!({ "charset": charset, "value": bytes(value) }))
}

fn binary(branch: u32, word: &str, value: &[u8]) -> Json {
    union(branch, json!({ "type": word, "value": bytes(value) }))
}

fn text_object(word: &str, text: &str) -> Json {
    union(11, json!({ "type": word, "value": text }))
}

fn float(value: f64) -> Json {
    union(4, json!({ "value": { "double_bits": format!("{:016x}", value.to_bits()) }, "precision": 8, "scale": 15 }))
}

fn date_time(parts: [Option<i32>; 7]) -> Json {
    let names = ["year", "month", "day", "hour", "minute", "second", "millis"];
    let part = |part: Option<i32>| part.map_or_else(null, |part| union(1, json!(part)));
    union(6, names.iter().zip(parts).map(|(name, value)| ((*name).to_owned(), part(value))).collect())
}

fn null() -> Json {
    union(0, Json::Null)
}

fn none() -> Json {
    union(12, json!("NONE"))
}

/// Makes a value: as it lies in a row, and as the record must show it.
type Make = dyn Fn(&mut StdRng) -> (Vec<u8>, Json);

/// A column, its number in `fields`, and how a value of it is made.
struct Case {
    column: Col,
    number: i32,
    make: Box<Make>,
}

fn case(column: Col, number: i32, make: impl Fn(&mut StdRng) -> (Vec<u8>, Json) + 'static) -> Case {
    Case { column, number, make: Box::new(make) }
}

fn integers(name: &'static str, wire: u8, number: i32, bytes: usize, precision: i32, unsigned: bool) -> Case {
    case(int(name, wire, unsigned), number, move |rng| {
        let bits = 8 * bytes as u32;
        let value = rng.random::<u64>() >> rng.random_range(0..64);
        let raw = value.to_le_bytes()[..bytes].to_vec();
        let cut = value & (u64::MAX >> (64 - bits));
        let datum = if unsigned {
            integer(precision, cut)
        } else {
            integer(precision, (cut << (64 - bits)) as i64 >> (64 - bits))
        };
        (raw, datum)
    })
}

fn random_bytes(rng: &mut StdRng, most: usize) -> Vec<u8> {
    let length = rng.random_range(0..=most);
    (0..length).map(|_| rng.random()).collect()
}

fn random_text(rng: &mut StdRng, most: usize) -> String {
    let length = rng.random_range(0..=most);
    (0..length)
        .map(|_| if rng.random_ratio(1, 4) { rng.random::<char>() } else { rng.random_range(' '..='~') })
        .collect()
}

fn decimals(name: &'static str, precision: usize, scale: usize) -> Case {
    case(decimal_col(name, precision as u8, scale as u8), 246, move |rng| {
        let digits = rng.random_range(0..=precision);
        let mut all: String = (0..digits).map(|_| char::from(b'0' + rng.random_range(0..10u8))).collect();
        while all.len() <= scale {
            all.insert(0, '0');
        }
        let (whole, fraction) = all.split_at(all.len() - scale);
        let whole = match whole.trim_start_matches('0') {
            "" => "0",
            whole => whole,
        };
        let significant = format!("{whole}{fraction}").trim_start_matches('0').len().max(1);
        let sign = if significant > 1 && rng.random() { "-" } else { "" };
        let text = if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") };
        let datum = union(3, json!({ "value": text, "precision": significant, "scale": scale }));
        (decimal(&text, precision, scale).expect("a value"), datum)
    })
}

/// Microseconds that a column with so many digits can hold.
fn random_micros(rng: &mut StdRng, fsp: u8) -> u32 {
    let unit = 10u32.pow(6 - u32::from(fsp));
    rng.random_range(0..1_000_000 / unit) * unit
}

/// TIME as the server packs it (sql-common/my_time.cc, my_time_packed_to_binary).
fn times(name: &'static str, fsp: u8) -> Case {
    case(col(name, 19, &[fsp]), 11, move |rng| {
        let (h, m, s) = (rng.random_range(0..839i64), rng.random_range(0..60i64), rng.random_range(0..60i64));
        let (micros, sign) = (i64::from(random_micros(rng, fsp)), if rng.random() { -1 } else { 1 });
        let packed = sign * ((h << 12 | m << 6 | s) << 24 | micros);
        let whole = ((packed >> 24) + 0x80_0000).to_be_bytes();
        let part = packed % (1 << 24);
        let bytes = match fsp {
            0 => whole[5..].to_vec(),
            1 | 2 => [&whole[5..], &[(part / 10_000) as u8]].concat(),
            3 | 4 => [&whole[5..], &((part / 100) as i16).to_be_bytes()].concat(),
            _ => (packed + 0x8000_0000_0000).to_be_bytes()[2..].to_vec(),
        };
        let part = |part: i64| Some((sign * part) as i32);
        (bytes, date_time([None, None, None, part(h), part(m), part(s), part(micros)]))
    })
}

fn random_date(rng: &mut StdRng) -> [u64; 3] {
    if rng.random_ratio(1, 5) {
        return [0; 3];
    }
    [rng.random_range(0..10_000), rng.random_range(0..13), rng.random_range(0..32)]
}

fn datetimes(name: &'static str, fsp: u8) -> Case {
    case(col(name, 18, &[fsp]), 12, move |rng| {
        let date = random_date(rng);
        let time = [rng.random_range(0..24), rng.random_range(0..60), rng.random_range(0..60)];
        let micros = random_micros(rng, fsp);
        let [y, mo, d, h, mi, s] = [date, time].concat().try_into().expect("six");
        let parts = [y, mo, d, h, mi, s, u64::from(micros)].map(|part: u64| Some(part as i32));
        (datetime2(date, time, micros, fsp).expect("a value"), date_time(parts))
    })
}

fn timestamps(name: &'static str, fsp: u8) -> Case {
    case(col(name, 17, &[fsp]), 7, move |rng| {
        let seconds = if rng.random_ratio(1, 6) { 0 } else { rng.random::<u32>() };
        let micros = if seconds == 0 { 0 } else { random_micros(rng, fsp) };
        (
            timestamp2(seconds, micros, fsp).expect("a value"),
            union(5, json!({ "timestamp": seconds, "millis": micros })),
        )
    })
}

/// Text whose bytes are written as they are.
fn texts(column: Col, number: i32, charset: &'static str, most: usize) -> Case {
    case(column, number, move |rng| {
        let text = random_text(rng, most);
        let bytes = if charset == "latin1" {
            text.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect()
        } else {
            text.into_bytes()
        };
        let datum = character(charset, &bytes);
        (bytes, datum)
    })
}

fn objects(column: Col, number: i32, word: &'static str, most: usize) -> Case {
    case(column, number, move |rng| {
        let bytes = random_bytes(rng, most);
        let datum = binary(10, word, &bytes);
        (bytes, datum)
    })
}

/// A scalar document and its text.
fn random_document(rng: &mut StdRng) -> (Vec<u8>, String) {
    match rng.random_range(0..3) {
        0 => {
            let number: i16 = rng.random();
            ([&[5][..], &number.to_le_bytes()].concat(), number.to_string())
        }
        1 => (vec![4, 1], "true".into()),
        _ => {
            let text: String = (0..rng.random_range(0..60)).map(|_| rng.random_range('a'..='z')).collect();
            ([&[12, text.len() as u8][..], text.as_bytes()].concat(), format!("\"{text}\""))
        }
    }
}

fn cases(avro_text: TextBranch) -> Vec<Case> {
    let float_col = |name, wire, meta: &[u8]| Col { unsigned: Some(false), ..col(name, wire, meta) };
    let mut cases = Vec::new();
    for (names, wire, number, bytes, precision) in [
        (["i1", "u1"], 1, 1, 1, 1),
        (["i2", "u2"], 2, 2, 2, 2),
        (["i3", "u3"], 9, 9, 3, 3),
        (["i4", "u4"], 3, 3, 4, 4),
        (["i8", "u8"], 8, 8, 8, 8),
    ] {
        cases.push(integers(names[0], wire, number, bytes, precision, false));
        cases.push(integers(names[1], wire, number, bytes, precision, true));
    }
    cases.extend([decimals("d0", 18, 0), decimals("d2", 10, 2), decimals("d30", 65, 30), decimals("d8", 9, 8)]);
    cases.push(case(float_col("f4", 4, &[4]), 4, |rng| {
        let value = rng.random::<f32>() * 1e20 - 5e19;
        (value.to_le_bytes().to_vec(), float(value.into()))
    }));
    cases.push(case(float_col("f8", 5, &[8]), 5, |rng| {
        let value = rng.random::<f64>() * 1e200 - 5e199;
        (value.to_le_bytes().to_vec(), float(value))
    }));
    cases.push(case(col("b9", 16, &[1, 1]), 16, |rng| {
        let bits = rng.random_range(0..512u16);
        (bits.to_be_bytes().to_vec(), integer(8, bits))
    }));
    cases.push(case(col("y", 13, &[]), 13, |rng| {
        let year: u8 = rng.random();
        let shown = if year == 0 { 0 } else { 1900 + i32::from(year) };
        (vec![year], date_time([Some(shown), None, None, None, None, None, None]))
    }));
    cases.push(case(col("d", 10, &[]), 10, |rng| {
        let [y, m, d] = random_date(rng).map(|part| part as u32);
        let parts = [Some(y as i32), Some(m as i32), Some(d as i32), None, None, None, None];
        (date(y, m, d).expect("a value"), date_time(parts))
    }));
    cases.extend([times("t0", 0), times("t2", 2), times("t3", 3), times("t6", 6)]);
    cases.extend([datetimes("dt0", 0), datetimes("dt1", 1), datetimes("dt4", 4), datetimes("dt6", 6)]);
    cases.extend([timestamps("ts0", 0), timestamps("ts3", 3), timestamps("ts6", 6)]);
    cases.push(texts(fixed("c", 240, UTF8MB4), 254, "utf8mb4", 40));
    cases.push(texts(varchar("v", 200, UTF8MB4, 4), 253, "utf8mb4", 100));
    cases.push(texts(varchar("v1", 200, 8, 1), 253, "latin1", 100));
    for (name, length_bytes, number) in [("tt", 1, 249), ("t", 2, 252), ("mt", 3, 250), ("lt", 4, 251)] {
        let column = blob(name, length_bytes, UTF8MB4);
        cases.push(match avro_text {
            TextBranch::Character => texts(column, number, "utf8mb4", 60),
            TextBranch::BinaryObject => case(column, number, |rng| {
                let bytes = random_text(rng, 60).into_bytes();
                let datum = binary(10, "TEXT", &bytes);
                (bytes, datum)
            }),
            TextBranch::TextObject => case(column, number, |rng| {
                let text = random_text(rng, 60);
                let datum = text_object("TEXT", &text);
                (text.into_bytes(), datum)
            }),
        });
    }
    for (name, length_bytes, number) in [("tb", 1, 249), ("b", 2, 252), ("mb", 3, 250), ("lb", 4, 251)] {
        cases.push(objects(blob(name, length_bytes, BINARY), number, "BLOB", 255));
    }
    cases.push(objects(varchar("vb", 300, BINARY, 1), 253, "BINARY", 300));
    cases.push(case(fixed("bin", 20, BINARY), 254, |rng| {
        let mut bytes = random_bytes(rng, 20);
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        let mut whole = bytes.clone();
        whole.resize(20, 0);
        (bytes, binary(10, "BINARY", &whole))
    }));
    let vector = Col { dimension: Some(4), collation: Some(BINARY), ..col("vec", 242, &[4]) };
    cases.push(objects(vector, 252, "BLOB", 64));
    cases.push(case(labelled("e", 247, 1, &["", "small", "größe"], UTF8MB4), 247, |rng| {
        let number = rng.random_range(0..=3u8);
        let label = ["", "", "small", "größe"][usize::from(number)];
        (vec![number], text_object("ENUM", label))
    }));
    cases.push(case(labelled("s", 248, 1, &["a", "b", "ü"], UTF8MB4), 248, |rng| {
        let mask = rng.random_range(0..8u8);
        let labels: Vec<_> = ["a", "b", "ü"].into_iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1).collect();
        let text = labels.iter().map(|(_, label)| *label).collect::<Vec<_>>().join(",");
        (vec![mask], text_object("SET", &text))
    }));
    cases.push(case(col("j", 245, &[4]), 245, |rng| {
        let (bytes, text) = random_document(rng);
        (bytes, text_object("JSON", &text))
    }));
    cases.push(case(Col { geometry: Some(0), ..col("g", 255, &[4]) }, 255, |rng| {
        let wkb = random_bytes(rng, 80);
        let stored = [&rng.random::<u32>().to_le_bytes()[..], &wkb].concat();
        (stored, binary(8, "WKB", &wkb))
    }));
    cases
}

/// One column's value in one image: what the row holds, and what the record must show.
fn random_value(case: &Case, rng: &mut StdRng, may_lack: bool) -> (Option<Bytes>, Json) {
    if may_lack && rng.random_ratio(1, 4) {
        return (None, none());
    }
    if rng.random_ratio(1, 8) {
        return (Some(None), null());
    }
    let (bytes, datum) = (case.make)(rng);
    (Some(Some(bytes)), datum)
}

/// Images of one event hold the same columns: `lacks` says which are not there.
fn random_image(cases: &[Case], rng: &mut StdRng, lacks: bool) -> (Image, Json) {
    let (image, values): (Image, Vec<Json>) = cases.iter().map(|case| random_value(case, rng, lacks)).unzip();
    (image, union(2, values.into()))
}

#[test]
fn random_rows_of_all_types_are_what_apache_avro_reads_and_writes() {
    let mut rng = StdRng::seed_from_u64(seed("avro"));
    let description = FormatDescription::parse(&format_description("9.7.4")).expect("a format description");
    let tx = TxInfo { file: "binlog.000017".into(), server_version: "9.7.4".into(), start: 120, ..TxInfo::default() };
    for avro_text in [TextBranch::Character, TextBranch::TextObject, TextBranch::BinaryObject] {
        let cases = cases(avro_text);
        let columns: Vec<Col> = cases.iter().map(|case| case.column.clone()).collect();
        let map = table_map(5, "lab", "all.types", &columns, true);
        let map = Event::parse(&map, description.checksum).expect("an event");
        let plan = Planner::new().plan(&map, &description, None).expect("a table map").expect("a plan");
        let mut avro = DtsAvro::new(&AvroOptions { avro_text, ..AvroOptions::default() });
        let (mut messages, mut expected) = (Vec::new(), Vec::new());
        for seq in 1..=ROWS as u64 {
            let partial = rng.random_ratio(1, 3);
            let (kind, op, operation) =
                [(30, Op::Insert, "INSERT"), (31, Op::Update, "UPDATE"), (32, Op::Delete, "DELETE")]
                    [rng.random_range(0..3)];
            let (one, other) = (random_image(&cases, &mut rng, partial), random_image(&cases, &mut rng, partial));
            let (images, before, after) = match op {
                Op::Insert => (vec![one.0], null(), one.1),
                Op::Delete => (vec![one.0], one.1, null()),
                Op::Update => (vec![one.0, other.0], one.1, other.1),
            };
            let raw = rows(kind, 5, &columns, &images, 0);
            let event = Event::parse(&raw, description.checksum).expect("an event");
            let event = RowsEvent::parse(&event, &description).expect("a rows event");
            let place = EventPlace { timestamp: 1_767_225_930, server_id: 1, position: 4700 };
            let change = RowsChange { seq: Seq(seq), op, plan: &plan, tx: &tx, place, snapshot: false, event };
            let row = change.rows().next().expect("a row").expect("decodes");
            let mut out = Vec::new();
            avro.write(&change, &row, 1_767_225_930_050, &mut out).expect("a row");
            messages.push(out);
            expected.push((operation, before, after));
        }
        assert_eq!(avro.bad_text(), 0);
        let fields = cases.iter().map(|case| json!({ "name": case.column.name, "dataTypeNumber": case.number }));
        let fields = union(2, fields.collect());
        for (record, (operation, before, after)) in read(&messages).iter().zip(expected) {
            assert_eq!(record["operation"], operation);
            assert_eq!(record["objectName"], union(1, json!("lab.all\\u002Etypes")));
            assert_eq!(record["tags"], json!({ "server_id": "1", "readerThroughoutTime": "1767225930050" }));
            assert_eq!(
                (&record["sourcePosition"], &record["safeSourcePosition"]),
                (&json!("4700@17"), &json!("120@17"))
            );
            assert_eq!(record["fields"], fields);
            assert_eq!(record["beforeImages"], before);
            assert_eq!(record["afterImages"], after);
        }
    }
}
