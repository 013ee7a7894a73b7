//! JSON columns: the server's binary form, the text it prints for it, and differences of partial updates; a [`Document`]
//! is one that can be changed, and be written in either form.
//!
//! ```text
//! document  type (1), value
//! object    count, size (2 | 4 each); per key: offset (2 | 4), length (2); per value: type (1), offset (2 | 4) or the
//!           value itself when it fits there; then keys and values         (small | large form)
//! array     the same without keys
//! string    length (7 bits a byte, the high bit says that more follow), utf8mb4
//! opaque    column type (1), length as above, bytes
//! ```
//!
//! Offsets are from the start of their container. A hostile document could let many entries share the same bytes and
//! so unfold without end; the server never writes one, and reading counts: what the entries of a container occupy
//! together must fit into it.

mod binary;
mod diff;
mod document;
mod encode;
mod parse;
mod path;
mod text;

pub use binary::{Container, Json};
pub use diff::{apply_diff, patched};
pub use document::Document;
pub use encode::JsonEncodeError;
pub use parse::JsonTextError;
pub use path::{Path, PathError};
pub use text::{write_string, write_text};

/// Deepest nesting that the server accepts (`JSON_DOCUMENT_MAX_DEPTH`).
pub const DEPTH_MAX: usize = 100;
