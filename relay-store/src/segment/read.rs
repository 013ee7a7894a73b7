//! Reading one segment file by position: its header, its footer, one block after the other.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::footer::{self, SegmentIndex};
use super::{BODY_BYTES_MAX, FIXED_LEN, MAGIC, SegmentHeader, VERSION};
use crate::block::{self, BlockError, BlockHeader, BlockMeta, HEADER_LEN, Place};
use crate::bounded;
use crate::error::StorageError;

/// Read together with a block's fixed header: most metas fit.
const PEEK: usize = 1024;
/// Bytes read at a time where a payload is only checked.
const PIECE: u64 = 256 << 10;

/// One block without its payload.
#[derive(Debug, Clone)]
pub(crate) struct BlockHead {
    pub offset: u64,
    pub header: BlockHeader,
    pub meta: BlockMeta,
}

impl BlockHead {
    /// Where its payload begins.
    pub(crate) fn payload_offset(&self) -> u64 {
        self.offset + (HEADER_LEN as u64) + u64::from(self.header.meta_len)
    }

    /// Where the next block begins.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.header.len()
    }
}

/// Why a place in a segment gives no block.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum BlockReadError {
    #[error(transparent)]
    Block(#[from] BlockError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// An open segment file.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    pub path: PathBuf,
    pub header: SegmentHeader,
    /// Offset of the first block.
    pub start: u64,
    file: File,
    scratch: Vec<u8>,
}

impl SegmentFile {
    /// Opens a segment and checks its header. The outer error is the disk's; the inner says what is wrong with the file.
    pub(crate) fn open(path: &Path) -> Result<Result<Self, &'static str>, StorageError> {
        let file = File::open(path).map_err(|error| StorageError::io("open segment", path, error))?;
        let mut fixed = [0u8; FIXED_LEN];
        let io = |error| StorageError::io("read segment", path, error);
        if read_full(&file, &mut fixed, 0).map_err(io)? < FIXED_LEN {
            return Ok(Err("segment header is cut short"));
        }
        if fixed[0..8] != MAGIC {
            return Ok(Err("not a segment"));
        }
        let crc = u32::from_le_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]);
        let version = u32::from_le_bytes([fixed[12], fixed[13], fixed[14], fixed[15]]);
        let body_len = u32::from_le_bytes([fixed[16], fixed[17], fixed[18], fixed[19]]) as usize;
        let file_len = file.metadata().map_err(io)?.len();
        if body_len > BODY_BYTES_MAX || (FIXED_LEN + body_len) as u64 > file_len {
            return Ok(Err("segment header is cut short"));
        }
        let mut body = vec![0u8; body_len];
        if read_full(&file, &mut body, FIXED_LEN as u64).map_err(io)? < body_len {
            return Ok(Err("segment header is cut short"));
        }
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&fixed[12..]);
        hasher.update(&body);
        if hasher.finalize() != crc {
            return Ok(Err("checksum of the segment header is wrong"));
        }
        if version != VERSION {
            return Ok(Err("segment version is newer than this release reads"));
        }
        match bounded::decode::<SegmentHeader>(&body) {
            Ok(header) if header.first_seq >= 1 => Ok(Ok(SegmentFile {
                path: path.to_owned(),
                header,
                start: (FIXED_LEN + body_len) as u64,
                file,
                scratch: Vec::new(),
            })),
            _ => Ok(Err("segment header does not decode")),
        }
    }

    /// Opens a segment whatever its header is like: uuid and first seq are all that its blocks need. Gives what is
    /// wrong with the header; then its other fields say nothing.
    pub(crate) fn open_or_salvage(
        path: &Path,
        uuid: [u8; 16],
        first_seq: u64,
    ) -> Result<(Self, Option<&'static str>), StorageError> {
        let problem = match Self::open(path)? {
            Ok(file) if file.header.first_seq == first_seq && file.header.uuid == uuid => return Ok((file, None)),
            Ok(_) => "it is a segment of another place or store",
            Err(problem) => problem,
        };
        let file = File::open(path).map_err(|error| StorageError::io("open segment", path, error))?;
        let header = SegmentHeader {
            uuid,
            first_seq,
            created_ms: 0,
            log_epoch: 0,
            checkpoint: None,
            running_max_us: 0,
            open_tx: None,
            visible_through: 0,
            cursors: Vec::new(),
        };
        let start = FIXED_LEN as u64;
        Ok((SegmentFile { path: path.to_owned(), header, start, file, scratch: Vec::new() }, Some(problem)))
    }

    /// Bytes of the file now.
    pub(crate) fn len(&self) -> Result<u64, StorageError> {
        let metadata = self.file.metadata().map_err(|error| StorageError::io("read segment", &self.path, error))?;
        Ok(metadata.len())
    }

    /// The footer of a sealed segment; `None` when there is none or it is damaged: a scan gives the same.
    pub(crate) fn footer(&self) -> Result<Option<SegmentIndex>, StorageError> {
        let io = |error| StorageError::io("read segment", &self.path, error);
        let len = self.len()?;
        let Some(trailer_at) = len.checked_sub(footer::TRAILER_LEN as u64) else { return Ok(None) };
        let mut trailer = [0u8; footer::TRAILER_LEN];
        if read_full(&self.file, &mut trailer, trailer_at).map_err(io)? < trailer.len() {
            return Ok(None);
        }
        let Some((body_len, crc)) = footer::trailer(&trailer) else { return Ok(None) };
        let footer_len = footer::HEAD_LEN as u64 + u64::from(body_len);
        let Some(at) = trailer_at.checked_sub(footer_len) else { return Ok(None) };
        if body_len as usize > footer::BODY_BYTES_MAX || at < self.start {
            return Ok(None);
        }
        let mut bytes = vec![0u8; footer_len as usize];
        if read_full(&self.file, &mut bytes, at).map_err(io)? < bytes.len() {
            return Ok(None);
        }
        Ok(footer::decode(&bytes).filter(|index| {
            bytes[4..8] == crc
                && index.first_seq == self.header.first_seq
                && index.end == at
                && index.last_seq >= index.first_seq - 1
        }))
    }

    /// Header and meta of the block at `offset`, checked; `None` where the footer or the file's end is.
    pub(crate) fn head_at(&mut self, offset: u64) -> Result<Option<BlockHead>, BlockReadError> {
        let io = |error| StorageError::io("read segment", &self.path, error);
        self.scratch.resize(HEADER_LEN + PEEK, 0);
        let mut have = read_full(&self.file, &mut self.scratch, offset).map_err(io)?;
        if have == 0 || (have >= 4 && self.scratch[0..4] == footer::MAGIC.to_le_bytes()) {
            return Ok(None);
        }
        let Some(fixed) = self.scratch[..have].first_chunk::<HEADER_LEN>().copied() else {
            return Err(BlockError::Short.into());
        };
        let header = block::decode_header(&fixed)?;
        let head_len = HEADER_LEN + header.meta_len as usize;
        if have < head_len {
            let file_len = self.file.metadata().map_err(io)?.len();
            if offset + head_len as u64 > file_len {
                return Err(BlockError::Short.into());
            }
            self.scratch.resize(head_len, 0);
            have = read_full(&self.file, &mut self.scratch, offset).map_err(io)?;
            if have < head_len {
                return Err(BlockError::Short.into());
            }
        }
        let place = Place { uuid: &self.header.uuid, segment: self.header.first_seq, offset };
        let meta = block::decode_meta(&fixed, &self.scratch[HEADER_LEN..head_len], place)?;
        Ok(Some(BlockHead { offset, header, meta }))
    }

    /// Makes `stored` the stored payload of a block.
    pub(crate) fn payload(&self, head: &BlockHead, stored: &mut Vec<u8>) -> Result<(), BlockReadError> {
        let io = |error| StorageError::io("read segment", &self.path, error);
        let len = head.header.stored_len as usize;
        // The header proved right, but the file may have been cut: no allocation beyond what is there.
        if len > 1 << 20 && self.file.metadata().map_err(io)?.len() < head.end() {
            return Err(BlockError::Short.into());
        }
        stored.clear();
        stored.resize(len, 0);
        if read_full(&self.file, stored, head.payload_offset()).map_err(io)? < len {
            return Err(BlockError::Short.into());
        }
        Ok(())
    }

    /// Checksum of the stored payload, read in pieces: the largest payload must not cost its size in memory.
    pub(crate) fn payload_crc(&mut self, head: &BlockHead) -> Result<u32, BlockReadError> {
        let mut hasher = crc32fast::Hasher::new();
        let (mut at, end) = (head.payload_offset(), head.end());
        while at < end {
            let piece = (end - at).min(PIECE) as usize;
            self.scratch.resize(piece, 0);
            let read = read_full(&self.file, &mut self.scratch, at)
                .map_err(|error| StorageError::io("read segment", &self.path, error))?;
            if read < piece {
                return Err(BlockError::Short.into());
            }
            hasher.update(&self.scratch);
            at += piece as u64;
        }
        Ok(hasher.finalize())
    }

    /// The next offset after `from` where a block's header and meta prove right, before `end`.
    pub(crate) fn resync(&mut self, from: u64, end: u64) -> Result<Option<BlockHead>, StorageError> {
        const STEP: usize = 1 << 20;
        let magic = block::MAGIC.to_le_bytes();
        let mut chunk = vec![0u8; STEP + 3];
        let mut base = from + 1;
        while base < end {
            let have = read_full(&self.file, &mut chunk, base)
                .map_err(|error| StorageError::io("read segment", &self.path, error))?;
            if have < 4 {
                return Ok(None);
            }
            for at in 0..=(have - 4).min(STEP - 1) {
                if chunk[at..at + 4] == magic && base + (at as u64) < end {
                    match self.head_at(base + at as u64) {
                        Ok(Some(head)) => return Ok(Some(head)),
                        Ok(None) | Err(BlockReadError::Block(_)) => {}
                        Err(BlockReadError::Storage(error)) => return Err(error),
                    }
                }
            }
            base += STEP as u64;
        }
        Ok(None)
    }
}

/// Reads a file that has a few lines at the most: of a larger one only the front.
pub(crate) fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(4096).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads until the buffer is full or the file ends; gives the bytes read.
pub(crate) fn read_full(file: &File, buffer: &mut [u8], mut offset: u64) -> io::Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match file.read_at(&mut buffer[have..], offset) {
            Ok(0) => break,
            Ok(read) => {
                have += read;
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(have)
}
