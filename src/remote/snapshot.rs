//! `relay snapshot`: starts, stops and shows the copy of tables of a relay that runs.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::bars::lines;
use super::{Remote, RemoteError};

/// How often a watched copy is asked how it is.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// What is asked of the copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Copy these tables, again if they were copied before.
    Start(Vec<String>),
    /// End the copies of these tables where they are.
    Stop(Vec<String>),
    /// End reading, all of it, until it is resumed.
    Pause,
    /// Go on.
    Resume,
    /// Say how far it is.
    Status {
        /// Until nothing is left to do.
        watch: bool,
        /// As the API says it.
        json: bool,
    },
}

/// Does it, and prints what came of it.
///
/// # Errors
/// No answer, or a refusal; of several tables the first one that is refused, after those before it.
pub fn run(remote: &Remote, act: &Act, out: &mut impl Write) -> Result<(), RemoteError> {
    match act {
        Act::Start(tables) => each(remote, "start", tables, "is to be copied", out),
        Act::Stop(tables) => each(remote, "stop", tables, "is to stop", out),
        Act::Pause => {
            remote.post("snapshot/pause", &json!({}))?;
            Ok(writeln!(out, "the copy of tables pauses; relay snapshot resume goes on with it")?)
        }
        Act::Resume => {
            remote.post("snapshot/resume", &json!({}))?;
            Ok(writeln!(out, "the copy of tables goes on")?)
        }
        Act::Status { watch: false, json } => show(&remote.get("snapshot")?, *json, out),
        Act::Status { watch: true, json } => watch(remote, *json, out),
    }
}

fn each(
    remote: &Remote,
    verb: &str,
    tables: &[String],
    becomes: &str,
    out: &mut impl Write,
) -> Result<(), RemoteError> {
    for table in tables {
        remote.post(&format!("snapshot/{verb}"), &json!({ "table": table }))?;
        writeln!(out, "{table} {becomes}")?;
    }
    Ok(())
}

fn show(facts: &Value, json: bool, out: &mut impl Write) -> Result<(), RemoteError> {
    if json {
        writeln!(out, "{facts}")?;
    } else {
        out.write_all(lines(facts, true).as_bytes())?;
    }
    Ok(())
}

/// Shows it again and again, on a terminal in place, until it is over.
fn watch(remote: &Remote, json: bool, out: &mut impl Write) -> Result<(), RemoteError> {
    let in_place = !json && std::io::stdout().is_terminal();
    let mut shown = 0;
    loop {
        let facts = remote.get("snapshot")?;
        if json {
            writeln!(out, "{facts}")?;
        } else {
            let text = lines(&facts, false);
            if in_place && shown > 0 {
                // Back to the first line, and away with what is below.
                write!(out, "\x1b[{shown}A\x1b[J")?;
            }
            shown = text.lines().count();
            out.write_all(text.as_bytes())?;
        }
        out.flush()?;
        if is_over(&facts) {
            return Ok(());
        }
        std::thread::sleep(WATCH_EVERY);
    }
}

/// Whether nothing moves any more before someone does something.
fn is_over(facts: &Value) -> bool {
    facts["mode"] == "never"
        || matches!(facts["state"].as_str(), Some("completed" | "paused" | "parked" | "failed" | "stopped"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_ends_when_nothing_moves() {
        for (mode, state, over) in [
            ("initial", "snapshot", false),
            ("initial", "retrying", false),
            ("initial", "completed", true),
            ("adhoc", "paused", true),
            ("never", "starting", true),
        ] {
            assert_eq!(is_over(&json!({"mode": mode, "state": state})), over, "{mode} {state}");
        }
    }
}
