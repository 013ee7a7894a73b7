//! MaxCompute: what its services ask of a client, and how each row gets into a table once.
//!
//! | look in | for |
//! |---|---|
//! | [`client`] | its services: metadata, SQL, bulk data |
//! | [`sign`] | the signature of a request |
//! | [`compression`] | how a body is compressed |
//! | [`unit`] | one unit of rows on its way, as a state machine |
//! | [`journal`] | what is kept of it beside the cursor |

pub mod client;
pub mod compression;
pub mod journal;
pub mod sign;
pub mod unit;
