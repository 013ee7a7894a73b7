//! The daemon's command line with input that is wrong: the exit code, one clear sentence with the next step, and
//! nothing changed on disk.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use relay_store::{Store, StoreOptions};

struct Case {
    dir: tempfile::TempDir,
}

impl Case {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a folder for the test") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A config whose log lies in this folder; nothing listens at its source.
    fn config(&self, lines: &str) -> PathBuf {
        let log = self.path("log");
        self.file(&format!(
            "name = \"t\"\n[source]\nurl = \"mysql://relay@127.0.0.1:1\"\ntls = \"disabled\"\nconnect_timeout = \"1s\"\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n[log]\ndir = {:?}\n{lines}",
            log.display().to_string()
        ))
    }

    fn file(&self, text: &str) -> PathBuf {
        let path = self.path("relay.toml");
        std::fs::write(&path, text).expect("write the config");
        path
    }

    /// Runs both commands that load a config and expects the same refusal of each; nothing may change meanwhile.
    fn refused(&self, config: &Path, code: i32, named: &[&str]) {
        for command in ["run", "check"] {
            self.fails(&[command, "--config", &config.display().to_string()], code, named);
        }
    }

    fn fails(&self, args: &[&str], code: i32, named: &[&str]) {
        let before = snapshot(self.dir.path());
        let output = relay(args);
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or_default();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(last.starts_with("relay: "), "{args:?}: {said}");
        for part in named {
            assert!(last.contains(part), "{args:?}: {last:?} does not name {part:?}");
        }
        assert!(!said.contains("canary") && !said.contains("panicked"), "{said}");
        assert_eq!(snapshot(self.dir.path()), before, "{args:?} changed something");
    }
}

fn relay(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_relay"))
        .args(args)
        .env_remove("RELAY_LOG")
        .env_remove("RELAY_SOURCE_PASSWORD")
        .output()
        .expect("the daemon's binary runs")
}

/// Every file below `dir` with length and checksum; the lock, which names who tried last, by its name alone.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, (usize, u32)> {
    let mut files = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).expect("list a folder") {
            let path = entry.expect("list a folder").path();
            if path.is_dir() {
                files.insert(path.clone(), (0, 0));
                todo.push(path);
            } else {
                let bytes =
                    if path.ends_with("LOCK") { Vec::new() } else { std::fs::read(&path).expect("read a file") };
                files.insert(path, (bytes.len(), crc32fast::hash(&bytes)));
            }
        }
    }
    files
}

#[test]
fn a_config_that_is_missing_or_not_toml_is_refused() {
    let case = Case::new();
    case.refused(&case.path("none.toml"), 2, &["none.toml", "--config"]);
    case.refused(&case.file("name = = 1\n"), 2, &["relay.toml:1", "not valid TOML"]);
    case.refused(&case.file("\u{0}\u{1}"), 2, &["relay.toml", "not valid TOML"]);
    case.refused(&case.file(""), 2, &["[source]"]);
    case.fails(&["check", "-c", "none.toml"], 2, &["none.toml", "--config"]);
}

#[test]
fn a_config_with_a_wrong_field_is_refused_by_line_and_field() {
    let case = Case::new();
    for (lines, named) in [
        ("sizes = 1\n", &["unknown field `sizes`", "relay.toml:10"][..]),
        ("commit_interval = \"5MiB\"\n", &["relay.toml:10", "log.commit_interval", "\"72h\""]),
        ("retention = { max_bytes = \"lots\" }\n", &["log.retention.max_bytes", "\"200GiB\""]),
        (
            "[[delivery]]\nname = \"a\"\ntables = [\"orders\"]\nfile = { path = \"-\" }\n",
            &["delivery[0].tables", "database.table"],
        ),
        (
            "[[delivery]]\nname = \"a\"\nfile = { path = \"-\" }\n[[delivery]]\nname = \"a\"\nfile = { path = \"-\" }\n",
            &["delivery[1].name", "two deliveries are called \"a\""],
        ),
        ("[[delivery]]\nname = \"a/../b\"\nfile = { path = \"-\" }\n", &["delivery[0].name", "is no name"]),
    ] {
        case.refused(&case.config(lines), 2, named);
    }
}

#[test]
fn secrets_that_others_could_read_are_refused() {
    let case = Case::new();
    let secret = case.path("password");
    std::fs::write(&secret, "canary").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
    let text = format!("[source]\nurl = \"mysql://r@db1\"\npassword_file = {:?}\n", secret.display().to_string());
    case.refused(&case.file(&text), 2, &["relay.toml:3: source.password_file", "chmod o="]);
    case.refused(&case.file("[source]\nurl = \"mysql://r:canary@db1\"\n"), 2, &["RELAY_SOURCE_PASSWORD"]);
    case.refused(&case.file("[source]\nurl = \"mysql://r@db1\"\npassword = \"canary\"\n"), 2, &["password_file"]);
}

#[test]
fn an_api_on_an_open_address_is_refused() {
    let case = Case::new();
    for listen in ["0.0.0.0:7070", "[::]:7070", "192.0.2.1:7070"] {
        let text = format!("[source]\nurl = \"mysql://r@db1\"\n[admin]\nlisten = \"{listen}\"\n");
        case.refused(&case.file(&text), 2, &["relay.toml:4: admin.listen", "loopback"]);
    }
}

#[test]
fn a_first_start_without_a_source_is_refused_and_leaves_no_log() {
    let case = Case::new();
    let config = case.config("").display().to_string();
    case.fails(&["run", "--config", &config], 3, &["source.connect", "127.0.0.1:1"]);
    let output = relay(&["check", "--config", &config]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("fail  source.connect") && said.contains("->"), "{said}");
    assert!(!case.path("log").exists());
}

#[test]
fn check_answers_machines_in_json() {
    let case = Case::new();
    let output = relay(&["check", "--json", "--config", &case.config("").display().to_string()]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(answer["ready"], false);
    let ids: Vec<&str> = answer["items"].as_array().expect("items").iter().filter_map(|i| i["id"].as_str()).collect();
    assert!(ids.contains(&"source.connect") && ids.contains(&"state.store"), "{ids:?}");
}

#[test]
fn the_effective_config_is_printed_without_secrets() {
    let case = Case::new();
    let output = Command::new(env!("CARGO_BIN_EXE_relay"))
        .args(["check", "--print-config", "--config", &case.config("").display().to_string()])
        .env("RELAY_SOURCE_PASSWORD", "canary")
        .output()
        .expect("the daemon's binary runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("commit_interval = \"5ms\""), "{printed}");
    assert!(!printed.contains("canary"));
}

#[test]
fn a_folder_that_is_no_store_is_refused_and_left_alone() {
    let case = Case::new();
    std::fs::create_dir(case.path("log")).unwrap();
    std::fs::write(case.path("log/thesis.txt"), "mine").unwrap();
    case.fails(&["run", "--config", &case.config("").display().to_string()], 2, &["not a relay store", "thesis.txt"]);
}

#[test]
fn a_store_of_a_newer_release_is_refused_and_left_alone() {
    let case = Case::new();
    Store::open(&case.path("log"), StoreOptions::default()).unwrap().close();
    let format = case.path("log/FORMAT");
    let text = std::fs::read_to_string(&format).unwrap();
    let body =
        text.split("crc ").next().expect("the checksum comes last").replace("relay-store 1\n", "relay-store 99\n");
    assert!(body.starts_with("relay-store 99\n"), "{text}");
    std::fs::write(&format, format!("{body}crc {:08x}\n", crc32fast::hash(body.as_bytes()))).unwrap();
    case.fails(&["run", "--config", &case.config("").display().to_string()], 1, &["format 99", "newer release"]);
}

#[test]
fn a_store_in_use_is_refused_by_the_process_that_has_it() {
    let case = Case::new();
    let held = Store::open(&case.path("log"), StoreOptions::default()).unwrap();
    let pid = format!("in use by process {}", std::process::id());
    case.fails(&["run", "--config", &case.config("").display().to_string()], 1, &[&pid, "stop that process"]);
    held.close();
}

#[test]
fn a_log_where_no_folder_can_be_is_refused() {
    let case = Case::new();
    std::fs::write(case.path("log"), "a file").unwrap();
    let config = case.config("").display().to_string();
    let output = relay(&["check", "--config", &config]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("fail  state.store") && said.contains("is not a folder"), "{said}");
    let below = config.replace("relay.toml", "below.toml");
    std::fs::write(&below, std::fs::read_to_string(&config).unwrap().replace("/log\"", "/log/deeper\"")).unwrap();
    let output = relay(&["check", "--config", &below]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("fail  state.store") && said.contains("cannot be created"), "{said}");
}

#[test]
fn wrong_usage_is_told_from_failure() {
    assert_eq!(relay(&[]).status.code(), Some(2));
    assert_eq!(relay(&["run", "--no-such-option"]).status.code(), Some(2));
    assert_eq!(relay(&["--version"]).status.code(), Some(0));
}
