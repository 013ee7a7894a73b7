//! The reader: blocks from any seq on, following the tail, never beyond what is visible.

mod block;

use std::sync::Arc;

use crate::block::{BlockKind, decode_payload};
use crate::buffers::Lent;
use crate::end::PreparedRange;
use crate::error::{ReadError, StorageError};
use crate::gap::{Damage, Gap, GapReason};
use crate::meta::db::MetaReader;
use crate::meta::schema::{self, SchemaRecord};
use crate::segment::footer::SegmentIndex;
use crate::segment::read::{BlockHead, BlockReadError, SegmentFile};
use crate::segment::scan::Depth;
use crate::segment::{path, scan};
use crate::seq::Seq;
use crate::view::LogView;

pub use block::{Block, MarkedEntry, RawBlock};

/// What a read gives.
#[derive(Debug)]
pub enum Read {
    /// The block that holds the seq asked for.
    Block(RawBlock),
    /// It cannot be read; go on behind it if that is allowed.
    Gap(Gap),
    /// Nothing visible from there on yet.
    CaughtUp,
}

/// Reads the log; one for each consumer. It keeps the segment it is in open, so a trim does not stop it there.
pub struct Reader {
    view: Arc<LogView>,
    meta: Option<MetaReader>,
    file: Option<SegmentFile>,
    /// Of the sealed segment in `file`.
    index: Option<SegmentIndex>,
    /// Where the block behind the last one begins: its first seq and offset.
    next: Option<(u64, u64)>,
    /// Whether hidden blocks are read too.
    all: bool,
}

/// Where a read has to look, decided under the view's lock.
struct Plan {
    segment: u64,
    last_seq: u64,
    /// Last seq that may be given.
    visible: u64,
    active: bool,
    start: Option<u64>,
    end: Option<u64>,
}

impl Reader {
    pub(crate) fn new(view: Arc<LogView>, meta: Option<MetaReader>) -> Self {
        Reader { view, meta, file: None, index: None, next: None, all: false }
    }

    /// Reads the payloads of blocks that have nothing visible too, for [`Block::all_entries`].
    #[must_use]
    pub fn with_hidden(mut self) -> Self {
        self.all = true;
        self
    }

    pub(crate) fn with_hidden_ref(&mut self) -> &mut Self {
        self.all = true;
        self
    }

    /// Reads the block that holds `from`. File I/O, blocking; never beyond what is visible.
    ///
    /// # Errors
    /// [`ReadError::Storage`] when the disk refuses. Damage and trimmed ranges are [`Read::Gap`].
    pub fn read(&mut self, from: Seq) -> Result<Read, ReadError> {
        let from = from.0.max(1);
        if !self.view.live && self.view.lock().mark.visible_seq < from {
            crate::read_only::refresh(&self.view)?;
        }
        // A second look when the file went away between the plan and the opening.
        for _ in 0..3 {
            let plan = match self.plan(from) {
                Ok(plan) => plan,
                Err(answer) => return Ok(answer),
            };
            if let Some(answer) = self.read_planned(from, &plan)? {
                return Ok(answer);
            }
            if !self.view.live {
                crate::read_only::refresh(&self.view)?;
            }
        }
        Ok(Read::CaughtUp)
    }

    fn plan(&self, from: u64) -> Result<Plan, Read> {
        let view = self.view.lock();
        let visible = view.mark.visible_seq;
        if let Some(gap) = view.trimmed(from) {
            return Err(Read::Gap(gap));
        }
        if from > visible {
            return Err(Read::CaughtUp);
        }
        if let Some(mut gap) = view.gap_at(from) {
            gap.last = gap.last.min(Seq(visible));
            return Err(Read::Gap(gap));
        }
        let Some(record) = view.segment_of(from) else {
            let last = view.segments.range(from + 1..).next().map_or(visible, |(first, _)| first - 1);
            return Err(Read::Gap(Gap {
                first: Seq(from),
                last: Seq(last.min(visible)),
                reason: GapReason::Damaged { segment: Seq(from), offset: 0, what: "no segment holds it".to_owned() },
            }));
        };
        // A block may reach into a range that is lost as a whole: what of it is good stays unread with the rest.
        let visible =
            view.gaps.iter().find(|gap| gap.first.0 > from).map_or(visible, |gap| visible.min(gap.first.0 - 1));
        let active = view.active.first_seq == record.first_seq;
        let last_seq = if active { view.active.last_seq } else { record.last_seq };
        Ok(Plan {
            segment: record.first_seq,
            last_seq,
            visible,
            active,
            start: active.then(|| view.active.seek(from)),
            end: active.then_some(view.active.end),
        })
    }

    fn read_planned(&mut self, from: u64, plan: &Plan) -> Result<Option<Read>, ReadError> {
        if self.file.as_ref().is_none_or(|file| file.header.first_seq != plan.segment) {
            self.next = None;
            self.index = None;
            self.file = None;
            let path = path(&self.view.log_dir, plan.segment);
            let uuid = self.view.lock().mark.uuid;
            match SegmentFile::open_or_salvage(&path, uuid, plan.segment) {
                Ok((file, problem)) => {
                    if let Some(what) = problem {
                        // Its blocks are readable without it.
                        let (segment, first) = (Seq(plan.segment), Seq(plan.segment));
                        let last = first.prev();
                        let what = what.to_owned();
                        self.view.note(Damage { segment, offset: 0, first, last, what });
                    }
                    self.file = Some(file);
                }
                Err(StorageError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                    if self.view.live && self.view.lock().segments.contains_key(&plan.segment) {
                        return Ok(Some(self.damaged(from, plan.last_seq, plan, 0, "segment file is missing")));
                    }
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let file = self.file.as_mut().expect("opened above");
        if !plan.active && self.index.is_none() {
            let index = match file.footer()? {
                Some(index) => index,
                // A damaged footer alone loses nothing: the blocks tell the same.
                None => {
                    let len = file.len()?;
                    let scan = scan::scan(file, len, Depth::Heads)?;
                    let named = name_losses(&self.view, plan, &scan);
                    self.index = Some(scan.index);
                    if named {
                        return Ok(None);
                    }
                    return self.read_planned(from, plan);
                }
            };
            self.index = Some(index);
        }
        let (start, end) = match (&self.index, plan.start, plan.end) {
            (_, Some(start), Some(end)) if plan.active => (start, end),
            (Some(index), ..) => (index.seek(from), index.end),
            _ => (file.start, file.len()?),
        };
        let mut offset = match self.next {
            Some((seq, offset)) if seq == from => offset,
            _ => start,
        };
        loop {
            let problem = if offset >= end {
                "block is missing".to_owned()
            } else {
                match file.head_at(offset) {
                    Ok(Some(head)) => {
                        let is_entries = head.header.kind == BlockKind::Entries && head.header.count > 0;
                        if !is_entries || head.header.last_seq() < from {
                            offset = head.end();
                            continue;
                        }
                        if head.header.first_seq <= from {
                            return self.take(from, plan, head).map(Some);
                        }
                        format!("expected seq {from}, found {}", head.header.first_seq)
                    }
                    Ok(None) => "block is missing".to_owned(),
                    Err(BlockReadError::Block(error)) => error.to_string(),
                    Err(BlockReadError::Storage(error)) => return Err(error.into()),
                }
            };
            // What follows may be good: the gap ends where the next block proves right.
            let mut next = None;
            let mut at = offset;
            while let Some(head) = file.resync(at, end)? {
                if head.header.kind == BlockKind::Entries && head.header.first_seq > from {
                    next = Some(head.header.first_seq);
                    break;
                }
                if head.header.last_seq() >= from && head.header.first_seq <= from {
                    return self.take(from, plan, head).map(Some);
                }
                at = head.end() - 1;
            }
            let last = next.map_or(plan.last_seq, |next| next - 1);
            return Ok(Some(self.damaged(from, last, plan, offset, &problem)));
        }
    }

    fn take(&mut self, from: u64, plan: &Plan, head: BlockHead) -> Result<Read, ReadError> {
        let (first, last) = (head.header.first_seq, head.header.last_seq());
        let through = last.min(plan.visible);
        // `None`: the segment was sealed a moment ago, and its footer says what is hidden.
        let Some(hidden) = self.hidden_between(first, last, plan) else { return self.again(from) };
        self.next = (through == last).then(|| (last + 1, head.end()));
        let covered = hidden.iter().any(|(start, end)| *start <= from && through <= *end);
        let skipped = covered && !self.all;
        let file = self.file.as_ref().expect("open");
        let mut stored = Lent::from(&self.view.buffers);
        if !skipped {
            match file.payload(&head, stored.bytes_mut()) {
                Ok(()) => {}
                Err(BlockReadError::Block(error)) => {
                    let what = error.to_string();
                    return Ok(self.damaged(from, last, plan, head.offset, &what));
                }
                Err(BlockReadError::Storage(error)) => return Err(error.into()),
            }
        }
        Ok(Read::Block(RawBlock {
            view: self.view.clone(),
            head: Box::new(head),
            stored,
            segment: plan.segment,
            from,
            through,
            hidden,
            skipped,
        }))
    }

    fn hidden_between(&self, first: u64, last: u64, plan: &Plan) -> Option<Vec<(u64, u64)>> {
        let view = self.view.lock();
        let overlaps = |&(start, end): &(u64, u64)| start <= last && end >= first;
        let mut hidden: Vec<_> = view.crossing.iter().map(|(start, end)| (*start, *end)).filter(overlaps).collect();
        if plan.active && view.active.first_seq == plan.segment {
            hidden.extend(view.active.hidden().filter(overlaps));
        } else {
            hidden.extend(self.index.as_ref()?.hidden().filter(overlaps));
        }
        hidden.sort_unstable();
        hidden.dedup();
        Some(hidden)
    }

    fn again(&mut self, from: u64) -> Result<Read, ReadError> {
        match self.plan(from) {
            Err(answer) => Ok(answer),
            Ok(plan) => self.read_planned(from, &plan).map(|answer| answer.unwrap_or(Read::CaughtUp)),
        }
    }

    fn damaged(&self, first: u64, last: u64, plan: &Plan, offset: u64, what: &str) -> Read {
        let last = last.min(plan.visible).max(first);
        let (segment, what) = (Seq(plan.segment), what.to_owned());
        let damage = Damage { segment, offset, first: Seq(first), last: Seq(last), what };
        let gap = damage.gap();
        self.view.note(damage);
        Read::Gap(gap)
    }

    /// The blocks of a prepared range, in order: their entries, although they are not visible themselves. The range must
    /// be durable: flush before, when it was prepared a moment ago.
    pub fn prepared<'a>(
        &'a mut self,
        range: &PreparedRange,
    ) -> impl Iterator<Item = Result<Block, ReadError>> + use<'a> {
        let (mut from, last) = (range.first.0, range.last.0);
        let all = std::mem::replace(&mut self.all, true);
        let mut done = false;
        std::iter::from_fn(move || {
            if done || from > last {
                self.all = all;
                return None;
            }
            let block = match self.read(Seq(from)) {
                Ok(Read::Block(raw)) => raw.decode(),
                Ok(Read::Gap(gap)) => Err(ReadError::Gap(gap)),
                // It is closed, hence visible as soon as it is durable; asked for earlier there is nothing to read.
                Ok(Read::CaughtUp) => {
                    Err(ReadError::Gap(Gap { first: Seq(from), last: Seq(last), reason: GapReason::LostEnd }))
                }
                Err(error) => Err(error),
            };
            match block {
                Ok(mut block) => {
                    from = block.last_seq().0 + 1;
                    block.show(last);
                    Some(Ok(block))
                }
                Err(error) => {
                    done = true;
                    Some(Err(error))
                }
            }
        })
    }

    /// A schema version: from the segment that was read last, else from meta when the store is live.
    ///
    /// # Errors
    /// [`ReadError::Storage`] when the disk refuses.
    pub fn schema(&mut self, id: u64) -> Result<Option<Vec<u8>>, ReadError> {
        if let Some(file) = &mut self.file {
            let offset = {
                let view = self.view.lock();
                let active = view.active.first_seq == file.header.first_seq;
                let index = if active { Some(&view.active) } else { self.index.as_ref() };
                index.and_then(|index| index.schemas.iter().find(|(known, _)| *known == id)).map(|(_, at)| *at)
            };
            if let Some(version) = offset.map(|offset| read_schema(file, offset, id)).transpose()?.flatten() {
                return Ok(Some(version));
            }
        }
        match &self.meta {
            Some(meta) => {
                let value = meta.get(&schema::key(id))?;
                Ok(value.map(|value| SchemaRecord::decode(&value)).transpose()?.map(|record| record.bytes))
            }
            None => Ok(None),
        }
    }
}

/// Names what a segment without a footer lost, together with transactions whose outcome is lost with it. Gives whether
/// anything was new.
fn name_losses(log: &LogView, plan: &Plan, scan: &scan::Scan) -> bool {
    let mut view = log.lock();
    let next = view.segments.range(plan.segment + 1..).next().map(|(first, _)| first - 1);
    let segment_last = next.unwrap_or(plan.last_seq);
    let mut losses: Vec<(u64, u64, u64, String)> =
        scan.bad.iter().map(|bad| (bad.first, bad.last, bad.offset, bad.what.clone())).collect();
    if scan.index.last_seq < segment_last {
        let first = scan.index.open_tx.unwrap_or(scan.index.last_seq + 1);
        losses.push((first, segment_last, scan.index.end, "the segment's end is missing".to_owned()));
    }
    let mut named = false;
    for (first, last, offset, what) in losses {
        let damage = Damage { segment: Seq(plan.segment), offset, first: Seq(first), last: Seq(last), what };
        let gap = damage.gap();
        view.add_damage(damage);
        // What a known gap covers already keeps its reason.
        let known = view.gaps.iter().any(|known| known.first <= gap.last && gap.first <= known.last);
        named |= !known && if log.live { view.lose(gap) } else { view.add_gap(gap) };
    }
    named
}

fn read_schema(file: &mut SegmentFile, offset: u64, id: u64) -> Result<Option<Vec<u8>>, ReadError> {
    let head = match file.head_at(offset) {
        Ok(Some(head)) if head.header.kind == BlockKind::Schemas => head,
        Ok(_) | Err(BlockReadError::Block(_)) => return Ok(None),
        Err(BlockReadError::Storage(error)) => return Err(error.into()),
    };
    let (mut stored, mut raw) = (Vec::new(), Vec::new());
    match file.payload(&head, &mut stored) {
        Ok(()) => {}
        Err(BlockReadError::Block(_)) => return Ok(None),
        Err(BlockReadError::Storage(error)) => return Err(error.into()),
    }
    let Ok(()) = decode_payload(&head.header, &mut stored, &mut raw) else { return Ok(None) };
    Ok(schema::decode_block(&raw)?.into_iter().find(|version| version.id == id).map(|version| version.bytes))
}
