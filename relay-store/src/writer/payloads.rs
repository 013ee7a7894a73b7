//! The compressed payloads of one group, one behind the other in memory that is used again.

use std::ops::Range;

use crate::block;
use crate::options::Codec;

/// Memory that is kept from group to group.
const BYTES_KEPT: usize = 4 << 20;

#[derive(Default)]
pub(super) struct Payloads {
    /// Longer than what is used of it, so that its bytes are zeroed once and not for each payload.
    bytes: Vec<u8>,
    used: usize,
}

impl Payloads {
    /// Forgets the last group's payloads; the memory of an unusually large group goes too.
    pub(super) fn clear(&mut self) {
        self.used = 0;
        if self.bytes.len() > BYTES_KEPT {
            self.bytes = Vec::new();
        }
    }

    /// Compresses a payload; `None` when it is better stored as it is.
    pub(super) fn compress(&mut self, raw: &[u8], codec: Codec) -> Option<Range<usize>> {
        let bound = block::compress_bound(raw.len(), codec)?;
        let len = block::compress(raw, codec, self.room(bound))?;
        Some(self.take(len))
    }

    /// Holds a payload as it is.
    pub(super) fn copy(&mut self, raw: &[u8]) -> Range<usize> {
        self.room(raw.len()).copy_from_slice(raw);
        self.take(raw.len())
    }

    /// A payload by the place that it was given.
    pub(super) fn get(&self, place: &Range<usize>) -> &[u8] {
        &self.bytes[place.clone()]
    }

    fn room(&mut self, len: usize) -> &mut [u8] {
        let end = self.used + len;
        if self.bytes.len() < end {
            self.bytes.reserve_exact(end - self.bytes.len());
            self.bytes.resize(end, 0);
        }
        &mut self.bytes[self.used..end]
    }

    fn take(&mut self, len: usize) -> Range<usize> {
        let start = self.used;
        self.used += len;
        start..self.used
    }
}
