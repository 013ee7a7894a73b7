//! Online schema changes by the real tools while the table is written: its rows before and after arrive under its name,
//! the change arrives as one ALTER, and nothing of the tools' helper tables does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::beside::{Going, beside};
use crate::support::daemon::{Daemon, Extra};
use crate::support::servers::{Database, shared, tool};
use crate::support::sql::Session;
use crate::support::{fresh, wait_until};

const PATIENCE: Duration = Duration::from_secs(120);

/// Rows before the change: more than one chunk of either tool.
const ROWS: u32 = 3000;

/// A tool that is ended when it hangs.
fn bounded(program: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.arg("300").arg(program);
    command
}

fn pt_osc(program: &Path, database: &Database, schema: &str) -> Command {
    let mut command = bounded(program);
    command.args([
        "--execute",
        "--no-drop-old-table",
        "--no-version-check",
        "--no-check-replication-filters",
        "--recursion-method=none",
    ]);
    command.args(["--alter", ALTER, &format!("h=127.0.0.1,P={},u=root,D={schema},t=orders", database.port)]);
    command
}

fn gh_ost(program: &Path, database: &Database, schema: &str) -> Command {
    let mut command = bounded(program);
    command.args(["--host=127.0.0.1", "--user=root", "--allow-on-master", "--execute"]);
    command.args([
        "--initially-drop-ghost-table",
        "--skip-metadata-lock-check",
        "--chunk-size=500",
        "--table=orders",
        "--alter",
        ALTER,
    ]);
    command.args([format!("--port={}", database.port), format!("--database={schema}")]);
    let socket = std::env::temp_dir().join(format!("{schema}.sock"));
    command.arg(format!("--serve-socket-file={}", socket.display()));
    command
}

const ALTER: &str = "ADD COLUMN note VARCHAR(20) NOT NULL DEFAULT 'later', DROP COLUMN old, ADD KEY by_a (a)";

/// Rows that statements changed, by what messages call them.
type Counts = BTreeMap<&'static str, u64>;

/// Writes to the table until it is told to stop; both shapes take these statements.
fn write(database: &Database, schema: &str, going: &Going) -> Counts {
    let mut session = Session::open(database);
    let mut counts = Counts::new();
    // The tools copy under locks: a statement that the server ends for a deadlock's sake is repeated.
    let mut run = |what, sql: String| {
        while let Err(error) = session.try_run(&sql) {
            let deadlock = matches!(&error, mysql_async::Error::Server(error) if error.code == 1213);
            assert!(deadlock, "{error} in: {sql}");
        }
        *counts.entry(what).or_default() += session.affected();
    };
    let mut turn = 0u32;
    while going.on() {
        turn += 1;
        run("INSERT", format!("INSERT INTO {schema}.orders (a) VALUES ({turn})"));
        run("UPDATE", format!("UPDATE {schema}.orders SET a = a + 1 WHERE id = {}", turn % ROWS + 1));
        if turn.is_multiple_of(10) {
            run("DELETE", format!("DELETE FROM {schema}.orders WHERE id = {}", ROWS + turn / 2));
        }
        // gh-ost swaps the tables only once it has caught up, on a slow machine too.
        std::thread::sleep(Duration::from_millis(3));
    }
    counts
}

/// A tool that leaves the table as it was under another name.
struct Tool<'t> {
    run: &'t dyn Fn(&str) -> Command,
    old_table: &'static str,
    /// gh-ost unlocks the table before its rename has a lock on it. On MySQL 9.7, writers that waited may commit to the
    /// old table in between, and the new one never sees that. The log does.
    loses_writes: bool,
}

fn changes_by_a_tool(database: &Database, selection: &str, tool: &Tool<'_>) {
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
    let (mut counts, done) = beside([|going: &Going| write(database, &schema, going)], || {
        let done = (tool.run)(&schema).output().expect("the tool runs");
        if done.status.success() {
            root.run(&format!("UPDATE {schema}.orders SET note = 'nachher' WHERE id = 1"));
        }
        done
    });
    let mut counts = counts.remove(0);
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{}: {said}", done.status);
    let old = table(&mut root, &format!("SELECT id, a, old FROM {schema}.{}", tool.old_table));
    root.run(&format!("DROP TABLE {schema}.{}", tool.old_table));
    root.run(&format!("INSERT INTO {schema}.orders (id, a, note) VALUES (1000000, 1, 'last')"));
    let lines = wait_until("the last row", PATIENCE, || {
        let text = std::fs::read_to_string(daemon.lines()).ok()?;
        text.lines().any(|line| line.contains("\"last\"") && line.ends_with('}')).then_some(text)
    });
    let messages: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let at = only_the_table_is_told_of(&messages, &schema);
    *counts.entry("INSERT").or_default() += u64::from(ROWS) + 1;
    *counts.entry("UPDATE").or_default() += 1;
    assert_eq!(rows_by_type(&messages), counts, "each row that a statement changed is told once");

    let mut told = Rows::new();
    apply(&messages[..at], ["a", "old"], &mut told);
    assert_eq!(told, old, "what was told before the change is what the table held when it got out of the way");
    for row in told.values_mut() {
        row[1] = Some("later".to_owned());
    }
    apply(&messages[at + 1..], ["a", "note"], &mut told);
    let new = table(&mut root, &format!("SELECT id, a, note FROM {schema}.orders"));
    let touched: BTreeSet<u64> = messages[at + 1..].iter().flat_map(rows).map(key).collect();
    let ids: BTreeSet<u64> = told.keys().chain(new.keys()).copied().collect();
    let differing = ids.into_iter().filter(|id| told.get(id) != new.get(id));
    let (wrong, lost): (Vec<u64>, Vec<u64>) = differing.partition(|id| touched.contains(id));
    let shown = |ids: &[u64]| -> Vec<String> {
        ids.iter().take(5).map(|id| format!("{id}: told {:?}, is {:?}", told.get(id), new.get(id))).collect()
    };
    assert!(wrong.is_empty(), "rows that changed after the change: {:#?}", shown(&wrong));
    assert!(lost.is_empty() || tool.loses_writes, "rows that the tool copied: {:#?}", shown(&lost));
    if !lost.is_empty() {
        println!("the tool lost writes that were committed and told: {:#?}", shown(&lost));
    }
    daemon.stop();
    root.run(&format!("DROP DATABASE {schema}"));
}

/// Two columns of rows by their key.
type Rows = BTreeMap<u64, Vec<Option<String>>>;

fn table(session: &mut Session, select: &str) -> Rows {
    let text = |value: &Option<Vec<u8>>| value.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let rows = session.rows(select);
    rows.iter()
        .map(|row| (text(&row[0]).expect("a key").parse().expect("a number"), row[1..].iter().map(text).collect()))
        .collect()
}

/// Messages name the table alone; one of them is the change: where it is.
fn only_the_table_is_told_of(messages: &[Value], schema: &str) -> usize {
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
    at
}

fn rows(message: &Value) -> impl Iterator<Item = &serde_json::Map<String, Value>> {
    message["data"].as_array().into_iter().flatten().filter_map(Value::as_object)
}

fn key(row: &serde_json::Map<String, Value>) -> u64 {
    row["id"].as_str().expect("a key").parse().expect("a number")
}

fn rows_by_type(messages: &[Value]) -> Counts {
    let mut counts = Counts::new();
    for message in messages {
        for kind in ["INSERT", "UPDATE", "DELETE"] {
            if message["type"] == kind {
                *counts.entry(kind).or_default() += rows(message).count() as u64;
            }
        }
    }
    counts
}

/// Makes of the rows what the messages say.
fn apply(messages: &[Value], columns: [&str; 2], table: &mut Rows) {
    for message in messages {
        for row in rows(message) {
            if message["type"] == "DELETE" {
                table.remove(&key(row));
            } else {
                let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
                table.insert(key(row), columns.map(text).to_vec());
            }
        }
    }
}

fn by_pt_osc(database: &Database, selection: &str) {
    let program = tool("pt-online-schema-change").expect("it can be had where apt is");
    let run = |schema: &str| pt_osc(&program, database, schema);
    changes_by_a_tool(database, selection, &Tool { run: &run, old_table: "_orders_old", loses_writes: false });
}

#[test]
fn pt_online_schema_change_is_one_alter_on_mysql() {
    let database = shared(&["mysql97"]).mysql97();
    by_pt_osc(&database, "{schema}.*");
    // Only the table itself: its shadow is followed all the same.
    by_pt_osc(&database, "{schema}.orders");
}

#[test]
fn pt_online_schema_change_is_one_alter_on_servers_that_name_no_columns() {
    let servers = shared(&["mysql56", "mariadb"]);
    for database in [servers.mysql56(), servers.mariadb()] {
        by_pt_osc(&database, "{schema}.orders");
    }
}

#[test]
fn gh_ost_is_one_alter() {
    let database = shared(&["mysql97"]).mysql97();
    let program = tool("gh-ost");
    if program.is_none() {
        println!("gh-ost cannot be had on this machine: its recorded statements stand in for it");
    }
    let run = |schema: &str| match &program {
        Some(program) => gh_ost(program, &database, schema),
        None => recorded(&database, schema),
    };
    changes_by_a_tool(&database, "{schema}.*", &Tool { run: &run, old_table: "_orders_del", loses_writes: true });
}

/// What gh-ost 1.1.8 sends, through the client: all of its statements but the copying of single events.
fn recorded(database: &Database, schema: &str) -> Command {
    let statements = format!(
        "create /* gh-ost */ table `{schema}`.`_orders_ghc` (id bigint unsigned auto_increment, \
         last_update timestamp not null DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, hint varchar(64), \
         value varchar(4096) not null, primary key(id), unique key hint_uidx(hint)) auto_increment=256;\
         create /* gh-ost */ table `{schema}`.`_orders_gho` like `{schema}`.`orders`;\
         alter /* gh-ost */ table `{schema}`.`_orders_gho` {ALTER};\
         insert /* gh-ost */ into `{schema}`.`_orders_ghc` (id, hint, value) values (NULLIF(1, 0), 'state', 'x');\
         lock /* gh-ost */ tables `{schema}`.`orders` write, `{schema}`.`_orders_gho` write;\
         insert /* gh-ost */ ignore into `{schema}`.`_orders_gho` (id, a) select id, a from `{schema}`.`orders`;\
         rename /* gh-ost */ table `{schema}`.`orders` to `{schema}`.`_orders_del`, `{schema}`.`_orders_gho` to `{schema}`.`orders`;\
         unlock tables;\
         drop /* gh-ost */ table if exists `{schema}`.`_orders_ghc`"
    );
    let mut command = Command::new("mariadb");
    command.args([
        "--no-defaults",
        "--protocol=tcp",
        "--host=127.0.0.1",
        "--user=root",
        "--default-character-set=utf8mb4",
    ]);
    command.arg(format!("--port={}", database.port)).args(["-e", &statements]);
    command
}
