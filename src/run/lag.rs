//! How far a cursor is behind the source: by the source's clock, never negative, and true when nothing moves.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use relay_store::{Reader, Seq};

use crate::log::walk::{Visit, walk};
use crate::status::{CONFIRMATION_AGE_MAX, EndConfirmation};

/// Entries looked at for the end of the next transaction; a longer one is dated by its first entry.
const LOOK_AHEAD: u64 = 4096;

/// What lag is computed from, all at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Our clock, microseconds since 1970.
    pub now_us: i64,
    /// The source's clock minus ours.
    pub clock_offset_us: i64,
    /// When this process started.
    pub started_us: i64,
    /// The last time capture was seen to hold everything the source had, and how old that is.
    pub end: Option<(EndConfirmation, Duration)>,
    /// Last seq that deliveries may read.
    pub visible_seq: u64,
}

/// Seconds a cursor is behind; `next_us` is the commit time of its next undelivered transaction, when there is one.
pub(crate) fn lag_seconds(moment: &Moment, acked_seq: u64, next_us: Option<u64>) -> f64 {
    let source_now = moment.now_us.saturating_add(moment.clock_offset_us);
    let confirmed = moment.end.is_some_and(|(_, age)| age <= CONFIRMATION_AGE_MAX);
    let since = match next_us {
        Some(commit_us) if acked_seq < moment.visible_seq => i64::try_from(commit_us).unwrap_or(i64::MAX),
        _ if confirmed => return 0.0,
        // Nothing says that the source stands still: it may have gone on since it was last seen.
        _ => {
            let seen = moment.end.map_or(moment.started_us, |(end, _)| end.at_us);
            seen.saturating_add(moment.clock_offset_us)
        }
    };
    source_now.saturating_sub(since).max(0) as f64 / 1e6
}

/// Finds the commit times of next transactions, remembering the last answer of each cursor.
pub(crate) struct Probe {
    reader: Reader,
    known: BTreeMap<String, (u64, u64)>,
}

impl Probe {
    pub(crate) fn new(reader: Reader) -> Self {
        Self { reader, known: BTreeMap::new() }
    }

    /// Commit time of the transaction that `acked_seq + 1` belongs to; `None` when there is none, or none readable.
    pub(crate) fn next_commit_us(&mut self, name: &str, acked_seq: u64, visible_seq: u64) -> Option<u64> {
        if acked_seq >= visible_seq {
            return None;
        }
        if let Some((seq, time)) = self.known.get(name)
            && *seq == acked_seq
        {
            return Some(*time);
        }
        let first = Seq(acked_seq).next();
        let mut found = None;
        let end = Seq(visible_seq.min(acked_seq.saturating_add(LOOK_AHEAD)));
        let walked = walk(&mut self.reader, first, end, &mut |visit| match visit {
            Visit::Commit { last, time_us, .. } if last >= first => {
                found = Some(time_us);
                ControlFlow::Break(())
            }
            Visit::Entry(view) => {
                found = found.or(Some(view.entry.header.received_us));
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Continue(()),
        });
        walked.ok()?;
        let time = found?;
        self.known.insert(name.to_owned(), (acked_seq, time));
        Some(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn moment(confirmed_ago: Option<u64>) -> Moment {
        let now_us = 1_000 * SECOND;
        let end = confirmed_ago.map(|s| {
            let at_us = now_us - s as i64 * SECOND;
            let confirmation = EndConfirmation { at: tokio::time::Instant::now(), at_us, visible_seq: 10 };
            (confirmation, Duration::from_secs(s))
        });
        Moment { now_us, clock_offset_us: 0, started_us: 900 * SECOND, end, visible_seq: 10 }
    }

    #[test]
    fn idle_is_zero_only_while_the_end_is_confirmed() {
        assert_eq!(lag_seconds(&moment(Some(0)), 10, None), 0.0);
        assert_eq!(lag_seconds(&moment(Some(15)), 10, None), 0.0);
        assert_eq!(lag_seconds(&moment(Some(16)), 10, None), 16.0);
        assert_eq!(lag_seconds(&moment(Some(3600)), 10, None), 3600.0);
        assert_eq!(lag_seconds(&moment(None), 10, None), 100.0, "since the start, when nothing was ever confirmed");
    }

    #[test]
    fn behind_counts_from_the_next_commit_by_the_sources_clock() {
        let mut m = moment(Some(0));
        assert_eq!(lag_seconds(&m, 4, Some(970 * SECOND as u64)), 30.0);
        m.clock_offset_us = -5 * SECOND;
        assert_eq!(lag_seconds(&m, 4, Some(970 * SECOND as u64)), 25.0);
        m.clock_offset_us = -60 * SECOND;
        assert_eq!(lag_seconds(&m, 4, Some(970 * SECOND as u64)), 0.0, "never negative");
    }
}
