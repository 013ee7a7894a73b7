//! Whether a sink waits for its destination, and since when: for status.

use std::time::Duration;

use relay_store::Seq;
use tokio::time::Instant;

/// A sink that acks nothing for so long, with records in flight, is said to be waiting.
pub(super) const STALL_AFTER: Duration = Duration::from_secs(10);

/// Since when a sink waits.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    acked: Seq,
    moved: Option<Instant>,
    since: Option<Instant>,
}

impl Waiting {
    /// Why the sink waits and since when, if it does.
    pub(super) fn look(
        &mut self,
        now: Instant,
        acked: Seq,
        outstanding: bool,
        trouble: Option<String>,
        silent: Duration,
    ) -> Option<(String, Instant)> {
        let moved = self.moved.get_or_insert(now);
        if !outstanding || acked != self.acked {
            (self.acked, *moved) = (acked, now);
            // Acks flow, or nothing is owed: what the client said of one of its connections holds nothing up.
            self.since = None;
            return None;
        }
        let stalled = now - *moved;
        let reason = match trouble {
            Some(trouble) => trouble,
            None if stalled >= silent => {
                format!("the destination has acknowledged nothing for {} s", stalled.as_secs())
            }
            None => return None,
        };
        let since = *self.since.get_or_insert(*moved);
        Some((reason, since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_sink_is_said_to_wait_only_while_something_is_owed() {
        let (mut waiting, start) = (Waiting::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(waiting.look(at(0), Seq(1), true, None, STALL_AFTER), None);
        assert_eq!(waiting.look(at(9), Seq(1), true, None, STALL_AFTER), None);
        let (reason, since) = waiting.look(at(11), Seq(1), true, None, STALL_AFTER).expect("silent for long");
        assert!(reason.contains("11 s") && since == at(0));
        assert_eq!(waiting.look(at(12), Seq(2), true, None, STALL_AFTER), None, "it moved");
        assert_eq!(
            waiting.look(at(40), Seq(2), false, Some("broker down".to_owned()), STALL_AFTER),
            None,
            "nothing is owed"
        );
        let (reason, since) =
            waiting.look(at(41), Seq(2), true, Some("broker down".to_owned()), STALL_AFTER).expect("trouble");
        assert_eq!((reason.as_str(), since), ("broker down", at(40)));
    }
}
