//! The columns of a `_log` table beside those of its source, and its partitions.
//!
//! | column | type | holds |
//! |---|---|---|
//! | `record_id` | BIGINT | a number that rises with the log; the same for both rows of an update |
//! | `operation_flag` | STRING | `I`, `U`, `D` |
//! | `utc_timestamp` | BIGINT | seconds since the epoch of the change at the source |
//! | `before_flag`, `after_flag` | STRING | `Y` where the row is as it was before, or after, the change; else `N` |
//! | `modifytime_year` to `modifytime_minute` | STRING | partitions: parts of `utc_timestamp`, zero-padded |
//!
//! The new rule puts `new_dts_sync_` before each name, which then cannot clash with a source column.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use relay_store::Seq;
use serde::{Deserialize, Serialize};

use super::data_type::DataType;
use crate::change::ROWS_MAX;
use crate::format::zone::ZoneClock;

/// How the additional columns are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Naming {
    /// With a prefix.
    #[default]
    New,
    /// Without.
    Previous,
}

/// An additional column that is no partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the table above says what they hold")]
pub enum Additional {
    RecordId,
    OperationFlag,
    UtcTimestamp,
    BeforeFlag,
    AfterFlag,
}

/// A level of partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the parts of a time")]
pub enum Level {
    Year,
    Month,
    Day,
    Hour,
    Minute,
}

/// All additional columns in the order that they have in a table.
pub const ADDITIONAL: [Additional; 5] = [
    Additional::RecordId,
    Additional::OperationFlag,
    Additional::UtcTimestamp,
    Additional::BeforeFlag,
    Additional::AfterFlag,
];

/// All levels, the widest first. A table has the first few, or none.
pub const LEVELS: [Level; 5] = [Level::Year, Level::Month, Level::Day, Level::Hour, Level::Minute];

impl Naming {
    /// A column's name by this rule.
    fn name(self, plain: &str) -> String {
        match self {
            Self::New => format!("new_dts_sync_{plain}"),
            Self::Previous => plain.to_owned(),
        }
    }

    /// The name of an additional column.
    pub fn additional(self, column: Additional) -> String {
        self.name(match column {
            Additional::RecordId => "record_id",
            Additional::OperationFlag => "operation_flag",
            Additional::UtcTimestamp => "utc_timestamp",
            Additional::BeforeFlag => "before_flag",
            Additional::AfterFlag => "after_flag",
        })
    }

    /// The name of a partition column.
    pub fn partition(self, level: Level) -> String {
        self.name(match level {
            Level::Year => "modifytime_year",
            Level::Month => "modifytime_month",
            Level::Day => "modifytime_day",
            Level::Hour => "modifytime_hour",
            Level::Minute => "modifytime_minute",
        })
    }
}

impl Additional {
    /// Its type.
    pub fn data_type(self) -> DataType {
        match self {
            Self::RecordId | Self::UtcTimestamp => DataType::BigInt,
            Self::OperationFlag | Self::BeforeFlag | Self::AfterFlag => DataType::String,
        }
    }
}

/// Entries whose rows have a record id: `seq` below 2^43, so that the id stays above 0.
const SEQ_END: u64 = 1 << 43;

/// The id of a row: the log's place of it, and `base`, which sets a second log apart. None beyond 2^63 - 1.
pub fn record_id(seq: Seq, row: u32, base: i64) -> Option<i64> {
    let place = (seq.0 < SEQ_END && row < ROWS_MAX).then(|| seq.0 * u64::from(ROWS_MAX) + u64::from(row))?;
    i64::try_from(place).ok()?.checked_add(base)
}

/// Which partition of a table a change belongs to.
#[derive(Debug, Clone)]
pub struct Partitions {
    levels: Vec<(Level, String)>,
    clock: ZoneClock,
}

impl Partitions {
    /// The first `levels` of [`LEVELS`], by the clock of a zone.
    pub fn new(levels: usize, naming: Naming, zone: TimeZone) -> Self {
        let levels = LEVELS.into_iter().take(levels).map(|level| (level, naming.partition(level))).collect();
        Self { levels, clock: ZoneClock::new(zone) }
    }

    /// Names of the partition columns, the widest first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.levels.iter().map(|(_, name)| name.as_str())
    }

    /// Appends the partition of a change at this second: `year=2026,month=01`; nothing without partitions.
    pub fn write_spec(&mut self, utc_timestamp: i64, spec: &mut String) {
        if self.levels.is_empty() {
            return;
        }
        let local = self.clock.local(utc_timestamp);
        for (place, (level, name)) in self.levels.iter().enumerate() {
            let value = match level {
                Level::Year => local.year.unsigned_abs(),
                Level::Month => local.month.into(),
                Level::Day => local.day.into(),
                Level::Hour => local.second_of_day / 3600,
                Level::Minute => local.second_of_day / 60 % 60,
            };
            let width = if *level == Level::Year { 4 } else { 2 };
            let comma = if place == 0 { "" } else { "," };
            write!(spec, "{comma}{name}={value:0width$}").expect("a string grows");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_two_rules() {
        let named = |naming: Naming| ADDITIONAL.map(|column| naming.additional(column));
        assert_eq!(
            named(Naming::Previous),
            ["record_id", "operation_flag", "utc_timestamp", "before_flag", "after_flag"]
        );
        assert_eq!(
            named(Naming::New),
            [
                "new_dts_sync_record_id",
                "new_dts_sync_operation_flag",
                "new_dts_sync_utc_timestamp",
                "new_dts_sync_before_flag",
                "new_dts_sync_after_flag"
            ]
        );
        assert_eq!(Naming::New.partition(Level::Minute), "new_dts_sync_modifytime_minute");
    }

    #[test]
    fn a_partition_is_the_time_of_the_change_in_the_zone() {
        let spec = |levels, zone| {
            let mut spec = String::new();
            Partitions::new(levels, Naming::Previous, zone).write_spec(1_767_225_930, &mut spec);
            spec
        };
        assert_eq!(spec(0, TimeZone::UTC), "");
        assert_eq!(spec(3, TimeZone::UTC), "modifytime_year=2026,modifytime_month=01,modifytime_day=01");
        let shanghai = TimeZone::fixed(jiff::tz::offset(8));
        assert_eq!(
            spec(5, shanghai),
            "modifytime_year=2026,modifytime_month=01,modifytime_day=01,modifytime_hour=08,modifytime_minute=05"
        );
    }

    #[test]
    fn record_ids_are_those_of_the_published_rows_and_end_with_the_numbers() {
        assert_eq!(
            [11, 12, 13].map(|seq| record_id(Seq(seq), 0, 0)),
            [Some(11_534_336), Some(12_582_912), Some(13_631_488)]
        );
        assert_eq!(record_id(Seq(1), 3, 1000), Some((1 << 20) + 1003));
        assert_eq!(record_id(Seq(SEQ_END - 1), ROWS_MAX - 1, 0), Some(i64::MAX));
        assert_eq!(record_id(Seq(SEQ_END), 0, 0), None);
        assert_eq!(record_id(Seq(1), ROWS_MAX, 0), None);
        assert_eq!(record_id(Seq(SEQ_END - 1), ROWS_MAX - 1, 1), None);
    }
}
