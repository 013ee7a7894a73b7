//! Filters against the servers' own evaluation: the same conditions over the same rows, ours on rows decoded from the
//! real binlog, theirs by SELECT, three-valued and without a difference.

mod conditions;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use conditions::Writer;
use jiff::tz::TimeZone;
use rand::SeedableRng;
use rand::rngs::StdRng;
use relay::binlog::event::Dialect;
use relay::change::decode::{BlockDecoder, BlockError, Change};
use relay::change::plan::Planner;
use relay::filter::{EvalError, Filter, Parsed, Session as Meaning};
use relay_store::{Read, Seq, Store};
use std::sync::Arc;
use table::Table;

use crate::captured::Captured;
use crate::support::servers::{Database, shared};
use crate::support::sql::Session;
use crate::support::{fresh, steady_seed};

/// Rows of a table; with the conditions, more than 100,000 pairs altogether.
const ROWS: usize = 120;
/// Conditions that are asked in one query.
const BATCH: usize = 40;

/// What a condition says of each row, by primary key.
type Answers = BTreeMap<i64, Result<Option<bool>, EvalError>>;

/// What only holds, or only fails, when operators bind as they should.
const PRECEDENCE: [&str; 30] = [
    "1 = 2 = 0",
    "NOT 1 = 0",
    "NOT 0 AND 0",
    "1 OR 0 AND 0",
    "2 - 1 - 1 = 0",
    "7 % 4 * 2 = 6",
    "1 IS NULL = 0",
    "1 = 1 IS NULL",
    "5 BETWEEN 1 AND 3 OR 1",
    "5 BETWEEN 1 AND 3 = 0",
    "'a' LIKE 'b' = 0",
    "0 = 'a' LIKE 'b'",
    "1 = 1 IN (1)",
    "NOT 1 IN (2)",
    "NOT 3 BETWEEN 1 AND 2 = 0",
    "- 2 * 3 = -6",
    "2 + 3 * 4 % 5 = 4",
    "1 < 2 < 3",
    "3 > 2 > 1",
    "NULL <=> NULL = 1",
    "NOT NULL IS NULL",
    "1 <=> 1 <=> 1",
    "'a' = 'A' AND 'é' = 'E'",
    "2 IN (1, 2) = 1",
    "NOT NOT 1",
    "1 + 1 BETWEEN 1 AND 1 + 1",
    "'it''s' = 'it\\'s' AND 'a%b' LIKE 'a\\%b' AND 'axb' NOT LIKE 'a\\%b'",
    "0.1 + 0.2 = 0.3 AND 1e-1 + 2e-1 <> 3e-1",
    "18446744073709551615 > -1 AND 18446744073709551616 > 18446744073709551615",
    "'10' + '1e1' = 20 AND ' 7x' = 7 AND 'a' = 0",
];

/// A condition and its answers.
type Answered = (String, Answers);
/// A condition and why it does not compile.
type Refused = (String, String);

fn conditions() -> usize {
    if std::env::var("RELAY_LONG").is_ok_and(|v| !v.is_empty()) { 20_000 } else { 2500 }
}

#[test]
fn conditions_say_on_mysql97_what_the_server_says() {
    agree(&shared(&["mysql97"]).mysql97(), Dialect::MySql);
}

#[test]
fn conditions_say_on_mysql56_what_the_server_says() {
    agree(&shared(&["mysql56"]).mysql56(), Dialect::MySql);
}

#[test]
fn conditions_say_on_mariadb_what_the_server_says() {
    agree(&shared(&["mariadb"]).mariadb(), Dialect::MariaDB);
}

fn agree(server: &Database, dialect: Dialect) {
    let seed = steady_seed(server.name);
    let mut random = StdRng::seed_from_u64(seed);
    let mut session = Session::open(server);
    for setting in Meaning::SETTINGS {
        session.run(setting);
    }
    session.run("SET time_zone = '+08:00'");
    let schema = fresh("filter");
    session.run(&format!("CREATE DATABASE {schema} DEFAULT CHARACTER SET utf8mb4"));
    let captured = Captured::new(server, &schema, "latest");
    let life = captured.start();
    let table = Table::of(server.name);
    session.run(&table.create(&schema));
    for id in 1..=ROWS {
        session.run(&table.insert(&schema, id, &mut random));
    }
    session.run(&format!("CREATE TABLE {schema}.the_end (id INT)"));
    captured.seen_with("the_end", &life);
    life.stop().expect("capture ends well");

    let meaning = meaning(&mut session, dialect);
    let mut writer = Writer::new(&table, dialect, random);
    let mut wanted: Vec<(String, Parsed)> = Vec::new();
    let fixed = PRECEDENCE.iter().map(|text| (*text).to_owned());
    let random: Vec<String> = (0..conditions()).map(|_| writer.condition()).collect();
    for text in fixed.chain(random) {
        let parsed = Parsed::parse(&text).unwrap_or_else(|error| panic!("{error}\n  in: {text}"));
        wanted.push((text, parsed));
    }
    let (accepted, refused) = evaluate(&captured.store, &meaning, &wanted);
    for text in PRECEDENCE {
        assert!(accepted.iter().any(|(accepted, _)| accepted == text), "{text} is refused");
    }
    let asked = Asked { server: server.name, schema: &schema, seed };
    let pairs = asked.compare(&mut session, &accepted);
    let coverage = writer.coverage(&accepted.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>());
    println!("{}: {pairs} pairs, {} conditions refused; least used: {coverage:?}", server.name, refused.len());
    let mut reasons: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for (text, error) in refused {
        let (reason, _) = error.split_once(" (").map_or((error.clone(), ()), |(head, _)| (head.to_owned(), ()));
        let reason = reason.split(": ").skip(1).collect::<Vec<_>>().join(": ");
        reasons.entry(reason).or_insert((0, text)).0 += 1;
    }
    for (reason, (count, text)) in reasons {
        println!("  refused {count}: {reason}, as {text}");
    }
    assert!(pairs >= 100_000, "{pairs} pairs");
    for (name, count) in coverage {
        assert!(count > 0, "{}: no condition with {name} was compared", server.name);
    }
    session.run(&format!("DROP DATABASE {schema}"));
}

fn meaning(session: &mut Session, dialect: Dialect) -> Meaning {
    let version = session.text("SELECT VERSION()");
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    Meaning { dialect, version: (next(), next(), next()), zone: TimeZone::fixed(jiff::tz::offset(8)) }
}

/// Runs every condition over the rows of the log; those that do not compile, with the reason.
fn evaluate(store: &Store, meaning: &Meaning, wanted: &[(String, Parsed)]) -> (Vec<Answered>, Vec<Refused>) {
    let planner = Arc::new(Planner::new());
    for version in store.schema_versions().expect("readable") {
        planner.learn(&version.bytes).expect("ours");
    }
    let decoder = BlockDecoder::new(planner);
    let mut filters: Vec<(usize, Filter)> = Vec::new();
    let mut answers: Vec<Answers> = vec![Answers::new(); wanted.len()];
    let mut refused = Vec::new();
    let mut plan = None;
    let (mut reader, mut from) = (store.reader(), Seq(1));
    while let Read::Block(raw) = reader.read(from).expect("readable") {
        let block = raw.decode().expect("whole");
        from = block.last_seq().next();
        let visit = &mut |change: Change<'_>| {
            if let Change::Failed(failure) = &change {
                panic!("{}", failure.error);
            }
            let Change::Rows(rows) = change else { return Ok::<_, BlockError>(()) };
            if plan.replace(rows.plan.id) != Some(rows.plan.id) {
                (filters, refused) = (Vec::new(), Vec::new());
                for (at, (text, parsed)) in wanted.iter().enumerate() {
                    match parsed.compile(rows.plan, meaning) {
                        Ok(filter) => filters.push((at, filter)),
                        Err(error) => refused.push((text.clone(), error.to_string())),
                    }
                }
            }
            for row in rows.rows() {
                let image = row.expect("a row").after.expect("an insert");
                let Some(relay::binlog::Value::Int(id)) = image.get(0).expect("a row") else { panic!("no id") };
                for (at, filter) in &filters {
                    answers[*at].insert(id, filter.evaluate(image, None));
                }
            }
            Ok(())
        };
        decoder.decode(&block, &|_| true, visit).expect("decodes");
    }
    let accepted: BTreeSet<usize> = filters.iter().map(|(at, _)| *at).collect();
    let answered = answers.into_iter().enumerate().filter(|(at, _)| accepted.contains(at));
    (answered.map(|(at, answers)| (wanted[at].0.clone(), answers)).collect(), refused)
}

fn has_parts(text: &str) -> bool {
    text.contains(" AND ") || text.contains(" OR ")
}

/// Whom to ask, and how to say it when the answers differ.
struct Asked<'a> {
    server: &'a str,
    schema: &'a str,
    seed: u64,
}

impl Asked<'_> {
    /// Asks the server the same and fails on the differences; how many pairs were compared.
    fn compare(&self, session: &mut Session, ours: &[Answered]) -> usize {
        let mut differences = Vec::new();
        let mut pairs = 0;
        let (failing, plain): (Vec<_>, Vec<_>) = ours.iter().partition(|(_, a)| a.values().any(Result::is_err));
        for batch in plain.chunks(BATCH) {
            let texts: Vec<&str> = batch.iter().map(|(text, _)| text.as_str()).collect();
            match self.ask(session, &texts, "1") {
                Ok(theirs) => {
                    for (at, (text, ours)) in batch.iter().enumerate() {
                        pairs += self.check(text, ours, &theirs, at, &mut differences);
                    }
                }
                // One of them is an error to the server; which one?
                Err(_) => {
                    for (text, ours) in batch {
                        match self.ask(session, &[text], "1") {
                            Ok(theirs) => pairs += self.check(text, ours, &theirs, 0, &mut differences),
                            Err(error) if has_parts(text) && error.contains("out of range") => {}
                            Err(error) => differences.push(format!("{text}: the server says {error}")),
                        }
                    }
                }
            }
        }
        // Whether a part that is out of range is computed at all is for the server to say where other parts decide.
        for (text, ours) in failing.into_iter().filter(|(text, _)| !has_parts(text)) {
            let (bad, good): (Vec<_>, Vec<_>) = ours.iter().partition(|(_, answer)| answer.is_err());
            for (id, answer) in bad.into_iter().take(3) {
                assert!(matches!(answer, Err(EvalError::Range { .. })), "{text}: {answer:?}");
                if self.ask(session, &[text], &format!("id = {id}")).is_ok() {
                    differences.push(format!("{text}: row {id} is {answer:?} here and no error there"));
                }
                pairs += 1;
            }
            let ids: Vec<String> = good.iter().map(|(id, _)| id.to_string()).collect();
            if ids.is_empty() {
                continue;
            }
            let good: Answers = good.into_iter().map(|(id, answer)| (*id, answer.clone())).collect();
            match self.ask(session, &[text], &format!("id IN ({})", ids.join(","))) {
                Ok(theirs) => pairs += self.check(text, &good, &theirs, 0, &mut differences),
                Err(error) => differences.push(format!("{text}: the server says {error}")),
            }
        }
        let shown: Vec<_> = differences.iter().take(40).map(|d| d.as_str()).collect();
        assert!(
            differences.is_empty(),
            "{} with RELAY_SEED={}: {} differences\n{}",
            self.server,
            self.seed,
            differences.len(),
            shown.join("\n")
        );
        pairs
    }

    fn ask(&self, session: &mut Session, texts: &[&str], rows: &str) -> Result<Vec<Vec<Option<Vec<u8>>>>, String> {
        let columns: Vec<String> =
            texts.iter().map(|text| format!("IF(({text}), 1, IF(({text}) IS NULL, NULL, 0))")).collect();
        let sql = format!("SELECT id, {} FROM {}.t WHERE {rows} ORDER BY id", columns.join(", "), self.schema);
        session.try_rows(&sql).map_err(|error| error.to_string())
    }

    fn check(
        &self,
        text: &str,
        ours: &Answers,
        theirs: &[Vec<Option<Vec<u8>>>],
        at: usize,
        differences: &mut Vec<String>,
    ) -> usize {
        assert_eq!(ours.len(), theirs.len(), "{}: rows", self.server);
        let mut wrong = Vec::new();
        for ((id, ours), theirs) in ours.iter().zip(theirs) {
            assert_eq!(theirs[0].as_deref(), Some(id.to_string().as_bytes()));
            let theirs = theirs[at + 1].as_deref().map(|shown| shown == b"1");
            if ours.as_ref() != Ok(&theirs) {
                wrong.push(format!("{id} ({ours:?}, server {theirs:?})"));
            }
        }
        if !wrong.is_empty() {
            wrong.truncate(4);
            differences.push(format!("{text}: rows {}", wrong.join(", ")));
        }
        ours.len()
    }
}
