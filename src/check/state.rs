//! `state.store`: whether the log's folder can be used by this relay. Nothing is created or changed.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use relay_store::{OpenError, ReadOnlyLog, Seq, cursor_snapshot};

use super::Item;
use crate::config::Config;
use crate::log::Checkpoint;

const ID: &str = "state.store";

/// Whether the log of this config can be opened for writing, without opening it.
pub(super) fn check(config: &Config) -> Item {
    let dir = &config.log.dir;
    let shown = dir.display();
    match std::fs::metadata(dir) {
        Ok(facts) if !facts.is_dir() => {
            return Item::fail(ID, format!("{shown} is not a folder"), "set log.dir to a folder");
        }
        Ok(_) => {}
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return creatable(dir),
        Err(e) => return Item::fail(ID, format!("{shown}: {e}"), "give this user access to log.dir"),
    }
    if let Err(e) = writable(dir) {
        return Item::fail(
            ID,
            format!("{shown} cannot be written: {e}"),
            "mount the disk writable and give this user the folder",
        );
    }
    match ReadOnlyLog::open(dir) {
        Ok(log) => {
            let p = log.positions();
            Item::pass(ID, format!("{shown} holds seqs {} to {}", p.first_seq, p.visible_seq))
        }
        Err(OpenError::Missing { .. }) if is_empty(dir) => {
            Item::pass(ID, format!("{shown} is empty: a new log begins"))
        }
        Err(OpenError::Missing { .. }) => Item::fail(
            ID,
            format!("{shown} is not a relay store, and not empty"),
            "set log.dir to an empty or new folder",
        ),
        Err(e) => Item::fail(ID, e.to_string(), "see the runbook: a log that does not open"),
    }
}

/// Whether the log is still to be made: its folder is not there, or empty.
pub(super) fn is_new(config: &Config) -> bool {
    !config.log.dir.exists() || is_empty(&config.log.dir)
}

/// Where a log ends that this process has not open.
#[derive(Debug)]
pub(super) enum LogEnd {
    /// There is none yet.
    New,
    /// Here; no checkpoint when it has none.
    At {
        /// Its place in the source.
        checkpoint: Option<Checkpoint>,
        /// Its last entry.
        last: Seq,
        /// The names of its cursors.
        cursors: BTreeSet<String>,
    },
    /// A process has it open and moves its end.
    InUse,
    /// It does not read.
    Unreadable(String),
}

/// Where the log of this config ends. Nothing is changed.
pub(super) fn end(config: &Config) -> LogEnd {
    if is_new(config) {
        return LogEnd::New;
    }
    let snapshot = match cursor_snapshot(&config.log.dir) {
        Ok(snapshot) => snapshot,
        Err(OpenError::Locked { .. }) => return LogEnd::InUse,
        Err(e) => return LogEnd::Unreadable(e.to_string()),
    };
    let cursors = snapshot.cursors.into_iter().map(|cursor| cursor.name).collect();
    match snapshot.checkpoint.map(|bytes| Checkpoint::decode(&bytes)).transpose() {
        Ok(checkpoint) => LogEnd::At { checkpoint, last: snapshot.durable_seq, cursors },
        Err(e) => LogEnd::Unreadable(e.to_string()),
    }
}

/// The item when the daemon has the log open already.
pub(super) fn open(config: &Config) -> Item {
    Item::pass(ID, format!("{} is open", config.log.dir.display()))
}

/// A folder that is not there yet: its nearest parent must take a new one.
fn creatable(dir: &Path) -> Item {
    let shown = dir.display();
    let parent = dir.ancestors().skip(1).find(|p| p.as_os_str().is_empty() || p.exists());
    let parent = parent.filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match writable(parent) {
        Ok(()) => Item::pass(ID, format!("{shown} will be created")),
        Err(e) => Item::fail(
            ID,
            format!("{shown} cannot be created in {}: {e}", parent.display()),
            "create it and give this user the folder, or set log.dir elsewhere",
        ),
    }
}

fn writable(dir: &Path) -> std::io::Result<()> {
    rustix::fs::access(dir, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).map_err(Into::into)
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Level;

    fn config(dir: &Path) -> Config {
        let text = format!("[source]\nurl = \"mysql://r@db1\"\n[log]\ndir = {:?}\n", dir.display().to_string());
        Config::parse(&text, Path::new("t"), &|_| None).expect("valid")
    }

    fn item(dir: &Path) -> Item {
        check(&config(dir))
    }

    #[test]
    fn an_empty_a_new_and_an_existing_log_pass_and_nothing_is_made() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(item(dir.path()).level, Level::Pass);
        let new = dir.path().join("a/b");
        assert_eq!(item(&new).level, Level::Pass);
        assert!(!dir.path().join("a").exists());
        let log = dir.path().join("log");
        relay_store::Store::open(&log, relay_store::StoreOptions::default()).unwrap().close();
        let found = item(&log);
        assert_eq!(found.level, Level::Pass, "{found:?}");
    }

    #[test]
    fn the_end_of_a_stopped_log_is_known_and_that_of_an_open_one_is_somebody_elses() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(end(&config(dir.path())), LogEnd::New));
        let store = relay_store::Store::open(dir.path(), relay_store::StoreOptions::default()).unwrap();
        let ours = Checkpoint { file: "bin.000007".into(), position: 900, ..Checkpoint::default() };
        let mut appender = store.appender().unwrap();
        appender.advance(&ours.encode());
        appender.flush().unwrap();
        drop(appender);
        store.cursors().create("orders", Seq::ZERO, Default::default()).unwrap();
        assert!(matches!(end(&config(dir.path())), LogEnd::InUse));
        store.close();
        match end(&config(dir.path())) {
            LogEnd::At { checkpoint, last, cursors } => {
                assert_eq!((checkpoint, last), (Some(ours), Seq::ZERO));
                assert_eq!(cursors, ["orders".to_owned()].into());
            }
            other => panic!("{other:?}"),
        }
        for file in std::fs::read_dir(dir.path().join("meta")).unwrap() {
            let path = file.unwrap().path();
            if path.is_file() {
                std::fs::write(path, "nonsense").unwrap();
            }
        }
        assert!(matches!(end(&config(dir.path())), LogEnd::Unreadable(_)));
    }

    #[test]
    fn a_file_and_a_folder_of_something_else_fail_with_a_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        for path in [file.as_path(), dir.path()] {
            let found = item(path);
            assert_eq!(found.level, Level::Fail, "{found:?}");
            assert!(!found.remedy.is_empty());
        }
    }
}
