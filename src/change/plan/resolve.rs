//! How one plan is made: what the map says, what the schema version says, and whether they agree.

use super::declared::{no_wire, wire_of};
use super::{PlanFault, UniqueKey};
use crate::binlog::column::{ColumnDef, WireType};
use crate::binlog::event::{Dialect, FormatDescription};
use crate::binlog::table_map::TableMap;
use crate::change::charset::{Charset, collation};
use crate::change::column_type::{BlobSize, ColumnType, Shape};
use crate::change::schema::{Column, TableName, is_hidden_row_id};
use crate::log::{ColumnDefinition, TableDefinition};

/// What a plan is made of; see [`super::TablePlan`].
pub(super) struct Parts {
    pub(super) columns: Vec<Column>,
    pub(super) key: Vec<usize>,
    pub(super) unique_keys: Vec<UniqueKey>,
    pub(super) defs: Vec<ColumnDef>,
    pub(super) schema_version: Option<u64>,
}

/// Makes the parts of a plan.
pub(super) fn plan(
    name: &TableName,
    map: TableMap<'_>,
    version: Option<u64>,
    schema: Option<&TableDefinition>,
    description: &FormatDescription,
) -> Result<Parts, PlanFault> {
    if map.full {
        let agreeing = schema.filter(|schema| usable(name, schema).is_ok()).and_then(|schema| {
            let (columns, defs) = from_schema(&map, schema).ok()?;
            let same_names = columns.iter().zip(&map.columns).all(|(c, d)| d.name.as_deref() == Some(&*c.name));
            same_names.then_some((columns, defs, schema))
        });
        let (columns, defs, by_schema) = match agreeing {
            Some((columns, defs, schema)) => (columns, defs, Some(schema)),
            None => {
                let columns = from_metadata(&map, widths(description))?;
                (columns, map.columns, None)
            }
        };
        let primary = key_of_map(&defs);
        let unique_keys = unique_keys(primary.clone(), by_schema);
        let key = match primary {
            key if !key.is_empty() => key,
            _ => by_schema.map(key_of_schema).unwrap_or_default(),
        };
        return Ok(Parts { columns, key, unique_keys, defs, schema_version: by_schema.map(|schema| schema.id) });
    }
    let version = version.ok_or(PlanFault::NoSchema)?;
    let schema = schema.ok_or(PlanFault::SchemaMissing(version))?;
    usable(name, schema)?;
    let (columns, defs) = from_schema(&map, schema)?;
    let (key, unique_keys) = (key_of_schema(schema), unique_keys(Vec::new(), Some(schema)));
    Ok(Parts { columns, key, unique_keys, defs, schema_version: Some(schema.id) })
}

/// The parts of a plan for rows that nobody has seen yet.
pub(super) fn of_definition(schema: &TableDefinition) -> Result<Parts, PlanFault> {
    let mut columns = Vec::with_capacity(schema.columns.len());
    let mut defs = Vec::with_capacity(schema.columns.len());
    for declared in &schema.columns {
        let (kind, labels) = parse_type(declared)?;
        let charset = match kind.is_text() {
            true => declared_charset(None, declared, schema)?,
            false => Charset::BINARY,
        };
        let mut def = wire_of(kind, charset, labels.len()).map_err(|_| no_wire(&declared.name))?;
        def.nullable = declared.nullable;
        let (column, def) = declared_column(&def, declared, schema)?;
        columns.push(column);
        defs.push(def);
    }
    let (key, unique_keys) = (key_of_schema(schema), unique_keys(Vec::new(), Some(schema)));
    Ok(Parts { columns, key, unique_keys, defs, schema_version: Some(schema.id) })
}

fn parse_type(declared: &ColumnDefinition) -> Result<(ColumnType, Vec<Box<str>>), PlanFault> {
    ColumnType::parse(&declared.column_type).map_err(|_| PlanFault::UnknownType {
        column: declared.name.clone(),
        declared: shortened(&declared.column_type),
    })
}

/// Whether a schema version may be believed for this table.
fn usable(name: &TableName, schema: &TableDefinition) -> Result<(), PlanFault> {
    let version = schema.id;
    if let Some(reason) = &schema.unconfirmed {
        return Err(PlanFault::Unconfirmed { version, reason: reason.clone() });
    }
    if schema.dropped {
        return Err(PlanFault::OtherTable { version, described: format!("{name} as dropped") });
    }
    // Servers with lower_case_table_names differ in case between the map and the statement.
    if !schema.database.eq_ignore_ascii_case(&name.database) || !schema.table.eq_ignore_ascii_case(&name.table) {
        return Err(PlanFault::OtherTable { version, described: format!("{}.{}", schema.database, schema.table) });
    }
    Ok(())
}

fn key_of_map(defs: &[ColumnDef]) -> Vec<usize> {
    let mut parts: Vec<_> = defs.iter().enumerate().filter_map(|(at, d)| d.key.map(|key| (key.order, at))).collect();
    parts.sort_unstable();
    parts.into_iter().map(|(_, at)| at).collect()
}

fn key_of_schema(schema: &TableDefinition) -> Vec<usize> {
    let columns = schema.columns.len();
    let key = schema.effective_key().map(|key| key.columns.iter().map(|&at| at as usize).collect::<Vec<_>>());
    key.filter(|key| key.iter().all(|&at| at < columns)).unwrap_or_default()
}

/// The primary key as the map has it, else as the schema version has it, and the schema version's other keys by name.
fn unique_keys(primary: Vec<usize>, schema: Option<&TableDefinition>) -> Vec<UniqueKey> {
    let is_primary = |name: &str| name.eq_ignore_ascii_case(UniqueKey::PRIMARY);
    let declared = schema.into_iter().flat_map(|schema| {
        let width = schema.columns.len();
        schema.keys.iter().filter_map(move |key| {
            let columns: Vec<_> = key.columns.iter().map(|&at| at as usize).collect();
            columns.iter().all(|&at| at < width).then(|| UniqueKey { name: key.name.as_str().into(), columns })
        })
    });
    let mut keys: Vec<_> = declared.filter(|key| primary.is_empty() || !is_primary(&key.name)).collect();
    if !primary.is_empty() {
        keys.push(UniqueKey { name: UniqueKey::PRIMARY.into(), columns: primary });
    }
    keys.sort_by(|a, b| is_primary(&b.name).cmp(&is_primary(&a.name)).then_with(|| a.name.cmp(&b.name)));
    keys
}

/// Columns as the schema version declares them, checked one by one against the map.
fn from_schema(map: &TableMap<'_>, schema: &TableDefinition) -> Result<(Vec<Column>, Vec<ColumnDef>), PlanFault> {
    if map.columns.len() != schema.columns.len() {
        let (map, schema_columns) = (map.columns.len(), schema.columns.len());
        return Err(PlanFault::ColumnCount { map, schema: schema_columns, version: schema.id });
    }
    let mut columns = Vec::with_capacity(schema.columns.len());
    let mut defs = Vec::with_capacity(schema.columns.len());
    for (def, declared) in map.columns.iter().zip(&schema.columns) {
        let (column, def) = declared_column(def, declared, schema)?;
        columns.push(column);
        defs.push(def);
    }
    Ok((columns, defs))
}

fn declared_column(
    def: &ColumnDef,
    declared: &ColumnDefinition,
    schema: &TableDefinition,
) -> Result<(Column, ColumnDef), PlanFault> {
    let (kind, labels) = parse_type(declared)?;
    let charset = if kind.is_text() { declared_charset(def.collation, declared, schema)? } else { Charset::BINARY };
    let mismatch = || PlanFault::ColumnType {
        column: declared.name.clone(),
        declared: shortened(&declared.column_type),
        wire: describe(def),
        version: schema.id,
    };
    if !agrees(kind, charset, labels.len(), def) {
        return Err(mismatch());
    }
    let mut def = complete(def, kind).ok_or_else(mismatch)?;
    if def.unsigned.is_none() {
        def.unsigned = kind.unsigned();
    }
    let column = Column {
        hidden: is_hidden_row_id(&declared.name, Some(declared.invisible)),
        name: declared.name.as_str().into(),
        declared: declared.column_type.as_str().into(),
        collation: if kind.is_text() { declared_collation(&def, declared, charset, schema) } else { None },
        kind,
        charset,
        labels,
        nullable: def.nullable,
        generated: declared.generated,
        dropped: false,
    };
    Ok((column, def))
}

/// The column's own character set, else the map's, else the table's default: what a column without one gets.
fn declared_charset(
    of_map: Option<u16>,
    declared: &ColumnDefinition,
    schema: &TableDefinition,
) -> Result<Charset, PlanFault> {
    let column = || declared.name.clone();
    match (&declared.charset, of_map, &schema.default_charset) {
        (None, Some(id), _) => {
            Charset::of_collation(id).map_err(|unknown| PlanFault::Collation { column: column(), unknown })
        }
        (Some(charset), ..) | (None, None, Some(charset)) => {
            Charset::of_name(charset).map_err(|_| PlanFault::Charset { column: column(), charset: charset.clone() })
        }
        (None, None, None) => Err(PlanFault::Metadata { column: column(), what: "character set" }),
    }
}

/// The map's collation, else the column's own, else that of the table for a column in the table's character set. What
/// goes with another set by default is for the server's version to say, and stays unknown.
fn declared_collation(
    def: &ColumnDef,
    declared: &ColumnDefinition,
    charset: Charset,
    schema: &TableDefinition,
) -> Option<Box<str>> {
    let of_table = || {
        let same = schema.default_charset.as_deref().and_then(|name| Charset::of_name(name).ok()) == Some(charset);
        schema.default_collation.as_deref().filter(|_| same && declared.charset.is_none())
    };
    let of_map = def.collation.and_then(collation::name_of).map(Into::into);
    of_map.or_else(|| declared.collation.as_deref().or_else(of_table).map(|name| collation::canonical(name).into()))
}

/// Enough of a type for an error: an ENUM may have thousands of labels.
fn shortened(declared: &str) -> String {
    const CHARS_MAX: usize = 80;
    match declared.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}...", &declared[..end]),
        None => declared.to_owned(),
    }
}

/// MariaDB's temporal types of before 5.6 carry their fraction in no table map: the declared type has it.
fn complete(def: &ColumnDef, kind: ColumnType) -> Option<ColumnDef> {
    let mut whole = def.clone();
    if let (true, ColumnType::Time { fsp } | ColumnType::DateTime { fsp } | ColumnType::Timestamp { fsp }) =
        (def.wire().is_old_time(), kind)
    {
        whole.set_fraction_digits(fsp).ok()?;
    }
    Some(whole)
}

/// Whether values of this wire type can be those of the declared type.
fn agrees(kind: ColumnType, charset: Charset, labels: usize, def: &ColumnDef) -> bool {
    let (wire, meta) = (def.wire(), u32::from(def.meta()));
    if let (Some(on_wire), Some(declared)) = (def.unsigned, kind.unsigned())
        && on_wire != declared
    {
        return false;
    }
    if let (Some(collation), true) = (def.collation, kind.is_text())
        && Charset::of_collation(collation).is_ok_and(|on_wire| on_wire != charset)
    {
        return false;
    }
    let variable = |bytes: u32| match wire {
        WireType::VARCHAR | WireType::VAR_STRING => bytes == meta,
        // One byte more than declared: the method of compression.
        WireType::VARCHAR_COMPRESSED => bytes == meta || bytes + 1 == meta,
        _ => false,
    };
    let fixed = |bytes: u32| wire == WireType::STRING && bytes == meta;
    let blob = |size: BlobSize| match wire {
        WireType::BLOB | WireType::BLOB_COMPRESSED => meta == size as u32,
        WireType::TINY_BLOB => size == BlobSize::Tiny,
        WireType::MEDIUM_BLOB => size == BlobSize::Medium,
        WireType::LONG_BLOB => size == BlobSize::Long,
        _ => false,
    };
    match kind {
        ColumnType::TinyInt { .. } => wire == WireType::TINY,
        ColumnType::SmallInt { .. } => wire == WireType::SHORT,
        ColumnType::MediumInt { .. } => wire == WireType::INT24,
        ColumnType::Int { .. } => wire == WireType::LONG,
        ColumnType::BigInt { .. } => wire == WireType::LONGLONG,
        ColumnType::Decimal { precision, scale, .. } => {
            wire == WireType::NEWDECIMAL && meta == (u32::from(precision) << 8 | u32::from(scale))
        }
        ColumnType::Float { .. } => wire == WireType::FLOAT,
        ColumnType::Double { .. } => wire == WireType::DOUBLE,
        ColumnType::Bit { bits } => wire == WireType::BIT && meta == u32::from(bits),
        ColumnType::Year => wire == WireType::YEAR,
        ColumnType::Date => matches!(wire, WireType::DATE | WireType::NEWDATE),
        ColumnType::Time { fsp } => temporal(wire, meta, fsp, WireType::TIME, WireType::TIME2),
        ColumnType::DateTime { fsp } => temporal(wire, meta, fsp, WireType::DATETIME, WireType::DATETIME2),
        ColumnType::Timestamp { fsp } => temporal(wire, meta, fsp, WireType::TIMESTAMP, WireType::TIMESTAMP2),
        ColumnType::Char { length } => fixed(length.saturating_mul(charset.max_bytes())),
        ColumnType::VarChar { length } => variable(length.saturating_mul(charset.max_bytes())),
        ColumnType::Binary { length } => fixed(length),
        ColumnType::VarBinary { length } => variable(length),
        ColumnType::Text { size } | ColumnType::Blob { size } => blob(size),
        ColumnType::Enum => wire == WireType::ENUM && meta == if labels > 255 { 2 } else { 1 },
        ColumnType::Set => wire == WireType::SET && meta == set_bytes(labels),
        ColumnType::Json => wire == WireType::JSON,
        ColumnType::Geometry { .. } => wire == WireType::GEOMETRY,
        // MariaDB keeps vectors as binary strings.
        ColumnType::Vector { dimension } => wire == WireType::VECTOR || variable(dimension.saturating_mul(4)),
        ColumnType::Inet6 | ColumnType::Uuid => fixed(16),
        ColumnType::Inet4 => fixed(4),
    }
}

fn temporal(wire: WireType, meta: u32, fsp: u8, old: WireType, new: WireType) -> bool {
    wire == old || (wire == new && meta == u32::from(fsp))
}

pub(super) fn set_bytes(labels: usize) -> u32 {
    match labels.div_ceil(8) {
        bytes @ 0..=4 => bytes.max(1) as u32,
        _ => 8,
    }
}

fn describe(def: &ColumnDef) -> String {
    let sign = match def.unsigned {
        Some(true) => " unsigned",
        Some(false) => " signed",
        None => "",
    };
    let collation = def.collation.map(|id| format!(" in collation {id}")).unwrap_or_default();
    format!("wire type {} ({}){sign}{collation}", def.wire().0, def.meta())
}

/// Display widths that the server prints although none was declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Widths {
    /// MySQL 8.0.19 and later.
    None,
    /// MariaDB and older MySQL: the widths that integers have by default.
    Default,
}

fn widths(description: &FormatDescription) -> Widths {
    let mut parts = description.server_version.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0u32));
    let version = [(); 3].map(|()| parts.next().unwrap_or(0));
    if description.dialect == Dialect::MySql && version >= [8, 0, 19] { Widths::None } else { Widths::Default }
}

/// Columns by the map alone; declared types as the server would print them.
fn from_metadata(map: &TableMap<'_>, widths: Widths) -> Result<Vec<Column>, PlanFault> {
    map.columns.iter().map(|def| described_column(def, widths)).collect()
}

fn described_column(def: &ColumnDef, widths: Widths) -> Result<Column, PlanFault> {
    let name = def.name.as_deref().unwrap_or_default();
    let missing = |what| PlanFault::Metadata { column: name.to_owned(), what };
    let charset = match def.collation {
        Some(id) => {
            Charset::of_collation(id).map_err(|unknown| PlanFault::Collation { column: name.to_owned(), unknown })?
        }
        None => Charset::BINARY,
    };
    let kind = described_kind(def, charset).ok_or_else(|| missing("type"))?;
    if kind.is_text() && def.collation.is_none() {
        return Err(missing("collation"));
    }
    let mut labels = Vec::new();
    if matches!(kind, ColumnType::Enum | ColumnType::Set) {
        let mut scratch = String::new();
        for label in def.labels.as_deref().ok_or_else(|| missing("labels"))? {
            labels.push(charset.decode(label, &mut scratch).text.into());
        }
    }
    let declared = match widths {
        Widths::None => kind.declare(&labels),
        Widths::Default => with_default_width(kind, kind.declare(&labels)),
    };
    Ok(Column {
        hidden: is_hidden_row_id(name, def.visible.map(|visible| !visible)),
        name: name.into(),
        declared: declared.into(),
        charset: if kind.is_text() { charset } else { Charset::BINARY },
        collation: def.collation.filter(|_| kind.is_text()).and_then(collation::name_of).map(Into::into),
        kind,
        labels,
        nullable: def.nullable,
        generated: false,
        dropped: false,
    })
}

fn described_kind(def: &ColumnDef, charset: Charset) -> Option<ColumnType> {
    let meta = u32::from(def.meta());
    let fsp = meta as u8;
    let unsigned = def.unsigned.unwrap_or(false);
    let binary = charset.is_binary();
    let characters = meta / charset.max_bytes();
    let blob = |size| if binary { ColumnType::Blob { size } } else { ColumnType::Text { size } };
    Some(match def.wire() {
        WireType::TINY => ColumnType::TinyInt { unsigned },
        WireType::SHORT => ColumnType::SmallInt { unsigned },
        WireType::INT24 => ColumnType::MediumInt { unsigned },
        WireType::LONG => ColumnType::Int { unsigned },
        WireType::LONGLONG => ColumnType::BigInt { unsigned },
        WireType::NEWDECIMAL => ColumnType::Decimal { precision: (meta >> 8) as u8, scale: meta as u8, unsigned },
        WireType::FLOAT => ColumnType::Float { unsigned },
        WireType::DOUBLE => ColumnType::Double { unsigned },
        WireType::BIT => ColumnType::Bit { bits: meta as u8 },
        WireType::YEAR => ColumnType::Year,
        WireType::DATE | WireType::NEWDATE => ColumnType::Date,
        WireType::TIME | WireType::TIME2 => ColumnType::Time { fsp },
        WireType::DATETIME | WireType::DATETIME2 => ColumnType::DateTime { fsp },
        WireType::TIMESTAMP | WireType::TIMESTAMP2 => ColumnType::Timestamp { fsp },
        WireType::STRING if binary => ColumnType::Binary { length: meta },
        WireType::STRING => ColumnType::Char { length: characters },
        WireType::VARCHAR | WireType::VAR_STRING if binary => ColumnType::VarBinary { length: meta },
        WireType::VARCHAR | WireType::VAR_STRING => ColumnType::VarChar { length: characters },
        WireType::VARCHAR_COMPRESSED if binary => ColumnType::VarBinary { length: meta.saturating_sub(1) },
        WireType::VARCHAR_COMPRESSED => ColumnType::VarChar { length: meta.saturating_sub(1) / charset.max_bytes() },
        WireType::TINY_BLOB => blob(BlobSize::Tiny),
        WireType::MEDIUM_BLOB => blob(BlobSize::Medium),
        WireType::LONG_BLOB => blob(BlobSize::Long),
        WireType::BLOB | WireType::BLOB_COMPRESSED => blob(BlobSize::from_length_bytes(def.meta())?),
        WireType::ENUM => ColumnType::Enum,
        WireType::SET => ColumnType::Set,
        WireType::JSON => ColumnType::Json,
        WireType::GEOMETRY => {
            let shape =
                def.geometry_type.map_or(Some(Shape::Geometry), |number| Shape::from_metadata(number.into()))?;
            ColumnType::Geometry { shape }
        }
        WireType::VECTOR => ColumnType::Vector { dimension: def.dimension? },
        _ => return None,
    })
}

fn with_default_width(kind: ColumnType, declared: String) -> String {
    let (word, signed, unsigned) = match kind {
        ColumnType::TinyInt { .. } => ("tinyint", 4, 3),
        ColumnType::SmallInt { .. } => ("smallint", 6, 5),
        ColumnType::MediumInt { .. } => ("mediumint", 9, 8),
        ColumnType::Int { .. } => ("int", 11, 10),
        ColumnType::BigInt { .. } => ("bigint", 20, 20),
        ColumnType::Year => return "year(4)".into(),
        ColumnType::Geometry { shape: Shape::Collection } => return "geometrycollection".into(),
        _ => return declared,
    };
    match kind.unsigned() {
        Some(true) => format!("{word}({unsigned}) unsigned"),
        _ => format!("{word}({signed})"),
    }
}
