//! Rows in the binary protocol: what a prepared statement answers, one row at a time, borrowed from the receive buffer.
//! Numbers and times come as numbers, so that no text is made of a FLOAT and nothing is rounded on the way.
//!
//! | kind of field | a value that is not NULL |
//! |---|---|
//! | integers, YEAR | 1, 2, 4 or 8 bytes, little-endian |
//! | FLOAT, DOUBLE | 4 or 8 bytes |
//! | DATE, DATETIME, TIMESTAMP, TIME | a length of one byte, then so many bytes |
//! | everything else | a length-encoded length, then so many bytes |
//!
//! (dev.mysql.com/doc/dev/mysql-server, "Binary Protocol Resultset Row")

use super::connection::{CONNECT_PATIENCE, Connection, is_eof, shorten};
use super::error::StreamError;
use super::reply::{Cursor, server_error};

const COM_STMT_PREPARE: u8 = 0x16;
const COM_STMT_EXECUTE: u8 = 0x17;
const COM_STMT_CLOSE: u8 = 0x19;
/// `UNSIGNED_FLAG` of a column definition.
const UNSIGNED: u16 = 32;
/// More columns than any table or statement of ours has; a server allows 4096 of a table.
const COLUMNS_MAX: usize = 8192;

/// A column of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its type (`enum_field_types`).
    pub kind: u8,
    /// An integer without a sign.
    pub unsigned: bool,
}

impl Field {
    fn parse(definition: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(definition);
        // Catalogue, schema, table, original table, name, original name; then a length of 12.
        (0..6).try_for_each(|_| cursor.lenenc_bytes().map(drop))?;
        cursor.lenenc_int()?;
        cursor.u16()?; // collation
        cursor.u32()?; // length
        let kind = cursor.take(1)?[0];
        Some(Self { kind, unsigned: cursor.u16()? & UNSIGNED != 0 })
    }

    /// Takes a value off the row.
    fn take<'a>(self, cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
        match self.kind {
            1 => cursor.take(1),
            2 | 13 => cursor.take(2),
            3 | 4 | 9 => cursor.take(4),
            5 | 8 => cursor.take(8),
            7 | 10 | 11 | 12 => {
                let length = cursor.take(1)?[0];
                cursor.take(length.into())
            }
            _ => cursor.lenenc_bytes(),
        }
    }
}

/// A row of the answer.
#[derive(Debug, Clone, Copy)]
pub struct BinaryRow<'a> {
    fields: &'a [Field],
    bytes: &'a [u8],
}

impl<'a> BinaryRow<'a> {
    /// Bytes of the row as it came.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Hands each value with its place to `visit`, in order; none is NULL.
    ///
    /// # Errors
    /// What `visit` gives, or a row that does not fit its columns.
    pub fn each<E: From<StreamError>>(
        &self,
        mut visit: impl FnMut(usize, Option<&'a [u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        const CUT: StreamError = StreamError::Protocol("a row that does not fit its columns");
        let mut cursor = Cursor(self.bytes);
        // A zero byte, then bits of the NULLs, of which the first two mean nothing.
        cursor.take(1).ok_or(CUT)?;
        let nulls = cursor.take((self.fields.len() + 2).div_ceil(8)).ok_or(CUT)?;
        for (index, field) in self.fields.iter().enumerate() {
            let bit = index + 2;
            let value = match nulls[bit / 8] >> (bit % 8) & 1 {
                1 => None,
                _ => Some(field.take(&mut cursor).ok_or(CUT)?),
            };
            visit(index, value)?;
        }
        if cursor.0.is_empty() { Ok(()) } else { Err(CUT.into()) }
    }
}

/// The answer of a statement, row by row. One that is dropped before its end leaves a connection that answers nothing
/// else.
#[derive(Debug)]
pub struct Selected<'c> {
    connection: &'c mut Connection,
    fields: Vec<Field>,
    statement: u32,
    sql: String,
}

impl Connection {
    /// Prepares and runs a statement that answers rows.
    ///
    /// # Errors
    /// The server's refusal, or a broken connection.
    pub async fn select(&mut self, sql: &str) -> Result<Selected<'_>, StreamError> {
        self.packets.begin();
        self.packets.send(&[&[COM_STMT_PREPARE], sql.as_bytes()].concat(), CONNECT_PATIENCE).await?;
        let failed = |source| StreamError::Statement { statement: shorten(sql), source };
        let prepared = match self.reply().await? {
            [0x00, rest @ ..] => {
                let mut cursor = Cursor(rest);
                cursor.u32().zip(cursor.u16()).zip(cursor.u16())
            }
            bytes @ [0xFF, ..] => return Err(failed(server_error(bytes))),
            _ => None,
        };
        let Some(((statement, columns), parameters)) = prepared else {
            return Err(StreamError::Protocol("no answer to a prepared statement"));
        };
        for count in [parameters, columns] {
            if count > 0 {
                self.definitions(count.into()).await?;
            }
        }
        let mut execute = vec![COM_STMT_EXECUTE];
        execute.extend_from_slice(&statement.to_le_bytes());
        execute.push(0); // no cursor
        execute.extend_from_slice(&1u32.to_le_bytes());
        self.packets.begin();
        self.packets.send(&execute, CONNECT_PATIENCE).await?;
        let columns = match self.reply().await? {
            bytes @ [0xFF, ..] => return Err(failed(server_error(bytes))),
            [0x00 | 0xFB, ..] => return Err(StreamError::Protocol("a statement without rows")),
            bytes => Cursor(bytes).lenenc_int().and_then(|count| usize::try_from(count).ok()),
        };
        let columns = columns.filter(|count| *count <= COLUMNS_MAX);
        let fields = self.definitions(columns.ok_or(StreamError::Protocol("no column count"))?).await?;
        Ok(Selected { connection: self, fields, statement, sql: shorten(sql) })
    }

    /// Reads definitions of columns, and what ends them.
    async fn definitions(&mut self, count: usize) -> Result<Vec<Field>, StreamError> {
        let mut fields = Vec::with_capacity(count);
        for _ in 0..count {
            fields.push(Field::parse(self.reply().await?).ok_or(StreamError::Protocol("a cut column definition"))?);
        }
        if is_eof(self.reply().await?) { Ok(fields) } else { Err(StreamError::Protocol("no end of the columns")) }
    }

    /// Enlarges the receive buffer, for one that reads many rows.
    pub fn widen(&mut self) {
        self.packets.widen();
    }
}

impl Selected<'_> {
    /// The columns of the answer.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The next row; none at the end, after which the connection is free again.
    ///
    /// # Errors
    /// The server ended the answer, or a broken connection.
    pub async fn next(&mut self) -> Result<Option<BinaryRow<'_>>, StreamError> {
        let Self { connection, fields, sql, .. } = self;
        match connection.reply().await? {
            bytes if is_eof(bytes) => Ok(None),
            bytes @ [0xFF, ..] => Err(StreamError::Statement { statement: sql.clone(), source: server_error(bytes) }),
            bytes @ [0x00, ..] => Ok(Some(BinaryRow { fields, bytes })),
            _ => Err(StreamError::Protocol("neither a row nor the end of rows")),
        }
    }

    /// Gives the statement back to the server; the rows have been read to their end.
    ///
    /// # Errors
    /// A broken connection.
    pub async fn close(self) -> Result<(), StreamError> {
        let mut close = vec![COM_STMT_CLOSE];
        close.extend_from_slice(&self.statement.to_le_bytes());
        self.connection.packets.begin();
        // The server does not answer it.
        self.connection.packets.send(&close, CONNECT_PATIENCE).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(fields: &[Field], bytes: &[u8]) -> Result<Vec<Option<Vec<u8>>>, StreamError> {
        let mut values = Vec::new();
        let row = BinaryRow { fields, bytes };
        row.each(|index, value| {
            assert_eq!(index, values.len());
            values.push(value.map(<[u8]>::to_vec));
            Ok::<_, StreamError>(())
        })?;
        Ok(values)
    }

    #[test]
    fn each_kind_of_field_takes_its_own_bytes_and_every_cut_is_an_error() {
        let kinds = [1u8, 13, 9, 8, 4, 12, 253, 3];
        let fields: Vec<Field> = kinds.iter().map(|&kind| Field { kind, unsigned: false }).collect();
        // The sixth value is NULL: bit 7 of the ten.
        let mut row = vec![0, 0b1000_0000, 0];
        row.extend_from_slice(&[0xFF]);
        row.extend_from_slice(&[0xEA, 0x07]);
        row.extend_from_slice(&[1, 0, 0, 0]);
        row.extend_from_slice(&[2; 8]);
        row.extend_from_slice(&[3; 4]);
        row.extend_from_slice(b"\x05hello");
        row.extend_from_slice(&[4, 0, 0, 0]);
        let read = values(&fields, &row).expect("a row");
        assert_eq!(read[0].as_deref(), Some(&[0xFF][..]));
        assert_eq!(read[1].as_deref(), Some(&[0xEA, 0x07][..]));
        assert_eq!(read[5], None);
        assert_eq!(read[6].as_deref(), Some(&b"hello"[..]));
        for cut in 0..row.len() {
            assert!(values(&fields, &row[..cut]).is_err(), "cut at {cut}");
        }
        assert!(values(&fields, &[&row[..], &[0]].concat()).is_err(), "a byte too many");
    }

    #[test]
    fn a_zero_time_has_no_bytes() {
        let fields = [Field { kind: 12, unsigned: false }, Field { kind: 11, unsigned: false }];
        assert_eq!(values(&fields, &[0, 0, 0, 0]).expect("a row"), [Some(vec![]), Some(vec![])]);
    }

    #[test]
    fn a_definition_is_read_up_to_its_flags() {
        let mut definition = Vec::new();
        for name in ["def", "shop", "t", "t", "id", "id"] {
            definition.push(name.len() as u8);
            definition.extend_from_slice(name.as_bytes());
        }
        definition.extend_from_slice(&[12, 63, 0, 20, 0, 0, 0, 8, 0x23, 0x00, 0, 0, 0]);
        assert_eq!(Field::parse(&definition), Some(Field { kind: 8, unsigned: true }));
        for cut in 0..definition.len() - 3 {
            assert_eq!(Field::parse(&definition[..cut]), None, "cut at {cut}");
        }
    }
}
