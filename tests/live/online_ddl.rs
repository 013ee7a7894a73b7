//! Online schema changes by the real tools while the table is written: its rows before and after arrive under its name,
//! the change arrives as one ALTER, and nothing of the tools' helper tables does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::support::daemon::{Daemon, Extra};
use crate::support::servers::{Database, shared, tool};
use crate::support::sql::Session;
use crate::support::{fresh, wait_until};

const PATIENCE: Duration = Duration::from_secs(120);

/// Rows before the change: more than one chunk of either tool.
const ROWS: u32 = 3000;

fn pt_osc(program: &PathBuf, database: &Database, schema: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["--execute", "--no-version-check", "--no-check-replication-filters", "--recursion-method=none"]);
    command.args(["--alter", ALTER, &format!("h=127.0.0.1,P={},u=root,D={schema},t=orders", database.port)]);
    command
}

const ALTER: &str = "ADD COLUMN note VARCHAR(20) NOT NULL DEFAULT 'later', DROP COLUMN old, ADD KEY by_a (a)";

/// Writes to the table until it is told to stop; both shapes take these statements.
fn writer(database: Database, schema: String, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut session = Session::open(&database);
        // The tools copy under locks: a statement that the server ends for a deadlock's sake is repeated.
        let mut run = |sql: String| {
            while let Err(error) = session.try_run(&sql) {
                let deadlock = matches!(&error, mysql_async::Error::Server(error) if error.code == 1213);
                assert!(deadlock, "{error} in: {sql}");
            }
        };
        let mut turn = 0u32;
        while !stop.load(Ordering::Relaxed) {
            turn += 1;
            run(format!("INSERT INTO {schema}.orders (a) VALUES ({turn})"));
            run(format!("UPDATE {schema}.orders SET a = a + 1 WHERE id = {}", turn % ROWS + 1));
            if turn.is_multiple_of(10) {
                run(format!("DELETE FROM {schema}.orders WHERE id = {}", ROWS + turn / 2));
            }
        }
    })
}

fn changes_by_a_tool(database: &Database, selection: &str, run: impl Fn(&str) -> Command) {
    let schema = fresh("online");
    let mut root = Session::open(database);
    root.run(&format!("CREATE DATABASE {schema}"));
    root.run(&format!(
        "CREATE TABLE {schema}.orders (id INT PRIMARY KEY AUTO_INCREMENT, a INT, old INT) CHARSET utf8mb4"
    ));
    let mut daemon = Daemon::new("");
    daemon.configure_to_file(&database.url("relay"), &selection.replace("{schema}", &schema), Extra::default());
    daemon.start();
    for start in (0..ROWS).step_by(1000) {
        let values: Vec<String> = (start..start + 1000).map(|n| format!("({n}, {n})")).collect();
        root.run(&format!("INSERT INTO {schema}.orders (a, old) VALUES {}", values.join(",")));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writing = writer(database.clone(), schema.clone(), Arc::clone(&stop));
    let done = run(&schema).output().expect("the tool runs");
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    root.run(&format!("UPDATE {schema}.orders SET note = 'nachher' WHERE id = 1"));
    stop.store(true, Ordering::Relaxed);
    writing.join().expect("the writer does not fail");
    assert!(done.status.success(), "{said}");
    root.run(&format!("INSERT INTO {schema}.orders (id, a, note) VALUES (1000000, 1, 'last')"));
    let lines = wait_until("the last row", PATIENCE, || {
        let text = std::fs::read_to_string(daemon.lines()).ok()?;
        text.contains("\"last\"").then_some(text)
    });
    let messages: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    only_the_table_is_told_of(&messages, &schema);
    let expected = root.rows(&format!("SELECT id, a, note FROM {schema}.orders ORDER BY id"));
    let text = |value: &Option<Vec<u8>>| value.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let expected: BTreeMap<u64, Vec<Option<String>>> = expected
        .iter()
        .map(|row| (text(&row[0]).expect("a key").parse().expect("a number"), row[1..].iter().map(text).collect()))
        .collect();
    assert_eq!(applied(&messages), expected, "what was delivered, applied in order, is what the table holds");
    daemon.stop();
    root.run(&format!("DROP DATABASE {schema}"));
}

/// Messages name the table alone; one of them is the change.
fn only_the_table_is_told_of(messages: &[Value], schema: &str) {
    let others: Vec<&Value> = messages.iter().filter(|m| m["table"] != "orders" || m["database"] != schema).collect();
    assert!(others.is_empty(), "{:#?}", &others[..others.len().min(5)]);
    let statements: Vec<&Value> = messages.iter().filter(|m| m["isDdl"] == true).collect();
    let [statement] = statements.as_slice() else { panic!("{statements:#?}") };
    assert_eq!(statement["type"], "ALTER");
    let sql = statement["sql"].as_str().expect("a text");
    assert!(sql.starts_with(&format!("ALTER TABLE `{schema}`.`orders` ")), "{sql}");
    assert!(sql.to_lowercase().contains(&ALTER.to_lowercase()), "{sql}");
    let at = messages.iter().position(|m| m["isDdl"] == true).expect("it is there");
    for message in messages[..at].iter().flat_map(rows) {
        assert!(message.get("old").is_some() && message.get("note").is_none(), "before: {message:?}");
    }
    for message in messages[at + 1..].iter().flat_map(rows) {
        assert!(message.get("old").is_none() && message.get("note").is_some(), "after: {message:?}");
    }
    assert!(at > 3 && messages.len() - at > 2, "rows before and after: {at} of {}", messages.len());
}

fn rows(message: &Value) -> impl Iterator<Item = &serde_json::Map<String, Value>> {
    message["data"].as_array().into_iter().flatten().filter_map(Value::as_object)
}

/// The table as the messages make it: a row that came before the change gets the new column's default with it.
fn applied(messages: &[Value]) -> BTreeMap<u64, Vec<Option<String>>> {
    let mut table: BTreeMap<u64, Vec<Option<String>>> = BTreeMap::new();
    for message in messages {
        for row in rows(message) {
            let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
            let id: u64 = text("id").expect("a key").parse().expect("a number");
            if message["type"] == "DELETE" {
                assert!(table.remove(&id).is_some(), "a row that was there: {id}");
            } else {
                let note = if row.contains_key("note") { text("note") } else { Some("later".to_owned()) };
                table.insert(id, vec![text("a"), note]);
            }
        }
    }
    table
}

#[test]
fn pt_online_schema_change_is_one_alter_on_mysql() {
    let program = tool("pt-online-schema-change").expect("it can be had where apt is");
    let database = shared(&["mysql97"]).mysql97();
    changes_by_a_tool(&database, "{schema}.*", |schema| pt_osc(&program, &database, schema));
    // Only the table itself: its shadow is followed all the same.
    changes_by_a_tool(&database, "{schema}.orders", |schema| pt_osc(&program, &database, schema));
}

#[test]
fn pt_online_schema_change_is_one_alter_on_servers_that_name_no_columns() {
    let program = tool("pt-online-schema-change").expect("it can be had where apt is");
    let servers = shared(&["mysql56", "mariadb"]);
    for database in [servers.mysql56(), servers.mariadb()] {
        changes_by_a_tool(&database, "{schema}.orders", |schema| pt_osc(&program, &database, schema));
    }
}
