//! TABLE_MAP: which table an id means in the rows events after it, and how its columns lie in them.
//!
//! ```text
//! size   field
//!  6 | 4 table id              (4 when the post-header length is 6)
//!    2   flags
//!  n+2   schema: length, name, NUL
//!  n+2   table: length, name, NUL
//!  1-9   number of columns, length-encoded
//!    n   type of each column
//!  1-9+m details of the types
//!  (n+7)/8 which columns may be NULL, low bit first
//!    -   optional metadata: type (1), length (length-encoded), value
//! ```

use super::column::{ColumnDef, KeyPart, WireType, read_column};
use super::error::{DecodeError, Result};
use super::event::{Dialect, Event, EventType, FormatDescription};
use super::reader::Reader;

/// The table of the rows events that name its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableMap<'a> {
    /// Id, valid until the statement's last rows event.
    pub table_id: u64,
    /// Schema.
    pub database: &'a str,
    /// Table.
    pub table: &'a str,
    /// Its columns in order, generated and invisible ones included.
    pub columns: Vec<ColumnDef>,
    /// The map names its columns (`binlog_row_metadata=FULL`): it explains itself.
    pub full: bool,
}

/// The part of a table map that selection needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableMapHead<'a> {
    /// Id, valid until the statement's last rows event.
    pub table_id: u64,
    /// Schema.
    pub database: &'a str,
    /// Table.
    pub table: &'a str,
}

/// Reads the table id that begins table maps and rows events, and skips the flags' two bytes for the caller.
pub(super) fn read_table_id(r: &mut Reader<'_>, event: &Event<'_>, description: &FormatDescription) -> Result<u64> {
    match description.post_header_len(event.header.event_type) {
        Some(6) => r.u32("table id").map(u64::from),
        _ => r.u48("table id"),
    }
}

/// The table id that begins a table map or a rows event; for telling whose rows they are when the rest is damaged.
///
/// # Errors
/// When the event is cut.
pub fn table_id(event: &Event<'_>, description: &FormatDescription) -> Result<u64> {
    read_table_id(&mut Reader::new(event.body), event, description)
}

fn head<'a>(event: &Event<'a>, description: &FormatDescription) -> Result<(TableMapHead<'a>, Reader<'a>)> {
    if event.header.event_type != EventType::TABLE_MAP {
        return Err(DecodeError::Invalid { what: "type of a table map", value: event.header.event_type.0.into() });
    }
    let mut r = Reader::new(event.body);
    let table_id = read_table_id(&mut r, event, description)?;
    r.u16("table map flags")?;
    let database = utf8(r.short_name("schema name")?, "schema name")?;
    let table = utf8(r.short_name("table name")?, "table name")?;
    Ok((TableMapHead { table_id, database, table }, r))
}

impl<'a> TableMapHead<'a> {
    /// Reads id and names only.
    ///
    /// # Errors
    /// When the event is of another type or cut.
    pub fn parse(event: &Event<'a>, description: &FormatDescription) -> Result<TableMapHead<'a>> {
        head(event, description).map(|(head, _)| head)
    }
}

impl<'a> TableMap<'a> {
    /// Reads event 19.
    ///
    /// # Errors
    /// When the event is of another type or cut, a column has a type that rows cannot have, or the optional metadata
    /// does not fit the columns: names or signs would then be given to the wrong ones.
    pub fn parse(event: &Event<'a>, description: &FormatDescription) -> Result<TableMap<'a>> {
        let (head, mut r) = head(event, description)?;
        let count = r.lenenc("number of columns")?;
        let types = r.take_u64(count, "column types")?;
        let mut details = Reader::new(r.lenenc_bytes("column metadata")?);
        let nullable = r.take(types.len().div_ceil(8), "nullable columns")?;
        let mut columns = Vec::with_capacity(types.len());
        for (i, &wire) in types.iter().enumerate() {
            let mut column = read_column(WireType(wire), &mut details)?;
            column.nullable = nullable[i / 8] >> (i % 8) & 1 != 0;
            columns.push(column);
        }
        details.finish("column metadata")?;
        let mut full = false;
        while !r.is_empty() {
            let field = r.u8("table metadata field")?;
            let value = Reader::new(r.lenenc_bytes("table metadata field")?);
            full |= field == COLUMN_NAME;
            read_metadata(field, value, &mut columns, description.dialect)?;
        }
        Ok(TableMap { table_id: head.table_id, database: head.database, table: head.table, columns, full })
    }
}

fn utf8<'a>(bytes: &'a [u8], what: &'static str) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8 { what })
}

// Optional metadata (`Table_map_event::Optional_metadata_field_type`).
const SIGNEDNESS: u8 = 1;
const DEFAULT_CHARSET: u8 = 2;
const COLUMN_CHARSET: u8 = 3;
const COLUMN_NAME: u8 = 4;
const SET_LABELS: u8 = 5;
const ENUM_LABELS: u8 = 6;
const GEOMETRY_TYPE: u8 = 7;
const SIMPLE_PRIMARY_KEY: u8 = 8;
const PRIMARY_KEY_WITH_PREFIX: u8 = 9;
const ENUM_AND_SET_DEFAULT_CHARSET: u8 = 10;
const ENUM_AND_SET_COLUMN_CHARSET: u8 = 11;
const COLUMN_VISIBILITY: u8 = 12;
const VECTOR_DIMENSION: u8 = 13;

fn read_metadata(field: u8, mut r: Reader<'_>, columns: &mut [ColumnDef], dialect: Dialect) -> Result<()> {
    let character = |w: WireType| w.has_collation(dialect);
    let enum_or_set = |w: WireType| w == WireType::ENUM || w == WireType::SET;
    match field {
        SIGNEDNESS => {
            let numeric = columns.iter_mut().filter(|c| c.wire().is_numeric());
            read_bits(&mut r, numeric, |c, bit| c.unsigned = Some(bit))?;
        }
        DEFAULT_CHARSET => read_default_charset(&mut r, columns, character)?,
        ENUM_AND_SET_DEFAULT_CHARSET => read_default_charset(&mut r, columns, enum_or_set)?,
        COLUMN_CHARSET => read_charsets(&mut r, columns, character)?,
        ENUM_AND_SET_COLUMN_CHARSET => read_charsets(&mut r, columns, enum_or_set)?,
        COLUMN_NAME => {
            for column in columns {
                column.name = Some(utf8(r.lenenc_bytes("column name")?, "column name")?.into());
            }
        }
        SET_LABELS => read_labels(&mut r, columns, WireType::SET)?,
        ENUM_LABELS => read_labels(&mut r, columns, WireType::ENUM)?,
        GEOMETRY_TYPE => {
            for column in columns.iter_mut().filter(|c| c.wire() == WireType::GEOMETRY) {
                column.geometry_type = Some(narrow(r.lenenc("geometry type")?, "geometry type")?);
            }
        }
        SIMPLE_PRIMARY_KEY | PRIMARY_KEY_WITH_PREFIX => {
            let mut order = 0;
            while !r.is_empty() {
                let column = r.lenenc("key column")?;
                let prefix = if field == SIMPLE_PRIMARY_KEY { 0 } else { r.lenenc("key prefix")? };
                let prefix = narrow(prefix, "key prefix")?;
                let found = usize::try_from(column).ok().and_then(|c| columns.get_mut(c));
                let Some(def) = found else { return Err(DecodeError::Invalid { what: "key column", value: column }) };
                def.key = Some(KeyPart { order, prefix });
                order = order.saturating_add(1);
            }
        }
        COLUMN_VISIBILITY => read_bits(&mut r, columns.iter_mut(), |c, bit| c.visible = Some(bit))?,
        VECTOR_DIMENSION => {
            for column in columns.iter_mut().filter(|c| c.wire() == WireType::VECTOR) {
                column.dimension = Some(narrow(r.lenenc("vector dimension")?, "vector dimension")?);
            }
        }
        // A field of a later server: nothing before it depends on it.
        _ => return Ok(()),
    }
    r.finish("table metadata field")
}

fn narrow<T: TryFrom<u64>>(value: u64, what: &'static str) -> Result<T> {
    T::try_from(value).map_err(|_| DecodeError::Invalid { what, value })
}

/// One bit a column, the highest of each byte first.
fn read_bits<'c>(
    r: &mut Reader<'_>,
    columns: impl Iterator<Item = &'c mut ColumnDef>,
    set: impl Fn(&mut ColumnDef, bool),
) -> Result<()> {
    let mut byte = 0;
    for (i, column) in columns.enumerate() {
        if i % 8 == 0 {
            byte = r.u8("column bits")?;
        }
        set(column, byte >> (7 - i % 8) & 1 != 0);
    }
    Ok(())
}

/// One collation a column.
fn read_charsets(r: &mut Reader<'_>, columns: &mut [ColumnDef], wanted: impl Fn(WireType) -> bool) -> Result<()> {
    for column in columns.iter_mut().filter(|c| wanted(c.wire())) {
        column.collation = Some(narrow(r.lenenc("collation")?, "collation")?);
    }
    Ok(())
}

/// The commonest collation, then the columns with another one: their number among the columns meant, and theirs.
fn read_default_charset(
    r: &mut Reader<'_>,
    columns: &mut [ColumnDef],
    wanted: impl Fn(WireType) -> bool,
) -> Result<()> {
    let default = narrow(r.lenenc("default collation")?, "default collation")?;
    let mut columns = columns.iter_mut().filter(|c| wanted(c.wire())).enumerate();
    let mut set_until = |place: Option<u64>, other: u16| -> Result<()> {
        for (i, column) in columns.by_ref() {
            if Some(i as u64) == place {
                column.collation = Some(other);
                return Ok(());
            }
            column.collation = Some(default);
        }
        // Places rise; one that is not found any more does not exist or came twice.
        place.map_or(Ok(()), |value| Err(DecodeError::Invalid { what: "column with a collation of its own", value }))
    };
    while !r.is_empty() {
        let place = r.lenenc("collation's column")?;
        set_until(Some(place), narrow(r.lenenc("collation")?, "collation")?)?;
    }
    set_until(None, default)
}

/// Per column of type `wire`: the number of its labels, then each label.
fn read_labels(r: &mut Reader<'_>, columns: &mut [ColumnDef], wire: WireType) -> Result<()> {
    for column in columns.iter_mut().filter(|c| c.wire() == wire) {
        let count = r.lenenc("number of labels")?;
        // Each label takes at least its length byte, so this many bytes must be there.
        if count > r.len() as u64 {
            return Err(DecodeError::Short { what: "labels", needed: count, left: r.len() });
        }
        let labels = (0..count).map(|_| r.lenenc_bytes("label").map(Box::from)).collect::<Result<Vec<Box<[u8]>>>>()?;
        column.labels = Some(labels.into());
    }
    Ok(())
}
