//! Real servers, started once by `ops/services` and shared by all tests; each test takes databases and topics of its own.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use super::root;
use super::watch::watched;

/// A set of servers that belong together: the shared one, or one of a test's own whose servers it may kill.
#[derive(Debug, Clone)]
pub struct Servers {
    /// Where `ops/services` keeps them; none: the shared set of this checkout.
    dir: Option<PathBuf>,
    env: HashMap<String, String>,
}

/// The address of one database server.
#[derive(Debug, Clone)]
pub struct Database {
    /// The name `ops/services` knows it by.
    pub name: &'static str,
    /// TCP port on 127.0.0.1.
    pub port: u16,
    /// Certificate authority of its TLS certificate, when it has TLS.
    pub ca: Option<PathBuf>,
}

impl Database {
    /// An address for a user without a password, or with `user:password`.
    pub fn url(&self, user: &str) -> String {
        format!("mysql://{user}@127.0.0.1:{}", self.port)
    }
}

/// Runs `ops/services` and gives its output; fails with its messages.
pub fn services(dir: Option<&PathBuf>, arguments: &[&str]) -> String {
    let mut command = Command::new(root().join("ops/services"));
    command.args(arguments).current_dir(root());
    if let Some(dir) = dir {
        // Its broker may be killed, and is to come back soon.
        command.env("RELAY_SERVICES_DIR", dir).env("RELAY_KAFKA_SESSION_MS", "3000");
    }
    let done = command.output().expect("ops/services runs");
    assert!(
        done.status.success(),
        "ops/services {}: {}\n{}",
        arguments.join(" "),
        done.status,
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).expect("UTF-8")
}

/// The shared servers, with those named started if they were not up.
pub fn shared(names: &[&str]) -> Servers {
    watched();
    static UP: OnceLock<Mutex<Vec<String>>> = OnceLock::new();
    let mut up = UP.get_or_init(Mutex::default).lock().expect("no test panics while it starts a server");
    let missing: Vec<&str> = names.iter().copied().filter(|n| !up.iter().any(|u| u == n)).collect();
    if !missing.is_empty() {
        let arguments: Vec<&str> = ["up"].into_iter().chain(missing.iter().copied()).collect();
        services(None, &arguments);
        up.extend(missing.into_iter().map(String::from));
    }
    Servers { dir: None, env: environment(None) }
}

/// A program that `ops/services` fetches; none where it cannot be had, which is said on standard error.
pub fn tool(name: &str) -> Option<PathBuf> {
    let variable = match name {
        "gh-ost" => "GH_OST",
        "pt-online-schema-change" => "PT_OSC",
        _ => panic!("ops/services has no tool {name}"),
    };
    let mut command = Command::new(root().join("ops/services"));
    let done = command.args(["up", name]).current_dir(root()).output().expect("ops/services runs");
    let said = String::from_utf8_lossy(&done.stderr);
    match done.status.code() {
        Some(0) => environment(None).get(variable).map(PathBuf::from),
        // Its own code for what this machine cannot have.
        Some(3) => {
            eprintln!("{said}");
            None
        }
        _ => panic!("ops/services up {name}: {}\n{said}", done.status),
    }
}

/// Servers of the test's own in `target/services-NAME`, which it may stop and kill; started anew.
pub fn own(name: &str, names: &[&str]) -> Servers {
    watched();
    let dir = root().join("target").join(format!("services-{name}"));
    services(Some(&dir), &["down", "--wipe"]);
    let arguments: Vec<&str> = ["up"].into_iter().chain(names.iter().copied()).collect();
    services(Some(&dir), &arguments);
    let env = environment(Some(&dir));
    Servers { dir: Some(dir), env }
}

fn environment(dir: Option<&PathBuf>) -> HashMap<String, String> {
    services(dir, &["env"])
        .lines()
        .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.trim_matches('\'').to_owned()))
        .collect()
}

impl Servers {
    /// One variable of `ops/services env`.
    #[track_caller]
    pub fn get(&self, key: &str) -> &str {
        self.env.get(key).unwrap_or_else(|| panic!("ops/services env gives no {key}; is that server up?"))
    }

    fn database(&self, name: &'static str, prefix: &str) -> Database {
        let port = self.get(&format!("{prefix}_PORT")).parse().expect("a port");
        Database { name, port, ca: self.env.get(&format!("{prefix}_CA")).map(PathBuf::from) }
    }

    /// MySQL 9.7: GTIDs, FULL metadata, TLS.
    pub fn mysql97(&self) -> Database {
        self.database("mysql97", "MYSQL97")
    }

    /// A second MySQL 9.7 that replicates from the first.
    pub fn mysql97_second(&self) -> Database {
        self.database("mysql97-second", "MYSQL97_SECOND")
    }

    /// MySQL 5.6: GTIDs, no row metadata, no TLS.
    pub fn mysql56(&self) -> Database {
        self.database("mysql56", "MYSQL56")
    }

    /// MariaDB 10.11.
    pub fn mariadb(&self) -> Database {
        self.database("mariadb", "MARIADB")
    }

    /// Bootstrap address of the broker's plain listener.
    pub fn brokers(&self) -> &str {
        self.get("KAFKA_BROKERS")
    }

    /// Runs a command of `ops/services` on this set: `stop`, `start`, `restart`, `kill`.
    pub fn control(&self, arguments: &[&str]) {
        services(self.dir.as_ref(), arguments);
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let Some(dir) = &self.dir else { return };
        // After a failure their logs stay to be read, but they do not run under the tests that follow.
        if std::thread::panicking() {
            let mut command = Command::new(root().join("ops/services"));
            drop(command.arg("down").current_dir(root()).env("RELAY_SERVICES_DIR", dir).output());
        } else {
            services(Some(dir), &["down", "--wipe"]);
        }
    }
}
