//! The relay: a MySQL binlog goes into a durable log first, and from there to every destination.
//!
//! ```text
//!  server --binlog--> capture --entries--> relay-store --entries--> delivery --records--> Kafka, files
//!                       |                 segments + sled              |
//!                       +- checkpoint rides with the entries           +- cursor moves on the sink's ack
//! ```
//!
//! Data goes left to right; only acks come back. Capture and delivery meet at the log and nowhere else.
//!
//! | look in | for |
//! |---|---|
//! | [`capture`] | how the stream is read, where it resumes, what happens to a cut transaction |
//! | [`binlog`] | bytes of the binlog to borrowed rows and values; pure |
//! | [`log`] | what the relay writes into its log: entry kinds, block context, checkpoint, schema versions |
//! | [`change`] | the neutral change model: tables, columns, plans, DDL |
//! | [`delivery`] | from a cursor to its sink, and why a cursor stopped |
//! | [`filter`], [`etl`] | the two small languages: which rows leave, and what becomes of them |
//! | [`format`](mod@format) | change to bytes, one file a format |
//! | [`sink`] | one destination each: Kafka, a file |
//! | [`snapshot`] | the rows that were there before, copied into the log beside the stream |
//! | [`supervisor`] | the one place that decides retry, park or stop |
//! | [`alert`] | which states and thresholds are posted to a webhook, and the posting |
//! | [`check`] | the precheck, one file a family |
//! | [`etl_try`] | what an ETL script would make of rows in the log |
//! | [`remote`] | what the command line asks of a relay that runs |
//! | [`import_dts`] | a DTS task as a config |
//! | [`config`] | every setting with its default |
//! | [`api`], [`metrics`], [`status`] | what an operator sees |
//! | `relay-store` (crate) | the log itself: segments, marks, cursors, retention, addresses |

pub mod alert;
pub mod api;
pub mod binlog;
pub mod capture;
pub mod change;
pub mod check;
pub mod config;
pub mod delivery;
pub mod etl;
pub mod etl_try;
mod failpoint;
pub mod failure;
pub mod filter;
pub mod format;
pub mod import_dts;
pub mod log;
pub mod metrics;
pub mod remote;
pub mod run;
pub mod selection;
pub mod sink;
pub mod snapshot;
pub mod status;
pub mod supervisor;
