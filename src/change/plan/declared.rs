//! A plan from a table's definition alone: what its rows will be read with, before there is any.

use std::sync::Arc;

use super::{PlanError, PlanFault, TablePlan, next_id, resolve};
use crate::binlog::DecodeError;
use crate::binlog::column::{ColumnDef, WireType};
use crate::change::charset::Charset;
use crate::change::column_type::ColumnType;
use crate::change::schema::TableName;
use crate::log::TableDefinition;

impl TablePlan {
    /// The plan of a table as it is defined, with the types that MySQL 5.6 and later write for it.
    ///
    /// # Errors
    /// A type or a character set that is not known.
    pub fn of_definition(definition: &TableDefinition) -> Result<Arc<Self>, PlanError> {
        let name = TableName::new(definition.database.as_str(), definition.table.as_str());
        let fail = |fault| PlanError { table: name.clone(), fault };
        let parts = resolve::of_definition(definition).map_err(fail)?;
        Ok(Arc::new(Self {
            id: next_id(),
            source: name.clone(),
            name,
            columns: parts.columns,
            key: parts.key,
            unique_keys: parts.unique_keys,
            schema_version: parts.schema_version,
            defs: parts.defs,
        }))
    }
}

/// How values of a declared type are written in rows. MariaDB's own types as that server writes them.
///
/// # Errors
/// Details that no column of that type has.
pub fn wire_of(kind: ColumnType, charset: Charset, labels: usize) -> Result<ColumnDef, DecodeError> {
    let bytes = |characters: u32| u16::try_from(characters.saturating_mul(charset.max_bytes())).unwrap_or(u16::MAX);
    let plain = |length: u32| u16::try_from(length).unwrap_or(u16::MAX);
    let (wire, meta) = match kind {
        ColumnType::TinyInt { .. } => (WireType::TINY, 0),
        ColumnType::SmallInt { .. } => (WireType::SHORT, 0),
        ColumnType::MediumInt { .. } => (WireType::INT24, 0),
        ColumnType::Int { .. } => (WireType::LONG, 0),
        ColumnType::BigInt { .. } => (WireType::LONGLONG, 0),
        ColumnType::Decimal { precision, scale, .. } => {
            (WireType::NEWDECIMAL, u16::from(precision) << 8 | u16::from(scale))
        }
        ColumnType::Float { .. } => (WireType::FLOAT, 4),
        ColumnType::Double { .. } => (WireType::DOUBLE, 8),
        ColumnType::Bit { bits } => (WireType::BIT, bits.into()),
        ColumnType::Year => (WireType::YEAR, 0),
        ColumnType::Date => (WireType::DATE, 0),
        ColumnType::Time { fsp } => (WireType::TIME2, fsp.into()),
        ColumnType::DateTime { fsp } => (WireType::DATETIME2, fsp.into()),
        ColumnType::Timestamp { fsp } => (WireType::TIMESTAMP2, fsp.into()),
        ColumnType::Char { length } => (WireType::STRING, bytes(length)),
        ColumnType::VarChar { length } => (WireType::VARCHAR, bytes(length)),
        ColumnType::Binary { length } => (WireType::STRING, plain(length)),
        ColumnType::VarBinary { length } => (WireType::VARCHAR, plain(length)),
        ColumnType::Text { size } | ColumnType::Blob { size } => (WireType::BLOB, size as u16),
        ColumnType::Enum => (WireType::ENUM, if labels > 255 { 2 } else { 1 }),
        ColumnType::Set => (WireType::SET, resolve::set_bytes(labels) as u16),
        ColumnType::Json => (WireType::JSON, 4),
        ColumnType::Geometry { .. } => (WireType::GEOMETRY, 4),
        ColumnType::Vector { .. } => (WireType::VECTOR, 4),
        ColumnType::Inet6 | ColumnType::Uuid => (WireType::STRING, 16),
        ColumnType::Inet4 => (WireType::STRING, 4),
    };
    let mut def = ColumnDef::new(wire, meta)?;
    def.unsigned = kind.unsigned();
    Ok(def)
}

/// A column whose wire type cannot be told.
pub(super) fn no_wire(column: &str) -> PlanFault {
    PlanFault::Metadata { column: column.to_owned(), what: "type" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{ColumnDefinition, KeyDefinition};

    fn definition(types: &[&str]) -> TableDefinition {
        let column = |(n, column_type): (usize, &&str)| ColumnDefinition {
            name: format!("c{n}"),
            column_type: (*column_type).to_owned(),
            charset: column_type.contains("char").then(|| "utf8mb4".to_owned()),
            collation: None,
            nullable: n > 0,
            invisible: false,
            generated: false,
        };
        TableDefinition {
            id: 7,
            database: "shop".into(),
            table: "t".into(),
            columns: types.iter().enumerate().map(column).collect(),
            keys: vec![KeyDefinition { name: "PRIMARY".into(), columns: vec![0] }],
            default_charset: Some("utf8mb4".into()),
            default_collation: None,
            unconfirmed: None,
            dropped: false,
        }
    }

    #[test]
    fn every_declared_type_has_a_plan() {
        let types = [
            "bigint unsigned",
            "tinyint(1)",
            "smallint",
            "mediumint",
            "int",
            "decimal(65,30)",
            "float",
            "double",
            "bit(64)",
            "year",
            "date",
            "time(6)",
            "datetime(3)",
            "timestamp",
            "char(255)",
            "varchar(16383)",
            "binary(255)",
            "varbinary(65535)",
            "tinytext",
            "text",
            "mediumtext",
            "longtext",
            "tinyblob",
            "blob",
            "mediumblob",
            "longblob",
            "enum('a','b')",
            "set('a','b','c','d','e','f','g','h','i')",
            "json",
            "geometry",
            "point",
            "vector(3)",
            "inet6",
            "inet4",
            "uuid",
        ];
        let plan = TablePlan::of_definition(&definition(&types)).expect("a plan");
        assert_eq!((plan.columns.len(), plan.defs.len(), &plan.key[..]), (types.len(), types.len(), &[0][..]));
        assert_eq!(plan.unique_keys[0].name, "PRIMARY".into());
        for (column, declared) in plan.columns.iter().zip(types) {
            assert_eq!(&*column.declared, declared);
        }
        assert_eq!(plan.defs[0].unsigned, Some(true));
        assert!(!plan.columns[0].nullable && plan.columns[1].nullable);
    }

    #[test]
    fn a_type_that_is_not_known_is_named() {
        let error = TablePlan::of_definition(&definition(&["int", "hologram"])).unwrap_err().to_string();
        assert!(error.contains("shop.t") && error.contains("c1") && error.contains("hologram"), "{error}");
    }
}
