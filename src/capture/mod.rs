//! From the source to the log: resume, read, check, append. No row is decoded here.

pub mod facts;
pub mod group;
pub mod position;
pub mod source;
pub mod statement;
pub mod stream;
