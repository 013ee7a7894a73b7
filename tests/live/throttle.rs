//! A delivery that is held to a rate while there is more to do: the rate is kept and changes without a break, and nothing
//! is lost.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::daemon::{Daemon, Extra};
use crate::support::servers::{Database, shared};
use crate::support::sql::Session;
use crate::support::{fresh, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);
const ROWS: usize = 8_000;
/// The span over which a rate is promised, and how well.
const SPAN: Duration = Duration::from_secs(10);
const WITHIN: f64 = 0.1;

fn configure(daemon: &Daemon, server: &Database, schema: &str, throttle: &str) {
    let delivery = format!("throttle = {throttle}");
    let extra = Extra { delivery: &delivery, ..Extra::default() };
    daemon.configure_to_file(&server.url("relay"), &format!("{schema}.*"), extra);
}

/// Sets another throttle on the running daemon.
fn retune(daemon: &Daemon, server: &Database, schema: &str, throttle: &str) {
    configure(daemon, server, schema, throttle);
    let (status, body) = daemon.post("/api/v1/reload", "{}").expect("an answer");
    let plan: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        (status, &plan["tuned"], &plan["changed"]),
        (200, &serde_json::json!(["lines"]), &serde_json::json!([]))
    );
}

fn cursor(daemon: &Daemon) -> Value {
    daemon.json("/api/v1/cursors/lines")
}

fn lines(daemon: &Daemon) -> String {
    std::fs::read_to_string(daemon.lines()).unwrap_or_default()
}

/// What `measure` grows by in a second, over the span.
fn rate(measure: impl Fn() -> usize) -> f64 {
    let (begun, before) = (Instant::now(), measure());
    std::thread::sleep(SPAN);
    let grown = measure() - before;
    grown as f64 / begun.elapsed().as_secs_f64()
}

#[track_caller]
fn assert_near(rate: f64, wanted: f64) {
    assert!((rate - wanted).abs() <= wanted * WITHIN, "{rate} a second, not {wanted}");
}

#[test]
fn rates_are_kept_and_change_while_it_runs() {
    let server = shared(&["mysql97"]).mysql97();
    let schema = fresh("throttle");
    let mut root = Session::open(&server);
    root.run(&format!("CREATE DATABASE {schema}"));
    root.run(&format!("CREATE TABLE {schema}.t (id BIGINT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(400))"));
    let mut daemon = Daemon::new("");
    configure(&daemon, &server, &schema, "{ rps = 150 }");
    daemon.start();
    let values = vec!["(REPEAT('a', 300))"; 500].join(", ");
    for _ in 0..ROWS / 500 {
        root.run(&format!("INSERT INTO {schema}.t (v) VALUES {values}"));
    }
    wait_until("it is throttled", PATIENCE, || (cursor(&daemon)["throttled"] == true).then_some(()));
    assert_near(rate(|| lines(&daemon).lines().count()), 150.0);
    let seen = cursor(&daemon);
    assert_eq!((&seen["throttle"]["rps"], &seen["state"]), (&Value::from(150), &Value::from("running")));
    assert!(seen["acked_seq"].as_u64() > Some(0), "acks move the cursor meanwhile");

    retune(&daemon, &server, &schema, "{ rps = 300 }");
    assert_near(rate(|| lines(&daemon).lines().count()), 300.0);
    retune(&daemon, &server, &schema, "{ mbps = 0.05 }");
    // A line end is no part of a record.
    assert_near(rate(|| lines(&daemon).len() - lines(&daemon).lines().count()), 50_000.0);
    assert_eq!(cursor(&daemon)["throttle"]["mbps"], 0.05);
    let (_, metrics) = daemon.get("/metrics").expect("metrics");
    let waited = metrics.lines().find(|line| line.starts_with("relay_delivery_throttled_seconds_total")).expect("it");
    assert!(waited.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok()) > Some(20.0), "{waited}");
    assert!(
        metrics.contains("relay_throttle_bytes_per_second{") && !metrics.contains("relay_throttle_rows_per_second{")
    );

    // A stop does not wait for the rest, and the next start goes on where it was.
    let stopping = Instant::now();
    assert!(daemon.stop().success());
    assert!(stopping.elapsed() < Duration::from_secs(10), "{:?}", stopping.elapsed());
    daemon.start();
    retune(&daemon, &server, &schema, "{ }");
    let last = format!("\"id\":\"{ROWS}\"");
    wait_until("the rest at once", PATIENCE, || lines(&daemon).contains(&last).then_some(()));
    wait_until("it is throttled no longer", PATIENCE, || (cursor(&daemon)["throttled"] == false).then_some(()));
    assert!(daemon.stop().success());
    let id = |line: &str| serde_json::from_str::<Value>(line).expect("whole lines")["data"][0]["id"].clone();
    let ids: Vec<u64> = lines(&daemon).lines().filter_map(|line| id(line).as_str()?.parse().ok()).collect();
    // A stop between two rows of one entry has that entry delivered whole again; nothing else repeats.
    let back: Vec<usize> = (1..ids.len()).filter(|&at| ids[at] != ids[at - 1] + 1).collect();
    assert!(back.len() <= 1 && back.iter().all(|&at| ids[at] <= ids[at - 1]), "out of order at {back:?}");
    let mut once = ids.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once, (1..=ROWS as u64).collect::<Vec<_>>(), "no row is lost");
}
