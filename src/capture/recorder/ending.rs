//! The end of a group: its checkpoint, with its entries if any; or that it never ended.

use relay_store::Commit;

use super::{Recorder, Taken};
use crate::binlog::event::{Event, EventHeader};
use crate::capture::error::EventError;
use crate::capture::group::Close;
use crate::capture::transaction::Received;

impl Recorder {
    /// The event ends its group.
    pub(super) fn close(&mut self, close: Close, event: &Event<'_>, received: Received) -> Result<Taken, EventError> {
        let source_us = self.transaction.commit_us.unwrap_or(u64::from(event.header.timestamp) * 1_000_000);
        self.newest_us = i64::try_from(source_us).ok();
        if self.transaction.known {
            self.executed.add(&self.transaction.id);
            self.end_transaction();
            self.advance_when_idle();
            return Ok(Taken::Done);
        }
        let time_us = self.commit_time(&event.header, received.received_us);
        if self.is_before_start(time_us) {
            self.appender.abandon();
            self.windows.discard();
            self.commit(time_us, None);
            return Ok(Taken::Done);
        }
        match close {
            Close::Commit => {
                if self.transaction.logged {
                    self.keep(event.raw, received)?;
                }
                self.commit(time_us, None);
            }
            Close::Statement => {
                self.statement(event, received)?;
                self.commit(time_us, None);
            }
            Close::Rollback => {
                self.appender.abandon();
                self.windows.discard();
                self.commit(time_us, None);
            }
            Close::AlterPhase => self.commit(time_us, None),
            Close::Prepare(xid) => {
                // Also without rows: at its commit it must not be taken for one whose rows are missing.
                self.keep(event.raw, received)?;
                self.executed.add(&self.transaction.id);
                self.floor = None;
                let checkpoint = self.checkpoint();
                self.scene.set_executed(&checkpoint.gtids);
                let checkpoint = checkpoint.encode();
                self.appender.prepare(&xid.key(), &checkpoint);
                self.end_transaction();
            }
            Close::XaCommit(xid) => return self.commit_prepared(&xid, event, received, time_us),
            Close::XaRollback(xid) => {
                let key = xid.key();
                let prepared = self.appender.prepared().iter().any(|range| range.xid == key);
                self.commit(time_us, prepared.then_some(key.as_slice()));
            }
        }
        Ok(Taken::Done)
    }

    /// When the transaction committed, microseconds: as its GTID event says, else the time of its last event; a source
    /// whose clock is ahead does not make it later than its receipt.
    pub(super) fn commit_time(&self, header: &EventHeader, received_us: u64) -> u64 {
        let header_us = u64::from(header.timestamp) * 1_000_000;
        self.transaction.commit_us.unwrap_or(header_us).min(received_us)
    }

    /// Counts the transaction as executed and hands the store the checkpoint that covers it, with its entries if any.
    pub(super) fn commit(&mut self, commit_time_us: u64, forget_prepared: Option<&[u8]>) {
        match self.appender.open_transaction() {
            Some(_) => self.ended.logged += 1,
            None => self.ended.unselected += 1,
        }
        self.executed.add(&self.transaction.id);
        self.windows.commit((self.place.file(), self.place.position()));
        self.floor = None;
        let checkpoint = self.checkpoint();
        self.scene.set_executed(&checkpoint.gtids);
        let checkpoint = checkpoint.encode();
        if self.appender.open_transaction().is_none() && forget_prepared.is_none() && self.is_before_log() {
            self.withheld = Some(checkpoint);
        } else {
            self.appender.commit(Commit { checkpoint: &checkpoint, commit_time_us, forget_prepared });
        }
        if self.versions.is_empty() {
            self.retired.drain(..).for_each(|id| self.appender.retire_schema(id));
        }
        self.end_transaction();
    }

    pub(super) fn end_transaction(&mut self) {
        self.transaction.clear();
        self.windows.discard();
        self.scene.end_transaction();
        self.pass_reading();
    }

    /// The open transaction never ended: what of it is in the log is abandoned.
    pub(super) fn discard(&mut self) {
        self.appender.abandon();
        self.end_transaction();
    }
}
