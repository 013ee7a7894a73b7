//! What the log needs beside the entries to be readable from any block on: the file and its format description, the
//! open transaction's first events, the table maps in force. And which tables are selected, remembered by table id.

use std::borrow::Cow;
use std::collections::HashMap;

use relay_store::BlockContext;

use crate::binlog::DecodeError;
use crate::log::{ContextWriter, SourcePosition, flag};

/// A source with more tables than this in one file has the oldest knowledge dropped; it costs a comparison again.
const MAPS_MAX: usize = 4096;

/// The head of a table map: enough to select by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MapHead<'a> {
    pub(super) table_id: u64,
    pub(super) database: &'a [u8],
    pub(super) table: &'a [u8],
}

impl<'a> MapHead<'a> {
    /// Reads the head: table id of 6 bytes (4 where the format description says so), flags of 2, then both names, each
    /// with its length before it and a zero byte behind it.
    pub(super) fn read(body: &'a [u8], short_id: bool) -> Result<Self, DecodeError> {
        let short = || DecodeError::Short { what: "table map head", needed: 11, left: body.len() };
        let table_id = table_id(body, short_id)?;
        let rest = body.get(if short_id { 6 } else { 8 }..).ok_or_else(short)?;
        let name = |rest: &'a [u8]| {
            let (&length, rest) = rest.split_first()?;
            let (name, rest) = rest.split_at_checked(usize::from(length))?;
            Some((name, rest.get(1..)?))
        };
        let (database, rest) = name(rest).ok_or_else(short)?;
        let (table, _) = name(rest).ok_or_else(short)?;
        Ok(Self { table_id, database, table })
    }
}

impl<'a> MapHead<'a> {
    /// Both names; they are UTF-8 in the binlog.
    pub(super) fn names(&self) -> (Cow<'a, str>, Cow<'a, str>) {
        (String::from_utf8_lossy(self.database), String::from_utf8_lossy(self.table))
    }
}

/// The table id at the front of a table map or rows event.
pub(super) fn table_id(body: &[u8], short_id: bool) -> Result<u64, DecodeError> {
    let short = || DecodeError::Short { what: "table id", needed: 6, left: body.len() };
    if short_id {
        return body.first_chunk::<4>().map(|id| u64::from(u32::from_le_bytes(*id))).ok_or_else(short);
    }
    let [a, b, c, d, e, f] = *body.first_chunk::<6>().ok_or_else(short)?;
    Ok(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
}

/// What is known of a table id in the present file.
#[derive(Debug)]
pub(super) struct Map {
    /// Whether its rows are kept.
    pub(super) selected: bool,
    /// Version of the table's definition that was in force, when the history has one.
    pub(super) schema: Option<u64>,
    /// The body that the above was found for; another body means another table.
    body: Vec<u8>,
    /// The entry as it was logged last, and its flags.
    entry: Vec<u8>,
    flags: u8,
}

/// An event of the open transaction that blocks repeat; its buffer stays from one transaction to the next.
#[derive(Debug, Default)]
struct Repeated {
    flags: u8,
    /// Empty: none.
    raw: Vec<u8>,
}

impl Repeated {
    fn set(&mut self, flags: u8, raw: &[u8]) {
        self.flags = flags;
        self.raw.clear();
        self.raw.extend_from_slice(raw);
    }

    fn get(&self) -> Option<(u8, &[u8])> {
        (!self.raw.is_empty()).then_some((self.flags, &self.raw))
    }
}

/// Which tables are selected and what they are called now; see the module.
#[derive(Debug, Default)]
pub(super) struct Scene {
    format: Vec<u8>,
    file: String,
    /// What is executed, without the open transaction; none without GTIDs.
    executed: Option<String>,
    lower_case: Option<bool>,
    gtid: Repeated,
    begin: Repeated,
    maps: HashMap<u64, Map>,
    /// Ids of the logged maps of the open statement, in order.
    open: Vec<u64>,
}

impl Scene {
    /// A file begins; returns whether that differs from before, so that the open block has to end first.
    pub(super) fn set_file(&mut self, file: &str, format: &[u8]) -> bool {
        if self.file == file && self.format == format {
            return false;
        }
        self.file.clear();
        self.file.push_str(file);
        self.format.clear();
        self.format.extend_from_slice(format);
        true
    }

    /// Whether the source keeps names of tables in lower case, when it told.
    pub(super) fn set_lower_case(&mut self, lower_case: Option<bool>) {
        self.lower_case = lower_case;
    }

    /// So much is executed by now.
    pub(super) fn set_executed(&mut self, position: &SourcePosition) {
        match position {
            SourcePosition::FileOnly => self.executed = None,
            SourcePosition::MySqlGtid(text) | SourcePosition::MariaDbGtid(text) => {
                self.executed.get_or_insert_default().clone_from(text);
            }
        }
    }

    /// The GTID event of the open transaction is in the log.
    pub(super) fn set_gtid(&mut self, flags: u8, raw: &[u8]) {
        self.gtid.set(flags, raw);
    }

    /// The statement that began the open transaction (BEGIN, XA START) is in the log.
    pub(super) fn set_begin(&mut self, flags: u8, raw: &[u8]) {
        self.begin.set(flags, raw);
    }

    /// The transaction is over.
    pub(super) fn end_transaction(&mut self) {
        self.gtid.raw.clear();
        self.begin.raw.clear();
        self.end_statement();
    }

    /// The statement is over: its maps are in force no longer.
    pub(super) fn end_statement(&mut self) {
        self.open.clear();
    }

    /// What is known of this table map, when it says the same as the last one of its id.
    pub(super) fn known(&self, table_id: u64, body: &[u8]) -> Option<(bool, Option<u64>)> {
        self.maps.get(&table_id).filter(|map| map.body == body).map(|map| (map.selected, map.schema))
    }

    /// Remembers what was found for a table map.
    pub(super) fn learn(&mut self, table_id: u64, body: &[u8], selected: bool, schema: Option<u64>) {
        if self.maps.len() >= MAPS_MAX {
            let open = &self.open;
            self.maps.retain(|id, _| open.contains(id));
        }
        let map = Map { selected, schema, body: body.to_vec(), entry: Vec::new(), flags: 0 };
        self.maps.insert(table_id, map);
    }

    /// Whether rows of this table id are kept; none when no map was seen for it.
    pub(super) fn is_selected(&self, table_id: u64) -> Option<bool> {
        self.maps.get(&table_id).map(|map| map.selected)
    }

    /// Schema and table that a table id stands for.
    pub(super) fn names(&self, table_id: u64, short_id: bool) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
        Some(MapHead::read(&self.maps.get(&table_id)?.body, short_id).ok()?.names())
    }

    /// The body of the last table map of this id.
    pub(super) fn body(&self, table_id: u64) -> Option<&[u8]> {
        self.maps.get(&table_id).map(|map| map.body.as_slice())
    }

    /// The table that a table id stands for, as `database.table`.
    pub(super) fn table_name(&self, table_id: u64, short_id: bool) -> Option<String> {
        let head = MapHead::read(&self.maps.get(&table_id)?.body, short_id).ok()?;
        let (database, table) = head.names();
        Some(format!("{database}.{table}"))
    }

    /// A map was logged and is in force from here on. `flags` and `parts` are those of its entry.
    pub(super) fn put_in_force(&mut self, table_id: u64, flags: u8, parts: &[&[u8]]) {
        let Some(map) = self.maps.get_mut(&table_id) else { return };
        map.flags = flags;
        map.entry.clear();
        parts.iter().for_each(|part| map.entry.extend_from_slice(part));
        if !self.open.contains(&table_id) {
            self.open.push(table_id);
        }
    }

    /// Table ids or definitions may mean something else from here on.
    pub(super) fn forget_tables(&mut self) {
        self.maps.clear();
        self.open.clear();
    }
}

impl BlockContext for Scene {
    fn write(&self, out: &mut Vec<u8>) {
        let mut writer = ContextWriter::begin(out, 0, &self.format, &self.file);
        if let Some(executed) = &self.executed {
            writer.executed(executed);
        }
        if let Some(lower_case) = self.lower_case {
            writer.lower_case(lower_case);
        }
        if let Some((flags, raw)) = self.gtid.get() {
            writer.transaction(flags, raw);
        }
        if let Some((flags, raw)) = self.begin.get() {
            writer.statement(flags, raw);
        }
        for map in self.open.iter().filter_map(|id| self.maps.get(id)) {
            writer.table_map(map.flags, &map.entry);
        }
    }
}

/// The tail of a table map's entry: the id of the schema version it was captured under.
pub(super) fn schema_tail(schema: Option<u64>) -> (u8, [u8; 8], usize) {
    match schema {
        Some(id) => (flag::SCHEMA_ID, id.to_be_bytes(), 8),
        None => (0, [0; 8], 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Context;

    fn body(id: u64, database: &str, table: &str) -> Vec<u8> {
        let mut body = id.to_le_bytes()[..6].to_vec();
        body.extend_from_slice(&[1, 0, u8::try_from(database.len()).expect("short")]);
        body.extend_from_slice(database.as_bytes());
        body.extend_from_slice(&[0, u8::try_from(table.len()).expect("short")]);
        body.extend_from_slice(table.as_bytes());
        body.extend_from_slice(&[0, 1, 3, 0, 1]);
        body
    }

    #[test]
    fn the_head_of_a_map_is_read_and_every_cut_of_it_refused() {
        let body = body(0x0102_0304_0506, "shop", "orders");
        let head = MapHead::read(&body, false).expect("whole");
        assert_eq!((head.table_id, head.database, head.table), (0x0102_0304_0506, &b"shop"[..], &b"orders"[..]));
        for cut in 0..8 + 6 + 8 {
            assert!(MapHead::read(&body[..cut], false).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_block_repeats_the_maps_of_the_open_statement_only() {
        let mut scene = Scene::default();
        assert!(scene.set_file("mysql-bin.000001", b"fde"));
        assert!(!scene.set_file("mysql-bin.000001", b"fde"));
        scene.set_gtid(0, b"gtid");
        scene.set_begin(1, b"begin");
        for id in [7, 8] {
            scene.learn(id, b"body", true, None);
            scene.put_in_force(id, flag::SCHEMA_ID, &[b"map", &id.to_be_bytes()]);
        }
        let written = |scene: &Scene| {
            let mut out = Vec::new();
            scene.write(&mut out);
            out
        };
        let bytes = written(&scene);
        let context = Context::parse(&bytes).expect("written by us");
        assert_eq!((context.file, context.transaction), ("mysql-bin.000001", Some((0, &b"gtid"[..]))));
        assert_eq!(context.statement, Some((1, &b"begin"[..])));
        assert_eq!(context.table_maps.len(), 2);
        assert_eq!(context.table_maps[1], (flag::SCHEMA_ID, &b"map\0\0\0\0\0\0\0\x08"[..]));
        scene.end_statement();
        assert!(Context::parse(&written(&scene)).expect("ours").table_maps.is_empty());
        scene.end_transaction();
        let bytes = written(&scene);
        let context = Context::parse(&bytes).expect("ours");
        assert_eq!((context.transaction, context.statement), (None, None));
    }

    #[test]
    fn another_table_under_the_same_id_is_not_taken_for_the_old_one() {
        let mut scene = Scene::default();
        scene.learn(7, &body(7, "shop", "orders"), true, Some(3));
        assert_eq!(scene.known(7, &body(7, "shop", "orders")), Some((true, Some(3))));
        assert_eq!(scene.known(7, &body(7, "shop", "audit")), None);
        assert_eq!(scene.is_selected(9), None);
    }
}
