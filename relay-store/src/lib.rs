//! A durable log of opaque entries.
