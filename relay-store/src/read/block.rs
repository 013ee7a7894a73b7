//! A block as it was read: first as stored, then checked and decompressed, with what of it deliveries see.

use std::ops::Range;
use std::sync::Arc;

use crate::block::{self, Closing};
use crate::buffers::Lent;
use crate::entry::{Entry, decode_entry, kind};
use crate::error::ReadError;
use crate::gap::{Damage, Gap, GapReason};
use crate::segment::read::BlockHead;
use crate::seq::{LogEpoch, Seq};
use crate::view::LogView;

/// A block as it is stored, to be checked and decompressed elsewhere.
#[derive(Debug)]
pub struct RawBlock {
    /// Told when it does not verify.
    pub(super) view: Arc<LogView>,
    pub(super) head: Box<BlockHead>,
    pub(super) stored: Lent,
    pub(super) segment: u64,
    pub(super) from: u64,
    pub(super) through: u64,
    /// Ranges of this block that are never visible.
    pub(super) hidden: Vec<(u64, u64)>,
    /// All of what was asked is hidden, so the payload was left where it is.
    pub(super) skipped: bool,
}

impl RawBlock {
    /// First seq that it answers for: the one asked, or the block's first.
    pub fn first_seq(&self) -> Seq {
        Seq(self.from)
    }

    /// Last seq that it answers for: the block's last, cut at what is visible.
    pub fn last_seq(&self) -> Seq {
        Seq(self.through)
    }

    /// Bytes of the stored payload.
    pub fn bytes(&self) -> usize {
        self.stored.len()
    }

    /// Bytes of the payload once decompressed.
    pub fn raw_bytes(&self) -> usize {
        if self.skipped { 0 } else { self.head.header.raw_len as usize }
    }

    /// Checks and decompresses it; meant for another thread.
    ///
    /// # Errors
    /// [`ReadError::Gap`] naming segment, offset and seqs when it does not verify.
    pub fn decode(mut self) -> Result<Block, ReadError> {
        let mut raw = Lent::from(&self.view.buffers);
        if self.skipped {
            return Ok(self.into_block(raw, 0..0, 0..0));
        }
        let header = self.head.header;
        let (from, through) = (self.from, self.through);
        let (segment, offset) = (self.segment, self.head.offset);
        let view = self.view.clone();
        let (first, last) = (Seq(header.first_seq), Seq(header.last_seq()));
        let damaged = |error: block::BlockError| {
            let (segment, what) = (Seq(segment), error.to_string());
            view.note(Damage { segment, offset, first, last, what: what.clone() });
            let reason = GapReason::Damaged { segment, offset, what };
            ReadError::Gap(Gap { first: Seq(from), last: Seq(through), reason })
        };
        block::decode_payload(&header, self.stored.bytes_mut(), raw.bytes_mut()).map_err(&damaged)?;
        let entries = block::entries_range(&raw, &header, &self.head.meta).map_err(&damaged)?;
        let closings = entries.end..raw.len();
        Ok(self.into_block(raw, entries, closings))
    }

    fn into_block(self, raw: Lent, entries: Range<usize>, closings: Range<usize>) -> Block {
        Block { raw, entries, closings, head: self.head, from: self.from, through: self.through, hidden: self.hidden }
    }
}

/// A block whose checksum was right, decompressed.
#[derive(Debug)]
pub struct Block {
    raw: Lent,
    entries: Range<usize>,
    closings: Range<usize>,
    head: Box<BlockHead>,
    from: u64,
    through: u64,
    hidden: Vec<(u64, u64)>,
}

/// An entry and what the log says of it, for tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkedEntry<'a> {
    /// The entry.
    pub entry: Entry<'a>,
    /// Whether deliveries see it.
    pub visible: bool,
}

impl Block {
    /// Makes the prepared range that ends at `last` visible, and nothing behind it.
    pub(super) fn show(&mut self, last: u64) {
        self.through = self.through.min(last);
        let from = self.from;
        self.hidden.retain(|(first, end)| !(*first <= last && *end >= from && *end == last));
    }

    /// What the caller's [`BlockContext`](crate::BlockContext) wrote; empty when no entry of it is visible.
    pub fn context(&self) -> &[u8] {
        &self.raw[..self.entries.start]
    }

    /// First seq that it answers for.
    pub fn first_seq(&self) -> Seq {
        Seq(self.from)
    }

    /// Last seq that it answers for.
    pub fn last_seq(&self) -> Seq {
        Seq(self.through)
    }

    /// First seq of the transaction that began in an earlier block and is open at this block's first entry.
    pub fn tx_first_seq(&self) -> Option<Seq> {
        self.head.meta.tx_first.map(Seq)
    }

    /// The log epoch it was written in.
    pub fn log_epoch(&self) -> LogEpoch {
        LogEpoch(self.head.header.log_epoch)
    }

    /// The visible entries that were asked for, in order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.all_entries().filter(|marked| marked.visible && marked.entry.seq.0 >= self.from).map(|marked| marked.entry)
    }

    /// Every entry of the block, whatever was asked for, and whether deliveries see it.
    pub fn all_entries(&self) -> impl Iterator<Item = MarkedEntry<'_>> {
        let mut rest = &self.raw[self.entries.clone()];
        let mut seq = self.head.header.first_seq;
        let mut hidden = self.hidden.as_slice();
        std::iter::from_fn(move || {
            let (entry, used) = decode_entry(rest, Seq(seq), self.head.meta.received_us)?;
            rest = &rest[used..];
            while hidden.first().is_some_and(|(_, last)| *last < seq) {
                hidden = &hidden[1..];
            }
            let in_hidden = hidden.first().is_some_and(|(first, _)| *first <= seq);
            let visible = !in_hidden && seq <= self.through && entry.header.kind < kind::RESERVED;
            seq += 1;
            Some(MarkedEntry { entry, visible })
        })
    }

    /// The transactions committed in this block: first seq, last seq, commit time in microseconds.
    pub fn commits(&self) -> impl Iterator<Item = (Seq, Seq, u64)> + '_ {
        let first_seq = self.head.header.first_seq;
        let mut first = self.head.meta.tx_first.unwrap_or(first_seq);
        block::closings(&self.raw[self.closings.clone()]).filter_map(move |(entries, closing)| {
            let last = first_seq + entries - 1;
            let start = std::mem::replace(&mut first, last + 1);
            match closing {
                Closing::Commit { time_us } => Some((Seq(start), Seq(last), time_us)),
                Closing::Abandoned | Closing::Prepared => None,
            }
        })
    }
}
