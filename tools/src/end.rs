//! How a tool ends: one sentence on standard error, and an exit code that says what kind of end it was.

use std::process::ExitCode;

use relay::log::resolve::ResolveError;
use relay_store::{CursorError, OpenError};

/// Exit codes, as the help of each tool prints them.
pub const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage, 4 damage found";

/// A tool could not do what was asked.
#[derive(Debug)]
pub struct Failed {
    code: u8,
    message: String,
}

impl Failed {
    /// It failed, for a reason that has no code of its own.
    pub fn new(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// The arguments cannot be used.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// The log is damaged.
    pub fn damage(message: impl Into<String>) -> Self {
        Self { code: 4, message: message.into() }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl From<std::io::Error> for Failed {
    fn from(e: std::io::Error) -> Self {
        Self::new(format!("write the output: {e}"))
    }
}

impl From<OpenError> for Failed {
    fn from(e: OpenError) -> Self {
        let code = relay::run::exit_of_open(&e) as u8;
        Self { code, message: e.to_string() }
    }
}

impl From<ResolveError> for Failed {
    fn from(e: ResolveError) -> Self {
        let code = if matches!(e, ResolveError::Walk(_)) { 1 } else { 2 };
        Self { code, message: e.to_string() }
    }
}

impl From<CursorError> for Failed {
    fn from(e: CursorError) -> Self {
        Self::new(e.to_string())
    }
}

/// Turns the end of a tool into its exit code, and says why it failed. A reader that closed its end of a pipe has
/// had enough: that is no failure.
pub fn finish(tool: &str, result: Result<(), Failed>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) if e.message.contains("Broken pipe") => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{tool}: {}", crate::print::neutral(&e.message));
            ExitCode::from(e.code)
        }
    }
}
