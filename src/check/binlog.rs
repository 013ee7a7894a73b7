//! `binlog.*`: whether the server writes what the relay needs to read, and keeps it for long enough.

use super::Item;
use crate::capture::facts::ServerFacts;
use crate::capture::position::{PositionError, Reason, ResumePoint};
use crate::config::Source;
use crate::failure::{Class, Failure};

/// The item that says whether the source can continue the log.
pub(super) const FILES: &str = "binlog.files";

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// Everything that follows from the facts, and from where the stream would resume when that is known.
pub(super) fn items(
    facts: &ServerFacts,
    config: &Source,
    resume: Option<&Result<ResumePoint, PositionError>>,
) -> Vec<Item> {
    if !enabled(facts) {
        return vec![Item::fail("binlog.enabled", "the server writes no binlog", "set log_bin and restart the server")];
    }
    vec![
        Item::pass("binlog.enabled", "log_bin is ON"),
        format(facts),
        row_image(facts, config.allow_partial_images),
        json_partial(facts),
        metadata(facts),
        compression(facts),
        files(facts, resume),
        retention(facts),
        checksum_encrypt(facts),
    ]
}

fn enabled(facts: &ServerFacts) -> bool {
    let polar = ["loose_polar_log_bin", "polar_log_bin"];
    facts.is_on("log_bin") && polar.iter().all(|name| facts.variable(name).is_none() || facts.is_on(name))
}

fn format(facts: &ServerFacts) -> Item {
    const ID: &str = "binlog.format";
    match facts.variable("binlog_format") {
        // 9.x may lose the variable together with the other formats.
        None => Item::pass(ID, "the server writes rows only"),
        Some(format) if format.eq_ignore_ascii_case("row") => Item::pass(ID, "binlog_format is ROW"),
        Some(format) => Item::fail(
            ID,
            format!("binlog_format is {format}: changes are logged as statements, which hold no rows"),
            "SET GLOBAL binlog_format = ROW, and let sessions that are open reconnect",
        ),
    }
}

fn row_image(facts: &ServerFacts, allowed: bool) -> Item {
    const ID: &str = "binlog.row_image";
    let image = facts.variable("binlog_row_image").unwrap_or("FULL");
    if image.eq_ignore_ascii_case("full") {
        return Item::pass(ID, "binlog_row_image is FULL");
    }
    let finding = format!("binlog_row_image is {image}: unchanged columns are missing from the changes");
    let remedy = "SET GLOBAL binlog_row_image = FULL, and let sessions that are open reconnect";
    match allowed {
        true => Item::warn(ID, finding, remedy),
        false => Item::fail(ID, finding, format!("{remedy}; or set source.allow_partial_images = true")),
    }
}

fn json_partial(facts: &ServerFacts) -> Item {
    const ID: &str = "binlog.json_partial";
    match facts.variable("binlog_row_value_options") {
        None | Some("") => Item::pass(ID, "whole JSON values are logged"),
        Some(options) => Item::warn(
            ID,
            format!("binlog_row_value_options is {options}: updates of JSON hold only what changed"),
            "SET GLOBAL binlog_row_value_options = ''; until then changes are applied to the before image",
        ),
    }
}

fn metadata(facts: &ServerFacts) -> Item {
    const ID: &str = "binlog.metadata";
    match facts.variable("binlog_row_metadata") {
        Some(metadata) if metadata.eq_ignore_ascii_case("full") => Item::pass(ID, "binlog_row_metadata is FULL"),
        Some(metadata) => Item::warn(
            ID,
            format!("binlog_row_metadata is {metadata}: names and types come from following the DDL statements"),
            "SET GLOBAL binlog_row_metadata = FULL",
        ),
        None => {
            Item::pass(ID, "this version has no row metadata; names and types come from following the DDL statements")
        }
    }
}

fn compression(facts: &ServerFacts) -> Item {
    let on = facts.is_on("binlog_transaction_compression") || facts.is_on("log_bin_compress");
    Item::pass("binlog.compression", if on { "on; unpacked at capture" } else { "off" })
}

fn files(facts: &ServerFacts, resume: Option<&Result<ResumePoint, PositionError>>) -> Item {
    const ID: &str = FILES;
    let begin = match resume {
        Some(Err(error)) => {
            let item = Item::fail(ID, error.to_string(), error.next_step().unwrap_or_default()).exits(error.exit());
            // A server that still applies, or one that may come back, is waited for.
            return if error.class() == Class::Transient { item.unreachable() } else { item };
        }
        None => String::new(),
        Some(Ok(point)) => match &point.reason {
            Reason::FirstStart => "a new log can begin where source.start says; ".to_owned(),
            Reason::Continue => "the log can go on; ".to_owned(),
            Reason::Failover { from } => format!("the log can go on here after a failover from {from}; "),
        },
    };
    match (facts.binlogs.first(), facts.binlogs.last()) {
        (Some(first), Some(last)) => {
            let bytes: u64 = facts.binlogs.iter().map(|file| file.size).sum();
            let count = facts.binlogs.len();
            let size = bytesize::ByteSize(bytes);
            Item::pass(ID, format!("{begin}{count} files, {} to {}, {size}", first.name, last.name))
        }
        _ => Item::fail(ID, "no binlog file is shown", "GRANT REPLICATION CLIENT ON *.* to the relay's account"),
    }
}

fn retention(facts: &ServerFacts) -> Item {
    const ID: &str = "binlog.retention";
    let Some(seconds) = facts.binlog_retention_seconds() else {
        return Item::pass(ID, "binlogs are kept until they are purged by hand");
    };
    let finding = format!("binlogs are kept for {:.1} days", seconds as f64 / DAY as f64);
    let remedy = "SET GLOBAL binlog_expire_logs_seconds = 604800 (expire_logs_days = 7 before 8.0)";
    match seconds {
        _ if seconds >= 7 * DAY => Item::pass(ID, finding),
        _ if seconds >= DAY => {
            Item::warn(ID, format!("{finding}: an outage that is longer loses the position"), remedy)
        }
        _ => Item::fail(ID, format!("{finding}, less than one day"), remedy),
    }
}

fn checksum_encrypt(facts: &ServerFacts) -> Item {
    let checksum = facts.variable("binlog_checksum").unwrap_or("NONE");
    let encrypted = facts.is_on("binlog_encryption") || facts.is_on("encrypt_binlog");
    let at_rest =
        if encrypted { "encrypted at rest, which the server undoes for readers" } else { "not encrypted at rest" };
    Item::pass("binlog.checksum_encrypt", format!("checksum {checksum}; {at_rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Level;
    use crate::failure::Exit;

    fn with(name: &str, value: &str) -> ServerFacts {
        let mut facts = ServerFacts::example();
        facts.variables.insert(name.to_owned(), value.to_owned());
        facts
    }

    fn level(item: Item) -> Level {
        assert_eq!(item.level == Level::Pass, item.remedy.is_empty(), "{item:?}");
        item.level
    }

    #[test]
    fn a_server_as_it_should_be_passes_everything() {
        let facts = ServerFacts::example();
        let checks = [format, json_partial, metadata, compression, retention, checksum_encrypt];
        assert!(checks.iter().all(|check| level(check(&facts)) == Level::Pass));
        assert!(enabled(&facts));
    }

    #[test]
    fn settings_that_lose_rows_fail() {
        assert_eq!(level(format(&with("binlog_format", "MIXED"))), Level::Fail);
        assert_eq!(level(format(&with("binlog_format", "STATEMENT"))), Level::Fail);
        assert!(!enabled(&with("log_bin", "OFF")));
        assert!(!enabled(&with("loose_polar_log_bin", "OFF")));
        for image in ["MINIMAL", "NOBLOB", "FULL_NODUP"] {
            assert_eq!(level(row_image(&with("binlog_row_image", image), false)), Level::Fail);
            assert_eq!(level(row_image(&with("binlog_row_image", image), true)), Level::Warn);
        }
    }

    #[test]
    fn settings_that_cost_something_warn() {
        assert_eq!(level(json_partial(&with("binlog_row_value_options", "PARTIAL_JSON"))), Level::Warn);
        assert_eq!(level(metadata(&with("binlog_row_metadata", "MINIMAL"))), Level::Warn);
        assert_eq!(level(metadata(&with("binlog_row_metadata", "NO_LOG"))), Level::Warn);
    }

    #[test]
    fn retention_is_read_from_whichever_variable_the_server_has() {
        let of = |seconds: &str, days: &str| {
            let mut facts = with("binlog_expire_logs_seconds", seconds);
            facts.variables.insert("expire_logs_days".into(), days.into());
            level(retention(&facts))
        };
        assert_eq!(of("604800", "0"), Level::Pass);
        assert_eq!(of("604799", "0"), Level::Warn);
        assert_eq!(of("3600", "0"), Level::Fail);
        assert_eq!(of("0", "3.000000"), Level::Warn);
        assert_eq!(of("0", "0"), Level::Pass, "kept for ever");
        let mut by_hand = with("binlog_expire_logs_auto_purge", "OFF");
        by_hand.variables.insert("binlog_expire_logs_seconds".into(), "60".into());
        assert_eq!(level(retention(&by_hand)), Level::Pass);
    }

    #[test]
    fn a_position_that_is_lost_fails_with_its_own_remedy() {
        let error = PositionError::FilePurged { file: "bin.000001".into(), oldest: "bin.000007".into() };
        let item = files(&ServerFacts::example(), Some(&Err(error)));
        assert!(item.finding.contains("bin.000007"), "{item:?}");
        assert_eq!(item.exit, Exit::Source);
        assert_eq!(level(item), Level::Fail);
        let behind = PositionError::ServerBehind { address: "db2:3306".into(), extra: "a:1".into() };
        assert!(files(&ServerFacts::example(), Some(&Err(behind))).unreachable, "it catches up");
    }
}
