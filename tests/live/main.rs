//! The promises against real servers: MySQL 9.7, MySQL 5.6, MariaDB and Kafka, started by `ops/services`.

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/binlog_rows.rs"]
#[allow(dead_code, reason = "shared with unit tests, which use other parts of it")]
mod binlog_rows;

mod alert;
mod capture;
mod captured;
mod check;
mod disconnect;
mod dts_avro;
mod etl;
mod exactly_once;
mod fastavro;
mod filter;
mod formats;
mod gtid_set;
mod heartbeat;
mod hosts;
mod idle;
mod import_dts;
mod kafka;
mod kill;
mod lag;
mod maxcompute;
mod misfit;
mod online_ddl;
mod outage;
mod oversized;
mod parked;
mod pipeline;
mod purged;
mod pyodps;
mod readers;
mod registry;
mod reload;
mod secured;
mod servers;
mod snapshot;
mod source;
mod throttle;
mod trimmed;
mod wire;
mod young;
