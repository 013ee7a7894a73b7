//! A durable log of opaque entries.
mod seq;
pub use seq::*;
