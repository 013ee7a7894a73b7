//! What is the same for all records of a table's shape, encoded once.

use super::wire::{END, branch, write_bytes, write_joined, write_long};
use super::{AvroOptions, TextBranch};
use crate::binlog::column::{ColumnDef, WireType};
use crate::change::charset::Charset;
use crate::change::column_type::{BlobSize, ColumnType};
use crate::change::plan::TablePlan;
use crate::change::schema::Column;
use crate::format::json::write_string;
use crate::format::window::Piece;

/// Precision and scale that DTS writes for every float.
const FLOAT_PRECISION: i64 = 8;
const FLOAT_SCALE: i64 = 15;

/// Ready bytes of one plan's records.
#[derive(Debug)]
pub(super) struct Shape {
    /// `objectName`: branch and name.
    pub(super) object_name: Vec<u8>,
    /// The tag `pk_uk_info`: key and value; empty for a table without keys.
    pub(super) keys: Vec<u8>,
    /// `fields`: branch and array.
    pub(super) fields: Vec<u8>,
    /// The start of an image: branch and, unless the array is empty, its count.
    pub(super) image: Vec<u8>,
    /// Each column; none for those that are not written.
    pub(super) columns: Vec<Option<Member>>,
    /// About how many bytes an image takes beside its values.
    pub(super) overhead: usize,
}

/// A column as a value of an image.
#[derive(Debug)]
pub(super) struct Member {
    /// What stands before each of its values: the branch, and what is the same for all of the column.
    pub(super) head: Piece,
    /// How its bytes become what follows.
    pub(super) way: Way,
}

/// The short ways from the bytes of a column's values to those of the record, chosen once.
#[derive(Debug)]
pub(super) enum Way {
    /// An integer without a sign, as digits.
    Unsigned,
    /// An integer with a sign, as digits.
    Signed,
    /// Text in UTF-8, as it is.
    Utf8,
    /// Bytes, as they are.
    Bytes,
    /// ENUM: its labels as they are written, from the number 1.
    Label(Box<[Piece]>),
    /// DATETIME with so many digits of fraction.
    DateTime(u8),
    /// TIMESTAMP with so many digits of fraction.
    Timestamp(u8),
    /// DOUBLE.
    Double,
    /// DECIMAL of so many digits, so many of them behind the point.
    Decimal(u8, u8),
    /// The long way, by a typed value.
    Value,
}

/// What the values of a column are in a record: `dataTypeNumber`, and the bytes before each value.
struct Encoding {
    number: i64,
    head: Vec<u8>,
}

impl Encoding {
    fn of(column: &Column, text: TextBranch) -> Self {
        let integer = |number, precision: i64| {
            let mut head = vec![branch::INTEGER];
            write_long(precision, &mut head);
            Self { number, head }
        };
        let object = |number, branch, word: &str| {
            let mut head = vec![branch];
            write_bytes(word.as_bytes(), &mut head);
            Self { number, head }
        };
        let character = |number, charset| object(number, branch::CHARACTER, charset);
        let plain = |number, branch| Self { number, head: vec![branch] };
        match column.kind {
            ColumnType::TinyInt { .. } => integer(1, 1),
            ColumnType::SmallInt { .. } => integer(2, 2),
            ColumnType::MediumInt { .. } => integer(9, 3),
            ColumnType::Int { .. } => integer(3, 4),
            ColumnType::BigInt { .. } => integer(8, 8),
            ColumnType::Bit { .. } => integer(16, 8),
            ColumnType::Decimal { .. } => plain(246, branch::DECIMAL),
            ColumnType::Float { .. } => plain(4, branch::FLOAT),
            ColumnType::Double { .. } => plain(5, branch::FLOAT),
            ColumnType::Timestamp { .. } => plain(7, branch::TIMESTAMP),
            ColumnType::Date => plain(10, branch::DATE_TIME),
            ColumnType::Time { .. } => plain(11, branch::DATE_TIME),
            ColumnType::DateTime { .. } => plain(12, branch::DATE_TIME),
            ColumnType::Year => plain(13, branch::DATE_TIME),
            ColumnType::VarChar { .. } => character(253, charset_name(column.charset)),
            ColumnType::Char { .. } => character(254, charset_name(column.charset)),
            ColumnType::Text { size } => match text {
                TextBranch::Character => character(blob_number(size), charset_name(column.charset)),
                TextBranch::TextObject => object(blob_number(size), branch::TEXT_OBJECT, "TEXT"),
                TextBranch::BinaryObject => object(blob_number(size), branch::BINARY_OBJECT, "TEXT"),
            },
            ColumnType::Binary { .. } => object(254, branch::BINARY_OBJECT, "BINARY"),
            ColumnType::VarBinary { .. } => object(253, branch::BINARY_OBJECT, "BINARY"),
            ColumnType::Blob { size } => object(blob_number(size), branch::BINARY_OBJECT, "BLOB"),
            // The published numbers know no vectors; readers take those bytes as they take a BLOB's.
            ColumnType::Vector { .. } => object(blob_number(BlobSize::Plain), branch::BINARY_OBJECT, "BLOB"),
            ColumnType::Enum => object(247, branch::TEXT_OBJECT, "ENUM"),
            ColumnType::Set => object(248, branch::TEXT_OBJECT, "SET"),
            ColumnType::Json => object(245, branch::TEXT_OBJECT, "JSON"),
            ColumnType::Geometry { .. } => object(255, branch::BINARY_GEOMETRY, "WKB"),
            // As the server sends them to clients: as strings.
            ColumnType::Inet6 | ColumnType::Inet4 | ColumnType::Uuid => character(254, "utf8mb4"),
        }
    }
}

/// The names that the published readers know: `utf8mb3` is none of them.
fn charset_name(charset: Charset) -> &'static str {
    match charset.name() {
        "utf8mb3" => "utf8",
        name => name,
    }
}

fn blob_number(size: BlobSize) -> i64 {
    match size {
        BlobSize::Tiny => 249,
        BlobSize::Medium => 250,
        BlobSize::Long => 251,
        BlobSize::Plain => 252,
    }
}

impl Way {
    fn of(column: &Column, def: &ColumnDef) -> Self {
        let is_string = matches!(
            def.wire(),
            WireType::STRING
                | WireType::VARCHAR
                | WireType::VAR_STRING
                | WireType::TINY_BLOB
                | WireType::BLOB
                | WireType::MEDIUM_BLOB
                | WireType::LONG_BLOB
                | WireType::VECTOR
        );
        match (def.wire(), column.kind) {
            (WireType::TINY | WireType::SHORT | WireType::INT24 | WireType::LONG | WireType::LONGLONG, _) => {
                if def.unsigned == Some(true) { Way::Unsigned } else { Way::Signed }
            }
            (_, ColumnType::Char { .. } | ColumnType::VarChar { .. } | ColumnType::Text { .. })
                if is_string && column.charset.is_utf8() =>
            {
                Way::Utf8
            }
            (_, ColumnType::VarBinary { .. } | ColumnType::Blob { .. } | ColumnType::Vector { .. }) if is_string => {
                Way::Bytes
            }
            (WireType::ENUM, _) => {
                let encoded = |label: &str| {
                    let mut bytes = Vec::new();
                    write_bytes(label.as_bytes(), &mut bytes);
                    Piece::new(&bytes)
                };
                Way::Label(column.labels.iter().map(|label| encoded(label)).collect())
            }
            (WireType::DATETIME2, _) => Way::DateTime(def.meta() as u8),
            (WireType::TIMESTAMP2, _) => Way::Timestamp(def.meta() as u8),
            (WireType::DOUBLE, _) => Way::Double,
            (WireType::NEWDECIMAL, _) => Way::Decimal((def.meta() >> 8) as u8, def.meta() as u8),
            _ => Way::Value,
        }
    }
}

impl Shape {
    pub(super) fn new(plan: &TablePlan, options: &AvroOptions) -> Self {
        let is_written = |column: &Column| column.is_sent(options.emit_hidden_row_id);
        let written: Vec<&Column> = plan.columns.iter().filter(|column| is_written(column)).collect();
        let encodings: Vec<Encoding> = written.iter().map(|column| Encoding::of(column, options.avro_text)).collect();
        let mut fields = vec![branch::ARRAY];
        let mut image = vec![branch::ARRAY];
        if !written.is_empty() {
            write_long(written.len() as i64, &mut fields);
            write_long(written.len() as i64, &mut image);
        }
        for (column, encoding) in written.iter().zip(&encodings) {
            write_bytes(column.name.as_bytes(), &mut fields);
            write_long(encoding.number, &mut fields);
        }
        fields.push(END);
        let overhead = encodings.iter().map(|encoding| encoding.head.len() + 24).sum();
        let mut heads = encodings.iter();
        let member = |(column, def): (&Column, &ColumnDef)| {
            let encoding = if is_written(column) { heads.next()? } else { return None };
            Some(Member { head: Piece::new(&encoding.head), way: Way::of(column, def) })
        };
        Self {
            object_name: object_name(&[&plan.name.database, &plan.name.table]),
            keys: keys(plan, &is_written),
            fields,
            image,
            columns: plan.columns.iter().zip(&plan.defs).map(member).collect(),
            overhead,
        }
    }
}

/// `objectName` of these parts, joined by dots; a dot inside a part is written as six characters.
pub(super) fn object_name(parts: &[&str]) -> Vec<u8> {
    let name = parts.iter().map(|part| part.replace('.', "\\u002E")).collect::<Vec<_>>().join(".");
    let mut out = vec![branch::SECOND];
    write_bytes(name.as_bytes(), &mut out);
    out
}

/// The tag with the table's keys: JSON, PRIMARY first. A key with a column that is not written is left out.
fn keys(plan: &TablePlan, is_written: &dyn Fn(&Column) -> bool) -> Vec<u8> {
    let mut text = Vec::new();
    for key in &plan.unique_keys {
        let columns: Option<Vec<&Column>> = key.columns.iter().map(|&at| plan.columns.get(at)).collect();
        let Some(columns) = columns.filter(|columns| columns.iter().all(|column| is_written(column))) else { continue };
        text.push(if text.is_empty() { b'{' } else { b',' });
        write_string(&key.name, &mut text);
        text.extend_from_slice(b":[");
        for (place, column) in columns.iter().enumerate() {
            if place > 0 {
                text.push(b',');
            }
            write_string(&column.name, &mut text);
        }
        text.push(b']');
    }
    let mut out = Vec::new();
    if !text.is_empty() {
        write_bytes(b"pk_uk_info", &mut out);
        write_joined(&[&text, b"}"], &mut out);
    }
    out
}

/// What follows the eight bytes of every float.
pub(super) fn float_tail() -> [u8; 2] {
    [(FLOAT_PRECISION << 1) as u8, (FLOAT_SCALE << 1) as u8]
}
