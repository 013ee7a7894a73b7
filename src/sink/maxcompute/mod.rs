//! MaxCompute: what its services ask of a client.
//!
//! | look in | for |
//! |---|---|
//! | [`sign`] | the signature of a request |
//! | [`compression`] | how a body is compressed |

pub mod compression;
pub mod sign;
