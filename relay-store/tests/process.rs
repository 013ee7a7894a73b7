//! Other processes and other users at one store. Runs without the test harness, for it starts itself as the child.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{options, workload};
use relay_store::{OpenError, ReadOnlyLog, Seq, Store, cursor_snapshot};

const DIR: &str = "RELAY_PROCESS_DIR";
/// What the child does: `open`, or `look` as a user who may not write.
const DOES: &str = "RELAY_PROCESS_DOES";

fn main() {
    if let Some(dir) = std::env::var_os(DIR) {
        match std::env::var(DOES).as_deref() {
            Ok("open") => hold(Path::new(&dir)),
            _ => look(Path::new(&dir)),
        }
        return;
    }
    if std::env::args().any(|argument| argument == "--list") {
        println!(
            "one_of_several_processes_gets_the_store: test\nuser_who_may_not_write_looks_and_changes_nothing: test"
        );
        return;
    }
    one_of_several_processes_gets_the_store();
    user_who_may_not_write_looks_and_changes_nothing();
}

/// Opens the store, says how that went, and holds it until its input ends.
fn hold(dir: &Path) {
    match Store::open(dir, options()) {
        Ok(_store) => {
            println!("opened");
            let _ = std::io::stdin().read(&mut [0]);
        }
        Err(OpenError::Locked { pid, .. }) => println!("locked {}", pid.unwrap_or(0)),
        Err(error) => println!("{error}"),
    }
}

fn start(exe: &Path, dir: &Path, does: &str) -> Child {
    Command::new(exe).env(DIR, dir).env(DOES, does).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("spawn")
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("a line");
    line.trim_end().to_owned()
}

/// Also while the store is being created: whoever comes second finds it locked, never half made.
fn one_of_several_processes_gets_the_store() {
    let exe = std::env::current_exe().expect("own path");
    for round in 0..5 {
        let dir = tempfile::tempdir().expect("temp dir");
        let store = dir.path().join("store");
        let mut children: Vec<Child> = (0..6).map(|_| start(&exe, &store, "open")).collect();
        let said: Vec<String> = children.iter_mut().map(first_line).collect();
        let opened: Vec<usize> = (0..6).filter(|at| said[*at] == "opened").collect();
        let [opened] = opened[..] else { panic!("round {round}: {said:?}") };
        let holder = children[opened].id();
        for (at, line) in said.iter().enumerate().filter(|(at, _)| *at != opened) {
            // One that comes in between lock and id names nobody.
            assert!(*line == format!("locked {holder}") || line == "locked 0", "round {round}: {at}: {said:?}");
        }
        // A killed holder leaves nothing behind that locks.
        children[opened].kill().expect("kill");
        for child in &mut children {
            child.wait().expect("wait");
        }
        let mut next = start(&exe, &store, "open");
        assert_eq!(first_line(&mut next), "opened");
        drop(next.stdin.take());
        assert!(next.wait().expect("wait").success());
    }
    println!("one_of_several_processes_gets_the_store: ok");
}

/// Prints what a user who may not write finds.
fn look(dir: &Path) {
    let opened = match Store::open(dir, options()) {
        Err(OpenError::ReadOnly { .. }) => "refused as read-only".to_owned(),
        Err(error) => error.to_string(),
        Ok(_) => "opened".to_owned(),
    };
    let log = match ReadOnlyLog::open(dir) {
        Ok(log) => {
            let entries = common::read_all(&mut log.reader(), Seq(1)).len();
            let clean = log.verify(&mut |_| {}).is_ok_and(|report| report.is_clean());
            format!("{entries} entries, clean {clean}")
        }
        Err(error) => error.to_string(),
    };
    let cursors = match cursor_snapshot(dir) {
        Ok(snapshot) => format!("{} cursors", snapshot.cursors.len()),
        Err(error) => error.to_string(),
    };
    print!("{opened}\n{log}\n{cursors}\n");
}

fn set_modes(dir: &Path, folder: u32, file: u32) {
    use std::os::unix::fs::PermissionsExt;
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set permissions");
    };
    for entry in std::fs::read_dir(dir).expect("list") {
        let path = entry.expect("entry").path();
        if path.is_dir() { set_modes(&path, folder, file) } else { set(&path, file) }
    }
    set(dir, folder);
}

fn contents(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("list") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            let bytes = std::fs::read(&path).expect("read");
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}

fn user_who_may_not_write_looks_and_changes_nothing() {
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let may = Command::new("setpriv").args(nobody).arg("true").stderr(Stdio::null()).status();
    if !may.is_ok_and(|status| status.success()) {
        println!("SKIPPED user_who_may_not_write_looks_and_changes_nothing: setpriv may not become another user here");
        return;
    }
    let dir = tempfile::tempdir().expect("temp dir");
    let store = dir.path().join("store");
    workload::child(&store, 3, &mut std::io::sink()).expect("a store");
    let entries = common::read_all(&mut ReadOnlyLog::open(&store).expect("open").reader(), Seq(1)).len();
    // Where this program lies only its own user may look.
    let exe = dir.path().join("exe");
    std::fs::copy(std::env::current_exe().expect("own path"), &exe).expect("copy");
    let look = |folder: u32, file: u32| {
        set_modes(&store, folder, file);
        set_modes_of_parents(dir.path(), &exe);
        let before = contents(&store);
        let output = Command::new("setpriv").args(nobody).arg(&exe).env(DIR, &store).env(DOES, "look").output();
        let output = output.expect("setpriv");
        assert_eq!(contents(&store), before, "something was changed");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    // Readable by all.
    let said = look(0o755, 0o644);
    let expected =
        ["refused as read-only".to_owned(), format!("{entries} entries, clean true"), "1 cursors".to_owned()];
    assert_eq!(said, expected);
    // As we make it: for its own user alone.
    let said = look(0o700, 0o600);
    assert_eq!(said[0], "refused as read-only");
    for line in &said[1..] {
        assert!(line.starts_with("read ") && line.contains("Permission denied"), "{said:?}");
    }
    println!("user_who_may_not_write_looks_and_changes_nothing: ok");
}

fn set_modes_of_parents(dir: &Path, exe: &Path) {
    use std::os::unix::fs::PermissionsExt;
    for path in [dir, exe] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("set permissions");
    }
}
