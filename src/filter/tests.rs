use std::sync::Arc;

use jiff::tz::TimeZone;

use super::*;
use crate::binlog::RowsEvent;
use crate::binlog::event::{Dialect, Event, FormatDescription};
use crate::change::binlog_rows::*;
use crate::change::plan::Planner;

const GENERAL_CI: u16 = 45;
const AI_CI: u16 = 255;
const LATIN1: u16 = 8;
const UTF8MB3: u16 = 33;
const BINARY: u16 = 63;
const SPANISH: u16 = 231;
const UNICODE_CI: u16 = 224;

fn columns() -> Vec<Col> {
    vec![
        int("id", 3, false).key(),
        int("big", 8, true),
        decimal_col("price", 10, 2),
        Col { unsigned: Some(false), ..col("ratio", 5, &[8]) },
        varchar("name", 20, GENERAL_CI, 4),
        varchar("nopad", 20, AI_CI, 4),
        varchar("west", 20, LATIN1, 1),
        varchar("bytes", 20, BINARY, 1),
        fixed("fixed", 4, BINARY),
        col("day", 10, &[]),
        col("at", 18, &[3]),
        col("seen", 17, &[0]),
        col("clock", 19, &[0]),
        labelled("state", 247, 1, &["new", "Paid"], GENERAL_CI),
        labelled("tags", 248, 1, &["a", "b", "c"], GENERAL_CI),
        col("bits", 16, &[4, 1]),
        col("year", 13, &[]),
        col("doc", 245, &[4]),
        varchar("other", 20, SPANISH, 4),
        varchar("three", 20, UTF8MB3, 3),
        varchar("uca", 20, UNICODE_CI, 4),
    ]
}

fn values() -> Image {
    image(&[
        le(7, 4),
        le(-1, 8),
        decimal("12.50", 10, 2),
        Some(1.5f64.to_le_bytes().to_vec()),
        text("Straße "),
        text("12abc"),
        Some(b"caf\xe9".to_vec()),
        text("ab"),
        text("x"),
        date(2024, 2, 29),
        datetime2([2024, 2, 29], [12, 34, 56], 500_000, 3),
        timestamp2(1_709_210_096, 0, 0),
        time2(true, [10, 0, 0], 0, 0),
        Some(vec![2]),
        Some(vec![0b101]),
        Some(vec![0x0f, 0xff]),
        Some(vec![124]),
        None,
        text("x"),
        None,
        text("a%b"),
    ])
}

fn plan() -> Arc<TablePlan> {
    let description = FormatDescription::parse(&format_description("9.7.4")).expect("a format description");
    let map = table_map(9, "shop", "orders", &columns(), true);
    let event = Event::parse(&map, description.checksum).expect("an event");
    Planner::new().plan(&event, &description, None).expect("a table map").expect("a plan")
}

fn session() -> Session {
    let zone = TimeZone::fixed(jiff::tz::offset(8));
    Session { dialect: Dialect::MySql, version: (9, 7, 4), zone }
}

/// Gives the changes of one event to `each`.
fn with_rows(kind: u8, images: &[Image], mut each: impl FnMut(&RowChange<'_>)) {
    let description = FormatDescription::parse(&format_description("9.7.4")).expect("a format description");
    let plan = plan();
    let raw = rows(kind, 9, &columns(), images, 1);
    let event = Event::parse(&raw, description.checksum).expect("an event");
    let event = RowsEvent::parse(&event, &description).expect("a rows event");
    for (index, row) in event.rows(&plan.defs).enumerate() {
        let row = row.expect("a row");
        each(&RowChange { index: index as u32, before: row.before, after: row.after });
    }
}

fn compiled(text: &str, session: &Session) -> Result<Filter, FilterError> {
    Filter::parse(text)?.compile(&plan(), session)
}

fn evaluated(text: &str, session: &Session) -> Result<Option<bool>, EvalError> {
    let filter = compiled(text, session).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut answer = None;
    with_rows(30, &[values()], |row| answer = Some(filter.evaluate(row.after.expect("an insert"), None)));
    answer.expect("one row")
}

fn refused(text: &str) -> String {
    compiled(text, &session()).map(|_| ()).expect_err(text).to_string()
}

#[test]
fn conditions_hold_or_not_or_are_null() {
    for (expected, texts) in [
        (
            Some(true),
            &[
                "id = 7",
                "id in (1, 7.0, null)",
                "big > 9223372036854775807",
                "big = 18446744073709551615",
                "big = '18446744073709551615'",
                "id = 0x07 and big > x'7f'",
                "price = 12.5",
                "price = '12.50'",
                "price between 12 and 12.50",
                "price / 3 = 4.166667",
                "price % 5 = 2.5",
                "-price + abs(-1) = -11.5",
                "ratio * 2 = 3",
                "name = 'STRASE'",
                "name like 'stra%'",
                "name not like 'straße'",
                "name = 0",
                "nopad = 12",
                "nopad <> '12abc '",
                "west = 'CAFÉ'",
                "length(west) = 4 and char_length(name) = 7 and length(name) = 8",
                "bytes = 'ab' and bytes <> 'AB'",
                "bytes = 0x6162",
                "fixed <> 'x' and length(fixed) = 4",
                "day = '2024-02-29' and day < '2024-02-29 00:00:01'",
                "day > date'2024-02-28'",
                "at >= '2024-02-29 12:34:56.5'",
                "date(at) = day and year(at) = 2024 and month(at) = 2 and day(at) = 29",
                "seen = '2024-02-29 20:34:56'",
                "unix_timestamp(seen) = 1709210096",
                "unix_timestamp(at) = 1709181296.5",
                "from_unixtime(0) = '1970-01-01 08:00:00'",
                "clock = '-10:00:00' and clock < '00:00:00'",
                "state = 'paid' and state = 2 and state + 0 = 2",
                "tags = 'A,C' and tags = 5",
                "bits = 4095",
                "year = 2024",
                "doc is null and three is null",
                "id is not null",
                "lower(name) = upper(name)",
                "substring(nopad, 1, 2) = '12' and substring(nopad, -3) = 'ABC'",
                "concat(id, '-', day) = '7-2024-02-29'",
                "coalesce(three, 'straße') = 'STRASE'",
                "ifnull(three, 'x') = 'X'",
                "three <=> null and not (id <=> null)",
                "mod(id, 4) = 3",
                "id / 0 is null",
                "id",
                "id = 7 or three = 'x'",
                "not (id = 8 and three = 'x')",
                "at like '2024-02-29 12:__:56.5%'",
                "day like '%-02-%'",
            ][..],
        ),
        (
            Some(false),
            &[
                "id < 7",
                "id not in (7, null)",
                "big < 0",
                "price = 12.51",
                "nopad = '12abc '",
                "bytes = 'AB'",
                "state = 'new'",
                "three = 'x' and id = 8",
                "name",
            ],
        ),
        (
            None,
            &[
                "three = 'x'",
                "three in ('a', 'b')",
                "id in (1, null)",
                "id not in (1, null)",
                "not (three = 'x')",
                "id = 7 and three = 'x'",
                "id = 8 or three like 'x'",
                "id + null > 3",
                "concat(three, 'y') = 'x'",
                "id % 0 = 1",
                "null",
            ],
        ),
    ] {
        for text in texts {
            assert_eq!(evaluated(text, &session()), Ok(expected), "{text}");
        }
    }
}

#[test]
fn what_is_out_of_range_on_the_server_is_an_error_here() {
    for (text, kind) in [
        ("id - big > 0", "BIGINT UNSIGNED"),
        ("big + 1 > 0", "BIGINT UNSIGNED"),
        ("-big < 0", "BIGINT"),
        ("id * 9223372036854775807 > 0", "BIGINT"),
        ("ratio * 1e308 * 1e308 > 0", "DOUBLE"),
    ] {
        let error = evaluated(text, &session()).expect_err(text);
        assert!(matches!(error, EvalError::Range { kind: found, .. } if found == kind), "{text}: {error}");
    }
    assert_eq!(
        evaluated("id - big > 0", &session()).expect_err("out of range").to_string(),
        "filter, line 1, column 4: BIGINT UNSIGNED value is out of range"
    );
    assert_eq!(evaluated("id = 8 and id - big > 0", &session()), Ok(Some(false)), "it is not computed");
}

#[test]
fn what_servers_evaluate_in_ways_of_their_own_is_refused_by_name_and_place() {
    for (text, message) in [
        ("idd = 1", "line 1, column 1: table shop.orders has no column idd; is it id?"),
        ("nothing = 1", "line 1, column 1: table shop.orders has no column nothing"),
        (
            "id = 1 and\n  doc = '{}'",
            "line 2, column 3: = cannot be used with column doc (json): only IS NULL can be asked of it",
        ),
        ("day = '2024-2-29'", "line 1, column 7: '2024-2-29' is not a date written YYYY-MM-DD or YYYY-MM-DD hh:mm:ss"),
        (
            "day = '2023-02-29'",
            "line 1, column 7: '2023-02-29' is not a date written YYYY-MM-DD or YYYY-MM-DD hh:mm:ss",
        ),
        (
            "day = 20240229",
            "line 1, column 7: a date cannot be used with the number 20240229: compare it with a date in quotes or another date column",
        ),
        (
            "day = name",
            "line 1, column 7: a date cannot be used with column name (varchar(20)): compare it with a date in quotes or another date column",
        ),
        (
            "clock = '10:00:00.5'",
            "line 1, column 9: text in quotes is not a time written hh:mm:ss, with no more digits behind the point than the column keeps",
        ),
        ("other = 'x'", "line 1, column 1: text in collation utf8mb4_spanish_ci cannot be compared in a filter"),
        (
            "name = nopad",
            "line 1, column 8: text in collation utf8mb4_general_ci cannot be compared or joined with text in utf8mb4_0900_ai_ci",
        ),
        ("west = '你'", "line 1, column 8: text in quotes is not text in the character set of the column"),
        ("three = '😀'", "line 1, column 9: text in quotes is not text in the character set of the column"),
        (
            "year = 20",
            "line 1, column 8: = cannot be used with the number 20: compare a YEAR column with 0, or a year from 1901 to 2155",
        ),
        (
            "mod(38764, 17.625e0) < year",
            "line 1, column 1: < cannot be used with a result of %: compare a YEAR column with 0, or a year from 1901 to 2155",
        ),
        (
            "year in (2000, -5)",
            "line 1, column 16: IN cannot be used with the number -5: compare a YEAR column with 0, or a year from 1901 to 2155",
        ),
        ("name in ('a', 1)", "line 1, column 15: IN cannot be used with the number 1: give it a list of one type"),
        (
            "length(ratio) = 3",
            "line 1, column 8: LENGTH cannot be used with column ratio (double): servers write such numbers in different ways",
        ),
        ("day + 1 > 0", "line 1, column 1: + cannot be used with column day (date): compute with numbers"),
        ("day", "line 1, column 1: a condition cannot be used with column day (date): compare it with something"),
        (
            "coalesce(id, name) = 1",
            "line 1, column 10: COALESCE cannot be used with column id (int): give it values of one type",
        ),
        (
            "big = 0xffffffffffffffff",
            "line 1, column 7: = cannot be used with a hexadecimal literal: compare a column of text, bytes or whole numbers with it",
        ),
        ("day = date'2024-02-30'", "line 1, column 7: '2024-02-30' is not a date written YYYY-MM-DD"),
    ] {
        assert_eq!(refused(text), message, "{text}");
    }
}

#[test]
fn servers_that_differ_are_told_apart() {
    let with = |dialect, version| Session { dialect, version, ..session() };
    let (old, maria) = (with(Dialect::MySql, (5, 6, 24)), with(Dialect::MariaDB, (10, 11, 19)));
    // 7 / 3: rounded to four digits at once, kept with nine, or rounded when compared.
    for (text, new, of_old, of_maria) in [
        ("id / 3 = 2.3333", Some(true), Some(false), Some(true)),
        ("id / 3 = 2.333333333", Some(false), Some(true), Some(false)),
        ("id / 3 * 3 = 6.9999", Some(true), Some(false), Some(false)),
        ("id / 3 * 3 = 7", Some(false), Some(false), Some(true)),
        ("unix_timestamp('2040-01-01') = 0", Some(false), Some(true), None),
    ] {
        assert_eq!(evaluated(text, &session()), Ok(new), "{text}");
        assert_eq!(evaluated(text, &old), Ok(of_old), "{text}");
        assert_eq!(evaluated(text, &maria), Ok(of_maria), "{text}");
    }
    // Read again without its escape, `%` would be any text.
    let forgotten = "uca like 'a%\\%'";
    assert_eq!(evaluated(forgotten, &session()), Ok(Some(false)));
    assert_eq!(evaluated(forgotten, &maria), Ok(Some(false)));
    let error = compiled(forgotten, &old).map(|_| ()).expect_err("not said by every server");
    assert_eq!(
        error.to_string(),
        "line 1, column 10: LIKE cannot be used with text in quotes: before 8.0 the server forgets the escape behind % in this collation"
    );
    assert!(compiled("uca like uca", &old).is_err());
    assert_eq!(evaluated("uca like 'a\\%%' and uca like '%\\%%' and name not like '%\\%'", &old), Ok(Some(true)));
    // Zero with a sign: MariaDB lets a list of texts pass it by, and `=` does not.
    assert_eq!(evaluated("-(price) % price in ('0', '12')", &session()), Ok(Some(true)));
    assert!(compiled("-(price) % price in ('0', '12')", &maria).is_err());
    assert!(compiled("price in ('0', '12') and price % 5 in (0, 12)", &maria).is_ok());
    // A number of 19 digits may be greater than any that has a sign.
    let great = "id between 9264734719052993581 and 0";
    assert_eq!(evaluated(great, &session()), Ok(Some(false)));
    assert!(compiled(great, &old).is_err_and(|error| error.to_string().contains("great numbers for negative ones")));
    assert!(compiled("id between 0 and 1000000000000000000", &old).is_ok());
    // A no-break space is a blank to MariaDB where it makes whole numbers of bytes, and of text in sets of one byte.
    for blank in ["bytes = 1", "west in (1, 2)", "west between 1 and 2", "id = fixed", "west and id"] {
        assert!(compiled(blank, &session()).is_ok(), "{blank}: {:?}", compiled(blank, &session()).map(|_| ()));
        assert!(compiled(blank, &maria).is_err(), "{blank}");
    }
    for other in ["bytes = 1.0", "west + 0 = 1", "name = 1", "name and id", "state = 1", "west > 1e0"] {
        assert!(compiled(other, &maria).is_ok(), "{other}: {:?}", compiled(other, &maria).map(|_| ()));
    }
    let between = compiled("id / 3 > 1", &with(Dialect::MySql, (8, 0, 36))).map(|_| ()).expect_err("not known");
    assert!(between.to_string().contains("rounds in a way of its own"), "{between}");
    let summer = Session { zone: TimeZone::get("Europe/Berlin").expect("a zone"), ..session() };
    assert!(compiled("unix_timestamp(at) > 0", &summer).is_err());
    assert_eq!(evaluated("unix_timestamp(seen) = 1709210096", &summer), Ok(Some(true)));
    assert_eq!(evaluated("seen = '2024-02-29 13:34:56'", &summer), Ok(Some(true)));
}

#[test]
fn changes_are_judged_by_both_images() {
    let old = values();
    let mut new = values();
    new[0] = Some(le(9, 4));
    for (text, both, before) in [
        ("id > 5", Verdict::Keep, Verdict::Keep),
        ("id = 7", Verdict::AsDelete, Verdict::AsDelete),
        ("id = 9", Verdict::AsInsert, Verdict::Drop),
        ("id = 1", Verdict::Drop, Verdict::Drop),
        ("three = 'x'", Verdict::Drop, Verdict::Drop),
    ] {
        let filter = compiled(text, &session()).expect(text);
        with_rows(31, &[old.clone(), new.clone()], |row| {
            assert_eq!(filter.judge(row, Op::Update, FilterImages::Both), Ok(both), "{text}");
            assert_eq!(filter.judge(row, Op::Update, FilterImages::Before), Ok(before), "{text}");
        });
    }
    let filter = compiled("id = 7", &session()).expect("a filter");
    with_rows(30, &[old.clone(), new.clone()], |row| {
        let expected = if row.index == 0 { Verdict::Keep } else { Verdict::Drop };
        assert_eq!(filter.judge(row, Op::Insert, FilterImages::Before), Ok(expected));
        assert_eq!(filter.judge(row, Op::Delete, FilterImages::Both), Err(EvalError::NoImage("before")));
    });
    with_rows(32, &[old], |row| {
        assert_eq!(filter.judge(row, Op::Delete, FilterImages::Both), Ok(Verdict::Keep));
    });
}

#[test]
fn columns_that_an_after_image_lacks_are_those_of_before_and_others_are_missed() {
    let mut old: Image = vec![None; columns().len()];
    let mut new = old.clone();
    old[0] = Some(le(7, 4));
    old[2] = Some(decimal("12.50", 10, 2));
    new[2] = Some(decimal("13.00", 10, 2));
    let judged = |text: &str| {
        let filter = compiled(text, &session()).expect(text);
        let mut verdict = None;
        with_rows(31, &[old.clone(), new.clone()], |row| {
            verdict = Some(filter.judge(row, Op::Update, FilterImages::Both))
        });
        verdict.expect("one row")
    };
    assert_eq!(judged("id = 7 and price = 13"), Ok(Verdict::AsInsert));
    assert_eq!(judged("name = 'x'"), Err(EvalError::Absent { column: "name".into() }));
    assert_eq!(judged("1 = 1"), Ok(Verdict::Keep));
}

#[test]
fn many_columns_are_read_in_one_pass() {
    let all = "id = 7 and big > 1 and price > 1 and ratio > 1 and name > '' and nopad > '' and west > '' and bytes > '' \
               and day > '2000-01-01' and at > '2000-01-01' and seen > '2000-01-01' and clock < '00:00:00'";
    assert_eq!(evaluated(all, &session()), Ok(Some(true)));
}

/// Texts of conditions cut, joined and changed at random places: each is taken or refused, none is a panic.
#[test]
fn no_text_makes_a_filter_panic() {
    let seeds = [
        "id = 7 and (price / 3 > 1.5e-1 or name like 'a\\%_' escape '|')",
        "coalesce(three, name, 'x') not in ('a', \"b\", null) -- x",
        "mod(big, 0x1F) between -9223372036854775808 and 18446744073709551616",
        "date(at) <=> date'2024-02-29' or unix_timestamp(seen) * 1e308 is not null",
        "substring(concat(west, 'é你'), -3, 2) >= lower(upper(`name`)) % X'4D'",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let (plan, session) = (plan(), session());
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut text: Vec<char> = seeds[random(seeds.len())].chars().collect();
        for _ in 0..random(4) {
            let other: Vec<char> = seeds[random(seeds.len())].chars().collect();
            let (from, to) = (random(text.len() + 1), random(text.len() + 1));
            let (a, b) = (random(other.len() + 1), random(other.len() + 1));
            text.splice(from.min(to)..from.max(to), other[a.min(b)..a.max(b)].iter().copied());
            text.truncate(400);
        }
        let text: String = text.into_iter().collect();
        if let Ok(filter) = Filter::parse(&text).and_then(|parsed| parsed.compile(&plan, &session)) {
            accepted += 1;
            with_rows(30, &[values()], |row| drop(filter.judge(row, Op::Insert, FilterImages::Both)));
        }
    }
    assert!(accepted > 1000, "{accepted}");
}
