//! The end of the log: what the next append goes on from. Follows block by block; pure.

use crate::block::{BlockMeta, Closed};
use crate::seq::Seq;

/// A prepared transaction's entries: kept until forgotten, never visible themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedRange {
    /// The transaction's name, as given to `prepare`.
    pub xid: Vec<u8>,
    /// First entry.
    pub first: Seq,
    /// Last entry.
    pub last: Seq,
}

/// What the next append goes on from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LogEnd {
    pub last_seq: u64,
    pub open_tx: Option<u64>,
    pub visible_through: u64,
    pub running_max_us: u64,
    pub checkpoint: Option<Vec<u8>>,
    pub prepared: Vec<PreparedRange>,
}

impl LogEnd {
    /// Takes in a block.
    pub(crate) fn apply(&mut self, last_seq: u64, meta: &BlockMeta) {
        self.last_seq = last_seq;
        self.open_tx = meta.open_tx;
        self.visible_through = meta.visible_through;
        self.running_max_us = self.running_max_us.max(meta.running_max_us);
        if let Some(checkpoint) = &meta.checkpoint {
            self.checkpoint = Some(checkpoint.clone());
        }
        for closed in &meta.closed {
            self.close(closed);
        }
    }

    pub(crate) fn close(&mut self, closed: &Closed) {
        match closed {
            Closed::Prepared { xid, first, last } => {
                self.prepared.retain(|range| range.xid != *xid);
                self.prepared.push(PreparedRange { xid: xid.clone(), first: Seq(*first), last: Seq(*last) });
            }
            Closed::Forgotten { xid } => self.prepared.retain(|range| range.xid != *xid),
            Closed::Abandoned { .. } => {}
        }
    }
}
