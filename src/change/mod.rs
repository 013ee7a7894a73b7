//! The neutral change model; it names no database and no sink.

pub mod charset;
pub mod column_type;
pub mod schema;
