//! One column of a table map: how its values lie on the wire, and what the map says of it.

use super::error::{DecodeError, Result};
use super::event::Dialect;
use super::reader::Reader;

/// A column type as it appears in table maps (`enum_field_types`), with `STRING` already split into STRING, ENUM, SET.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WireType(pub u8);

#[allow(missing_docs)]
impl WireType {
    pub const DECIMAL_OLD: WireType = WireType(0);
    pub const TINY: WireType = WireType(1);
    pub const SHORT: WireType = WireType(2);
    pub const LONG: WireType = WireType(3);
    pub const FLOAT: WireType = WireType(4);
    pub const DOUBLE: WireType = WireType(5);
    pub const NULL: WireType = WireType(6);
    /// Before 5.6.4, and MariaDB with `mysql56_temporal_format=OFF`. So are [`DATETIME`](Self::DATETIME) and [`TIME`](Self::TIME).
    pub const TIMESTAMP: WireType = WireType(7);
    pub const LONGLONG: WireType = WireType(8);
    pub const INT24: WireType = WireType(9);
    pub const DATE: WireType = WireType(10);
    pub const TIME: WireType = WireType(11);
    pub const DATETIME: WireType = WireType(12);
    pub const YEAR: WireType = WireType(13);
    pub const NEWDATE: WireType = WireType(14);
    pub const VARCHAR: WireType = WireType(15);
    pub const BIT: WireType = WireType(16);
    pub const TIMESTAMP2: WireType = WireType(17);
    pub const DATETIME2: WireType = WireType(18);
    pub const TIME2: WireType = WireType(19);
    /// MariaDB `TEXT COMPRESSED`, `BLOB COMPRESSED`.
    pub const BLOB_COMPRESSED: WireType = WireType(140);
    /// MariaDB `VARCHAR COMPRESSED`, `VARBINARY COMPRESSED`.
    pub const VARCHAR_COMPRESSED: WireType = WireType(141);
    pub const VECTOR: WireType = WireType(242);
    pub const JSON: WireType = WireType(245);
    pub const NEWDECIMAL: WireType = WireType(246);
    pub const ENUM: WireType = WireType(247);
    pub const SET: WireType = WireType(248);
    pub const TINY_BLOB: WireType = WireType(249);
    pub const MEDIUM_BLOB: WireType = WireType(250);
    pub const LONG_BLOB: WireType = WireType(251);
    pub const BLOB: WireType = WireType(252);
    pub const VAR_STRING: WireType = WireType(253);
    pub const STRING: WireType = WireType(254);
    pub const GEOMETRY: WireType = WireType(255);

    /// Whether the server writes a signedness bit for it.
    pub fn is_numeric(self) -> bool {
        matches!(self.0, 1..=5 | 8 | 9 | 13 | 246)
    }

    /// Whether the server writes a collation for it (63, `binary`, when it holds bytes). Each dialect counts one type
    /// in that the other leaves out.
    pub fn has_collation(self, dialect: Dialect) -> bool {
        match self {
            WireType::VECTOR => dialect == Dialect::MySql,
            WireType::GEOMETRY => dialect == Dialect::MariaDB,
            WireType(other) => matches!(other, 15 | 140 | 141 | 249..=254),
        }
    }

    /// A time of before MySQL 5.6.4, whose fraction (MariaDB 5.3 and later) no table map tells.
    pub fn is_old_time(self) -> bool {
        matches!(self, WireType::TIMESTAMP | WireType::DATETIME | WireType::TIME)
    }

    pub(crate) fn is_blob(self) -> bool {
        matches!(self.0, 140 | 242 | 245 | 249..=252 | 255)
    }
}

/// How many bytes a value takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    Fixed(u8),
    /// Behind a length of 1 to 4 bytes.
    Prefixed(u8),
}

impl Width {
    /// Takes one value off the reader, without its length.
    #[inline]
    pub(crate) fn take<'a>(self, r: &mut Reader<'a>) -> Result<&'a [u8]> {
        let n = match self {
            Width::Fixed(n) => usize::from(n),
            Width::Prefixed(1) => usize::from(r.u8("value length")?),
            Width::Prefixed(2) => usize::from(r.u16("value length")?),
            Width::Prefixed(3) => r.u24("value length")? as usize,
            Width::Prefixed(_) => r.u32("value length")? as usize,
        };
        r.take(n, "value")
    }
}

/// A column's part in the primary key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPart {
    /// Place in the key, from 0.
    pub order: u16,
    /// How many characters count, 0 for all.
    pub prefix: u32,
}

/// One column: its type, and what the table map says of it. `None` where the map does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDef {
    wire: WireType,
    meta: u16,
    width: Width,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// Numeric types: without a sign.
    pub unsigned: Option<bool>,
    /// Character, ENUM and SET types: collation id; 63 is `binary`.
    pub collation: Option<u16>,
    /// Its name.
    pub name: Option<Box<str>>,
    /// ENUM and SET: the labels in order, in the column's character set.
    pub labels: Option<Box<[Box<[u8]>]>>,
    /// GEOMETRY: which geometry, 0 for any.
    pub geometry_type: Option<u8>,
    /// VECTOR: how many numbers at most.
    pub dimension: Option<u32>,
    /// False for an INVISIBLE column.
    pub visible: Option<bool>,
    /// Its part in the primary key; `None` also when the map does not say.
    pub key: Option<KeyPart>,
}

impl ColumnDef {
    /// A column of a type whose details are:
    ///
    /// | types | `meta` |
    /// |---|---|
    /// | VARCHAR, VAR_STRING, STRING | longest value, bytes |
    /// | BLOB, TEXT, GEOMETRY, JSON, VECTOR | bytes of a value's length: 1 to 4 |
    /// | ENUM, SET | bytes of a value |
    /// | BIT | bits |
    /// | NEWDECIMAL | `precision << 8 \| scale` |
    /// | TIME, DATETIME, TIMESTAMP, old and new | digits of the fraction |
    /// | FLOAT, DOUBLE | bytes of a value |
    ///
    /// # Errors
    /// When the details cannot be those of the type, or the type has no values in row events.
    pub fn new(wire: WireType, meta: u16) -> Result<ColumnDef> {
        let width = width(wire, meta)?;
        Ok(ColumnDef {
            wire,
            meta,
            width,
            nullable: true,
            unsigned: None,
            collation: None,
            name: None,
            labels: None,
            geometry_type: None,
            dimension: None,
            visible: None,
            key: None,
        })
    }

    /// The type.
    pub fn wire(&self) -> WireType {
        self.wire
    }

    /// Its details, as [`new`](Self::new) has them.
    pub fn meta(&self) -> u16 {
        self.meta
    }

    /// Says how many digits of fraction a column with [`WireType::is_old_time`] keeps, which its schema knows and the
    /// table map does not. Rows read without it are cut in the wrong places.
    ///
    /// # Errors
    /// When there are more than six, or the type is another.
    pub fn set_fraction_digits(&mut self, digits: u8) -> Result<()> {
        if !self.wire.is_old_time() {
            return Err(DecodeError::Invalid { what: "type of an old time", value: self.wire.0.into() });
        }
        self.width = width(self.wire, digits.into())?;
        self.meta = digits.into();
        Ok(())
    }

    #[inline]
    pub(crate) fn width(&self) -> Width {
        self.width
    }
}

/// Bytes of a decimal's digits before or after the point: nine digits in four bytes, the rest in as few as hold them.
pub(crate) const fn decimal_bytes(digits: usize) -> usize {
    const REST: [usize; 9] = [0, 1, 1, 2, 2, 3, 3, 4, 4];
    digits / 9 * 4 + REST[digits % 9]
}

fn width(wire: WireType, meta: u16) -> Result<Width> {
    let checked = |ok: bool, width: Width| {
        let wrong = DecodeError::Invalid { what: "column metadata", value: u64::from(wire.0) << 16 | u64::from(meta) };
        if ok { Ok(width) } else { Err(wrong) }
    };
    let fsp = usize::from(meta.min(6));
    let fraction = (fsp as u8).div_ceil(2);
    match wire {
        WireType::TINY | WireType::YEAR => Ok(Width::Fixed(1)),
        WireType::SHORT => Ok(Width::Fixed(2)),
        WireType::INT24 | WireType::DATE | WireType::NEWDATE => Ok(Width::Fixed(3)),
        WireType::LONG => Ok(Width::Fixed(4)),
        WireType::LONGLONG => Ok(Width::Fixed(8)),
        WireType::NULL => Ok(Width::Fixed(0)),
        WireType::FLOAT => checked(meta == 4, Width::Fixed(4)),
        WireType::DOUBLE => checked(meta == 8, Width::Fixed(8)),
        WireType::TIMESTAMP2 => checked(meta <= 6, Width::Fixed(4 + fraction)),
        WireType::DATETIME2 => checked(meta <= 6, Width::Fixed(5 + fraction)),
        WireType::TIME2 => checked(meta <= 6, Width::Fixed(3 + fraction)),
        // MariaDB's formats of 5.3 to 5.5 with a fraction. Table maps do not carry it: a schema has to.
        WireType::TIMESTAMP => checked(meta <= 6, Width::Fixed(4 + fraction)),
        WireType::TIME => checked(meta <= 6, Width::Fixed([3, 4, 4, 5, 5, 5, 6][fsp])),
        WireType::DATETIME => checked(meta <= 6, Width::Fixed([8, 6, 6, 7, 7, 7, 8][fsp])),
        WireType::BIT => checked((1..=64).contains(&meta), Width::Fixed(meta.div_ceil(8).min(8) as u8)),
        WireType::NEWDECIMAL => {
            let (precision, scale) = (usize::from(meta >> 8), usize::from(meta & 255));
            let ok = (1..=65).contains(&precision) && scale <= precision;
            let bytes = decimal_bytes(precision.saturating_sub(scale)) + decimal_bytes(scale);
            checked(ok, Width::Fixed(bytes as u8))
        }
        WireType::ENUM => checked(meta == 1 || meta == 2, Width::Fixed(meta as u8)),
        WireType::SET => checked((1..=8).contains(&meta), Width::Fixed(meta as u8)),
        WireType::VARCHAR | WireType::VAR_STRING | WireType::STRING | WireType::VARCHAR_COMPRESSED => {
            Ok(Width::Prefixed(if meta > 255 { 2 } else { 1 }))
        }
        wire if wire.is_blob() => checked((1..=4).contains(&meta), Width::Prefixed(meta as u8)),
        WireType(other) => Err(DecodeError::Unsupported { what: "column type", value: other.into() }),
    }
}

/// Reads the type's details out of the metadata block of a table map, and resolves what `STRING` stands for.
pub(super) fn read_column(wire: WireType, r: &mut Reader<'_>) -> Result<ColumnDef> {
    const WHAT: &str = "column metadata";
    let (wire, meta) = match wire {
        WireType::STRING | WireType::ENUM | WireType::SET => {
            let (first, second) = (r.u8(WHAT)?, u16::from(r.u8(WHAT)?));
            match WireType(first) {
                real @ (WireType::ENUM | WireType::SET) => (real, second),
                // Two bits of a length above 255 hide in the type byte, inverted.
                _ => (WireType(first | 0x30), second | (u16::from(first & 0x30) ^ 0x30) << 4),
            }
        }
        WireType::VARCHAR | WireType::VAR_STRING | WireType::VARCHAR_COMPRESSED => (wire, r.u16(WHAT)?),
        WireType::BIT => {
            let (bits, bytes) = (r.u8(WHAT)?, r.u8(WHAT)?);
            (wire, u16::from(bytes) * 8 + u16::from(bits))
        }
        WireType::NEWDECIMAL => {
            let (precision, scale) = (r.u8(WHAT)?, r.u8(WHAT)?);
            (wire, u16::from(precision) << 8 | u16::from(scale))
        }
        WireType::FLOAT | WireType::DOUBLE | WireType::TIMESTAMP2 | WireType::DATETIME2 | WireType::TIME2 => {
            (wire, r.u8(WHAT)?.into())
        }
        wire if wire.is_blob() => (wire, r.u8(WHAT)?.into()),
        wire => (wire, 0),
    };
    ColumnDef::new(wire, meta)
}
