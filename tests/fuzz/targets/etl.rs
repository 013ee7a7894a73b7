//! A script: compiled, bound to a table, run over rows of it. What it makes of a row must be a row again.

use std::sync::{Arc, OnceLock};

use relay::binlog::RowsEvent;
use relay::binlog::event::{Checksum, Event, FormatDescription};
use relay::change::plan::{Planner, TablePlan};
use relay::change::{DdlChange, EventPlace, Op, RowsChange, TxInfo};
use relay::etl::{OnError, Outcome, Scratch, Script, ScriptOptions, Secrets};

#[path = "../../support/binlog_rows.rs"]
#[allow(dead_code, reason = "made for more than this target")]
mod binlog_rows;
use binlog_rows::*;

struct Table {
    plan: Arc<TablePlan>,
    /// Kind of event and its bytes.
    events: Vec<(Op, Vec<u8>)>,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let columns = [
            int("id", 3, false).key(),
            varchar("name", 40, 255, 4),
            varchar("gbk", 20, 28, 2),
            decimal_col("price", 20, 4),
            col("ratio", 5, &[8]),
            col("at", 18, &[6]),
            col("ts", 17, &[3]),
            col("took", 19, &[2]),
            col("born", 10, &[]),
            blob("data", 2, 63),
            int("n", 8, true),
        ];
        let row = |id: i64, name: &str| {
            image(&[
                le(id, 4),
                text(name),
                Some(b"\xc4\xe3\xff".to_vec()),
                decimal("-12.5000", 20, 4),
                Some((id as f64 / 3.0).to_le_bytes().to_vec()),
                datetime2([2024, 2, 29], [23, 59, 59], 999_999, 6),
                timestamp2(1_767_225_930, 123_000, 3),
                time2(true, [838, 59, 59], 0, 2),
                date(0, 0, 0),
                Some(vec![0, 0xff]),
                None,
            ])
        };
        let mut minimal = vec![None; columns.len()];
        minimal[0] = Some(le(7, 4));
        let mut changed = vec![None; columns.len()];
        changed[1] = Some(text("{\"a\": [1, 2]}"));
        let map = table_map(9, "shop", "t", &columns, true);
        let map = Event::parse(&map, Checksum::None).unwrap();
        let plan = Planner::new().plan(&map, &description(), None).unwrap().unwrap();
        let made = |op, kind, images: &[Image]| (op, rows(kind, 9, &columns, images, 1_767_225_930));
        let events = vec![
            made(Op::Insert, 30, &[row(1, "Hangzhou 杭州"), row(-5, "")]),
            made(Op::Update, 31, &[row(1, "a"), row(2, "12x")]),
            made(Op::Update, 31, &[minimal, changed]),
            made(Op::Delete, 32, &[row(i64::from(i32::MAX), "18700001111")]),
        ];
        Table { plan, events }
    })
}

fn description() -> FormatDescription {
    FormatDescription {
        server_version: "9.7.4".into(),
        post_header_lengths: vec![10; 42],
        ..super::description(relay::binlog::event::Dialect::MySql)
    }
}

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let on_error = match data.len() % 4 {
        0 => OnError::Null,
        1 => OnError::Keep,
        2 => OnError::DeadLetter,
        _ => OnError::Fail,
    };
    let mut secrets = Secrets::default();
    secrets.insert("key", *b"pepper");
    let options = ScriptOptions { secrets, on_error, ..ScriptOptions::default() };
    let Ok(script) = Script::compile(&text, &options) else { return };
    let tx = TxInfo::default();
    let mut scratch = Scratch::new();
    let ddl = DdlChange {
        seq: relay_store::Seq(1),
        sql: "DROP TABLE t".into(),
        database: "shop".into(),
        sql_mode: None,
        tx: &tx,
        place: EventPlace::default(),
    };
    let _ = script.run_ddl(&ddl, "shop", "t", &mut scratch);
    let table = table();
    let Ok(bound) = script.bind(&table.plan) else { return };
    for (op, event) in &table.events {
        let event = Event::parse(event, Checksum::None).unwrap();
        let event = RowsEvent::parse(&event, &description()).unwrap();
        let place = EventPlace { timestamp: 1_767_225_930, server_id: 1, position: 900 };
        let seq = relay_store::Seq(5);
        let rows = RowsChange { seq, op: *op, plan: &table.plan, tx: &tx, place, snapshot: false, event };
        for row in rows.rows() {
            let Ok(Outcome::Changed { plan, op, row }) = bound.run(&rows, &row.unwrap(), &mut scratch) else {
                continue;
            };
            assert_eq!((row.before.is_some(), row.after.is_some()), (op != Op::Insert, op != Op::Delete));
            assert_eq!(plan.columns.len(), bound.plan().columns.len());
            for image in [row.before, row.after].into_iter().flatten() {
                assert!(image.values().all(|value| value.is_ok()));
            }
        }
    }
}

/// Scripts of every kind; what they have in common with each other makes good mutants.
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "script:e_if(op_gt(`id`, 10000), e_drop())",
        "e_if(str_contains(`name`, \"hangzhou\"), e_drop(), `id` > 1, e_set(`n`, `id` * 2 - 1))",
        "e_if(op_lt(`at`, \"2015-02-23 23:54:55\"), e_drop())",
        "e_set(`name`, str_mask(`name`, 7, 10, '*'))\ne_set(`gbk`, op_add(`gbk`, '!'))",
        "e_compose(e_switch(op_eq(__OPERATION__, __OP_DELETE__), e_set(op_class, 'DELETE'), default = \
         e_set(op_class, 'INSERT')), e_set(op_time, __COMMIT_TIMESTAMP__), e_set(__OPERATION__, __OP_INSERT__))",
        "e_set(c, op_div_true(`price`, `id` - 1), d, op_round(`ratio`, 2), e, op_pow(`id`, 3) % 7)",
        "e_set(c, dt_add(`at`, months = -1, days = 30), d, dt_str(`ts`, 'yyyy-MM-dd HH:mm:ss.SSS'))",
        "e_set(c, dt_strptime(`name`, 'yyyyMMdd'), d, dt_diff(`at`, `ts`, 'hour'), e, dt_truncate(`at`, 'week'))",
        "e_set(c, json_set(json_object('a', `id`, 'b', `name`), '$.b[1]', `price`), d, json_get(`name`, '$.a[last]'))",
        "e_rename(`name`, `title`); e_drop_fields(`gbk`, `data`); e_if(`id` == 1, e_rename(`price`, `cost`))",
        "e_set(__TB__, str_format('{}_{}', __TB__, `id` % 4))\ntail_replace_string_field('a', 'bb', true)",
        "e_keep(regex_match(`name`, '[0-9a-z]+') or op_in(`id`, json_array('[1, \"2\"]')) ? true : not `n` != 3)",
        "e_set(c, regex_replace(`name`, '(.)', 'x'), d, str_hmac_sha256(`name`, 'key'), e, str_md5(`data`))",
        "e_set(`took`, '-10:00:00', `born`, `at`, `data`, `name`, `n`, cast_string_to_long(`name`), `ts`, dt_now())",
        "e_keep_fields(`id`, `name`)\ne_set(`old`, __BEFORE__(`name`), `new`, substring_between(`name`, '[', ']'))",
        "e_set(c, op_coalesce(`n`, op_max(`id`, 5), op_len(`name`)), d, str_strip(`name`), e, DATETIME('2021-01-01'))",
    ]
    .iter()
    .map(|script| script.as_bytes().to_vec())
    .collect()
}
