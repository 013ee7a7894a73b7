//! A group: the queued blocks that one write takes, compressed and framed for the active segment.

use std::collections::VecDeque;
use std::ops::Range;

use super::{GroupError, Writer};
use crate::block::{self, BlockHeader, BlockKind, BlockMeta, Place};
use crate::error::StorageError;
use crate::meta::schema::{self, SchemaRecord, SchemaVersion};
use crate::options::Codec;
use crate::queue::{Item, SealedBlock};
use crate::room::Load;
use crate::segment::footer::SegmentIndex;

/// One block of a group on its way to the file.
pub(super) struct Encoded {
    /// Item of `work` it comes from; `None` for a block of schema versions.
    pub item: Option<usize>,
    pub head: Range<usize>,
    /// Where in the compressed payloads; `None`: the item's own payload.
    pub compressed: Option<Range<usize>>,
    pub offset: u64,
    pub header: BlockHeader,
    /// Of a schema block.
    pub meta: Option<BlockMeta>,
}

/// The blocks that one write takes, and the end of the log after them.
#[derive(Default)]
pub(super) struct Group {
    pub heads: Vec<u8>,
    pub blocks: Vec<Encoded>,
    pub items: usize,
    pub bytes: u64,
    pub schemas: Vec<u64>,
    pub rotate: bool,
}

impl Group {
    /// What it needs room for; `work` holds its items.
    pub(super) fn load(&self, work: &VecDeque<Item>) -> Load {
        let blocks = work.iter().take(self.items).filter_map(|item| match item {
            Item::Block(block) => Some(block),
            Item::Advance(_) => None,
        });
        let versions =
            |block: &SealedBlock| block.schemas.iter().map(|version| version.bytes.len() as u64).sum::<u64>();
        // Versions go into meta too.
        let meta: u64 = blocks.clone().map(|block| versions(block)).sum();
        Load { bytes: self.bytes + 2 * meta, closes: meta == 0 && blocks.clone().all(|block| block.bare) }
    }
}

/// What a block's head says beside its payload.
struct Frame<'a> {
    kind: BlockKind,
    first_seq: u64,
    count: u32,
    meta: &'a BlockMeta,
    /// Checksum of the payload as it is, where that is known.
    raw_crc: Option<u32>,
}

impl Writer {
    /// Compresses and frames as many items as the active segment takes.
    pub(super) fn encode(&mut self) -> Result<Group, GroupError> {
        let mut group = Group::default();
        let mut offset = self.segment.offset;
        let mut has_entries = self.segment.index.last_seq >= self.segment.index.first_seq;
        let codec = self.shared.options.codec;
        self.compressed.clear();
        for (position, item) in self.work.iter().enumerate() {
            let Item::Block(block) = item else {
                group.items = position + 1;
                continue;
            };
            if self.sealed {
                group.rotate = true;
                break;
            }
            let marks = (group.heads.len(), group.blocks.len(), group.schemas.len());
            let missing: Vec<u64> = block
                .meta
                .schema_ids
                .iter()
                .filter(|id| !self.in_segment.contains(id) && !group.schemas.contains(id))
                .copied()
                .collect();
            if !missing.is_empty() {
                let versions = self.versions(&missing)?;
                if !versions.is_empty() {
                    let payload = schema::encode_block(&versions);
                    let meta = BlockMeta {
                        schema_ids: versions.iter().map(|version| version.id).collect(),
                        ..BlockMeta::default()
                    };
                    group.schemas.extend(&missing);
                    let compressed = self.compressed.compress(&payload, codec);
                    let frame = Frame {
                        kind: BlockKind::Schemas,
                        first_seq: block.first_seq,
                        count: 0,
                        meta: &meta,
                        raw_crc: None,
                    };
                    let header = self.frame(&mut group.heads, frame, &payload, compressed.as_ref(), offset);
                    group.blocks.push(Encoded {
                        item: None,
                        head: marks.0..group.heads.len(),
                        compressed: Some(compressed.unwrap_or_else(|| self.compressed.copy(&payload))),
                        offset,
                        header,
                        meta: Some(meta),
                    });
                    offset += header.len();
                }
            }
            let head_start = group.heads.len();
            let compressed = self.compressed.compress(&block.payload, codec);
            let frame = Frame {
                kind: BlockKind::Entries,
                first_seq: block.first_seq,
                count: block.count,
                meta: &block.meta,
                raw_crc: block.payload_crc,
            };
            let header = self.frame(&mut group.heads, frame, &block.payload, compressed.as_ref(), offset);
            let end = offset + header.len();
            if end > self.shared.options.segment_bytes && has_entries && block.count > 0 {
                // This block begins the next segment.
                group.heads.truncate(marks.0);
                group.blocks.truncate(marks.1);
                group.schemas.truncate(marks.2);
                group.rotate = true;
                break;
            }
            group.blocks.push(Encoded {
                item: Some(position),
                head: head_start..group.heads.len(),
                compressed,
                offset,
                header,
                meta: None,
            });
            has_entries |= block.count > 0;
            offset = end;
            group.items = position + 1;
            if self.gives_up(block) {
                break;
            }
        }
        // Not by the offset: what was framed and taken back is in it.
        group.bytes = group.blocks.iter().map(|encoded| encoded.header.len()).sum();
        Ok(group)
    }

    /// Appends a block's head to `heads`; its payload is `compressed`, or `raw` as it is.
    fn frame(
        &self,
        heads: &mut Vec<u8>,
        frame: Frame<'_>,
        raw: &[u8],
        compressed: Option<&Range<usize>>,
        offset: u64,
    ) -> BlockHeader {
        let (codec, stored, known_crc) = match compressed {
            Some(place) => (self.shared.options.codec, self.compressed.get(place), None),
            None => (Codec::None, raw, frame.raw_crc),
        };
        let header = BlockHeader {
            kind: frame.kind,
            codec,
            meta_len: 0,
            stored_len: stored.len() as u32,
            raw_len: raw.len() as u32,
            payload_crc: known_crc.unwrap_or_else(|| crc32fast::hash(stored)),
            log_epoch: self.mark.log_epoch,
            first_seq: frame.first_seq,
            // While the group before is not durable this says what is: opening holds it against meta's mark.
            durable_seq: self.shared.watch.durable(),
            count: frame.count,
        };
        let place = Place { uuid: &self.shared.uuid, segment: self.segment.index.first_seq, offset };
        block::encode_head(heads, header, frame.meta, place)
    }

    fn versions(&self, ids: &[u64]) -> Result<Vec<SchemaVersion>, StorageError> {
        let mut versions = Vec::new();
        for &id in ids {
            let mut queued = self.work.iter().flat_map(|item| match item {
                Item::Block(block) => block.schemas.as_slice(),
                Item::Advance(_) => &[],
            });
            // The group before may not be in meta yet.
            let unsettled = self.unsettled.iter().find(|version| version.id == id);
            let bytes = match unsettled.or_else(|| queued.find(|version| version.id == id)) {
                Some(version) => Some(version.bytes.clone()),
                None => match self.shared.meta.get(&schema::key(id))? {
                    Some(value) => Some(SchemaRecord::decode(&value)?.bytes),
                    None => None,
                },
            };
            match bytes {
                Some(bytes) => versions.push(SchemaVersion { id, bytes }),
                None => tracing::warn!(schema = id, "an entry needs a schema version that was never put"),
            }
        }
        Ok(versions)
    }
}

/// Takes the blocks of a written group into an index.
pub(super) fn add_blocks(index: &mut SegmentIndex, group: &Group, items: &[Item]) {
    for encoded in &group.blocks {
        let item = encoded.item.map(|position| &items[position]);
        match (&encoded.meta, item) {
            (Some(meta), _) => index.add(encoded.offset, &encoded.header, meta),
            (None, Some(Item::Block(block))) => index.add(encoded.offset, &encoded.header, &block.meta),
            (None, _) => unreachable!("every block has its meta or its item"),
        }
    }
}
