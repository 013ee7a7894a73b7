//! How a tool ends: an exit code and one sentence on standard error, by the same codes as the daemon.

use std::fmt;
use std::io;
use std::process::ExitCode;

use relay::failure::Exit;
use relay::log::resolve::ResolveError;
use relay::log::walk::WalkError;
use relay::run::{ActionError, exit_of_open};
use relay_store::{CursorError, GapReason, OpenError, ReadError, StorageError};

use crate::escape::Plain;

/// An end that is not the plain good one.
#[derive(Debug)]
pub enum Ended {
    /// With an exit code and a sentence for the user; an empty one when all was said already.
    Failed(Exit, String),
    /// Whoever read our output had enough (`| head`): nothing is wrong.
    PipeClosed,
}

impl Ended {
    /// A failure that has no code of its own.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::Failed(Exit::Failed, message.to_string())
    }

    /// The command line asks for what cannot be.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::Failed(Exit::Config, message.to_string())
    }

    /// The store is damaged.
    pub fn damaged(message: impl fmt::Display) -> Self {
        Self::Failed(Exit::Store, message.to_string())
    }
}

/// Says on standard error how `tool` ended and gives the process's exit code.
pub fn finish(tool: &str, ended: Result<(), Ended>) -> ExitCode {
    match ended {
        Ok(()) | Err(Ended::PipeClosed) => ExitCode::SUCCESS,
        Err(Ended::Failed(exit, message)) => {
            if !message.is_empty() {
                eprintln!("{tool}: {}", Plain(&message));
            }
            ExitCode::from(exit as u8)
        }
    }
}

/// Of standard output: the only thing that the tools write to.
impl From<io::Error> for Ended {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::BrokenPipe => Self::PipeClosed,
            _ => Self::failed(format_args!("write the output: {e}")),
        }
    }
}

impl From<OpenError> for Ended {
    fn from(e: OpenError) -> Self {
        match e {
            // A file that this user may not read is no damage.
            OpenError::Storage(e) => e.into(),
            e => Self::Failed(exit_of_open(&e), e.to_string()),
        }
    }
}

impl From<StorageError> for Ended {
    fn from(e: StorageError) -> Self {
        match e {
            StorageError::Damaged { .. } | StorageError::Meta { .. } | StorageError::MetaPanic { .. } => {
                Self::damaged(e)
            }
            StorageError::Io { .. } => Self::failed(e),
        }
    }
}

impl From<ReadError> for Ended {
    fn from(e: ReadError) -> Self {
        match e {
            ReadError::Gap(gap) if matches!(gap.reason, GapReason::Trimmed) => Self::failed(gap),
            ReadError::Gap(gap) => Self::damaged(gap),
            ReadError::Storage(e) => e.into(),
        }
    }
}

impl From<WalkError> for Ended {
    fn from(e: WalkError) -> Self {
        match e {
            WalkError::Read(e) => e.into(),
            WalkError::Context { .. } => Self::damaged(e),
        }
    }
}

impl From<ResolveError> for Ended {
    fn from(e: ResolveError) -> Self {
        match e {
            ResolveError::Walk(e) => e.into(),
            ResolveError::BeforeStart { .. } | ResolveError::AfterEnd { .. } | ResolveError::Set { .. } => {
                Self::usage(e)
            }
        }
    }
}

impl From<CursorError> for Ended {
    fn from(e: CursorError) -> Self {
        match e {
            CursorError::Unknown { .. }
            | CursorError::Exists { .. }
            | CursorError::Name { .. }
            | CursorError::OutOfRange { .. } => Self::usage(e),
            CursorError::Storage(e) => e.into(),
            CursorError::Poisoned(_) => Self::damaged(e),
            CursorError::StaleEpoch { .. } | CursorError::TooLarge { .. } | CursorError::Closed => Self::failed(e),
        }
    }
}

impl From<ActionError> for Ended {
    fn from(e: ActionError) -> Self {
        match e {
            ActionError::Cursor(e) => e.into(),
            ActionError::Address(e) => e.into(),
            ActionError::Tally(e) => e.into(),
            ActionError::Name(_) | ActionError::NotParked { .. } => Self::usage(e),
            ActionError::Configured { .. } | ActionError::Moved { .. } => Self::failed(e),
        }
    }
}
