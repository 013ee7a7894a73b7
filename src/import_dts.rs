//! `relay import-dts`: the objects and settings of a DTS task become a `relay.toml`, with a report of what became of each.
//!
//! It stands here and not among the tools because it must know every setting of the config by name: what it writes is
//! read back by [`Config::parse`] before anyone sees it. Pure: texts in, texts out.
//!
//! | look in | for |
//! |---|---|
//! | `document.rs` | which kind of file it is: a task, its reserve parameter, its object list |
//! | `settings.rs` | the table of settings, each with what becomes of it |
//! | `objects.rs` | the object list: databases, tables, columns |
//! | `draft.rs` | the config that is being written |
//! | `report.rs` | what became of each setting |

mod document;
mod draft;
mod objects;
mod report;
mod settings;

use std::path::Path;

use thiserror::Error;

use crate::config::Config;
use document::Document;
use draft::Draft;

pub use report::{Fate, Item, Report};

/// Largest file that is read, bytes: the object list of 100,000 tables is a fifth of this.
pub const FILE_BYTES_MAX: u64 = 64 << 20;

/// A file as it was given: its name, for errors, and its text.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// As the user named it.
    pub name: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// What an import gives.
#[derive(Debug)]
pub struct Imported {
    /// The config file.
    pub toml: String,
    /// What became of each setting.
    pub report: Report,
}

/// Files that cannot be imported. Each text is one sentence.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ImportError {
    /// It is not JSON.
    #[error(
        "{file}: it is not JSON ({reason}); give the object list (DbList), the reserve parameter or the whole request of a DTS task"
    )]
    NotJson {
        /// The file.
        file: String,
        /// What the reader says, with line and column.
        reason: String,
    },
    /// It is JSON, of something else.
    #[error("{file}: it is no DTS task: {reason}")]
    NotDts {
        /// The file.
        file: String,
        /// What gives it away.
        reason: String,
    },
    /// Two files say the same thing.
    #[error("{file}: it holds {part}, and so does a file before it; import one task at a time")]
    Twice {
        /// The second file.
        file: String,
        /// What comes twice.
        part: &'static str,
    },
    /// The task does what a relay does not.
    #[error("{setting}: {reason}")]
    Unsuitable {
        /// The setting that says so.
        setting: String,
        /// What it says and what a relay does.
        reason: String,
    },
    /// Its settings do not go together.
    #[error("the settings of this task make no config: {0}")]
    Contradiction(String),
}

/// Reads the parts of one DTS task, which may stand in one file or in several.
///
/// # Errors
/// A file that is none, two tasks at once, a task that a relay cannot take over.
pub fn import(inputs: &[Input<'_>]) -> Result<Imported, ImportError> {
    let mut document = Document::default();
    for input in inputs {
        document.read(input)?;
    }
    let mut draft = Draft { has_reserve: document.has_reserve, ..Draft::default() };
    let mut report = Report::default();
    settings::take(&document, &mut draft, &mut report)?;
    objects::take(document.objects.as_ref(), &mut draft, &mut report);
    draft.complete(&mut report);
    let toml = draft.to_toml();
    // Passwords come from the environment, where the daemon will find them.
    let environment = |name: &str| name.ends_with("_PASSWORD").then(String::new);
    match Config::parse(&toml, Path::new("relay.toml"), &environment) {
        Ok(_) => Ok(Imported { toml, report }),
        Err(error) => Err(ImportError::Contradiction(error.to_string())),
    }
}

#[cfg(test)]
mod tests;
