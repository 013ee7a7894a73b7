//! Where a new log begins, and how far its checkpoint may follow the stream until then.

use super::Recorder;
use crate::capture::position::Skip;

impl Recorder {
    /// A group begins at `start`.
    pub(super) fn enter(&mut self, start: u64) {
        self.transaction.known = self.passes_over(start);
        // Without a commit time in its first event, only its end tells whether it is of a time before the log.
        let decided = self.transaction.commit_us.is_some() || matches!(self.point.skip, None | Some(Skip::UpTo(_)));
        if !self.transaction.known && decided {
            self.begin_log();
        }
    }

    /// Whether all of a group that begins at `start` is to be counted and passed over.
    pub(super) fn passes_over(&self, start: u64) -> bool {
        if self.executed.contains(&self.transaction.id) {
            return true;
        }
        match self.point.skip {
            Some(Skip::UpTo(offset)) => start < offset,
            Some(Skip::CommittedBefore(us)) => {
                self.transaction.commit_us.is_some_and(|commit_us| i128::from(commit_us) < i128::from(us))
            }
            None => false,
        }
    }

    /// Whether the log is to begin with a later transaction; with the first one that it does not, that is over, because
    /// times go back. Servers that do not say at the begin of a transaction when it committed show it only here.
    pub(super) fn is_before_start(&mut self, time_us: u64) -> bool {
        match self.point.skip {
            Some(Skip::CommittedBefore(us)) if i128::from(time_us) < i128::from(us) => true,
            Some(Skip::CommittedBefore(_)) => {
                self.point.skip = None;
                false
            }
            _ => false,
        }
    }

    pub(super) fn advance_when_idle(&mut self) {
        if !self.group.is_idle() || self.awaits_head {
            return;
        }
        self.pass_reading();
        if let Some((file, position)) = &self.floor {
            if self.place.file() != file || self.place.position() < *position {
                return;
            }
            self.floor = None;
        }
        let checkpoint = self.checkpoint();
        self.scene.set_executed(&checkpoint.gtids);
        let checkpoint = checkpoint.encode();
        if self.is_before_log() {
            self.withheld = Some(checkpoint);
        } else {
            self.appender.advance(&checkpoint);
        }
    }

    /// Whether a new log is to begin further on. Nothing is handed over until then: from a checkpoint the stream would go
    /// on at once, and not at the place that the settings name.
    pub(super) fn is_before_log(&self) -> bool {
        self.appender.checkpoint().is_none()
            && match self.point.skip {
                Some(Skip::UpTo(offset)) => self.place.position() < offset,
                Some(Skip::CommittedBefore(_)) => true,
                None => false,
            }
    }

    /// The first transaction of a new log comes: what lies before it is where the log begins.
    pub(super) fn begin_log(&mut self) {
        if matches!(self.point.skip, Some(Skip::CommittedBefore(_))) {
            self.point.skip = None;
        }
        if let Some(checkpoint) = self.withheld.take().filter(|_| self.appender.checkpoint().is_none()) {
            self.appender.advance(&checkpoint);
        }
    }
}
