//! What a webhook is told: of a parked delivery, of a broker that stops, of both being well again; and one that hangs.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::daemon::{Daemon, Extra};
use crate::support::kafka::create_topic;
use crate::support::servers::{Database, own};
use crate::support::sql::Session;
use crate::support::{fresh, wait_until};

const PATIENCE: Duration = Duration::from_secs(90);

/// A receiver of notices.
struct Receiver {
    url: String,
    notices: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    /// One that answers with 200, after a first 500; or that never answers.
    fn start(hangs: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/hook/canary", listener.local_addr().expect("an address"));
        let notices = Arc::<Mutex<Vec<Value>>>::default();
        let seen = Arc::clone(&notices);
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for (n, stream) in listener.incoming().enumerate() {
                let Ok(mut stream) = stream else { return };
                if hangs {
                    held.push(stream);
                    continue;
                }
                let notice = read(&mut stream);
                let status = if n == 0 { "500 no" } else { "200 ok" };
                if n > 0 {
                    seen.lock().expect("no panic").push(notice);
                }
                let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        });
        Self { url, notices }
    }

    /// The notices of a delivery, as (alert, change).
    fn of(&self, delivery: &str) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let notices = self.notices.lock().expect("no panic");
        let of = notices.iter().filter(|n| n["delivery"] == delivery);
        of.map(|n| (text(&n["alert"]), text(&n["change"]))).collect()
    }

    #[track_caller]
    fn wait(&self, delivery: &str, alert: &str, change: &str) -> Value {
        wait_until(&format!("{delivery}: {alert} {change}"), PATIENCE, || {
            let notices = self.notices.lock().expect("no panic");
            let is = |n: &&Value| n["delivery"] == delivery && n["alert"] == alert && n["change"] == change;
            notices.iter().find(is).cloned()
        })
    }
}

fn read(stream: &mut TcpStream) -> Value {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let n = stream.read(&mut buffer).expect("a request");
        bytes.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&bytes);
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body);
        if let Some(notice) = body.and_then(|body| serde_json::from_str(body).ok()) {
            return notice;
        }
        assert!(n > 0, "a whole request, not {text}");
    }
}

struct Lab {
    daemon: Daemon,
    server: Database,
    schema: String,
    brokers: String,
    topics: [String; 2],
}

impl Lab {
    /// A file, a topic that is there, and, where wanted, one that is missing.
    fn configure(&self, webhook: &str, missing: bool) {
        let kafka = |name: &str, topic: &str| {
            format!(
                "[[delivery]]\nname = {name:?}\n[delivery.kafka]\nbrokers = {:?}\ntopic = {topic:?}\n",
                self.brokers
            )
        };
        let mut more = kafka("there", &self.topics[0]);
        if missing {
            more += &kafka("missing", &self.topics[1]);
        }
        more += &format!("[alert]\nwebhook = {webhook:?}\nlatency = \"3s\"\nheadroom = \"0s\"\n");
        // A delivery of its own mind: it is never late.
        let extra = Extra { delivery: "alert = { latency = \"0s\" }", more: &more, ..Extra::default() };
        self.daemon.configure_to_file(&self.server.url("relay"), &format!("{}.*", self.schema), extra);
        let text = std::fs::read_to_string(self.daemon.config()).expect("a config");
        let text = text.replacen("name = \"live\"", "name = \"live\"\nenvironment = \"stage\"", 1);
        std::fs::write(self.daemon.config(), text).expect("a config");
    }

    #[track_caller]
    fn act(&self, path: &str) -> Value {
        let (status, body) = self.daemon.post(path, "{}").expect("an answer");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.daemon.get("/metrics").expect("metrics");
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {text}"));
        line.rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a number")
    }
}

#[test]
fn a_parked_delivery_and_a_broker_that_stops_are_told_and_told_to_be_over() {
    let servers = own("alert", &["mysql97", "kafka"]);
    let server = servers.mysql97();
    let schema = fresh("alert");
    let mut root = Session::open(&server);
    root.run_all(&[&format!("CREATE DATABASE {schema}"), &format!("CREATE TABLE {schema}.t (id INT PRIMARY KEY)")]);
    let topics = [fresh("there"), fresh("missing")];
    create_topic(&servers, &topics[0], 1, &[]);
    let mut lab = Lab { daemon: Daemon::new(""), server, schema, brokers: servers.brokers().to_owned(), topics };
    let receiver = Receiver::start(false);
    lab.configure(&receiver.url, false);
    lab.daemon.start();
    root.run(&format!("INSERT INTO {}.t VALUES (1)", lab.schema));

    // Only a log that is begun takes a delivery whose topic is missing.
    wait_until("the log is begun", PATIENCE, || {
        std::fs::read_to_string(lab.daemon.lines()).ok().filter(|text| text.contains("INSERT")).map(drop)
    });
    assert!(lab.daemon.stop().success());
    lab.configure(&receiver.url, true);
    lab.daemon.start();
    let parked = receiver.wait("missing", "parked", "raised");
    assert_eq!((&parked["name"], &parked["environment"]), (&Value::from("live"), &Value::from("stage")));
    assert_eq!(parked["state"], "parked");
    assert!(parked["reason"].as_str().is_some_and(|reason| reason.contains(&lab.topics[1])), "{parked}");
    assert!(parked["next_step"].is_string() && parked["value"].is_null(), "{parked}");
    assert!(lab.metric("relay_alert_post_failures_total") >= 1.0, "the first attempt was answered with 500");

    servers.control(&["stop", "kafka"]);
    root.run(&format!("INSERT INTO {}.t VALUES (2)", lab.schema));
    let late = receiver.wait("there", "latency", "raised");
    assert!(late["value"].as_f64() > Some(3.0) && late["threshold"] == 3.0, "{late}");
    servers.control(&["start", "kafka"]);
    let over = receiver.wait("there", "latency", "normal");
    assert!(over["since"].as_str() < over["time"].as_str(), "{over}");

    create_topic(&servers, &lab.topics[1], 1, &[]);
    lab.act("/api/v1/cursors/missing/resume");
    receiver.wait("missing", "parked", "normal");
    let parked: Vec<_> = receiver.of("missing").into_iter().filter(|(alert, _)| alert == "parked").collect();
    assert_eq!(parked.len(), 2, "raised once and over once: {parked:?}");
    assert_eq!(receiver.of("lines"), [], "one delivery's trouble is not another's");
    assert!(lab.metric("relay_alert_posts_total") >= 4.0);

    // One that hangs holds up neither data nor the end.
    let hung = Receiver::start(true);
    lab.configure(&hung.url, true);
    assert_eq!(lab.act("/api/v1/reload")["alert"], true);
    servers.control(&["stop", "kafka"]);
    root.run(&format!("INSERT INTO {}.t VALUES (3)", lab.schema));
    wait_until("a notice waits", PATIENCE, || (lab.metric("relay_alert_waiting") >= 1.0).then_some(()));
    root.run(&format!("INSERT INTO {}.t VALUES (4)", lab.schema));
    wait_until("the file has all", PATIENCE, || {
        let lines = std::fs::read_to_string(lab.daemon.lines()).expect("lines");
        (lines.lines().filter(|line| line.contains("INSERT")).count() == 4).then_some(())
    });
    let stopping = Instant::now();
    assert!(lab.daemon.stop().success());
    // The broker is away, so its delivery takes its time; the webhook adds none to it.
    assert!(stopping.elapsed() < Duration::from_secs(30), "{:?}", stopping.elapsed());
    assert!(!lab.daemon.output().contains("canary"), "the address is never logged:\n{}", lab.daemon.output());
}
