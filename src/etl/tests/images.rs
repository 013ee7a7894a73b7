//! Images: partial ones, both of an update, columns in other character sets, documents as differences.

use super::*;
use crate::binlog::Value;
use crate::binlog::json::Document;

fn columns() -> Vec<Col> {
    vec![int("id", 3, false).key(), varchar("phone", 20, 255, 4), int("score", 3, false), varchar("gbk", 10, 28, 2)]
}

fn told(kind: u8, images: &[Image], script: &str) -> String {
    Rows::new("t", &columns(), kind, images).told(script, &ScriptOptions::default()).remove(0)
}

fn full(phone: &str, score: i64) -> Image {
    image(&[le(1, 4), text(phone), le(score, 4), Some(b"\xc4\xe3".to_vec())])
}

const MASK: &str = "e_set(`phone`, str_mask(`phone`, 0, 2, '*'))";

#[test]
fn conditions_are_evaluated_per_image_and_the_after_image_decides_about_the_record() {
    let images = [full("1234", 1), full("1234", 9)];
    assert_eq!(told(UPDATE, &images, "e_if(`score` > 5, e_drop())"), "dropped");
    let kept = told(UPDATE, &images, &format!("e_if(`score` < 5, e_drop())\n{MASK}"));
    assert_eq!(kept, "UPDATE t {id=1, phone=***4, score=1, gbk=你} -> {id=1, phone=***4, score=9, gbk=你}");
    let per_image = told(UPDATE, &images, "e_if(`score` > 5, e_set(`phone`, 'high'))");
    assert_eq!(per_image, "UPDATE t {id=1, phone=1234, score=1, gbk=你} -> {id=1, phone=high, score=9, gbk=你}");
}

#[test]
fn what_a_partial_image_lacks_stays_away() {
    // A minimal update: the key before, what changed after.
    let before: Image = vec![Some(le(1, 4)), None, None, None];
    let after: Image = vec![None, None, Some(le(9, 4)), None];
    assert_eq!(told(UPDATE, &[before.clone(), after.clone()], MASK), "UPDATE t {id=1} -> {score=9}");
    let stamped = told(UPDATE, &[before.clone(), after.clone()], "e_set(s, `score`)");
    assert_eq!(stamped, "UPDATE t {id=1, s=NULL} -> {score=9, s=9}");
    // The key did not change: it is read from before.
    let keyed = told(UPDATE, &[before.clone(), after.clone()], "e_set(k, `id`)");
    assert_eq!(keyed, "UPDATE t {id=1, k=1} -> {score=9, k=1}");
    // With one image left, it has the columns of both.
    let inserted = told(UPDATE, &[before.clone(), after.clone()], "e_set(__OPERATION__, __OP_INSERT__)");
    assert_eq!(inserted, "INSERT t {id=1, score=9}");
    let unknown = told(UPDATE, &[before, after], "e_if(op_eq(`phone`, '1'), e_drop())");
    let absent = "failed: etl script, line 1, column 1: e_if: the row does not hold column phone \
                  (binlog_row_image is not FULL)";
    assert_eq!(unknown, absent);
}

#[test]
fn text_of_other_character_sets_is_read_and_becomes_utf8_where_it_is_set() {
    let images = [full("1", 1), full("1", 2)];
    assert_eq!(told(INSERT, &images[..1], "e_drop(op_eq(`gbk`, '你'))"), "dropped");
    // One of the images is set, the other one is not: both are UTF-8.
    let told = told(UPDATE, &images, "e_if(`score` == 2, e_set(`gbk`, op_add(`gbk`, '😀')))");
    assert_eq!(told, "UPDATE t {id=1, phone=1, score=1, gbk=你} -> {id=1, phone=1, score=2, gbk=你😀}");
}

#[test]
fn a_script_that_changes_nothing_keeps_the_row_and_its_plan() {
    let rows = Rows::new("t", &columns(), UPDATE, &[full("1", 1), full("1", 2)]);
    for (script, same_plan) in [
        ("e_if(`score` > 100, e_set(`phone`, ''))", true),
        ("e_if(`score` > 100, e_drop())", true),
        ("e_drop_fields(`phone`)", false),
    ] {
        let bound =
            Script::compile(script, &ScriptOptions::default()).expect("a script").bind(rows.plan()).expect("bound");
        let mut scratch = Scratch::new();
        rows.each(|change, row| match bound.run(change, row, &mut scratch) {
            Ok(Outcome::Keep) => assert!(same_plan, "{script}"),
            Ok(Outcome::Changed { plan, row: now, .. }) => {
                // The very bytes of the event, read with a plan that leaves the column out.
                let bytes = |image: Option<RowImage<'_>>| {
                    image.and_then(|i| i.cell(1).expect("whole")).and_then(|c| c.bytes).map(<[u8]>::as_ptr)
                };
                assert!(bytes(row.after) == bytes(now.after) && plan.columns[1].dropped, "{script}");
                assert!(plan.id != rows.plan().id && !same_plan);
            }
            other => panic!("{other:?}"),
        });
    }
}

#[test]
fn plans_are_the_same_for_every_row_of_a_binding() {
    let rows = Rows::new("t", &columns(), INSERT, &[full("1", 1), full("1", 2)]);
    let script = Script::compile("e_if(`score` == 1, e_set(c, 1), `score` == 2, e_set(d, 'x'))", &Default::default());
    let bound = script.expect("a script").bind(rows.plan()).expect("bound");
    let (mut ids, mut scratch) = (Vec::new(), Scratch::new());
    rows.each(|change, row| match bound.run(change, row, &mut scratch) {
        Ok(Outcome::Changed { plan, row, .. }) => {
            ids.push(plan.id);
            assert!(row.after.expect("an insert").present().is_full());
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(ids, [bound.plan().id; 2]);
    let declared: Vec<&str> = bound.plan().columns.iter().map(|c| &*c.declared).collect();
    assert_eq!(declared, ["int", "varchar(20)", "int", "varchar(10)", "bigint", "longtext"]);
}

#[test]
fn new_columns_take_the_type_of_their_expression_or_of_the_column_they_copy() {
    let bound = |script: &str| {
        let script = Script::compile(script, &ScriptOptions::default()).expect("a script");
        let bound = script.bind(everything().plan()).expect("bound");
        bound.plan().columns.last().expect("a column").declared.to_string()
    };
    for (script, declared) in [
        ("e_set(c, `size`)", "enum('small','Large')"),
        ("e_set(c, `price`)", "decimal(10,2)"),
        ("e_set(c, __BEFORE__(`at`))", "datetime(3)"),
        ("e_if_else(`flag`, e_set(c, `price`), e_set(c, null))", "decimal(10,2)"),
        ("e_if_else(`flag`, e_set(c, 1), e_set(c, 1.5))", "double"),
        ("e_if_else(`flag`, e_set(c, 1), e_set(c, `price` + 1))", "decimal(65,2)"),
        ("e_if_else(`flag`, e_set(c, 1), e_set(c, 'x'))", "longtext"),
        ("e_if_else(`flag`, e_set(c, `born`), e_set(c, dt_now()))", "datetime"),
        ("e_set(c, `id` > 1)", "tinyint"),
        ("e_set(c, `data`)", "blob"),
        ("e_set(c, op_coalesce(`data`, `data`))", "longblob"),
        ("e_set(c, `took`)", "time(1)"),
        ("e_set(c, null)", "longtext"),
    ] {
        assert_eq!(bound(script), declared, "{script}");
    }
}

#[test]
fn values_are_converted_to_the_type_of_their_column_or_refused() {
    let set = |column: &str, value: &str| {
        let told = everything().told(&format!("e_set(`{column}`, {value})"), &ScriptOptions::default()).remove(0);
        match told.strip_prefix("failed: ") {
            Some(error) => error.rsplit("cannot hold the value: ").next().unwrap_or_default().to_owned(),
            None => {
                let there = told.find(&format!(" {column}=")).or_else(|| told.find(&format!("{{{column}=")));
                let start = there.expect("there") + column.len() + 2;
                let end = told[start..].find(", ").map_or(told.len() - 1, |end| start + end);
                told[start..end].to_owned()
            }
        }
    };
    for (column, value, held) in [
        ("id", "2147483647", "2147483647"),
        ("id", "2147483648", "the number is out of range"),
        ("id", "'12.5'", "13"),
        ("id", "'12x'", "the text is not a number"),
        ("flag", "true", "1"),
        ("big", "-1", "the number is out of range"),
        ("big", "18446744073709551615", "18446744073709551615"),
        ("price", "1.005", "1.01"),
        ("price", "123456789", "the number is out of range"),
        ("ratio", "'1e3'", "1000.0"),
        ("weight", "1e39", "the number is out of range"),
        ("born", "`at`", "2024-01-31"),
        ("born", "'2024-02-30'", "the text is not a datetime"),
        ("at", "`born`", "2024-02-29 00:00:00.000"),
        ("at", "'2024-12-31 23:59:59.9996'", "2025-01-01 00:00:00.000"),
        ("ts", "'2038-01-19 03:14:07'", "2038-01-19 03:14:07"),
        ("ts", "'0000-00-00 00:00:00'", "0000-00-00 00:00:00"),
        ("took", "'-838:59:59'", "-838:59:59.0"),
        ("took", "`at`", "expected a time, found a datetime"),
        ("doc", "'[1, {\"a\": 2}]'", "[1"),
        ("doc", "'['", "the text is not a json document"),
        ("doc", "5", "5"),
        ("data", "'abc'", "616263"),
        ("data", "`data`", "00ff61"),
        ("size", "'LARGE'", "Large"),
        ("size", "'huge'", "the text is not one of its labels"),
        ("tags", "'b,a'", "a,b"),
        ("tags", "'d'", "the text is not some of its labels"),
        ("name", "`price`", "-12.50"),
        ("n", "null", "NULL"),
    ] {
        assert_eq!(set(column, value), held, "{column} = {value}");
    }
    assert!(set("phone", "'123456789012345678901'").contains("the length is out of range"));
    let late = everything().told("e_set(`ts`, '2500-01-01 00:00:00')", &ScriptOptions::default()).remove(0);
    assert!(late.ends_with("the timestamp is out of range"), "{late}");
}

#[test]
fn differences_of_a_document_become_the_document_when_the_row_is_written() {
    let columns = [int("id", 3, false).key(), col("doc", 245, &[4])];
    let mut base = Vec::new();
    Document::parse(r#"{"a": 1, "b": [1]}"#).expect("JSON").write_binary(&mut base).expect("shallow");
    let mut rows =
        Rows::new("t", &columns, UPDATE, &[image(&[le(1, 4), Some(base.clone())]), image(&[le(1, 4), Some(base)])]);
    // A partial update: type 39, options and bits before the after image, and a difference in place of the document.
    let body_end = rows.event.len();
    let diff = [0u8, 3, b'$', b'.', b'a', 2, 4, 1];
    let base_len = {
        let mut len = 0;
        rows.each(|_, row| len = row.before.expect("an update").size());
        len
    };
    let after_at = body_end - (base_len + 1);
    let mut event = rows.event[..after_at].to_vec();
    event.extend([1, 1, 0, 1, 0, 0, 0]);
    event.extend((diff.len() as u32).to_le_bytes());
    event.extend(diff);
    event[4] = 39;
    let len = event.len() as u32;
    event[9..13].copy_from_slice(&len.to_le_bytes());
    rows.event = event;
    rows.each(|_, row| {
        let after = row.after.expect("an update").get(1).expect("whole");
        assert!(matches!(after, Some(Value::JsonDiff(_))), "{after:?}");
    });
    let told = |script: &str| rows.told(script, &ScriptOptions::default()).remove(0);
    let expected = r#"UPDATE t {id=1, doc={"a": 1, "b": [1]}, c=7} -> {id=1, doc={"a": true, "b": [1]}, c=7}"#;
    assert_eq!(told("e_set(c, 7)"), expected);
    assert_eq!(told("e_drop(json_get(`doc`, '$.a'))"), "dropped");
    let masked = r#"UPDATE t {id=1, doc={"b": [1]}} -> {id=1, doc={"b": [1]}}"#;
    assert_eq!(told("e_set(`doc`, json_remove(`doc`, '$.a'))"), masked);
}
