//! The reference scripts, on rows of real events.

use super::*;

fn orders(images: &[Image], kind: u8) -> Rows {
    let columns = [
        int("id", 3, false).key(),
        varchar("name", 40, 255, 4),
        varchar("phone", 20, 255, 4),
        col("order_timestamp", 18, &[0]),
        int("score", 3, false),
        varchar("grade", 4, 255, 4),
        int("x", 3, false),
    ];
    Rows::new("dts_test_table", &columns, kind, images)
}

fn order(id: i64, name: &str, score: i64) -> Image {
    image(&[
        le(id, 4),
        text(name),
        text("18700001111"),
        datetime2([2015, 2, 23], [23, 54, 55], 0, 0),
        le(score, 4),
        text("-"),
        None,
    ])
}

fn told(rows: &Rows, script: &str) -> Vec<String> {
    rows.told(script, &ScriptOptions::default())
}

#[test]
fn drop_by_number() {
    let rows = orders(&[order(10_000, "a", 1), order(10_001, "a", 1)], INSERT);
    let told = told(&rows, "script:e_if(op_gt(`id`, 10000), e_drop())");
    assert!(told[0].starts_with("INSERT dts_test_table {id=10000,"), "{told:?}");
    assert_eq!(told[1], "dropped");
}

#[test]
fn drop_by_text_is_case_sensitive() {
    let rows = orders(&[order(1, "in hangzhou", 1), order(2, "in Hangzhou", 1)], INSERT);
    let told = told(&rows, r#"e_if(str_contains(`name`, "hangzhou"), e_drop())"#);
    assert_eq!(told[0], "dropped");
    assert!(told[1].starts_with("INSERT"));
}

#[test]
fn drop_by_date_reads_the_literal_as_a_datetime() {
    let mut early = order(1, "a", 1);
    early[3] = Some(datetime2([2015, 2, 23], [23, 54, 54], 0, 0));
    let rows = orders(&[early, order(2, "a", 1)], INSERT);
    let told = told(&rows, r#"e_if(op_lt(`order_timestamp`, "2015-02-23 23:54:55"), e_drop())"#);
    assert_eq!(told[0], "dropped");
    assert!(told[1].starts_with("INSERT"));
}

#[test]
fn two_conditions_are_both_needed() {
    let rows = orders(&[order(1001, "hangzhou", 1), order(1000, "hangzhou", 1), order(1001, "x", 1)], INSERT);
    let told = told(&rows, r#"e_if(op_and(op_gt(`id`, 1000), str_contains(`name`, "hangzhou")), e_drop())"#);
    assert_eq!(told.iter().map(|line| line == "dropped").collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn a_mask_reaches_the_before_image_too() {
    let rows = orders(&[order(1, "a", 1), order(1, "b", 1)], UPDATE);
    let told = told(&rows, "e_set(`phone`, str_mask(`phone`, 7, 10, '*'))");
    assert_eq!(
        told,
        ["UPDATE dts_test_table {id=1, name=a, phone=1870000****, order_timestamp=2015-02-23 23:54:55, score=1, \
          grade=-, x=NULL} -> {id=1, name=b, phone=1870000****, order_timestamp=2015-02-23 23:54:55, score=1, \
          grade=-, x=NULL}"]
    );
}

#[test]
fn a_stamp_is_a_new_column_of_every_record() {
    let stamp = "e_set(dts_sync_time, __COMMIT_TIMESTAMP__)";
    for (kind, images) in [
        (INSERT, vec![order(1, "a", 1)]),
        (UPDATE, vec![order(1, "a", 1), order(1, "b", 1)]),
        (DELETE, vec![order(1, "a", 1)]),
    ] {
        let told = told(&orders(&images, kind), stamp);
        let stamps = told[0].matches(", dts_sync_time=2026-01-01 00:05:30.123456}").count();
        assert_eq!(stamps, images.len(), "{told:?}");
    }
}

#[test]
fn a_stamp_of_one_table_leaves_the_others_alone() {
    let stamp = "e_if(op_eq(__TB__, 'dts_test_table'), e_set(dts_sync_time, __COMMIT_TIMESTAMP__))";
    let told = told(&orders(&[order(1, "a", 1)], INSERT), stamp);
    assert!(told[0].contains("dts_sync_time=2026"), "{told:?}");
    let other = Rows::new("other", &[int("id", 3, false).key()], INSERT, &[image(&[le(1, 4)])]);
    assert_eq!(other.told(stamp, &ScriptOptions::default()), ["INSERT other {id=1}"]);
    let bound = Script::compile(stamp, &ScriptOptions::default()).expect("a script").bind(other.plan()).expect("bound");
    assert!(Arc::ptr_eq(bound.plan(), other.plan()));
}

#[test]
fn an_audit_log_is_made_of_inserts() {
    let audit = "e_compose(e_switch(op_eq(__OPERATION__, __OP_DELETE__), e_set(op_class, 'DELETE'), \
                 op_eq(__OPERATION__, __OP_UPDATE__), e_set(op_class, 'UPDATE'), default = e_set(op_class, 'INSERT')), \
                 e_set(op_time, __COMMIT_TIMESTAMP__), e_set(__OPERATION__, __OP_INSERT__))";
    for (kind, images, class) in [
        (INSERT, vec![order(1, "a", 1)], "INSERT"),
        (UPDATE, vec![order(1, "a", 1), order(1, "b", 1)], "UPDATE"),
        (DELETE, vec![order(1, "b", 1)], "DELETE"),
    ] {
        let told = told(&orders(&images, kind), audit);
        let name = if kind == INSERT { "a" } else { "b" };
        assert!(told[0].starts_with(&format!("INSERT dts_test_table {{id=1, name={name}, ")), "{told:?}");
        assert!(told[0].ends_with(&format!("op_class={class}, op_time=2026-01-01 00:05:30.123456}}")), "{told:?}");
        assert!(!told[0].contains("->"), "{told:?}");
    }
}

#[test]
fn a_score_becomes_a_grade() {
    let rows = orders(&[order(1, "a", 59), order(2, "a", 99)], INSERT);
    let told = told(&rows, r#"e_set(`grade`, op_if(op_ge(`score`, 60), "A", "B"))"#);
    assert!(told[0].contains("score=59, grade=B") && told[1].contains("score=99, grade=A"), "{told:?}");
}

#[test]
fn null_becomes_a_number() {
    let told = told(&orders(&[order(1, "a", 1)], INSERT), "e_if(op_is_null(`x`), e_set(`x`, 0))");
    assert!(told[0].ends_with("x=0}"), "{told:?}");
}

#[test]
fn a_cast_that_always_fails_is_an_error_of_the_script() {
    let script = r#"e_set(`n`, cast_string_to_long("12x"))"#;
    let error = Script::compile(script, &ScriptOptions::default()).expect_err("wrong").to_string();
    assert_eq!(error, "etl script, line 1, column 12: cast_string_to_long: the text is not a whole number");
}
