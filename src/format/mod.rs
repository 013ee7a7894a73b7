//! A change to bytes, one file a format.
