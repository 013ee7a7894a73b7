//! What is the same for all messages of one rows event, rendered once for the many rows that it may hold.

use relay_store::Seq;

use super::fragments::Fragments;
use super::write_number;
use crate::change::RowsChange;
use crate::format::json::write_string;

/// What stands between `data` and `old` in every message of one rows event.
#[derive(Debug, Default)]
pub(super) struct EventHead {
    plan: u64,
    seq: Seq,
    timestamp: u32,
    snapshot: bool,
    gtid: String,
    pub(super) bytes: Vec<u8>,
}

impl EventHead {
    pub(super) fn is_of(&self, rows: &RowsChange<'_>, gtid: &str) -> bool {
        (self.seq, self.plan, self.timestamp, self.snapshot)
            == (rows.seq, rows.plan.id, rows.place.timestamp, rows.snapshot)
            && self.gtid == gtid
            && !self.bytes.is_empty()
    }

    pub(super) fn render(&mut self, fragments: &Fragments, rows: &RowsChange<'_>, gtid: &str) {
        (self.seq, self.plan) = (rows.seq, rows.plan.id);
        (self.timestamp, self.snapshot) = (rows.place.timestamp, rows.snapshot);
        self.gtid.clear();
        self.gtid.push_str(gtid);
        self.bytes.clear();
        self.bytes.extend_from_slice(&fragments.database);
        write_number(u64::from(rows.place.timestamp) * 1000, &mut self.bytes);
        self.bytes.extend_from_slice(b",\"gtid\":");
        write_string(if rows.snapshot { "" } else { gtid }, &mut self.bytes);
        self.bytes.extend_from_slice(b",\"id\":");
        write_number(rows.seq.0, &mut self.bytes);
        self.bytes.extend_from_slice(&fragments.mysql_type);
    }
}
