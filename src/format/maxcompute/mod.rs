//! MaxCompute's own encoding of rows: its column types, the records of bulk uploads.
//!
//! | look in | for |
//! |---|---|
//! | [`data_type`] | the types of its columns |
//! | [`datum`] | a value as it stands in a record |
//! | [`record`] | rows to records, with their checksums |
//! | [`block`] | a block of records back to rows |
//! | [`hash`] | which bucket of a table with a primary key a row belongs to |

pub mod block;
pub mod data_type;
pub mod datum;
pub mod hash;
pub mod record;
