//! What is the same for all messages of a table's shape, rendered once.

use crate::binlog::column::{ColumnDef, WireType};
use crate::change::column_type::ColumnType;
use crate::change::plan::TablePlan;
use crate::change::schema::Column;
use crate::format::json::{write_escaped, write_string};
use crate::format::text::EnumForm;
use crate::format::window::Piece;

/// How much longer than its bytes in the row a value's text usually is, quotes included.
const VALUE: usize = 24;

/// Ready bytes of one plan's messages.
#[derive(Debug)]
pub(super) struct Fragments {
    /// Each column; none for those that are not written.
    pub(super) columns: Vec<Option<Member>>,
    /// Bytes of `data` but for its values.
    pub(super) names: usize,
    /// From the end of `data` to the number of `es`.
    pub(super) database: Vec<u8>,
    /// From the number of `id` to the value of `old`.
    pub(super) mysql_type: Vec<u8>,
    /// From the value of `old` to the number of `ts`.
    pub(super) keys_and_table: Vec<u8>,
}

/// A column as a member of `data` and `old`.
#[derive(Debug)]
pub(super) struct Member {
    /// `,"name":"`, its value's first quote included.
    pub(super) name: Piece,
    /// How its bytes become text.
    pub(super) way: Way,
}

/// The short ways from the bytes of a column's values to their text, chosen once.
#[derive(Debug)]
pub(super) enum Way {
    /// An integer without a sign.
    Unsigned,
    /// An integer with a sign.
    Signed,
    /// UTF-8.
    Utf8,
    /// Text of another character set in which ASCII is ASCII.
    AsciiSuperset,
    /// ENUM by its labels, which stand here as they are written, from the number 1.
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

impl Way {
    fn of(column: &Column, def: &ColumnDef, enums: EnumForm) -> Self {
        match (def.wire(), column.kind) {
            (WireType::TINY | WireType::SHORT | WireType::INT24 | WireType::LONG | WireType::LONGLONG, _) => {
                if def.unsigned == Some(true) { Way::Unsigned } else { Way::Signed }
            }
            (
                WireType::STRING
                | WireType::VARCHAR
                | WireType::VAR_STRING
                | WireType::TINY_BLOB
                | WireType::BLOB
                | WireType::MEDIUM_BLOB
                | WireType::LONG_BLOB,
                ColumnType::Char { .. } | ColumnType::VarChar { .. } | ColumnType::Text { .. },
            ) => match column.charset {
                charset if charset.is_utf8() => Way::Utf8,
                charset if charset.holds_ascii() => Way::AsciiSuperset,
                _ => Way::Value,
            },
            (WireType::ENUM, _) if enums == EnumForm::Label => {
                let escaped = |label: &str| {
                    let mut text = Vec::new();
                    write_escaped(label, &mut text);
                    Piece::new(&text)
                };
                Way::Label(column.labels.iter().map(|label| escaped(label)).collect())
            }
            (WireType::DATETIME2, _) => Way::DateTime(def.meta() as u8),
            (WireType::TIMESTAMP2, _) => Way::Timestamp(def.meta() as u8),
            (WireType::DOUBLE, _) => Way::Double,
            (WireType::NEWDECIMAL, _) => Way::Decimal((def.meta() >> 8) as u8, def.meta() as u8),
            _ => Way::Value,
        }
    }
}

impl Fragments {
    pub(super) fn new(plan: &TablePlan, emit_hidden: bool, enums: EnumForm) -> Self {
        let written = |column: &&Column| column.is_sent(emit_hidden);
        let member = |(column, def): (&Column, &ColumnDef)| {
            let mut name = vec![b','];
            write_string(&column.name, &mut name);
            name.extend_from_slice(b":\"");
            Member { name: Piece::new(&name), way: Way::of(column, def, enums) }
        };
        let columns = plan.columns.iter().zip(&plan.defs);
        let columns: Vec<_> = columns.map(|column| written(&column.0).then(|| member(column))).collect();

        let mut database = b"],\"database\":".to_vec();
        write_string(&plan.name.database, &mut database);
        database.extend_from_slice(b",\"es\":");

        let mut mysql_type = b",\"isDdl\":false,\"mysqlType\":{".to_vec();
        for (place, column) in plan.columns.iter().filter(written).enumerate() {
            write_member(place, &column.name, &mut mysql_type);
            write_string(&column.declared, &mut mysql_type);
        }
        mysql_type.extend_from_slice(b"},\"old\":");

        let mut rest = b",\"pkNames\":".to_vec();
        let keys = || plan.key.iter().filter_map(|&at| plan.columns.get(at)).filter(written);
        if keys().next().is_none() {
            rest.extend_from_slice(b"null");
        } else {
            for (place, column) in keys().enumerate() {
                rest.push(if place == 0 { b'[' } else { b',' });
                write_string(&column.name, &mut rest);
            }
            rest.push(b']');
        }
        rest.extend_from_slice(b",\"sql\":\"\",\"sqlType\":{");
        for (place, column) in plan.columns.iter().filter(written).enumerate() {
            write_member(place, &column.name, &mut rest);
            let code = jdbc_type(column.kind, enums);
            rest.extend_from_slice(itoa::Buffer::new().format(code).as_bytes());
        }
        rest.extend_from_slice(b"},\"table\":\"");
        write_escaped(&plan.name.table, &mut rest);
        rest.extend_from_slice(b"\",\"ts\":");
        let names: usize = columns.iter().flatten().map(|column| column.name.len() + VALUE).sum();
        Self { columns, names, database, mysql_type, keys_and_table: rest }
    }
}

fn write_member(place: usize, name: &str, out: &mut Vec<u8>) {
    if place > 0 {
        out.push(b',');
    }
    write_string(name, out);
    out.push(b':');
}

/// The code of `java.sql.Types` after conversion: an unsigned type counts as the next larger one, whatever the value.
fn jdbc_type(kind: ColumnType, enums: EnumForm) -> i32 {
    const BIT: i32 = -7;
    const TINYINT: i32 = -6;
    const BIGINT: i32 = -5;
    const CHAR: i32 = 1;
    const DECIMAL: i32 = 3;
    const INTEGER: i32 = 4;
    const SMALLINT: i32 = 5;
    const REAL: i32 = 7;
    const DOUBLE: i32 = 8;
    const VARCHAR: i32 = 12;
    const DATE: i32 = 91;
    const TIME: i32 = 92;
    const TIMESTAMP: i32 = 93;
    const BLOB: i32 = 2004;
    const CLOB: i32 = 2005;
    match kind {
        ColumnType::TinyInt { unsigned: false } => TINYINT,
        ColumnType::TinyInt { unsigned: true } | ColumnType::SmallInt { unsigned: false } => SMALLINT,
        ColumnType::SmallInt { unsigned: true }
        | ColumnType::MediumInt { .. }
        | ColumnType::Int { unsigned: false } => INTEGER,
        ColumnType::Int { unsigned: true } | ColumnType::BigInt { unsigned: false } => BIGINT,
        ColumnType::BigInt { unsigned: true } | ColumnType::Decimal { .. } => DECIMAL,
        ColumnType::Float { .. } => REAL,
        ColumnType::Double { .. } => DOUBLE,
        ColumnType::Bit { .. } => BIT,
        ColumnType::Date => DATE,
        ColumnType::Time { .. } => TIME,
        ColumnType::DateTime { .. } | ColumnType::Timestamp { .. } => TIMESTAMP,
        ColumnType::Char { .. } => CHAR,
        ColumnType::Text { .. } => CLOB,
        ColumnType::Binary { .. }
        | ColumnType::VarBinary { .. }
        | ColumnType::Blob { .. }
        | ColumnType::Geometry { .. }
        | ColumnType::Vector { .. } => BLOB,
        ColumnType::Enum if enums == EnumForm::Ordinal => INTEGER,
        ColumnType::Set if enums == EnumForm::Ordinal => BIT,
        ColumnType::Enum
        | ColumnType::Set
        | ColumnType::VarChar { .. }
        | ColumnType::Year
        | ColumnType::Json
        | ColumnType::Inet6
        | ColumnType::Inet4
        | ColumnType::Uuid => VARCHAR,
    }
}
