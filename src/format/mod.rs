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
