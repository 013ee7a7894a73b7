//! One test for each row of the table of actions, and for the variables.

use super::*;

fn pair() -> [Col; 3] {
    [int("id", 3, false).key(), varchar("a", 20, 255, 4), varchar("b", 20, 255, 4)]
}

fn row(id: i64, a: &str, b: &str) -> Image {
    image(&[le(id, 4), text(a), text(b)])
}

fn inserted(rows: &[Image], script: &str) -> Vec<String> {
    Rows::new("t", &pair(), INSERT, rows).told(script, &ScriptOptions::default())
}

fn one(script: &str) -> String {
    inserted(&[row(1, "x", "y")], script).remove(0)
}

#[test]
fn e_if_runs_each_action_whose_condition_holds_until_the_record_is_dropped() {
    assert_eq!(one("e_if(`id` == 1, e_set(`a`, 'A'))"), "INSERT t {id=1, a=A, b=y}");
    assert_eq!(one("e_if(`id` == 2, e_set(`a`, 'A'))"), "INSERT t {id=1, a=x, b=y}");
    let both = "e_if(true, e_set(`a`, 'A'), `a` == 'A', e_set(`b`, 'B'), `a` == 'x', e_drop())";
    assert_eq!(one(both), "INSERT t {id=1, a=A, b=B}");
    assert_eq!(one("e_if(`id` == 1, e_drop(), `id` == 1, e_set(`id`, null))"), "dropped");
    assert_eq!(one("e_if(null, e_drop())"), "INSERT t {id=1, a=x, b=y}");
}

#[test]
fn e_if_else_chooses_one() {
    assert_eq!(one("e_if_else(`id` == 1, e_set(`a`, '1'), e_set(`b`, '2'))"), "INSERT t {id=1, a=1, b=y}");
    assert_eq!(one("e_if_else(`id` == 2, e_set(`a`, '1'), e_set(`b`, '2'))"), "INSERT t {id=1, a=x, b=2}");
}

#[test]
fn e_switch_takes_the_first_condition_that_holds_else_the_default() {
    let switch = "e_switch(`id` > 1, e_set(`a`, 'many'), `id` > 0, e_set(`a`, 'one'), default = e_set(`a`, 'none'))";
    let told = inserted(&[row(2, "", ""), row(1, "", ""), row(0, "", "")], switch);
    let names: Vec<_> = told.iter().map(|line| line.split("a=").nth(1).and_then(|s| s.split(',').next())).collect();
    assert_eq!(names, [Some("many"), Some("one"), Some("none")]);
    assert_eq!(one("e_switch(false, e_drop(), `id` == 2, e_drop())"), "INSERT t {id=1, a=x, b=y}");
    let error = Script::compile("e_switch(true, e_drop(), other = e_drop())", &ScriptOptions::default());
    assert!(error.expect_err("no such name").to_string().contains("has no argument called other"));
}

#[test]
fn e_compose_and_several_actions_see_each_others_results() {
    let steps = "e_compose(e_set(`a`, 'A'), e_set(`b`, op_add(`a`, 'B')), e_keep(`b` == 'AB'))";
    assert_eq!(one(steps), "INSERT t {id=1, a=A, b=AB}");
    assert_eq!(one("e_set(`a`, 'A')\ne_set(`b`, `a`); e_drop(`b` == 'x')"), "INSERT t {id=1, a=A, b=A}");
    assert_eq!(one("e_drop()\n e_set(`id`, null)"), "dropped");
}

#[test]
fn e_drop_discards() {
    assert_eq!(one("e_drop()"), "dropped");
}

#[test]
fn e_drop_with_a_condition_discards_what_it_holds_for() {
    let told = inserted(&[row(1, "x", ""), row(2, "x", "")], "e_drop(`id` > 1)");
    assert_eq!(told, ["INSERT t {id=1, a=x, b=}", "dropped"]);
}

#[test]
fn e_keep_discards_the_others() {
    let told = inserted(&[row(1, "x", ""), row(2, "x", "")], "e_keep(`id` > 1)");
    assert_eq!(told, ["dropped", "INSERT t {id=2, a=x, b=}"]);
    assert_eq!(one("e_keep(null)"), "dropped");
}

#[test]
fn e_set_sets_columns_and_adds_them() {
    assert_eq!(one("e_set(`a`, 5)"), "INSERT t {id=1, a=5, b=y}");
    assert_eq!(one("e_set(`id`, '9')"), "INSERT t {id=9, a=x, b=y}");
    assert_eq!(one("e_set(`c`, `id` + 1)"), "INSERT t {id=1, a=x, b=y, c=2}");
    assert_eq!(one("e_set(c, null)"), "INSERT t {id=1, a=x, b=y, c=NULL}");
}

#[test]
fn e_set_sets_several_in_order() {
    assert_eq!(one("e_set(`a`, 'A', `b`, `a`, `c`, `b`)"), "INSERT t {id=1, a=A, b=A, c=A}");
}

#[test]
fn e_set_of_the_operation_moves_the_images() {
    let told = |kind, images: &[Image], script: &str| {
        Rows::new("t", &pair(), kind, images).told(script, &ScriptOptions::default()).remove(0)
    };
    let to = |op: &str| format!("e_set(__OPERATION__, {op})");
    let two = [row(1, "x", "y"), row(1, "z", "y")];
    assert_eq!(told(DELETE, &two[..1], &to("__OP_INSERT__")), "INSERT t {id=1, a=x, b=y}");
    assert_eq!(told(UPDATE, &two, &to("__OP_INSERT__")), "INSERT t {id=1, a=z, b=y}");
    assert_eq!(told(UPDATE, &two, &to("__OP_DELETE__")), "DELETE t {id=1, a=z, b=y}");
    assert_eq!(told(INSERT, &two[..1], &to("'DELETE'")), "DELETE t {id=1, a=x, b=y}");
    assert_eq!(told(UPDATE, &two, &to("__OP_UPDATE__")), "UPDATE t {id=1, a=x, b=y} -> {id=1, a=z, b=y}");
    let failed = "failed: etl script, line 1, column 1: e_set: a row with one image cannot become an update";
    assert_eq!(told(INSERT, &two[..1], &to("__OP_UPDATE__")), failed);
    assert!(told(INSERT, &two[..1], &to("'REPLACE'")).ends_with("the text is not an operation"));
    let after = "e_set(__OPERATION__, __OP_INSERT__)\ne_set(`a`, __OPERATION__)";
    assert_eq!(told(DELETE, &two[..1], after), "INSERT t {id=1, a=INSERT, b=y}");
}

#[test]
fn e_drop_fields_takes_columns_away() {
    assert_eq!(one("e_drop_fields(`a`)"), "INSERT t {id=1, b=y}");
    assert_eq!(one("e_set(`b`, `a`)\ne_drop_fields(`a`)\ne_set(`a`, 7)"), "INSERT t {id=1, b=x, a=7}");
    // A column that some rows keep is there for all.
    let told = inserted(&[row(1, "x", "y"), row(2, "x", "y")], "e_if(`id` == 1, e_drop_fields(`a`))");
    assert_eq!(told, ["INSERT t {id=1, a=NULL, b=y}", "INSERT t {id=2, a=x, b=y}"]);
}

#[test]
fn e_keep_fields_takes_the_others_away() {
    assert_eq!(one("e_keep_fields(`id`, `b`)"), "INSERT t {id=1, b=y}");
    assert_eq!(one("e_set(`c`, 1)\ne_keep_fields(`id`)"), "INSERT t {id=1}");
    let error = Script::compile("e_keep_fields(`a`)", &ScriptOptions::default()).expect("compiles");
    let error = error.bind(&plan_of("t", &pair())).expect_err("the key goes").to_string();
    assert_eq!(error, "etl script, line 1, column 1: the script takes the key column id of table shop.t away");
}

#[test]
fn e_rename_gives_columns_new_names() {
    assert_eq!(one("e_rename(`a`, `c`)"), "INSERT t {id=1, c=x, b=y}");
    assert_eq!(one("e_rename(`a`, `c`, `c`, `d`)\ne_set(`d`, op_add(`d`, '!'))"), "INSERT t {id=1, d=x!, b=y}");
    assert_eq!(one("e_rename(`a`, `c`)\ne_set(`a`, 'new')"), "INSERT t {id=1, c=x, b=y, a=new}");
    assert_eq!(one("e_set(`a`, 'A')\ne_rename(`a`, `c`)"), "INSERT t {id=1, c=A, b=y}");
    assert_eq!(one("e_rename(`id`, `key`)"), "INSERT t {key=1, a=x, b=y}");
    let told = inserted(&[row(1, "x", "y"), row(2, "x", "y")], "e_if(`id` == 1, e_rename(`a`, `c`))");
    assert_eq!(told, ["INSERT t {id=1, a=NULL, b=y, c=x}", "INSERT t {id=2, a=x, b=y, c=NULL}"]);
    let error = Script::compile("e_rename(`a`, `b`)", &ScriptOptions::default()).expect("compiles");
    let error = error.bind(&plan_of("t", &pair())).expect_err("taken").to_string();
    assert_eq!(error, "etl script, line 1, column 15: table shop.t has a column b already");
}

#[test]
fn e_set_of_names_routes_elsewhere() {
    assert_eq!(one("e_set(__TB__, op_add(__TB__, '_', `id`))"), "INSERT t_1 {id=1, a=x, b=y}");
    assert_eq!(one("e_set(__DB__, 'lake')\ne_set(`a`, __DB__)"), "INSERT lake.t {id=1, a=shop, b=y}");
    assert!(one("e_set(__TB__, '')").ends_with("a name is out of range"));
    let script = Script::compile("e_set(__TB__, op_add('t', `id`))", &ScriptOptions::default()).expect("compiles");
    let rows = Rows::new("t", &pair(), INSERT, &[row(1, "", ""), row(2, "", ""), row(1, "", "")]);
    let bound = script.bind(rows.plan()).expect("bound");
    let (mut ids, mut scratch) = (Vec::new(), Scratch::new());
    rows.each(|change, row| match bound.run(change, row, &mut scratch) {
        Ok(Outcome::Changed { plan, .. }) => ids.push(plan.id),
        other => panic!("{other:?}"),
    });
    assert!(ids[0] == ids[2] && ids[0] != ids[1], "one name has one plan: {ids:?}");
}

#[test]
fn tail_replace_string_field_goes_through_every_text_column() {
    assert_eq!(
        inserted(&[row(1, "a-a", "b-")], "tail_replace_string_field('-', '', true)"),
        ["INSERT t {id=1, a=aa, b=b}"]
    );
    assert_eq!(
        inserted(&[row(1, "--", "b")], "tail_replace_string_field('-', '+', false)"),
        ["INSERT t {id=1, a=+-, b=b}"]
    );
    assert_eq!(one("tail_replace_string_field(null, '', true)"), "INSERT t {id=1, a=x, b=y}");
    let told = everything().told("tail_replace_string_field('a', 'ä', true)", &ScriptOptions::default()).remove(0);
    assert!(
        told.contains("name=Hängzhou 杭州") && told.contains("word=äbcäbc") && told.contains("size=Large"),
        "{told}"
    );
}

#[test]
fn document_store_functions_are_refused_by_name() {
    for call in ["e_expand_bson_value('a')", "e_set(`a`, bson_value('x'))"] {
        let error = Script::compile(call, &ScriptOptions::default()).expect_err("refused").to_string();
        assert!(error.contains("works on documents of a document store") && error.contains("bson"), "{error}");
    }
}

#[test]
fn variables_tell_of_the_record() {
    let set = |expression: &str| one(&format!("e_set(`a`, {expression})"));
    for (expression, value) in [
        ("__DB__", "shop"),
        ("__TB__", "t"),
        ("__OPERATION__", "INSERT"),
        ("cast_to_string(__COMMIT_TIMESTAMP__)", ""),
        ("__SERVER_ID__", "4"),
        ("__IS_SNAPSHOT__", "false"),
        ("__SCHEMA_VERSION__", "NULL"),
        ("substring_after(__GTID__, ':')", "23"),
        ("__DDL__", "NULL"),
        ("__BEFORE__(`a`)", "NULL"),
        ("__AFTER__(`a`)", "x"),
    ] {
        let told = set(expression);
        match value {
            // Longer than the column.
            "" => assert!(told.contains("column a cannot hold the value: the length is out of range"), "{told}"),
            value => assert_eq!(told, format!("INSERT t {{id=1, a={value}, b=y}}"), "{expression}"),
        }
    }
    let rows = Rows::new("t", &pair(), UPDATE, &[row(1, "x", "y"), row(1, "z", "y")]);
    let told = rows.told("e_set(`a`, 'new')\ne_set(`b`, op_add(__BEFORE__(`a`), __AFTER__(`a`)))", &Default::default());
    assert_eq!(told, ["UPDATE t {id=1, a=new, b=xz} -> {id=1, a=new, b=xz}"]);
}

#[test]
fn statements_can_be_dropped_and_kept_only() {
    let script = |text: &str| Script::compile(text, &ScriptOptions::default()).expect("a script");
    let tx = TxInfo::default();
    let ddl = DdlChange {
        seq: relay_store::Seq(3),
        sql: "ALTER TABLE t DROP COLUMN a".into(),
        database: "shop".into(),
        sql_mode: None,
        tx: &tx,
        place: EventPlace::default(),
    };
    let run = |text: &str| match script(text).run_ddl(&ddl, "shop", "t", &mut Scratch::new()) {
        Ok(Outcome::Keep) => "kept".to_owned(),
        Ok(Outcome::Drop) => "dropped".to_owned(),
        Ok(other) => format!("{other:?}"),
        Err(error) => error.to_string(),
    };
    assert_eq!(run("e_if(str_contains(__DDL__, 'DROP'), e_drop())"), "dropped");
    assert_eq!(run("e_keep(op_eq(__OPERATION__, 'DDL'))"), "kept");
    assert_eq!(run("e_drop(op_eq(__TB__, 'u'))"), "kept");
    assert_eq!(run("e_if(op_gt(`id`, 3), e_drop())"), "kept");
    assert_eq!(run("e_if(op_is_null(__DDL__), e_set(`a`, 1))"), "kept");
    assert_eq!(run("e_set(`a`, 1)"), "etl script, line 1, column 1: e_set: a DDL record can only be dropped or kept");
}
