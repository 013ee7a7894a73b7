//! Dates and times.

use super::super::super::ScriptOptions;
use super::super::super::tests::{set_to, value};
use super::{gives, types};

#[test]
fn dt_now_and_dt_now_millis() {
    types(&[
        ("dt_now()", "datetime: 2026-01-01 00:06:39"),
        ("dt_now_millis()", "datetime(3): 2026-01-01 00:06:39.876"),
    ]);
    gives(&[("dt_now(1)", "compile: wrong number of arguments: expected dt_now()")]);
}

#[test]
fn dt_fromtimestamp() {
    types(&[
        ("dt_fromtimestamp(1767225930)", "datetime: 2026-01-01 00:05:30"),
        ("dt_fromtimestamp(1767225930, 'GMT+08')", "datetime: 2026-01-01 08:05:30"),
        ("dt_fromtimestamp(1767225930, 'Asia/Shanghai')", "datetime: 2026-01-01 08:05:30"),
        ("dt_fromtimestamp_millis(1767225930123, '+08:00')", "datetime(3): 2026-01-01 08:05:30.123"),
        ("dt_fromtimestamp(`n`)", "datetime: NULL"),
    ]);
    let options = ScriptOptions { zone: jiff::tz::TimeZone::fixed(jiff::tz::offset(8)), ..ScriptOptions::default() };
    assert_eq!(set_to("dt_fromtimestamp(1767225930)", &options), "datetime: 2026-01-01 08:05:30");
    assert_eq!(set_to("`ts`", &options), "timestamp: 2026-01-01 00:05:30");
    assert_eq!(set_to("cast_to_string(`ts`)", &options), "longtext: 2026-01-01 08:05:30");
    assert!(value("dt_fromtimestamp(1, 'Mars')").starts_with("compile: expected a zone"));
    assert_eq!(value("dt_fromtimestamp(1, `name`)"), "failed: dt_fromtimestamp: the text is not a zone");
    assert_eq!(value("dt_fromtimestamp(1e15)"), "compile: dt_fromtimestamp: the moment is out of range");
}

#[test]
fn dt_parsetimestamp() {
    types(&[
        ("dt_parsetimestamp('2026-01-01 00:05:30')", "bigint: 1767225930"),
        ("dt_parsetimestamp('2026-01-01 08:05:30', 'GMT+08')", "bigint: 1767225930"),
        ("dt_parsetimestamp_millis(`at`)", "bigint: 1706696430456"),
        ("dt_parsetimestamp(`born`)", "bigint: 1709164800"),
        ("dt_parsetimestamp(`n`)", "bigint: NULL"),
    ]);
    gives(&[
        ("dt_parsetimestamp('soon')", "compile: dt_parsetimestamp: the text is not a datetime"),
        ("dt_parsetimestamp('0000-00-00')", "compile: dt_parsetimestamp: the date is in no calendar"),
    ]);
}

#[test]
fn dt_str() {
    gives(&[
        ("dt_str(`at`, 'yyyy/MM/dd HH:mm:ss.SSS')", "2024/01/31 10:20:30.456"),
        ("dt_str(`born`, 'dd.MM.yy')", "29.02.24"),
        ("dt_str(`at`, `n`)", "NULL"),
        ("dt_str(`n`, 'yyyy')", "NULL"),
        ("dt_str(`word`, 'yyyy')", "failed: dt_str: the text is not a datetime"),
    ]);
    assert!(value("dt_str(`at`, 'xx')").starts_with("compile: expected a format"));
}

#[test]
fn dt_strptime() {
    types(&[
        ("dt_strptime('2021-01-01 22:10:01', 'yyyy-MM-dd hh:mm:ss')", "datetime: 2021-01-01 22:10:01"),
        ("dt_strptime('20210101', 'yyyyMMdd')", "datetime: 2021-01-01 00:00:00"),
        ("dt_strptime(`n`, 'yyyy')", "datetime(6): NULL"),
    ]);
    gives(&[
        ("dt_strptime('2021', 'MM')", "compile: dt_strptime: the text is not a datetime of this format"),
        ("dt_strptime(`name`, 'yyyy')", "failed: dt_strptime: the text is not a datetime of this format"),
    ]);
}

#[test]
fn dt_add() {
    gives(&[
        ("dt_add(`at`, months = 1)", "2024-02-29 10:20:30.456"),
        ("dt_add(`at`, years = -1, months = 1)", "2023-02-28 10:20:30.456"),
        ("dt_add(`at`, days=1, hours=-11, minutes=1, seconds=31)", "2024-01-31 23:22:01.456"),
        ("dt_add(DATETIME('2021-01-01 10:10:01'), days = 1)", "2021-01-02 10:10:01"),
        ("dt_add(`born`, years = 1)", "2025-02-28 00:00:00"),
        ("dt_add(`at`)", "2024-01-31 10:20:30.456"),
        ("dt_add(`at`, days = `n`)", "NULL"),
        ("dt_add(`at`, years = 9999)", "failed: dt_add: the datetime is out of range"),
        (
            "dt_add(`at`, 1)",
            "compile: wrong number of arguments: expected dt_add(dt, years=, months=, days=, hours=, minutes=, seconds=)",
        ),
        (
            "dt_add(`at`, weeks = 1)",
            "compile: dt_add(dt, years=, months=, days=, hours=, minutes=, seconds=) has no argument called weeks",
        ),
    ]);
}

#[test]
fn dt_add_millis() {
    types(&[
        ("dt_add_millis(`at`, -457)", "datetime(3): 2024-01-31 10:20:29.999"),
        ("dt_add_millis(`ts`, 5)", "datetime(3): 2026-01-01 00:05:30.005"),
        ("dt_add_millis(`n`, 5)", "datetime(6): NULL"),
    ]);
    gives(&[("dt_add_millis(`at`, 1.5)", "failed: dt_add_millis: expected a whole number, found a number")]);
}

#[test]
fn dt_diff() {
    gives(&[
        ("dt_diff(`born`, `at`, 'day')", "28"),
        ("dt_diff(`at`, `born`, 'days')", "-28"),
        ("dt_diff('2024-03-30', '2024-01-31', 'month')", "1"),
        ("dt_diff('2024-03-31', '2023-03-31', 'year')", "1"),
        ("dt_diff('2024-01-01 00:01:30', '2024-01-01', 'minute')", "1"),
        ("dt_diff(`at`, '2024-01-31', 'hour')", "10"),
        ("dt_diff(`at`, '2024-01-31 10:20:30', 'millisecond')", "456"),
        ("dt_diff('2024-01-15', '2024-01-01', 'week')", "2"),
        ("dt_diff(`at`, `n`, 'day')", "NULL"),
        ("dt_diff(`at`, `at`, 'fortnight')", "failed: dt_diff: the text is not a unit such as day, hour or second"),
    ]);
}

#[test]
fn dt_truncate() {
    gives(&[
        ("dt_truncate(`at`, 'year')", "2024-01-01 00:00:00.000"),
        ("dt_truncate(`born`, 'month')", "2024-02-01 00:00:00"),
        ("dt_truncate(`at`, 'week')", "2024-01-29 00:00:00.000"),
        ("dt_truncate(`at`, 'day')", "2024-01-31 00:00:00.000"),
        ("dt_truncate(`at`, 'hour')", "2024-01-31 10:00:00.000"),
        ("dt_truncate(`at`, 'minute')", "2024-01-31 10:20:00.000"),
        ("dt_truncate(`at`, 'second')", "2024-01-31 10:20:30.000"),
        ("dt_truncate(`n`, 'day')", "NULL"),
        ("dt_truncate('0000-00-00', 'day')", "compile: dt_truncate: the date is in no calendar"),
    ]);
}
