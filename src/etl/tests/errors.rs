//! What goes wrong: the policies of a row, the messages of a script, the limits.

use super::*;

fn columns() -> Vec<Col> {
    vec![int("id", 3, false).key(), varchar("a", 20, 255, 4), varchar("b", 20, 255, 4)]
}

fn rows() -> Rows {
    let row = |id, a: &str| image(&[le(id, 4), text(a), text("b")]);
    Rows::new("t", &columns(), INSERT, &[row(1, "5"), row(2, "x")])
}

fn under(on_error: OnError, script: &str) -> Vec<String> {
    rows().told(script, &ScriptOptions { on_error, ..ScriptOptions::default() })
}

const CAST: &str = "e_set(`b`, 'set')\ne_set(n, cast_string_to_long(`a`))";

#[test]
fn a_failed_value_is_what_the_policy_makes_of_it() {
    let good = "INSERT t {id=1, a=5, b=set, n=5}";
    let error = "etl script, line 2, column 10: cast_string_to_long: the text is not a whole number";
    assert_eq!(under(OnError::Fail, CAST), [good, &format!("failed: {error}")]);
    assert_eq!(under(OnError::Null, CAST), [good, "INSERT t {id=2, a=x, b=set, n=NULL}"]);
    assert_eq!(under(OnError::Keep, CAST), [good, "INSERT t {id=2, a=x, b=b, n=NULL}"]);
    assert_eq!(under(OnError::Drop, CAST), [good, "dropped"]);
    assert_eq!(under(OnError::DeadLetter, CAST), [good, &format!("dead letter: {error}")]);
}

#[test]
fn a_failed_condition_does_not_hold_under_null() {
    let script = "e_drop(op_gt(cast_string_to_long(`a`), 1))";
    assert_eq!(under(OnError::Null, script), ["dropped", "INSERT t {id=2, a=x, b=b}"]);
    assert_eq!(under(OnError::Keep, script), ["dropped", "INSERT t {id=2, a=x, b=b}"]);
}

#[test]
fn every_error_is_counted() {
    for on_error in [OnError::Fail, OnError::Null, OnError::Keep, OnError::Drop, OnError::DeadLetter] {
        let rows = rows();
        let options = ScriptOptions { on_error, ..ScriptOptions::default() };
        let bound = Script::compile(CAST, &options).expect("a script").bind(rows.plan()).expect("bound");
        let mut scratch = Scratch::new();
        rows.each(|change, row| drop(bound.run(change, row, &mut scratch)));
        assert_eq!(scratch.errors(), 1, "{on_error:?}");
    }
}

#[test]
fn a_key_that_becomes_null_is_an_error_of_the_row() {
    let script = "e_if(`id` == 2, e_set(`id`, null))";
    let good = "INSERT t {id=1, a=5, b=b}";
    let error = "etl script, line 1, column 1: key: key column id would be gone or NULL";
    assert_eq!(under(OnError::Fail, script), [good, &format!("failed: {error}")]);
    assert_eq!(under(OnError::Null, script), [good, &format!("failed: {error}")]);
    assert_eq!(under(OnError::Keep, script), [good, "INSERT t {id=2, a=x, b=b}"]);
    assert_eq!(under(OnError::Drop, script), [good, "dropped"]);
    assert_eq!(under(OnError::Drop, "e_if(`id` == 2, e_drop_fields(`id`))"), [good, "dropped"]);
    assert_eq!(under(OnError::Fail, "e_set(`id`, `id` + 1)")[1], "INSERT t {id=3, a=x, b=b}");
}

fn compiled(text: &str) -> String {
    match Script::compile(text, &ScriptOptions::default()) {
        Ok(script) => match script.bind(&plan_of("t", &columns())) {
            Ok(_) => "fine".to_owned(),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    }
}

#[test]
fn errors_of_a_script_say_where_and_what() {
    for (script, error) in [
        ("op_gt(`id`, 3)", "line 1, column 1: expected an action: a function that begins with e_, found op_gt(...)"),
        ("`id`", "line 1, column 1: expected an action: a function that begins with e_, found `id`"),
        ("e_dorp()", "line 1, column 1: unknown function e_dorp; is e_drop meant?"),
        ("e_drop(str_contain(`a`, 'x'))", "line 1, column 8: unknown function str_contain; is str_contains meant?"),
        ("e_drop(nonsense_of_all_kinds())", "line 1, column 8: unknown function nonsense_of_all_kinds"),
        ("e_drop(__OPERATON__)", "line 1, column 8: unknown variable __OPERATON__; is __OPERATION__ meant?"),
        ("e_set(`a`, e_drop())", "line 1, column 12: expected a value, found the action e_drop"),
        (
            "e_set(`a`)",
            "line 1, column 1: wrong number of arguments: expected e_set(`column`, value[, `column2`, value2, ...])",
        ),
        ("e_set(5, 1)", "line 1, column 7: expected a column, __OPERATION__, __TB__ or __DB__, found 5"),
        ("e_drop_fields('a')", "line 1, column 15: expected a column such as `name`, found text"),
        ("e_if('x', e_drop())", "line 1, column 6: expected a condition, found text"),
        ("e_if(dt_now(), e_drop())", "line 1, column 6: expected a condition, found dt_now(...)"),
        ("e_drop(op_gt(`ID`, 1))", "line 1, column 14: table shop.t has no column ID; is id meant?"),
        ("\n\n e_set(c, `bb`)", "line 3, column 11: table shop.t has no column bb; is b meant?"),
        ("e_drop_fields(`a`)\ne_set(c, `a`)", "line 2, column 10: table shop.t has no column a; is b meant?"),
        (
            "e_set(c, DATETIME('x'))",
            "line 1, column 19: expected a date and time of the calendar in DATETIME('2021-01-01 10:10:01')",
        ),
        (
            "e_set(c, __BEFORE__)",
            "line 1, column 10: expected a column behind it: __BEFORE__(`name`), found __BEFORE__",
        ),
        ("e_set(c, op_gt(`id`, '12x'))", "line 1, column 10: op_gt: the text is not a number"),
    ] {
        assert_eq!(compiled(script), format!("etl script, {error}"), "{script}");
    }
}

#[test]
fn branches_that_a_table_never_takes_need_not_fit_it() {
    assert_eq!(compiled("e_if(op_eq(__TB__, 'u'), e_set(`zzz`, `yyy`))"), "fine");
    assert_eq!(compiled("e_switch(__DB__ == 'x', e_drop_fields(`q`), default = e_set(`a`, 1))"), "fine");
    assert!(compiled("e_if(op_eq(__TB__, 't'), e_set(`zzz`, `yyy`))").contains("no column yyy"));
}

#[test]
fn a_row_that_takes_too_much_work_is_an_error() {
    let mut growing = "e_set(c, `b`)".to_owned();
    for _ in 0..60 {
        growing.push_str("\ne_set(c, op_add(c, c, c, c))");
    }
    let told = under(OnError::Drop, &growing);
    assert_eq!(told, ["dropped", "dropped"]);
    let told = under(OnError::Fail, &growing);
    assert!(told[0].contains("more than its bounded steps"), "{told:?}");
    let mut replaced = "`b`".to_owned();
    for _ in 0..40 {
        replaced = format!("str_replace({replaced}, 'b', 'bbbbbbbb')");
    }
    let told = under(OnError::Fail, &format!("e_set(c, {replaced})"));
    assert!(told[0].contains("str_replace: the script takes more than"), "{told:?}");
}

#[test]
fn columns_that_a_script_adds_are_limited() {
    let adding = |count: u32| (0..count).map(|i| format!("e_set(c{i:x},1)\n")).collect::<String>();
    assert_eq!(compiled(&adding(4093)), "fine");
    let error = "etl script, line 1, column 1: the script gives table shop.t more than 4,096 columns";
    assert_eq!(compiled(&adding(4094)), error);
}
