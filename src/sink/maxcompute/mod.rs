//! MaxCompute: what its services ask of a client.
//!
//! | look in | for |
//! |---|---|
//! | [`client`] | its services: metadata, SQL, bulk data |
//! | [`sign`] | the signature of a request |
//! | [`compression`] | how a body is compressed |

pub mod client;
pub mod compression;
pub mod sign;
