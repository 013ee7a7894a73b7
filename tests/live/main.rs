//! The promises against real servers: MySQL 9.7, MySQL 5.6, MariaDB and Kafka, started by `ops/services`.

#[path = "../support/mod.rs"]
mod support;

mod capture;
mod check;
mod servers;
mod source;
mod wire;
