//! What is the same for all messages of a table's shape, rendered once.

use crate::change::column_type::ColumnType;
use crate::change::plan::TablePlan;
use crate::change::schema::Column;
use crate::format::json::{write_escaped, write_string};
use crate::format::text::EnumForm;

/// Ready bytes of one plan's messages.
#[derive(Debug)]
pub(super) struct Fragments {
    /// The plan's id.
    pub(super) plan: u64,
    /// `,"name":` of each column; none for those that are not written.
    pub(super) names: Vec<Option<Box<[u8]>>>,
    /// From the end of `data` to the number of `es`.
    pub(super) database: Vec<u8>,
    /// From the number of `id` to the value of `old`.
    pub(super) mysql_type: Vec<u8>,
    /// From the value of `old` to the number of `ts`.
    pub(super) keys_and_table: Vec<u8>,
}

impl Fragments {
    pub(super) fn new(plan: &TablePlan, emit_hidden: bool, enums: EnumForm) -> Self {
        let written = |column: &&Column| emit_hidden || !column.hidden;
        let names = plan
            .columns
            .iter()
            .map(|column| {
                written(&column).then(|| {
                    let mut name = vec![b','];
                    write_string(&column.name, &mut name);
                    name.push(b':');
                    name.into_boxed_slice()
                })
            })
            .collect();

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
        Self { plan: plan.id, names, database, mysql_type, keys_and_table: rest }
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
