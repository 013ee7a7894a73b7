//! Addresses: from a time or a source position to a seq, by the catalogue, then block headers of one segment, then one
//! block. No scan of the log.

use std::time::Duration;

use crate::block::BlockKind;
use crate::error::{ReadError, StorageError};
use crate::meta::catalogue::SegmentState;
use crate::read::{Read, Reader};
use crate::segment::footer::SegmentIndex;
use crate::segment::read::{BlockHead, BlockReadError, SegmentFile};
use crate::segment::{path, scan};
use crate::seq::Seq;
use crate::view::LogView;

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located {
    /// First seq of the transaction that was asked for; for a checkpoint, of the first that may be it.
    pub first: Seq,
    /// Last seq of it; for a checkpoint, the end of the block in which it lies: the caller looks at the transactions
    /// from `first` to here, for it alone knows what a checkpoint means.
    pub last: Seq,
}

/// An address leads nowhere in this log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LocateError {
    /// What was asked for lies, or may lie, before the log's start.
    #[error("the address lies before the log's start at seq {first}: use a later one, or earliest")]
    BeforeStart {
        /// First seq that is kept.
        first: Seq,
    },
    /// Nothing in the log reaches it yet.
    #[error("the address lies after the log's end at seq {visible}: use an earlier one, or latest")]
    AfterEnd {
        /// Last visible seq.
        visible: Seq,
        /// Largest commit time in the log, since the Unix epoch.
        newest: Option<Duration>,
    },
    /// The place could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<StorageError> for LocateError {
    fn from(error: StorageError) -> Self {
        LocateError::Read(error.into())
    }
}

/// The first transaction whose commit time reaches `us`. Nothing at or after that time lies before it.
pub(crate) fn locate_time(log: &LogView, mut reader: Reader, us: u64) -> Result<Located, LocateError> {
    let (segments, first_seq, visible, newest) = {
        let view = log.lock();
        let running = |first: u64, sealed: u64| {
            if view.active.first_seq == first { view.active.running_max_us } else { sealed }
        };
        let segments: Vec<(u64, u64)> = view
            .segments
            .values()
            .filter(|record| record.state != SegmentState::Deleting)
            .map(|record| (record.first_seq, running(record.first_seq, record.running_max_us)))
            .collect();
        (segments, view.mark.first_seq, view.mark.visible_seq, view.active.running_max_us)
    };
    let after =
        || LocateError::AfterEnd { visible: Seq(visible), newest: (newest > 0).then(|| Duration::from_micros(newest)) };
    let at = segments.partition_point(|(_, running_max)| *running_max < us);
    let Some(&(segment, _)) = segments.get(at) else { return Err(after()) };
    let Some(Opened { mut file, index, header_problem }) = open(log, segment)? else { return Err(before(log)) };
    if at == 0 && first_seq > 1 {
        // Only the header says what came before the log's start.
        if let Some(what) = header_problem {
            return Err(StorageError::damaged(file.path.display().to_string(), what).into());
        }
        if file.header.running_max_us >= us && us > 0 {
            return Err(before(log));
        }
    }
    let reached = index.index.partition_point(|entry| entry.running_max_us < us);
    let start = reached.checked_sub(1).map_or(index.start, |at| index.index[at].offset);
    let found =
        hop(&mut file, start, index.end, |head| Ok(head.meta.running_max_us >= us && head.meta.times.is_some()))?;
    let Some(head) = found else { return Err(after()) };
    // A block without entries only closes what lies before it.
    if head.header.count == 0 {
        return at_transaction(head.meta.tx_first.unwrap_or(head.header.first_seq), head.header.last_seq(), first_seq);
    }
    let block = match reader.with_hidden_ref().read(Seq(head.header.first_seq.max(first_seq)))? {
        Read::Block(raw) => raw.decode()?,
        Read::Gap(gap) => return Err(LocateError::Read(ReadError::Gap(gap))),
        Read::CaughtUp => return Err(after()),
    };
    let commit = block.commits().find(|(_, _, time)| *time >= us);
    let Some((first, last, _)) = commit else { return Err(after()) };
    at_transaction(first.0, last.0, first_seq)
}

/// The block in which the checkpoint first satisfies `covers`, which must stay true once it is.
pub(crate) fn locate_checkpoint(log: &LogView, covers: &mut dyn FnMut(&[u8]) -> bool) -> Result<Located, LocateError> {
    let (segments, first_seq, visible, newest) = {
        let view = log.lock();
        let kept = view.segments.values().filter(|record| record.state != SegmentState::Deleting);
        let segments: Vec<u64> = kept.map(|record| record.first_seq).collect();
        (segments, view.mark.first_seq, view.mark.visible_seq, view.active.running_max_us)
    };
    // The last segment whose start is not covered yet.
    let (mut low, mut high) = (0, segments.len());
    while low < high {
        let middle = low + (high - low) / 2;
        // Trimmed while we look: it counts as not covered, and what follows decides.
        let covered = match open(log, segments[middle])? {
            Some(opened) if opened.header_problem.is_none() => {
                opened.file.header.checkpoint.as_deref().is_some_and(&mut *covers)
            }
            // What the segment before ended with is the same.
            Some(opened) => match middle.checked_sub(1).map(|before| open(log, segments[before])).transpose()? {
                Some(Some(before)) => before.index.checkpoint.as_deref().is_some_and(&mut *covers),
                Some(None) => false,
                None if first_seq == 1 => false,
                None => {
                    let what = opened.header_problem.unwrap_or_default();
                    return Err(StorageError::damaged(opened.file.path.display().to_string(), what).into());
                }
            },
            None => false,
        };
        if covered { high = middle } else { low = middle + 1 }
    }
    let Some(at) = low.checked_sub(1) else { return Err(before(log)) };
    let Some(Opened { mut file, index, .. }) = open(log, segments[at])? else { return Err(before(log)) };
    let found =
        hop(&mut file, index.start, index.end, |head| Ok(head.meta.checkpoint.as_deref().is_some_and(&mut *covers)))?;
    match found {
        // Where the log begins, and that is beyond what was asked for.
        Some(head) if head.header.count == 0 && head.meta.tx_first.is_none() => Err(before(log)),
        Some(head) => {
            let first = head.meta.tx_first.unwrap_or(head.header.first_seq);
            at_transaction(first, head.header.last_seq().max(first), first_seq)
        }
        None => Err(LocateError::AfterEnd {
            visible: Seq(visible),
            newest: (newest > 0).then(|| Duration::from_micros(newest)),
        }),
    }
}

fn at_transaction(first: u64, last: u64, first_seq: u64) -> Result<Located, LocateError> {
    if first < first_seq {
        return Err(LocateError::BeforeStart { first: Seq(first_seq) });
    }
    Ok(Located { first: Seq(first), last: Seq(last) })
}

/// The log's start as it is now: retention may go on while we look.
fn before(log: &LogView) -> LocateError {
    if !log.live
        && let Err(error) = crate::read_only::refresh(log)
    {
        return error.into();
    }
    LocateError::BeforeStart { first: Seq(log.lock().mark.first_seq) }
}

/// A segment with its index, and what is wrong with its header.
struct Opened {
    file: SegmentFile,
    index: SegmentIndex,
    header_problem: Option<&'static str>,
}

/// Opens a segment; `None` when it was trimmed.
fn open(log: &LogView, first: u64) -> Result<Option<Opened>, StorageError> {
    let path = path(&log.log_dir, first);
    let uuid = log.lock().mark.uuid;
    let (mut file, header_problem) = match SegmentFile::open_or_salvage(&path, uuid, first) {
        Ok(opened) => opened,
        Err(StorageError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let active = {
        let view = log.lock();
        (view.active.first_seq == first).then(|| view.active.clone())
    };
    let index = match active {
        Some(index) => index,
        None => match file.footer()? {
            Some(index) => index,
            None => {
                let len = file.len()?;
                scan::scan(&mut file, len, scan::Depth::Heads)?.index
            }
        },
    };
    Ok(Some(Opened { file, index, header_problem }))
}

/// Hops over block headers until `wanted`. What does not verify is passed over: reading names it.
fn hop(
    file: &mut SegmentFile,
    start: u64,
    end: u64,
    mut wanted: impl FnMut(&BlockHead) -> Result<bool, StorageError>,
) -> Result<Option<BlockHead>, StorageError> {
    let mut offset = start;
    while offset < end {
        let head = match file.head_at(offset) {
            Ok(Some(head)) => head,
            Ok(None) => break,
            Err(BlockReadError::Block(_)) => match file.resync(offset, end)? {
                Some(head) => head,
                None => break,
            },
            Err(BlockReadError::Storage(error)) => return Err(error),
        };
        offset = head.end();
        if head.header.kind == BlockKind::Entries && wanted(&head)? {
            return Ok(Some(head));
        }
    }
    Ok(None)
}
