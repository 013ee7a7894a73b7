//! The daemon as a child process: started, asked, stopped and killed.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::wait_until;

/// A folder with a config, a log directory and an admin port; the daemon runs in it or is stopped.
pub struct Daemon {
    dir: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
    starts: u32,
    server_id: u32,
    failpoint: String,
}

/// What a config says beside the usual: lines of its sections, and sections behind them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extra<'a> {
    pub source: &'a str,
    pub log: &'a str,
    /// Of the delivery into the file.
    pub delivery: &'a str,
    /// Further deliveries.
    pub more: &'a str,
}

impl Daemon {
    /// Writes the config; `config` gets the log directory and the admin address in place of `{dir}` and `{admin}`.
    pub fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let server_id = rand::random_range(10_000_000..90_000_000u32);
        let daemon = Self { dir, port, child: None, starts: 0, server_id, failpoint: String::new() };
        daemon.configure(config);
        daemon
    }

    /// Writes the config anew; takes effect at the next start or reload.
    pub fn configure(&self, config: &str) {
        let text = config
            .replace("{dir}", &self.log_dir().display().to_string())
            .replace("{admin}", &format!("127.0.0.1:{}", self.port));
        fs::write(self.config(), text).expect("the config is written");
    }

    /// Writes a config: `tables` of the source at this URL into a file, which is [`Daemon::lines`].
    pub fn configure_to_file(&self, source: &str, tables: &str, extra: Extra<'_>) {
        let Extra { source: source_lines, log, delivery, more } = extra;
        self.configure(&format!(
            r#"
name = "live"
[source]
url = "{source}"
server_id = {server_id}
tls = "disabled"
tables = ["{tables}"]
{source_lines}
[log]
dir = "{{dir}}"
{log}
[admin]
listen = "{{admin}}"
[[delivery]]
name = "lines"
file = {{ path = "{lines}" }}
{delivery}
{more}
"#,
            server_id = self.server_id,
            lines = self.lines().display(),
        ));
    }

    /// Where [`Daemon::configure_to_file`] has the changes written.
    pub fn lines(&self) -> PathBuf {
        self.dir.path().join("lines")
    }

    /// The config file.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("relay.toml")
    }

    /// The store.
    pub fn log_dir(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// The test's folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The address of the API.
    pub fn admin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// An id under which it may read a source, its own among the tests'.
    pub fn server_id(&self) -> u32 {
        self.server_id
    }

    /// Where the daemon ends as by a crash (`RELAY_FAILPOINT`), from its next start on; empty: nowhere.
    pub fn fail_at(&mut self, failpoint: &str) {
        self.failpoint = failpoint.to_owned();
    }

    /// Process id of the running daemon.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts the daemon and returns at once.
    pub fn launch(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        self.starts += 1;
        let out = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join("output"))
            .expect("the output file");
        let child = Command::new(env!("CARGO_BIN_EXE_relay"))
            .args(["run", "--accept-warnings", "--config"])
            .arg(self.config())
            .env("RELAY_SOURCE_PASSWORD", "relay")
            .env("RELAY_FAILPOINT", &self.failpoint)
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a second handle"))
            .stderr(out)
            .spawn()
            .expect("the daemon starts");
        self.child = Some(child);
    }

    /// Starts the daemon and waits until it says that it is ready.
    #[track_caller]
    pub fn start(&mut self) {
        self.launch();
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while self.get("/readyz").is_none_or(|(status, _)| status != 200) {
            if let Some(status) = self.child.as_mut().and_then(|c| c.try_wait().expect("a child")) {
                self.child = None;
                panic!("the daemon ended with {status} instead of getting ready:\n{}", self.output());
            }
            assert!(std::time::Instant::now() < deadline, "not ready within 60 s:\n{}", self.output());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends a signal by name: `KILL`, `TERM`, `HUP`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().expect("it runs").to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs");
        assert!(status.success(), "kill -s {name} {pid}");
    }

    /// SIGKILL, and the process is gone on return.
    pub fn kill(&mut self) {
        self.signal("KILL");
        self.wait();
    }

    /// SIGTERM; the exit status once it has ended.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Waits for the process to end by itself.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("it runs");
        let status = wait_until("the daemon ends", Duration::from_secs(90), || child.try_wait().expect("a child"));
        // Only now: one that does not end is killed with the test.
        self.child = None;
        status
    }

    /// All it printed, over all its starts.
    pub fn output(&self) -> String {
        let mut text = String::new();
        if let Ok(mut file) = fs::File::open(self.dir.path().join("output")) {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).expect("readable output");
            text = String::from_utf8_lossy(&bytes).into_owned();
        }
        text
    }

    /// GET: status and body, none when nobody answers.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        self.request("GET", path, "")
    }

    /// POST of a JSON body.
    pub fn post(&self, path: &str, body: &str) -> Option<(u16, String)> {
        self.request("POST", path, body)
    }

    /// The parsed answer of a GET that must succeed.
    #[track_caller]
    pub fn json(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.get(path).unwrap_or_else(|| panic!("no answer to {path}:\n{}", self.output()));
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}"))
    }

    /// Waits until every delivery has acknowledged all that the log holds.
    #[track_caller]
    pub fn wait_delivered(&self, patience: Duration) {
        super::wait_until("everything is delivered", patience, || {
            let status = self.json("/api/v1/status");
            let cursors = status["cursors"].as_array().expect("a list");
            cursors.iter().all(|cursor| cursor["lag_entries"] == 0).then_some(())
        });
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}",
            self.port
        )
        .ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = self.child.as_mut() {
            // The child may have ended by itself; there is nothing left to stop then.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let output = self.output();
            let tail: Vec<&str> = output.lines().rev().take(60).collect();
            eprintln!("--- the daemon's last lines ---");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}
