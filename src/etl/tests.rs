//! Scripts over rows that lie in real events.

mod actions;
mod errors;
mod images;
mod scripts;

use super::*;
use crate::binlog::event::{Checksum, Dialect, Event, FormatDescription};
use crate::binlog::{RowImage, RowsEvent};
use crate::change::binlog_rows::*;
use crate::change::plan::Planner;
use crate::change::{EventPlace, RowsChange, TxInfo};
use crate::format::text::{BinaryForm, EnumForm, OnBadText, Renderer, TextOptions};

pub(super) const INSERT: u8 = 30;
pub(super) const UPDATE: u8 = 31;
pub(super) const DELETE: u8 = 32;

/// 2026-01-01 00:05:30.123456 UTC.
pub(super) const COMMIT_US: u64 = 1_767_225_930_123_456;

/// Rows of one event.
pub(super) struct Rows {
    plan: Arc<TablePlan>,
    event: Vec<u8>,
    tx: TxInfo,
    op: Op,
}

fn description() -> FormatDescription {
    FormatDescription {
        server_version: "9.7.4".into(),
        created: 0,
        post_header_lengths: vec![10; 42],
        checksum: Checksum::None,
        dialect: Dialect::MySql,
    }
}

pub(super) fn plan_of(table: &str, columns: &[Col]) -> Arc<TablePlan> {
    let map = table_map(9, "shop", table, columns, true);
    let event = Event::parse(&map, Checksum::None).expect("an event");
    Planner::new().plan(&event, &description(), None).expect("a map").expect("a plan")
}

impl Rows {
    pub(super) fn new(table: &str, columns: &[Col], kind: u8, images: &[Image]) -> Self {
        let op = match kind {
            INSERT => Op::Insert,
            UPDATE => Op::Update,
            _ => Op::Delete,
        };
        let gtid = "3e11fa47-71ca-11e1-9e33-c80aa9429562:23".to_owned();
        let tx = TxInfo { gtid, commit_time_us: Some(COMMIT_US), ..TxInfo::default() };
        let event = rows(kind, 9, columns, images, 1_767_225_930);
        Self { plan: plan_of(table, columns), event, tx, op }
    }

    pub(super) fn plan(&self) -> &Arc<TablePlan> {
        &self.plan
    }

    pub(super) fn each(&self, mut visit: impl FnMut(&RowsChange<'_>, &RowChange<'_>)) {
        let event = Event::parse(&self.event, Checksum::None).expect("an event");
        let event = RowsEvent::parse(&event, &description()).expect("rows");
        let place = EventPlace { timestamp: 1_767_225_930, server_id: 4, position: 900 };
        let seq = relay_store::Seq(5);
        let change = RowsChange { seq, op: self.op, plan: &self.plan, tx: &self.tx, place, snapshot: false, event };
        for row in change.rows() {
            visit(&change, &row.expect("a row"));
        }
    }

    /// What a script makes of each row, told as `INSERT {a=1, b=x}` or `UPDATE {..} -> {..}`.
    pub(super) fn told(&self, text: &str, options: &ScriptOptions) -> Vec<String> {
        let script = Script::compile(text, options).unwrap_or_else(|e| panic!("{text}: {e}"));
        let bound = script.bind(&self.plan).unwrap_or_else(|e| panic!("{text}: {e}"));
        let mut scratch = Scratch::new();
        scratch.set_now_us(1_767_225_999_876_543);
        let mut lines = Vec::new();
        self.each(|change, row| {
            lines.push(match bound.run(change, row, &mut scratch) {
                Ok(Outcome::Keep) => tell(&self.plan, self.op, row),
                Ok(Outcome::Drop) => "dropped".to_owned(),
                Ok(Outcome::Changed { plan, op, row }) => {
                    assert_eq!(plan.columns, bound.plan().columns, "every row has the columns of the bound plan");
                    tell(plan, op, &row)
                }
                Ok(Outcome::DeadLetter(error)) => format!("dead letter: {error}"),
                Err(error) => format!("failed: {error}"),
            });
        });
        lines
    }
}

pub(super) fn renderer() -> Renderer {
    Renderer::new(TextOptions {
        zone: TimeZone::UTC,
        enums: EnumForm::Label,
        binary: BinaryForm::Hex,
        on_bad_text: OnBadText::Fail,
    })
}

pub(super) fn tell(plan: &TablePlan, op: Op, row: &RowChange<'_>) -> String {
    let mut renderer = renderer();
    let mut image = |image: RowImage<'_>| {
        let mut parts = Vec::new();
        for cell in image.cells() {
            let cell = cell.expect("whole");
            let column = &plan.columns[cell.index];
            if column.dropped {
                continue;
            }
            let mut text = Vec::new();
            let there = renderer.write_text(column, &cell.value().expect("a value"), &mut text).expect("shown");
            let text = String::from_utf8(text).expect("UTF-8");
            parts.push(format!("{}={}", column.name, if there { text.as_str() } else { "NULL" }));
        }
        format!("{{{}}}", parts.join(", "))
    };
    let images: Vec<String> = [row.before, row.after].into_iter().flatten().map(&mut image).collect();
    let op = match op {
        Op::Insert => "INSERT",
        Op::Update => "UPDATE",
        Op::Delete => "DELETE",
    };
    let name = if &*plan.name.database == "shop" { plan.name.table.to_string() } else { plan.name.to_string() };
    format!("{op} {name} {}", images.join(" -> "))
}

/// A table with a column of every kind that functions tell apart, and one row of it.
pub(super) fn everything() -> Rows {
    let columns = [
        int("id", 3, false).key(),
        varchar("name", 60, 255, 4),
        varchar("phone", 20, 255, 4),
        int("big", 8, true),
        decimal_col("price", 10, 2),
        col("ratio", 5, &[8]),
        col("weight", 4, &[4]),
        col("born", 10, &[]),
        col("at", 18, &[3]),
        col("ts", 17, &[0]),
        col("took", 19, &[1]),
        col("doc", 245, &[4]),
        blob("data", 2, 63),
        int("n", 3, false),
        int("flag", 1, false),
        labelled("size", 247, 1, &["small", "Large"], 255),
        labelled("tags", 248, 1, &["a", "b", "c"], 255),
        varchar("local", 30, 28, 2),
        varchar("blank", 20, 255, 4),
        varchar("word", 20, 255, 4),
    ];
    let mut doc = Vec::new();
    let document = r#"{"a": {"b": [1, 2.5, "x"]}, "t": true, "n": null}"#;
    crate::binlog::json::Document::parse(document).expect("JSON").write_binary(&mut doc).expect("shallow");
    let values = [
        le(7, 4),
        text("Hangzhou 杭州"),
        text("18700001111"),
        Some(u64::MAX.to_le_bytes().to_vec()),
        decimal("-12.50", 10, 2),
        Some(2.5f64.to_le_bytes().to_vec()),
        Some(1.1f32.to_le_bytes().to_vec()),
        date(2024, 2, 29),
        datetime2([2024, 1, 31], [10, 20, 30], 456_000, 3),
        timestamp2(1_767_225_930, 0, 0),
        time2(false, [1, 30, 0], 500_000, 1),
        Some(doc),
        Some(vec![0, 0xff, b'a']),
        None,
        le(1, 1),
        le(2, 1),
        le(5, 1),
        Some(b"\xc4\xe3\xba\xc3".to_vec()),
        text("  x y "),
        text("abcabc"),
    ];
    Rows::new("t", &columns, INSERT, &[image(&values)])
}

/// `declared type: text` of a new column that is set to an expression, NULL, or what is wrong.
#[track_caller]
pub(super) fn set_to(expression: &str, options: &ScriptOptions) -> String {
    let rows = everything();
    let script = match Script::compile(&format!("e_set(`out`, {expression})"), options) {
        Ok(script) => script,
        Err(error) => return format!("compile: {}", error.reason),
    };
    let bound = match script.bind(rows.plan()) {
        Ok(bound) => bound,
        Err(error) => return format!("bind: {}", error.reason),
    };
    let mut scratch = Scratch::new();
    scratch.set_now_us(1_767_225_999_876_543);
    let mut told = None;
    rows.each(|change, row| {
        told = Some(match bound.run(change, row, &mut scratch) {
            Ok(Outcome::Changed { plan, row, .. }) => {
                let place = plan.columns.len() - 1;
                let column = &plan.columns[place];
                assert_eq!(&*column.name, "out");
                let value = row.after.expect("an insert").get(place).expect("whole").expect("there");
                let mut text = Vec::new();
                let there = renderer().write_text(column, &value, &mut text).expect("shown");
                let text = String::from_utf8(text).expect("UTF-8");
                format!("{}: {}", column.declared, if there { text.as_str() } else { "NULL" })
            }
            Ok(other) => format!("{other:?}"),
            Err(error) => format!("failed: {}: {}", error.function, error.fault),
        });
    });
    told.expect("one row")
}

/// The same without its type.
#[track_caller]
pub(super) fn value(expression: &str) -> String {
    let told = set_to(expression, &ScriptOptions::default());
    match told.split_once(": ") {
        Some(("compile" | "bind" | "failed", _)) => told,
        Some((_, value)) => value.to_owned(),
        None => told,
    }
}
