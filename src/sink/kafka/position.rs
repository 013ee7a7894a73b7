//! A cursor's position as it stands in Kafka: its names there, the record, and what it means beside the log's own
//! cursor. Pure, but for what this process remembers of itself.
//!
//! Each cursor has a topic of its own with one partition that is used. In a partition shared with others a reader of
//! committed records would be held up at their open transactions, and find an older position than the last.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use relay_store::{CursorEpoch, Seq};
use serde::{Deserialize, Serialize};

use super::topics::KnownPosition;
use crate::sink::SinkError;

/// Partition of the position's topic.
pub(super) const PARTITION: i32 = 0;

/// What a cursor is called in Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The topic of its position, compacted.
    pub topic: String,
    /// The key of its position in it.
    pub key: String,
    /// The id that fences an older producer of the same cursor.
    pub transactional_id: String,
}

impl Names {
    /// Of a relay's cursor. No name holds a slash, so that no two cursors share key or id.
    pub fn of(relay: &str, cursor: &str) -> Self {
        Self {
            topic: format!("__relay_cursors.{relay}.{cursor}"),
            key: format!("{relay}/{cursor}"),
            transactional_id: format!("relay-{relay}/{cursor}"),
        }
    }

    /// The key under which the replay of a table keeps how far it came.
    pub(super) fn replay_key(&self, replay: &str) -> String {
        format!("{}/{replay}", self.key)
    }
}

/// The value of a position's record: JSON, so that an operator can read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The log that it is a place in: its uuid, hexadecimal.
    pub(super) store: String,
    /// The cursor's epoch.
    pub(super) epoch: u32,
    /// Everything up to here, inclusive, is in Kafka.
    pub(super) seq: u64,
    /// Who wrote it: drawn anew by each process.
    pub(super) owner: String,
}

impl Position {
    pub(super) fn decode(value: &[u8], names: &Names) -> Result<Self, SinkError> {
        serde_json::from_slice(value).map_err(|error| {
            SinkError::definite(format!("topic {} holds no position under key {}: {error}", names.topic, names.key))
                .advise(format!("see who else writes topic {}; it is the relay's own", names.topic))
        })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and numbers always serialise")
    }
}

/// A store's uuid as positions name it.
pub(super) fn store_text(uuid: &[u8; 16]) -> String {
    uuid.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the log knows of the cursor.
#[derive(Debug, Clone)]
pub(super) struct Ours<'a> {
    pub(super) cursor: &'a str,
    pub(super) store: &'a str,
    pub(super) epoch: CursorEpoch,
    pub(super) acked: Seq,
    /// The last entry that may be delivered now.
    pub(super) end: Seq,
    /// A position of this epoch that was committed to Kafka.
    pub(super) known: Option<&'a KnownPosition>,
    /// Who the position is of when nobody else took the cursor over.
    pub(super) owner: Option<&'a str>,
}

/// Where the cursor stands: everything up to the seq is in Kafka. The higher epoch wins; in the same epoch what Kafka
/// holds, which may be ahead of the log's cursor, and behind it by entries that made no record.
///
/// # Errors
/// Definite, with the operator's next step. One names a later epoch that Kafka knows and the log has forgotten.
pub(super) fn judge(found: Option<&Position>, names: &Names, ours: &Ours<'_>) -> Result<Seq, SinkError> {
    let (cursor, topic) = (ours.cursor, &names.topic);
    let Some(found) = found else {
        let Some(known) = ours.known else { return Ok(ours.acked) };
        let moved = if known.topic == *topic { String::new() } else { format!("; it was in topic {}", known.topic) };
        return Err(SinkError::definite(format!("the position of cursor {cursor} is not in topic {topic}{moved}"))
            .advise(format!(
                "give relay and delivery their old names or the brokers their old addresses; if the topic is lost, \
                 relay-cursor reset {cursor} --to seq:{} delivers again what came after its last known position",
                known.seq + 1
            )));
    };
    if found.store != ours.store {
        return Err(SinkError::definite(format!(
            "topic {topic} holds the position of another log ({}) for cursor {cursor}; this one is {}",
            found.store, ours.store
        ))
        .advise(format!(
            "give this relay or the delivery another name; if the other log is gone for good, delete its position: \
             printf '{}:' | kcat -P -Z -K: -t {topic} -p {PARTITION}, then resume",
            names.key
        )));
    }
    if let Some(owner) = ours.owner.filter(|owner| *owner != found.owner) {
        tracing::debug!(cursor, ours = owner, found = found.owner, "the position's owner changed");
        return Err(SinkError::definite(format!(
            "another relay took over cursor {cursor}: its producer fenced this one"
        ))
        .advise("stop the other relay, or give one of the deliveries another name; resume takes the cursor back"));
    }
    let seq = Seq(found.seq);
    if found.epoch > ours.epoch.0 {
        let reason = format!("Kafka knows epoch {} of cursor {cursor}, the log epoch {}", found.epoch, ours.epoch);
        return Err(SinkError::definite(reason).stands_at(CursorEpoch(found.epoch), seq));
    }
    if found.epoch < ours.epoch.0 {
        // Reset since; the crash that may have come between changes nothing.
        return Ok(ours.acked);
    }
    if seq > ours.end {
        return Err(SinkError::definite(format!(
            "Kafka holds position {seq} of cursor {cursor}, beyond the end of the log at {}",
            ours.end
        ))
        .advise(
            "put the newer log back; or relay-cursor reset, knowing that seqs up to there may mean other changes",
        ));
    }
    if let Some(known) = ours.known.filter(|known| found.seq < known.seq) {
        return Err(SinkError::definite(format!(
            "Kafka holds position {seq} of cursor {cursor}, and had committed {}: the cluster lost what it acknowledged",
            known.seq
        ))
        .advise(format!("relay-cursor reset {cursor} --to seq:{} goes on where Kafka stands", found.seq + 1)));
    }
    Ok(seq.max(ours.acked))
}

/// This process as an owner of positions.
#[derive(Debug, Clone)]
struct Owner {
    name: String,
    /// Whether a position of ours was committed and nobody was seen to replace it.
    holds: bool,
}

/// By transactional id. Of the process, because it outlives the lives of a delivery: a life that follows one that was
/// fenced must know that it is not the first.
static OWNERS: Mutex<BTreeMap<String, Owner>> = Mutex::new(BTreeMap::new());

/// This process's name as the owner of a cursor, and whether it held the cursor before.
pub(super) fn owner(transactional_id: &str) -> (String, bool) {
    let mut owners = OWNERS.lock().unwrap_or_else(PoisonError::into_inner);
    let owner = owners
        .entry(transactional_id.to_owned())
        .or_insert_with(|| Owner { name: format!("{:016x}", rand::random::<u64>()), holds: false });
    (owner.name.clone(), owner.holds)
}

/// Says that this process holds the cursor, or that it does not any more: then its next life may take it back.
pub(super) fn set_holds(transactional_id: &str, holds: bool) {
    if let Some(owner) = OWNERS.lock().unwrap_or_else(PoisonError::into_inner).get_mut(transactional_id) {
        owner.holds = holds;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Class;

    fn position(epoch: u32, seq: u64) -> Position {
        Position { store: "ab".into(), epoch, seq, owner: "me".into() }
    }

    fn ours(epoch: u32, acked: u64) -> Ours<'static> {
        let (epoch, acked) = (CursorEpoch(epoch), Seq(acked));
        Ours { cursor: "orders", store: "ab", epoch, acked, end: Seq(100), known: None, owner: None }
    }

    fn names() -> Names {
        Names::of("shop", "orders")
    }

    #[test]
    fn the_higher_epoch_wins_and_in_the_same_one_what_kafka_holds() {
        assert_eq!(judge(Some(&position(1, 50)), &names(), &ours(1, 40)).expect("ahead"), Seq(50));
        assert_eq!(judge(Some(&position(1, 50)), &names(), &ours(2, 7)).expect("reset"), Seq(7));
        assert_eq!(judge(Some(&position(1, 50)), &names(), &ours(1, 60)).expect("ten without records"), Seq(60));
        let later = judge(Some(&position(3, 50)), &names(), &ours(2, 60)).expect_err("the log forgot a reset");
        assert_eq!(later.cursor, Some((CursorEpoch(3), Seq(50))));
    }

    #[test]
    fn a_missing_position_is_a_new_cursor_only_when_none_was_committed() {
        assert_eq!(judge(None, &names(), &ours(1, 40)).expect("new, or at least once until now"), Seq(40));
        let known = KnownPosition { topic: "__relay_cursors.shop.orders".into(), seq: 40 };
        let lost = judge(None, &names(), &Ours { known: Some(&known), ..ours(1, 44) }).expect_err("lost");
        assert_eq!(lost.class, Class::Definite);
        assert!(lost.next_step.expect("a step").contains("--to seq:41"));
        let known = KnownPosition { topic: "__relay_cursors.old.orders".into(), seq: 40 };
        let renamed = judge(None, &names(), &Ours { known: Some(&known), ..ours(1, 44) }).expect_err("renamed");
        assert!(renamed.reason.contains("__relay_cursors.old.orders"), "{renamed}");
    }

    #[test]
    fn what_contradicts_the_log_parks_with_what_to_do() {
        let known = KnownPosition { topic: names().topic, seq: 60 };
        let other = Position { store: "cd".into(), ..position(1, 50) };
        for (found, ours, says) in [
            (other, ours(1, 40), "another log"),
            (position(1, 101), ours(1, 40), "beyond the end"),
            (position(1, 50), Ours { known: Some(&known), ..ours(1, 60) }, "lost what it acknowledged"),
            (position(1, 50), Ours { owner: Some("you"), ..ours(1, 40) }, "took over"),
        ] {
            let error = judge(Some(&found), &names(), &ours).expect_err(says);
            assert_eq!((error.class, error.cursor), (Class::Definite, None));
            assert!(error.reason.contains(says) && error.next_step.is_some(), "{error:?}");
        }
        // Another store's seqs mean nothing, whatever its epoch.
        let other = Position { store: "cd".into(), ..position(9, 50) };
        assert!(judge(Some(&other), &names(), &ours(1, 40)).expect_err("refused").cursor.is_none());
    }

    #[test]
    fn positions_are_read_back_and_nothing_else_is() {
        let position = position(2, 7);
        assert_eq!(Position::decode(&position.encode(), &names()).expect("ours"), position);
        for wrong in [&b""[..], b"7", b"{\"store\":\"ab\"}", b"\xff"] {
            let error = Position::decode(wrong, &names()).expect_err("not ours");
            assert!(error.class == Class::Definite && error.reason.contains("__relay_cursors.shop.orders"));
        }
    }

    #[test]
    fn names_of_different_cursors_never_meet() {
        let (a, b) = (Names::of("a.b", "c"), Names::of("a", "b.c"));
        assert_eq!(a.topic, b.topic, "a topic's name has no sign of its own to part them");
        assert!(a.key != b.key && a.transactional_id != b.transactional_id);
    }

    #[test]
    fn a_process_remembers_which_cursors_it_holds() {
        let (name, holds) = owner("relay-test/one");
        assert!(!holds);
        set_holds("relay-test/one", true);
        assert_eq!(owner("relay-test/one"), (name.clone(), true));
        set_holds("relay-test/one", false);
        assert_eq!(owner("relay-test/one"), (name.clone(), false));
        assert_ne!(owner("relay-test/two").0, name);
    }
}
