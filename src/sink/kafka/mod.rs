//! Kafka topics as a destination.

pub mod config;
