//! Where the cursors are: in a running daemon, which is asked, or in a stopped one's store.

use std::path::{Path, PathBuf};

use relay::api::cursor_view;
use relay::change::schema::TableName;
use relay::config::check_name;
use relay::delivery::park::request_release;
use relay::log::address::Address;
use relay::log::tally::{Tally, tally};
use relay::run::{Reset, reset_cursor};
use relay_store::{CursorOptions, CursorState, OpenError, ReadOnlyLog, Seq, Store, StoreOptions, cursor_snapshot};
use serde::Serialize;
use serde_json::{Value, json};

use super::admin::{Admin, NoAnswer};
use crate::ended::Ended;
use crate::progress::Progress;

/// Where the cursors are.
pub(super) enum Target {
    /// A running daemon's.
    Running(Admin),
    /// A stopped daemon's: the folder of its log.
    Stopped(PathBuf),
}

impl Target {
    /// Every cursor.
    pub(super) fn list(&self) -> Result<Vec<Value>, Ended> {
        match self {
            Self::Running(admin) => match admin.get(&["cursors"])? {
                Value::Array(list) => Ok(list),
                other => Err(Ended::failed(format_args!("the relay answers what is no list of cursors: {other}"))),
            },
            Self::Stopped(dir) => {
                let snapshot = cursor_snapshot(dir).map_err(in_use)?;
                snapshot.cursors.iter().map(|cursor| shown(&cursor_view(cursor, snapshot.visible_seq.0))).collect()
            }
        }
    }

    /// One cursor.
    pub(super) fn show(&self, name: &str) -> Result<Value, Ended> {
        let list = self.list()?;
        let names: Vec<String> = list.iter().map(|cursor| super::text(cursor, "name").to_owned()).collect();
        list.into_iter().find(|cursor| super::text(cursor, "name") == name).ok_or_else(|| {
            let known =
                if names.is_empty() { "there are none".to_owned() } else { format!("there is {}", names.join(", ")) };
            Ended::usage(format_args!("no cursor {name:?}: {known}"))
        })
    }

    /// Creates a cursor at an address.
    pub(super) fn create(&self, name: &str, start: &Address) -> Result<Value, Ended> {
        check_name(name).map_err(Ended::usage)?;
        match self {
            Self::Running(admin) => Ok(admin.post(&["cursors"], &json!({ "name": name, "start": start }))?),
            Self::Stopped(dir) => changing(dir, |store| {
                let acked = start.resolve(store)?.prev();
                let state = store.cursors().create(name, acked, CursorOptions::default())?;
                view(&state, store)
            }),
        }
    }

    /// Deletes a cursor.
    pub(super) fn delete(&self, name: &str) -> Result<Value, Ended> {
        match self {
            Self::Running(admin) => self.explained(name, admin.delete(&["cursors", name])),
            Self::Stopped(dir) => self.changing_one(dir, name, |store| {
                store.cursors().delete(name)?;
                Ok(json!({ "deleted": name }))
            }),
        }
    }

    /// Pauses or resumes a cursor.
    pub(super) fn set_paused(&self, name: &str, paused: bool) -> Result<Value, Ended> {
        let verb = if paused { "pause" } else { "resume" };
        match self {
            Self::Running(admin) => self.explained(name, admin.post(&["cursors", name, verb], &json!({}))),
            Self::Stopped(dir) => self.changing_one(dir, name, |store| {
                let cursors = store.cursors();
                let state = if paused { cursors.pause(name)? } else { cursors.resume(name)? };
                view(&state, store)
            }),
        }
    }

    /// Lets a parked table be delivered again; by a stopped relay's delivery when it starts.
    pub(super) fn release(&self, name: &str, table: &str) -> Result<Value, Ended> {
        let Some((database, bare)) = table.split_once('.').filter(|(d, t)| !d.is_empty() && !t.is_empty()) else {
            return Err(Ended::usage(format_args!("--table {table:?}: write it as database.table")));
        };
        match self {
            Self::Running(admin) => {
                self.explained(name, admin.post(&["cursors", name, "release"], &json!({ "table": table })))
            }
            Self::Stopped(dir) => self.changing_one(dir, name, |store| {
                if !request_release(&store.cursors(), name, &TableName::new(database, bare))? {
                    return Err(Ended::usage(format_args!("table {table:?} is not parked on cursor {name:?}")));
                }
                match store.cursors().get(name) {
                    Some(state) => view(&state, store),
                    None => self.show(name),
                }
            }),
        }
    }

    /// What moving a cursor to an address would do; changes nothing.
    pub(super) fn dry_run(&self, name: &str, to: &Address) -> Result<Value, Ended> {
        match self {
            Self::Running(admin) => {
                let body = json!({ "to": to, "dry_run": true });
                self.explained(name, admin.post(&["cursors", name, "reset"], &body))
            }
            Self::Stopped(dir) => {
                let snapshot = cursor_snapshot(dir).map_err(in_use)?;
                let Some(cursor) = snapshot.cursors.iter().find(|cursor| cursor.name == name) else {
                    return self.show(name);
                };
                let log = ReadOnlyLog::open(dir)?;
                shown(&would_reset(&log, cursor, to)?)
            }
        }
    }

    /// Moves a cursor to an address. `epoch` is the one that the caller saw: a cursor that was reset since refuses.
    pub(super) fn reset(&self, name: &str, to: &Address, epoch: Option<u64>) -> Result<Value, Ended> {
        match self {
            Self::Running(admin) => {
                let body = json!({ "to": to, "dry_run": false, "expected_epoch": epoch });
                self.explained(name, admin.post(&["cursors", name, "reset"], &body))
            }
            Self::Stopped(dir) => self.changing_one(dir, name, |store| {
                let epoch = epoch.and_then(|epoch| u32::try_from(epoch).ok());
                shown(&reset_cursor(store, name, to, false, epoch)?)
            }),
        }
    }

    /// A refusal because there is no such cursor says which there are.
    fn explained(&self, name: &str, answer: Result<Value, NoAnswer>) -> Result<Value, Ended> {
        match answer {
            Err(NoAnswer::Refused(404, text)) => self.show(name).and(Err(Ended::usage(text))),
            answer => Ok(answer?),
        }
    }

    /// Changes one cursor of a stopped store. That it is there is looked up first, so that a slip of the pen does not
    /// open the store for writing.
    fn changing_one(
        &self,
        dir: &Path,
        name: &str,
        act: impl FnOnce(&Store) -> Result<Value, Ended>,
    ) -> Result<Value, Ended> {
        self.show(name)?;
        changing(dir, act)
    }
}

/// What a reset of a cursor would do, by the log alone.
fn would_reset(log: &ReadOnlyLog, cursor: &CursorState, to: &Address) -> Result<Reset, Ended> {
    let acked = to.resolve(log)?.prev();
    let mut progress = Progress::new("counting what would be delivered again");
    let replay = if acked < cursor.acked {
        let Seq(length) = Seq(cursor.acked.0 - acked.0);
        tally(&mut log.reader(), acked.next(), cursor.acked, &mut |seq| progress.at(seq.0 - acked.0, length))?
    } else {
        Tally::default()
    };
    Ok(Reset {
        name: cursor.name.clone(),
        from_acked_seq: cursor.acked.0,
        to_acked_seq: acked.0,
        epoch: cursor.epoch.0,
        done: false,
        replay,
        skipped_entries: acked.0.saturating_sub(cursor.acked.0),
    })
}

/// Opens a stopped store for a change: takes its lock, creates nothing where no store is. No retention is set, so
/// nothing is trimmed.
fn changing(dir: &Path, act: impl FnOnce(&Store) -> Result<Value, Ended>) -> Result<Value, Ended> {
    let store = Store::open_existing(dir, StoreOptions::default()).map_err(in_use)?;
    let result = act(&store);
    store.close();
    result
}

/// A store that a daemon has open is changed through the daemon.
fn in_use(e: OpenError) -> Ended {
    match e {
        OpenError::Locked { dir, pid } => {
            let holder = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
            Ended::failed(format_args!(
                "{} is in use by {holder}: ask the running relay with --admin URL instead of --store, or stop it first",
                dir.display()
            ))
        }
        e => e.into(),
    }
}

fn view(state: &CursorState, store: &Store) -> Result<Value, Ended> {
    shown(&cursor_view(state, store.positions().visible_seq.0))
}

fn shown(value: &impl Serialize) -> Result<Value, Ended> {
    serde_json::to_value(value).map_err(Ended::failed)
}
