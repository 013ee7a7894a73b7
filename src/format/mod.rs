//! A change to bytes, one file a format.

pub mod canal_json;
pub mod json;
pub mod number;
pub mod partition;
pub mod text;
pub mod zone;
