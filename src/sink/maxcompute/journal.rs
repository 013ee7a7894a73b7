//! What a delivery into tables keeps beside its cursor: where the window at work ends, which of its units are in, which may
//! be. Pure: the caller makes [`Journal::bytes`] durable, in one batch with the cursor.
//!
//! A window is a stretch of the log whose units are delivered together; the cursor passes it when all of them are in.
//! After a crash the log gives the same rows again, and the window is cut where it was, so that units that are in are
//! known by their names.

use std::collections::{BTreeMap, BTreeSet};

use relay_store::Seq;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::unit::Intent;
use crate::change::schema::TableName;

/// The layout that is written and read.
const VERSION: u32 = 1;

/// A unit within its window.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnitName {
    /// The table, as MaxCompute names it.
    pub table: String,
    /// `k1=v1,k2=v2`; empty for a table without partitions.
    pub partition: String,
}

/// State that is not of this program, or of a later one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JournalError {
    /// It does not read.
    #[error("the state kept with the cursor is not of a MaxCompute delivery: {0}")]
    Damaged(String),
    /// A later program wrote it.
    #[error("the state kept with the cursor has version {0}, this program knows {VERSION}: use the later one")]
    Version(u32),
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Kept {
    version: u32,
    /// Rows up to this seq were delivered, or may have been, before the window at work.
    high: u64,
    /// The zone of DATETIME values, as it was at the first start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    /// The stream's window at work. It stays while a table is delivered again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window: Option<Window>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replay: Option<Replay>,
}

/// One table that is delivered again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Replay {
    key: String,
    /// How far it is.
    acked: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window: Option<Window>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Window {
    first: u64,
    through: u64,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    done: BTreeSet<UnitName>,
    /// A list, because the names are no texts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "pairs")]
    in_doubt: BTreeMap<UnitName, Doubt>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Doubt {
    /// Schema and table at the source.
    source: (String, String),
    intent: Intent,
}

/// A unit whose session may have been asked to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InDoubt {
    /// The unit.
    pub name: UnitName,
    /// Its table at the source.
    pub source: TableName,
    /// What was recorded.
    pub intent: Intent,
    /// First seq of its window.
    pub first: Seq,
    of_replay: bool,
}

mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Doubt, UnitName};

    pub(super) fn serialize<S: Serializer>(map: &BTreeMap<UnitName, Doubt>, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(map)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<UnitName, Doubt>, D::Error> {
        Vec::deserialize(d).map(|pairs: Vec<(UnitName, Doubt)>| pairs.into_iter().collect())
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    kept: Kept,
    /// The replay that this life is about.
    replay: Option<String>,
    /// Everything up to here is in.
    acked: Seq,
}

impl Journal {
    /// From the bytes of the last life, none at the first start; the cursor stands at `acked`, or one table is delivered
    /// again from there on.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub fn restore(bytes: &[u8], acked: Seq, replay: Option<&str>) -> Result<Self, JournalError> {
        let kept = match bytes {
            [] => Kept { version: VERSION, ..Kept::default() },
            bytes => serde_json::from_slice::<Kept>(bytes).map_err(|error| JournalError::Damaged(error.to_string()))?,
        };
        if kept.version != VERSION {
            return Err(JournalError::Version(kept.version));
        }
        // It goes on where it was.
        let known = kept.replay.as_ref().filter(|known| Some(known.key.as_str()) == replay);
        let acked = known.map_or(acked, |known| acked.max(Seq(known.acked)));
        Ok(Self { kept, replay: replay.map(str::to_owned), acked })
    }

    /// The zone of DATETIME values that these bytes remember.
    pub fn zone_in(bytes: &[u8]) -> Option<String> {
        serde_json::from_slice::<Kept>(bytes).ok()?.zone
    }

    /// Remembers the zone of DATETIME values.
    pub fn set_zone(&mut self, zone: &str) {
        self.kept.zone = Some(zone.to_owned());
    }

    /// Everything up to here is in.
    pub fn acked(&self) -> Seq {
        self.acked
    }

    /// What is to be durable, with the cursor at [`Journal::acked`].
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.kept).expect("plain data has a form in JSON")
    }

    /// Units whose sessions may have been asked to commit, of whatever an earlier life was about. They are settled before
    /// anything else is sent.
    pub fn in_doubt(&self) -> Vec<InDoubt> {
        let replay = self.kept.replay.as_ref().and_then(|replay| replay.window.as_ref());
        let windows = [(false, self.kept.window.as_ref()), (true, replay)];
        let of_window = |(of_replay, window): (bool, &Window)| {
            let unit = |(name, doubt): (&UnitName, &Doubt)| InDoubt {
                name: name.clone(),
                source: TableName::new(doubt.source.0.as_str(), doubt.source.1.as_str()),
                intent: doubt.intent.clone(),
                first: Seq(window.first),
                of_replay,
            };
            window.in_doubt.iter().map(unit).collect::<Vec<_>>()
        };
        windows.into_iter().filter_map(|(of_replay, window)| Some((of_replay, window?))).flat_map(of_window).collect()
    }

    /// A unit that was in doubt is in, or no session stands for it any more.
    pub fn settled(&mut self, unit: &InDoubt, is_in: bool) {
        let window = match unit.of_replay {
            true => self.kept.replay.as_mut().and_then(|replay| replay.window.as_mut()),
            false => self.kept.window.as_mut(),
        };
        if let Some(window) = window {
            window.in_doubt.remove(&unit.name);
            if is_in {
                window.done.insert(unit.name.clone());
            }
        }
    }

    /// Where the next window must end, as [`Journal::resume`] will say; may be asked while something is in doubt.
    pub fn cut(&self) -> Option<Seq> {
        let window = match &self.replay {
            Some(key) => self.kept.replay.as_ref().filter(|replay| replay.key == *key)?.window.as_ref()?,
            None => self.kept.window.as_ref()?,
        };
        (window.first == self.acked.next().0).then_some(Seq(window.through))
    }

    /// Where the next window must end because it was begun in an earlier life; none: anywhere. A window of an earlier life
    /// that does not begin behind the cursor any more, because the cursor was moved, is forgotten, and what it delivered
    /// is remembered as [`Journal::may_hold`]. Nothing may be in doubt.
    pub fn resume(&mut self) -> Option<Seq> {
        debug_assert!(self.in_doubt().is_empty(), "settled first");
        let cut = self.cut();
        if let Some(key) = &self.replay {
            // The stream's own window waits for the stream.
            let known = self.kept.replay.take().filter(|known| known.key == *key);
            let mut replay = known.unwrap_or_else(|| Replay { key: key.clone(), ..Replay::default() });
            replay.acked = self.acked.0;
            replay.window = replay.window.filter(|_| cut.is_some());
            self.kept.replay = Some(replay);
            return cut;
        }
        self.kept.replay = None;
        if cut.is_none()
            && let Some(window) = self.kept.window.take()
        {
            self.kept.high = self.kept.high.max(window.through);
        }
        cut
    }

    /// Whether tables may hold rows of the window that begins behind the cursor, from before it was moved back.
    pub fn may_hold(&self) -> bool {
        self.replay.is_some() || self.acked.next().0 <= self.kept.high
    }

    fn window(&mut self) -> &mut Option<Window> {
        match self.kept.replay.as_mut().filter(|_| self.replay.is_some()) {
            Some(replay) => &mut replay.window,
            None => &mut self.kept.window,
        }
    }

    /// Begins the window that ends at `through`, or goes on with it.
    pub fn begin(&mut self, through: Seq) {
        let first = self.acked.next().0;
        let window = self.window();
        match window {
            Some(window) if window.first == first => debug_assert_eq!(window.through, through.0),
            _ => *window = Some(Window { first, through: through.0, ..Window::default() }),
        }
    }

    /// Whether the unit is in already.
    pub fn is_done(&mut self, unit: &UnitName) -> bool {
        self.window().as_ref().is_some_and(|window| window.done.contains(unit))
    }

    /// Its session is about to be asked to commit.
    pub fn intend(&mut self, unit: UnitName, source: &TableName, intent: Intent) {
        if let Some(window) = self.window() {
            let source = (source.database.to_string(), source.table.to_string());
            window.in_doubt.insert(unit, Doubt { source, intent });
        }
    }

    /// It is in.
    pub fn done(&mut self, unit: &UnitName) {
        if let Some(window) = self.window() {
            window.in_doubt.remove(unit);
            window.done.insert(unit.clone());
        }
    }

    /// It is given up: no session stands for it any more.
    pub fn withdraw(&mut self, unit: &UnitName) {
        if let Some(window) = self.window() {
            window.in_doubt.remove(unit);
        }
    }

    /// All units of the window are in: everything up to its end is.
    pub fn finish(&mut self, through: Seq) {
        *self.window() = None;
        if self.replay.is_none() {
            self.kept.high = self.kept.high.max(through.0);
        }
        self.pass(through);
    }

    /// Nothing up to here belongs into a table.
    pub fn pass(&mut self, through: Seq) {
        self.acked = self.acked.max(through);
        if let Some(replay) = self.kept.replay.as_mut().filter(|_| self.replay.is_some()) {
            replay.acked = self.acked.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::maxcompute::unit::Extent;

    fn unit(partition: &str) -> UnitName {
        UnitName { table: "orders_log".to_owned(), partition: partition.to_owned() }
    }

    fn orders() -> TableName {
        TableName::new("shop", "orders")
    }

    fn intent(session: &str) -> Intent {
        let extent = Extent { ids: Some((1, 9)), rows: 3 };
        Intent { session: session.to_owned(), extent, before: 0, at_ms: 5 }
    }

    fn again(journal: &Journal, acked: u64, replay: Option<&str>) -> Journal {
        Journal::restore(&journal.bytes(), Seq(acked), replay).expect("its own bytes")
    }

    #[test]
    fn a_window_is_taken_up_where_it_was_cut() {
        let mut journal = Journal::restore(&[], Seq(10), None).expect("nothing");
        assert_eq!((journal.resume(), journal.may_hold()), (None, false));
        journal.begin(Seq(20));
        journal.intend(unit("d=1"), &orders(), intent("s1"));
        journal.intend(unit("d=2"), &orders(), intent("s2"));
        journal.done(&unit("d=1"));
        let mut journal = again(&journal, 10, None);
        let doubts = journal.in_doubt();
        let [doubt] = &doubts[..] else { panic!("{doubts:?}") };
        assert_eq!((&doubt.name, &doubt.source, &doubt.intent), (&unit("d=2"), &orders(), &intent("s2")));
        journal.settled(doubt, false);
        assert_eq!(journal.resume(), Some(Seq(20)));
        assert!(journal.is_done(&unit("d=1")) && !journal.is_done(&unit("d=2")));
        assert!(!journal.may_hold(), "only units that are known to be in, or not, are behind the cursor");
        journal.finish(Seq(20));
        let mut journal = again(&journal, 20, None);
        assert_eq!((journal.acked(), journal.resume(), journal.may_hold()), (Seq(20), None, false));
    }

    #[test]
    fn after_a_reset_tables_may_hold_what_is_delivered_again() {
        let mut journal = Journal::restore(&[], Seq(10), None).expect("nothing");
        journal.begin(Seq(20));
        journal.intend(unit("d=1"), &orders(), intent("s1"));
        journal.done(&unit("d=1"));
        let mut journal = again(&journal, 5, None);
        assert_eq!(journal.resume(), None, "it began at another place");
        assert!(journal.may_hold());
        assert!(!journal.is_done(&unit("d=1")));
        journal.begin(Seq(20));
        journal.finish(Seq(20));
        assert!(!journal.may_hold());
    }

    #[test]
    fn a_replay_goes_on_where_it_was_and_leaves_the_stream_alone() {
        let mut stream = Journal::restore(&[], Seq(10), None).expect("nothing");
        stream.begin(Seq(20));
        stream.intend(unit("d=1"), &orders(), intent("s1"));
        stream.done(&unit("d=1"));
        let mut replay = Journal::restore(&stream.bytes(), Seq(4), Some("shop.orders@5")).expect("its own bytes");
        assert_eq!((replay.resume(), replay.may_hold(), replay.acked()), (None, true, Seq(4)));
        replay.begin(Seq(8));
        replay.intend(unit("d=1"), &orders(), intent("s2"));
        let cut_off = again(&replay, 4, Some("shop.orders@5"));
        assert_eq!((cut_off.cut(), cut_off.in_doubt().len()), (Some(Seq(8)), 1));
        replay.done(&unit("d=1"));
        replay.finish(Seq(8));
        assert_eq!(again(&replay, 4, Some("shop.orders@5")).acked(), Seq(8));
        assert_eq!(again(&replay, 4, Some("shop.orders@7")).acked(), Seq(4));
        let mut stream = again(&replay, 10, None);
        assert_eq!(stream.resume(), Some(Seq(20)));
        assert!(stream.is_done(&unit("d=1")), "by its own window");
        assert_eq!(again(&stream, 4, Some("shop.orders@5")).acked(), Seq(4), "it was over");
    }

    #[test]
    fn bytes_of_others_are_refused() {
        assert!(matches!(Journal::restore(b"\0\0\0\0\0\0\0\x09", Seq(1), None), Err(JournalError::Damaged(_))));
        assert_eq!(Journal::restore(br#"{"version":2,"high":1}"#, Seq(1), None), Err(JournalError::Version(2)));
    }
}
