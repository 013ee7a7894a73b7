//! Bytes of a binlog to rows and values: borrowing and pure, no I/O, no client crate in its types.
//!
//! Everything here treats its input as hostile: every length is checked against the bytes at hand before it is
//! used, nothing panics, and nothing is allocated that the input does not pay for byte by byte.
//!
//! | look in | for |
//! |---|---|
//! | [`event`] | headers, checksums, the format description, the control events |
//! | [`gtid`] | GTID sets of both dialects |
//! | [`table_map`], [`column`](mod@column) | which table the rows belong to, how its columns lie in them and what is known of them |
//! | [`rows`] | rows events to row images; cells that are cheap to pass by |
//! | [`value`] | one value, typed and borrowed; [`decimal`] and [`time`] write theirs as the server does |
//! | [`row_writer`], [`rows_writer`] | the other way: values to row images, and those to events |
//! | [`json`], [`float`] | the server's binary JSON to the text it prints, partial updates applied |
//! | [`network`] | MariaDB's INET4, INET6 and UUID |
//! | [`compressed`] | MariaDB's compressed events and columns |
//! | [`error`] | the one error type; `reader` is the bounds-checked cursor under all of it |

pub mod column;
pub mod compressed;
pub mod decimal;
pub mod error;
pub mod event;
pub mod float;
pub mod gtid;
pub mod json;
pub mod network;
pub(crate) mod reader;
pub mod row_writer;
pub mod rows;
pub mod rows_writer;
pub mod table_map;
pub mod time;
pub mod value;

pub use column::{ColumnDef, KeyPart, WireType};
pub use error::DecodeError;
pub use row_writer::{EncodeError, RowWriter};
pub use rows::{Cell, RowImage, RowView, RowsEvent, RowsHead, RowsKind};
pub use table_map::{TableMap, TableMapHead};
pub use value::Value;
