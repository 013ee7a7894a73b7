//! A log whose beginning is long gone: what is left of it is read with the definitions that it needs.

use std::path::PathBuf;
use std::time::Duration;

use relay_store::{ReadOnlyLog, Seq};
use serde_json::Value;

use crate::support::daemon::{Daemon, Extra};
use crate::support::servers::shared;
use crate::support::sql::Session;
use crate::support::{fresh, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);

struct Lab {
    daemon: Daemon,
    root: Session,
    lines: PathBuf,
    rows: u32,
}

impl Lab {
    /// Commits 20 rows of a quarter of a segment in all, and waits until they are delivered.
    fn fill(&mut self, column: &str) {
        let first = self.rows + 1;
        self.rows += 20;
        let values: Vec<_> = (first..=self.rows)
            .map(|id| format!("({id}, REPEAT('{}', 13000))", (b'a' + (id % 26) as u8) as char))
            .collect();
        self.root.run(&format!("INSERT INTO t (id, {column}) VALUES {}", values.join(", ")));
        self.wait_line(&format!("\"id\":\"{}\"", self.rows));
    }

    #[track_caller]
    fn wait_line(&self, text: &str) {
        wait_until(text, PATIENCE, || {
            std::fs::read_to_string(&self.lines).unwrap_or_default().contains(text).then_some(())
        });
    }

    fn first_seq(&self) -> Seq {
        ReadOnlyLog::open(&self.daemon.log_dir()).expect("a log").positions().first_seq
    }
}

#[test]
fn a_reset_to_the_start_of_a_trimmed_log_reads_rows_with_definitions_older_than_it() {
    // The server whose table maps say least: every name comes from the log's own history.
    let server = shared(&["mysql56"]).mysql56();
    let schema = fresh("trimmed");
    let mut root = Session::open(&server);
    root.run_all(&[
        &format!("CREATE DATABASE {schema}"),
        &format!("USE {schema}"),
        "CREATE TABLE t (id INT UNSIGNED PRIMARY KEY, v TEXT)",
    ]);
    let mut daemon = Daemon::new("");
    let lines = daemon.lines();
    let extra = Extra {
        log: "codec = \"none\"\nsegment_bytes = \"1MiB\"\nballast_bytes = \"0B\"\nretention = { max_bytes = \"2MiB\" }",
        delivery: "start = \"earliest\"",
        ..Extra::default()
    };
    daemon.configure_to_file(&server.url("relay"), &format!("{schema}.*"), extra);
    daemon.start();
    let mut lab = Lab { daemon, root, lines, rows: 0 };
    lab.fill("v");
    lab.root.run("ALTER TABLE t CHANGE v w TEXT");
    lab.fill("w");
    lab.root.run("ALTER TABLE t ADD COLUMN flag ENUM('off', 'on') DEFAULT 'on' AFTER id");
    lab.fill("w");
    let altered = ReadOnlyLog::open(&lab.daemon.log_dir()).expect("a log").positions().visible_seq;
    // A second life must find the definitions too.
    assert!(lab.daemon.stop().success(), "a clean end");
    lab.daemon.start();
    for _ in 0..4 {
        (0..4).for_each(|_| lab.fill("w"));
        wait_until("the log's beginning goes", PATIENCE, || {
            let bytes: u64 = std::fs::read_dir(lab.daemon.log_dir().join("log"))
                .expect("segments")
                .map(|file| file.expect("a file").metadata().map_or(0, |m| m.len()))
                .sum();
            (bytes <= 3 << 20).then_some(())
        });
    }
    wait_until("what was written before the last ALTER is gone", PATIENCE, || {
        (lab.first_seq() > altered).then_some(())
    });
    // More goes while rows are left that need a definition which is not in force any more, and whose origin is gone.
    let (first, changed) = (lab.first_seq(), lab.rows as usize);
    lab.root.run("ALTER TABLE t DROP COLUMN flag");
    (0..3).for_each(|_| lab.fill("w"));
    wait_until("more of the log goes", PATIENCE, || (lab.first_seq() > first).then_some(()));
    lab.root.run("INSERT INTO t (id, w) VALUES (1000000, 'the end')");
    lab.wait_line("\"the end\"");
    assert!(lab.daemon.stop().success(), "a clean end");
    lab.daemon.start();
    let before = std::fs::read_to_string(&lab.lines).expect("lines").len();
    let (status, answer) = lab.daemon.post("/api/v1/cursors/lines/reset", r#"{"to": "earliest"}"#).expect("an answer");
    assert_eq!(status, 200, "{answer}");
    let again = wait_until("all that is left comes again", PATIENCE, || {
        let text = std::fs::read_to_string(&lab.lines).expect("lines").split_off(before);
        text.contains("\"the end\"").then_some(text)
    });
    let again: Vec<Value> = again.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let (ddl, rows): (Vec<_>, Vec<_>) = again.iter().partition(|line| line["isDdl"] == true);
    assert_eq!(ddl.len(), 1, "the last ALTER alone is left");
    let names = |line: &Value| line["data"][0].as_object().expect("a row").keys().cloned().collect::<Vec<_>>();
    let (last, rows) = rows.split_last().expect("rows");
    assert_eq!(names(last), ["id", "w"]);
    let first = lab.rows as usize + 1 - rows.len();
    assert!(first + 10 < changed, "rows of both definitions are left: from {first}, changed at {changed}");
    for (id, line) in (first..).zip(rows) {
        assert_eq!(line["data"][0]["id"], id.to_string());
        assert_eq!(names(line), if id <= changed { &["flag", "id", "w"][..] } else { &["id", "w"] }, "row {id}");
        assert!(id > changed || line["data"][0]["flag"] == "on", "row {id}");
    }
    assert!(lab.daemon.stop().success(), "a clean end");
}
