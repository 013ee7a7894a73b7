//! `[log]`: where the durable log lies, how it is written, and what may leave it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{FieldError, Size, Span, within};

/// The durable log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// The folder; created when it is missing, one daemon a folder.
    pub dir: PathBuf,
    /// How blocks are compressed.
    pub codec: Codec,
    /// The longest a commit waits for others before the group is synced.
    pub commit_interval: Span,
    /// Bytes before compression in a block.
    pub block_bytes: Size,
    /// Bytes of a segment file, the unit that retention removes.
    pub segment_bytes: Size,
    /// Bytes that may wait between capture and the disk; capture stops reading when they are full.
    pub queue_bytes: Size,
    /// Bytes kept aside so that cursors and retention still work on a full disk.
    pub ballast_bytes: Size,
    /// What may leave the log.
    pub retention: Retention,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("/var/lib/relay"),
            codec: Codec::Lz4,
            commit_interval: Span::millis(5),
            block_bytes: Size::kib(128),
            segment_bytes: Size::mib(64),
            queue_bytes: Size::mib(8),
            ballast_bytes: Size::mib(16),
            retention: Retention::default(),
        }
    }
}

/// How blocks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Fast, and the default.
    Lz4,
    /// Smaller, at several times the CPU.
    Zstd,
    /// As received.
    None,
}

/// What may leave the log. Limits hold for delivered data; what `lagging_cursor` says decides about the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Age since a segment was sealed, by this machine's clock, never by event time.
    pub max_age: Span,
    /// Bytes of the log on disk.
    pub max_bytes: Size,
    /// What happens to a cursor that limits would overtake.
    pub lagging_cursor: LaggingCursor,
    /// Free bytes of the disk below which delivered data goes first, however young, and capture stops last.
    pub disk_free_min: Size,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            max_age: Span::minutes(72 * 60),
            max_bytes: Size::gib(200),
            lagging_cursor: LaggingCursor::Hold,
            disk_free_min: Size::gib(5),
        }
    }
}

/// What happens to a cursor that retention's limits would overtake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LaggingCursor {
    /// Undelivered data is never removed.
    Hold,
    /// The cursor is marked lost, its gap named.
    Expire,
}

impl Log {
    pub(super) fn validate(&self) -> Result<(), FieldError> {
        if self.dir.as_os_str().is_empty() {
            return Err(FieldError::new("dir", "it is empty; name a folder, such as \"/var/lib/relay\""));
        }
        within("commit_interval", self.commit_interval, Span::millis(1), Span::seconds(1))?;
        within("block_bytes", self.block_bytes, Size::kib(16), Size::mib(4))?;
        within("segment_bytes", self.segment_bytes, Size::mib(1), Size::gib(1))?;
        within("queue_bytes", self.queue_bytes, Size::mib(1), Size::gib(1))?;
        within("ballast_bytes", self.ballast_bytes, Size(0), Size::gib(1))?;
        if self.block_bytes > self.queue_bytes {
            return Err(FieldError::new(
                "block_bytes",
                "it is larger than queue_bytes, so no block would fit the queue",
            ));
        }
        let smallest = Size(self.segment_bytes.0.saturating_mul(2));
        if self.retention.max_bytes < smallest {
            let reason = format!("{} is below two segments ({smallest})", self.retention.max_bytes);
            return Err(FieldError::new("retention.max_bytes", reason));
        }
        within("retention.max_age", self.retention.max_age, Span::minutes(1), Span::minutes(60 * 24 * 3650))
    }
}
