//! Rows for tests of formats: one event's rows as a server writes them, and random rows whose values are known.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use relay_store::Seq;

use crate::binlog::RowsEvent;
use crate::binlog::event::{Checksum, Dialect, Event, FormatDescription};
use crate::change::binlog_rows::*;
use crate::change::plan::{Planner, TablePlan};
use crate::change::{EventPlace, Op, RowChange, RowsChange, TxInfo};

pub(super) const UTF8MB4: u16 = 255;
pub(super) const BINARY: u16 = 63;
pub(super) const GTID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562:23";

/// The rows of one event, in a transaction with a GTID.
pub(super) struct Scene {
    pub(super) plan: Arc<TablePlan>,
    pub(super) tx: TxInfo,
    pub(super) place: EventPlace,
    pub(super) op: Op,
    pub(super) snapshot: bool,
    rows: Vec<u8>,
    description: FormatDescription,
}

impl Scene {
    /// Rows of the kind 30, 31 or 32 of `shop.orders`.
    pub(super) fn new(kind: u8, columns: &[Col], images: &[Image]) -> Self {
        Self::of(("shop", "orders"), columns, rows(kind, 9, columns, images, 1_767_225_930))
    }

    /// The rows of an event.
    pub(super) fn of(table: (&str, &str), columns: &[Col], rows: Vec<u8>) -> Self {
        let description = FormatDescription {
            server_version: "9.7.4".into(),
            created: 0,
            post_header_lengths: Vec::new(),
            checksum: Checksum::None,
            dialect: Dialect::MySql,
        };
        let map = table_map(9, table.0, table.1, columns, true);
        let event = Event::parse(&map, Checksum::None).expect("an event");
        let plan = Planner::new().plan(&event, &description, None).expect("a table map").expect("a plan");
        let op = match rows[4] {
            30 => Op::Insert,
            32 => Op::Delete,
            _ => Op::Update,
        };
        let tx = TxInfo {
            gtid: GTID.into(),
            file: "binlog.000017".into(),
            commit_time_us: Some(1_767_225_930_123_456),
            server_version: "9.7.4".into(),
            start: 37_000,
            thread_id: Some(8),
            ..TxInfo::default()
        };
        let place = EventPlace { timestamp: 1_767_225_930, server_id: 7, position: 37_468 };
        Self { plan, tx, place, op, snapshot: false, rows, description }
    }

    /// Gives every row to `visit`.
    pub(super) fn each(&self, mut visit: impl FnMut(&RowsChange<'_>, &RowChange<'_>)) {
        let event = Event::parse(&self.rows, Checksum::None).expect("an event");
        let change = RowsChange {
            seq: Seq(11),
            op: self.op,
            plan: &self.plan,
            tx: &self.tx,
            place: self.place,
            snapshot: self.snapshot,
            event: RowsEvent::parse(&event, &self.description).expect("a rows event"),
        };
        for row in change.rows() {
            visit(&change, &row.expect("a row"));
        }
    }

    /// What `write` appends for each row, behind bytes that it must not touch; an error must leave nothing.
    pub(super) fn written<E>(
        &self,
        mut write: impl FnMut(&RowsChange<'_>, &RowChange<'_>, &mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Vec<String>, E> {
        let mut messages = Ok(Vec::new());
        self.each(|change, row| {
            let mut out = b"before".to_vec();
            let written = write(change, row, &mut out);
            assert_eq!(&out[..6], b"before");
            match (written, &mut messages) {
                (Ok(()), Ok(messages)) => messages.push(String::from_utf8(out.split_off(6)).expect("JSON is UTF-8")),
                (Ok(()), Err(_)) => {}
                (Err(error), _) => {
                    assert_eq!(out, b"before", "an error leaves nothing behind");
                    messages = Err(error);
                }
            }
        });
        messages
    }
}

/// A value and what it is.
#[derive(Debug, Clone)]
pub(super) enum Known {
    Int(i64),
    UInt(u64),
    Decimal(String),
    Float(f32),
    Double(f64),
    Bit(u64),
    Year(u16),
    Date([u64; 3]),
    /// Whole microseconds.
    Time(i64),
    /// Date, time, microseconds.
    DateTime([u64; 3], [u64; 3], u32),
    /// Seconds, microseconds.
    Timestamp(u32, u32),
    Text(String),
    Bytes(Vec<u8>),
    Enum(&'static str),
    Set(Vec<&'static str>),
    /// `{"a": number, "b": text}`.
    Json(i16, String),
    Point(f64, f64),
    Vector(Vec<f32>),
}

pub(super) const LABELS: [&str; 4] = ["S", "it's \"M\"", "L,XL", "é"];

/// A column of every type, all nullable but the first.
pub(super) fn every_column() -> Vec<Col> {
    let float = |c: Col| Col { unsigned: Some(false), ..c };
    vec![
        int("id", 8, false).key(),
        int("tiny", 1, false),
        int("tiny_u", 1, true),
        int("small", 2, false),
        int("small_u", 2, true),
        int("medium", 9, false),
        int("medium_u", 9, true),
        int("whole", 3, false),
        int("whole_u", 3, true),
        int("big_u", 8, true),
        decimal_col("dec", 20, 4),
        decimal_col("dec_long", 65, 30),
        float(col("f", 4, &[4])),
        float(col("d", 5, &[8])),
        col("bit1", 16, &[1, 0]),
        col("bit13", 16, &[5, 1]),
        col("bit64", 16, &[0, 8]),
        col("y", 13, &[]),
        col("date", 10, &[]),
        col("time0", 19, &[0]),
        col("time6", 19, &[6]),
        col("dt0", 18, &[0]),
        col("dt3", 18, &[3]),
        col("dt6", 18, &[6]),
        col("ts0", 17, &[0]),
        col("ts4", 17, &[4]),
        fixed("ch", 128, UTF8MB4),
        varchar("vc", 64, UTF8MB4, 4),
        blob("txt", 2, UTF8MB4),
        fixed("bin8", 8, BINARY),
        varchar("vb", 32, BINARY, 1),
        blob("blb", 4, BINARY),
        labelled("en", 247, 1, &LABELS, UTF8MB4),
        labelled("st", 248, 1, &LABELS, UTF8MB4),
        col("js", 245, &[4]),
        Col { geometry: Some(1), ..col("pt", 255, &[4]) },
        Col { dimension: Some(8), collation: Some(BINARY), ..col("vec", 242, &[4]) },
    ]
}

/// Rows of [`every_column`]; the same seed gives the same.
pub(super) struct RandomRows(StdRng);

impl RandomRows {
    pub(super) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A value for each column; none is NULL.
    pub(super) fn row(&mut self) -> Vec<Option<Known>> {
        let columns = every_column();
        columns
            .iter()
            .map(|column| (!column.nullable || self.0.random_bool(0.85)).then(|| self.value(column.name)))
            .collect()
    }

    fn text(&mut self, most: usize) -> String {
        const CHARACTERS: [char; 12] = ['a', 'Z', '0', ' ', '"', '\\', '\n', '\u{1}', '/', 'é', '你', '😀'];
        (0..self.0.random_range(0..=most)).map(|_| CHARACTERS[self.0.random_range(0..CHARACTERS.len())]).collect()
    }

    fn digits(&mut self, whole: usize, scale: usize) -> String {
        let whole = self.0.random_range(1..=whole);
        let mut text: String = (0..whole).map(|_| char::from(self.0.random_range(b'0'..=b'9'))).collect();
        text = text.trim_start_matches('0').to_owned();
        if text.is_empty() {
            text.push('0');
        }
        text.push('.');
        text.extend((0..scale).map(|_| char::from(self.0.random_range(b'0'..=b'9'))));
        let is_zero = text.bytes().all(|b| matches!(b, b'0' | b'.'));
        if !is_zero && self.0.random_bool(0.5) { format!("-{text}") } else { text }
    }

    fn micros(&mut self, fsp: u32) -> u32 {
        let unit = 10u32.pow(6 - fsp);
        self.0.random_range(0..1_000_000) / unit * unit
    }

    fn date_time(&mut self, fsp: u32) -> Known {
        let random = &mut self.0;
        let date = [random.random_range(1..=9999), random.random_range(1..=12), random.random_range(1..=28)];
        let time = [random.random_range(0..24), random.random_range(0..60), random.random_range(0..60)];
        Known::DateTime(date, time, self.micros(fsp))
    }

    fn signed(&mut self, bits: u32) -> Known {
        Known::Int(self.0.random::<i64>() >> (64 - bits))
    }

    fn unsigned(&mut self, bits: u32) -> Known {
        Known::UInt(self.0.random::<u64>() >> (64 - bits))
    }

    fn value(&mut self, column: &str) -> Known {
        match column {
            "id" => self.signed(64),
            "tiny" => self.signed(8),
            "tiny_u" => self.unsigned(8),
            "small" => self.signed(16),
            "small_u" => self.unsigned(16),
            "medium" => self.signed(24),
            "medium_u" => self.unsigned(24),
            "whole" => self.signed(32),
            "whole_u" => self.unsigned(32),
            "big_u" => self.unsigned(64),
            "dec" => Known::Decimal(self.digits(16, 4)),
            "dec_long" => Known::Decimal(self.digits(35, 30)),
            "f" => Known::Float((self.0.random::<f32>() - 0.5) * 10f32.powi(self.0.random_range(-20..20))),
            "d" => Known::Double((self.0.random::<f64>() - 0.5) * 10f64.powi(self.0.random_range(-200..200))),
            "bit1" => Known::Bit(self.0.random_range(0..2)),
            "bit13" => Known::Bit(self.0.random_range(0..1 << 13)),
            "bit64" => Known::Bit(self.0.random()),
            "y" => Known::Year(if self.0.random_bool(0.1) { 0 } else { self.0.random_range(1901..=2155) }),
            "date" => match self.date_time(0) {
                Known::DateTime(date, ..) if self.0.random_bool(0.9) => Known::Date(date),
                _ => Known::Date([0, 0, 0]),
            },
            "time0" => Known::Time(self.0.random_range(-3_020_399..=3_020_399i64) * 1_000_000),
            "time6" => Known::Time(self.0.random_range(0..=3_020_399_000_000i64)),
            "dt0" if self.0.random_bool(0.1) => Known::DateTime([0, 0, 0], [0, 0, 0], 0),
            "dt0" => self.date_time(0),
            "dt3" => self.date_time(3),
            "dt6" => self.date_time(6),
            "ts0" if self.0.random_bool(0.1) => Known::Timestamp(0, 0),
            "ts0" => Known::Timestamp(self.0.random_range(1..u32::MAX), 0),
            "ts4" => Known::Timestamp(self.0.random_range(1..u32::MAX), self.micros(4)),
            // CHAR comes without its trailing spaces.
            "ch" => Known::Text(self.text(20).trim_end_matches(' ').to_owned()),
            "vc" => Known::Text(self.text(30)),
            "txt" => Known::Text(self.text(300)),
            "bin8" => Known::Bytes((0..8).map(|_| self.0.random_range(1..=255)).collect()),
            "vb" => Known::Bytes((0..self.0.random_range(0..32)).map(|_| self.0.random()).collect()),
            "blb" => Known::Bytes((0..self.0.random_range(0..200)).map(|_| self.0.random()).collect()),
            "en" => Known::Enum(LABELS[self.0.random_range(0..LABELS.len())]),
            "st" => Known::Set(LABELS.into_iter().filter(|_| self.0.random_bool(0.5)).collect()),
            "js" => Known::Json(self.0.random(), self.text(20)),
            "pt" => Known::Point(self.0.random_range(-1000..1000) as f64 / 8.0, self.0.random_range(-9.0..9.0)),
            _ => Known::Vector((0..self.0.random_range(0..8)).map(|_| self.0.random()).collect()),
        }
    }
}

/// The image of a row of [`every_column`].
pub(super) fn image_of(row: &[Option<Known>]) -> Image {
    let columns = every_column();
    let cell = |(column, value): (&Col, &Option<Known>)| value.as_ref().map(|value| bytes_of(column, value));
    columns.iter().zip(row).map(|pair| Some(cell(pair))).collect()
}

fn bytes_of(column: &Col, value: &Known) -> Vec<u8> {
    let width = match column.wire {
        1 => 1,
        2 => 2,
        9 => 3,
        3 => 4,
        _ => 8,
    };
    let fsp = column.meta.first().copied().unwrap_or(0);
    let bytes = match value {
        Known::Int(number) => le(*number, width),
        Known::UInt(number) => le(*number as i64, width),
        Known::Decimal(text) => decimal(text, column.meta[0].into(), column.meta[1].into()),
        Known::Float(number) => Some(number.to_le_bytes().to_vec()),
        Known::Double(number) => Some(number.to_le_bytes().to_vec()),
        Known::Bit(number) => {
            let bits = usize::from(column.meta[1]) * 8 + usize::from(column.meta[0]);
            Some(number.to_be_bytes()[8 - bits.div_ceil(8)..].to_vec())
        }
        Known::Year(year) => Some(vec![year.saturating_sub(1900) as u8]),
        Known::Date(parts) => date(parts[0] as u32, parts[1] as u32, parts[2] as u32),
        Known::Time(micros) => {
            let (seconds, fraction) = (micros.abs() / 1_000_000, (micros.abs() % 1_000_000) as u32);
            time2(*micros < 0, [seconds / 3600, seconds / 60 % 60, seconds % 60], fraction, fsp)
        }
        Known::DateTime(date, time, micros) => datetime2(*date, *time, *micros, fsp),
        Known::Timestamp(seconds, micros) => timestamp2(*seconds, *micros, fsp),
        Known::Text(text) => Some(text.clone().into_bytes()),
        Known::Bytes(bytes) => Some(bytes.clone()),
        Known::Enum(label) => Some(vec![1 + LABELS.iter().position(|l| l == label).expect("a label") as u8]),
        Known::Set(labels) => Some(vec![
            LABELS.iter().enumerate().filter(|(_, l)| labels.contains(l)).fold(0, |mask, (at, _)| mask | 1 << at),
        ]),
        Known::Json(number, text) => Some(document(*number, text)),
        Known::Point(x, y) => Some([&[0u8; 4][..], &[1, 1, 0, 0, 0], &x.to_le_bytes(), &y.to_le_bytes()].concat()),
        Known::Vector(numbers) => Some(numbers.iter().flat_map(|number| number.to_le_bytes()).collect()),
    };
    bytes.expect("no NULL")
}

/// The server's binary form of `{"a": number, "b": text}`.
pub(super) fn document(number: i16, text: &str) -> Vec<u8> {
    assert!(text.len() < 128, "one byte of length");
    let size = 21 + text.len() as u16;
    let mut out = vec![0u8, 2, 0];
    out.extend(size.to_le_bytes());
    out.extend([18, 0, 1, 0, 19, 0, 1, 0, 5]);
    out.extend(number.to_le_bytes());
    out.extend([12, 20, 0, b'a', b'b', text.len() as u8]);
    out.extend(text.as_bytes());
    out
}

/// The bytes of base64 with padding.
pub(super) fn unbase64(text: &str) -> Vec<u8> {
    assert_eq!(text.len() % 4, 0, "{text}");
    let sextet = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        other => panic!("{other} is no base64"),
    };
    let digits: Vec<u8> = text.trim_end_matches('=').bytes().map(sextet).collect();
    let bits =
        |group: &[u8]| group.iter().fold(0u32, |bits, &digit| bits << 6 | u32::from(digit)) << (6 * (4 - group.len()));
    digits.chunks(4).flat_map(|group| bits(group).to_be_bytes()[1..group.len()].to_vec()).collect()
}

/// The text of a member of a message, a number or a literal: exact, where reading it as a float would round.
pub(super) fn raw<'m>(message: &'m str, object: &str, name: &str) -> &'m str {
    let start = message.find(&format!("\"{object}\":{{")).expect("the object");
    let name = format!("\"{name}\":");
    let start = start + message[start..].find(&name).expect("the member") + name.len();
    let end = message[start..].find([',', '}']).expect("an end");
    &message[start..start + end]
}
