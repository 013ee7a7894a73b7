//! The resume decision with its questions: facts first, then [`position::choose`].

use thiserror::Error;

use super::{Session, fill_created_around};
use crate::capture::facts::ServerFacts;
use crate::capture::position::{self, PositionError, ResumePoint};
use crate::capture::stream::{ConnectOptions, StreamError};
use crate::config::{Source, SourceStart};
use crate::failure::{Class, Exit, Failure};
use crate::log::Checkpoint;

/// Why it is not known where to resume.
#[derive(Debug, Error)]
pub enum ResumeError {
    /// The server could not be asked.
    #[error("ask the source where to resume: {0}")]
    Ask(#[from] StreamError),
    /// The server cannot continue the log.
    #[error(transparent)]
    Position(#[from] PositionError),
}

impl Failure for ResumeError {
    fn class(&self) -> Class {
        match self {
            Self::Ask(error) => error.class(),
            Self::Position(error) => error.class(),
        }
    }

    fn next_step(&self) -> Option<String> {
        match self {
            Self::Ask(error) => error.next_step(),
            Self::Position(error) => error.next_step(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Ask(error) => error.exit(),
            Self::Position(error) => error.exit(),
        }
    }
}

impl Session {
    /// Asks the server and decides where the stream resumes: after `checkpoint`, or for a new log where the settings
    /// say. `options` is the server that this session is connected to.
    ///
    /// # Errors
    /// The server cannot be asked, or cannot continue the log.
    pub async fn resume_point(
        &mut self,
        options: &ConnectOptions,
        source: &Source,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<(ServerFacts, ResumePoint), ResumeError> {
        let mut facts = self.facts().await?;
        if let (None, SourceStart::Time(us)) = (checkpoint, &source.start) {
            let second = us.div_euclid(1_000_000);
            fill_created_around(options, source.server_id, &mut facts.binlogs, second).await?;
        }
        let point = position::choose(checkpoint, source.resume, &source.start, &facts)?;
        Ok((facts, point))
    }
}
