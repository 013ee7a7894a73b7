//! The neutral change model; it names no database and no sink.

pub mod charset;
