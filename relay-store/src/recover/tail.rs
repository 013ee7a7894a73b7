//! The active segment: what is there up to the mark, and what is known where its file or header is gone.

use super::{MetaState, Site};
use crate::error::StorageError;
use crate::meta::mark::Mark;
use crate::segment;
use crate::segment::footer::SegmentIndex;
use crate::segment::read::SegmentFile;
use crate::segment::scan::{self, BadStretch, Scan};

pub(super) fn scan_tail(site: &Site<'_>, mark: &Mark, state: &MetaState) -> Result<Option<Scan>, StorageError> {
    let path = segment::path(&site.log_dir, mark.segment);
    let (mut file, problem) = match SegmentFile::open_or_salvage(&path, site.uuid, mark.segment) {
        Ok(opened) => opened,
        Err(StorageError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(what) = problem else { return scan::scan(&mut file, mark.offset, scan::Depth::Checksums).map(Some) };
    if let Some(before) = index_before(site, mark.segment, state)? {
        file.header.log_epoch = before.log_epoch;
        file.header.checkpoint = before.checkpoint;
        file.header.running_max_us = before.running_max_us;
        file.header.open_tx = before.open_tx;
        file.header.visible_through = before.visible_through;
    }
    let mut scan = scan::scan(&mut file, mark.offset, scan::Depth::Checksums)?;
    let (first, last) = (mark.segment, mark.segment - 1);
    scan.bad.insert(0, BadStretch { offset: 0, until: file.start, first, last, what: what.to_owned() });
    Ok(Some(scan))
}

/// What is known when the active segment's file is gone: what the segment before it ended with.
pub(super) fn missing_tail(site: &Site<'_>, mark: &Mark, state: &MetaState) -> Result<Scan, StorageError> {
    let before = index_before(site, mark.segment, state)?.unwrap_or_default();
    let (first, last) = (mark.segment, mark.segment - 1);
    let index = SegmentIndex {
        first_seq: first,
        last_seq: last,
        index: Vec::new(),
        closed: Vec::new(),
        schemas: Vec::new(),
        times: None,
        ..before
    };
    let what = "segment file is missing".to_owned();
    Ok(Scan { index, bad: vec![BadStretch { offset: 0, until: 0, first, last, what }], durable_seq: 0, blocks: 0 })
}

/// The index of the segment before the one that begins at `first_seq`.
fn index_before(site: &Site<'_>, first_seq: u64, state: &MetaState) -> Result<Option<SegmentIndex>, StorageError> {
    let Some(before) = state.segments.range(..first_seq).next_back().map(|(first, _)| *first) else {
        return Ok(None);
    };
    let path = segment::path(&site.log_dir, before);
    let mut file = match SegmentFile::open_or_salvage(&path, site.uuid, before) {
        Ok((file, _)) => file,
        Err(StorageError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.footer()? {
        Some(index) => Ok(Some(index)),
        None => {
            let len = file.len()?;
            Ok(Some(scan::scan(&mut file, len, scan::Depth::Heads)?.index))
        }
    }
}
