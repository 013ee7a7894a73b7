//! Columns that a script adds: their types, and how their values lie in a row.

use super::value::Kind;
use crate::binlog::{ColumnDef, WireType};
use crate::change::charset::Charset;
use crate::change::column_type::{BlobSize, ColumnType};
use crate::change::schema::Column;

/// Collation id of utf8mb4_general_ci, which every server has.
const UTF8MB4: u16 = 45;
const UTF8MB4_NAME: &str = "utf8mb4_general_ci";

/// Most digits of a DECIMAL.
const PRECISION: u8 = 65;

/// A column of this name for values of a kind. What may be of several kinds is kept as text.
pub(super) fn new_column(name: &str, kind: Kind) -> (Column, ColumnDef) {
    let signed = false;
    let (kind, wire, meta) = match kind {
        Kind::Bool => (ColumnType::TinyInt { unsigned: false }, WireType::TINY, 0),
        Kind::Int => (ColumnType::BigInt { unsigned: false }, WireType::LONGLONG, 0),
        Kind::Decimal(scale) => {
            let column = ColumnType::Decimal { precision: PRECISION, scale, unsigned: signed };
            (column, WireType::NEWDECIMAL, u16::from(PRECISION) << 8 | u16::from(scale))
        }
        Kind::Float => (ColumnType::Double { unsigned: false }, WireType::DOUBLE, 8),
        Kind::Date => (ColumnType::Date, WireType::DATE, 0),
        Kind::Time(fsp) => (ColumnType::Time { fsp }, WireType::TIME2, fsp.into()),
        Kind::DateTime(fsp) => (ColumnType::DateTime { fsp }, WireType::DATETIME2, fsp.into()),
        Kind::Json => (ColumnType::Json, WireType::JSON, 4),
        Kind::Bytes => (ColumnType::Blob { size: BlobSize::Long }, WireType::BLOB, 4),
        Kind::Text | Kind::Null | Kind::Unknown => (ColumnType::Text { size: BlobSize::Long }, WireType::BLOB, 4),
    };
    let mut def = ColumnDef::new(wire, meta).expect("the details are those of the type");
    def.name = Some(name.into());
    def.unsigned = kind.unsigned();
    let mut column = Column {
        name: name.into(),
        declared: kind.declare(&[]).into(),
        kind,
        charset: Charset::BINARY,
        collation: None,
        labels: Vec::new(),
        nullable: true,
        hidden: false,
        generated: false,
        dropped: false,
    };
    if kind.is_text() {
        make_utf8(&mut column, &mut def);
    }
    (column, def)
}

/// Makes a text column hold UTF-8, whatever its length: a script's text may have characters that its own character set
/// lacks.
pub(super) fn make_utf8(column: &mut Column, def: &mut ColumnDef) {
    column.charset = Charset::UTF8MB4;
    column.collation = Some(UTF8MB4_NAME.into());
    let mut wide = ColumnDef::new(WireType::BLOB, 4).expect("a long blob");
    wide.name = def.name.take();
    wide.nullable = def.nullable;
    wide.key = def.key;
    wide.visible = def.visible;
    wide.collation = Some(UTF8MB4);
    *def = wide;
}
