//! What the server answers in the text protocol: result rows and errors (pure, bounds-checked).

use super::error::{ServerError, StreamError};

/// Reads fields from the front of a message.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn until_zero(&mut self) -> Option<&'a [u8]> {
        let zero = self.0.iter().position(|&b| b == 0)?;
        let head = self.take(zero)?;
        self.take(1)?;
        Some(head)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|b| u16::from_le_bytes([b[0], b[1]]))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// A length-encoded integer; none for NULL's mark and at a cut.
    pub(super) fn lenenc_int(&mut self) -> Option<u64> {
        let bytes = match self.take(1)?[0] {
            first @ 0..=0xFA => return Some(u64::from(first)),
            0xFC => 2,
            0xFD => 3,
            0xFE => 8,
            _ => return None,
        };
        Some(self.take(bytes)?.iter().rev().fold(0, |value, &b| value << 8 | u64::from(b)))
    }

    pub(super) fn lenenc_bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.lenenc_int()?;
        self.take(usize::try_from(length).ok()?)
    }
}

/// Reads an error packet; whatever is cut or odd about it, something readable comes out.
pub(super) fn server_error(bytes: &[u8]) -> ServerError {
    let mut cursor = Cursor(bytes.get(1..).unwrap_or_default());
    let code = cursor.u16().unwrap_or(0);
    let state = match cursor.0 {
        [b'#', state @ ..] if state.len() >= 5 => {
            cursor.0 = &state[5..];
            String::from_utf8_lossy(&state[..5]).into_owned()
        }
        _ => String::new(),
    };
    ServerError { code, state, message: String::from_utf8_lossy(cursor.0).into_owned() }
}

/// The rows that answered a statement, as text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowSet {
    names: Vec<String>,
    values: Vec<Option<String>>,
}

impl RowSet {
    /// Adds a column by its definition packet: catalogue, schema, table, original table, then its name.
    pub(super) fn push_column(&mut self, definition: &[u8]) -> Result<(), StreamError> {
        let mut cursor = Cursor(definition);
        let name = (0..5).map(|_| cursor.lenenc_bytes()).last().flatten();
        let name = name.ok_or(StreamError::Protocol("a cut column definition"))?;
        self.names.push(String::from_utf8_lossy(name).into_owned());
        Ok(())
    }

    pub(super) fn push_row(&mut self, row: &[u8]) -> Result<(), StreamError> {
        let mut cursor = Cursor(row);
        for _ in 0..self.names.len() {
            let value = match cursor.0 {
                [0xFB, rest @ ..] => {
                    cursor.0 = rest;
                    None
                }
                _ => Some(cursor.lenenc_bytes().ok_or(StreamError::Protocol("a cut row"))?),
            };
            // The connection's character set is utf8mb4, so only raw binary columns can fail to be text.
            self.values.push(value.map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
        }
        if cursor.0.is_empty() { Ok(()) } else { Err(StreamError::Protocol("a row longer than its columns")) }
    }

    /// The rows in the order of the server.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        // Without columns there are no values, so that the chunk size never matters then.
        self.values.chunks(self.names.len().max(1)).map(|values| Row { names: &self.names, values })
    }

    /// The first row.
    pub fn first(&self) -> Option<Row<'_>> {
        self.iter().next()
    }

    /// Whether no row came.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// One row of a [`RowSet`].
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    names: &'a [String],
    values: &'a [Option<String>],
}

impl<'a> Row<'a> {
    /// The value of the column with that name, in any case: servers differ in it. None for NULL and for a column
    /// that this server does not have.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let at = self.names.iter().position(|n| n.eq_ignore_ascii_case(name))?;
        self.at(at)
    }

    /// The value at a place; none for NULL.
    pub fn at(&self, index: usize) -> Option<&'a str> {
        self.values.get(index)?.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        bytes.push(name.len() as u8);
        bytes.extend_from_slice(name.as_bytes());
        bytes
    }

    #[test]
    fn rows_keep_null_apart_from_empty() {
        let mut rows = RowSet::default();
        rows.push_column(&column("A")).unwrap();
        rows.push_column(&column("b")).unwrap();
        rows.push_row(b"\x00\xfb").unwrap();
        rows.push_row(b"\x01x\x03\xe4\xbd\xa0").unwrap();
        let all: Vec<_> = rows.iter().map(|r| (r.get("a"), r.get("B"))).collect();
        assert_eq!(all, [(Some(""), None), (Some("x"), Some("你"))]);
        assert!(rows.push_row(b"\x05x").is_err());
        assert!(rows.push_row(b"\x01x\x01y\x01z").is_err());
    }

    #[test]
    fn an_error_packet_is_read_however_short() {
        assert_eq!(server_error(b"\xff"), ServerError { code: 0, state: String::new(), message: String::new() });
        let e = server_error(b"\xff\x10\x04Too many connections");
        assert_eq!((e.code, e.message.as_str()), (1040, "Too many connections"));
    }
}
