//! The fields around the images: who wrote the change, where, and what the tags say of it.

use std::sync::Arc;

use relay_store::Seq;

use super::shape::Shape;
use super::wire::{MapWriter, branch, write_bytes, write_joined, write_long};
use crate::change::{EventPlace, Op, RowsChange, TxInfo};
use crate::format::position::file_number;

/// `operation`, as its symbols are on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Operation {
    Insert = 0,
    Update = 1 << 1,
    Delete = 2 << 1,
    Ddl = 3 << 1,
    Begin = 4 << 1,
    Commit = 5 << 1,
    Heartbeat = 8 << 1,
    Init = 16 << 1,
}

impl Operation {
    pub(super) fn of(rows: &RowsChange<'_>) -> Self {
        match (rows.op, rows.snapshot) {
            (_, true) => Self::Init,
            (Op::Insert, _) => Self::Insert,
            (Op::Update, _) => Self::Update,
            (Op::Delete, _) => Self::Delete,
        }
    }
}

/// The number of a record for ever: that of its entry, and its place in it.
pub(super) fn record_id(seq: Seq, index: u32) -> i64 {
    (seq.0 << 20 | u64::from(index)) as i64
}

/// Appends `version` and `id`.
pub(super) fn write_start(id: i64, out: &mut Vec<u8>) {
    write_long(0, out);
    write_long(id, out);
}

/// Appends `sourceTimestamp` to `source`.
pub(super) fn write_source(timestamp: u32, tx: &TxInfo, position: u64, safe: u64, out: &mut Vec<u8>) {
    write_long(timestamp.into(), out);
    let mut file = itoa::Buffer::new();
    let file = file.format(file_number(&tx.file)).as_bytes();
    for offset in [position, safe] {
        write_joined(&[itoa::Buffer::new().format(offset).as_bytes(), b"@", file], out);
    }
    write_bytes(b"0", out);
    // SourceType MySQL.
    out.push(0);
    write_bytes(tx.server_version.as_bytes(), out);
}

/// Appends `bornTimestamp`, in milliseconds.
pub(super) fn write_end(timestamp: u32, out: &mut Vec<u8>) {
    write_long(i64::from(timestamp) * 1000, out);
}

/// What stands between the id and the images in every record of one rows event, encoded once for the many rows that it
/// may hold.
#[derive(Debug, Default)]
pub(super) struct EventHead {
    plan: u64,
    seq: Seq,
    place: EventPlace,
    snapshot: bool,
    start: u64,
    thread_id: Option<u32>,
    file: Arc<str>,
    now_ms: u64,
    operation_at: usize,
    time_at: usize,
    pub(super) bytes: Vec<u8>,
    pub(super) end: Vec<u8>,
}

impl EventHead {
    /// Makes it that of this event.
    pub(super) fn update(&mut self, shape: &Shape, rows: &RowsChange<'_>, now_ms: u64) {
        if !self.is_of(rows) {
            self.render(shape, rows, now_ms);
        } else if self.now_ms != now_ms {
            let (mut was, mut is) = (itoa::Buffer::new(), itoa::Buffer::new());
            let (was, is) = (was.format(self.now_ms), is.format(now_ms).as_bytes());
            match self.bytes.get_mut(self.time_at..self.time_at + was.len()) {
                Some(place) if was.len() == is.len() => {
                    place.copy_from_slice(is);
                    self.now_ms = now_ms;
                }
                _ => self.render(shape, rows, now_ms),
            }
        }
        // The halves of a split update alternate.
        self.bytes[self.operation_at] = Operation::of(rows) as u8;
    }

    fn is_of(&self, rows: &RowsChange<'_>) -> bool {
        (self.seq, self.plan, self.place, self.snapshot, self.start, self.thread_id)
            == (rows.seq, rows.plan.id, rows.place, rows.snapshot, rows.tx.start, rows.tx.thread_id)
            && self.file == rows.tx.file
            && !self.bytes.is_empty()
    }

    fn render(&mut self, shape: &Shape, rows: &RowsChange<'_>, now_ms: u64) {
        (self.seq, self.plan, self.place) = (rows.seq, rows.plan.id, rows.place);
        (self.snapshot, self.start, self.thread_id) = (rows.snapshot, rows.tx.start, rows.tx.thread_id);
        self.file = Arc::clone(&rows.tx.file);
        self.now_ms = now_ms;
        let out = &mut self.bytes;
        out.clear();
        let (place, tx) = (rows.place, rows.tx);
        let safe = if rows.snapshot { place.position } else { tx.start };
        write_source(place.timestamp, tx, place.position, safe, out);
        self.operation_at = out.len();
        out.push(Operation::of(rows) as u8);
        out.extend_from_slice(&shape.object_name);
        out.push(branch::NULL);
        let mut tags = Tags::new(out);
        if !rows.snapshot {
            tags.session(tx, place);
        }
        self.time_at = tags.reader(now_ms);
        tags.map.ready(&shape.keys);
        tags.map.finish();
        out.extend_from_slice(&shape.fields);
        self.end.clear();
        write_end(place.timestamp, &mut self.end);
    }
}

/// The tags of a record; callers keep to the order of the methods.
pub(super) struct Tags<'a> {
    pub(super) map: MapWriter<'a>,
}

impl<'a> Tags<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { map: MapWriter::new(out) }
    }

    pub(super) fn gtid(&mut self, gtid: &str) {
        if !gtid.is_empty() {
            self.map.text("GTID", gtid.as_bytes());
        }
    }

    pub(super) fn session(&mut self, tx: &TxInfo, place: EventPlace) {
        if let Some(thread) = tx.thread_id {
            self.map.number("thread_id", thread.into());
        }
        self.map.number("server_id", place.server_id.into());
    }

    /// Returns where the digits of the time begin.
    pub(super) fn reader(&mut self, now_ms: u64) -> usize {
        self.map.number("readerThroughoutTime", now_ms);
        self.map.end() - itoa::Buffer::new().format(now_ms).len()
    }

    /// The status variables of the query event that are known.
    pub(super) fn variables(&mut self, tx: &TxInfo) {
        let session = &tx.session;
        if let Some(charset) = session.charset {
            self.map.number("Q_CHARSET_CODE", charset.client.into());
        }
        if let Some(flags) = session.flags2 {
            self.map.number("Q_FLAGS2_CODE", flags.into());
        }
        if let Some(mode) = session.sql_mode {
            self.map.number("Q_SQL_MODE_CODE", mode);
        }
    }
}
