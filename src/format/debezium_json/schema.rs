//! Kafka Connect schemas, in the JSON of its own converter: of a table's columns, of the envelope around them, and of
//! the records about statements and transactions.
//!
//! Names are neither shortened nor cleaned (`schema.name.adjustment.mode=none`, the default there).

use super::source::Connector;
use super::{DebeziumOptions, DecimalForm};
use crate::change::column_type::ColumnType;
use crate::change::schema::Column;
use crate::format::json::{write_escaped, write_number, write_string};

/// The fields of `source`, less its name.
const SOURCE_FIELDS: &str = concat!(
    r#"{"type":"struct","fields":[{"type":"string","optional":false,"field":"version"},"#,
    r#"{"type":"string","optional":false,"field":"connector"},{"type":"string","optional":false,"field":"name"},"#,
    r#"{"type":"int64","optional":false,"field":"ts_ms"},{"type":"string","optional":true,"#,
    r#""name":"io.debezium.data.Enum","version":1,"parameters":{"allowed":"true,first,first_in_data_collection,"#,
    r#"last_in_data_collection,last,false,incremental"},"default":"false","field":"snapshot"},"#,
    r#"{"type":"string","optional":false,"field":"db"},{"type":"string","optional":true,"field":"sequence"},"#,
    r#"{"type":"int64","optional":true,"field":"ts_us"},{"type":"int64","optional":true,"field":"ts_ns"},"#,
    r#"{"type":"string","optional":true,"field":"table"},{"type":"int64","optional":false,"field":"server_id"},"#,
    r#"{"type":"string","optional":true,"field":"gtid"},{"type":"string","optional":false,"field":"file"},"#,
    r#"{"type":"int64","optional":false,"field":"pos"},{"type":"int32","optional":false,"field":"row"},"#,
    r#"{"type":"int64","optional":true,"field":"thread"},{"type":"string","optional":true,"field":"query"}],"#,
    r#""optional":false,"name":"io.debezium.connector."#
);

/// The rest of the envelope, behind `source`.
const ENVELOPE_END: &str = concat!(
    r#",{"type":"struct","fields":[{"type":"string","optional":false,"field":"id"},"#,
    r#"{"type":"int64","optional":false,"field":"total_order"},"#,
    r#"{"type":"int64","optional":false,"field":"data_collection_order"}],"optional":true,"#,
    r#""name":"event.block","version":1,"field":"transaction"},"#,
    r#"{"type":"string","optional":false,"field":"op"},{"type":"int64","optional":true,"field":"ts_ms"},"#,
    r#"{"type":"int64","optional":true,"field":"ts_us"},{"type":"int64","optional":true,"field":"ts_ns"}],"#,
    r#""optional":false,"name":"#
);

/// The fields of a schema change, behind `source`.
const CHANGE_END: &str = concat!(
    r#",{"type":"int64","optional":false,"field":"ts_ms"},{"type":"string","optional":true,"field":"databaseName"},"#,
    r#"{"type":"string","optional":true,"field":"schemaName"},{"type":"string","optional":true,"field":"ddl"},"#,
    r#"{"type":"array","items":{"type":"struct","fields":[{"type":"string","optional":false,"field":"type"},"#,
    r#"{"type":"string","optional":false,"field":"id"},{"type":"struct","fields":["#,
    r#"{"type":"string","optional":true,"field":"defaultCharsetName"},"#,
    r#"{"type":"array","items":{"type":"string","optional":false},"optional":true,"field":"primaryKeyColumnNames"},"#,
    r#"{"type":"array","items":{"type":"struct","fields":[{"type":"string","optional":false,"field":"name"},"#,
    r#"{"type":"int32","optional":false,"field":"jdbcType"},{"type":"int32","optional":true,"field":"nativeType"},"#,
    r#"{"type":"string","optional":false,"field":"typeName"},"#,
    r#"{"type":"string","optional":true,"field":"typeExpression"},"#,
    r#"{"type":"string","optional":true,"field":"charsetName"},{"type":"int32","optional":true,"field":"length"},"#,
    r#"{"type":"int32","optional":true,"field":"scale"},{"type":"int32","optional":false,"field":"position"},"#,
    r#"{"type":"boolean","optional":true,"field":"optional"},"#,
    r#"{"type":"boolean","optional":true,"field":"autoIncremented"},"#,
    r#"{"type":"boolean","optional":true,"field":"generated"},{"type":"string","optional":true,"field":"comment"},"#,
    r#"{"type":"string","optional":true,"field":"defaultValueExpression"},"#,
    r#"{"type":"array","items":{"type":"string","optional":false},"optional":true,"field":"enumValues"}],"#,
    r#""optional":false,"name":"io.debezium.connector.schema.Column","version":1},"optional":false,"#,
    r#""field":"columns"},{"type":"string","optional":true,"field":"comment"}],"optional":true,"#,
    r#""name":"io.debezium.connector.schema.Table","version":1,"field":"table"}],"optional":false,"#,
    r#""name":"io.debezium.connector.schema.Change","version":1},"optional":false,"field":"tableChanges"}],"#,
    r#""optional":false,"name":"io.debezium.connector."#
);

/// The envelope of a transaction's beginning or end, up to its payload.
pub(super) const TRANSACTION: &str = concat!(
    r#"{"schema":{"type":"struct","fields":[{"type":"string","optional":false,"field":"status"},"#,
    r#"{"type":"string","optional":false,"field":"id"},{"type":"int64","optional":true,"field":"event_count"},"#,
    r#"{"type":"array","items":{"type":"struct","fields":["#,
    r#"{"type":"string","optional":false,"field":"data_collection"},"#,
    r#"{"type":"int64","optional":false,"field":"event_count"}],"optional":false,"#,
    r#""name":"event.collection","version":1},"optional":true,"field":"data_collections"},"#,
    r#"{"type":"int64","optional":false,"field":"ts_ms"}],"optional":false,"#,
    r#""name":"io.debezium.connector.common.TransactionMetadataValue","version":1},"payload":"#
);

/// The same for its key.
pub(super) const TRANSACTION_KEY: &str = concat!(
    r#"{"schema":{"type":"struct","fields":[{"type":"string","optional":false,"field":"id"}],"optional":false,"#,
    r#""name":"io.debezium.connector.common.TransactionMetadataKey","version":1},"payload":"#
);

/// What the schemas of one table are made for.
pub(super) struct Table<'t> {
    pub(super) options: &'t DebeziumOptions,
    pub(super) connector: Connector,
    /// `server.database.table`.
    pub(super) name: &'t str,
}

impl Table<'_> {
    /// `{"schema":` of a row's value, up to its payload.
    pub(super) fn envelope<'c>(&self, columns: impl Iterator<Item = &'c Column> + Clone) -> Vec<u8> {
        let mut out = br#"{"schema":{"type":"struct","fields":["#.to_vec();
        for image in ["before", "after"] {
            out.extend_from_slice(br#"{"type":"struct","fields":["#);
            self.fields(columns.clone(), &mut out);
            out.extend_from_slice(br#"],"optional":true,"name":"#);
            self.write_name(".Value", &mut out);
            out.extend_from_slice(br#","field":"#);
            write_string(image, &mut out);
            out.extend_from_slice(b"},");
        }
        write_source(self.connector, &mut out);
        out.extend_from_slice(ENVELOPE_END.as_bytes());
        self.write_name(".Envelope", &mut out);
        out.extend_from_slice(br#","version":2},"payload":"#);
        out
    }

    /// The same of a row's key, of these columns.
    pub(super) fn key<'c>(&self, columns: impl Iterator<Item = &'c Column>) -> Vec<u8> {
        let mut out = br#"{"schema":{"type":"struct","fields":["#.to_vec();
        self.fields(columns, &mut out);
        out.extend_from_slice(br#"],"optional":false,"name":"#);
        self.write_name(".Key", &mut out);
        out.extend_from_slice(br#"},"payload":"#);
        out
    }

    fn write_name(&self, suffix: &str, out: &mut Vec<u8>) {
        out.push(b'"');
        write_escaped(self.name, out);
        out.extend_from_slice(suffix.as_bytes());
        out.push(b'"');
    }

    fn fields<'c>(&self, columns: impl Iterator<Item = &'c Column>, out: &mut Vec<u8>) {
        for (place, column) in columns.enumerate() {
            if place > 0 {
                out.push(b',');
            }
            write_field(column, self.options.decimal, out);
        }
    }
}

/// `{"schema":` of a schema change, up to its payload.
pub(super) fn schema_change(connector: Connector) -> Vec<u8> {
    let mut out = br#"{"schema":{"type":"struct","fields":["#.to_vec();
    write_source(connector, &mut out);
    out.extend_from_slice(CHANGE_END.as_bytes());
    out.extend_from_slice(connector.name().as_bytes());
    out.extend_from_slice(br#".SchemaChangeValue","version":1},"payload":"#);
    out
}

/// The same of its key.
pub(super) fn schema_change_key(connector: Connector) -> Vec<u8> {
    let mut out =
        br#"{"schema":{"type":"struct","fields":[{"type":"string","optional":false,"field":"databaseName"}],"#.to_vec();
    out.extend_from_slice(br#""optional":false,"name":"io.debezium.connector."#);
    out.extend_from_slice(connector.name().as_bytes());
    out.extend_from_slice(br#".SchemaChangeKey","version":1},"payload":"#);
    out
}

fn write_source(connector: Connector, out: &mut Vec<u8>) {
    out.extend_from_slice(SOURCE_FIELDS.as_bytes());
    out.extend_from_slice(connector.name().as_bytes());
    out.extend_from_slice(br#".Source","version":1,"field":"source"}"#);
}

/// The literal type, and what stands between `optional` and `field`: the semantic type with its parameters.
fn write_field(column: &Column, decimals: DecimalForm, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":");
    write_string(literal(column, decimals), out);
    match column.kind {
        ColumnType::Geometry { .. } => out.extend_from_slice(
            concat!(
                r#","fields":[{"type":"bytes","optional":false,"field":"wkb"},"#,
                r#"{"type":"int32","optional":true,"field":"srid"}]"#
            )
            .as_bytes(),
        ),
        ColumnType::Vector { .. } => out.extend_from_slice(br#","items":{"type":"float","optional":false}"#),
        _ => {}
    }
    out.extend_from_slice(if column.nullable { b",\"optional\":true" } else { b",\"optional\":false" });
    if let Some(name) = semantic(column.kind, decimals) {
        out.extend_from_slice(b",\"name\":");
        write_string(name, out);
        out.extend_from_slice(b",\"version\":1");
        write_parameters(column, out);
    }
    out.extend_from_slice(b",\"field\":");
    write_string(&column.name, out);
    out.push(b'}');
}

fn literal(column: &Column, decimals: DecimalForm) -> &'static str {
    match column.kind {
        ColumnType::TinyInt { .. } | ColumnType::SmallInt { unsigned: false } => "int16",
        ColumnType::SmallInt { unsigned: true }
        | ColumnType::MediumInt { .. }
        | ColumnType::Int { unsigned: false }
        | ColumnType::Year
        | ColumnType::Date => "int32",
        ColumnType::Int { unsigned: true }
        | ColumnType::BigInt { .. }
        | ColumnType::Time { .. }
        | ColumnType::DateTime { .. } => "int64",
        // FLOAT(M,D), as documented; only a schema version tells it.
        ColumnType::Float { .. } if column.declared.contains(',') => "double",
        ColumnType::Float { .. } => "float",
        ColumnType::Double { .. } => "double",
        ColumnType::Decimal { .. } => match decimals {
            DecimalForm::Precise => "bytes",
            DecimalForm::String => "string",
            DecimalForm::Double => "double",
        },
        ColumnType::Bit { bits: 1 } => "boolean",
        ColumnType::Bit { .. } | ColumnType::Binary { .. } | ColumnType::VarBinary { .. } | ColumnType::Blob { .. } => {
            "bytes"
        }
        ColumnType::Timestamp { .. }
        | ColumnType::Char { .. }
        | ColumnType::VarChar { .. }
        | ColumnType::Text { .. }
        | ColumnType::Enum
        | ColumnType::Set
        | ColumnType::Json
        | ColumnType::Inet6
        | ColumnType::Inet4
        | ColumnType::Uuid => "string",
        ColumnType::Geometry { .. } => "struct",
        ColumnType::Vector { .. } => "array",
    }
}

fn semantic(kind: ColumnType, decimals: DecimalForm) -> Option<&'static str> {
    Some(match kind {
        ColumnType::Decimal { .. } if decimals == DecimalForm::Precise => "org.apache.kafka.connect.data.Decimal",
        ColumnType::Bit { bits } if bits > 1 => "io.debezium.data.Bits",
        ColumnType::Year => "io.debezium.time.Year",
        ColumnType::Date => "io.debezium.time.Date",
        ColumnType::Time { .. } => "io.debezium.time.MicroTime",
        ColumnType::DateTime { fsp: 0..=3 } => "io.debezium.time.Timestamp",
        ColumnType::DateTime { .. } => "io.debezium.time.MicroTimestamp",
        ColumnType::Timestamp { .. } => "io.debezium.time.ZonedTimestamp",
        ColumnType::Enum => "io.debezium.data.Enum",
        ColumnType::Set => "io.debezium.data.EnumSet",
        ColumnType::Json => "io.debezium.data.Json",
        ColumnType::Geometry { .. } => "io.debezium.data.geometry.Geometry",
        ColumnType::Vector { .. } => "io.debezium.data.FloatVector",
        _ => return None,
    })
}

fn write_parameters(column: &Column, out: &mut Vec<u8>) {
    match column.kind {
        ColumnType::Decimal { precision, scale, .. } => {
            out.extend_from_slice(b",\"parameters\":{\"scale\":\"");
            write_number(scale, out);
            out.extend_from_slice(b"\",\"connect.decimal.precision\":\"");
            write_number(precision, out);
            out.extend_from_slice(b"\"}");
        }
        ColumnType::Bit { bits } => {
            out.extend_from_slice(b",\"parameters\":{\"length\":\"");
            write_number(bits, out);
            out.extend_from_slice(b"\"}");
        }
        ColumnType::Enum | ColumnType::Set => {
            out.extend_from_slice(b",\"parameters\":{\"allowed\":\"");
            for (place, label) in column.labels.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                write_escaped(label, out);
            }
            out.extend_from_slice(b"\"}");
        }
        _ => {}
    }
}
