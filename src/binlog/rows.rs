//! Rows events: which rows of which table changed, as views into the event's bytes.
//!
//! ```text
//! size    field
//!  6 | 4  table id
//!    2    flags
//!  2 | 0  version 2 only: length of extra information, itself included, which follows
//!  1-9    number of columns, length-encoded
//!    b    which columns the images hold, low bit first       (b = (columns + 7) / 8)
//!    b    updates only: the same for the after images
//!    -    rows: one image each; updates before image, after image
//!
//! image:  null bits of the columns it holds, then their values in order
//! after image of a partial update: value options (length-encoded), when bit 0 is set one bit per JSON column of the
//!         table (its value is differences), then as above
//! ```

use super::column::{ColumnDef, WireType};
use super::error::{DecodeError, Result};
use super::event::{Event, EventType, FormatDescription};
use super::reader::Reader;
use super::table_map::read_table_id;

mod image;
mod nulled;

pub use image::{Cell, Cells, RowImage};
pub use nulled::Nulled;

/// What happened to the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowsKind {
    /// Inserted: after images.
    Write,
    /// Updated: before and after images.
    Update,
    /// Deleted: before images.
    Delete,
}

/// The columns that an image holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnSet<'a> {
    bits: &'a [u8],
    width: usize,
    len: usize,
}

impl<'a> ColumnSet<'a> {
    fn new(bits: &'a [u8], width: usize) -> ColumnSet<'a> {
        ColumnSet { bits, width, len: (0..width).filter(|&i| bit(bits, i)).count() }
    }

    /// Whether column `index` is there.
    #[inline]
    pub fn contains(&self, index: usize) -> bool {
        index < self.width && bit(self.bits, index)
    }

    /// How many columns are there.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no column is there.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether every column of the table is there.
    pub fn is_full(&self) -> bool {
        self.len == self.width
    }
}

#[inline]
fn bit(bits: &[u8], index: usize) -> bool {
    bits.get(index >> 3).is_some_and(|b| b >> (index & 7) & 1 != 0)
}

/// The frame of a rows event, in any version, its rows not looked at (in MariaDB's compressed ones: still compressed).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsHead<'a> {
    /// Which table map it belongs to.
    pub table_id: u64,
    /// `FLAG_*`.
    pub flags: u16,
    /// What happened.
    pub kind: RowsKind,
    /// Updated JSON columns may hold differences.
    pub partial: bool,
    /// Columns of the table.
    pub width: usize,
    before: ColumnSet<'a>,
    after: ColumnSet<'a>,
    pub(super) rows: &'a [u8],
}

/// A rows event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsEvent<'a> {
    /// Its frame.
    pub head: RowsHead<'a>,
}

impl<'a> RowsHead<'a> {
    /// Last rows event of its statement: the table ids before it lose their meaning.
    pub const FLAG_STATEMENT_END: u16 = 1;

    /// Reads the frame.
    ///
    /// # Errors
    /// When the event is of another type or cut.
    pub fn parse(event: &Event<'a>, description: &FormatDescription) -> Result<RowsHead<'a>> {
        let number = event.header.event_type.0;
        let (kind, second_version) = match number {
            23 | 166 => (RowsKind::Write, false),
            24 | 167 => (RowsKind::Update, false),
            25 | 168 => (RowsKind::Delete, false),
            30 | 169 => (RowsKind::Write, true),
            31 | 39 | 170 => (RowsKind::Update, true),
            32 | 171 => (RowsKind::Delete, true),
            20..=22 => return Err(DecodeError::Unsupported { what: "rows event of type", value: number.into() }),
            _ => return Err(DecodeError::Invalid { what: "type of a rows event", value: number.into() }),
        };
        let mut r = Reader::new(event.body);
        let table_id = read_table_id(&mut r, event, description)?;
        let flags = r.u16("rows flags")?;
        if second_version {
            let extra = r.u16("rows extra length")?;
            let extra = extra.checked_sub(2);
            let extra = extra.ok_or(DecodeError::Invalid { what: "rows extra length", value: 0 })?;
            r.take(extra.into(), "rows extra information")?;
        }
        let width = r.lenenc("number of columns")?;
        let bytes = width.div_ceil(8);
        let before = r.take_u64(bytes, "columns of the images")?;
        let after = if kind == RowsKind::Update { r.take_u64(bytes, "columns of the after images")? } else { before };
        // The bitmaps were there, so the width is no more than eight times the event's length.
        let width = width as usize;
        Ok(RowsHead {
            table_id,
            flags,
            kind,
            partial: event.header.event_type == EventType::PARTIAL_UPDATE_ROWS,
            width,
            before: ColumnSet::new(before, width),
            after: ColumnSet::new(after, width),
            rows: r.rest(),
        })
    }

    /// Whether the statement ends with this event.
    pub fn ends_statement(&self) -> bool {
        self.flags & Self::FLAG_STATEMENT_END != 0
    }

    /// The columns of the before images; `None` for inserts.
    pub fn columns_before(&self) -> Option<ColumnSet<'a>> {
        (self.kind != RowsKind::Write).then_some(self.before)
    }

    /// The columns of the after images; `None` for deletes.
    pub fn columns_after(&self) -> Option<ColumnSet<'a>> {
        (self.kind != RowsKind::Delete).then_some(self.after)
    }
}

impl<'a> RowsEvent<'a> {
    /// Reads a rows event that is not compressed.
    ///
    /// # Errors
    /// When the event is of another type, compressed, or cut.
    pub fn parse(event: &Event<'a>, description: &FormatDescription) -> Result<RowsEvent<'a>> {
        if event.header.event_type.is_mariadb_compressed() {
            let value = event.header.event_type.0.into();
            return Err(DecodeError::Unsupported { what: "compressed rows event of type", value });
        }
        Ok(RowsEvent { head: RowsHead::parse(event, description)? })
    }

    /// The rows, read with the columns of the table map that the event names.
    pub fn rows(&self, columns: &'a [ColumnDef]) -> Rows<'a> {
        Rows { head: self.head, columns, rest: Reader::new(self.head.rows), state: State::Start }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Reading,
    Ended,
}

/// The rows of an event. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Rows<'a> {
    head: RowsHead<'a>,
    columns: &'a [ColumnDef],
    rest: Reader<'a>,
    state: State,
}

/// One changed row.
#[derive(Debug, Clone, Copy)]
pub struct RowView<'a> {
    /// As it was; `None` for an insert.
    pub before: Option<RowImage<'a>>,
    /// As it became; `None` for a delete.
    pub after: Option<RowImage<'a>>,
}

impl<'a> Rows<'a> {
    fn read(&mut self) -> Result<RowView<'a>> {
        let left = self.rest.len();
        let before = match self.head.kind {
            RowsKind::Write => None,
            _ => Some(self.image(self.head.before, false)?),
        };
        let after = match self.head.kind {
            RowsKind::Delete => None,
            _ => Some(self.image(self.head.after, self.head.partial)?),
        };
        if self.rest.len() == left && left > 0 {
            // Images without columns take no bytes, so nothing can follow them.
            return Err(DecodeError::Trailing { what: "rows without columns", left });
        }
        Ok(RowView { before, after })
    }

    /// Cuts one image off, by the widths of its values.
    #[inline]
    fn image(&mut self, present: ColumnSet<'a>, partial: bool) -> Result<RowImage<'a>> {
        let mut r = self.rest;
        let partial = if partial { partial_bits(&mut r, self.columns)? } else { &[] };
        let nulls = r.take(present.len().div_ceil(8), "null bits")?;
        let start = r;
        let mut null_at = 0;
        for (index, column) in self.columns.iter().enumerate() {
            if present.contains(index) {
                if !bit(nulls, null_at) {
                    column.width().take(&mut r)?;
                }
                null_at += 1;
            }
        }
        let values = &start.rest()[..start.len() - r.len()];
        self.rest = r;
        Ok(RowImage { columns: self.columns, present, nulls, partial, values })
    }
}

/// The bits that tell which JSON columns hold differences; empty when none does.
fn partial_bits<'a>(r: &mut Reader<'a>, columns: &[ColumnDef]) -> Result<&'a [u8]> {
    const PARTIAL_JSON: u64 = 1;
    match r.lenenc("row value options")? {
        0 => Ok(&[]),
        PARTIAL_JSON => {
            let json = columns.iter().filter(|c| c.wire() == WireType::JSON).count();
            r.take(json.div_ceil(8), "partial json bits")
        }
        value => Err(DecodeError::Unsupported { what: "row value options", value }),
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<RowView<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let first = match self.state {
            State::Start => true,
            State::Reading => false,
            State::Ended => return None,
        };
        self.state = State::Reading;
        // An event whose images hold no columns has no bytes of rows, and one row. An event without a table (it only
        // ends a statement) has neither.
        if self.rest.is_empty() && (!first || self.head.width == 0) {
            self.state = State::Ended;
            return None;
        }
        let row = if self.columns.len() == self.head.width {
            self.read()
        } else {
            Err(DecodeError::ColumnCount { row: self.head.width, table: self.columns.len() })
        };
        if row.is_err() {
            self.state = State::Ended;
        }
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::event::tests::event;
    use crate::binlog::event::{Checksum, Dialect};

    fn description() -> FormatDescription {
        FormatDescription {
            server_version: "9.7.4".into(),
            created: 0,
            post_header_lengths: vec![8; 42],
            checksum: Checksum::None,
            dialect: Dialect::MySql,
        }
    }

    fn columns() -> Vec<ColumnDef> {
        [(WireType::LONG, 0), (WireType::VARCHAR, 300), (WireType::JSON, 4)]
            .map(|(wire, meta)| ColumnDef::new(wire, meta).unwrap())
            .to_vec()
    }

    fn body(sets: &[u8], rows: &[u8]) -> Vec<u8> {
        [&[9, 0, 0, 0, 0, 0, 1, 0, 2, 0, 3][..], sets, rows].concat()
    }

    fn rows(event_type: EventType, body: &[u8]) -> Result<Vec<String>> {
        let raw = event(event_type, body, Checksum::None);
        let event = Event::parse(&raw, Checksum::None).unwrap();
        let parsed = RowsEvent::parse(&event, &description())?;
        assert_eq!((parsed.head.table_id, parsed.head.ends_statement()), (9, true));
        let columns = columns();
        let text = |image: Option<RowImage<'_>>| match image {
            None => Ok("-".to_owned()),
            Some(image) => image
                .values()
                .map(|v| v.map(|(i, v)| format!("{i}={v:?}")))
                .collect::<Result<Vec<_>>>()
                .map(|v| v.join(" ")),
        };
        parsed
            .rows(&columns)
            .map(|row| row.and_then(|row| Ok(format!("{} > {}", text(row.before)?, text(row.after)?))))
            .collect()
    }

    #[test]
    fn absent_columns_are_not_null_columns() {
        let b = body(&[0b001, 0b011], &[0, 5, 0, 0, 0, 0b10, 6, 0, 0, 0, 1, 7, 0, 0, 0, 0, 8, 0, 0, 0, 1, 0, b'x']);
        let expected = ["0=Int(5) > 0=Int(6) 1=Null"];
        let Err(DecodeError::Short { .. }) = rows(EventType::UPDATE_ROWS, &b) else { panic!("the second row is cut") };
        let b = body(&[0b001, 0b011], &[0, 5, 0, 0, 0, 0b10, 6, 0, 0, 0]);
        assert_eq!(rows(EventType::UPDATE_ROWS, &b).unwrap(), expected);
    }

    #[test]
    fn json_differences_are_told_from_documents() {
        let after = [1, 0b1, 0, 7, 0, 0, 0, 1, 0, b'x', 2, 0, 0, 0, 2, 1];
        let b = body(&[0b001, 0b111], &[&[0, 5, 0, 0, 0][..], &after].concat());
        assert_eq!(
            rows(EventType::PARTIAL_UPDATE_ROWS, &b).unwrap(),
            ["0=Int(5) > 0=Int(7) 1=Bytes([120]) 2=JsonDiff([2, 1])"]
        );
        let mut whole = b.clone();
        whole[19] = 0;
        assert!(rows(EventType::PARTIAL_UPDATE_ROWS, &whole).unwrap()[0].contains("2=Json("));
    }

    #[test]
    fn every_cut_of_a_row_is_an_error() {
        let image = [0, 7, 0, 0, 0, 3, 0, b'x', b'y', b'z', 1, 0, 0, 0, 4];
        let b = body(&[0b111], &[&image[..], &image].concat());
        assert_eq!(rows(EventType::WRITE_ROWS, &b).unwrap().len(), 2);
        for cut in 1..b.len() {
            let one_whole_row = cut == b.len() - image.len();
            assert_eq!(rows(EventType::WRITE_ROWS, &b[..cut]).is_ok(), one_whole_row, "{cut}");
        }
    }

    #[test]
    fn images_without_columns_are_one_row_and_never_endless() {
        assert_eq!(rows(EventType::WRITE_ROWS, &body(&[0], &[])).unwrap(), ["- > "]);
        assert_eq!(
            rows(EventType::WRITE_ROWS, &body(&[0], &[1])),
            Err(DecodeError::Trailing { what: "rows without columns", left: 1 })
        );
    }
}
