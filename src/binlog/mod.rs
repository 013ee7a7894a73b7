//! Bytes of a binlog to rows and values: borrowing and pure, no I/O, no client crate in its types.
//!
//! Everything here treats its input as hostile: every length is checked against the bytes at hand before it is
//! used, nothing panics, and nothing is allocated that the input does not pay for byte by byte.
//!
//! | look in | for |
//! |---|---|
//! | [`event`] | headers, checksums, the format description, the control events |
//! | [`gtid`] | GTID sets of both dialects |
//! | [`error`] | the one error type; `reader` is the bounds-checked cursor under all of it |

pub mod error;
pub mod event;
pub mod gtid;
pub(crate) mod reader;

pub use error::DecodeError;
