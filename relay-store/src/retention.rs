//! What may go from the front of the log: one pure function of the limits, the persisted cursors and what is open.

use crate::meta::catalogue::SegmentRecord;
use crate::meta::cursor::CursorRecord;
use crate::options::{Lagging, Retention};

/// Everything the horizon depends on.
pub(crate) struct Inputs<'a> {
    pub now_ms: u64,
    /// Sealed segments, oldest first.
    pub sealed: &'a [SegmentRecord],
    /// Bytes of the active segment.
    pub active_bytes: u64,
    pub policy: &'a Retention,
    /// Cursors as they are durable; an ack that a power cut could take back frees nothing.
    pub cursors: &'a [CursorRecord],
    /// First seq of the open transaction and of the prepared ranges: nothing from there on goes.
    pub open_from: Option<u64>,
    /// Free bytes of the disk, and below how many even young data goes.
    pub free_bytes: u64,
    pub floor_bytes: u64,
}

/// What goes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// First seqs of the segments that go, oldest first.
    pub segments: Vec<u64>,
    /// The log's new first seq.
    pub first_seq: Option<u64>,
    /// Cursors that lose what they still needed: name, first and last lost seq.
    pub expired: Vec<(String, u64, u64)>,
}

/// Most segments that go in one tick: bounds the time the writer is away from its queue.
const SEGMENTS_MAX: usize = 32;

/// Decides what goes. Segments go oldest first, and each only when nothing that holds it needs it:
/// age and size let it go unless a cursor holds; a disk below its floor takes delivered data however young it is.
/// Where an `expire` cursor stands in the way of either, it is marked lost.
pub(crate) fn horizon(inputs: &Inputs<'_>) -> Verdict {
    let log_policy = inputs.policy.lagging;
    let holds = |cursor: &CursorRecord| match (cursor.lagging, log_policy) {
        (1, _) => true,
        (2, _) | (_, Lagging::Expire) => false,
        _ => true,
    };
    // A lost cursor waits for an operator; what it lost is gone, and what follows is not kept for it.
    let held_from =
        inputs.cursors.iter().filter(|cursor| holds(cursor) && cursor.lost.is_none()).map(CursorRecord::needs_from);
    let held_from = held_from.chain(inputs.open_from).min().unwrap_or(u64::MAX);
    let mut total: u64 = inputs.active_bytes + inputs.sealed.iter().map(|segment| segment.bytes).sum::<u64>();
    let mut free = inputs.free_bytes;
    let mut verdict = Verdict::default();
    for segment in inputs.sealed.iter().take(SEGMENTS_MAX) {
        let age_ms = inputs.now_ms.saturating_sub(segment.sealed_ms);
        let too_old = inputs.policy.max_age.is_some_and(|max| u128::from(age_ms) > max.as_millis());
        let too_big = inputs.policy.max_bytes.is_some_and(|max| total > max);
        let pressed = free < inputs.floor_bytes;
        if !(too_old || too_big || pressed) || segment.last_seq >= held_from {
            break;
        }
        total -= segment.bytes;
        free = free.saturating_add(segment.bytes);
        verdict.segments.push(segment.first_seq);
        verdict.first_seq = Some(segment.last_seq + 1);
    }
    if let Some(first_seq) = verdict.first_seq {
        for cursor in inputs.cursors.iter().filter(|cursor| !holds(cursor) && cursor.needs_from() < first_seq) {
            let first = cursor.lost.map_or(cursor.needs_from(), |(first, _)| first);
            verdict.expired.push((cursor.name.clone(), first, first_seq - 1));
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::meta::catalogue::SegmentState;
    use crate::meta::cursor::ParkedRecord;

    /// Ten segments of ten entries and 100 bytes each, sealed one second apart.
    fn segments() -> Vec<SegmentRecord> {
        (0..10)
            .map(|n| SegmentRecord {
                first_seq: n * 10 + 1,
                last_seq: n * 10 + 10,
                bytes: 100,
                state: SegmentState::Sealed,
                log_epoch: 1,
                created_ms: 0,
                sealed_ms: 1_000 * (n + 1),
                times: None,
                running_max_us: 0,
                open_tx: None,
            })
            .collect()
    }

    fn cursor(name: &str, acked: u64, lagging: u8) -> CursorRecord {
        CursorRecord {
            name: name.to_owned(),
            epoch: 1,
            acked,
            updated_ms: 0,
            paused: false,
            restored: false,
            lost: None,
            parked: Vec::new(),
            sink_state: Vec::new(),
            lagging,
        }
    }

    fn decide(policy: Retention, cursors: &[CursorRecord], open_from: Option<u64>, free: u64, floor: u64) -> Verdict {
        horizon(&Inputs {
            now_ms: 11_000,
            sealed: &segments(),
            active_bytes: 50,
            policy: &policy,
            cursors,
            open_from,
            free_bytes: free,
            floor_bytes: floor,
        })
    }

    #[test]
    fn nothing_goes_without_a_limit() {
        assert_eq!(decide(Retention::default(), &[], None, 0, 0), Verdict::default());
    }

    #[test]
    fn age_counts_since_the_segment_was_sealed() {
        let policy = Retention { max_age: Some(Duration::from_millis(7_500)), ..Retention::default() };
        assert_eq!(decide(policy, &[], None, 0, 0).first_seq, Some(31));
    }

    #[test]
    fn bytes_count_the_active_segment_too() {
        let policy = Retention { max_bytes: Some(549), ..Retention::default() };
        assert_eq!(decide(policy, &[], None, 0, 0).first_seq, Some(61));
    }

    #[test]
    fn slow_cursor_holds_back_trim() {
        let policy = Retention { max_bytes: Some(0), ..Retention::default() };
        let verdict = decide(policy, &[cursor("fast", 100, 0), cursor("slow", 25, 0)], None, 0, 0);
        assert_eq!((verdict.first_seq, verdict.expired), (Some(21), vec![]));
    }

    #[test]
    fn parked_table_holds_like_a_cursor() {
        let policy = Retention { max_bytes: Some(0), ..Retention::default() };
        let parked = ParkedRecord { key: b"t".to_vec(), first: 15, reason: String::new() };
        let cursor = CursorRecord { parked: vec![parked], ..cursor("c", 100, 0) };
        assert_eq!(decide(policy, &[cursor], None, 0, 0).first_seq, Some(11));
    }

    #[test]
    fn open_and_prepared_transactions_hold_whatever_the_policy() {
        let policy = Retention { max_bytes: Some(0), lagging: Lagging::Expire, ..Retention::default() };
        assert_eq!(decide(policy, &[], Some(42), 0, u64::MAX).first_seq, Some(41));
    }

    #[test]
    fn expire_cursor_is_lost_with_its_range_named() {
        let policy = Retention { max_bytes: Some(300), ..Retention::default() };
        let verdict = decide(policy, &[cursor("c", 25, 2)], None, 0, 0);
        assert_eq!(verdict.first_seq, Some(81));
        assert_eq!(verdict.expired, [("c".to_owned(), 26, 80)]);
    }

    #[test]
    fn own_policy_of_a_cursor_wins_over_the_logs() {
        let policy = Retention { max_bytes: Some(0), lagging: Lagging::Expire, ..Retention::default() };
        let verdict = decide(policy, &[cursor("held", 35, 1), cursor("gone", 5, 0)], None, 0, 0);
        assert_eq!(verdict.first_seq, Some(31));
        assert_eq!(verdict.expired, [("gone".to_owned(), 6, 30)]);
    }

    #[test]
    fn full_disk_takes_young_delivered_data_until_there_is_room() {
        let verdict = decide(Retention::default(), &[cursor("c", 55, 0)], None, 1_000, 1_250);
        assert_eq!(verdict.first_seq, Some(31));
        let verdict = decide(Retention::default(), &[cursor("c", 55, 0)], None, 0, 10_000);
        assert_eq!((verdict.first_seq, verdict.expired), (Some(51), vec![]));
    }
}
