//! The binary form, borrowed.

use super::super::error::{DecodeError, Result};
use super::super::reader::Reader;

/// One value of a document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// A double, finite.
    Double(f64),
    /// UTF-8, as the server promises; not checked here.
    String(&'a [u8]),
    /// A value of a column type that JSON does not have.
    Opaque {
        /// The column type's number.
        wire: u8,
        /// The value, in a form of its own for each type.
        bytes: &'a [u8],
    },
    /// An object, its keys sorted by length, then bytes.
    Object(Container<'a>),
    /// An array.
    Array(Container<'a>),
}

/// An object or an array.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Container<'a> {
    bytes: &'a [u8],
    count: usize,
    large: bool,
    keys: bool,
}

const WHAT: &str = "json";

impl<'a> Json<'a> {
    /// Reads a document. No bytes at all are `null`, as the server reads them.
    ///
    /// # Errors
    /// When the bytes are not a document; only the outermost value is looked at.
    pub fn parse(document: &'a [u8]) -> Result<Json<'a>> {
        match document.split_first() {
            None => Ok(Json::Null),
            Some((&kind, value)) => Ok(read(kind, value)?.0),
        }
    }
}

/// Reads a value that begins with `bytes`; also returns how many bytes it occupies.
fn read(kind: u8, bytes: &[u8]) -> Result<(Json<'_>, usize)> {
    let mut r = Reader::new(bytes);
    let value = match kind {
        0..=3 => {
            let container = Container::parse(bytes, kind & 1 != 0, kind < 2)?;
            let size = container.bytes.len();
            return Ok((if kind < 2 { Json::Object(container) } else { Json::Array(container) }, size));
        }
        4 => literal(r.u8(WHAT)?.into())?,
        5 => Json::Int((r.u16(WHAT)? as i16).into()),
        6 => Json::UInt(r.u16(WHAT)?.into()),
        7 => Json::Int((r.u32(WHAT)? as i32).into()),
        8 => Json::UInt(r.u32(WHAT)?.into()),
        9 => Json::Int(r.u64(WHAT)? as i64),
        10 => Json::UInt(r.u64(WHAT)?),
        // JSON has no infinities and no NaN, so the server stores none.
        11 => match f64::from_bits(r.u64(WHAT)?) {
            v if v.is_finite() => Json::Double(v),
            v => return Err(DecodeError::Invalid { what: "json double", value: v.to_bits() }),
        },
        12 => Json::String(counted(&mut r)?),
        15 => Json::Opaque { wire: r.u8(WHAT)?, bytes: counted(&mut r)? },
        value => return Err(DecodeError::Unsupported { what: "json type", value: value.into() }),
    };
    Ok((value, bytes.len() - r.len()))
}

fn literal<'a>(value: u32) -> Result<Json<'a>> {
    match value {
        0 => Ok(Json::Null),
        1 => Ok(Json::Bool(true)),
        2 => Ok(Json::Bool(false)),
        value => Err(DecodeError::Invalid { what: "json literal", value: value.into() }),
    }
}

/// A length of 7 bits a byte, low bits first, at most five bytes, and that many bytes.
fn counted<'a>(r: &mut Reader<'a>) -> Result<&'a [u8]> {
    let mut n = 0u64;
    for shift in (0..35).step_by(7) {
        let byte = r.u8(WHAT)?;
        n |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return r.take_u64(n, WHAT);
        }
    }
    Err(DecodeError::Invalid { what: "json length", value: n })
}

impl<'a> Container<'a> {
    fn parse(bytes: &'a [u8], large: bool, keys: bool) -> Result<Container<'a>> {
        let mut r = Reader::new(bytes);
        let width = if large { 4 } else { 2 };
        let (count, size) = (r.uint(width, WHAT)? as usize, r.uint(width, WHAT)? as usize);
        let bytes = match bytes.get(..size) {
            Some(own) => own,
            None => return Err(DecodeError::Short { what: WHAT, needed: size as u64, left: bytes.len() }),
        };
        let container = Container { bytes, count, large, keys };
        // The entries must be there, so that a count is never more than the bytes pay for.
        let entries = (count as u64) * (container.value_entry() + container.key_entry()) as u64;
        if entries + 2 * width as u64 > size as u64 {
            return Err(DecodeError::Short { what: "json entries", needed: entries, left: size });
        }
        Ok(container)
    }

    /// How many members or elements there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn offset_width(&self) -> usize {
        if self.large { 4 } else { 2 }
    }

    fn value_entry(&self) -> usize {
        1 + self.offset_width()
    }

    fn key_entry(&self) -> usize {
        if self.keys { self.offset_width() + 2 } else { 0 }
    }

    /// The members in order, with an empty key in arrays.
    ///
    /// Each is an error when it does not lie in the container, or when the members together take more bytes than it
    /// has beside its entries (as when one of them is the container itself).
    pub fn members(&self) -> impl Iterator<Item = Result<(&'a [u8], Json<'a>)>> + use<'a> {
        let container = *self;
        let entries = 2 * self.offset_width() + self.count * (self.key_entry() + self.value_entry());
        let mut room = self.bytes.len().saturating_sub(entries);
        (0..self.count).map(move |index| container.member(index, &mut room))
    }

    fn member(&self, index: usize, room: &mut usize) -> Result<(&'a [u8], Json<'a>)> {
        let head = 2 * self.offset_width();
        let key = if self.keys {
            let mut entry = self.from(head + index * self.key_entry())?;
            let (offset, len) = (entry.uint(self.offset_width(), WHAT)? as usize, entry.u16(WHAT)?);
            self.from(offset)?.take(len.into(), "json key")?
        } else {
            &[]
        };
        let mut entry = self.from(head + self.count * self.key_entry() + index * self.value_entry())?;
        let kind = entry.u8(WHAT)?;
        let field = entry.uint(self.offset_width(), WHAT)? as u32;
        let (value, size) = match kind {
            // What fits into the entry lies in it.
            4 => (literal(field)?, 0),
            5 => (Json::Int((field as u16 as i16).into()), 0),
            6 => (Json::UInt((field as u16).into()), 0),
            7 if self.large => (Json::Int((field as i32).into()), 0),
            8 if self.large => (Json::UInt(field.into()), 0),
            kind => read(kind, self.from(field as usize)?.rest())?,
        };
        match room.checked_sub(key.len() + size) {
            Some(left) => *room = left,
            None => {
                return Err(DecodeError::Invalid { what: "size of a json container", value: self.bytes.len() as u64 });
            }
        }
        Ok((key, value))
    }

    fn from(&self, offset: usize) -> Result<Reader<'a>> {
        match self.bytes.get(offset..) {
            Some(rest) => Ok(Reader::new(rest)),
            None => Err(DecodeError::Short { what: "json offset", needed: offset as u64, left: self.bytes.len() }),
        }
    }
}
