//! The store against a `BTreeMap` under random operations: append, commit, abandon, prepare, read, cursors, trim, reopen.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use common::{Rng, body, commit, header, open, read_all, read_with_gaps, seed};
use relay_store::{
    Appender, Commit, CursorOptions, Gap, GapReason, Lagging, PreparedRange, ReadOnlyLog, Retention, SchemaVersion,
    Seq, Store, StoreOptions,
};

/// What the log must hold.
#[derive(Default)]
struct Model {
    last: u64,
    open: Option<u64>,
    visible: BTreeMap<u64, Vec<u8>>,
    prepared: Vec<PreparedRange>,
    checkpoint: u64,
    cursors: BTreeMap<String, (u32, u64, bool)>,
    schemas: BTreeMap<u64, Vec<u8>>,
    needs: BTreeMap<u64, u64>,
}

struct Run {
    store: Option<Store>,
    appender: Option<Appender>,
    model: Model,
    rng: Rng,
    /// Entries of the open transaction.
    pending: BTreeMap<u64, Vec<u8>>,
}

impl Run {
    fn store(&self) -> &Store {
        self.store.as_ref().expect("open")
    }

    fn appender(&mut self) -> &mut Appender {
        self.appender.as_mut().expect("open")
    }

    fn step(&mut self, dir: &Path) {
        match self.rng.below(100) {
            0..45 => self.append(),
            45..65 => self.commit(),
            65..70 => self.abandon(),
            70..74 => self.prepare(),
            74..77 => self.advance(),
            77..82 => self.appender().seal(),
            82..90 => self.cursor(),
            90..95 => self.look(dir),
            95..97 => self.trim(),
            _ => self.reopen(dir),
        }
    }

    fn append(&mut self) {
        if self.rng.below(5) == 0 {
            let id = 1 + self.rng.below(6);
            if self.model.schemas.contains_key(&id) {
                self.appender().needs_schema(id);
                self.model.needs.insert(self.model.last + 1, id);
            } else {
                let bytes = vec![id as u8; 10 + self.rng.below(9_000) as usize];
                self.appender().put_schema(SchemaVersion { id, bytes: bytes.clone() }).expect("put");
                self.model.schemas.insert(id, bytes);
            }
        }
        let seq = self.model.last + 1;
        let context: &[u8] = b"context";
        let given = self.appender().append(header(seq as u32), &[&body(seq)], &context).expect("append");
        assert_eq!(given, Seq(seq));
        self.model.last = seq;
        self.model.open.get_or_insert(seq);
        self.pending.insert(seq, body(seq));
        self.submit();
    }

    fn submit(&mut self) {
        while self.appender().submit().expect("submit") == relay_store::Submit::Full {
            self.appender().wait_space().expect("space");
        }
    }

    fn commit(&mut self) {
        self.model.checkpoint += 1;
        let checkpoint = self.model.checkpoint.to_le_bytes();
        let forget = match self.rng.below(3) {
            0 => self.model.prepared.pop(),
            _ => None,
        };
        let xid = forget.as_ref().map(|range| range.xid.clone());
        let time = self.model.checkpoint;
        self.appender().commit(Commit {
            checkpoint: &checkpoint,
            commit_time_us: time,
            forget_prepared: xid.as_deref(),
        });
        self.model.open = None;
        self.model.visible.append(&mut self.pending);
    }

    fn abandon(&mut self) {
        let abandoned = self.appender().abandon();
        assert_eq!(abandoned.map(|(first, _)| first.0), self.model.open.take());
        if let Some((_, last)) = abandoned {
            self.model.last = last.0;
        }
        self.pending.clear();
    }

    fn prepare(&mut self) {
        let Some(first) = self.model.open.take() else { return };
        self.model.checkpoint += 1;
        let (checkpoint, xid) = (self.model.checkpoint.to_le_bytes(), first.to_le_bytes().to_vec());
        self.appender().prepare(&xid, &checkpoint);
        self.model.prepared.push(PreparedRange { xid, first: Seq(first), last: Seq(self.model.last) });
        self.pending.clear();
    }

    fn advance(&mut self) {
        if self.model.open.is_none() {
            self.model.checkpoint += 1;
        }
        let checkpoint = self.model.checkpoint.to_le_bytes();
        self.appender().advance(&checkpoint);
    }

    fn cursor(&mut self) {
        let name = ["a", "b", "c"][self.rng.below(3) as usize].to_owned();
        self.appender().flush().expect("flush");
        let positions = self.store().positions();
        let (low, high) = (positions.first_seq.0 - 1, positions.visible_seq.0);
        let cursors = self.store().cursors();
        let known = self.model.cursors.get(&name).copied();
        match (known, self.rng.below(10)) {
            (None, _) => {
                let acked = low + self.rng.below(high - low + 1);
                let expires = name == "c";
                let lagging = if expires { Lagging::Expire } else { Lagging::Log };
                let state = cursors.create(&name, Seq(acked), CursorOptions { lagging }).expect("create");
                self.model.cursors.insert(name, (state.epoch.0, acked, expires));
            }
            (Some(_), 0) => {
                cursors.delete(&name).expect("delete");
                self.model.cursors.remove(&name);
            }
            (Some((epoch, _, expires)), 1) => {
                let acked = low + self.rng.below(high - low + 1);
                let state = cursors.reset(&name, Seq(acked)).expect("reset");
                assert_eq!(state.epoch.0, epoch + 1);
                self.model.cursors.insert(name, (epoch + 1, acked, expires));
            }
            (Some((epoch, acked, expires)), _) => {
                let to = acked + self.rng.below(high.saturating_sub(acked) + 1);
                cursors.commit(&name, relay_store::CursorEpoch(epoch), Seq(to), None).expect("commit");
                self.model.cursors.insert(name, (epoch, to.max(acked), expires));
            }
        }
    }

    fn look(&mut self, dir: &Path) {
        let durable = self.appender().flush().expect("flush");
        assert_eq!(durable.0, self.model.last);
        let first = self.store().positions().first_seq;
        let from = Seq(1 + self.rng.below(self.model.last + 1));
        let mut reader = self.store().reader();
        let (entries, gaps) = read_with_gaps(&mut reader, from);
        self.compare(from, first, entries, &gaps);
        let log = ReadOnlyLog::open(dir).expect("read-only");
        let (entries, gaps) = read_with_gaps(&mut log.reader(), from);
        self.compare(from, first, entries, &gaps);
        assert_eq!(self.appender().prepared(), self.model.prepared);
        for range in self.model.prepared.clone() {
            let blocks: Vec<_> = reader.prepared(&range).collect::<Result<_, _>>().expect("prepared");
            let seqs: Vec<u64> = blocks.iter().flat_map(|b| b.entries().map(|e| e.seq.0)).collect();
            assert_eq!(seqs, (range.first.0..=range.last.0).collect::<Vec<_>>());
        }
        for (seq, id) in self.model.needs.range(first.0..) {
            let mut reader = self.store().reader().with_hidden();
            if *seq <= self.store().positions().visible_seq.0 {
                assert!(matches!(reader.read(Seq(*seq)).expect("read"), relay_store::Read::Block(_)));
                assert_eq!(reader.schema(*id).expect("schema"), Some(self.model.schemas[id].clone()), "of entry {seq}");
            }
        }
        let stored: BTreeMap<u64, Vec<u8>> = self
            .store()
            .schema_versions()
            .expect("schemas")
            .into_iter()
            .map(|version| (version.id, version.bytes))
            .collect();
        assert_eq!(stored, self.model.schemas);
        let report = self.store().verify(&mut |_| {}).expect("verify");
        assert!(report.is_clean(), "{report:?}");
    }

    fn compare(&self, from: Seq, first: Seq, entries: Vec<(u64, Vec<u8>)>, gaps: &[Gap]) {
        let expected: Vec<(u64, Vec<u8>)> =
            self.model.visible.range(from.max(first).0..).map(|(seq, body)| (*seq, body.clone())).collect();
        assert_eq!(entries, expected);
        let trimmed = (from < first).then(|| Gap { first: from, last: first.prev(), reason: GapReason::Trimmed });
        assert_eq!(gaps, trimmed.into_iter().collect::<Vec<_>>());
    }

    fn trim(&mut self) {
        let max_bytes = Some(self.rng.below(300 << 10));
        let before = self.store().positions().first_seq;
        self.store().set_retention(Retention { max_bytes, ..Retention::default() });
        // The second barrier is answered after the look that the first one woke.
        self.appender().flush().expect("flush");
        self.appender().flush().expect("flush");
        self.store().set_retention(Retention::default());
        self.appender().flush().expect("flush");
        self.appender().flush().expect("flush");
        let first = self.store().positions().first_seq;
        assert!(first >= before);
        for cursor in self.store().cursors().list() {
            let (_, acked, expires) = self.model.cursors[&cursor.name];
            assert_eq!(cursor.acked.0, acked);
            if acked + 1 < first.0 {
                assert!(expires, "{cursor:?} was not held at {first}");
                assert_eq!(cursor.lost.expect("named").last, first.prev());
            }
        }
        for range in &self.model.prepared {
            assert!(range.first >= first);
        }
    }

    fn reopen(&mut self, dir: &Path) {
        self.appender().flush().expect("flush");
        self.appender = None;
        self.store = None;
        let store = open(dir);
        let report = store.opened();
        assert_eq!((report.lost.len(), report.damage.len(), report.meta_rebuilt.is_none()), (0, 0, true), "{report:?}");
        assert_eq!(report.open_transaction.map(|(first, _)| first.0), self.model.open);
        let appender = store.appender().expect("appender");
        if self.model.open.take().is_some() {
            self.model.last += 1;
            self.pending.clear();
        }
        assert_eq!(appender.last_seq().0, self.model.last);
        if self.model.checkpoint > 0 {
            assert_eq!(appender.checkpoint(), Some(&self.model.checkpoint.to_le_bytes()[..]));
        }
        for cursor in store.cursors().list() {
            assert_eq!((cursor.epoch.0, cursor.acked.0), {
                let (epoch, acked, _) = self.model.cursors[&cursor.name];
                (epoch, acked)
            });
        }
        assert_eq!(store.cursors().list().len(), self.model.cursors.len());
        self.store = Some(store);
        self.appender = Some(appender);
    }
}

#[test]
fn store_does_what_a_map_does() {
    let long = std::env::var_os("RELAY_LONG").is_some();
    let seed = seed("model");
    for round in 0..if long { 100 } else { 2 } {
        let dir = tempfile::tempdir().expect("temp dir");
        let store = open(dir.path());
        let appender = store.appender().expect("appender");
        let rng = Rng(seed.wrapping_add(round * 2));
        let mut run = Run {
            store: Some(store),
            appender: Some(appender),
            model: Model::default(),
            rng,
            pending: BTreeMap::new(),
        };
        for _ in 0..1_000 {
            run.step(dir.path());
        }
        run.look(dir.path());
        run.reopen(dir.path());
        run.look(dir.path());
    }
}

/// A schema version that was framed for the active segment stayed counted when its entries went to the next one, and the
/// writer stopped because it had not written as much as it had framed.
#[test]
fn schema_goes_to_the_next_segment_with_the_entries_that_need_it() {
    let dir = tempfile::tempdir().expect("temp dir");
    // Only a flush starts a group, so that each segment's end comes behind other blocks of the same group.
    let commit_interval = Duration::from_secs(10);
    let options = StoreOptions { commit_interval, codec: relay_store::Codec::None, ..common::options() };
    let store = Store::open(dir.path(), options).expect("open");
    let mut appender = store.appender().expect("appender");
    let context: &[u8] = b"c";
    let mut append = |ids: std::ops::RangeInclusive<u64>| {
        for id in ids {
            appender.put_schema(SchemaVersion { id, bytes: vec![id as u8; 100] }).expect("put");
            appender.needs_schema(id);
            appender.append(header(0), &[&body(id), &[0; 1_000]], &context).expect("append");
            appender.commit(commit(b"x", id));
            appender.seal();
        }
        appender.flush().expect("flush")
    };
    append(1..=1);
    assert_eq!(append(2..=200), Seq(200));
    assert!(store.segments().len() > 3, "{:?}", store.segments());
    let mut reader = store.reader();
    for (seq, bytes) in read_all(&mut store.reader(), Seq(1)) {
        assert_eq!(bytes[..bytes.len() - 1_000], body(seq));
        assert_eq!(reader.schema(seq).expect("schema"), Some(vec![seq as u8; 100]));
    }
}

#[test]
fn retired_schema_goes_with_the_last_segment_that_may_need_it() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = open(dir.path());
    let mut appender = store.appender().expect("appender");
    let context: &[u8] = b"c";
    for id in [1u64, 2] {
        appender.put_schema(SchemaVersion { id, bytes: vec![id as u8] }).expect("put");
        for _ in 0..400 {
            let seq = appender.last_seq().0 + 1;
            appender.needs_schema(id);
            appender.append(header(0), &[&body(seq)], &context).expect("append");
        }
        appender.commit(commit(b"x", id));
        if id == 1 {
            appender.retire_schema(1);
        }
        appender.flush().expect("flush");
    }
    let ids = || store.schema_versions().expect("schemas").iter().map(|version| version.id).collect::<Vec<_>>();
    assert_eq!(ids(), [1, 2]);
    store.set_retention(Retention { max_bytes: Some(1), ..Retention::default() });
    appender.flush().expect("flush");
    appender.flush().expect("flush");
    assert!(store.positions().first_seq.0 > 400, "{:?}", store.positions());
    assert_eq!(ids(), [2]);
}
