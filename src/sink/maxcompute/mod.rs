//! MaxCompute: what its services ask of a client, and how each row gets into a table once.
//!
//! | look in | for |
//! |---|---|
//! | [`client`] | its services: metadata, SQL, bulk data |
//! | [`sign`] | the signature of a request |
//! | [`compression`] | how a body is compressed |
//! | [`config`] | its settings |
//! | [`tables`], [`ddl`] | the tables as they are there, made and widened; the statements for it |
//! | [`mod@unit`] | one unit of rows on its way, as a state machine |
//! | [`journal`] | what is kept of it beside the cursor |
//! | `window`, `courier` | rows sorted into units; units carried in |
//! | [`BatchSink`] | the sink |

mod batch_sink;
pub mod client;
pub mod compression;
pub mod config;
mod courier;
pub mod ddl;
pub mod journal;
pub mod sign;
pub mod tables;
pub mod unit;
mod window;

pub use batch_sink::BatchSink;
