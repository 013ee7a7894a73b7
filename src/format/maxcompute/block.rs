//! Reads a block of records back, every checksum and the count verified.

use thiserror::Error;

use super::data_type::DataType;
use super::datum::Datum;
use super::record::{CHECKSUM, COUNT, END_RECORD, Tally, wire};

/// A row: its columns in order, none for NULL.
pub type Row = Vec<Option<Datum>>;

/// A block that is not one of these columns, or was damaged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BlockError {
    /// The bytes end inside a record or before the trailer.
    #[error("the block ends early, at byte {at}")]
    Short {
        /// Where more was expected.
        at: usize,
    },
    /// Bytes that mean nothing.
    #[error("the block has a bad {what} at byte {at}")]
    Bad {
        /// What they should have been.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// A field for which there is no column, or one out of turn.
    #[error("the block has field {field} where none such may stand, at byte {at}")]
    Field {
        /// Its number.
        field: u32,
        /// Where.
        at: usize,
    },
    /// A record's checksum differs.
    #[error("record {record} has checksum {stated:#010x} and bytes of {computed:#010x}")]
    Record {
        /// Which, from 0.
        record: u64,
        /// As the block says.
        stated: u32,
        /// As its bytes are.
        computed: u32,
    },
    /// The trailer's count or checksum differs.
    #[error("the block's trailer does not belong to its records: {what}")]
    Trailer {
        /// Which of the two.
        what: &'static str,
    },
}

/// Reads the records of a block one by one.
#[derive(Debug)]
pub struct BlockReader<'a> {
    bytes: &'a [u8],
    at: usize,
    kinds: &'a [DataType],
    tally: Tally,
    covered: Vec<u8>,
}

/// All rows of a block.
///
/// # Errors
/// See [`BlockError`].
pub fn read_block(bytes: &[u8], kinds: &[DataType]) -> Result<Vec<Row>, BlockError> {
    let mut reader = BlockReader::new(bytes, kinds);
    let mut rows = Vec::new();
    while let Some(row) = reader.next_row()? {
        rows.push(row);
    }
    Ok(rows)
}

impl<'a> BlockReader<'a> {
    /// Reads a block, uncompressed, of these columns.
    pub fn new(bytes: &'a [u8], kinds: &'a [DataType]) -> Self {
        Self { bytes, at: 0, kinds, tally: Tally::default(), covered: Vec::new() }
    }

    /// Rows so far, and their checksum.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The next row; none when the trailer was reached and holds.
    ///
    /// # Errors
    /// See [`BlockError`]; nothing can be read after one.
    pub fn next_row(&mut self) -> Result<Option<Row>, BlockError> {
        let mut row: Row = Vec::new();
        self.covered.clear();
        loop {
            let at = self.at;
            let (field, wire_type) = self.tag()?;
            match field {
                END_RECORD if wire_type == wire::VARINT => {
                    self.end_record()?;
                    row.resize(self.kinds.len(), None);
                    return Ok(Some(row));
                }
                COUNT if wire_type == wire::VARINT && self.covered.is_empty() => {
                    self.trailer()?;
                    return Ok(None);
                }
                _ => {}
            }
            let column = (field as usize).checked_sub(1).filter(|&column| column >= row.len());
            let kind = column.and_then(|column| self.kinds.get(column));
            let (Some(column), Some(kind)) = (column, kind) else {
                return Err(BlockError::Field { field, at });
            };
            if wire_type != wire::of(kind) {
                return Err(BlockError::Bad { what: "wire type", at });
            }
            self.covered.extend_from_slice(&field.to_le_bytes());
            row.resize(column, None);
            let value = self.value(kind)?;
            row.push(Some(value));
        }
    }

    fn end_record(&mut self) -> Result<(), BlockError> {
        let stated = self.checksum()?;
        let computed = crc32c::crc32c(&self.covered);
        if stated != computed {
            return Err(BlockError::Record { record: self.tally.records(), stated, computed });
        }
        self.tally.add(stated);
        Ok(())
    }

    fn trailer(&mut self) -> Result<(), BlockError> {
        if self.zigzag()? != self.tally.records() as i64 {
            return Err(BlockError::Trailer { what: "count" });
        }
        let at = self.at;
        if self.tag()? != (CHECKSUM, wire::VARINT) {
            return Err(BlockError::Bad { what: "trailer", at });
        }
        if self.checksum()? != self.tally.checksum() {
            return Err(BlockError::Trailer { what: "checksum" });
        }
        if self.at != self.bytes.len() {
            return Err(BlockError::Bad { what: "end", at: self.at });
        }
        Ok(())
    }

    fn value(&mut self, kind: &DataType) -> Result<Datum, BlockError> {
        Ok(match kind {
            DataType::BigInt
            | DataType::Int
            | DataType::SmallInt
            | DataType::TinyInt
            | DataType::DateTime
            | DataType::Date
            | DataType::IntervalYearMonth => Datum::Integer(self.integer()?),
            DataType::Boolean => {
                let at = self.at;
                match self.fixed()? {
                    [flag @ (0 | 1)] => Datum::Boolean(flag == 1),
                    _ => return Err(BlockError::Bad { what: "boolean", at }),
                }
            }
            DataType::Double => Datum::Double(f64::from_le_bytes(self.fixed()?)),
            DataType::Float => Datum::Float(f32::from_le_bytes(self.fixed()?)),
            DataType::String
            | DataType::VarChar(_)
            | DataType::Char(_)
            | DataType::Binary
            | DataType::Json
            | DataType::Decimal(_) => {
                let length = self.varint()?;
                let bytes = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
                self.covered.extend_from_slice(bytes);
                Datum::Bytes(bytes.to_vec())
            }
            DataType::Timestamp | DataType::TimestampNtz | DataType::IntervalDayTime => {
                let (seconds, at) = (self.integer()?, self.at);
                let nanos = u32::try_from(self.zigzag()?).ok().filter(|&nanos| nanos < 1_000_000_000);
                let nanos = nanos.ok_or(BlockError::Bad { what: "fraction of a second", at })?;
                self.covered.extend_from_slice(&nanos.to_le_bytes());
                Datum::Moment { seconds, nanos }
            }
            DataType::Array(element) => Datum::Array(self.elements(element)?),
            DataType::Map(key, value) => {
                let (keys, at) = (self.elements(key)?, self.at);
                let values = self.elements(value)?;
                if keys.len() != values.len() {
                    return Err(BlockError::Bad { what: "map", at });
                }
                Datum::Map(keys.into_iter().zip(values).collect())
            }
            DataType::Struct(fields) => {
                Datum::Struct(fields.iter().map(|(_, kind)| self.nullable(kind)).collect::<Result<_, _>>()?)
            }
        })
    }

    fn elements(&mut self, kind: &DataType) -> Result<Vec<Option<Datum>>, BlockError> {
        let at = self.at;
        let count = self.varint()?;
        // Each takes a byte at least.
        if count > (self.bytes.len() - self.at) as u64 {
            return Err(BlockError::Bad { what: "number of elements", at });
        }
        (0..count).map(|_| self.nullable(kind)).collect()
    }

    fn nullable(&mut self, kind: &DataType) -> Result<Option<Datum>, BlockError> {
        let at = self.at;
        match self.take(1)? {
            [0] => self.value(kind).map(Some),
            [1] => Ok(None),
            _ => Err(BlockError::Bad { what: "mark of NULL", at }),
        }
    }

    fn tag(&mut self) -> Result<(u32, u32), BlockError> {
        let at = self.at;
        let tag = u32::try_from(self.varint()?).map_err(|_| BlockError::Bad { what: "tag", at })?;
        Ok((tag >> 3, tag & 7))
    }

    /// Some writers extend the sign of a checksum to 64 bits.
    fn checksum(&mut self) -> Result<u32, BlockError> {
        let (at, raw) = (self.at, self.varint()?);
        match raw as u32 {
            low if raw == u64::from(low) || raw as i64 == i64::from(low as i32) => Ok(low),
            _ => Err(BlockError::Bad { what: "checksum", at }),
        }
    }

    fn integer(&mut self) -> Result<i64, BlockError> {
        let value = self.zigzag()?;
        self.covered.extend_from_slice(&value.to_le_bytes());
        Ok(value)
    }

    fn zigzag(&mut self) -> Result<i64, BlockError> {
        let raw = self.varint()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    fn varint(&mut self) -> Result<u64, BlockError> {
        let at = self.at;
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.take(1)? else { return Err(BlockError::Short { at }) };
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(BlockError::Bad { what: "varint", at })
    }

    /// Bytes of the value, which its checksum covers as they are.
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], BlockError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        self.covered.extend_from_slice(&bytes);
        Ok(bytes)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], BlockError> {
        let at = self.at;
        let taken = self.bytes[at..].get(..length).ok_or(BlockError::Short { at })?;
        self.at += length;
        Ok(taken)
    }
}
