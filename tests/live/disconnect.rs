//! The connection to the source breaks behind every event of a transaction, and inside every event: each time the log
//! holds the transaction once and whole, and what came before the break is never seen.

use relay::binlog::event::EventType;
use relay::failure::{Class, Failure};
use relay_store::{Read, Seq};

use crate::captured::{Captured, Life, PATIENCE, Seen, definitions, describe, transactions};
use crate::support::proxy::{Fault, Proxy};
use crate::support::servers::{Database, shared};
use crate::support::sql::Session;
use crate::support::{fresh, wait_until};

/// What a server is asked to do in each round, with `SCHEMA` for the test's own, and what comes of it.
struct Shape {
    name: &'static str,
    statements: fn(usize) -> Vec<String>,
    /// Events on the wire, over all transactions of the round.
    events: usize,
    /// The visible transactions of a round.
    visible: Vec<Vec<&'static str>>,
}

/// A source behind a proxy, and the log that is made of it.
struct Lab {
    proxy: Proxy,
    captured: Captured,
    root: Session,
    schema: String,
    life: Option<Life>,
}

impl Lab {
    fn new(server: &Database) -> Self {
        let (schema, proxy) = (fresh("cut"), Proxy::before(server));
        let mut root = Session::open(server);
        root.run(&format!("CREATE DATABASE {schema}"));
        // The schema is the session's, so that MySQL's first events of each transaction name it; MariaDB's hold the
        // text of the first statement.
        root.run(&format!("USE {schema}"));
        root.run("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(40))");
        // A dump looks for its GTID from the start of a file; there will be some eighty of them.
        root.run("FLUSH LOGS");
        let captured = Captured::new(&proxy.database(), &schema, "latest");
        let life = Some(captured.start());
        Self { proxy, captured, root, schema, life }
    }

    fn transactions(&self) -> Vec<Vec<&'static str>> {
        transactions(&self.captured.seen())
    }

    #[track_caller]
    fn wait_visible(&self, what: &str, count: usize) {
        wait_until(what, PATIENCE, || {
            let life = self.life.as_ref().expect("it runs");
            assert!(!life.thread.is_finished(), "{what}: capture ended: {:?}", life.ended);
            (self.transactions().len() >= count).then_some(())
        });
    }

    fn run(&mut self, shape: &Shape, round: usize) {
        for statement in (shape.statements)(round) {
            self.root.run(&statement.replace("SCHEMA", &self.schema));
        }
    }

    /// One round for each place where the connection can break, each with rows of its own.
    fn try_every_break(&mut self, shape: &Shape) {
        let before = self.transactions().len();
        for round in 0..=shape.events {
            let what = format!("{}, behind event {round} of {}", shape.name, shape.events);
            // Behind the last event there is none to break in.
            let inside = round % 2 == 1 && round < shape.events;
            self.proxy.arm(&self.schema, round, if inside { Fault::CutInside } else { Fault::Cut });
            self.run(shape, round);
            assert!(self.proxy.wait_fired(PATIENCE), "{what}: the connection did not break");
            let ended = self.life.take().expect("it runs").thread.join().expect("no panic");
            let error = ended.expect_err("the connection broke");
            assert_eq!(error.class(), Class::Transient, "{what}: {error}");
            self.life = Some(self.captured.start());
            self.wait_visible(&what, before + (round + 1) * shape.visible.len());
        }
        // Once more, behind an event that does not come: every place has been tried.
        let (round, rounds) = (shape.events + 1, shape.events + 2);
        self.proxy.arm(&self.schema, round, Fault::Cut);
        self.run(shape, round);
        self.wait_visible(shape.name, before + rounds * shape.visible.len());
        assert!(!self.life.as_ref().expect("it runs").thread.is_finished(), "{}: more events than said", shape.name);
        self.proxy.disarm();

        let seen = self.captured.seen();
        let mut last = None;
        for entry in &seen {
            let first = entry.is_begin();
            assert!(if first { entry.tx_index == 0 } else { last < Some(entry.tx_index) }, "{}: {last:?}", shape.name);
            last = Some(entry.tx_index);
        }
        let transactions = &transactions(&seen)[before..];
        assert_eq!(transactions.len(), rounds * shape.visible.len(), "{}", shape.name);
        for (n, transaction) in transactions.iter().enumerate() {
            assert_eq!(*transaction, shape.visible[n % shape.visible.len()], "{}, transaction {n}", shape.name);
        }
    }

    /// The rows that a text stands in, of each round; each round has the same number of them.
    fn assert_each_round(&self, rounds: usize, text: impl Fn(usize) -> String, rows: usize) {
        let seen = self.captured.seen();
        let holds = |entry: &Seen, text: &str| {
            let rows = entry.event_type().is_rows() && entry.event_type() != EventType::TABLE_MAP;
            rows && entry.body.windows(text.len()).any(|w| w == text.as_bytes())
        };
        for round in 0..rounds {
            let text = text(round);
            assert_eq!(seen.iter().filter(|entry| holds(entry, &text)).count(), rows, "rows events with {text}");
        }
    }

    /// Entries of the log that nobody sees.
    fn hidden(&self) -> usize {
        let mut reader = self.captured.store.reader().with_hidden();
        let (mut from, mut hidden) = (Seq(1), 0);
        while let Read::Block(raw) = reader.read(from).expect("readable") {
            let block = raw.decode().expect("whole");
            from = block.last_seq().next();
            hidden += block.all_entries().filter(|entry| !entry.visible).count();
        }
        hidden
    }

    fn end(mut self) {
        self.life.take().expect("it runs").stop().expect("an orderly end");
    }
}

fn key(round: usize, row: usize) -> usize {
    round * 1000 + row
}

/// `rows` single inserts in one transaction, the last of them changed again.
fn transaction(round: usize, rows: usize) -> Vec<String> {
    let insert = |row| format!("INSERT INTO SCHEMA.t VALUES ({}, 'round-{round}-')", key(round, row));
    let mut statements = vec!["BEGIN".to_owned()];
    statements.extend((0..rows).map(insert));
    statements.push(format!("UPDATE t SET v = 'round-{round}-again' WHERE id = {}", key(round, 0)));
    statements.push("COMMIT".to_owned());
    statements
}

fn xa(round: usize) -> Vec<String> {
    let id = format!("cut-{}-{round}", std::process::id());
    vec![
        format!("XA START '{id}'"),
        format!("INSERT INTO SCHEMA.t VALUES ({}, 'prepared-{round}-')", key(round, 500)),
        format!("INSERT INTO SCHEMA.t VALUES ({}, 'prepared-{round}-')", key(round, 501)),
        format!("XA END '{id}'"),
        format!("XA PREPARE '{id}'"),
        format!("XA COMMIT '{id}'"),
    ]
}

fn create_select(round: usize) -> Vec<String> {
    vec![format!(
        "CREATE TABLE c{round} (id INT PRIMARY KEY, v VARCHAR(40)) AS SELECT 1 AS id, 'created-{round}-' AS v"
    )]
}

fn alter(round: usize) -> Vec<String> {
    vec![
        format!("ALTER TABLE t ADD COLUMN c{round} INT"),
        format!("INSERT INTO t (id, v) VALUES ({}, 'altered-{round}-')", key(round, 700)),
    ]
}

/// A transaction of these events, `rows` times those in the middle.
fn events(first: &[&'static str], rows: usize, each: &[&'static str], last: &[&'static str]) -> Vec<&'static str> {
    let each = std::iter::repeat_n(each, rows).flatten();
    first.iter().chain(each).chain(last).copied().collect()
}

#[test]
fn a_break_behind_any_event_of_mysql_97_loses_and_repeats_nothing() {
    const ROWS: usize = 27;
    let mut lab = Lab::new(&shared(&["mysql97"]).mysql97());
    let inserts = ["TABLE_MAP", "WRITE_ROWS"];
    let update = ["TABLE_MAP", "UPDATE_ROWS", "XID"];
    lab.try_every_break(&Shape {
        name: "a transaction",
        statements: |round| transaction(round, ROWS),
        events: ROWS * 2 + 5,
        visible: vec![events(&["GTID", "QUERY"], ROWS, &inserts, &update)],
    });
    lab.assert_each_round(ROWS * 2 + 7, |round| format!("round-{round}-"), ROWS + 1);
    assert!(lab.hidden() > 1000, "the parts of cut transactions were written: {}", lab.hidden());
    lab.try_every_break(&Shape {
        name: "an XA transaction",
        statements: xa,
        events: 10,
        visible: vec![events(&["GTID"], 2, &inserts, &["QUERY"])],
    });
    lab.assert_each_round(12, |round| format!("prepared-{round}-"), 2);
    lab.try_every_break(&Shape {
        name: "CREATE TABLE ... SELECT",
        statements: create_select,
        events: 6,
        visible: vec![events(&["GTID", "QUERY", "QUERY"], 1, &inserts, &["XID"])],
    });
    lab.assert_each_round(8, |round| format!("created-{round}-"), 1);
    assert!(lab.captured.store.appender().is_err(), "capture still runs");
    lab.end();
}

#[test]
fn a_break_behind_any_event_of_mariadb_loses_and_repeats_nothing() {
    const ROWS: usize = 18;
    let mut lab = Lab::new(&shared(&["mariadb"]).mariadb());
    let inserts = ["ANNOTATE_ROWS", "TABLE_MAP", "WRITE_ROWS_V1"];
    let update = ["ANNOTATE_ROWS", "TABLE_MAP", "UPDATE_ROWS_V1", "XID"];
    lab.try_every_break(&Shape {
        name: "a transaction",
        statements: |round| transaction(round, ROWS),
        events: ROWS * 3 + 5,
        visible: vec![events(&["MARIADB_GTID"], ROWS, &inserts, &update)],
    });
    lab.assert_each_round(ROWS * 3 + 7, |round| format!("round-{round}-"), ROWS + 1);
    assert!(lab.hidden() > 1000, "the parts of cut transactions were written: {}", lab.hidden());
    lab.try_every_break(&Shape {
        name: "an XA transaction",
        statements: xa,
        events: 11,
        visible: vec![events(&["MARIADB_GTID"], 2, &inserts, &["QUERY"])],
    });
    lab.assert_each_round(13, |round| format!("prepared-{round}-"), 2);
    lab.try_every_break(&Shape {
        name: "CREATE TABLE ... SELECT",
        statements: create_select,
        events: 6,
        visible: vec![events(&["MARIADB_GTID", "QUERY"], 1, &inserts, &["XID"])],
    });
    lab.assert_each_round(8, |round| format!("created-{round}-"), 1);
    lab.end();
}

#[test]
fn a_break_behind_any_event_of_mysql_56_loses_and_repeats_nothing() {
    const ROWS: usize = 27;
    let mut lab = Lab::new(&shared(&["mysql56"]).mysql56());
    let inserts = ["TABLE_MAP", "WRITE_ROWS"];
    let update = ["TABLE_MAP", "UPDATE_ROWS", "XID"];
    lab.try_every_break(&Shape {
        name: "a transaction",
        statements: |round| transaction(round, ROWS),
        events: ROWS * 2 + 5,
        visible: vec![events(&["GTID", "QUERY"], ROWS, &inserts, &update)],
    });
    lab.assert_each_round(ROWS * 2 + 7, |round| format!("round-{round}-"), ROWS + 1);
    let seen = lab.captured.seen().len();
    lab.try_every_break(&Shape {
        name: "ALTER TABLE",
        statements: alter,
        events: 7,
        visible: vec![vec!["GTID", "QUERY"], events(&["GTID", "QUERY"], 1, &inserts, &["XID"])],
    });
    lab.assert_each_round(9, |round| format!("altered-{round}-"), 1);
    // Each statement counts once, however often it came: a second time its column would be there already.
    let altered = lab.captured.seen().split_off(seen);
    let mut expected = "t: id int(11), v varchar(40)".to_owned();
    let definitions = definitions(&lab.captured, &altered);
    assert_eq!(definitions.len(), 9);
    for (round, definition) in definitions.iter().enumerate() {
        expected += &format!(", c{round} int(11)");
        assert_eq!(describe(definition), expected);
    }
    lab.end();
}
