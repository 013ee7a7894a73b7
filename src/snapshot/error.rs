//! Why a table is not copied, and what may be done about it.

use thiserror::Error;

use super::image::ImageError;
use crate::binlog::DecodeError;
use crate::capture::chunks::OpenRefused;
use crate::capture::stream::StreamError;
use crate::failure::{Class, Failure};
use crate::log::LogError;

/// Why a table, or the list of tables, cannot be read now.
#[derive(Debug, Error)]
pub enum CopyError {
    /// The server.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A row that cannot be written as the stream would have it.
    #[error(transparent)]
    Image(ImageError),
    /// The same of its key.
    #[error("read the key of a row: {0}")]
    Key(#[from] DecodeError),
    /// Another server answers than the one that is captured.
    #[error("{address} is {found} and capture reads {wanted}: rows of another server may be older or newer")]
    OtherServer {
        /// Where.
        address: String,
        /// Who answers.
        found: String,
        /// Who should.
        wanted: String,
    },
    /// What the stream has brought does not become visible.
    #[error("the source does not show what its binlog has brought after {0} s")]
    NotVisible(u64),
    /// It does not tell where its binlog ends.
    #[error("the source does not say where its binlog ends")]
    NoPosition,
    /// A row without a part of its key.
    #[error("a row holds NULL in a column of its key")]
    NoKey,
    /// Capture has no definition to read it by.
    #[error(transparent)]
    Definition(OpenRefused),
    /// What the log knows of earlier copies does not decode.
    #[error("progress in the log: {0}")]
    Progress(#[from] LogError),
    /// Its reader ended of itself.
    #[error("internal error: {0}")]
    Internal(String),
}

impl From<ImageError> for CopyError {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Stream(error) => Self::Stream(error),
            error @ ImageError::Value { .. } => Self::Image(error),
        }
    }
}

impl Failure for CopyError {
    fn class(&self) -> Class {
        match self {
            Self::Stream(error) => error.class(),
            Self::OtherServer { .. } | Self::NotVisible(_) | Self::Internal(_) => Class::Transient,
            Self::Image(_)
            | Self::Key(_)
            | Self::NoPosition
            | Self::NoKey
            | Self::Definition(_)
            | Self::Progress(_) => Class::Definite,
        }
    }

    fn next_step(&self) -> Option<String> {
        match self {
            Self::Stream(error) => error.next_step(),
            Self::NoPosition => Some("grant REPLICATION CLIENT to the relay's account".to_owned()),
            _ => None,
        }
    }
}
