//! A change to bytes, one file a format.

pub mod partition;
