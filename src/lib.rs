//! Captures a MySQL binlog into a durable log and delivers it from there.
