//! DTS Avro: bare binary of one `Record` of the schema that DTS publishes for its subscribers, written straight into
//! the outgoing bytes.
//!
//! What is the same for all rows of a table's shape is encoded once (`shape`), what is the same for all rows of an
//! event once an event (`record`); a row then costs its values.
//!
//! | MySQL | value |
//! |---|---|
//! | integers, BIT | Integer, decimal digits; unsigned ones keep their upper half |
//! | DECIMAL | Decimal; `precision` counts the value's own digits without zeros in front, at least 1 |
//! | FLOAT, DOUBLE | Float; a FLOAT is widened, which changes no value |
//! | TIMESTAMP | Timestamp: seconds UTC, `millis` holds microseconds; 0 and 0 for the zero timestamp |
//! | DATE, TIME, DATETIME, YEAR | DateTime; parts that the type lacks are null, zero dates have zero parts, `millis` holds microseconds; every part of a negative TIME is negative |
//! | CHAR, VARCHAR, TEXT | Character: the bytes as they are, in the column's character set; `utf8mb3` is called `utf8` |
//! | BINARY, VARBINARY, BLOB | BinaryObject `BINARY` or `BLOB`; BINARY(n) has n bytes |
//! | ENUM, SET, JSON | TextObject with the labels or the text |
//! | geometries | BinaryGeometry `WKB`, without MySQL's SRID in front |
//! | VECTOR | as BLOB: readers know no vectors |
//! | MariaDB's INET4, INET6, UUID | as CHAR in utf8mb4, spelled as the server prints them |
//! | MariaDB's COMPRESSED columns | inflated, then by their type |
//! | NULL; not in the image | null; EmptyObject `NONE` |

mod record;
mod shape;
mod value;
mod wire;

use jiff::tz::TimeZone;
use relay_store::Seq;
use serde::{Deserialize, Serialize};

use super::tables::Tables;
use super::text::{BinaryForm, EnumForm, FormatError, OnBadText, Renderer, TextOptions};
use super::window::Window;
use crate::change::{DdlChange, EventPlace, Op, RowChange, RowsChange, TxBoundary, TxInfo};
use record::{EventHead, Operation, Tags, record_id, write_end, write_source, write_start};
use shape::Shape;
use wire::{branch, write_bytes};

/// The schema of the records, as it is registered: JSON, every type defined where it is used first.
pub const SCHEMA: &str = include_str!("dts_avro/record.avsc");

/// Full name of the schema's root, for registry subjects.
pub const SCHEMA_NAME: &str = "com.alibaba.dts.formats.avro.Record";

/// Which branch holds TINYTEXT to LONGTEXT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextBranch {
    /// Character: charset and bytes, as other text.
    #[default]
    Character,
    /// TextObject `TEXT`: UTF-8.
    TextObject,
    /// BinaryObject `TEXT`: the bytes in the column's character set.
    BinaryObject,
}

/// The settings of the format, by the names they have in the config.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AvroOptions {
    /// Which branch holds TINYTEXT to LONGTEXT.
    pub avro_text: TextBranch,
    /// Whether BEGIN and COMMIT records stand around each transaction.
    pub avro_tx_markers: bool,
    /// Seconds between HEARTBEAT records; 0 for none.
    pub avro_heartbeat_seconds: u32,
    /// Text that does not decode in its column's character set. Character values hold the bytes as they are either way,
    /// counted when they do not decode; what becomes UTF-8 is replaced as in other formats.
    pub on_bad_text: OnBadText,
    /// Whether hidden row ids of tables without a key are written.
    pub emit_hidden_row_id: bool,
}

/// Where the stream stood when a heartbeat is due.
#[derive(Debug, Clone, Copy)]
pub struct HeartbeatPlace<'a> {
    /// The last entry that was delivered.
    pub seq: Seq,
    /// Its file and server.
    pub tx: &'a TxInfo,
    /// End position of its event in that file.
    pub position: u64,
    /// Seconds since 1970 of the source's clock, as of the last event or heartbeat of the source.
    pub timestamp: u32,
}

/// The writer. One for each worker: it has scratch buffers and remembers tables.
#[derive(Debug)]
pub struct DtsAvro {
    options: AvroOptions,
    renderer: Renderer,
    bad_text: u64,
    scratch: Vec<u8>,
    decoded: String,
    tables: Tables<u64, Shape>,
    head: EventHead,
}

impl DtsAvro {
    /// A writer.
    pub fn new(options: &AvroOptions) -> Self {
        // No value shows a local time.
        let (zone, enums, binary) = (TimeZone::UTC, EnumForm::Label, BinaryForm::Latin1);
        let text = TextOptions { zone, enums, binary, on_bad_text: options.on_bad_text };
        Self {
            options: options.clone(),
            renderer: Renderer::new(text),
            bad_text: 0,
            scratch: Vec::new(),
            decoded: String::new(),
            tables: Tables::default(),
            head: EventHead::default(),
        }
    }

    /// How many values had text that did not decode.
    pub fn bad_text(&self) -> u64 {
        self.bad_text + self.renderer.bad_text()
    }

    /// Appends the record of one row; `now_ms` is when it is made, Unix ms. Rows of the initial copy are INIT.
    ///
    /// # Errors
    /// A row that cannot be written; `out` is then as before.
    pub fn write(
        &mut self,
        rows: &RowsChange<'_>,
        row: &RowChange<'_>,
        now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        let start = out.len();
        let shape = self.tables.take(rows.plan.id, || Shape::new(rows.plan, &self.options));
        self.head.update(&shape, rows, now_ms);
        let written = self.write_row(&shape, rows, row, out);
        self.tables.give_back(rows.plan.id, shape);
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    fn write_row(
        &mut self,
        shape: &Shape,
        rows: &RowsChange<'_>,
        row: &RowChange<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        let images = [row.before, row.after].into_iter().flatten();
        let values: usize = images.map(|image| image.size() + shape.overhead).sum();
        let mut window = Window::new(out, self.head.bytes.len() + values);
        window.put(&[0]);
        wire::put_long(record_id(rows.seq, row.index), &mut window);
        window.put_slice(&self.head.bytes);
        let columns = &rows.plan.columns;
        match rows.op {
            Op::Insert => {
                window.put(&[branch::NULL]);
                // Of a split update, what its after image lacks did not change.
                self.write_image(shape, columns, row, row.after, row.before, &mut window)?;
            }
            Op::Update => {
                self.write_image(shape, columns, row, row.before, None, &mut window)?;
                self.write_image(shape, columns, row, row.after, None, &mut window)?;
            }
            Op::Delete => {
                self.write_image(shape, columns, row, row.before, None, &mut window)?;
                window.put(&[branch::NULL]);
            }
        }
        window.put_slice(&self.head.end);
        window.finish();
        Ok(())
    }

    /// Appends the record of a statement. `database` is the schema that it acts on, "" for none.
    pub fn write_ddl(&self, ddl: &DdlChange<'_>, database: &str, now_ms: u64, out: &mut Vec<u8>) {
        let name = if database.is_empty() { vec![branch::NULL] } else { shape::object_name(&[database]) };
        let place = ddl.place;
        self.write_start(ddl.seq, Operation::Ddl, ddl.tx, place, place.position, &name, out);
        let mut tags = Tags::new(out);
        tags.gtid(&ddl.tx.gtid);
        if !ddl.tx.executed.is_empty() {
            tags.map.text("GTID_SET", ddl.tx.executed.as_bytes());
        }
        tags.session(ddl.tx, place);
        tags.reader(now_ms);
        tags.map.number("commitTimestamp", place.timestamp.into());
        if let Some(lower) = ddl.tx.lower_case_table_names {
            tags.map.text("lowerCaseTableNames", if lower { b"true" } else { b"false" });
        }
        tags.variables(ddl.tx);
        tags.map.finish();
        out.extend_from_slice(&[branch::NULL, branch::NULL, branch::SECOND]);
        write_bytes(ddl.sql.as_bytes(), out);
        write_end(place.timestamp, out);
    }

    /// Appends the BEGIN record of a transaction.
    pub fn write_begin(&self, begin: &TxBoundary<'_>, now_ms: u64, out: &mut Vec<u8>) {
        let (tx, place) = (begin.tx, begin.place);
        self.write_start(begin.seq, Operation::Begin, tx, place, tx.start, &[branch::NULL], out);
        let mut tags = Tags::new(out);
        tags.gtid(&tx.gtid);
        tags.session(tx, place);
        tags.reader(now_ms);
        tags.variables(tx);
        tags.map.finish();
        write_no_images(place.timestamp, out);
    }

    /// Appends the COMMIT record of a transaction.
    pub fn write_commit(&self, commit: &TxBoundary<'_>, now_ms: u64, out: &mut Vec<u8>) {
        let (tx, place) = (commit.tx, commit.place);
        self.write_start(commit.seq, Operation::Commit, tx, place, tx.start, &[branch::NULL], out);
        let mut tags = Tags::new(out);
        tags.session(tx, place);
        tags.reader(now_ms);
        tags.map.finish();
        write_no_images(place.timestamp, out);
    }

    /// Appends a HEARTBEAT record: up to here everything was delivered.
    pub fn write_heartbeat(&self, at: &HeartbeatPlace<'_>, now_ms: u64, out: &mut Vec<u8>) {
        let place = EventPlace { timestamp: at.timestamp, server_id: 0, position: at.position };
        self.write_start(at.seq, Operation::Heartbeat, at.tx, place, at.position, &[branch::NULL], out);
        let mut tags = Tags::new(out);
        tags.reader(now_ms);
        tags.map.finish();
        write_no_images(at.timestamp, out);
    }

    /// Appends all that stands before the tags.
    #[expect(clippy::too_many_arguments, reason = "each is a field of the record")]
    fn write_start(
        &self,
        seq: Seq,
        operation: Operation,
        tx: &TxInfo,
        place: EventPlace,
        safe: u64,
        object_name: &[u8],
        out: &mut Vec<u8>,
    ) {
        write_start(record_id(seq, 0), out);
        write_source(place.timestamp, tx, place.position, safe, out);
        out.push(operation as u8);
        out.extend_from_slice(object_name);
        out.push(branch::NULL);
    }
}

/// Appends what follows the tags in a record that is about no row.
fn write_no_images(timestamp: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[branch::NULL; 3]);
    write_end(timestamp, out);
}

#[cfg(test)]
mod tests;
