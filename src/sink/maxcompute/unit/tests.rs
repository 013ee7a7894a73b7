//! The protocol under everything that can go wrong, by seeded schedules: requests and answers are lost, commits arrive late
//! or twice, sessions vanish, are canceled or go astray, the sender dies between any two steps, the cursor is moved back.
//! The units and the journal are those that deliver; the service around them is a model. Planted faults, mistakes of the
//! one who drives them, show that the model would see a row that is missing or there twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use relay_store::Seq;

use super::{Action, Answer, Event, Extent, Intent, Unit};
use crate::change::schema::TableName;
use crate::sink::maxcompute::journal::{Journal, UnitName};

const SCHEDULES: u64 = 20_000;
/// A commit on its way arrives within this.
const LATE_MS: i64 = 300_000;
/// More steps than any schedule takes: beyond, it does not come to an end.
const STEPS_MAX: usize = 100_000;

/// A mistake of the one who drives the units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plant {
    None,
    CommitBeforeIntent,
    NewSessionAfterLostAnswer,
    NoProbe,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Open,
    Closed,
    Canceled,
    Critical,
}

#[derive(Debug)]
struct Session {
    partition: String,
    rows: Vec<i64>,
    status: Status,
    vanished: bool,
}

/// The service.
#[derive(Debug, Default)]
struct Service {
    now_ms: i64,
    sessions: BTreeMap<String, Session>,
    table: BTreeMap<(String, i64), u32>,
    /// Commits on their way: when they arrive.
    late: Vec<(i64, String)>,
}

impl Service {
    fn commit(&mut self, id: &str) -> Answer {
        let Some(session) = self.sessions.get_mut(id).filter(|session| !session.vanished) else { return Answer::Gone };
        match session.status {
            Status::Open | Status::Critical => {
                for id in std::mem::take(&mut session.rows) {
                    *self.table.entry((session.partition.clone(), id)).or_default() += 1;
                }
                // One that went astray may still do what it was asked, and says nothing of it.
                if session.status == Status::Critical {
                    return Answer::Nothing;
                }
                session.status = Status::Closed;
                Answer::Closed
            }
            Status::Closed | Status::Canceled => Answer::Conflict,
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now_ms += i64::try_from(time.as_millis()).expect("a short time");
        let (due, later) = std::mem::take(&mut self.late).into_iter().partition(|(due, _)| *due <= self.now_ms);
        self.late = later;
        for (_, session) in due as Vec<(i64, String)> {
            self.commit(&session);
        }
    }

    fn count(&self, partition: &str, extent: Extent) -> u64 {
        let (first, last) = extent.ids.expect("rows with ids");
        let range = (partition.to_owned(), first)..=(partition.to_owned(), last);
        self.table.range(range).map(|(_, count)| u64::from(*count)).sum()
    }
}

/// What survives the sender's death.
#[derive(Debug, Default)]
struct Disk {
    acked: u64,
    state: Vec<u8>,
}

struct Crash;

struct Run {
    rng: StdRng,
    plant: Plant,
    service: Service,
    disk: Disk,
    /// Partition of each seq, from 1; a row's id is its seq.
    log: Vec<String>,
    /// Things that may still go wrong.
    faults: u32,
    resets: u32,
    reset: u32,
    /// Sessions of which it was concluded that they are in.
    concluded: BTreeSet<String>,
    steps: usize,
    opened: u32,
}

impl Run {
    fn new(seed: u64, plant: Plant) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let rows = rng.random_range(1..=14);
        let partitions = rng.random_range(1..=3);
        let log = (0..rows).map(|_| format!("day={}", rng.random_range(0..partitions))).collect();
        let faults = rng.random_range(0..=16);
        let resets = if plant == Plant::None && rng.random_bool(0.3) { rng.random_range(1..=2) } else { 0 };
        Self {
            rng,
            plant,
            service: Service::default(),
            disk: Disk::default(),
            log,
            faults,
            resets,
            reset: 0,
            concluded: BTreeSet::new(),
            steps: 0,
            opened: 0,
        }
    }

    /// Whether something goes wrong here.
    fn strikes(&mut self, chance: f64) -> bool {
        let strikes = self.faults > 0 && self.rng.random_bool(chance);
        self.faults -= u32::from(strikes);
        strikes
    }

    fn crash_here(&mut self) -> Result<(), Crash> {
        if self.strikes(0.04) { Err(Crash) } else { Ok(()) }
    }

    fn run(&mut self) -> Result<(), String> {
        while self.disk.acked < self.log.len() as u64 {
            if self.resets > self.reset && self.rng.random_bool(0.1) {
                self.reset += 1;
                self.disk.acked = self.rng.random_range(0..=self.disk.acked);
            }
            match self.life()? {
                Ok(()) => {}
                Err(Crash) => self.service.pass(Duration::from_millis(self.rng.random_range(0..5000))),
            }
        }
        self.service.pass(Duration::from_secs(3600));
        self.judge()
    }

    /// From a start to a crash, or until everything is delivered.
    fn life(&mut self) -> Result<Result<(), Crash>, String> {
        let mut journal = Journal::restore(&self.disk.state, Seq(self.disk.acked), None).expect("its own bytes");
        for doubt in journal.in_doubt() {
            let mut unit = Unit::in_doubt(doubt.intent.clone());
            loop {
                match unit.action() {
                    Action::Done(session) => {
                        self.concluded.insert(session.to_owned());
                        break journal.settled(&doubt, true);
                    }
                    Action::Open => break journal.settled(&doubt, false),
                    Action::Halt(halt) => return Err(format!("halted in doubt: {halt:?}")),
                    _ => {}
                }
                if let Err(Crash) = self.step(&mut journal, &doubt.name, &mut unit)? {
                    return Ok(Err(Crash));
                }
            }
        }
        while journal.acked().0 < self.log.len() as u64 {
            let first = journal.acked().next().0;
            let most = self.log.len() as u64;
            let through = journal.resume().map_or_else(|| self.rng.random_range(first..=most), |seq| seq.0);
            if let Err(Crash) = self.window(&mut journal, first, through)? {
                return Ok(Err(Crash));
            }
            // Someone may move the cursor now.
            if self.resets > self.reset && self.rng.random_bool(0.2) {
                return Ok(Ok(()));
            }
        }
        Ok(Ok(()))
    }

    fn window(&mut self, journal: &mut Journal, first: u64, through: u64) -> Result<Result<(), Crash>, String> {
        let mut rows: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for seq in first..=through {
            rows.entry(self.log[seq as usize - 1].clone()).or_default().push(seq as i64);
        }
        let may_hold = journal.may_hold();
        journal.begin(Seq(through));
        let mut units: Vec<(UnitName, Unit)> = Vec::new();
        for (partition, ids) in rows {
            let extent = Extent { ids: Some((ids[0], ids[ids.len() - 1])), rows: ids.len() as u64 };
            let name = UnitName { table: "t".to_owned(), partition };
            if !journal.is_done(&name) {
                units.push((name, Unit::planned(extent, may_hold)));
            }
        }
        while !units.is_empty() {
            let at = self.rng.random_range(0..units.len());
            let (name, unit) = &mut units[at];
            match unit.action() {
                Action::Done(session) => {
                    self.concluded.insert(session.to_owned());
                    journal.done(name);
                    units.swap_remove(at);
                    continue;
                }
                Action::Halt(halt) => return Err(format!("halted: {halt:?}")),
                _ => {}
            }
            let (name, mut unit) = units[at].clone();
            let outcome = self.step(journal, &name, &mut unit)?;
            units[at].1 = unit;
            if let Err(Crash) = outcome.and_then(|()| self.crash_here()) {
                return Ok(Err(Crash));
            }
        }
        journal.finish(Seq(through));
        if self.crash_here().is_err() {
            return Ok(Err(Crash));
        }
        self.keep(journal);
        Ok(self.crash_here())
    }

    fn keep(&mut self, journal: &Journal) {
        self.disk = Disk { acked: journal.acked().0, state: journal.bytes() };
    }

    /// Does what the unit asks, once. Nothing may be told: the same is asked again then.
    fn step(&mut self, journal: &mut Journal, name: &UnitName, unit: &mut Unit) -> Result<Result<(), Crash>, String> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err("it does not come to an end".to_owned());
        }
        let pause = Duration::from_millis(self.rng.random_range(0..50));
        self.service.pass(pause);
        let now_ms = self.service.now_ms;
        let event = match unit.action() {
            Action::Count(extent, wait) => {
                self.service.pass(wait);
                if self.strikes(0.1) {
                    return Ok(Ok(()));
                }
                match self.plant {
                    Plant::NoProbe => Event::Counted(0),
                    _ => Event::Counted(self.service.count(&name.partition, extent)),
                }
            }
            Action::Open => {
                self.opened += 1;
                let id = format!("s{}", self.opened);
                let session = Session {
                    partition: name.partition.clone(),
                    rows: Vec::new(),
                    status: Status::Open,
                    vanished: false,
                };
                self.service.sessions.insert(id.clone(), session);
                if self.strikes(0.1) {
                    return Ok(Ok(()));
                }
                Event::Opened(id)
            }
            Action::Upload(id) => {
                if self.strikes(0.1) {
                    return Ok(Ok(()));
                }
                let (id, (first, last)) = (id.to_owned(), unit.extent().ids.expect("rows with ids"));
                let rows = (first..=last).filter(|&seq| self.log[seq as usize - 1] == name.partition).collect();
                let session = self.service.sessions.get_mut(&id).expect("it was opened");
                session.rows = rows;
                if session.vanished { Event::Unusable } else { Event::Uploaded }
            }
            Action::Check(id) => {
                let id = id.to_owned();
                if self.strikes(0.1) {
                    self.service.sessions.get_mut(&id).expect("it was opened").vanished = true;
                    Event::Unusable
                } else {
                    Event::Checked
                }
            }
            Action::Record(intent) => {
                let intent = intent.clone();
                if self.plant == Plant::CommitBeforeIntent {
                    self.service.commit(&intent.session);
                    if self.crash_here().is_err() {
                        return Ok(Err(Crash));
                    }
                }
                journal.intend(name.clone(), &TableName::new("shop", "t"), intent);
                self.keep(journal);
                if self.crash_here().is_err() {
                    return Ok(Err(Crash));
                }
                Event::Recorded
            }
            Action::Commit(id, wait) => {
                let id = id.to_owned();
                self.service.pass(wait);
                let answer = self.commit(&id);
                if self.plant == Plant::NewSessionAfterLostAnswer && answer == Answer::Nothing {
                    assert!(unit.take(Event::Committed(answer), now_ms));
                    Event::Asked(Answer::Canceled)
                } else {
                    Event::Committed(answer)
                }
            }
            Action::Ask(id, wait) => {
                let id = id.to_owned();
                self.service.pass(wait);
                Event::Asked(self.ask(&id))
            }
            Action::Done(_) | Action::Halt(_) => return Err("nothing is left to do".to_owned()),
        };
        if !unit.take(event.clone(), now_ms) {
            return Err(format!("{event:?} was asked for and is not taken"));
        }
        Ok(Ok(()))
    }

    fn commit(&mut self, id: &str) -> Answer {
        if !self.strikes(0.5) {
            return self.service.commit(id);
        }
        let late = |run: &mut Self| {
            let due = run.service.now_ms + run.rng.random_range(1..LATE_MS);
            run.service.late.push((due, id.to_owned()));
        };
        match self.rng.random_range(0..8) {
            0 => {}
            1 => drop(self.service.commit(id)),
            2 => late(self),
            3 => {
                late(self);
                return self.service.commit(id);
            }
            4 => {
                self.service.commit(id);
                self.vanish(id);
            }
            5 => self.vanish(id),
            6 => self.set(id, Status::Canceled),
            _ => {
                self.set(id, Status::Critical);
                late(self);
            }
        }
        Answer::Nothing
    }

    fn ask(&mut self, id: &str) -> Answer {
        if self.strikes(0.2) {
            match self.rng.random_range(0..3) {
                0 => self.vanish(id),
                1 => return Answer::Committing,
                _ => return Answer::Nothing,
            }
        }
        match &self.service.sessions[id] {
            Session { vanished: true, .. } => Answer::Gone,
            Session { status: Status::Open, .. } => Answer::Open,
            Session { status: Status::Closed, .. } => Answer::Closed,
            Session { status: Status::Canceled, .. } => Answer::Canceled,
            Session { status: Status::Critical, .. } => Answer::Critical,
        }
    }

    fn vanish(&mut self, id: &str) {
        self.service.sessions.get_mut(id).expect("it was opened").vanished = true;
    }

    fn set(&mut self, id: &str, status: Status) {
        let session = self.service.sessions.get_mut(id).expect("it was opened");
        if session.status == Status::Open {
            session.status = status;
        }
    }

    /// Every row is there once; after resets at least once, and never without somebody knowing.
    fn judge(&self) -> Result<(), String> {
        for (at, partition) in self.log.iter().enumerate() {
            let id = at as i64 + 1;
            let count = self.service.table.get(&(partition.clone(), id)).copied().unwrap_or(0);
            if count < 1 || count > 1 + self.reset {
                return Err(format!("row {id} is there {count} times after {} resets", self.reset));
            }
        }
        let rows: u32 = self.service.table.values().sum();
        if self.reset == 0 && rows as usize != self.log.len() {
            return Err(format!("{rows} rows of {}", self.log.len()));
        }
        Ok(())
    }
}

fn run(seed: u64, plant: Plant) -> Result<(), String> {
    Run::new(seed, plant).run()
}

fn first_seed() -> u64 {
    std::env::var("RELAY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

#[test]
fn every_row_arrives_once_whatever_is_lost_late_or_dies() {
    let first = first_seed();
    println!("seeds {first} to {}; RELAY_SEED sets the first", first + SCHEDULES - 1);
    let failed: Vec<_> =
        (first..first + SCHEDULES).filter_map(|seed| run(seed, Plant::None).err().map(|why| (seed, why))).collect();
    assert!(failed.is_empty(), "{} schedules fail, first {:?}", failed.len(), failed[0]);
}

#[test]
fn planted_faults_are_caught() {
    for plant in [Plant::CommitBeforeIntent, Plant::NewSessionAfterLostAnswer, Plant::NoProbe] {
        let caught = (1..=2000).filter(|&seed| run(seed, plant).is_err()).count();
        println!("{plant:?}: caught by {caught} of 2000 schedules");
        assert!(caught >= 20, "{plant:?} is caught by {caught} of 2000 schedules only");
    }
}

#[test]
fn nothing_is_committed_before_its_intent_and_nothing_reopened_while_in_doubt() {
    let extent = Extent { ids: Some((1, 5)), rows: 5 };
    let mut unit = Unit::planned(extent, false);
    assert!(unit.take(Event::Opened("s".to_owned()), 0));
    assert!(!unit.take(Event::Recorded, 0), "nothing was uploaded");
    assert!(unit.take(Event::Uploaded, 0) && unit.take(Event::Checked, 7));
    let Action::Record(intent) = unit.action() else { panic!("{:?}", unit.action()) };
    assert_eq!((intent.session.as_str(), intent.before, intent.at_ms), ("s", 0, 7));
    let intent = intent.clone();
    assert!(unit.take(Event::Recorded, 0));
    assert_eq!(unit.action(), Action::Commit("s", Duration::ZERO));
    for mut unit in [unit, Unit::in_doubt(intent)] {
        if matches!(unit.action(), Action::Commit(..)) {
            assert!(unit.take(Event::Committed(Answer::Gone), 0));
        }
        for _ in 0..50 {
            assert!(matches!(unit.action(), Action::Ask("s", _)));
            assert!(unit.take(Event::Asked(Answer::Nothing), 0));
        }
        assert!(matches!(unit.action(), Action::Ask("s", wait) if wait == Duration::from_secs(64)));
        assert!(unit.take(Event::Asked(Answer::Open), 0));
        assert!(matches!(unit.action(), Action::Commit("s", _)), "the same session");
    }
}

#[test]
fn rows_that_are_neither_all_nor_none_stop_the_table() {
    let extent = Extent { ids: None, rows: 5 };
    for (found, goes_on) in [(12, false), (7, true), (8, false), (6, false)] {
        let mut unit = Unit::in_doubt(Intent { session: "s".to_owned(), extent, before: 7, at_ms: 0 });
        assert!(unit.take(Event::Asked(Answer::Gone), 0) && unit.take(Event::Counted(found), 0));
        match unit.action() {
            Action::Done("s") => assert_eq!(found, 12),
            Action::Open => assert!(goes_on),
            Action::Halt(halt) => assert_eq!((halt.before, halt.found), (7, found)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_session_gone_astray_is_believed_only_after_a_wait() {
    let intent = Intent { session: "s".to_owned(), extent: Extent { ids: Some((1, 5)), rows: 5 }, before: 0, at_ms: 0 };
    let mut unit = Unit::in_doubt(intent);
    assert!(unit.take(Event::Asked(Answer::Critical), 0) && unit.take(Event::Counted(0), 0));
    assert!(matches!(unit.action(), Action::Count(_, wait) if wait == super::DOUBTFUL_WAIT));
    assert!(unit.take(Event::Counted(0), 0));
    assert_eq!(unit.action(), Action::Open);
}
