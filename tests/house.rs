//! The house rules that a compiler does not check: which module may know which, and where each outside crate
//! may appear. A new arrow is allowed by adding it here, with its reason, in the commit that needs it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each module of the relay may use of its siblings; a module that is missing here may use anything.
const ARROWS: &[(&str, &[&str])] = &[
    ("binlog", &[]),
    ("failure", &[]),
    ("selection", &[]),
    ("log", &["binlog"]),
    ("change", &["binlog", "log", "selection"]),
    // The registry's errors state their class.
    ("format", &["change", "binlog", "log", "failure"]),
    // Local times and texts of values are the formats'.
    ("filter", &["change", "binlog", "format"]),
    ("etl", &["change", "binlog", "format"]),
    // A failpoint is where a test makes it die.
    ("sink", &["format", "change", "binlog", "log", "failure", "config", "status", "metrics", "failpoint"]),
    (
        "delivery",
        &[
            "sink",
            "format",
            "filter",
            "etl",
            "change",
            "binlog",
            "log",
            "failure",
            "selection",
            "config",
            "status",
            "metrics",
        ],
    ),
    ("alert", &["config", "status", "metrics"]),
    ("capture", &["binlog", "change", "log", "failure", "selection", "config", "status", "metrics"]),
    // It reads tables over capture's connections and hands rows to it; capture does not know it.
    ("snapshot", &["capture", "binlog", "change", "log", "failure", "config", "status"]),
];

/// Where an outside crate may appear, as path prefixes from the root of the project.
const HOMES: &[(&str, &[&str])] = &[
    ("sled", &["relay-store/src/meta", "relay-store/src/error.rs"]),
    ("mysql_async", &["src/capture"]),
    ("mysql_common", &["src/capture"]),
    ("rdkafka", &["src/sink/kafka"]),
    ("axum", &["src/api", "src/run.rs"]),
    ("ureq", &["src/format/registry", "src/alert", "src/sink/maxcompute/client", "src/remote", "tools/src/cursor"]),
];

/// Crates that relay-store must never know.
const STORE_KNOWS_NOT: &[&str] = &["tokio", "mysql_async", "mysql_common", "rdkafka", "toml", "axum", "relay"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap_or_else(|e| panic!("read {}: {e}", dir.display())) {
            let path = entry.expect("directory entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Code of a file that ships: without comments, and without its test module, which stands at its foot.
fn shipped(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("read {}: {e}", path.display()));
    // A declaration of a test file may stand anywhere; a test module with a body ends what ships.
    let body = text.split("#[cfg(test)]\nmod tests {").next().expect("split gives one part at least");
    body.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The names that follow `prefix` in `code`, also inside braces: `crate::{a, b::c}`.
fn names_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let first_word = |s: &str| s.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            names.insert(first_word(rest));
            continue;
        };
        let mut depth = 0;
        let mut part = String::new();
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    names.insert(first_word(&part));
                    part.clear();
                    continue;
                }
                _ => {}
            }
            part.push(c);
        }
        names.insert(first_word(&part));
    }
    names.remove("");
    names
}

#[test]
fn arrows_between_modules_point_one_way() {
    let src = root().join("src");
    let mut wrong = Vec::new();
    for (module, may_use) in ARROWS {
        let (dir, file) = (src.join(module), src.join(format!("{module}.rs")));
        let files = if dir.is_dir() { rust_files(&dir) } else { vec![file] };
        for file in files {
            for name in names_after(&shipped(&file), "crate::") {
                let is_module = src.join(&name).is_dir() || src.join(format!("{name}.rs")).is_file();
                if is_module && name != *module && !may_use.contains(&name.as_str()) {
                    wrong.push(format!("{}: {module} must not use {name}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_outside_crate_stays_at_home() {
    let root = root();
    let mut wrong = Vec::new();
    for dir in ["src", "relay-store/src", "tools/src"] {
        for file in rust_files(&root.join(dir)) {
            let code = shipped(&file);
            let place = file.strip_prefix(&root).expect("under the root").display().to_string();
            for (name, homes) in HOMES {
                let uses =
                    !names_after(&code, &format!("{name}::")).is_empty() || code.contains(&format!("use {name};"));
                if uses && !homes.iter().any(|home| place.starts_with(home)) {
                    wrong.push(format!("{place}: {name} belongs in {}", homes.join(", ")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_store_knows_no_source_sink_or_runtime() {
    let manifest = fs::read_to_string(root().join("relay-store/Cargo.toml")).expect("the store's manifest");
    for name in STORE_KNOWS_NOT {
        let depends =
            manifest.lines().any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '.', '='])));
        assert!(!depends, "relay-store depends on {name}");
    }
}

#[test]
fn the_reader_of_arrows_sees_every_form() {
    let code =
        "use crate::log::Context;\nuse crate::{sink::Ack, change};\nlet x = crate::config::y();\nmy_crate::no();";
    let names = names_after(code, "crate::");
    let expected = ["log", "sink", "change", "config"].map(String::from);
    assert_eq!(names, BTreeSet::from(expected));
}
