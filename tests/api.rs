//! The HTTP API over a real socket, with a daemon that has a log and deliveries but no source.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use relay::api;
use relay::config::Config;
use relay::run::{Daemon, store_options};
use relay_store::Store;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

struct Running {
    dir: tempfile::TempDir,
    address: SocketAddr,
    stop: CancellationToken,
    daemon: Arc<Daemon>,
    runtime: tokio::runtime::Runtime,
}

fn config_text(dir: &Path, deliveries: &[&str]) -> String {
    let mut text = format!(
        "name = \"t\"\n[source]\nurl = \"mysql://r@127.0.0.1:1\"\ntls = \"disabled\"\ntimestamp_zone = \"UTC\"\n\
         connect_timeout = \"1s\"\n[log]\ndir = {:?}\nretention = {{ disk_free_min = \"1MiB\" }}\n[admin]\nlisten = \"127.0.0.1:0\"\n",
        dir.join("log").display().to_string()
    );
    for name in deliveries {
        let path = dir.join(format!("{name}.jsonl")).display().to_string();
        text.push_str(&format!("[[delivery]]\nname = \"{name}\"\nfile = {{ path = {path:?} }}\n"));
    }
    text
}

impl Running {
    fn start(deliveries: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let path = dir.path().join("relay.toml");
        std::fs::write(&path, config_text(dir.path(), deliveries)).expect("write the config");
        let config = Config::load(&path).expect("a valid config");
        let store = Store::open(&config.log.dir, store_options(&config.log)).expect("a new log");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let stop = CancellationToken::new();
        let (daemon, address) = runtime.block_on(async {
            let (fatal, _fatals) = mpsc::channel(1);
            let daemon = Arc::new(Daemon::new(path, config, store, fatal));
            daemon.start_deliveries(&stop).await;
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("it listens");
            tokio::spawn(api::serve(listener, Arc::clone(&daemon), stop.clone()));
            (daemon, address)
        });
        Self { dir, address, stop, daemon, runtime }
    }

    fn config_file(&self) -> PathBuf {
        self.dir.path().join("relay.toml")
    }

    fn rewrite(&self, deliveries: &[&str]) {
        std::fs::write(self.config_file(), config_text(self.dir.path(), deliveries)).expect("write the config");
    }

    fn send(&self, head: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).expect("the API listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let length = body.len();
        write!(stream, "{head}connection: close\r\ncontent-length: {length}\r\n\r\n{body}").expect("send");
        let mut answer = String::new();
        // A refused body may end in a reset after the answer.
        let _ = stream.read_to_string(&mut answer);
        let code = answer.split(' ').nth(1).and_then(|c| c.parse().ok()).unwrap_or(0);
        (code, answer.split_once("\r\n\r\n").map(|(_, b)| b.to_owned()).unwrap_or_default())
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n"), "")
    }

    fn act(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let head = format!("{method} /api/v1/{path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n");
        let (code, text) = self.send(&head, &body.to_string());
        (code, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    fn json(&self, path: &str) -> Value {
        let (code, text) = self.get(path);
        assert_eq!(code, 200, "{path}: {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    fn states(&self) -> Vec<(String, String)> {
        let text = |c: &Value, f: &str| c[f].as_str().unwrap_or_default().to_owned();
        let list = self.json("/api/v1/cursors");
        list.as_array().expect("a list").iter().map(|c| (text(c, "name"), text(c, "state"))).collect()
    }

    fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !holds(self) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.states());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn has(&self, name: &str, state: &str) -> bool {
        self.states().contains(&(name.to_owned(), state.to_owned()))
    }

    fn end(self) {
        self.runtime.block_on(self.daemon.stop_deliveries(Duration::from_secs(10)));
        self.stop.cancel();
    }
}

#[test]
fn status_cursors_log_and_metrics_are_answered() {
    let r = Running::start(&["a"]);
    r.until("it runs", |r| r.has("a", "running"));
    let status = r.json("/api/v1/status");
    assert_eq!((status["name"].as_str(), status["capture"]["state"].as_str()), (Some("t"), Some("starting")));
    assert_eq!(status["cursors"][0]["sink"], "file");
    assert_eq!(r.json("/api/v1/log")["visible_seq"], 0);
    assert_eq!(r.json("/api/v1/log/entries?from=earliest&limit=5")["entries"], json!([]));
    assert_eq!(r.json("/api/v1/tables"), json!([]));
    assert_eq!(r.get("/healthz").0, 200);
    let (code, waiting) = r.get("/readyz");
    assert!(code == 503 && waiting.contains("capture is starting"), "{waiting}");
    let (_, metrics) = r.get("/metrics");
    assert!(metrics.contains("relay_state{relay=\"t\",task=\"delivery/a\",state=\"running\"} 1"), "{metrics}");
    assert!(metrics.trim_end().ends_with("# EOF"));
    r.end();
}

#[test]
fn requests_from_elsewhere_or_of_another_kind_are_refused() {
    let r = Running::start(&["a"]);
    assert_eq!(r.send("GET /api/v1/status HTTP/1.1\r\nhost: evil.example\r\n", "").0, 403);
    assert_eq!(r.send("POST /api/v1/reload HTTP/1.1\r\nhost: localhost\r\n", "{}").0, 415);
    let origin =
        "POST /api/v1/reload HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\norigin: http://x\r\n";
    assert_eq!(r.send(origin, "{}").0, 403);
    let huge = json!({ "to": "x".repeat(100 << 10) });
    assert!(matches!(r.act("POST", "cursors/a/reset", &huge).0, 413 | 422));
    assert_eq!(r.act("POST", "cursors/a/reset", &json!({ "to": "seq:9" })).0, 422);
    assert_eq!(r.act("POST", "cursors/a/reset", &json!({ "to": "now" })).0, 422);
    assert_eq!(r.act("POST", "cursors/a/reset", &json!({ "to": "earliest", "tos": 1 })).0, 422);
    assert_eq!(r.act("POST", "cursors/none/reset", &json!({ "to": "earliest" })).0, 404);
    assert_eq!(r.act("POST", "cursors/..%2Fa/pause", &json!({})).0, 404);
    assert_eq!(r.get("/api/v1/none").0, 404);
    r.end();
}

#[test]
fn a_cursor_is_paused_resumed_reset_created_and_deleted() {
    let r = Running::start(&["a"]);
    let (code, paused) = r.act("POST", "cursors/a/pause", &json!({}));
    assert_eq!((code, paused["state"].as_str()), (200, Some("paused")));
    assert_eq!(r.act("POST", "cursors/a/resume", &json!({})).0, 200);
    r.until("it runs again", |r| r.has("a", "running"));
    let (code, reset) = r.act("POST", "cursors/a/reset", &json!({ "to": "earliest", "expected_epoch": 1 }));
    assert_eq!((code, reset["done"].as_bool(), reset["epoch"].as_u64()), (200, Some(true), Some(2)));
    let (code, _) = r.act("POST", "cursors/a/reset", &json!({ "to": "earliest", "expected_epoch": 1 }));
    assert_eq!(code, 409, "it moved since");
    assert_eq!(r.act("DELETE", "cursors/a", &json!({})).0, 409, "the config has it");
    assert_eq!(r.act("POST", "cursors", &json!({ "name": "spare", "start": "latest" })).0, 201);
    assert_eq!(r.act("POST", "cursors", &json!({ "name": "spare", "start": "latest" })).0, 409);
    assert_eq!(r.act("POST", "cursors", &json!({ "name": "../x", "start": "latest" })).0, 422);
    assert_eq!(r.act("DELETE", "cursors/spare", &json!({})).0, 200);
    assert_eq!(r.act("POST", "cursors/a/release", &json!({ "table": "shop.orders" })).0, 404);
    r.end();
}

#[test]
fn a_reload_takes_over_the_whole_file_or_nothing() {
    let r = Running::start(&["a", "b"]);
    r.until("both run", |r| r.has("a", "running") && r.has("b", "running"));
    let before = r.states();

    std::fs::write(r.config_file(), "name = \"t\"\n[source]\nurl = 3\n").unwrap();
    let (code, refusal) = r.act("POST", "reload", &json!({}));
    assert_eq!(code, 422);
    assert!(refusal["error"].as_str().is_some_and(|e| e.contains("relay.toml:3: source.url")), "{refusal}");

    let text = config_text(r.dir.path(), &["c"]).replace("/log\"", "/elsewhere\"");
    std::fs::write(r.config_file(), text).unwrap();
    let (code, refusal) = r.act("POST", "reload", &json!({}));
    assert_eq!(code, 409);
    assert!(refusal["error"].as_str().is_some_and(|e| e.starts_with("log.dir cannot change")), "{refusal}");
    assert_eq!(r.states(), before);

    r.rewrite(&["b", "c"]);
    let (code, done) = r.act("POST", "reload", &json!({}));
    assert_eq!((code, &done["added"], &done["removed"]), (200, &json!(["c"]), &json!(["a"])));
    r.until("c runs", |r| r.has("c", "running"));
    assert!(r.has("a", "idle"), "a removed delivery keeps its cursor: {:?}", r.states());
    assert_eq!(r.act("DELETE", "cursors/a", &json!({})).0, 200);
    assert!(!r.states().iter().any(|(name, _)| name == "a"));
    r.end();
}
