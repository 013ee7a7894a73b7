//! What a block repeats so that it can be read alone: the format description and name of the binlog file, what was
//! executed where the block begins, the identity and the session of the transaction that is open there, and the table maps
//! that its rows may need.
//!
//! Layout: version `u8`, then records of tag `u8`, flags `u8`, length `u32` big-endian, bytes. Flags are the
//! entry flags ([`super::flag`]) of the event in the record. Order: format description, file, executed, case, transaction, its
//! statement, maps. Version 1 lacks executed and case, and that of the first relays the statement.

use thiserror::Error;

const VERSION: u8 = 2;
/// Versions that are read.
const VERSIONS: std::ops::RangeInclusive<u8> = 1..=VERSION;

const FORMAT_DESCRIPTION: u8 = 1;
const FILE: u8 = 2;
const TRANSACTION: u8 = 3;
const TABLE_MAP: u8 = 4;
const STATEMENT: u8 = 5;
const EXECUTED: u8 = 6;
const LOWER_CASE: u8 = 7;

/// A context that does not follow its own format.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ContextError {
    /// A record is longer than what is left.
    #[error("block context ends inside a record")]
    Short,
    /// Written by a later version of the relay.
    #[error("block context has version {0}, this relay reads up to 2; upgrade the relay")]
    Version(u8),
    /// A tag that its version does not know.
    #[error("block context holds an unknown record {0}")]
    Tag(u8),
    /// The file name is not UTF-8.
    #[error("block context names its binlog file in bytes that are not text")]
    FileName,
    /// The set of executed transactions is not UTF-8.
    #[error("block context names what was executed in bytes that are not text")]
    Executed,
}

/// Writes a context; each part at most once but for the table maps, in the order of the methods.
#[derive(Debug)]
pub struct ContextWriter<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> ContextWriter<'a> {
    /// Begins a context with the file's raw format description event and its name.
    pub fn begin(out: &'a mut Vec<u8>, flags: u8, format_description: &[u8], file: &str) -> Self {
        out.push(VERSION);
        let mut writer = Self { out };
        writer.record(FORMAT_DESCRIPTION, flags, format_description);
        writer.record(FILE, 0, file.as_bytes());
        writer
    }

    /// What the source had executed where the block begins, in the text form of its dialect. Only of one with GTIDs.
    pub fn executed(&mut self, set: &str) {
        self.record(EXECUTED, 0, set.as_bytes());
    }

    /// Whether the source keeps names of tables in lower case.
    pub fn lower_case(&mut self, is_lower: bool) {
        self.record(LOWER_CASE, 0, &[u8::from(is_lower)]);
    }

    /// The raw GTID event of the transaction that is open where the block begins.
    pub fn transaction(&mut self, flags: u8, gtid_event: &[u8]) {
        self.record(TRANSACTION, flags, gtid_event);
    }

    /// The raw QUERY event (BEGIN, XA START) that began the transaction which is open where the block begins.
    pub fn statement(&mut self, flags: u8, query_event: &[u8]) {
        self.record(STATEMENT, flags, query_event);
    }

    /// A table map in force where the block begins, as its entry holds it (with [`super::flag::SCHEMA_ID`]'s tail).
    pub fn table_map(&mut self, flags: u8, entry: &[u8]) {
        self.record(TABLE_MAP, flags, entry);
    }

    fn record(&mut self, tag: u8, flags: u8, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).expect("a binlog event is at most 1 GiB");
        self.out.extend_from_slice(&[tag, flags]);
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(bytes);
    }
}

/// A parsed context; everything borrows from the block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context<'a> {
    /// Flags and bytes of the raw format description event.
    pub format_description: Option<(u8, &'a [u8])>,
    /// Name of the binlog file that the block's events come from.
    pub file: &'a str,
    /// What the source had executed before the block's first entry, without the transaction that is open there; none of
    /// one without GTIDs, and of version 1.
    pub executed: Option<&'a str>,
    /// Whether the source keeps names of tables in lower case; none where it was not told.
    pub lower_case: Option<bool>,
    /// Flags and bytes of the GTID event of the transaction open at the block's first entry.
    pub transaction: Option<(u8, &'a [u8])>,
    /// Flags and bytes of the QUERY event (BEGIN, XA START) that began it; none for MariaDB, whose GTID event does.
    pub statement: Option<(u8, &'a [u8])>,
    /// Flags and bytes of each table map in force at the block's first entry.
    pub table_maps: Vec<(u8, &'a [u8])>,
}

impl<'a> Context<'a> {
    /// Parses what [`ContextWriter`] wrote. An empty context is one without parts.
    ///
    /// # Errors
    /// Bytes that do not follow the layout.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ContextError> {
        let mut context = Self::default();
        let Some((&version, mut rest)) = bytes.split_first() else { return Ok(context) };
        if !VERSIONS.contains(&version) {
            return Err(ContextError::Version(version));
        }
        while !rest.is_empty() {
            let (head, tail) = rest.split_first_chunk::<6>().ok_or(ContextError::Short)?;
            let [tag, flags, length @ ..] = *head;
            let length = u32::from_be_bytes(length) as usize;
            let (record, tail) = tail.split_at_checked(length).ok_or(ContextError::Short)?;
            rest = tail;
            match tag {
                FORMAT_DESCRIPTION => context.format_description = Some((flags, record)),
                FILE => context.file = std::str::from_utf8(record).map_err(|_| ContextError::FileName)?,
                EXECUTED => {
                    context.executed = Some(std::str::from_utf8(record).map_err(|_| ContextError::Executed)?);
                }
                LOWER_CASE => context.lower_case = record.first().map(|byte| *byte != 0),
                TRANSACTION => context.transaction = Some((flags, record)),
                STATEMENT => context.statement = Some((flags, record)),
                TABLE_MAP => context.table_maps.push((flags, record)),
                _ => return Err(ContextError::Tag(tag)),
            }
        }
        Ok(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_comes_back_and_every_cut_of_it_is_safe() {
        let mut bytes = Vec::new();
        let mut writer = ContextWriter::begin(&mut bytes, 4, b"fde", "mysql-bin.000001");
        writer.executed("uuid:1-7");
        writer.lower_case(true);
        writer.transaction(0, b"gtid");
        writer.statement(1, b"begin");
        writer.table_map(8, b"map-1");
        writer.table_map(9, b"map-2");
        let whole = Context::parse(&bytes).expect("written by us");
        assert_eq!(whole.format_description, Some((4, &b"fde"[..])));
        assert_eq!(whole.file, "mysql-bin.000001");
        assert_eq!((whole.executed, whole.lower_case), (Some("uuid:1-7"), Some(true)));
        assert_eq!((whole.transaction, whole.statement), (Some((0, &b"gtid"[..])), Some((1, &b"begin"[..]))));
        assert_eq!(whole.table_maps, vec![(8, &b"map-1"[..]), (9, &b"map-2"[..])]);
        for cut in 1..bytes.len() {
            if let Ok(part) = Context::parse(&bytes[..cut]) {
                assert!(part.table_maps.len() < 2, "a cut context may end early, never hold more: {cut}");
            }
        }
        assert_eq!(Context::parse(&[9]), Err(ContextError::Version(9)));
        assert_eq!(Context::parse(&[1]), Ok(Context::default()), "of the version before");
        assert_eq!(Context::parse(&[1, 77, 0, 0, 0, 0, 0]), Err(ContextError::Tag(77)));
    }
}
