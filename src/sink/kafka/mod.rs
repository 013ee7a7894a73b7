//! Kafka topics as a destination: an idempotent producer, explicit partitions, acks by a contiguous prefix; or
//! transactions that hold records and position, acked by their commit.
//!
//! A broker that is away is no failure: records wait in a bounded window, and the delivery with them. What waiting
//! cannot cure (a missing topic, a refused login, a record too large) fails definitely, and nothing after it is acked.

#![cfg_attr(not(feature = "kafka"), expect(dead_code, reason = "the config is checked also where no client is built"))]

pub mod config;
#[cfg(feature = "kafka")]
mod contents;
#[cfg(feature = "kafka")]
mod cut;
#[cfg(feature = "kafka")]
mod features;
#[cfg(feature = "kafka")]
mod inspect;
#[cfg(feature = "kafka")]
mod login;
#[cfg(all(test, feature = "kafka"))]
mod mock_tests;
#[cfg(feature = "kafka")]
mod outcome;
#[cfg(feature = "kafka")]
mod position;
#[cfg(feature = "kafka")]
mod positions;
#[cfg(feature = "kafka")]
mod producer;
mod record_limits;
#[cfg(feature = "kafka")]
mod rights;
mod settings;
#[cfg(feature = "kafka")]
mod sink;
#[cfg(feature = "kafka")]
mod topic_admin;
mod topics;
#[cfg(feature = "kafka")]
mod transaction;
#[cfg(feature = "kafka")]
mod transactional;
mod window;
#[cfg(feature = "kafka")]
mod wire;
#[cfg(feature = "kafka")]
mod writer;

#[cfg(feature = "kafka")]
pub use contents::holds_records;
#[cfg(feature = "kafka")]
pub use features::{Versions, caveat, transaction_version, versions};
#[cfg(feature = "kafka")]
pub use inspect::{AskedTopic, TopicFacts, inspect};
#[cfg(feature = "kafka")]
pub use position::Names;
pub use record_limits::RecordLimits;
#[cfg(feature = "kafka")]
pub use rights::{Operation, Rights, rights};
#[cfg(feature = "kafka")]
pub use sink::KafkaSink;
pub use topics::{check_template, expand};
#[cfg(feature = "kafka")]
pub use transactional::TransactionalSink;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Memory that all Kafka deliveries together may have in flight.
const BUDGET_BYTES: usize = 32 << 20;
/// The least that one delivery gets, however many there are.
const SHARE_BYTES_MIN: usize = 4 << 20;

/// One memory budget for the records in flight of all Kafka deliveries; each has an equal share. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Budget(Arc<AtomicUsize>);

/// One delivery's place in the budget; given back when dropped.
#[derive(Debug)]
pub struct Share(Arc<AtomicUsize>);

impl Budget {
    /// Takes a share; those of the others become smaller from now on.
    pub fn join(&self) -> Share {
        self.0.fetch_add(1, Ordering::Relaxed);
        Share(self.0.clone())
    }
}

impl Share {
    /// Bytes that may be in flight now.
    pub fn bytes(&self) -> usize {
        (BUDGET_BYTES / self.0.load(Ordering::Relaxed).max(1)).max(SHARE_BYTES_MIN)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_the_budget_shrink_and_grow_and_never_vanish() {
        let budget = Budget::default();
        let first = budget.join();
        assert_eq!(first.bytes(), BUDGET_BYTES);
        let others: Vec<_> = (0..31).map(|_| budget.join()).collect();
        assert_eq!(first.bytes(), 4 << 20);
        drop(others);
        assert_eq!(first.bytes(), BUDGET_BYTES);
    }
}
