//! A change to bytes, one file a format.
//!
//! | look in | for |
//! |---|---|
//! | [`canal_json`] | Canal JSON |
//! | [`text`] | how a value becomes text, for every format, for keys and for partitions |
//! | [`key`], [`partition`] | which partition a row goes to, and its message key |
//! | `window` | how a row's many short pieces get into the outgoing bytes |
//! | [`json`], [`number`], [`zone`] | the spelling of strings, floats and local times |

pub mod canal_json;
pub mod json;
pub mod key;
pub mod number;
pub mod partition;
pub mod text;
mod window;
pub mod zone;

/// Where a row stands among the rows of its transaction that the delivery sends; for formats that say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TxPlace {
    /// Its place, from 1.
    pub row: u64,
    /// Its place among those of its table, from 1.
    pub table_row: u64,
    /// How many they are, where that is known before the first one leaves.
    pub size: Option<u64>,
    /// It is the last of them.
    pub last: bool,
}
