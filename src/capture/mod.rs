//! From the source to the log: resume, read, check, append. No row is decoded here.

pub mod group;
pub mod statement;
pub mod stream;
