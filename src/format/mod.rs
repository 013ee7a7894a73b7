//! A change to bytes, one file a format.

pub mod json;
pub mod number;
pub mod partition;
