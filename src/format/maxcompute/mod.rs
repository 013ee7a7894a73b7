//! MaxCompute's own encoding of rows: its column types, the records of bulk uploads, and what becomes of MySQL's
//! columns and values.
//!
//! | look in | for |
//! |---|---|
//! | [`data_type`] | the types of its columns |
//! | [`datum`] | a value as it stands in a record |
//! | [`record`] | rows to records, with their checksums |
//! | [`block`] | a block of records back to rows |
//! | [`mapping`] | which type a MySQL column has, and which others take its values |
//! | [`columns`] | the additional columns of a log table, and its partitions |
//! | [`name`] | names as they are allowed |
//! | [`layout`] | which source column fills which column of a table |
//! | [`row`] | a change to its records |
//! | `wall_clock` | the moment that a wall clock's reading was |
//! | [`hash`] | which bucket of a table with a primary key a row belongs to |

pub mod block;
pub mod columns;
pub mod data_type;
pub mod datum;
pub mod hash;
pub mod layout;
pub mod mapping;
pub mod name;
pub mod record;
pub mod row;
mod wall_clock;
